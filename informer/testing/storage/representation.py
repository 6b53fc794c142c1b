"""How a resource's objects are written for answers: as JSON, whole or their metadata only, alone, in a list or in an event.

An object is encoded to JSON once, when it is stored; here that JSON is only joined. The keys are in the real server's
order: those of custom resources are sorted, so that a list's metadata comes last.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from typing_extensions import override

from informer.objects.json_edit import parts_of
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.storage import Stored

__all__ = [
    "JSON",
    "PARTIAL",
    "JsonRepresentation",
    "PartialJson",
    "Representation",
    "bookmark_metadata",
    "partial_list_metadata",
    "whole_json",
]

JSON = "application/json"
_encode = msgspec.json.encode

PARTIAL = ("PartialObjectMetadata", "PartialObjectMetadataList")
"""The kinds of an object and a list of which only the metadata were requested."""

_INITIAL_EVENTS_END = {"annotations": {"k8s.io/initial-events-end": "true"}}


def bookmark_metadata(resource_version: int, *, initial_events_end: bool) -> dict[str, Any]:
    """Returns the metadata of a bookmark, optionally of the one that ends the initial state."""
    return {"resourceVersion": str(resource_version), **(_INITIAL_EVENTS_END if initial_events_end else {})}


def partial_list_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the metadata of a list of which only the objects' metadata were requested: it does not name its shard."""
    return {name: value for name, value in metadata.items() if name != "shardInfo"}


class Representation(ABC):
    """Writes the objects of one version of a resource in one format.

    Args:
        kind: the kind as which objects are written.
        api_version: their apiVersion.
        list_kind: the kind of a list of them.

    Attributes:
        media_type: the Content-Type of an answer.
        stream_media_type: the Content-Type of a watch.
        drops_managed_fields: leave metadata.managedFields out.
    """

    media_type: str
    stream_media_type: str
    drops_managed_fields = False

    def __init__(self, kind: str, api_version: str, list_kind: str) -> None:
        self.kind = kind
        self.api_version = api_version
        self.list_kind = list_kind

    def wanted(self, stored: Stored) -> Stored:
        """Returns an object with the fields that the client wants to have."""
        if not self.drops_managed_fields or b'"managedFields"' not in stored.body:
            return stored
        obj = stored.to_dict()
        obj["metadata"].pop("managedFields", None)
        return msgspec.structs.replace(stored, body=stored.form.encode(obj))

    @abstractmethod
    def single(self, stored: Stored) -> bytes:
        """Returns one object."""

    @abstractmethod
    def document(self, obj: Mapping[str, Any]) -> bytes:
        """Returns an object that is not one of the resource's own: a Status or a Scale, in API form."""

    @abstractmethod
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        """Returns a list, in pieces that are to be joined."""

    @abstractmethod
    def event(self, type: str, stored: Stored) -> bytes:
        """Returns an event of a watch."""

    @abstractmethod
    def event_of(self, event: Mapping[str, Any]) -> bytes:
        """Returns an event of any type, with any object in API form: a mapping with "type" and "object"."""

    @abstractmethod
    def framed(self, data: bytes) -> bytes:
        """Returns bytes with what marks the end of an event in a watch, so that they take the place of one."""

    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        """Returns a bookmark, optionally the one that ends the initial state."""
        metadata = bookmark_metadata(resource_version, initial_events_end=initial_events_end)
        obj = {"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata}
        return self.event_of({"type": "BOOKMARK", "object": obj})


def whole_json(served: ServedResource) -> JsonRepresentation:
    """Returns what writes whole objects of a resource as JSON."""
    return (_CustomJson if served.custom else _BuiltInJson)(served)


class JsonRepresentation(Representation):
    """Writes objects of a resource as JSON. A stream has one event per line."""

    media_type = stream_media_type = JSON

    @override
    def document(self, obj: Mapping[str, Any]) -> bytes:
        return _encode(obj)

    @override
    def event(self, type: str, stored: Stored) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (type.encode(), self.single(stored))

    @override
    def event_of(self, event: Mapping[str, Any]) -> bytes:
        return self.framed(_encode(event))

    @override
    def framed(self, data: bytes) -> bytes:
        return data + b"\n"

    def _head(self, kind: str) -> bytes:
        return b'{"kind":"%s","apiVersion":"%s",' % (kind.encode(), self.api_version.encode())


class _BuiltInJson(JsonRepresentation):
    def __init__(self, served: ServedResource) -> None:
        super().__init__(served.resource.kind, served.resource.api_version, served.list_kind)
        self._served = served

    @override
    def single(self, stored: Stored) -> bytes:
        return self._head(self.kind) + self._body(stored)[1:]

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        # The real server leaves kind and apiVersion out of the items of built-in kinds.
        items = b",".join([self._body(stored) for stored in objects])
        return [self._head(self.list_kind), b'"metadata":%s,"items":[' % _encode(metadata), items, b"]}\n"]

    def _body(self, stored: Stored) -> bytes:
        stored = self.wanted(stored)
        return _encode(self._served.from_stored(stored.to_dict())) if self._served.is_view else stored.body


class _CustomJson(_BuiltInJson):
    @override
    def single(self, stored: Stored) -> bytes:
        stored, form = self.wanted(stored), self._served.own_form
        return stored.body if stored.form == form else form.encode(self._served.read(stored))

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        items = b",".join([self.single(stored) for stored in objects])
        # The real server writes `continue` even if it is empty.
        written = _encode({"continue": "", **metadata}, order="sorted")
        tail = b'],"kind":"%s","metadata":%s}\n' % (self.list_kind.encode(), written)
        return [b'{"apiVersion":"%s","items":[' % self.api_version.encode(), items, tail]


class PartialJson(JsonRepresentation):
    """Writes the metadata of objects as JSON; `version` is that of meta.k8s.io, such as "v1"."""

    def __init__(self, version: str) -> None:
        super().__init__(PARTIAL[0], f"meta.k8s.io/{version}", PARTIAL[1])

    @override
    def single(self, stored: Stored) -> bytes:
        metadata = parts_of(self.wanted(stored).body)["metadata"]
        return b'%s"metadata":%s}' % (self._head(self.kind), bytes(metadata))

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        items = b",".join([self.single(stored) for stored in objects])
        head = b'"metadata":%s,"items":' % _encode(partial_list_metadata(metadata))
        return [self._head(self.list_kind), head, b"[%s]}\n" % items if items else b"null}\n"]

"""Writes objects as JSON: whole or as PartialObjectMetadata; alone, in a list, or in an event of a watch.

An object is encoded to JSON once, when it is stored; here that JSON is only joined. The keys are in the real server's
order: those of custom resources are sorted, so that a list's metadata comes last.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from typing_extensions import override

from informer.objects.json_edit import parts_of
from informer.testing.storage.representation import INITIAL_EVENTS_END, PARTIAL, Representation, partial_list_metadata
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.storage import Stored

__all__ = ["BuiltInJson", "CustomJson", "JsonRepresentation", "PartialJson"]

_encode = msgspec.json.encode


class JsonRepresentation(Representation):
    """Writes objects of a resource as JSON. A stream has one event per line."""

    media_type = stream_media_type = "application/json"

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


class BuiltInJson(JsonRepresentation):
    """Writes whole objects of a built-in kind as JSON."""

    def __init__(self, served: ServedResource) -> None:
        self._served = served
        self._prefix = _prefix(served.resource.kind, served.resource.api_version)

    @override
    def single(self, stored: Stored) -> bytes:
        return self._prefix + self._body(stored)[1:]

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        head = _prefix(self._served.list_kind, self._served.resource.api_version)
        # The real server leaves kind and apiVersion out of the items of built-in kinds.
        items = b",".join([self._body(stored) for stored in objects])
        return [head, b'"metadata":%s,"items":[' % _encode(metadata), items, b"]}\n"]

    @override
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        return _bookmark(self._prefix, resource_version, initial_events_end=initial_events_end)

    def _body(self, stored: Stored) -> bytes:
        if not self._served.is_view:
            return stored.body
        return _encode(self._served.from_stored(stored.to_dict()))


class CustomJson(JsonRepresentation):
    """Writes whole objects of a custom resource as JSON."""

    def __init__(self, served: ServedResource) -> None:
        self._list_kind = served.list_kind
        self._served = served
        self._form = served.own_form

    @override
    def single(self, stored: Stored) -> bytes:
        return stored.body if stored.form == self._form else self._form.encode(self._served.read(stored))

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        items = b",".join([self.single(stored) for stored in objects])
        # The real server writes `continue` even if it is empty.
        written = _encode({"continue": "", **metadata}, order="sorted")
        tail = b'],"kind":"%s","metadata":%s}\n' % (self._list_kind.encode(), written)
        return [b'{"apiVersion":"%s","items":[' % self._form.api_version.encode(), items, tail]

    @override
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        metadata = {**(INITIAL_EVENTS_END if initial_events_end else {}), "resourceVersion": str(resource_version)}
        return b'{"type":"BOOKMARK","object":%s}\n' % self._form.encode({"metadata": metadata})


class PartialJson(JsonRepresentation):
    """Writes the metadata of objects as JSON; `version` is that of meta.k8s.io, such as "v1"."""

    def __init__(self, version: str) -> None:
        self._version = f"meta.k8s.io/{version}"
        self._prefix = _prefix(PARTIAL[0], self._version)

    @override
    def single(self, stored: Stored) -> bytes:
        return b'%s"metadata":%s}' % (self._prefix, bytes(parts_of(stored.body)["metadata"]))

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        items = b",".join([self.single(stored) for stored in objects])
        head = b'"metadata":%s,"items":' % _encode(partial_list_metadata(metadata))
        return [_prefix(PARTIAL[1], self._version), head, b"[%s]}\n" % items if items else b"null}\n"]

    @override
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        return _bookmark(self._prefix, resource_version, initial_events_end=initial_events_end)


def _prefix(kind: str, api_version: str) -> bytes:
    return b'{"kind":"%s","apiVersion":"%s",' % (kind.encode(), api_version.encode())


def _bookmark(prefix: bytes, resource_version: int, *, initial_events_end: bool) -> bytes:
    metadata = {"resourceVersion": str(resource_version), **(INITIAL_EVENTS_END if initial_events_end else {})}
    return b'{"type":"BOOKMARK","object":%s"metadata":%s}}\n' % (prefix, _encode(metadata))

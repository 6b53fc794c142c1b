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
from informer.testing.storage.representation import PARTIAL, Representation, partial_list_metadata
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.storage import Stored

__all__ = ["JSON", "JsonRepresentation", "PartialJson", "whole_json"]

JSON = "application/json"
_encode = msgspec.json.encode


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


class _WholeJson(JsonRepresentation):
    def __init__(self, served: ServedResource) -> None:
        super().__init__(served.resource.kind, served.resource.api_version, served.list_kind)
        self._served = served


class _BuiltInJson(_WholeJson):
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


class _CustomJson(_WholeJson):
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

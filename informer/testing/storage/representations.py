"""Writes objects for answers: whole or as PartialObjectMetadata; alone, in a list, or in an event of a watch.

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
from informer.testing.storage.statuses import generic
from informer.testing.storage.storage import Form, Stored
from watch.errors import ApiError

__all__ = ["Representation", "representation_for"]

_PARTIAL = ("PartialObjectMetadata", "PartialObjectMetadataList")
_encode = msgspec.json.encode
_INITIAL_EVENTS_END = {"annotations": {"k8s.io/initial-events-end": "true"}}


class Representation(ABC):
    """Writes the objects of one version of a resource."""

    @abstractmethod
    def single(self, stored: Stored) -> bytes:
        """Returns one object."""

    @abstractmethod
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        """Returns a list, in pieces that are to be joined."""

    @abstractmethod
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        """Returns the line of a bookmark, optionally the one that ends the initial state."""

    def event(self, type: str, stored: Stored) -> bytes:
        """Returns the line of an event."""
        return b'{"type":"%s","object":%s}\n' % (type.encode(), self.single(stored))


class _BuiltIn(Representation):
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
        if not self._served.fields:
            return stored.body
        return _encode(self._served.from_stored(stored.to_dict()))


class _Custom(Representation):
    def __init__(self, served: ServedResource) -> None:
        self._list_kind = served.list_kind
        self._form = Form(served.resource.kind, served.resource.api_version)

    @override
    def single(self, stored: Stored) -> bytes:
        return stored.body if stored.form == self._form else self._form.encode(stored.to_dict())

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        items = b",".join([self.single(stored) for stored in objects])
        # The real server writes `continue` even if it is empty.
        written = _encode({"continue": "", **metadata}, order="sorted")
        tail = b'],"kind":"%s","metadata":%s}\n' % (self._list_kind.encode(), written)
        return [b'{"apiVersion":"%s","items":[' % self._form.api_version.encode(), items, tail]

    @override
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        metadata = {**(_INITIAL_EVENTS_END if initial_events_end else {}), "resourceVersion": str(resource_version)}
        return b'{"type":"BOOKMARK","object":%s}\n' % self._form.encode({"metadata": metadata})


class _Partial(Representation):
    def __init__(self, version: str) -> None:
        self._version = f"meta.k8s.io/{version}"
        self._prefix = _prefix(_PARTIAL[0], self._version)

    @override
    def single(self, stored: Stored) -> bytes:
        return b'%s"metadata":%s}' % (self._prefix, bytes(parts_of(stored.body)["metadata"]))

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        items = b",".join([self.single(stored) for stored in objects])
        head = b'"metadata":%s,"items":' % _encode(metadata)
        return [_prefix(_PARTIAL[1], self._version), head, b"[%s]}\n" % items if items else b"null}\n"]

    @override
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        return _bookmark(self._prefix, resource_version, initial_events_end=initial_events_end)


def representation_for(accept: str, served: ServedResource, *, of_list: bool = False) -> Representation:
    """Returns the first representation that the client accepts and the server supports.

    Args:
        accept: the request's Accept header; "" accepts anything.
        served: the resource.
        of_list: whether the answer is a list.

    Raises:
        ApiError: 406, the server supports none of them.
    """
    known = False
    for each in accept.split(",") if accept else ("*/*",):
        media, *parameters = (part.strip() for part in each.split(";"))
        # For built-in resources the real server accepts "*/*" but not "application/*".
        if media not in ("*/*", "application/json") and not (media == "application/*" and served.custom):
            continue
        known = True
        wanted = dict(p.partition("=")[::2] for p in parameters)
        form, version = wanted.get("as", ""), wanted.get("v", "v1")
        if not form:
            return _Custom(served) if served.custom else _BuiltIn(served)
        if form not in _PARTIAL or version not in ("v1", "v1beta1"):
            continue
        if of_list and form != _PARTIAL[1]:
            raise ApiError(406, "NotAcceptable", f"you requested {form}, but the requested object is a list")
        return _Partial(version)
    if known or served.custom:
        raise ApiError(406, "NotAcceptable", "only the following media types are accepted: application/json")
    raise generic(406, "406: Not Acceptable\n\nAvailable representations: application/json")


def _prefix(kind: str, api_version: str) -> bytes:
    return b'{"kind":"%s","apiVersion":"%s",' % (kind.encode(), api_version.encode())


def _bookmark(prefix: bytes, resource_version: int, *, initial_events_end: bool) -> bytes:
    metadata = {"resourceVersion": str(resource_version), **(_INITIAL_EVENTS_END if initial_events_end else {})}
    return b'{"type":"BOOKMARK","object":%s"metadata":%s}}\n' % (prefix, _encode(metadata))

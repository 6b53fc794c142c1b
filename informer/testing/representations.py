"""How objects look in an answer: whole, as PartialObjectMetadata, in a list, in an event of a watch.

Comes in: stored states and what the client accepts. Goes out: bytes. The JSON of an object is made once, when it is
written; here it is only put together.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from informer.testing.served import ServedResource
from informer.testing.storage import Stored
from watch.errors import ApiError

__all__ = ["Representation", "representation_for"]

_PARTIAL_PREFIX = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%s",'
_PARTIAL = ("PartialObjectMetadata", "PartialObjectMetadataList")
_encode = msgspec.json.encode


class _MetadataOnly(msgspec.Struct):
    metadata: msgspec.Raw


_decode_metadata = msgspec.json.Decoder(_MetadataOnly).decode


class Representation:
    """Of one resource in one version.

    Args:
        served: the resource.
        partial: for the metadata alone, the version of the metadata's API; "" for whole objects.
    """

    def __init__(self, served: ServedResource, partial: str = "") -> None:
        self._is_partial = bool(partial)
        self._prefix = _PARTIAL_PREFIX % partial.encode() if partial else served.prefix
        # The real server leaves kind and apiVersion out of the items of its own kinds.
        self._items_say_kind = bool(partial) or served.custom
        self._list_kind = "PartialObjectMetadataList" if partial else served.list_kind
        self._list_version = f"meta.k8s.io/{partial}" if partial else served.resource.api_version

    def single(self, stored: Stored) -> bytes:
        """An object by itself."""
        return self._prefix + self._body(stored)[1:]

    def list_head(self, metadata: Mapping[str, Any]) -> bytes:
        """What comes before the items of a list."""
        return b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":[' % (
            self._list_kind.encode(),
            self._list_version.encode(),
            _encode(metadata),
        )

    def items(self, objects: Iterable[Stored]) -> list[bytes]:
        """The items of a list."""
        if not self._items_say_kind:
            return [stored.body for stored in objects]
        return [self.single(stored) for stored in objects]

    def event(self, type: str, stored: Stored) -> bytes:
        """A line of a watch."""
        return b'{"type":"%s","object":%s%s}\n' % (type.encode(), self._prefix, self._body(stored)[1:])

    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        """A line that only tells how far the watch has come."""
        metadata: dict[str, Any] = {"resourceVersion": str(resource_version)}
        if initial_events_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        return b'{"type":"BOOKMARK","object":%s"metadata":%s}}\n' % (self._prefix, _encode(metadata))

    def _body(self, stored: Stored) -> bytes:
        if not self._is_partial:
            return stored.body
        return b'{"metadata":%s}' % bytes(_decode_metadata(stored.body).metadata)


def representation_for(accept: str, served: ServedResource, *, of_list: bool = False) -> Representation:
    """The first that a client accepts and the server has.

    Args:
        accept: the header; "" accepts anything.
        served: the resource.
        of_list: whether the answer is a list.

    Raises:
        ApiError: 406, there is none.
    """
    for each in accept.split(",") if accept else ("*/*",):
        media, *parameters = (part.strip() for part in each.split(";"))
        if media not in ("*/*", "application/*", "application/json"):
            continue
        wanted = dict(p.partition("=")[::2] for p in parameters)
        form, version = wanted.get("as", ""), wanted.get("v", "v1")
        if not form:
            return Representation(served)
        if form not in _PARTIAL or version not in ("v1", "v1beta1"):
            continue
        if of_list and form != _PARTIAL[1]:
            raise ApiError(406, "NotAcceptable", f"you requested {form}, but the requested object is a list")
        return Representation(served, version)
    raise ApiError(406, "NotAcceptable", "only the following media types are accepted: application/json", details={})

"""Writes objects in protobuf: built-in kinds, and the metadata of any kind.

Source: apimachinery pkg/runtime/serializer/protobuf and pkg/apis/meta/v1, WatchEvent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from typing_extensions import override

from informer.objects.json_edit import parts_of
from informer.protobuf.kinds import PARTIAL_METADATA, Kind, kind_named, metadata_kind
from informer.testing.storage.json_values import decode_object_json
from informer.testing.storage.protobuf_encoding import (
    encode_envelope,
    encode_list,
    encode_message,
    encode_status,
    encode_watch_event,
)
from informer.testing.storage.representation import PARTIAL, Representation, partial_list_metadata
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.storage import Stored

__all__ = ["PROTOBUF", "encode_document", "partial_protobuf", "whole_protobuf"]

PROTOBUF = "application/vnd.kubernetes.protobuf"
# Every client that watches gets the same change, so a few messages are kept. Long ones are not.
_KEPT_MESSAGES = 2048
_KEPT_BYTES = 16 * 1024


def whole_protobuf(served: ServedResource) -> Representation | None:
    """Returns what writes whole objects of a built-in kind. Fields that the kind does not have are left out."""
    kind = None if served.custom else kind_named(served.resource.api_version, served.resource.kind)
    if kind is None:
        return None

    def content(stored: Stored) -> bytes:
        return msgspec.json.encode(served.from_stored(stored.to_dict())) if served.is_view else stored.body

    return _Protobuf(kind, served.list_kind, content)


def partial_protobuf(version: str) -> Representation:
    """Returns what writes the metadata of objects, of custom resources too; `version` is that of meta.k8s.io, such as "v1"."""

    def content(stored: Stored) -> bytes:
        return b'{"metadata":%s}' % bytes(parts_of(stored.body)["metadata"])

    return _Protobuf(metadata_kind(f"meta.k8s.io/{version}", PARTIAL[0]), PARTIAL[1], content)


class _Protobuf(Representation):
    """Writes objects of one kind in protobuf. In a stream a length precedes each event.

    Args:
        kind: what the objects are written as.
        list_kind: the kind of a list of them.
        content: returns the JSON of what is written of an object.
    """

    media_type = PROTOBUF
    stream_media_type = f"{PROTOBUF};stream=watch"

    def __init__(self, kind: Kind, list_kind: str, content: Callable[[Stored], bytes]) -> None:
        super().__init__(kind.kind, kind.api_version, list_kind)
        self._name = kind.message
        self._content = content

    def _message(self, stored: Stored) -> bytes:
        """Returns the message of an object, without the envelope."""
        body = self._content(self.wanted(stored))
        return (_kept_message if len(body) <= _KEPT_BYTES else _encode)(body, self._name)

    @override
    def single(self, stored: Stored) -> bytes:
        return encode_envelope(self.api_version, self.kind, self._message(stored))

    @override
    def document(self, obj: Mapping[str, Any]) -> bytes:
        return encode_document(obj)

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        if self.kind == PARTIAL[0]:
            metadata = partial_list_metadata(metadata)
        message = encode_list(metadata, [self._message(stored) for stored in objects])
        return [encode_envelope(self.api_version, self.list_kind, message)]

    @override
    def event(self, type: str, stored: Stored) -> bytes:
        return encode_watch_event(type, self.single(stored))

    @override
    def event_of(self, event: Mapping[str, Any]) -> bytes:
        obj = event.get("object")
        return encode_watch_event(str(event.get("type", "")), b"" if obj is None else encode_document(obj))

    @override
    def framed(self, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + data


def encode_document(obj: Mapping[str, Any]) -> bytes:
    """Returns a Status, or an object of a built-in kind, in its envelope. Of any other kind only the metadata are written."""
    api_version, name = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    if name == "Status":
        return encode_envelope(api_version, name, encode_status(obj))
    kind = kind_named(api_version, name)
    return encode_envelope(api_version, name, encode_message(obj, PARTIAL_METADATA if kind is None else kind.message))


def _encode(body: bytes, message: str) -> bytes:
    try:
        return encode_message(decode_object_json(body), message)
    except (TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        name = message.rpartition("/")[2]
        raise ValueError(f"an object cannot be written in protobuf, since a field is not of {name}'s type") from error


_kept_message = lru_cache(maxsize=_KEPT_MESSAGES)(_encode)

"""Writes objects in protobuf: built-in kinds, and the metadata of any kind.

Source: apimachinery pkg/runtime/serializer/protobuf and pkg/apis/meta/v1, WatchEvent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

__all__ = ["PROTOBUF", "BuiltInProtobuf", "PartialProtobuf", "encode_document"]

PROTOBUF = "application/vnd.kubernetes.protobuf"
# Every client that watches gets the same change, so a few messages are kept. Long ones are not.
_KEPT_MESSAGES = 2048
_KEPT_BYTES = 16 * 1024


class _Protobuf(Representation):
    """Writes objects of one kind in protobuf. In a stream a length precedes each event.

    Args:
        kind: what the objects are written as.
        list_kind: the kind of a list of them.
    """

    media_type = PROTOBUF
    stream_media_type = f"{PROTOBUF};stream=watch"

    def __init__(self, kind: Kind, list_kind: str) -> None:
        super().__init__(kind.kind, kind.api_version, list_kind)
        self._name = kind.message

    def _message(self, stored: Stored) -> bytes:
        """The message of an object, without the envelope."""
        raise NotImplementedError

    @override
    def single(self, stored: Stored) -> bytes:
        return encode_envelope(self.api_version, self.kind, self._message(self.wanted(stored)))

    @override
    def document(self, obj: Mapping[str, Any]) -> bytes:
        return encode_document(obj)

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        message = encode_list(metadata, [self._message(self.wanted(stored)) for stored in objects])
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


class BuiltInProtobuf(_Protobuf):
    """Writes whole objects of a built-in kind in protobuf. Fields that the kind does not have are left out.

    Args:
        served: the resource.
        kind: its kind.
    """

    def __init__(self, served: ServedResource, kind: Kind) -> None:
        super().__init__(kind, served.list_kind)
        self._served = served

    @override
    def _message(self, stored: Stored) -> bytes:
        if self._served.is_view:
            return encode_message(self._served.from_stored(stored.to_dict()), self._name)
        return _message_of(stored.body, self._name)


class PartialProtobuf(_Protobuf):
    """Writes the metadata of objects in protobuf, of custom resources too; `version` is that of meta.k8s.io, such as "v1"."""

    def __init__(self, version: str) -> None:
        super().__init__(metadata_kind(f"meta.k8s.io/{version}", PARTIAL[0]), PARTIAL[1])

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        return super().list(partial_list_metadata(metadata), objects)

    @override
    def _message(self, stored: Stored) -> bytes:
        return _message_of(b'{"metadata":%s}' % bytes(parts_of(stored.body)["metadata"]), self._name)


def encode_document(obj: Mapping[str, Any]) -> bytes:
    """Returns a Status, or an object of a built-in kind, in its envelope. Of any other kind only the metadata are written."""
    api_version, name = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    if name == "Status":
        return encode_envelope(api_version, name, encode_status(obj))
    kind = kind_named(api_version, name)
    return encode_envelope(api_version, name, encode_message(obj, PARTIAL_METADATA if kind is None else kind.message))


def _message_of(body: bytes, message: str) -> bytes:
    return (_kept_message if len(body) <= _KEPT_BYTES else _encode)(body, message)


def _encode(body: bytes, message: str) -> bytes:
    try:
        return encode_message(decode_object_json(body), message)
    except (TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        name = message.rpartition("/")[2]
        raise ValueError(f"an object cannot be written in protobuf, since a field is not of {name}'s type") from error


_kept_message = lru_cache(maxsize=_KEPT_MESSAGES)(_encode)

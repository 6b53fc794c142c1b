"""Splits a list in protobuf into items while it arrives, so that the whole answer is never in memory. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from informer.transport.answers import PROXY_HINT
from watch.framing import LineTooLongError
from watch.protobuf_wire import BYTES, MAGIC, VARINT, fields_in, status_in, text_in, varint_at

__all__ = ["ProtobufListParser"]

_ITEM = 2 << 3 | BYTES
_METADATA = 1 << 3 | BYTES
_MAX_TAG_AND_LENGTH = 20
# The most bytes of the envelope before the list, and after it. It has little more than the list's apiVersion and kind.
_MAX_HEAD = 4096
_WITHIN_ITEMS = "the server's list ended within its items"
_UNKNOWN_FIELD = "the server's list has a field that lists do not have"


class ProtobufListParser:
    """Parses one list: takes pieces of its body, and yields the items that they complete.

    Args:
        decode: called with the apiVersion and kind of the items and an item's message; returns the item.
        max_item_bytes: the longest accepted item, in bytes.

    Attributes:
        api_version: of the items, "" if unknown.
        kind: of the items, "" if unknown.
        metadata: the list's metadata in API form; empty until it has arrived.

    Source: apimachinery pkg/runtime/serializer/protobuf; the layout of every list is ListMeta = 1, items = 2.
    """

    first_bytes = MAGIC[:1]

    def __init__(self, decode: Callable[[str, str, bytes], Any], max_item_bytes: int) -> None:
        self._decode = decode
        self._max = max_item_bytes
        self._held = bytearray()  # pieces that do not complete a field
        self._wanted = 0  # bytes that `_held` needs before it can be parsed further
        self._left = -1  # bytes of the list's message still to come; -1 until it begins
        self._tail_bytes = 0
        self.api_version = self.kind = ""
        self.metadata: dict[str, Any] = {}

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Parses a piece of the list and yields the items that it completes.

        Raises:
            LineTooLongError: an item, or the envelope before or after the list, is too long.
            ValueError: the body is not a list in protobuf.
        """
        data = piece
        if self._held:
            self._held += piece
            if len(self._held) < self._wanted:
                return
            data = bytes(self._held)
            self._held = bytearray()
        self._wanted = 0
        at = 0
        if self._left < 0:
            at = self._head(data)
            if at < 0:
                self._hold(data)
                return
        yield from self._items(data, at)

    def last_items(self) -> Iterator[Any]:
        """Returns no items: `feed` yields each item as soon as it is complete.

        Raises:
            ValueError: the list is incomplete.
        """
        if self._left:
            raise ValueError(_WITHIN_ITEMS)
        return iter(())

    def _head(self, data: bytes) -> int:
        """Reads the envelope up to the list's message. Returns the index where that begins, or -1 if more bytes are needed."""
        if not MAGIC.startswith(data[: len(MAGIC)]):
            raise ValueError(f"the server's answer is not a list in protobuf ({PROXY_HINT})")
        at = len(MAGIC)
        while at < len(data):
            begin = _field_at(data, at)
            if begin is None:
                break
            tag, size, start = begin
            if tag == _ITEM:  # in the envelope: the object's own message
                self._left = size
                self._check_kind(data, start)
                return start
            if start + size > len(data):
                break
            if tag == _METADATA:  # in the envelope: the type
                self.api_version = text_in(data, 1, start, start + size)
                self.kind = text_in(data, 2, start, start + size).removesuffix("List")
            at = start + size
        if len(data) > _MAX_HEAD:
            raise LineTooLongError(_MAX_HEAD)
        return -1

    def _check_kind(self, data: bytes, start: int) -> None:
        if self.kind == "Status":
            message = status_in(data[start : start + self._left]).get("message") if start < len(data) else ""
            raise ValueError(f"the server answered with a Status, not a list: {message}")

    def _items(self, data: bytes, at: int) -> Iterator[Any]:
        decode, api_version, kind = self._decode, self.api_version, self.kind
        end = len(data)
        limit = at + self._left
        first = at
        try:
            while at < limit:
                # The length of the usual item has two bytes; a call for each would take as long as all else here.
                if at + 3 <= end and data[at] == _ITEM and data[at + 1] > 0x7F > data[at + 2]:
                    tag, size, start = _ITEM, data[at + 1] & 0x7F | data[at + 2] << 7, at + 3
                else:
                    found = _field_at(data, at)
                    if found is None:
                        break
                    tag, size, start = found
                stop = start + size
                if size > self._max:
                    raise LineTooLongError(self._max)
                if stop > limit:
                    raise ValueError(_WITHIN_ITEMS)
                if stop > end:
                    self._wanted = stop - at
                    break
                if tag == _ITEM:
                    yield decode(api_version, kind, data[start:stop])
                else:
                    self.metadata = _list_metadata(tag, data[start:stop])
                at = stop
        finally:
            self._left -= at - first
        if self._left:
            self._hold(data[at:])
        else:
            self._tail_bytes += end - at
            if self._tail_bytes > _MAX_HEAD:
                raise LineTooLongError(_MAX_HEAD)

    def _hold(self, rest: bytes) -> None:
        self._held += rest


def _field_at(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Returns a field's tag, and the length and start of its value; None if the bytes end within tag or length."""
    try:
        tag, at = varint_at(data, at)
        size, at = varint_at(data, at)
    except ValueError:
        if len(data) - at >= _MAX_TAG_AND_LENGTH:
            raise
        return None
    if tag & 7 != BYTES:
        raise ValueError(_UNKNOWN_FIELD)
    return tag, size, at


def _list_metadata(tag: int, message: bytes) -> dict[str, Any]:
    if tag != _METADATA:
        raise ValueError(_UNKNOWN_FIELD)
    metadata: dict[str, Any] = {}
    for field in fields_in(message):
        if field.wire_type == VARINT and field.number == 4:
            metadata["remainingItemCount"] = field.value
        elif field.wire_type == BYTES and field.number in (2, 3):
            name = "resourceVersion" if field.number == 2 else "continue"
            metadata[name] = message[field.start : field.end].decode()
        elif field.wire_type == BYTES and field.number == 5:
            metadata["shardInfo"] = {"selector": text_in(message, 1, field.start, field.end)}
    return metadata

"""Converts single values from protobuf to the API's JSON form: scalars, quantities, times, bytes, and embedded JSON.

Most functions take a buffer and the start and end of the value in it.
"""

from __future__ import annotations

import base64
import contextlib
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from watch.concurrency import ThreadLocal
from watch.deep_json import decode_deep
from watch.protobuf_wire import BYTES, VARINT, bytes_in, fields_in, signed

__all__ = ["FROM_BYTES", "FROM_VARINT", "deep_values", "double_at", "strings_at"]

_deep = ThreadLocal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _text(raw: bytes, start: int, end: int) -> str:
    return raw[start:end].decode()


def _base64(raw: bytes, start: int, end: int) -> str:
    return base64.b64encode(raw[start:end]).decode()


def _quantity(raw: bytes, start: int, end: int) -> str:
    return bytes_in(raw, 1, start, end).decode() or "0"


def _int_or_string(raw: bytes, start: int, end: int) -> int | str:
    kind, number, text = 0, 0, ""
    for field in fields_in(raw, start, end):
        if field.number == 1:
            kind = field.value
        elif field.number == 2:
            number = signed(field.value)
        elif field.number == 3 and field.wire_type == BYTES:
            text = raw[field.start : field.end].decode()
    return text if kind else number


def _seconds_and_nanos(raw: bytes, start: int, end: int) -> tuple[int, int]:
    seconds = nanos = 0
    for field in fields_in(raw, start, end):
        if field.wire_type == VARINT and field.number == 1:
            seconds = signed(field.value)
        elif field.wire_type == VARINT and field.number == 2:
            nanos = signed(field.value)
    return seconds, nanos


def _moment(seconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"a time of {seconds} seconds since 1970 is outside of the years 1 to 9999") from None
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}"


def _time(raw: bytes, start: int, end: int) -> str | None:
    if start == end:
        return None
    return _moment(_seconds_and_nanos(raw, start, end)[0]) + "Z"


def _micro_time(raw: bytes, start: int, end: int) -> str | None:
    if start == end:
        return None
    seconds, nanos = _seconds_and_nanos(raw, start, end)
    return f"{_moment(seconds)}.{nanos // 1000:06}Z"


def _json(raw: bytes, start: int, end: int) -> Any:
    found = bytes_in(raw, 1, start, end)
    if not found:
        return None
    finish = getattr(_deep, "finish", None)
    return msgspec.json.decode(found) if finish is None else decode_deep(found, finish)


@contextlib.contextmanager
def deep_values(finish: Callable[[Any], Any]) -> Iterator[None]:
    """Within the block, this thread decodes JSON values piece by piece, so that they may be nested deeply.

    Args:
        finish: as of `decode_deep`.
    """
    _deep.finish = finish
    try:
        yield
    finally:
        del _deep.finish


def strings_at(raw: bytes, start: int, end: int) -> list[str]:
    """Returns the texts of a message with one repeated text, which is how Go writes a named slice type as a map's value."""
    return [raw[field.start : field.end].decode() for field in fields_in(raw, start, end) if field.number == 1]


def double_at(raw: bytes, start: int, end: int) -> int | float:
    """Returns a floating-point number; a whole number as an int, which JSON shows without ".0"."""
    value: float = struct.unpack_from("<d", raw, start)[0]
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


FROM_BYTES: dict[str, Callable[[bytes, int, int], Any]] = {
    "string": _text,
    "bytes": _base64,
    "quantity": _quantity,
    "int_or_string": _int_or_string,
    "time": _time,
    "micro_time": _micro_time,
    "json": _json,
    "strings": strings_at,
}
"""Converters by the name of the value's type in the table of kinds."""

FROM_VARINT: dict[str, Callable[[int], Any]] = {"int": signed, "bool": bool, "uint": int}

"""Removes fields from an object in protobuf without decoding the rest of it."""

from __future__ import annotations

from typing import Any

from informer.protobuf.kinds import FieldType, message_fields
from watch.protobuf_wire import BYTES, VARINT, Field, bytes_in, fields_in, varint_at

__all__ = ["Tree", "varint_bytes", "without_fields", "without_managed_fields"]

_METADATA = 1 << 3 | BYTES
_MANAGED_FIELDS = 17 << 3 | BYTES

Tree = dict[str | int, Any]
"""Paths to remove, as `json_edit.tree_of` joins them: a key maps to None (remove it), or to the tree below it."""


def without_fields(raw: bytes, message: str, tree: Tree) -> bytes:
    """Removes the paths of a tree from a message.

    Paths name fields as JSON does. A path into a value of a special form, such as managedFields[0].fieldsV1, removes nothing.

    Args:
        raw: the message.
        message: its name in the table of kinds.
        tree: the paths, as `json_edit.tree_of` joins them.

    Returns:
        A new message, or `raw` itself if it has none of the paths.

    Raises:
        ValueError: the bytes are not a message of this type.
    """
    types = {field.number: field for field in message_fields(message)}
    counts: dict[int, int] = {}
    lengths = _lengths(raw, types) if any(isinstance(key, int) and key < 0 for key in _keys_below(tree)) else {}
    parts: list[bytes] = []
    kept = 0  # the end of the part of the message that was copied or removed
    begin = 0
    for field in fields_in(raw):
        kind = types.get(field.number)
        if kind is not None:
            index = counts.get(field.number, 0)
            counts[field.number] = index + 1
            after = _without(raw, field, kind, tree, index, lengths.get(field.number, 0))
            if after is None:
                parts.append(raw[kept:begin])
                kept = field.end
            elif after is not raw:
                parts += (raw[kept:begin], varint_bytes(field.number << 3 | BYTES), varint_bytes(len(after)), after)
                kept = field.end
        begin = field.end
    return b"".join((*parts, raw[kept:])) if parts else raw


def without_managed_fields(raw: bytes, message: str) -> bytes:
    """Removes `metadata.managedFields` from an object, as `without_fields` does, in a tenth of its time.

    Args:
        raw: the object's message.
        message: its name in the table of kinds.

    Returns:
        A new message, or `raw` itself where it has no managed fields.

    Raises:
        ValueError: the bytes are not such a message.
    """
    try:
        found = _last_in_metadata(raw)
    except IndexError:
        found = None
    if found is None:
        return without_fields(raw, message, {"metadata": {"managedFields": None}})
    start, cut, end = found
    return raw if cut == end else b"".join((b"\x0a", varint_bytes(cut - start), raw[start:cut], raw[end:]))


def _last_in_metadata(raw: bytes) -> tuple[int, int, int] | None:
    """Where the metadata begin, their managed fields, and both end; None for an object that is not laid out as servers do.

    Servers write the metadata first, and the managed fields last in them.
    """
    size, at = varint_at(raw, 1)
    start, end = at, at + size
    if raw[0] != _METADATA or end > len(raw) or raw[end : end + 1] == raw[:1]:
        return None
    cut = 0
    while at < end:
        begin, tag = at, raw[at]
        at += 1
        if tag > 0x7F:
            tag, at = varint_at(raw, begin)
            if tag == _MANAGED_FIELDS:
                cut = cut or begin
        elif cut:
            return None
        if tag & 7 == BYTES:
            size = raw[at]
            at += 1
            if size > 0x7F:
                size, at = varint_at(raw, at - 1)
            at += size
        elif tag & 7 == VARINT:
            _, at = varint_at(raw, at)
        else:
            return None
    return (start, cut or end, end) if at == end else None


def _without(raw: bytes, field: Field, kind: FieldType, tree: Tree, index: int, length: int) -> bytes | None:
    """Returns the new value of one field; None to remove the whole field, `raw` to keep it as it is."""
    if not kind.name:
        below: Any = tree
    elif kind.name not in tree:
        return raw
    else:
        below = tree[kind.name]
        if below is None:
            return None
    value = raw[field.start : field.end]
    if kind.shape == "map":
        key = bytes_in(value, 1).decode()
        if key not in below:
            return raw
        below = below[key]
        if below is None:
            return None
        inner = bytes_in(value, 2)
        after = _message_without(inner, kind, below)
        return raw if after is inner else _entry(key, after)
    if kind.shape == "list":
        at = index if index in below else index - length
        if at not in below:
            return raw
        below = below[at]
        if below is None:
            return None
    after = _message_without(value, kind, below)
    return raw if after is value else after


def _message_without(value: bytes, kind: FieldType, below: Tree) -> bytes:
    return without_fields(value, kind.value, below) if "/" in kind.value and ":" not in kind.value else value


def _entry(key: str, value: bytes) -> bytes:
    name = key.encode()
    return b"".join((b"\x0a", varint_bytes(len(name)), name, b"\x12", varint_bytes(len(value)), value))


def _lengths(raw: bytes, types: dict[int, FieldType]) -> dict[int, int]:
    """Returns how often each field occurs: the number of items of a list."""
    counts: dict[int, int] = {}
    for field in fields_in(raw):
        if field.number in types:
            counts[field.number] = counts.get(field.number, 0) + 1
    return counts


def _keys_below(tree: Tree) -> list[str | int]:
    return [key for below in tree.values() if below for key in below]


def varint_bytes(value: int) -> bytes:
    """Returns a number as protobuf writes it."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)

"""Cuts the four identity fields out of an object in protobuf."""

from __future__ import annotations

from typing import NamedTuple

from watch.protobuf_wire import BYTES, fields_in

__all__ = ["Identity", "identity_in"]

# How the fields of ObjectMeta begin that an API server writes first, even when they are empty: name, generateName, namespace,
# selfLink, uid, resourceVersion.
# Source: apimachinery pkg/apis/meta/v1/generated.proto, ObjectMeta.
_NAME, _GENERATE_NAME, _NAMESPACE, _SELF_LINK, _UID, _VERSION = 0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x32
_SKIPPED = (_GENERATE_NAME, _SELF_LINK)
_NUMBERS = (1, 3, 5, 6)


class Identity(NamedTuple):
    """The fields that every object is read for; "" for each that the server did not send."""

    name: str
    namespace: str
    uid: str
    resource_version: str


def identity_in(raw: bytes) -> Identity:
    """Returns the identity of an object.

    Args:
        raw: the object's message; its metadata are field 1.

    Raises:
        ValueError: the bytes are not a protobuf message, or a name is not UTF-8.
    """
    try:
        found = _by_position(raw)
    except IndexError:
        found = None
    return _by_fields(raw) if found is None else found


def _by_position(raw: bytes) -> Identity | None:
    """Reads the fields where an API server puts them; None for an object that is laid out otherwise.

    It takes a quarter of the time of a walk over the fields. Texts of 128 bytes and more are left to the walk.
    """
    length, second = raw[1], raw[2]
    if raw[0] != 0x0A:
        return None
    if length < 0x80:
        at = 2
    elif second < 0x80:
        length, at = (length & 0x7F) | second << 7, 3
    else:
        length, at = (length & 0x7F) | (second & 0x7F) << 7 | raw[3] << 14, 4
        if raw[3] > 0x7F:
            return None
    end = at + length
    texts: list[str] = []
    for tag in (_NAME, _GENERATE_NAME, _NAMESPACE, _SELF_LINK, _UID, _VERSION):
        size = raw[at + 1]
        if raw[at] != tag or size > 0x7F:
            return None
        start = at + 2
        at = start + size
        if tag in _SKIPPED:
            continue
        texts.append(raw[start:at].decode())
    if at > end or end > len(raw):
        return None
    name, namespace, uid, version = texts
    return Identity(name, namespace, uid, version)


def _by_fields(raw: bytes) -> Identity:
    start = end = 0
    for field in fields_in(raw):
        if field.number == 1 and field.wire_type == BYTES:
            start, end = field.start, field.end
    found = dict.fromkeys(_NUMBERS, "")
    for field in fields_in(raw, start, end):
        if field.number in found and field.wire_type == BYTES:
            found[field.number] = raw[field.start : field.end].decode()
    name, namespace, uid, version = found.values()
    return Identity(name, namespace, uid, version)

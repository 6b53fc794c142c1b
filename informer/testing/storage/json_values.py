"""Decoded JSON: its equality, and objects that are nested too deeply for recursive functions.

The server copies, compares and merges objects with recursive functions. Only the upper levels are decoded for them. Each deeper
container is a `msgspec.Raw`, which is stored and sent unchanged.

Source: Go encoding/json decodes 10,000 levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from watch.deep_json import check_json, decode_levels

__all__ = ["DEEP", "decode_object_json", "differing", "is_same"]

_encode = msgspec.json.encode

# The levels that are decoded. The functions that merge and copy objects make up to three nested calls per level.
_LEVELS = 64
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))

DEEP = "the object is nested too deeply for this server to change it there"


def decode_object_json(raw: bytes) -> Any:
    """Decodes JSON. In a value of more than 64 levels, the containers below are `msgspec.Raw`.

    Raises:
        msgspec.DecodeError: `raw` is not JSON, or is nested more deeply than an API server accepts.
    """
    if _is_flat(raw):
        return msgspec.json.decode(raw)
    check_json(raw)
    return decode_levels(raw, _LEVELS)


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those fields of the new object that the old one has not, or with other values."""
    return {key: value for key, value in new.items() if key not in old or not is_same(old[key], value)}


def is_same(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON; in Python, `True == 1`."""
    if left is right or left != right or type(left) is str:
        return bool(left == right)
    # Most have their fields in the same order.
    return _encode(left) == _encode(right) or _encode(left, order="sorted") == _encode(right, order="sorted")


def _is_flat(raw: bytes) -> bool:
    """Returns whether the brackets of JSON show at once that it has few levels. Those in strings may hide that."""
    brackets = raw.translate(None, _NO_BRACKETS)
    for _ in range(_LEVELS // 2):  # each pass removes one level or two
        if len(brackets) <= _LEVELS:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return False

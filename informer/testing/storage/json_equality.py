"""Equality of decoded JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["differing", "is_same"]

_encode = msgspec.json.encode


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those fields of the new object that the old one has not, or with other values."""
    return {key: value for key, value in new.items() if key not in old or not is_same(old[key], value)}


def is_same(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON; in Python, `True == 1`."""
    if left is right or left != right or type(left) is str:
        return bool(left == right)
    # Most have their fields in the same order.
    return _encode(left) == _encode(right) or _encode(left, order="sorted") == _encode(right, order="sorted")

"""Equality of decoded JSON."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["is_same"]

_encode = msgspec.json.encode


def is_same(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON; in Python, `True == 1`."""
    return bool(left == right) and _encode(left, order="sorted") == _encode(right, order="sorted")

"""Which shard an object belongs to: equal ranges of a 64-bit hash, and the selector that names a range to the server.

Source: KEP-5866, apimachinery pkg/sharding.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

__all__ = ["Field", "check_shard", "fnv1a_64", "same_shard", "shard_hash", "shard_of", "shard_ranges", "shard_selector"]

Field = Literal["metadata.uid", "metadata.namespace"]
_FIELDS = ("metadata.uid", "metadata.namespace")
_END = 1 << 64
_MASK = _END - 1
_RANGE = re.compile(r"shardRange\(\s*([\w.]+)\s*,\s*'(\w+)'\s*,\s*'(\w+)'\s*\)")
# About 300 bytes each. Most events of a watch are of objects that it has sent before.
_REMEMBERED = 1 << 15


def fnv1a_64(text: str) -> int:
    """Returns the 64-bit FNV-1a hash of a text, by which API servers distribute objects over shards."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & _MASK
    return value


shard_hash = lru_cache(_REMEMBERED)(fnv1a_64)
"""`fnv1a_64`, which remembers the last 32,768 texts: a hash takes ten times as long as a look at the cache."""


def shard_ranges(n: int) -> list[tuple[int, int]]:
    """Returns the ranges of hashes of `n` shards: (start, end) each, with the end exclusive. Together they are 0 to 2**64.

    Args:
        n: the number of shards, at least 1.

    Raises:
        ValueError: it is less than 1.

    Example:
        >>> shard_ranges(2) == [(0, 2**63), (2**63, 2**64)]
        True
    """
    check_shard(0, n)
    return [(i * _END // n, (i + 1) * _END // n) for i in range(n)]


def shard_selector(i: int, n: int, field: Field = "metadata.uid") -> str:
    """Returns the `shardSelector` of a shard, in the form that API servers parse.

    Args:
        i: the shard, from 0 to `n` - 1.
        n: the number of shards.
        field: the field whose hash decides.

    Raises:
        ValueError: the shard is out of range, or the field is another one.

    Example:
        >>> shard_selector(0, 2)
        "shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000')"
    """
    check_shard(i, n, field)
    start, end = i * _END // n, (i + 1) * _END // n
    return f"shardRange(object.{field}, '0x{start:016x}', '0x{end:016x}')"


def shard_of(value: str, n: int) -> int:
    """Returns the shard of an object, from 0 to `n` - 1.

    Args:
        value: its uid, or its namespace if shards are made by namespace.
        n: the number of shards.

    Raises:
        ValueError: `n` is less than 1.
    """
    check_shard(0, n)
    # The last shard whose range, which is rounded down, begins at the hash or before.
    return ((shard_hash(value) + 1) * n - 1) // _END


def same_shard(one: str, other: str) -> bool:
    """Returns whether two shard selectors select the same, whatever spaces they have."""
    found = _RANGE.findall(one)
    return bool(found) and found == _RANGE.findall(other)


def check_shard(i: int, n: int, field: str = "metadata.uid") -> None:
    """Raises ValueError unless `i` is one of `n` shards, and `field` is a field by which servers shard."""
    if n < 1:
        raise ValueError(f"the number of shards must be at least 1, not {n}")
    if not 0 <= i < n:
        raise ValueError(f"shard {i} of {n} does not exist: shards are counted from 0")
    if field not in _FIELDS:
        raise ValueError(f'objects are sharded by "metadata.uid" or "metadata.namespace", not by {field!r:.100}')

"""The shardSelector of a list or watch: parsing, and which objects it selects.

Source: KEP-5866, apimachinery pkg/sharding.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from informer.sharding.ranges import fnv1a_64
from informer.testing.storage.storage import Stored
from watch.errors import ApiError

__all__ = ["Shards", "parse_shard_selector"]

_RANGE = re.compile(r"\s*shardRange\(\s*(?P<field>[\w.]+)\s*,\s*'(?P<start>[^']*)'\s*,\s*'(?P<end>[^']*)'\s*\)\s*\Z")
_HEXADECIMAL = re.compile(r"0x[0-9a-f]{16}\Z")
_FIELDS = ("object.metadata.uid", "object.metadata.namespace")
_LAST = "0x10000000000000000"


class Shards(NamedTuple):
    """A parsed shardSelector: ranges of the hashes of one field."""

    field: str
    ranges: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return " || ".join(f"shardRange({self.field}, '{_text(start)}', '{_text(end)}')" for start, end in self.ranges)

    def matches(self, stored: Stored) -> bool:
        """Returns whether the hash of the object's field lies in one of the ranges."""
        value = fnv1a_64(stored.uid if self.field == _FIELDS[0] else stored.namespace)
        return any(start <= value < end for start, end in self.ranges)


def parse_shard_selector(text: str) -> Shards:
    """Parses a shardSelector.

    Raises:
        ApiError: 500 without a reason, as from the real server, if it cannot be parsed.
    """
    field, ranges = "", []
    for part in text.split("||"):
        found = _RANGE.match(part)
        if found is None:
            raise _error("unexpected expression kind 3; expected shardRange() call or || operator")
        if found["field"] not in _FIELDS:
            raise _error(f'unsupported field path "{found["field"]}"; supported: {", ".join(_FIELDS)}')
        if field and found["field"] != field:
            raise _error(f'all shard ranges must use the same field, got "{field}" and "{found["field"]}"')
        field = found["field"]
        start, end = _number("hexStart", found["start"]), _number("hexEnd", found["end"])
        if start >= end:
            raise _error(f"shard range start {found['start']} must be less than end {found['end']}")
        ranges.append((start, end))
    return Shards(field, tuple(ranges))


def _number(which: str, text: str) -> int:
    if text != _LAST and not _HEXADECIMAL.match(text):
        raise _error(f'{which} must be a 0x-prefixed 16-digit hex value, got "{text}"')
    return int(text, 16)


def _text(value: int) -> str:
    return f"0x{value:016x}"


def _error(what: str) -> ApiError:
    return ApiError(500, "", f"invalid shard selector: {what}")

"""Which objects of a resource a list or watch selects: by label, by field and by shard."""

from __future__ import annotations

import re
from typing import NamedTuple

from informer.objects.label_selector import LabelSelector, parse_selector
from informer.sharding.ranges import fnv1a_64
from informer.testing.listwatch.list_options import ListQuery
from informer.testing.storage.field_selector import FieldSelector, parse_field_selector
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import bad_request
from informer.testing.storage.storage import Stored
from watch.errors import ApiError

__all__ = ["Selection", "read_selection"]


class Selection:
    """Tells which stored objects a request selects."""

    def __init__(self, labels: LabelSelector, fields: FieldSelector, shards: Shards | None) -> None:
        self._labels = labels
        self._fields = fields
        self.shards = shards
        self.everything = labels.everything and not fields and shards is None
        """Whether every object is selected."""

    def matches(self, stored: Stored) -> bool:
        """Returns whether an object is selected."""
        return self.everything or (
            self._labels.matches(stored.labels)
            and self._fields.matches(stored.fields)
            and (self.shards is None or self.shards.matches(stored))
        )


def read_selection(options: ListQuery, served: ServedResource, name: str, *, sharding: bool) -> Selection:
    """Parses the selectors of a list or watch.

    Args:
        options: the request's options.
        served: the resource, which knows its selectable fields.
        name: only the object of this name, if the path has one; "" means all.
        sharding: whether the server honours shardSelector; otherwise it is ignored.

    Raises:
        ApiError: 400, a label or field selector cannot be parsed; 500, the shardSelector cannot.
    """
    try:
        labels = parse_selector(options.label_selector)
    except ValueError as error:
        raise bad_request(f"unable to parse requirement: {error}") from error
    text = options.field_selector
    if name:
        text = f"{text},metadata.name={name}" if text else f"metadata.name={name}"
    fields = parse_field_selector(
        text, served.selectable, served.resource.kind, custom=served.custom, stored=served.stored_path
    )
    shards = parse_shard_selector(options.shard_selector) if options.shard_selector and sharding else None
    return Selection(labels, fields, shards)


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

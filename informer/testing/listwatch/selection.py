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

_HEXADECIMAL = "'(0x[0-9a-f]{16}|0x10000000000000000)'"
_RANGE = re.compile(
    rf"\s*shardRange\(\s*object\.metadata\.(uid|namespace)\s*,\s*{_HEXADECIMAL}\s*,\s*{_HEXADECIMAL}\s*\)\s*\Z"
)


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
    fields = parse_field_selector(text, served.selectable, served.stored_path)
    shards = parse_shard_selector(options.shard_selector) if options.shard_selector and sharding else None
    return Selection(labels, fields, shards)


class Shards(NamedTuple):
    """A parsed shardSelector: ranges of the hashes of one field."""

    field: str  # "uid" or "namespace"
    ranges: list[tuple[int, int]]

    def matches(self, stored: Stored) -> bool:
        """Returns whether the hash of the object's field lies in one of the ranges."""
        value = fnv1a_64(stored.uid if self.field == "uid" else stored.namespace)
        return any(start <= value < end for start, end in self.ranges)


def parse_shard_selector(text: str) -> Shards:
    """Parses a shardSelector.

    Raises:
        ApiError: 500 without a reason, as from the real server, if it cannot be parsed.
    """
    found = [_RANGE.match(part) for part in text.split("||")]
    parts = [each.groups() for each in found if each is not None]
    ranges = [(int(start, 16), int(end, 16)) for _, start, end in parts]
    fields = {field for field, _, _ in parts}
    if None in found or len(fields) != 1 or any(start >= end for start, end in ranges):
        expected = "shardRange(object.metadata.uid or object.metadata.namespace, '0x...', '0x...') with 16 digits each"
        raise ApiError(
            500, "", f"invalid shard selector {text!r}: expected {expected}, or several of one field with ||"
        )
    return Shards(fields.pop(), ranges)

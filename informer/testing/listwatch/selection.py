"""Which objects of a resource a list or watch selects: by label, by field and by shard."""

from __future__ import annotations

from informer.objects.label_selector import LabelSelector, parse_selector
from informer.testing.listwatch.list_options import ListQuery
from informer.testing.listwatch.shard_selector import Shards, parse_shard_selector
from informer.testing.storage.field_selector import FieldSelector, parse_field_selector
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import bad_request
from informer.testing.storage.storage import Stored

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

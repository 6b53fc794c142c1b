"""What lists and watches a resource, seen from whoever asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from informer.objects.keys import metadata_of
from watch.options import ListOptions
from watch.watcher import Watcher

__all__ = ["ListerWatcher", "ObjectList", "as_object_list", "list_of"]

T = TypeVar("T", default=Any)


class ObjectList(Generic[T]):
    """One page of a list.

    Args:
        items: the objects.
        resource_version: of the list.
        continue_: token of the next page, None or "" on the last one.
        remaining_item_count: how many objects the following pages have, None if the server does not say.
        shard_selector: the part of the objects that the server says these are (KEP-5866), None for all.
    """

    __slots__ = ("continue_", "items", "remaining_item_count", "resource_version", "shard_selector")

    def __init__(
        self,
        items: Sequence[T],
        resource_version: str,
        continue_: str | None = None,
        remaining_item_count: int | None = None,
        shard_selector: str | None = None,
    ) -> None:
        self.items = list(items)
        self.resource_version = resource_version
        self.continue_ = continue_
        self.remaining_item_count = remaining_item_count
        self.shard_selector = shard_selector

    def __repr__(self) -> str:
        return f"ObjectList({len(self.items)} items, resource_version={self.resource_version!r})"


class ListerWatcher(Protocol[T]):
    """Lists and watches; it may set `supports_watch_list = False`."""

    def list(self, options: ListOptions) -> ObjectList[T]:
        """Fetches one page.

        Raises:
            ApiError: the server refused.
            Exception: anything else counts as a broken connection.
        """
        ...

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """Opens a watch; None counts as a broken connection. Raises as `list` does."""
        ...


def as_object_list(page: Any) -> ObjectList[Any]:
    """A page from a list of the official client, one in API form, or anything with `items` and `resource_version`.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(page, ObjectList):
        return page
    if isinstance(page, Mapping):
        return _from_api_form(page)
    items = getattr(page, "items", None)
    metadata = getattr(page, "metadata", None)
    version = getattr(page, "resource_version", None)
    if version is None and metadata is not None:
        version = metadata_of(page).resource_version
    if items is None and version is None:
        raise TypeError(f"list_func returned a {type(page).__name__}: an ObjectList is needed")
    return ObjectList(
        items or [],
        _text(version),
        getattr(page, "continue_", None) or getattr(metadata, "_continue", None),
        getattr(page, "remaining_item_count", None) or getattr(metadata, "remaining_item_count", None),
        getattr(page, "shard_selector", None),
    )


def list_of(items: Sequence[T], metadata: Mapping[str, Any]) -> ObjectList[T]:
    """A page of these items, with what a list's metadata say of it, however oddly."""
    remaining = metadata.get("remainingItemCount")
    shard = metadata.get("shardInfo")
    return ObjectList(
        items,
        _text(metadata.get("resourceVersion")),
        _text(metadata.get("continue")) or None,
        remaining if isinstance(remaining, int) else None,
        _text(shard.get("selector")) or None if isinstance(shard, Mapping) else None,
    )


def _from_api_form(page: Mapping[str, Any]) -> ObjectList[Any]:
    metadata = page.get("metadata")
    return list_of(page.get("items") or [], metadata if isinstance(metadata, Mapping) else {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

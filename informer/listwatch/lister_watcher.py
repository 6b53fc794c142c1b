"""The protocol of lister-watchers, and the page that `list` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from informer.objects.keys import metadata_of
from watch.options import ListOptions
from watch.versions import length_problem
from watch.watcher import Watcher

__all__ = ["ListerWatcher", "ObjectList", "as_object_list", "list_of"]

T = TypeVar("T", default=Any)


class ObjectList(Generic[T]):
    """One page of a list: what `ListerWatcher.list` returns.

        ObjectList([pod], resource_version="42")

    Args:
        items: the objects of this page; copied into a list.
        resource_version: the resourceVersion of the list, from which a watch can go on.
        continue_: the token of the next page; None or "" on the last page.
        remaining_item_count: the number of objects on the following pages; None if the server does not say.
        shard_selector: the shard that the server says it has listed (KEP-5866); None for all objects.
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
    """Lists and watches one kind of object; `ListWatch` is the usual implementation.

    It may set `supports_watch_list = False` if a watch must not begin with the present state (KEP-3157). An object with
    `list` and `watch` is enough; it does not have to inherit from this class.

    Threads: an informer calls both methods on its reader thread, or on several if it has several namespaces.
    """

    def list(self, options: ListOptions) -> ObjectList[T]:
        """Fetches one page.

        Args:
            options: selectors, page size, continue token and resourceVersion of the request.

        Raises:
            ApiError: the server refused; the official `ApiException` is understood too.
            Exception: any other exception counts as a broken connection.
        """
        ...

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """Opens a watch and returns its watcher; None counts as a broken connection. Raises as `list` does."""
        ...


def as_object_list(page: Any) -> ObjectList[Any]:
    """Returns a page as an `ObjectList`.

    Args:
        page: an `ObjectList`; a list of the official client; a dict in API form; or any object with `items` or
            `resource_version`, where missing items are an empty list and a missing version is "".

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
        raise TypeError(f"the list function returned a {type(page).__name__}, not an ObjectList")
    return ObjectList(
        items or [],
        "" if version is None else str(version),
        getattr(page, "continue_", None) or getattr(metadata, "_continue", None),
        getattr(page, "remaining_item_count", None) or getattr(metadata, "remaining_item_count", None),
        getattr(page, "shard_selector", None),
    )


def list_of(items: Sequence[T], metadata: Mapping[str, Any]) -> ObjectList[T]:
    """Returns a page of parsed items, with the list's metadata. A field of an unexpected type counts as missing.

    Raises:
        ValueError: the resourceVersion, the continue token or the shard's selector is too long.
    """
    remaining = metadata.get("remainingItemCount")
    shard = metadata.get("shardInfo")
    return ObjectList(
        items,
        _text(metadata, "resourceVersion"),
        _text(metadata, "continue") or None,
        remaining if isinstance(remaining, int) else None,
        _text(shard, "selector") or None if isinstance(shard, Mapping) else None,
    )


def _from_api_form(page: Mapping[str, Any]) -> ObjectList[Any]:
    metadata = page.get("metadata")
    return list_of(page.get("items") or [], metadata if isinstance(metadata, Mapping) else {})


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        return ""
    wrong = length_problem(f"the {name} of the server's list", value)
    if wrong:
        raise ValueError(wrong)
    return value

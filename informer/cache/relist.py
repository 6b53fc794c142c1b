"""A list in a store's place: new maps beside the old ones, and what that changes.

Comes in: the maps as they are, a list, its keys and index values. Goes out: the maps as they will be, and the changes. Nothing
that is read by anybody is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from informer.cache.change import Change
from informer.cache.index import Index
from informer.objects.keys import namespace_of, resource_version_of, uid_of, version_of
from informer.queues.delta import DeltaType, ReplacedAll

__all__ = ["Replacement", "holds_just", "is_same", "replacement", "syncs"]


class Replacement(NamedTuple):
    """What takes the place of a store's maps."""

    items: dict[str, Any]
    indices: tuple[Index, ...]
    changes: list[Change[Any]]


def replacement(
    old_items: Mapping[str, Any],
    old_indices: tuple[Index, ...],
    replaced: ReplacedAll,
    keys: Sequence[str],
    all_values: Sequence[Any],
    *,
    is_in_initial_list: bool,
) -> Replacement:
    """The maps with a list in them, or with that of one namespace and what others have.

    Args:
        old_items: what is stored.
        old_indices: of it.
        replaced: the list.
        keys: of its objects.
        all_values: of each index, for each of these; None for an object that is stored already in the same state.
        is_in_initial_list: whether what is new belongs to the first list.

    Returns:
        The maps, and the changes: what is gone comes first.
    """
    items: dict[str, Any] = {}
    indices = tuple(index.empty_copy() for index in old_indices)

    def put(key: str, obj: Any, values: Iterable[tuple[Any, ...]]) -> None:
        items[key] = obj
        for index, of_index in zip(indices, values, strict=True):
            index.set(key, obj, of_index)

    listed: Iterable[tuple[str, Any, Any]] = zip(keys, replaced.items, all_values, strict=True)
    if len(set(keys)) < len(keys):
        # Two pages of a list may both have an object; the later one is the newer.
        listed = {key: (key, obj, values) for key, obj, values in listed}.values()
    news: list[Change[Any]] = []
    for key, obj, values in listed:
        old = old_items.get(key)
        if old is None:
            news.append(Change(DeltaType.ADDED, obj, None, is_in_initial_list, False, False, key))
            put(key, obj, values)
        elif is_same(old, obj):
            # The same state again: whoever holds the old object goes on sharing it with the cache.
            news.append(Change(DeltaType.UPDATED, old, old, False, False, True, key))
            put(key, old, [index.known_values(key) for index in old_indices])
        else:
            version = version_of(obj)
            is_sync = version != "" and version_of(old) == version
            news.append(Change(DeltaType.UPDATED, obj, old, False, False, is_sync, key))
            put(key, obj, values)
    gone: list[Change[Any]] = []
    for key, old in old_items.items():
        if key in items:
            continue
        if replaced.namespace is None or namespace_of(old) == replaced.namespace:
            gone.append(Change(DeltaType.DELETED, old, None, False, True, False, key))
        else:
            put(key, old, [index.known_values(key) for index in old_indices])
    return Replacement(items, indices, gone + news)


def syncs(stored: Iterable[tuple[str, Any]]) -> list[Change[Any]]:
    """Objects that are stored, shown again."""
    return [Change(DeltaType.UPDATED, obj, obj, False, False, True, key) for key, obj in stored]


def holds_just(stored: Mapping[str, Any], keys: Sequence[str], items: Sequence[Any]) -> bool:
    """Whether what is stored are these very items and no others."""
    if len(keys) != len(stored) or len(set(keys)) < len(keys):
        return False
    return all(stored.get(key) is item for key, item in zip(keys, items))  # noqa: B905 - the same length


def is_same(old: Any, new: Any) -> bool:
    """Whether both are the same state of the same object."""
    if old is new:
        return True
    try:
        version = resource_version_of(new)
        return bool(version) and resource_version_of(old) == version and uid_of(old) == uid_of(new) != ""
    except Exception:
        return False

"""Replacing a store's whole content by a list: the new maps are built beside the old ones, which readers still use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from informer.cache.change import NO_LONGER_DECODES, Change
from informer.cache.index import Index
from informer.objects.entry import unwrap
from informer.objects.form import have_same_form
from informer.objects.keys import EAGER, namespace_of, resource_version_of, uid_of, version_of
from informer.objects.object import Object
from informer.queues.delta import ADDED, DELETED, UPDATED, ReplacedAll

__all__ = ["Relisted", "holds_exactly", "is_same_content", "is_same_state", "relisted", "resynced"]


class Relisted(NamedTuple):
    """The maps that replace a store's, and the changes between the two; deletes come first."""

    items: dict[str, Any]
    indices: tuple[Index, ...]
    changes: list[Change[Any]]


def relisted(
    old_items: Mapping[str, Any],
    old_indices: tuple[Index, ...],
    replaced: ReplacedAll,
    keys: Sequence[str],
    all_values: Sequence[Any],
    *,
    is_in_initial_list: bool,
    is_same: Callable[[Any, Any], bool],
    with_syncs: bool = True,
) -> Relisted:
    """Returns new maps with the objects of a list. The old maps are not changed.

    A list of one namespace replaces the objects of that namespace only.

    Args:
        old_items: the stored objects by key.
        old_indices: the indices over them.
        replaced: the list.
        keys: the keys of its objects.
        all_values: the index values of its objects, one tuple per index; None for an object already stored in this state.
        is_in_initial_list: whether the adds belong to the informer's first list.
        is_same: `is_same_state`; or `is_same_content`, and then an object that differs is news whatever its version.
        with_syncs: whether the changes include unchanged objects (`is_sync`).
    """
    items: dict[str, Any] = {}
    indices = tuple(index.empty_copy() for index in old_indices)

    def put(key: str, obj: Any, values: Iterable[tuple[Any, ...]]) -> None:
        items[key] = obj
        for index, of_index in zip(indices, values, strict=True):
            index.set(key, obj, of_index)

    changes: list[Change[Any]] = []
    for key, obj, values in _latest(keys, replaced.items, all_values):
        old = old_items.get(key)
        if old is None:
            # The fields of a Change: type, object, old, is_in_initial_list, final_state_unknown, is_sync, key.
            changes.append(Change(ADDED, obj, None, is_in_initial_list, False, False, key))
            put(key, obj, values)
        elif is_same(old, obj):
            # The old object stays: readers that hold it go on sharing it with the cache.
            if with_syncs:
                changes.append(Change(UPDATED, old, old, False, False, True, key))
            put(key, old, [index.known_values(key) for index in old_indices])
        else:
            is_sync = is_same is is_same_state and _has_same_version(old, obj)
            changes.append(Change(UPDATED, obj, old, False, False, is_sync, key))
            put(key, obj, values)
    deletes: list[Change[Any]] = []
    for key, old in [(key, old) for key, old in old_items.items() if key not in items]:
        if replaced.namespace is None or namespace_of(old) == replaced.namespace:
            deletes.append(_delete(key, old, replaced))
        else:
            put(key, old, [index.known_values(key) for index in old_indices])
    return Relisted(items, indices, deletes + changes)


def _delete(key: str, old: Any, replaced: ReplacedAll) -> Change[Any]:
    reason = NO_LONGER_DECODES if key in replaced.undecodable else ""
    return Change(DELETED, old, final_state_unknown=True, key=key, reason=reason)


def _has_same_version(old: Any, new: Any) -> bool:
    """Whether both have the same resourceVersion and form. In another apiVersion, an object of the same version is news."""
    version = version_of(new)
    return version != "" and version_of(old) == version and have_same_form(old, new)


def _latest(keys: Sequence[str], items: Sequence[Any], all_values: Sequence[Any]) -> Iterable[tuple[str, Any, Any]]:
    """Pairs keys, objects and values. Two pages of a list may both contain an object; the later one is newer and counts."""
    listed = zip(keys, items, all_values, strict=True)
    if _are_distinct(keys):
        return listed
    return {key: (key, obj, values) for key, obj, values in listed}.values()


def _are_distinct(keys: Sequence[str]) -> bool:
    """Whether no key occurs twice. A server lists in order; a set of a million keys takes 67 MB."""
    return all(before < after for before, after in pairwise(keys)) or len(set(keys)) == len(keys)


def resynced(stored: Iterable[tuple[str, Any]]) -> list[Change[Any]]:
    """Returns an update (`is_sync`) with the same object as old and new for each (key, stored object)."""
    return [Change(UPDATED, obj, obj, False, False, True, key) for key, obj in stored]


def holds_exactly(stored: Mapping[str, Any], keys: Sequence[str], items: Sequence[Any]) -> bool:
    """Whether the stored objects are exactly these items, by identity."""
    if len(keys) != len(stored) or not all(stored.get(key) is item for key, item in zip(keys, items, strict=True)):
        return False
    return _are_distinct(keys)


def is_same_state(old: Any, new: Any) -> bool:
    """Whether both are the same state of the same object, by uid and resourceVersion, in the same apiVersion and kind."""
    if old is new:
        return True
    if type(old) in EAGER and type(new) in EAGER:
        version = new.resource_version
        return (
            version != "" and old.resource_version == version and old.uid == new.uid != "" and have_same_form(old, new)
        )
    try:
        version = resource_version_of(new)
        return (
            bool(version)
            and resource_version_of(old) == version
            and uid_of(old) == uid_of(new) != ""
            and have_same_form(old, new)
        )
    except Exception:
        return False


def is_same_content(old: Any, new: Any) -> bool:
    """Whether both are the same state of the same object, and have the same content.

    After etcd was restored from a backup, the server gives out resourceVersions again: the same uid and version may stand for
    another content.
    """
    if old is new:
        return True
    if not is_same_state(old, new):
        return False
    before, after = unwrap(old), unwrap(new)
    if isinstance(before, Object) and isinstance(after, Object):
        # The bytes of a list's item and of an event may differ in the order of their fields.
        return before.raw == after.raw or before.to_dict() == after.to_dict()
    try:
        return bool(before == after)
    # A user's type may raise anything.
    except Exception:
        return False

"""Objects by key, and what is in which index: what may be read, and written, from any thread.

Comes in: batches of deltas. Goes out: what each of them changed, and whatever readers ask for. Two locks: `_writer`
makes writers take turns, `_lock` keeps readers out while maps change. Key and index functions run before either is taken.
A reader takes a lock only if a batch is being applied just then: see `_look`.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Generic

from typing_extensions import TypeVar

from informer.cache.change import Change
from informer.cache.index import Index, IndexErrorHandler
from informer.cache.relist import holds_just, is_same, replacement, syncs
from informer.objects.keys import DeletedFinalStateUnknown, key_by, meta_namespace_key, version_of
from informer.queues.delta import Delta, DeltaType, ReplacedAll
from watch.concurrency import Lock, RLock

__all__ = ["Prepared", "Store"]

T = TypeVar("T", default=Any)
R = TypeVar("R")

_SETS = frozenset({DeltaType.ADDED, DeltaType.UPDATED, DeltaType.REPLACED, DeltaType.SYNC})
_WHOLE = frozenset({DeltaType.REPLACED_ALL, DeltaType.SYNC_ALL})
_NO_CHANGE = frozenset({DeltaType.BOOKMARK, DeltaType.SYNC_ALL})


class Prepared:
    """Deltas with their keys and index values, ready to be committed without any of the user's code."""

    __slots__ = ("deltas", "indexing", "keys", "relies_on", "values")

    def __init__(
        self, deltas: Sequence[Delta], keys: list[Any], values: list[Any], indexing: object, relies_on: int | None
    ) -> None:
        self.deltas = deltas
        self.keys = keys  # of each delta's object; of a REPLACED_ALL a list of keys
        self.values = values  # of each delta's object, one tuple an index; of a REPLACED_ALL a list of these
        self.indexing = indexing  # what the store's was
        self.relies_on = relies_on  # the number of commits after which it holds; None where it always does


class Store(Generic[T]):
    """Objects by key.

    Args:
        key_func: makes an object's key.

    Threads: any; readers never wait for more than a batch being applied. Objects are shared: read-only.
    """

    def __init__(self, key_func: Callable[[Any], str] = meta_namespace_key) -> None:
        # Ours keeps its word, and is called for every event.
        self._key: Callable[[Any], str] = key_func if key_func is meta_namespace_key else partial(key_by, key_func)
        self._writer = RLock()
        self._lock = Lock()
        self._items: dict[str, Any] = {}  # changed under both locks
        self._indices: tuple[Index, ...] = ()  # changed under both locks
        self._indexing = object()  # another one as soon as there are other index functions; changed under _writer
        self._commits = 0  # counted when done; changed under _writer
        self._steps = 0  # odd while maps change; changed under both locks
        self._resource_version = ""
        self._unwrap: Callable[[Any], Any] | None = None
        self._on_index_error: IndexErrorHandler | None = None

    # Writing

    def add(self, obj: T) -> None:
        """Adds an object, or replaces the one of the same key.

        Raises:
            KeyFuncError: it has no key.
            IndexFuncError: an index function raised; nothing was changed.
        """
        self.apply((Delta(DeltaType.ADDED, obj),))

    def update(self, obj: T) -> None:
        """The same as `add`."""
        self.apply((Delta(DeltaType.UPDATED, obj),))

    def delete(self, obj: T | DeletedFinalStateUnknown) -> None:
        """Takes an object out; one that is not there is no error."""
        self.apply((Delta(DeltaType.DELETED, obj),))

    def replace(self, items: Iterable[T], resource_version: str) -> None:
        """Makes these all objects there are, in one step for every reader."""
        self.apply((Delta(DeltaType.REPLACED_ALL, ReplacedAll(list(items), resource_version)),))

    def resync(self) -> None:
        """Does nothing; a store may stand where a queue does."""

    def bookmark(self, resource_version: str) -> None:
        """Sets the store's resourceVersion."""
        self.apply((Delta(DeltaType.BOOKMARK, resource_version),))

    def apply(self, deltas: Iterable[Delta], *, is_in_initial_list: bool = False) -> builtins.list[Change[Any]]:
        """Applies a batch, in order, and says what it changed.

        Args:
            deltas: of any type; see `Delta`.
            is_in_initial_list: whether the adds among them belong to the first list.

        Raises:
            KeyFuncError, IndexFuncError: see `add`; nothing was changed.
        """
        prepared = self.prepare(deltas)
        while (changes := self.commit(prepared, is_in_initial_list=is_in_initial_list)) is None:
            prepared = self.prepare_again(prepared)
        return changes

    def prepare(self, deltas: Iterable[Delta]) -> Prepared:
        """Runs the user's functions on a batch, before any lock is taken.

        Raises:
            KeyFuncError, IndexFuncError: see `add`.
        """
        return self._prepare(deltas if isinstance(deltas, Sequence) else list(deltas), reuse=True)

    def prepare_again(self, prepared: Prepared) -> Prepared:
        """As `prepare`, for a batch that could not be committed."""
        return self._prepare(prepared.deltas, reuse=False)

    def commit(self, prepared: Prepared, *, is_in_initial_list: bool = False) -> builtins.list[Change[Any]] | None:
        """Applies what `prepare` gave; see `apply`.

        Returns:
            The changes; or None when another writer was faster, so that nothing was done and the batch has to be prepared
            once more. That takes the user's functions, so it cannot be done here: the caller may hold locks.
        """
        with self._writer:
            if prepared.indexing is self._indexing and prepared.relies_on in (None, self._commits):
                return self._commit(prepared, is_in_initial_list=is_in_initial_list)
        return None

    # Reading

    @property
    def resource_version(self) -> str:
        """That of the last write or bookmark, "" before any."""
        return self._look(lambda: self._resource_version)

    def get(self, obj: T) -> T | None:
        """The stored object of the same key, or None."""
        return self.get_by_key(self._key(obj))

    def get_by_key(self, key: str) -> T | None:
        """The object of a key, or None."""
        item = self._items.get(key)
        return item if self._unwrap is None or item is None else self._unwrap(item)

    def list(self) -> builtins.list[T]:
        """All objects, in no particular order."""
        return self.shown(self.stored_items())

    def list_keys(self) -> builtins.list[str]:
        """All keys, in no particular order."""
        return self._look(lambda: [*self._items])

    def stored_items(self) -> builtins.list[Any]:
        """All objects in the form in which they are stored."""
        return self._look(lambda: [*self._items.values()])

    def sample(self, size: int) -> builtins.list[Any]:
        """About so many objects from all over the store, in the form in which they are stored, or all if there are fewer."""
        with self._lock:
            return [*islice(self._items.values(), 0, None, max(1, len(self._items) // size))]

    def stored_by_keys(self) -> dict[str, Any]:
        """All objects in the form in which they are stored, by key; a copy."""
        return self._look(lambda: dict(self._items))

    def stored_by_key(self, key: str) -> Any:
        """The object of a key in the form in which it is stored, or None."""
        return self._items.get(key)

    def stored_if_same(self, item: Any) -> Any:
        """The stored object, where it is the same state of the same object as this one; or else this one."""
        items = self._items
        if not items:
            return item
        try:
            old = items.get(self._key(item))
        # What is wrong with it shows to whoever stores it.
        except Exception:
            return item
        return old if old is not None and is_same(old, item) else item

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self.list_keys())

    # Inside

    def _look(self, copy: Callable[[], R]) -> R:
        """What `copy` takes from the maps, as they are between two batches.

        A thread that loses the GIL while it holds a lock keeps all others waiting until it is given it back, so readers look
        without, and once more under the lock if a writer was at work meanwhile. `copy` reads each map in one call of C, which
        no other thread interrupts (in a free-threaded build as the map has a lock of its own).
        """
        steps = self._steps
        if not steps & 1:
            found = copy()
            if self._steps == steps:
                return found
        with self._lock:
            return copy()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds `_lock` while maps change; the caller holds `_writer`."""
        with self._lock:
            self._steps += 1
            try:
                yield
            finally:
                self._steps += 1

    def shown(self, items: builtins.list[Any]) -> builtins.list[T]:
        """What readers see of objects in the form in which they are stored."""
        return items if self._unwrap is None else [self._unwrap(item) for item in items]

    def _values(self, indices: tuple[Index, ...], obj: Any, key: str) -> tuple[tuple[Any, ...], ...]:
        on_error = self._on_index_error
        unwrap = self._unwrap
        if unwrap is None:
            return tuple([index.values_of(obj, key, on_error) for index in indices])
        memory: builtins.list[Any] = []

        def seen() -> Any:
            if not memory:
                memory.append(unwrap(obj))
            return memory[0]

        return tuple([index.values_of(obj, key, on_error, seen) for index in indices])

    def _prepare(self, deltas: Sequence[Delta], *, reuse: bool) -> Prepared:
        """As `prepare`; `reuse` allows to rely on the values of stored objects, which then must not change."""
        indexing, indices, commits = self._indexing, self._indices, self._commits
        keys: builtins.list[Any] = []
        values: builtins.list[Any] = []
        relies_on = None
        key_of = self._key
        for delta in deltas:
            kind = delta.type
            obj = delta.object
            if kind in _SETS:
                key = key_of(obj)
                keys.append(key)
                values.append(self._values(indices, obj, key) if indices else ())
            elif kind is DeltaType.DELETED:
                keys.append(obj.key if type(obj) is DeletedFinalStateUnknown else key_of(obj))
                values.append(None)
            elif kind is DeltaType.REPLACED_ALL:
                of_items = [key_of(item) for item in obj.items]
                values.append(self._values_of_list(indices, obj.items, of_items, self._items if reuse else {}))
                keys.append(of_items)
                if reuse and indices:
                    relies_on = commits
            else:
                keys.append(None)
                values.append(None)
            # What follows in the batch finds other objects stored than are there now.
            reuse = reuse and kind in _NO_CHANGE
        return Prepared(deltas, keys, values, indexing, relies_on)

    def _values_of_list(
        self, indices: tuple[Index, ...], items: Sequence[Any], keys: Sequence[str], stored: Mapping[str, Any]
    ) -> builtins.list[Any]:
        """The index values of a list's objects; None for one that is stored already, whose values are known."""
        if not indices:
            return [()] * len(keys)
        values: builtins.list[Any] = []
        for key, obj in zip(keys, items, strict=True):
            old = stored.get(key)
            values.append(None if old is not None and is_same(old, obj) else self._values(indices, obj, key))
        return values

    def _commit(self, prepared: Prepared, *, is_in_initial_list: bool) -> builtins.list[Change[Any]]:
        changes: builtins.list[Change[Any]] = []
        deltas = prepared.deltas
        at, end = 0, len(deltas)
        while at < end:
            kind = deltas[at].type
            if kind is DeltaType.REPLACED_ALL:
                changes += self._replace_all(
                    deltas[at].object, prepared.keys[at], prepared.values[at], is_in_initial_list=is_in_initial_list
                )
                at += 1
            elif kind is DeltaType.SYNC_ALL:
                changes += syncs(self._items.items())
                at += 1
            else:
                at = self._apply_run(prepared, at, is_in_initial_list=is_in_initial_list, changes=changes)
        self._commits += 1
        return changes

    def _apply_run(
        self, prepared: Prepared, at: int, *, is_in_initial_list: bool, changes: builtins.list[Change[Any]]
    ) -> int:
        """Applies deltas up to the next that concerns everything; returns its place."""
        deltas, keys, all_values, indices = prepared.deltas, prepared.keys, prepared.values, self._indices
        items = self._items
        append = changes.append
        version = ""
        with self._changing():
            while at < len(deltas):
                delta = deltas[at]
                kind = delta.type
                if kind in _SETS:
                    key, obj = keys[at], delta.object
                    old = items.get(key)
                    if kind is DeltaType.REPLACED and old is not None and is_same(old, obj):
                        # As in a list: whoever holds the old object goes on sharing it with the cache.
                        obj = old
                    else:
                        items[key] = obj
                        for index, values in zip(indices, all_values[at]):  # noqa: B905 - same length; on the hot path
                            index.set(key, obj, values)
                    found = version_of(obj)
                    version = found or version
                    if old is None:
                        append(Change(DeltaType.ADDED, obj, None, is_in_initial_list, False, False, key))
                    else:
                        is_sync = old is obj or (found != "" and version_of(old) == found)
                        append(Change(DeltaType.UPDATED, obj, old, False, False, is_sync, key))
                elif kind is DeltaType.DELETED:
                    version = self._delete_locked(keys[at], delta.object, changes) or version
                elif kind is DeltaType.BOOKMARK:
                    version = delta.object or version
                elif kind in _WHOLE:
                    break
                at += 1
            if version:
                self._resource_version = version
        return at

    def _delete_locked(self, key: str, obj: Any, changes: builtins.list[Change[Any]]) -> str:
        old = self._items.pop(key, None)
        unknown = type(obj) is DeletedFinalStateUnknown
        if old is not None:
            for index in self._indices:
                index.remove(key)
            gone = old if unknown else obj
            last_known = None if gone is old else old
            changes.append(Change(DeltaType.DELETED, gone, None, False, unknown, False, key, last_known))
        return "" if unknown else version_of(obj)

    def _replace_all(
        self, replaced: ReplacedAll, keys: Sequence[str], values: Sequence[Any], *, is_in_initial_list: bool
    ) -> builtins.list[Change[Any]]:
        if replaced.namespace is None and holds_just(self._items, keys, replaced.items):
            with self._lock:
                self._resource_version = replaced.resource_version
            return syncs(zip(keys, replaced.items, strict=True))
        new = replacement(self._items, self._indices, replaced, keys, values, is_in_initial_list=is_in_initial_list)
        with self._changing():
            self._items, self._indices = new.items, new.indices
            self._resource_version = replaced.resource_version
        return new.changes

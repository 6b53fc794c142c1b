"""The engine under `Store` and `Indexer`: objects by key and by index value, with the locks that guard them.

A write is a batch of deltas in two steps. `prepare` runs the user's key and index functions without holding a lock. `commit`
changes the maps under both locks and calls none of the user's functions. Writers take turns by `_writer`; `_lock` keeps
readers out while the maps change. Readers take `_lock` only if a batch is being applied at that moment: see `look`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from informer.cache.change import NO_LONGER_DECODES, Change
from informer.cache.index import Index, IndexErrorHandler
from informer.cache.prepared import SETS, Prepared, Preparer
from informer.cache.relist import holds_exactly, is_same_content, is_same_state, relisted, resynced
from informer.cache.snapshot_file import SavedState
from informer.errors import IndexConflictError, IndexNotFoundError
from informer.objects.form import have_same_form
from informer.objects.keys import (
    DeletedFinalStateUnknown,
    NoLongerDecodes,
    meta_namespace_key,
    namespace_of,
    version_of,
)
from informer.queues.delta import (
    ADDED,
    BOOKMARK,
    DELETED,
    REPLACED,
    REPLACED_ALL,
    SYNC_ALL,
    UPDATED,
    Delta,
    ReplacedAll,
)
from watch.concurrency import Lock, RLock
from watch.versions import is_older

__all__ = ["Prepared", "Records"]

R = TypeVar("R")

_WHOLE = frozenset({REPLACED_ALL, SYNC_ALL})


class Records:
    """Stored objects by key, and any number of indices over them.

    A *stored* object is what the informer keeps: an `Object`, or an `Entry` around the user's object. `unwrap` turns it into
    what readers and index functions see. The methods here take and return stored objects, except for `show`.

    Args:
        key_func: returns an object's key.
        unwrap: returns what readers and index functions see of a stored object; None if that is the stored object itself.
        on_index_error: called when an index function raises; the object is then left out of that index. None raises
            `IndexFuncError` instead.

    Attributes:
        key_of: returns an object's key, or raises `KeyFuncError`.
        unwrap: see above; changed by `set_unwrap`.
        items: the stored objects by key. A relist replaces the whole dict. Read a single key from it directly; anything
            that reads several goes through `look`. Empty once the records are disabled: call `check_usable` on a miss.

    Threads: any. Readers wait at most for one batch to be applied.
    """

    def __init__(
        self,
        key_func: Callable[[Any], str] = meta_namespace_key,
        *,
        unwrap: Callable[[Any], Any] | None = None,
        on_index_error: IndexErrorHandler | None = None,
    ) -> None:
        self._preparer = Preparer(key_func, unwrap, on_index_error)
        self.key_of = self._preparer.key_of
        self.unwrap = unwrap
        self.items: dict[str, Any] = {}  # changed under both locks
        self._disabled: Callable[[], Exception] | None = None
        self._doubts = 0  # reflectors for which resourceVersions may have been given out again; guarded by _writer
        self._is_same = is_same_state
        self._writer = RLock()
        self._lock = Lock()
        self._indices: tuple[Index, ...] = ()  # changed under both locks
        self._indexing = object()  # a new object for every change of _indices; changed under _writer
        self._commits = 0  # finished commits; changed under _writer
        self._steps = 0  # odd while the maps change; changed under both locks
        self._resource_version = ""  # changed under both locks

    # Writing

    def prepare(self, deltas: Iterable[Delta]) -> Prepared:
        """Runs the user's key and index functions on a batch. No lock is held meanwhile.

        Raises:
            KeyFuncError: an object has no key.
            IndexFuncError: an index function raised, and there is no `on_index_error`.
        """
        # Not by isinstance with an abstract class, which costs as much as all else here.
        given: Sequence[Delta] = deltas if type(deltas) in (list, tuple) else list(deltas)  # type: ignore[assignment]
        # The number of commits is read before the maps, so that a commit in between makes the batch stale.
        commits = self._commits
        if self._doubts:
            return self._preparer.prepare(given, self._indexing, self._indices, {}, None)
        return self._preparer.prepare(given, self._indexing, self._indices, self.items, commits)

    def prepare_again(self, prepared: Prepared) -> Prepared:
        """Prepares a stale batch once more. Raises as `prepare` does."""
        return self._preparer.prepare(prepared.deltas, self._indexing, self._indices, {}, None)

    def commit(
        self, prepared: Prepared, *, is_in_initial_list: bool = False, takes_syncs: Callable[[], bool] | None = None
    ) -> list[Change[Any]] | None:
        """Applies a prepared batch, in order.

        Args:
            prepared: the batch.
            is_in_initial_list: whether its adds belong to the informer's first list.
            takes_syncs: asked for a list: whether its changes include its unchanged objects (`is_sync`). For a million objects
                these take 130 MB. None includes them.

        Returns:
            The changes. None if the batch has become stale through another writer: nothing was changed, and the caller
            prepares it again, after releasing any lock of its own (preparing runs the user's functions).
        """
        if self._disabled is not None:
            raise self._disabled()
        with self._writer:
            if prepared.indexing is self._indexing and prepared.relies_on in (None, self._commits):
                return self._commit(prepared, is_in_initial_list=is_in_initial_list, takes_syncs=takes_syncs)
        return None

    def apply(self, deltas: Iterable[Delta], *, is_in_initial_list: bool = False) -> list[Change[Any]]:
        """Prepares and commits a batch, as often as that takes. Raises as `prepare` does; nothing is changed then."""
        prepared = self.prepare(deltas)
        while (changes := self.commit(prepared, is_in_initial_list=is_in_initial_list)) is None:
            prepared = self.prepare_again(prepared)
        return changes

    def set_unwrap(self, unwrap: Callable[[Any], Any] | None) -> None:
        """Replaces `unwrap`. Only allowed while nothing is stored."""
        self.unwrap = self._preparer.unwrap = unwrap

    def doubt_versions(self, doubted: bool) -> None:
        """Compares the content of objects too, from a call with True to the call with False that belongs to it.

        A reflector calls it when the server's history has gone back, and when the list that follows is stored.
        """
        with self._writer:
            self._doubts += 1 if doubted else -1
            self._is_same = is_same_content if self._doubts else is_same_state

    def disable(self, error: Callable[[], Exception]) -> None:
        """Makes every later use raise `error()`. Takes no lock: this process was forked, and its parent may hold them."""
        self._disabled = error
        self.items = {}
        self._steps = 1  # sends every reader to the slow path of `look`

    def check_usable(self) -> None:
        """Raises the error that `disable` was given, if it was called."""
        if self._disabled is not None:
            raise self._disabled()

    # Reading

    def look(self, copy: Callable[[], R]) -> R:
        """Returns what `copy` reads from the maps, as they are between two batches.

        A thread that loses the GIL while it holds a lock makes all other readers wait until it runs again. So `copy` runs
        without the lock first. It runs again under the lock if a writer was active meanwhile.

        Args:
            copy: reads each map with a single C call, which no other thread interrupts. In a free-threaded build the map has
                a lock of its own.
        """
        steps = self._steps
        if not steps & 1:
            found = copy()
            if self._steps == steps:
                return found
        self.check_usable()
        with self._lock:
            return copy()

    @property
    def resource_version(self) -> str:
        """The newest resourceVersion of the writes and bookmarks since the last list, "" before the first."""
        return self.look(lambda: self._resource_version)

    def saved_state(self) -> SavedState:
        """Returns all stored objects and their version; to be called within `look`. The version is "" if it is in doubt."""
        return SavedState([*self.items.values()], "" if self._doubts else self._resource_version)

    def count(self, namespace: str | None = None) -> int:
        """Returns the number of stored objects, of one namespace or, for None, of all. Only the latter is quick."""
        return len(self.items) if namespace is None else sum(namespace_of(obj) == namespace for obj in self.objects())

    def objects(self) -> list[Any]:
        """Returns all stored objects."""
        return self.look(lambda: [*self.items.values()])

    def keys(self) -> list[str]:
        """Returns all keys."""
        return self.look(lambda: [*self.items])

    def copy(self) -> dict[str, Any]:
        """Returns a copy of the stored objects by key."""
        return self.look(lambda: dict(self.items))

    def get(self, key: str) -> Any:
        """Returns the stored object of a key, or None."""
        self.check_usable()
        return self.items.get(key)

    def same_as(self, item: Any) -> Any:
        """Returns the stored object if it is the same state of the same object as `item`, otherwise `item`."""
        items = self.items
        if not items:
            return item
        try:
            old = items.get(self.key_of(item))
        # An object without a key is reported when it is stored.
        except Exception:
            return item
        return old if old is not None and self._is_same(old, item) else item

    def sample(self, size: int) -> list[Any]:
        """Returns about `size` stored objects, spread evenly over the store, or all if there are fewer."""
        self.check_usable()
        with self._lock:
            items = self.items
            return [items[key] for key in islice(items, 0, None, max(1, len(items) // size))]

    def window(self, start: int, size: int, index: str = "", value: str = "") -> list[tuple[str, Any]]:
        """Returns at most `size` keys and stored objects from a position on, in the order of the store.

        Args:
            start: the position of the first one, from 0. Writes shift positions.
            size: their number.
            index: the index to read; "" reads the whole store.
            value: the index value to read.

        Raises:
            IndexNotFoundError: the index does not exist.
        """
        self.check_usable()
        with self._lock:
            items = self.index(index).buckets.get(value, {}) if index else self.items
            # Skipping keys is twice as quick as skipping keys and objects.
            return [(key, items[key]) for key in islice(items, start, start + size)]

    def index_values(self, index: str, start: int, size: int) -> list[tuple[str, int]]:
        """Returns at most `size` values of an index from a position on, with their numbers of objects. As `window`."""
        self.check_usable()
        with self._lock:
            return [
                (value, len(found)) for value, found in islice(self.index(index).buckets.items(), start, start + size)
            ]

    def show(self, items: list[Any]) -> list[Any]:
        """Returns what readers see of stored objects."""
        unwrap = self.unwrap
        return items if unwrap is None else [unwrap(item) for item in items]

    # Indices

    @property
    def indices(self) -> list[Index]:
        """The indices that readers may use."""
        return [index for index in self._indices if index.ready]

    def add_indices(self, functions: Mapping[str, Callable[[Any], Iterable[str]]]) -> None:
        """Adds indices by name. When it returns, they contain every stored object.

        Raises:
            IndexConflictError: a name is taken; no index was added.
            IndexFuncError: an index function raised, and there is no `on_index_error`; no index was added.
        """
        self.check_usable()
        new = tuple(Index(name, function, ready=False) for name, function in functions.items())
        with self._writer:
            taken = sorted({index.name for index in self._indices} & functions.keys())
            if taken:
                raise IndexConflictError(f"indexer conflict: {', '.join(taken)}")
            # From here on writers fill the new indices too. The objects stored before are put in below.
            self._set_indices((*self._indices, *new))
        try:
            with self._lock:
                before = dict(self.items)
            values = {key: self._preparer.values(new, obj, key) for key, obj in before.items()}
        except BaseException:
            with self._writer:
                self._set_indices(tuple(index for index in self._indices if index.name not in functions))
            raise
        with self._writer:
            # A relist meanwhile has replaced the `Index` objects.
            added = [index for index in self._indices if index.name in functions]
            for key, obj in before.items():
                if self.items.get(key) is obj:
                    for index, of_index in zip(added, values[key], strict=True):
                        index.set(key, obj, of_index)
            with self._lock:
                for index in added:
                    index.ready = True

    def index(self, name: str) -> Index:
        """Returns an index; its buckets are to be read within `look`.

        Raises:
            IndexNotFoundError: the index does not exist.
        """
        for index in self._indices:
            if index.name == name and index.ready:
                return index
        names = ", ".join(sorted(index.name for index in self.indices)) or "none"
        raise IndexNotFoundError(f"Index with name {name} does not exist (there are: {names})")

    def by_index(self, name: str, value: str) -> list[Any]:
        """Returns the stored objects under a value of an index. Raises as `index` does."""

        def copy() -> list[Any]:
            bucket = self.index(name).buckets.get(value)
            return [] if bucket is None else [*bucket.values()]

        return self.look(copy)

    # Committing

    def _commit(
        self, prepared: Prepared, *, is_in_initial_list: bool, takes_syncs: Callable[[], bool] | None
    ) -> list[Change[Any]]:
        changes: list[Change[Any]] = []
        deltas = prepared.deltas
        at, end = 0, len(deltas)
        while at < end:
            kind = deltas[at].type
            if kind is REPLACED_ALL:
                changes += self._replace_all(
                    deltas[at].object,
                    prepared.keys[at],
                    prepared.values[at],
                    is_in_initial_list=is_in_initial_list,
                    with_syncs=takes_syncs is None or takes_syncs(),
                )
                at += 1
            elif kind is SYNC_ALL:
                changes += resynced(self.items.items())
                at += 1
            else:
                with self._lock:
                    self._steps += 1
                    try:
                        at = self._apply_locked(prepared, at, changes, is_in_initial_list=is_in_initial_list)
                    finally:
                        self._steps += 1
        self._commits += 1
        return changes

    def _apply_locked(
        self, prepared: Prepared, at: int, changes: list[Change[Any]], *, is_in_initial_list: bool
    ) -> int:
        """Applies the deltas from `at` up to the next REPLACED_ALL or SYNC_ALL, and returns its position."""
        deltas, keys, all_values, indices = prepared.deltas, prepared.keys, prepared.values, self._indices
        items = self.items
        append = changes.append
        version = ""
        while at < len(deltas):
            delta = deltas[at]
            kind = delta.type
            if kind in SETS:
                key, obj = keys[at], delta.object
                old = items.get(key)
                if kind is REPLACED and old is not None and self._is_same(old, obj):
                    # As in a relist: readers that hold the old object go on sharing it with the cache.
                    obj = old
                else:
                    items[key] = obj
                    for index, values in zip(indices, all_values[at]):  # noqa: B905 - same length; on the hot path
                        index.set(key, obj, values)
                found = version_of(obj)
                version = found or version
                if old is None:
                    # The fields of a Change: type, object, old, is_in_initial_list, final_state_unknown, is_sync, key.
                    append(Change(ADDED, obj, None, is_in_initial_list, False, False, key))
                else:
                    is_sync = old is obj or (found != "" and version_of(old) == found and have_same_form(old, obj))
                    is_sync = is_sync and (old is obj or not self._doubts)
                    append(Change(UPDATED, obj, old, False, False, is_sync, key))
            elif kind is DELETED:
                version = self._delete_locked(keys[at], delta.object, changes) or version
            elif kind is BOOKMARK:
                version = delta.object or version
            elif kind in _WHOLE:
                break
            at += 1
        last = self._resource_version
        # A server may send an older state after a newer one. Only a list takes the version back, after the history went back.
        if version and ((len(version) == len(last) and version >= last) or self._doubts or not is_older(version, last)):
            self._resource_version = version
        return at

    def _delete_locked(self, key: str, obj: Any, changes: list[Change[Any]]) -> str:
        """Deletes a key, and returns the resourceVersion of the delete, "" if it is not known."""
        old = self.items.pop(key, None)
        unknown = isinstance(obj, DeletedFinalStateUnknown)
        if old is not None:
            for index in self._indices:
                index.remove(key)
            gone = old if unknown else obj
            last_known = None if gone is old else old
            reason = NO_LONGER_DECODES if type(obj) is NoLongerDecodes else ""
            changes.append(Change(DELETED, gone, None, False, unknown, False, key, last_known, reason))
        return "" if unknown else version_of(obj)

    def _replace_all(
        self,
        replaced: ReplacedAll,
        keys: Sequence[str],
        values: Sequence[Any],
        *,
        is_in_initial_list: bool,
        with_syncs: bool,
    ) -> list[Change[Any]]:
        if replaced.namespace is None and holds_exactly(self.items, keys, replaced.items):
            with self._lock:
                self._resource_version = replaced.resource_version
            return resynced(zip(keys, replaced.items, strict=True)) if with_syncs else []
        new = relisted(
            self.items,
            self._indices,
            replaced,
            keys,
            values,
            is_in_initial_list=is_in_initial_list,
            is_same=self._is_same,
            with_syncs=with_syncs,
        )
        with self._lock:
            self._steps += 1
            self.items, self._indices = new.items, new.indices
            self._resource_version = replaced.resource_version
            self._steps += 1
        return new.changes

    def _set_indices(self, indices: tuple[Index, ...]) -> None:
        with self._lock:
            self._indices = indices
        self._indexing = object()

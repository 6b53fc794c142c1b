"""Applies batches of deltas to the cache, and passes the changes to the listeners in the same step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from msgspec.structs import replace

from informer.cache.change import Change
from informer.cache.indexer import Indexer
from informer.objects.keys import DeletedFinalStateUnknown, key_by
from informer.queues.delta import Delta, DeltaType, ReplacedAll
from informer.queues.fifo import Run

__all__ = ["Applier", "Listeners"]


class Listeners(Protocol):
    """Receives every change of the cache."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock that is held while a batch is applied and distributed."""
        ...

    def takes_syncs(self) -> bool:
        """Returns whether a listener takes unchanged objects of a list (`is_sync`) now."""
        ...

    def distribute(self, changes: Sequence[Change[Any]]) -> None:
        """Receives a batch of changes; the sequence is not modified afterwards."""
        ...


class Applier:
    """Applies batches of deltas to the cache, and passes the changes to the listeners in the same step.

    Args:
        indexer: the cache.
        listeners: receives the changes.
        key_of: returns a stored object's key, and raises for an object that has none.
        log: reports objects that cannot be stored.

    Threads: `process` is called on one thread at a time.
    """

    def __init__(
        self, indexer: Indexer[Any], listeners: Listeners, key_of: Callable[[Any], str], log: logging.Logger
    ) -> None:
        self._records = indexer.records
        self._listeners = listeners
        self._key_of = key_of
        self._log = log
        self.rejected = 0
        """The number of objects that could not be stored because they have no key."""

    def process(self, run: Run) -> None:
        """Applies a `Run` to the cache in one step. It is prepared again if the cache has changed in the meantime."""
        deltas, is_in_initial_list = run
        records, listeners = self._records, self._listeners
        try:
            prepared = records.prepare(deltas)
        # Only the key function can raise here. The objects that have a key are stored nevertheless.
        except Exception:
            prepared = records.prepare([*self._usable(deltas)])
        while True:
            with listeners.lock:
                changes = records.commit(
                    prepared, is_in_initial_list=is_in_initial_list, takes_syncs=listeners.takes_syncs
                )
                if changes is not None:
                    listeners.distribute(changes)
                    return
            prepared = records.prepare_again(prepared)

    def _usable(self, deltas: Iterable[Delta]) -> Iterable[Delta]:
        for delta in deltas:
            if delta.type is DeltaType.REPLACED_ALL:
                replaced: ReplacedAll = delta.object
                items = [item for item in replaced.items if self._has_key(item)]
                yield Delta(delta.type, replace(replaced, items=items))
            elif delta.type in (DeltaType.BOOKMARK, DeltaType.SYNC_ALL) or self._has_key(delta.object):
                yield delta

    def _has_key(self, item: Any) -> bool:
        if isinstance(item, DeletedFinalStateUnknown):
            return True
        try:
            key_by(self._key_of, item)
        except Exception as error:
            self.rejected += 1
            self._log.error("an object was left out of the cache: %s", error)
            return False
        return True

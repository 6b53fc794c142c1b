"""The queue or store that a reflector keeps current."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from informer.objects.entry import Undecodable
from informer.objects.keys import namespaced_name
from informer.queues.delta import Delta, DeltaType
from informer.queues.fifo import FIFO
from informer.reflector.event_reader import version_after

__all__ = ["ReflectorTarget"]


class ReflectorTarget:
    """The adapter between a reflector and the queue or store that it fills.

    A target needs `replace`, and `apply` or else `add`, `update` and `delete`. It may also have `bookmark`, `resync`,
    `key_of` and `update_resource_version`, which is called with each version that was stored. An object that the target
    refuses, or that did not decode, is left out and reported; the rest of its batch is stored.

    Args:
        target: the queue or store.
        name: the reflector's, for logs.
        limited: the reflector's log.
        namespace: passed on to `replace` if each list is of one namespace only; None is not passed on.
        on_undecodable: called with each `Undecodable`; None logs it.
        process: called after each list, batch and resync, to process what is queued. If it returns False, no list or version
            counts as applied, and `on_processed` is not called. None if the target queues nothing.
        on_processed: called when `applied_resource_version` or `has_listed` may have changed.

    Threads: methods are called on the reflector's thread, `resync` on its own; attributes may be read on any.
    """

    def __init__(
        self,
        target: Any,
        name: str,
        limited: logging.Logger,
        *,
        namespace: str | None = None,
        on_undecodable: Callable[[Undecodable], object] | None = None,
        process: Callable[[], bool] | None = None,
        on_processed: Callable[[], object] | None = None,
    ) -> None:
        self.undecodable = 0
        """The number of objects left out because they did not decode."""
        self.applied_resource_version = ""
        """The version up to which everything is stored and processed; "" before the first list."""
        self.has_listed = False
        """Whether a list is stored and processed."""
        self._target = target
        self._name = name
        self._limited = limited
        self._namespace = {} if namespace is None else {"namespace": namespace}
        self._on_undecodable = on_undecodable
        self._process = process
        self._on_processed = on_processed
        # What a target may lack is looked up here and nowhere else.
        self._apply = getattr(target, "apply", None) or self._apply_one_by_one
        self._bookmark = getattr(target, "bookmark", None)
        self._resync = getattr(target, "resync", None)
        self._key_of = getattr(target, "key_of", None)
        self._update_version = getattr(target, "update_resource_version", None)

    @property
    def resync(self) -> Callable[[], None] | None:
        """A function that resyncs the target and processes the result; None if the target cannot resync."""
        return None if self._resync is None else self._resync_and_process

    def replace(self, items: list[Any], resource_version: str, undecodable: Collection[str] = ()) -> None:
        """Stores a complete list.

        Items without a key are left out if the target refuses the list because of them.

        Args:
            items: its objects.
            resource_version: its version.
            undecodable: the keys of its objects that do not decode; passed on to a queue of this library only.

        Raises:
            Exception: the target refused the list.
        """
        options: dict[str, Any] = {**self._namespace}
        if undecodable and isinstance(self._target, FIFO):
            options["undecodable"] = undecodable
        try:
            self._target.replace(items, resource_version, **options)
        except Exception:
            # One object without a key must not keep all others out of the target.
            usable = [item for item in items if self._has_key(item)]
            if len(usable) == len(items):
                raise
            self._target.replace(usable, resource_version, **options)
        if self._stored(resource_version):
            self.has_listed = True
            self._notify_processed()

    def restore(self, items: list[Any], resource_version: str) -> None:
        """Stores a saved state. It does not count as a list, and its version not as applied, until `caught_up` is called.

        Raises:
            Exception: the target refused it.
        """
        self._target.replace(items, resource_version, **self._namespace)
        if self._stored(""):
            self._notify_processed()

    def caught_up(self, resource_version: str) -> None:
        """Called when a restored state and the events since then show every change up to a version."""
        self.applied_resource_version = resource_version
        self.has_listed = True
        self._notify_processed()

    def store(self, deltas: Sequence[Delta], resource_version: str | None = None) -> None:
        """Stores a batch of a watch, which is not empty. What the target raises is logged.

        Args:
            deltas: the batch.
            resource_version: the version that the cache has reached after the batch; "" if it is not known, None for the last
                delta's.
        """
        try:
            self._apply(deltas)
        except Exception as error:
            if len(deltas) == 1:
                self._refused(error)
            else:
                for delta in deltas:
                    self._guarded(self._apply, (delta,))
        if self._update_version is not None:
            for delta in deltas:
                version = version_after(delta)
                if version:
                    self._guarded(self._update_version, version)
        if self._stored(version_after(deltas[-1]) if resource_version is None else resource_version):
            self._notify_processed()

    def decodable(self, items: Sequence[Any], undecodable: set[str] | None = None) -> Sequence[Any]:
        """Reports the items that did not decode, and returns the others.

        Args:
            items: the objects of a list.
            undecodable: the keys of those that did not decode are added to it.
        """
        if not any(type(item) is Undecodable for item in items):
            return items
        kept = []
        for item in items:
            if type(item) is Undecodable:
                self.report(item)
                if undecodable is not None and item.name:
                    undecodable.add(namespaced_name(item.namespace, item.name))
            else:
                kept.append(item)
        return kept

    def report(self, item: Undecodable) -> None:
        """Counts and reports an object that did not decode."""
        self.undecodable += 1
        if self._on_undecodable is None:
            self._limited.error("%s left out %r", self._name, item)
            return
        try:
            self._on_undecodable(item)
        except Exception as error:
            self._limited.error("%s: on_undecodable failed", self._name, exc_info=error)

    def report_keyless(self, error: Exception) -> None:
        """Reports an object of a list that has no key, with the error of the key function."""
        self._limited.error("%s: an object was left out of a list: %s", self._name, error)

    def _stored(self, version: str) -> bool:
        """Processes what was stored, and records the version; returns whether it was processed."""
        if self._process is not None and not self._process():
            return False
        if version:
            # Only now: a thread that waits for this version reads the cache as soon as it observes it.
            self.applied_resource_version = version
        return True

    def _notify_processed(self) -> None:
        if self._on_processed is not None:
            self._on_processed()

    def _resync_and_process(self) -> None:
        if self._resync is not None:
            self._resync()
        if self._process is not None and self._process():
            self._notify_processed()

    def _apply_one_by_one(self, deltas: Sequence[Delta]) -> None:
        target = self._target
        for delta in deltas:
            if delta.type is DeltaType.ADDED:
                self._guarded(target.add, delta.object)
            elif delta.type is DeltaType.UPDATED:
                self._guarded(target.update, delta.object)
            elif delta.type is DeltaType.DELETED:
                self._guarded(target.delete, delta.object)
            elif self._bookmark is not None:
                self._guarded(self._bookmark, delta.object)

    def _guarded(self, function: Callable[[Any], object], argument: Any) -> None:
        try:
            function(argument)
        except Exception as error:
            self._refused(error)

    def _refused(self, error: Exception) -> None:
        self._limited.error("%s: the store refused an object: %s", self._name, error)

    def _has_key(self, item: Any) -> bool:
        if self._key_of is None:
            return True
        try:
            self._key_of(item)
        except Exception as error:
            self.report_keyless(error)
            return False
        return True

"""The queue or store that a reflector keeps current, whatever that can do and however it fails.

Comes in: lists and batches of deltas. Goes out: calls of `replace`, and of `apply` or else of `add`, `update`, `delete` and
`bookmark`. One object that is refused, or that did not decode, takes no other with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from informer.objects.entry import Undecodable
from informer.queues.delta import Delta, DeltaType
from informer.rate_limited_log import LimitedLog
from informer.reflector.event_reader import version_after

__all__ = ["ReflectorTarget"]


class ReflectorTarget:
    """See the module.

    Args:
        target: the queue or store.
        name: the reflector's, for logs.
        limited: logs.
        namespace: passed on to `replace`, where lists are of one namespace only; None is not passed on.
        on_undecodable: called with each `Undecodable`; None logs.
    """

    def __init__(
        self,
        target: Any,
        name: str,
        limited: LimitedLog,
        *,
        namespace: str | None,
        on_undecodable: Callable[[Undecodable], object] | None,
    ) -> None:
        self.undecodable = 0
        """Objects left out because they did not decode."""
        self.resync: Callable[[], object] | None = getattr(target, "resync", None)
        self._target = target
        self._name = name
        self._limited = limited
        self._apply = getattr(target, "apply", None)
        self._update_version = getattr(target, "update_resource_version", None)
        self._bookmark = getattr(target, "bookmark", None)
        self._namespace = {} if namespace is None else {"namespace": namespace}
        self._on_undecodable = on_undecodable

    def replace(self, items: list[Any], resource_version: str) -> None:
        """These are all objects there are; raises what the target raises."""
        self._target.replace(items, resource_version, **self._namespace)

    def store(self, deltas: Sequence[Delta]) -> None:
        """Stores a batch, and tells a target that wants to know each version that was reached."""
        if self._apply is None:
            for delta in deltas:
                self._store_one(delta)
        else:
            try:
                self._apply(deltas)
            # What one object makes fail must not take the others of its batch with it.
            except Exception:
                for delta in deltas:
                    self._guarded(self._apply, (delta,))
        if self._update_version is not None:
            for delta in deltas:
                version = version_after(delta)
                if version:
                    self._guarded(self._update_version, version)

    def decodable(self, items: Sequence[Any]) -> Sequence[Any]:
        """The items without those that did not decode, which are reported."""
        if not any(type(item) is Undecodable for item in items):
            return items
        kept = []
        for item in items:
            if type(item) is Undecodable:
                self.report(item)
            else:
                kept.append(item)
        return kept

    def report(self, item: Undecodable) -> None:
        """Tells of an object that did not decode."""
        self.undecodable += 1
        if self._on_undecodable is None:
            self._limited.log(logging.ERROR, "%s left out %r", self._name, item)
            return
        try:
            self._on_undecodable(item)
        except Exception as error:
            self._limited.log(logging.ERROR, "%s: on_undecodable failed", self._name, exc_info=error)

    def _store_one(self, delta: Delta) -> None:
        target = self._target
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
            self._limited.log(logging.ERROR, "%s: the store refused an object: %s", self._name, error)

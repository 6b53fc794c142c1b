"""Event handlers that enqueue the keys of a controller's objects: its own, those of owners, and mapped ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from informer.api_paths import is_path_segment
from informer.arguments import function_name
from informer.cache.change import Change
from informer.cache.store import Store
from informer.objects.keys import last_state_of, namespace_of, namespaced_name
from informer.objects.paths import MISSING, get_path
from informer.queues.delta import DeltaType
from informer.rate_limited_log import rate_limited
from informer.workqueue.enqueue import Enqueuer, KeyEnqueuer, controller_reference, field_of, has_owner
from informer.workqueue.priority import PriorityQueue
from watch.logs import get_logger

__all__ = ["MappedHandler", "OwnedHandler", "PrimaryHandler"]

_limited = rate_limited(get_logger(__name__))

Keys = Callable[[Any], Iterable[str]]


class PrimaryHandler(KeyEnqueuer):
    """Enqueues the key of each changed object of a controller, if its predicate lets an update pass."""

    def __init__(self, queue: PriorityQueue[str], predicate: Callable[[Any, Any], bool] | None) -> None:
        super().__init__(queue)
        self._predicate = predicate

    def _keys_of_change(self, change: Change[Any]) -> Sequence[str]:
        predicate = self._predicate
        if predicate is not None and change.type is DeltaType.UPDATED and not change.is_sync:
            old, new = change.old, change.object
            begins_to_end = get_path(new, _DELETION) is not MISSING and get_path(old, _DELETION) is MISSING
            if not begins_to_end and not self._passes(predicate, change):
                return ()
        return super()._keys_of_change(change)

    @staticmethod
    def _passes(predicate: Callable[[Any, Any], bool], change: Change[Any]) -> bool:
        try:
            return predicate(change.old, change.object)
        except Exception as error:
            # A reconcile too many does no harm; a change that is left out does.
            name = function_name(predicate)
            _limited.error(
                "predicate %s failed for %r, which is reconciled: %r", name, change.key, error, exc_info=error
            )
            return True


_DELETION = ("metadata", "deletionTimestamp")


class OwnedHandler(Enqueuer):
    """Enqueues the key of the object that controls each changed child.

    The owner is found by its uid in the cache of the controller's own objects: in the child's namespace, or without one. An
    owner that is not in the cache yet is enqueued by its own add.
    """

    def __init__(self, queue: PriorityQueue[str], owners: Store[Any]) -> None:
        super().__init__(queue)
        self._owners = owners

    def _keys(self, obj: Any) -> Sequence[str]:
        obj = last_state_of(obj)
        reference = controller_reference(obj)
        if reference is None:
            return ()
        name = field_of(reference, "name")
        if not is_path_segment(name):
            return ()
        keys = (namespaced_name(namespace_of(obj), name), name)
        return next(((key,) for key in keys if has_owner(self._owners, key, reference)), ())


class MappedHandler(Enqueuer):
    """Enqueues the keys that a user's function returns for each changed object; of an update, for the old and the new one."""

    def __init__(self, queue: PriorityQueue[str], keys_of: Keys) -> None:
        super().__init__(queue)
        self._keys_of = keys_of

    def _keys(self, obj: Any) -> Sequence[str]:
        keys = self._keys_of(last_state_of(obj))
        if isinstance(keys, str):
            raise TypeError(
                f"{function_name(self._keys_of)} in watches= must return keys in a list or the like, not a str"
            )
        return [_checked_key(key) for key in keys]


def _checked_key(key: Any) -> str:
    if not isinstance(key, str) or not key or key.count("/") > 1:
        raise TypeError(f'a function in watches= must return keys such as "namespace/name", not {key!r:.100}')
    return key

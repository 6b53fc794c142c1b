"""Handlers that add to a queue what is to be processed when an object changes.

Comes in: changes, on a handler's thread. Goes out: keys, a batch at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from informer.cache.change import Change
from informer.handlers.handler import ResourceEventHandler
from informer.objects.keys import DeletedFinalStateUnknown, deletion_handling_meta_namespace_key, version_of
from informer.queues.delta import DeltaType
from informer.rate_limited_log import LimitedLog
from informer.workqueue.owners import OwnerKind, controller_key
from informer.workqueue.priority import LOW_PRIORITY, PriorityQueue
from informer.workqueue.queue import WorkQueue

__all__ = ["enqueue_key", "enqueue_owner"]

_limited = LimitedLog(logging.getLogger("informer.workqueue"))


def enqueue_key(queue: WorkQueue[str]) -> ResourceEventHandler[Any]:
    """A handler that adds the key, "namespace/name", of each object that comes, changes or goes.

    In a `PriorityQueue` what is no news has `LOW_PRIORITY`: the initial list, and objects that a resync shows again.

    Example:
        >>> from informer.workqueue import RateLimitingQueue
        >>> queue = RateLimitingQueue()
        >>> handler = enqueue_key(queue)
        >>> handler.on_add({"metadata": {"namespace": "shop", "name": "web"}}, is_in_initial_list=True)
        >>> queue.get()
        'shop/web'

    Source: sigs.k8s.io/controller-runtime pkg/handler EnqueueRequestForObject.
    """
    return _EnqueueKey(queue)


def enqueue_owner(
    queue: WorkQueue[str], kind: str | tuple[str, str], *, namespaced: bool = True
) -> ResourceEventHandler[Any]:
    """A handler that adds the key of the object that controls the one that comes, changes or goes.

    The controller is the owner reference that says so, if it is of the kind. When an object passes from one to another both
    are added. Priorities are as in `enqueue_key`.

    Args:
        queue: where to add.
        kind: of the owners: "Foo" of any group, "Foo.samplecontroller.k8s.io", or ("samplecontroller.k8s.io/v1", "Foo"), of
            which the version does not matter.
        namespaced: whether owners are in the namespace of what they own; False: they are cluster-wide, and so is their key.

    Raises:
        ValueError: kind is none of these.

    Source: sigs.k8s.io/controller-runtime pkg/handler EnqueueRequestForOwner with OnlyControllerOwner.
    """
    return _EnqueueOwner(queue, OwnerKind.of(kind), namespaced=namespaced)


class _Enqueuer(ResourceEventHandler[Any]):
    """Adds the keys that belong to an object."""

    def __init__(self, queue: WorkQueue[str]) -> None:
        if not isinstance(queue, WorkQueue):
            raise TypeError(f"a work queue is needed, not a {type(queue).__qualname__}")
        self._queue = queue
        self._by_priority = queue if isinstance(queue, PriorityQueue) else None

    def on_add(self, obj: Any, /, *, is_in_initial_list: bool = False) -> None:
        self._add(self._keys(obj), is_news=not is_in_initial_list)

    def on_update(self, old: Any, new: Any, /) -> None:
        self._add(self._keys_of_update(old, new), is_news=not _same_version(old, new))

    def on_delete(self, obj: Any, /, *, final_state_unknown: bool = False) -> None:
        self._add(self._keys(obj), is_news=True)

    def on_batch(self, changes: Sequence[Change[Any]]) -> None:
        news: list[str] = []
        rest: list[str] = []
        for change in changes:
            # One odd object must not cost the others of its batch.
            try:
                keys = self._keys_of_change(change)
                (news if self._by_priority is None or _is_news(change) else rest).extend(keys)
            except Exception as error:
                _limited.log(logging.ERROR, "a change of %r is not queued: %r", change.key, error, exc_info=error)
        self._add(news, is_news=True)
        self._add(rest, is_news=False)

    def _add(self, keys: Sequence[str], *, is_news: bool) -> None:
        if not keys:
            return
        if self._by_priority is not None and not is_news:
            self._by_priority.add_all(keys, priority=LOW_PRIORITY)
        else:
            self._queue.add_all(keys)

    def _keys_of_change(self, change: Change[Any]) -> Sequence[str]:
        if change.type is DeltaType.UPDATED:
            return self._keys_of_update(change.old, change.object)
        return self._keys(change.object)

    def _keys_of_update(self, old: Any, new: Any) -> Sequence[str]:
        raise NotImplementedError

    def _keys(self, obj: Any) -> Sequence[str]:
        raise NotImplementedError


class _EnqueueKey(_Enqueuer):
    def _keys_of_change(self, change: Change[Any]) -> Sequence[str]:
        # The cache knows the key even of a model that has no metadata.
        return (change.key,) if change.key else self._keys(change.object)

    def _keys_of_update(self, old: Any, new: Any) -> Sequence[str]:
        return self._keys(new)

    def _keys(self, obj: Any) -> Sequence[str]:
        return (deletion_handling_meta_namespace_key(obj),)


class _EnqueueOwner(_Enqueuer):
    def __init__(self, queue: WorkQueue[str], owner: OwnerKind, *, namespaced: bool) -> None:
        super().__init__(queue)
        self._owner = owner
        self._namespaced = namespaced

    def _keys_of_update(self, old: Any, new: Any) -> Sequence[str]:
        return list(dict.fromkeys((*self._keys(old), *self._keys(new))))

    def _keys(self, obj: Any) -> Sequence[str]:
        if isinstance(obj, DeletedFinalStateUnknown):
            obj = obj.obj
        key = controller_key(obj, self._owner, namespaced=self._namespaced)
        return () if key is None else (key,)


def _is_news(change: Change[Any]) -> bool:
    if change.type is DeltaType.UPDATED:
        return not change.is_sync and not _same_version(change.old, change.object)
    return not change.is_in_initial_list


def _same_version(old: Any, new: Any) -> bool:
    version = version_of(new)
    return version != "" and version_of(old) == version

"""A handler that is called on the reader's thread, right after each batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.cache.change import Change
from informer.handlers.delivery import in_handler
from informer.handlers.handler import HandlerFunctions
from informer.handlers.registration import HandlerRegistration, Owner
from informer.handlers.subscription import Subscription
from informer.rate_limited_log import rate_limited
from informer.thread_group import ThreadGroup
from watch.concurrency import Lock, Monitor
from watch.logs import get_logger

__all__ = ["InlineRegistration"]

_log = get_logger(__name__)

# The reader reads nothing while an inline handler runs. A kube-apiserver closes a watch whose client leaves its events unread,
# and its budget to wait for such clients is 100 ms.
# Source: apiserver storage/cacher time_budget.go, maxBudget.
_SLOW_SECONDS = 0.1
# Seconds that each change of a batch may take in addition: a first list of a million objects is one batch.
_SLOW_SECONDS_PER_CHANGE = 50e-6


class InlineRegistration(HandlerRegistration):
    """A registration whose handler has no thread: the thread that has applied a batch calls it, under no lock.

    That is the reader's thread, or for a resync the informer's resync thread. With several namespaces there are several
    readers. Then one thread at a time makes the calls, and takes over the changes that the others bring meanwhile. The initial
    adds of a handler that joins late come from a thread that ends when the handler has caught up.
    """

    def __init__(
        self,
        owner: Owner,
        functions: HandlerFunctions,
        subscription: Subscription,
        *,
        name: str,
        on_error: Callable[[Change[Any], BaseException], object] | None = None,
    ) -> None:
        super().__init__(owner, functions, subscription, name=name, on_error=on_error)
        self._limited = rate_limited(_log)
        self._backlog = subscription.backlog
        self._lock = Lock()
        self._called = Monitor(
            self._lock
        )  # notified when a thread that has made calls stops, if another waits for that
        self._calling = False  # guarded by _lock, as is the next
        self._waiting = 0

    def start(self, thread_group: ThreadGroup) -> None:
        """Internal: calls the handler with what waits already, on a thread that ends afterwards."""
        self._thread_group = thread_group
        if self._backlog.size:
            thread_group.start(self._catch_up, self._thread_name)

    def call_pending(self) -> None:
        """Internal: calls the handler with all changes that wait; leaves them to a thread that is calling it already."""
        delivery, backlog = self._delivery, self._backlog
        # The other thread may have found nothing more just before this one's changes came: hence the loop.
        while backlog.size:
            busy = delivery.busy_seconds
            count = self._call()
            busy = delivery.busy_seconds - busy
            if not count:
                return
            if busy > _SLOW_SECONDS and busy > _SLOW_SECONDS + count * _SLOW_SECONDS_PER_CHANGE:
                self._limited.warning(
                    "handler %s delayed the cache: it is called on the reader's thread (inline) and took %.2f s for %d "
                    "changes; a handler that is slow or blocks needs inline=False",
                    self.name,
                    busy,
                    count,
                )

    def _catch_up(self) -> None:
        while self._backlog.size and self._call():
            pass

    def _call(self) -> int:
        """Hands one batch over, unless a thread is doing so; returns the number of its changes."""
        with self._lock:
            if self._calling:
                return 0
            self._calling = True
        outer = in_handler.set(True)
        try:
            if not self._delivery.initial_pending:
                lone = self._backlog.take_lone()
                if lone is not None:
                    self._delivery.deliver_lone(lone)
                    return 1
            changes = self.subscription.take_waiting()
            for _ in self._delivery.deliver(changes):
                pass
            return len(changes)
        finally:
            in_handler.reset(outer)
            with self._lock:
                self._calling = False
                if self._waiting:
                    self._called.notify_all()

    def _wait_for_call(self) -> None:
        with self._called:
            self._waiting += 1
            try:
                self._called.wait_for(lambda: not self._calling)
            finally:
                self._waiting -= 1

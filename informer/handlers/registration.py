"""The handle for a handler that was added to an informer, and the handler's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from informer.cache.change import Change
from informer.handlers.delivery import Delivery, Registration, in_handler
from informer.handlers.handler import HandlerFunctions
from informer.handlers.subscription import Subscription
from informer.thread_group import ThreadGroup
from watch.concurrency import Worker

__all__ = ["HandlerRegistration", "Owner"]


class Owner(Protocol):
    """What a registration needs of its informer."""

    def has_synced(self) -> bool:
        """Returns whether the first list is in the cache."""
        ...

    def is_stopped(self) -> bool:
        """Returns whether the informer was stopped."""
        ...

    def wait_until(self, predicate: Callable[[], bool], timeout: float | None) -> bool:
        """Waits at most `timeout` seconds (None: without limit) until the predicate is true; returns what it returned last."""
        ...

    def on_progress(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called at each progress; returns a function that withdraws it."""
        ...

    def remove_event_handler(self, registration: HandlerRegistration) -> None:
        """Removes a handler without waiting for a call under way."""
        ...


class HandlerRegistration(Registration):
    """The handle for one handler of a `SharedInformer`; `add_event_handler` returns it.

    It tells whether the handler has seen the initial list (`has_synced`, `wait_for_sync`), how far the handler is behind
    (`backlog_size`, `lag_seconds`), how often it was called and failed (`calls`, `errors`), and removes it (`remove`):

        registration = informer.add_event_handler(on_add=print)
        informer.start()
        registration.wait_for_sync(30)
        registration.remove()

    The informer makes the calls one after another, on a thread of the handler's own or, with `inline=True`, on the reader's. An
    exception of the handler is logged, counted and passed to `on_error`; the calls go on.

    Threads: every method may be called from any thread.
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
        super().__init__(Delivery(functions, subscription, owner.has_synced, on_error))
        self.subscription = subscription
        """Where the handler's changes wait."""
        self._owner = owner
        self._thread_name = f"{name}-handler"
        self._thread_group: ThreadGroup | None = None
        self._worker: Worker | None = None
        self._removed = False

    def wait_for_sync(self, timeout: float | None = None) -> bool:
        """Waits until the handler has synced (see `has_synced`).

        Args:
            timeout: seconds to wait at most; None waits without limit, 0 does not wait.

        Returns:
            Whether it has synced. False when the time is up, the informer stops or the handler is removed.
        """
        self._owner.wait_until(lambda: self._removed or self.has_synced(), timeout)
        return self.has_synced()

    def remove(self, *, wait: bool = True) -> None:
        """Removes the handler; its waiting changes are dropped. Idempotent.

        Args:
            wait: return only when a call under way has ended. On a thread of the informer, and in any handler's call, it
                never waits, since two handlers that remove each other would wait for ever.
        """
        self._owner.remove_event_handler(self)
        threads = self._thread_group
        if wait and threads is not None and not (in_handler.get() or threads.owns_current):
            self._wait_for_call()

    def is_stopped(self) -> bool:
        """Returns whether the handler was removed or the informer has stopped."""
        return self._removed or self._owner.is_stopped()

    def on_progress(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has `callback` called whenever the informer makes progress (see `SharedInformer.on_progress`).

        Returns:
            A function that withdraws the callback.
        """
        return self._owner.on_progress(callback)

    def start(self, thread_group: ThreadGroup) -> None:
        """Internal: has the calls begin, here on a thread of the handler's own. The informer calls this, once."""
        self._thread_group = thread_group
        self._worker = thread_group.start(self._run, self._thread_name)

    def discard(self) -> None:
        """Internal: ends the calls, including those for changes that were taken already. The informer calls this."""
        self._removed = True
        self.subscription.close()

    def _wait_for_call(self) -> None:
        """Returns when the call under way has ended."""
        if self._worker is not None:
            self._worker.join()

    def _run(self) -> None:
        in_handler.set(True)
        take, deliver = self.subscription.take, self._delivery.deliver
        # A handler that forks ends here in the child, where its subscription is dropped.
        while not self.subscription.dropped and (changes := take()) is not None:
            for _ in deliver(changes):
                pass

"""An informer in the form of a watch, and waiting for conditions on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from typing_extensions import TypeVar

from informer.cache.change import Change
from informer.cache.indexer import Indexer
from informer.listwatch.list_watch import ListerWatcher
from informer.queues.delta import DeltaType
from informer.rate_limited_log import rate_limited
from informer.shared.shared_informer import SharedInformer
from watch.channel import Channel
from watch.concurrency import Lock, Signal
from watch.errors import WatchClosedError, WatchTimeoutError
from watch.event import Event, EventType
from watch.logs import get_logger
from watch.until import until
from watch.watcher import ChannelPump, WatcherBase

__all__ = ["InformerWatcher", "informer_watcher", "until_with_sync"]

T = TypeVar("T", default=Any)

_log = get_logger(__name__)

# Seconds that `until_with_sync` waits for the informer's threads, which end within milliseconds on an idle machine.
_GRACE = 0.5

_EVENT_TYPES = {
    DeltaType.ADDED: EventType.ADDED,
    DeltaType.UPDATED: EventType.MODIFIED,
    DeltaType.DELETED: EventType.DELETED,
}


class InformerWatcher(WatcherBase[T]):
    """A watch whose events come from an informer; `informer_watcher` makes it.

    It yields ADDED, MODIFIED and DELETED events, and neither bookmarks nor ERROR events: the informer resumes and relists
    by itself. A listed object is an ADDED event, unless the cache had it already.

    Args:
        list_watch: what to list and watch.

    Attributes:
        informer: the informer, already started.
        done: a `threading.Event` that is set once the informer and every thread have ended.

    Threads: `stop` may be called from any thread; one thread at a time reads events.
    """

    def __init__(self, list_watch: ListerWatcher[T]) -> None:
        self.informer: SharedInformer[T] = SharedInformer(list_watch)
        self.done = Signal()
        self._subscription = self.informer.subscribe()
        self._limited = rate_limited(_log)
        self._lock = Lock()
        self._pump: ChannelPump[T] = ChannelPump(self.next_batch, "informer-watcher", on_end=self._one_ended)
        self._running = 1  # the informer, and the pump's thread if there is one; guarded by _lock
        self.informer.on_end(self._one_ended)
        self.informer.start()

    @property
    def store(self) -> Indexer[T]:
        """The informer's cache."""
        return self.informer.store

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """Waits for events and returns them (see `watch.BatchWatcher.next_batch`)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._subscription.take(left) is None:
                raise WatchClosedError("the watch has ended")
            events = [event for change in self._subscription.in_hand if (event := self._event(change)) is not None]
            if events:
                return events

    def result_chan(self) -> Channel[Event[T]]:
        """Returns the channel of events (see `watch.Watcher.result_chan`). The first call starts a thread that fills it."""
        with self._lock:
            if not self._pump.started and not self._pump.channel.closed:
                self._running += 1
            return self._pump.start()

    def stop(self) -> None:
        """Ends the watch without waiting; `done` is set once everything has ended. Idempotent."""
        self._pump.channel.close()
        self.informer.begin_stop()

    def _one_ended(self) -> None:
        with self._lock:
            self._running -= 1
            over = self._running == 0
        if over:
            self.done.set()

    def _event(self, change: Change[Any]) -> Event[T] | None:
        try:
            seen = self._subscription.unwrapped(change)
        # One object that the model cannot read must not end the watch.
        except Exception as error:
            self._limited.error("the watch left out %s: it does not decode (%s)", change.key, type(error).__name__)
            return None
        return Event(_EVENT_TYPES[seen.type], seen.object)


def informer_watcher(list_watch: ListerWatcher[T]) -> InformerWatcher[T]:
    """Starts an informer in the form of a watch: its events go on across broken connections and expired versions.

        with informer_watcher(ListWatch.for_resource(api_client, "pods")) as watcher:
            for type, pod in watcher:
                print(type, pod.name)

    Args:
        list_watch: what to list and watch.

    Returns:
        A watcher of ADDED, MODIFIED and DELETED events. It also has the `informer`, the informer's cache as `store`, and
        `done`, an event that is set once everything has ended after `stop`.

    Source: client-go tools/watch NewIndexerInformerWatcher.
    """
    return InformerWatcher(list_watch)


def until_with_sync(
    list_watch: ListerWatcher[T],
    *conditions: Callable[[Event[T]], bool],
    precondition: Callable[[Indexer[T]], bool] | None = None,
    timeout: float | None = None,
) -> Event[T] | None:
    """Waits until conditions have come true one after another, on an informer that is stopped at the end.

    Unlike `watch.until` it needs no resourceVersion, sees objects that exist already, and survives broken connections:

        ready = ListWatch.for_resource(api_client, "pods", field_selector="metadata.name=web-0")
        until_with_sync(ready, lambda event: event.object.at("status.phase") == "Running", timeout=60)

    Args:
        list_watch: what to list and watch. A list or watch function that blocks for ever is abandoned at the time-out.
        conditions: each is called with an event and returns whether it has come true. It sees the events from the one on
            which the condition before it came true.
        precondition: called with the synced store; True ends the wait before any condition is called.
        timeout: seconds to wait at most; None waits without limit.

    Returns:
        The event on which the last condition came true; None when the precondition was true.

    Raises:
        WatchTimeoutError: the time is up.
        ConditionError: a condition raised.
        Exception: what the precondition raised.

    Source: client-go tools/watch UntilWithSync.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    watcher = InformerWatcher(list_watch)
    try:
        if precondition is not None:
            if not watcher.informer.wait_for_sync(timeout):
                raise WatchTimeoutError("UntilWithSync: unable to sync caches: context deadline exceeded")
            if precondition(watcher.store):
                return None
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        return until(watcher, *conditions, timeout=left)
    finally:
        watcher.stop()
        # After that only a thread in a user's function that blocks is left behind.
        watcher.done.wait(_GRACE)

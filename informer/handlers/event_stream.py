"""An informer's changes as an iterator."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, Self
from weakref import finalize

from typing_extensions import TypeVar

from informer.cache.change import Change
from informer.handlers.subscription import Subscription

__all__ = ["EventStream"]

T = TypeVar("T", default=Any)


class _Source(Protocol):
    def unsubscribe(self, subscription: Subscription) -> None: ...


class EventStream(Generic[T]):
    """An informer's changes as an iterator; `informer.events()` returns it.

        with informer.events() as changes:
            for change in changes:
                print(change.watch_type, change.object.name)

    The iteration begins with an add for each cached object and waits for further changes, on the calling thread. It ends
    when the stream is closed or the informer stops. A slow reader delays only itself: the stream keeps the net change per
    key, or every change with `backlog="all"`. A stream that is garbage-collected unsubscribes itself.

    If a filter or model raises, the iterator raises for that change; the next iteration continues with the following one.

    Threads: one thread at a time iterates; `close` may be called from any thread.
    """

    def __init__(self, source: _Source, subscription: Subscription) -> None:
        self._source = source
        self._subscription = subscription
        # For a caller that leaves its loop early without closing: changes would be collected for ever.
        finalize(self, subscription.abandon).atexit = False

    def __iter__(self) -> Iterator[Change[T]]:
        return self

    def __next__(self) -> Change[T]:
        subscription = self._subscription
        while True:
            for change in subscription.in_hand:
                shown = subscription.visible(subscription.unwrapped(change))
                if shown is not None:
                    return shown
            if subscription.take() is None:
                raise StopIteration

    def close(self) -> None:
        """Ends the iteration and drops the waiting changes. Idempotent."""
        self._source.unsubscribe(self._subscription)

    @property
    def backlog_size(self) -> int:
        """How many changes wait to be read."""
        return self._subscription.backlog_size

    @property
    def lag_seconds(self) -> float:
        """Seconds that the oldest waiting change has waited; 0 when none waits."""
        return self._subscription.lag_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

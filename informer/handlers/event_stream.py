"""An informer's changes as an iterator, pulled on the reader's own thread.

Comes in: batches from the informer. Goes out: one change after another.
"""

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
    """Iterates over changes until it is closed or the informer stops.

    Threads: iterated on one thread at a time; `close` from any.
    """

    def __init__(self, source: _Source, subscription: Subscription) -> None:
        self._source = source
        self._subscription = subscription
        # Who leaves a loop early need not close: the informer must not go on collecting changes for nobody.
        finalize(self, subscription.abandon).atexit = False

    def __iter__(self) -> Iterator[Change[T]]:
        return self

    def __next__(self) -> Change[T]:
        subscription = self._subscription
        while True:
            # A filter or model that raises concerns one change: the next call goes on behind it.
            for change in subscription.in_hand:
                shown = subscription.visible(subscription.unwrapped(change))
                if shown is not None:
                    return shown
            if subscription.take() is None:
                raise StopIteration

    def close(self) -> None:
        """Ends the iteration and drops what waits. Idempotent."""
        self._source.unsubscribe(self._subscription)

    @property
    def backlog_size(self) -> int:
        """Changes that wait to be read."""
        return self._subscription.backlog_size

    @property
    def lag_seconds(self) -> float:
        """For how long the oldest change that waits has waited, in seconds; 0 when none waits."""
        return self._subscription.lag_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

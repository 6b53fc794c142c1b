"""What a watch is: events, and a way to stop it."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, runtime_checkable

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.event import Event

__all__ = ["BatchWatcher", "Watcher", "WatcherBase"]

T = TypeVar("T", default=Any)


@runtime_checkable
class Watcher(Protocol[T]):
    """A stream of events that its consumer stops.

    The consumer calls `stop` when it is done, even if it never read an event. A producer that fails sends one ERROR
    event, normally with a `Status`, and ends the stream itself.
    """

    def result_chan(self) -> Channel[Event[T]]:
        """The channel the events come through; always the same one. It is closed when the watch has ended."""
        ...

    def stop(self) -> None:
        """Ends the watch. Idempotent, from any thread, prompt even while a read is blocked."""
        ...

    def __iter__(self) -> Iterator[Event[T]]:
        """The events, until the watch ends."""
        ...

    def __enter__(self) -> Self:
        """The watcher itself; leaving the block stops it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        ...


@runtime_checkable
class BatchWatcher(Watcher[T], Protocol[T]):
    """A watcher that is pulled: what is ready comes in one call, on the caller's thread."""

    def next_batch(self, timeout: float | None = None) -> list[Event[T]]:
        """Waits for the next event and returns it with all others that are ready; never empty.

        Args:
            timeout: at most so many seconds; None waits without limit, 0 does not wait.

        Raises:
            WatchClosedError: the watch has ended.
            TimeoutError: the time is up.
        """
        ...


class WatcherBase(Generic[T]):
    """Iteration and the `with` block, for watchers that have `result_chan` and `stop`."""

    def result_chan(self) -> Channel[Event[T]]:
        """See `Watcher.result_chan`."""
        raise NotImplementedError

    def stop(self) -> None:
        """See `Watcher.stop`."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Event[T]]:
        return iter(self.result_chan())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

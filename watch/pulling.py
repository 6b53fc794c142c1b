"""Batches from any watcher, on the thread that asks for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from typing_extensions import TypeVar

from watch.channel import Channel
from watch.errors import ChannelClosedError, WatchClosedError
from watch.event import Event
from watch.watcher import BatchWatcher, Watcher

__all__ = ["next_batch_of", "puller"]

T = TypeVar("T", default=Any)


def puller(watcher: Watcher[T], *, stop: threading.Event | None = None) -> Callable[[float | None], list[Event[T]]]:
    """The watcher's `next_batch`, or the same over its channel where it has none.

    Args:
        watcher: where the events come from.
        stop: once set, nothing more is waited for in a channel, even in one that stopping the watcher does not close.
    """
    if isinstance(watcher, BatchWatcher):
        return watcher.next_batch
    return lambda timeout: next_batch_of(watcher.result_chan(), timeout, stop=stop)


def next_batch_of(
    channel: Channel[Event[T]], timeout: float | None, *, stop: threading.Event | None = None
) -> list[Event[T]]:
    """`BatchWatcher.next_batch` over a channel.

    Args:
        channel: where the events come from.
        timeout: at most so many seconds; None waits without limit, 0 does not wait.
        stop: once set, nothing more is waited for.

    Raises:
        WatchClosedError: the channel is closed, or `stop` is set, and nothing is in it.
        TimeoutError: the time is up.
    """
    try:
        return channel.get_batch(timeout=timeout, stop=stop)
    except queue.Empty:
        raise TimeoutError("no event came in time") from None
    except ChannelClosedError:
        raise WatchClosedError("the watch has ended") from None

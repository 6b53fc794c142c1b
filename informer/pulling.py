"""Batches from any watcher."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from watch.errors import ChannelClosedError, WatchClosedError
from watch.event import Event
from watch.watcher import BatchWatcher, Watcher

__all__ = ["puller"]

# A watcher need not close its channel when it is stopped (`ProxyWatcher` must not), and a channel has no other way to wake
# who waits at it. Only watchers that cannot be pulled are read in this way.
_LOOK_UP = 0.25


def puller(watcher: Watcher[Any], stopped: Callable[[], bool]) -> Callable[[float | None], list[Event[Any]]]:
    """The watcher's `next_batch`, or the same over its channel where it has none.

    Args:
        watcher: any.
        stopped: whether the watcher was stopped, for one whose channel does not tell.
    """
    if isinstance(watcher, BatchWatcher):
        return watcher.next_batch
    channel = watcher.result_chan()

    def pull(timeout: float | None) -> list[Event[Any]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not stopped():
            left = _LOOK_UP if deadline is None else min(_LOOK_UP, max(0.0, deadline - time.monotonic()))
            try:
                return channel.get_batch(timeout=left)
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError("no event in time") from None
            except ChannelClosedError:
                break
        raise WatchClosedError("the watch has ended")

    return pull

"""Batches from any watcher."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from watch.errors import ChannelClosedError, WatchClosedError
from watch.event import Event
from watch.watcher import BatchWatcher, Watcher

__all__ = ["puller"]


def puller(watcher: Watcher[Any]) -> Callable[[float | None], list[Event[Any]]]:
    """The watcher's `next_batch`, or the same over its channel where it has none."""
    if isinstance(watcher, BatchWatcher):
        return watcher.next_batch
    channel = watcher.result_chan()

    def pull(timeout: float | None) -> list[Event[Any]]:
        try:
            return channel.get_batch(timeout=timeout)
        except queue.Empty:
            raise TimeoutError("no event in time") from None
        except ChannelClosedError:
            raise WatchClosedError("the watch has ended") from None

    return pull

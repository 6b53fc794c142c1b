"""Watching: events, watchers, broadcasters, and a Kubernetes watch stream read as events."""

from __future__ import annotations

from watch.channel import Channel
from watch.clock import Clock, FakeClock
from watch.errors import (
    ApiError,
    BroadcasterShutdownError,
    ChannelClosedError,
    ChannelFullError,
    ConditionError,
    WatchClosedError,
    WatchError,
    WatchTimeoutError,
)
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.watcher import BatchWatcher, Watcher

__all__ = [
    "ApiError",
    "BatchWatcher",
    "BroadcasterShutdownError",
    "Channel",
    "ChannelClosedError",
    "ChannelFullError",
    "Clock",
    "ConditionError",
    "Event",
    "EventType",
    "FakeClock",
    "ListOptions",
    "WatchClosedError",
    "WatchError",
    "WatchTimeoutError",
    "Watcher",
]

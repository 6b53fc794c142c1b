"""Watches: streams of events, above all those of the Kubernetes API.

`Event` and `Watcher` are the terms of the package. `StreamWatcher` reads the response of a watch request, `RetryWatcher`
resumes a watch that breaks, `until` waits for an event, and `Broadcaster` sends events to several watchers. `Channel` is the
queue that events pass between threads. The package knows nothing of informers.
"""

from __future__ import annotations

from watch.body_decoder import Decoder
from watch.broadcaster import Broadcaster, FullChannelBehavior
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
from watch.fake import FakeWatcher, RaceFreeFakeWatcher
from watch.filter import Recorder, filter_watch
from watch.json_decoder import JSONDecoder
from watch.options import ListOptions
from watch.retry_watcher import RetryWatcher
from watch.stream_watcher import StreamWatcher
from watch.until import list_watch_until, until, until_with_retry
from watch.watcher import BatchWatcher, EmptyWatcher, ProxyWatcher, Watcher

__all__ = [
    "ApiError",
    "BatchWatcher",
    "Broadcaster",
    "BroadcasterShutdownError",
    "Channel",
    "ChannelClosedError",
    "ChannelFullError",
    "Clock",
    "ConditionError",
    "Decoder",
    "EmptyWatcher",
    "Event",
    "EventType",
    "FakeClock",
    "FakeWatcher",
    "FullChannelBehavior",
    "JSONDecoder",
    "ListOptions",
    "ProxyWatcher",
    "RaceFreeFakeWatcher",
    "Recorder",
    "RetryWatcher",
    "StreamWatcher",
    "WatchClosedError",
    "WatchError",
    "WatchTimeoutError",
    "Watcher",
    "filter_watch",
    "list_watch_until",
    "until",
    "until_with_retry",
]

"""The public names of `watch`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import watch

PUBLIC = {
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
}


def test_the_public_names_are_these():
    """The list of public names changes only on purpose."""
    assert set(watch.__all__) == PUBLIC
    assert len(watch.__all__) == len(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_is_there_and_says_what_it_is(name):
    """Every public name can be imported and has a docstring."""
    assert getattr(watch, name).__doc__


@pytest.mark.parametrize(
    "error",
    [
        watch.ApiError(500),
        watch.BroadcasterShutdownError(),
        watch.ChannelClosedError(),
        watch.ChannelFullError(),
        watch.ConditionError(""),
        watch.WatchClosedError(""),
        watch.WatchTimeoutError(""),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_one_family(error):
    """Every error is a WatchError."""
    assert isinstance(error, watch.WatchError)


def test_watch_knows_nothing_of_informers_or_of_the_official_client():
    """Importing `watch` imports neither `informer` nor the official client."""
    code = "import sys, watch; print([m for m in sys.modules if m.partition('.')[0] in ('informer', 'kubernetes')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert found.stdout.strip() == "[]"

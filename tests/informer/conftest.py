"""Fixtures for tests of listing and watching: a scripted list-watch, a clock that never waits, raw HTTP servers."""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from informer import ObjectList
from tests.support.http_servers import Handler, HTTPServer
from tests.support.objects import stored_pod
from tests.support.waiting import DEADLINE
from watch import Event, ListOptions, WatchClosedError
from watch.concurrency import Monitor
from watch.watcher import WatcherBase

# A list-watch that follows a script


class ScriptedWatcher(WatcherBase):
    """Delivers the given batches of events, then ends. With `hang` it stays silent instead, until it is stopped."""

    def __init__(self, *batches: list[Event[Any]], hang: bool = False, error: Exception | None = None) -> None:
        self._batches = deque(batches)
        self._hang = hang
        self._error = error
        self.stops = 0
        self.pulls = 0
        self.stopped = threading.Event()

    def next_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        self.pulls += 1
        if self.stopped.is_set():
            raise WatchClosedError("stopped")
        if self._batches:
            batch = self._batches.popleft()
            return batch() if callable(batch) else batch
        if self._error is not None:
            raise self._error
        if self._hang and not self.stopped.wait(timeout):
            raise TimeoutError("silent")
        raise WatchClosedError("the end")

    def stop(self) -> None:
        self.stops += 1
        self.stopped.set()


class ScriptedSource:
    """A list-watch that answers calls from two scripts, one for lists and one for watches.

    The answer to a list is an `ObjectList` or an exception. The answer to a watch is a list of events, after which the watch
    ends, or a watcher, None or an exception. A function of the options may return any of these.

    The first call beyond a script sets `over`. From then on lists and watch lists fail, and watches expire, so that a round
    ends; with `hang` a watch is silent until it is stopped.
    """

    def __init__(
        self, lists: Any = (), watches: Any = (), *, supports_watch_list: bool = False, hang: bool = False
    ) -> None:
        self.supports_watch_list = supports_watch_list
        self._hang = hang
        self.over = threading.Event()
        self.calls: list[tuple[str, ListOptions]] = []
        self.watchers: list[Any] = []
        self._lists, self._watches = deque(lists), deque(watches)
        self._called = Monitor()

    def list(self, options: ListOptions) -> Any:
        self._note("list", options)
        return self._next(self._lists, options)

    def watch(self, options: ListOptions) -> Any:
        self._note("watch", options)
        answer = self._next(self._watches, options)
        if isinstance(answer, list):
            answer = ScriptedWatcher(answer) if answer else ScriptedWatcher()
        self.watchers.append(answer)
        return answer

    @property
    def list_calls(self) -> list[ListOptions]:
        return [options for verb, options in self.calls if verb == "list"]

    @property
    def watch_calls(self) -> list[ListOptions]:
        return [options for verb, options in self.calls if verb == "watch"]

    @property
    def list_versions(self) -> list[str]:
        return [options.resource_version for options in self.list_calls]

    def wait_for_calls(self, count: int, verb: str = "") -> bool:
        """Waits for `count` calls; returns whether they came within the deadline."""
        with self._called:
            return self._called.wait_for(lambda: sum(verb in each for each, _ in self.calls) >= count, DEADLINE)

    def _note(self, verb: str, options: ListOptions) -> None:
        with self._called:
            self.calls.append((verb, options))
            self._called.notify_all()

    def _next(self, script: deque[Any], options: ListOptions) -> Any:
        if not script:
            self.over.set()
            if script is self._watches and not options.send_initial_events:
                expired = Event("ERROR", {"code": 410, "reason": "Expired"})
                return ScriptedWatcher(hang=True) if self._hang else ScriptedWatcher([expired])
            raise AssertionError("the script is over")
        answer = script.popleft()
        if callable(answer):
            answer = answer(options)
        if isinstance(answer, Exception):
            raise answer
        return answer


def bookmark(version: str, *, end: str | None = None) -> Event[Any]:
    """Returns a bookmark; `end` is the value of the annotation that marks the end of initial events."""
    metadata: dict[str, Any] = {"resourceVersion": version}
    if end is not None:
        metadata["annotations"] = {"k8s.io/initial-events-end": end}
    return Event("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": metadata})


@pytest.fixture
def script() -> Any:
    """The parts of scripts: sources, watchers, objects and events."""
    return SimpleNamespace(
        source=ScriptedSource,
        watcher=ScriptedWatcher,
        pod=stored_pod,
        bookmark=bookmark,
        added=lambda name, version=None: Event("ADDED", stored_pod(name, version)),
        modified=lambda name, version=None: Event("MODIFIED", stored_pod(name, version)),
        deleted=lambda name, version=None: Event("DELETED", stored_pod(name, version)),
        pods=lambda version, *names, continue_=None: ObjectList(
            [stored_pod(n, version) for n in names], version, continue_
        ),
    )


class AutoClock:
    """A clock whose waits return at once and advance the time by their time-out."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, condition_or_event: Any, timeout: float | None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.now += timeout
        return isinstance(condition_or_event, threading.Event) and condition_or_event.is_set()


@pytest.fixture
def auto_clock() -> AutoClock:
    """A clock on which every wait passes at once."""
    return AutoClock()


@pytest.fixture
def serve() -> Iterator[Callable[..., HTTPServer]]:
    """Starts HTTP servers that answer each request by calling a function."""
    servers: list[HTTPServer] = []

    def start(handler: Handler, *, tls: ssl.SSLContext | None = None) -> HTTPServer:
        servers.append(HTTPServer(handler, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()

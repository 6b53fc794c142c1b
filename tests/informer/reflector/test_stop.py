"""Stopping a reflector, in every state."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from informer import ApiError, Backoff, ListWatch, Reflector, SharedInformer, Store
from tests.support.stores import UpdateStore
from tests.support.waiting import PROMPT
from watch import Event, FakeClock
from watch.channel import Channel
from watch.concurrency import Signal
from watch.fake import FakeWatcher
from watch.watcher import ProxyWatcher

PODS = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": []}


def assert_stops_promptly(made: Reflector, arrived: Callable[[], bool], run: Any, stop: threading.Event) -> None:
    """Runs a reflector, waits for `arrived`, stops it, and asserts that it ends promptly."""
    task = run(made.run, stop)
    try:
        assert arrived()
    finally:
        begun = time.monotonic()
        stop.set()
        ended = task.ends_within()
        took = time.monotonic() - begun
    assert ended
    assert took < PROMPT
    assert not made.is_watching


@pytest.fixture(params=[Signal, threading.Event], ids=["signal", "event"])
def stop(request: pytest.FixtureRequest) -> threading.Event:
    """A stop event: one that calls back by itself, and a plain `threading.Event`."""
    made: threading.Event = request.param()
    return made


# Over functions


def test_a_stop_before_the_run_prevents_every_request(script: Any, stop: threading.Event) -> None:
    """Go: TestReflectorWatchStoppedBefore. Neither list nor watch is called, and no error is raised."""
    source = script.source()
    stop.set()
    made = Reflector(source, Store())
    made.run(stop)
    made.list_and_watch(stop)
    assert source.calls == []


def test_a_stop_while_watching_stops_the_watcher(script: Any, run: Any, stop: threading.Event) -> None:
    """Go: TestReflectorWatchStoppedAfter, TestRunUntil. One watcher was opened, which is stopped; no error is recorded."""
    watcher = script.watcher(hang=True)
    source = script.source([script.pods("1", "a")], [watcher])
    made = Reflector(source, Store())
    assert_stops_promptly(made, lambda: source.wait_for_calls(1, "watch"), run, stop)
    assert watcher.stopped.is_set()
    assert len(source.watch_calls) == 1
    assert made.sync_error() is None


def test_a_watcher_that_is_opened_after_the_stop_is_stopped_unread(script: Any) -> None:
    """Go: TestReflectorHandleWatchStoppedBefore. Its events are not stored."""
    stop = Signal()
    watcher = script.watcher([script.added("a", "2")])

    def late(options: Any) -> Any:
        stop.set()
        return watcher

    store: Store[Any] = Store()
    Reflector(script.source([script.pods("1")], [late]), store).run(stop)
    assert watcher.stopped.is_set()
    assert len(store) == 0


@pytest.mark.parametrize("kind", ["fake", "proxy"])
def test_a_stop_ends_the_wait_for_a_channel(script: Any, run: Any, stop: threading.Event, kind: str) -> None:
    """Go: TestReflectorHandleWatchStoppedAfter. Also if stopping the watcher does not close its channel."""
    channel: Channel[Event[Any]] = Channel(None)
    watcher: Any = FakeWatcher(None) if kind == "fake" else ProxyWatcher(channel)
    source = script.source([script.pods("1")], [watcher])
    made = Reflector(source, Store())
    assert_stops_promptly(made, lambda: source.wait_for_calls(1, "watch"), run, stop)
    assert not channel.closed


def test_a_stop_ends_a_backoff(script: Any, run: Any, stop: threading.Event) -> None:
    """Between rounds and within a round."""
    for source in (
        script.source([ValueError("no")]),
        script.source([script.pods("1")], [ConnectionRefusedError()]),
        script.source(watches=[ConnectionRefusedError()], supports_watch_list=True),
    ):
        made = Reflector(source, Store(), backoff=Backoff(initial=60, maximum=60))
        stop.clear()
        assert_stops_promptly(made, lambda source=source: source.wait_for_calls(1), run, stop)


def test_a_stop_ends_the_wait_for_a_retry_after(script: Any, run: Any, stop: threading.Event) -> None:
    """The server has answered 429 with a Retry-After of one hour."""
    source = script.source([ApiError(429, "TooManyRequests", "", 3600)])
    assert_stops_promptly(Reflector(source, Store()), lambda: source.wait_for_calls(1), run, stop)


def test_a_stop_ends_a_wait_on_the_injected_clock(script: Any, run: Any) -> None:
    """Waits within a round use that clock."""
    clock, stop = FakeClock(), Signal()
    source = script.source([script.pods("1")], [ConnectionRefusedError()])
    made = Reflector(source, Store(), clock=clock)
    assert_stops_promptly(made, lambda: clock.wait_for_waiters(1, 10), run, stop)


@pytest.mark.leaves_threads
def test_a_list_function_that_blocks_for_ever_does_not_hold_up_a_stop(script: Any) -> None:
    """The call cannot be interrupted, but `stop` returns in time, with False because a thread is still running."""
    release, entered = threading.Event(), threading.Event()

    def block(options: Any) -> Any:
        entered.set()
        release.wait()
        raise ConnectionError

    informer = SharedInformer(ListWatch(block, block, supports_watch_list=False))
    informer.start()
    try:
        assert entered.wait(10)
        begun = time.monotonic()
        assert informer.stop(timeout=0.2) is False
        assert time.monotonic() - begun < 0.2 + PROMPT
        assert informer.is_stopped()
    finally:
        release.set()
        assert informer.stop(timeout=10)


def test_a_reflector_may_run_again_after_a_stop(script: Any, run: Any) -> None:
    """It resumes from the last version."""
    source = script.source(
        [script.pods("10"), script.pods("11")], [script.watcher(hang=True), script.watcher(hang=True)]
    )
    made = Reflector(source, Store())
    for count in (1, 2):
        stop = Signal()
        assert_stops_promptly(made, lambda count=count: source.wait_for_calls(count, "watch"), run, stop)
    assert source.list_versions == ["0", "10"]


# Over HTTP


def over_http(server: Any, **options: Any) -> Reflector:
    options.setdefault("watch_list", False)
    settings = options.pop("settings", {})
    return Reflector(ListWatch.for_resource(server.client(**settings), "pods"), Store(), **options)


def test_a_stop_ends_an_attempt_to_connect(run: Any, stop: threading.Event) -> None:
    """The server does not accept connections."""
    with full_listener() as port:
        from kubernetes import client

        api_client = client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{port}"))
        made = Reflector(ListWatch.for_resource(api_client, "pods"), Store())
        connecting = threading.Event()
        task = run(made.run, stop)
        # connect() blocks at once, but nothing shows it. So this waits for a moment.
        connecting.wait(0.2)
        begun = time.monotonic()
        stop.set()
        assert task.ends_within()
        assert time.monotonic() - begun < PROMPT


class full_listener:
    """A loopback port whose backlog is full, so that connecting to it blocks."""

    def __enter__(self) -> int:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        port: int = self._listener.getsockname()[1]
        self._fillers = [socket.socket() for _ in range(4)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        return port

    def __exit__(self, *args: object) -> None:
        for each in (*self._fillers, self._listener):
            each.close()


def test_a_stop_ends_a_tls_handshake(run: Any, stop: threading.Event) -> None:
    """The server accepts the connection and sends nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        from kubernetes import client

        configuration = client.Configuration(host=f"https://127.0.0.1:{listener.getsockname()[1]}")
        made = Reflector(ListWatch.for_resource(client.ApiClient(configuration), "pods"), Store())
        accepted: list[socket.socket] = []

        def arrived() -> bool:
            accepted.append(listener.accept()[0])
            # The client's hello: from here on it waits for the server's.
            return bool(accepted[0].recv(1))

        assert_stops_promptly(made, arrived, run, stop)
    finally:
        listener.close()
        for each in accepted:
            each.close()


class Blocked:
    """A server that sends a part of its response and then nothing more."""

    def __init__(self, serve: Any, handler: Any, tls: Any = None) -> None:
        self._there = threading.Event()

        def handle(request: Any, connection: Any) -> None:
            if handler(request, connection):
                self._there.set()
                connection.hang()

        self.server = serve(handle, tls=tls)

    def arrived(self) -> bool:
        return self._there.wait(10)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("where", ["head", "list", "page-2", "error-body", "watch-head", "watch", "watch-list"])
def test_a_stop_ends_the_wait_for_a_response(
    serve: Any, authority: Any, run: Any, stop: threading.Event, where: str, tls: bool
) -> None:
    """Before the response's head, within a list, on its second page, within an error's body, and within a watch."""

    def handler(request: Any, connection: Any) -> bool:
        watch = "watch" in request.query
        if where == "head" or (where == "watch-head" and watch):
            return True
        if where == "list":
            connection.begin()
            connection.chunk(b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":[{"meta')
            return True
        if where == "page-2":
            if "continue" in request.query:
                return True
            connection.answer({**PODS, "metadata": {"resourceVersion": "5", "continue": "C1"}})
        elif where == "error-body":
            connection.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\n{")
            return True
        elif watch:
            connection.begin()
            return True
        else:
            connection.answer(PODS)
        return False

    context = authority.server_context("127.0.0.1") if tls else None
    place = Blocked(serve, handler, context)
    made = over_http(
        place.server, watch_list=where == "watch-list", settings={"ssl_ca_cert": authority.path} if tls else {}
    )
    assert_stops_promptly(made, place.arrived, run, stop)


def test_a_stop_ends_a_busy_watch(serve: Any, run: Any, stop: threading.Event) -> None:
    """A watch with endless events stops as promptly as a silent one."""
    store = UpdateStore()

    def handler(request: Any, connection: Any) -> None:
        if "watch" not in request.query:
            connection.answer(PODS)
            return
        connection.begin()
        for i in range(10**9):
            pod = {"metadata": {"name": f"p{i % 100}", "namespace": "n", "resourceVersion": str(10 + i)}}
            connection.chunk({"type": "MODIFIED", "object": pod})

    made = Reflector(ListWatch.for_resource(serve(handler).client(), "pods"), store, watch_list=False)
    assert_stops_promptly(made, lambda: store.updated.wait(10), run, stop)

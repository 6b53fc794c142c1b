"""Watches on which nothing arrives: how they are abandoned and resumed."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from informer import ListWatch, Reflector, Store
from tests.support.stores import UpdateStore
from watch.concurrency import Signal

PODS = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": []}


def test_a_silent_watch_is_abandoned_and_resumed_at_the_last_version(
    script: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The watcher is stopped. The next one follows without an error or a wait; one object is listed before it."""
    silent = script.watcher([script.bookmark("7")], hang=True)
    source = script.source([script.pods("1"), script.pods("7")], [silent, script.watcher(hang=True)])
    made = Reflector(source, Store(), silence_timeout=0.05)
    stop = Signal()
    with caplog.at_level(logging.INFO):
        task = run(made.run, stop)
        assert source.wait_for_calls(2, "watch")
        stop.set()
        task.result()
    assert silent.stopped.is_set()
    assert source.watch_calls[1].resource_version == "7"
    assert [options.limit for options in source.list_calls] == [500, 1]
    assert made.sync_error() is None
    assert "the watch was silent for" in caplog.text


def test_a_silent_http_connection_is_abandoned_and_the_watch_resumed(serve: Any, run: Any) -> None:
    """The connection stays open and nothing arrives; the next watch begins at the last version."""
    asked: list[str] = []
    again = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        if "watch" not in request.query:
            connection.answer(PODS)
            return
        asked.append(request.query["resourceVersion"])
        connection.begin()
        if len(asked) == 1:
            connection.chunk({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}})
        else:
            again.set()
        connection.hang()

    list_watch = ListWatch.for_resource(serve(handler).client(), "pods")
    made = Reflector(list_watch, Store(), watch_list=False, silence_timeout=0.1)
    stop = Signal()
    task = run(made.run, stop)
    assert again.wait(10)
    stop.set()
    task.result()
    assert asked[:2] == ["5", "9"]
    assert made.lists == 1


def test_a_slow_event_and_empty_lines_are_not_silence(serve: Any, run: Any) -> None:
    """The time-out counts from the last byte, not from the last event."""
    store = UpdateStore()
    go_on = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        if "watch" not in request.query:
            connection.answer(PODS)
            return
        connection.begin()
        event = b'{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"6"}}}\n'
        for piece in (b"\n", b"\n", b"\n", event[:20], event[20:40], event[40:60], event[60:]):
            go_on.wait(0.1)
            connection.chunk(piece)
        connection.hang()

    made = Reflector(
        ListWatch.for_resource(serve(handler).client(), "pods"), store, watch_list=False, silence_timeout=0.4
    )
    stop = Signal()
    task = run(made.run, stop)
    assert store.updated.wait(10)
    stop.set()
    task.result()
    assert made.watches == 1

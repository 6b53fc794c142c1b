"""Servers that restart, resources that are deleted and created again, and all of it in one informer's life."""

from __future__ import annotations

import logging
import threading
from random import Random
from typing import Any

import pytest

from informer import ApiError, DeltaType, ListWatch, SharedInformer
from tests.support.waiting import DEADLINE, eventually
from watch.concurrency import Signal


def test_api_server_restart_resumes_or_relists_at_the_last_version(scripted: Any, follow: Any, say: Any) -> None:
    """After EOF, 429 while the server's cache starts, and 410 for lost history, the informer lists at the last version."""
    busy = say.refused(429, "TooManyRequests", "storage is (re)initializing", headers={"Retry_After": "0"})
    server = scripted(
        [say.listed("5", "a"), busy, say.listed("9", "a", "b")],
        [
            say.watched(say.bookmark("7"), then="cut"),
            busy,
            busy,
            say.refused(410, "Expired", "too old resource version"),
        ],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.watch_versions[:4] == ["5", "7", "7", "7"]
    assert server.list_versions == ["0", "7", "7"]
    assert followed.keys == ["a", "b"]


def test_api_server_restart_is_followed_by_jittered_relists(script: Any) -> None:
    """Informers whose watches all expire at once do not list at the same moment."""
    from informer import Reflector, Store

    waits: list[float] = []

    class Stop(Signal):
        """Set after the first wait between rounds."""

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            self.set()
            return True

    expired = ApiError(410, "Expired")
    for seed in range(50):
        source = script.source([script.pods("5")], [expired])
        Reflector(source, Store(), random=Random(seed), name="x").run(Stop())
    assert all(0.8 <= wait < 1.6 for wait in waits)
    assert max(waits) - min(waits) > 0.6
    assert len(set(waits)) == 50


def test_crd_deleted_while_watching_is_retried_and_reported(scripted: Any, follow: Any, say: Any) -> None:
    """Each object is deleted, the 404 is reported, and the informer resumes once the CRD exists again."""
    missing = say.refused(404, "NotFound", "the server could not find the requested resource")
    errors: list[Exception] = []
    server = scripted(
        [say.listed("5", "a"), missing, missing, say.listed("20", "b")],
        [say.watched(say.line("DELETED", say.pod("a", "7"))), missing],
    )
    followed = follow(server, watch_error_handler=lambda informer, error: errors.append(error))
    assert followed.reaches("20")
    assert followed.delivers(3)
    assert followed.delivered == [("Added", "a"), ("Deleted", "a"), ("Added", "b")]
    assert [error.status for error in errors if isinstance(error, ApiError)] == [404, 404, 404]


def test_crd_not_there_yet_is_waited_for(serve: Any, follow: Any, say: Any) -> None:
    """The informer reports the missing resource, and syncs as soon as it exists."""
    there = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        if request.path == "/apis":
            versions = [{"version": "v1"}]
            group = {"name": "example.com", "versions": versions, "preferredVersion": versions[0]}
            connection.answer({"groups": [group] if there.is_set() else []})
        elif request.path == "/apis/example.com/v1":
            entry = {"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["list"]}
            connection.answer({"resources": [entry]})
        elif "watch" in request.query:
            say.HANG(connection)
        else:
            say.listed("5", "a")(connection)

    http = serve(handler)
    source = ListWatch.for_resource(http.client(), "widgets.example.com")
    with SharedInformer(source, backoff=say.backoff, watch_list=False) as informer:
        assert eventually(lambda: informer.sync_error() is not None)
        error = informer.sync_error()
        assert isinstance(error, ApiError)
        assert error.status == 404
        assert "the server doesn't have a resource type 'widgets.example.com'" in str(error)
        there.set()
        assert informer.wait_for_sync(DEADLINE)
        assert informer.sync_error() is None


@pytest.mark.parametrize("queue", ["in_order", "delta"])
def test_all_of_it_in_one_life(
    scripted: Any, follow: Any, queue: str, caplog: pytest.LogCaptureFixture, say: Any
) -> None:
    """After half a line, garbage, 429, 410, 500 and a reset the cache equals the server's state."""
    with caplog.at_level(logging.CRITICAL):
        server = scripted(
            [
                say.listed("5", "a", "b"),
                say.refused(500, "InternalError"),
                say.listed("20", "a", "c"),
                lambda connection: connection.cut(),
                say.listed("40", "c", "d"),
            ],
            [
                say.watched(say.added("x", "6"), b'{"type":"ADD', then="cut"),
                say.refused(429, "TooManyRequests"),
                say.watched(say.line("DELETED", say.pod("x", "7")), b"garbage\n"),
                say.watched(say.line("MODIFIED", say.pod("a", "21")), then="reset"),
                say.refused(410, "Expired"),
                say.watched(say.line("MODIFIED", say.pod("d", "41")), then="hang"),
            ],
        )
        followed = follow(server, queue=queue)
        assert followed.reaches("41")
    assert followed.keys == ["c", "d"]
    last: dict[str, DeltaType] = {}
    assert eventually(lambda: followed.delivered[-1:] == [("Updated", "d")])
    for change in followed.changes:
        last[change.object.name] = change.type
    assert {name for name, kind in last.items() if kind is not DeltaType.DELETED} == {"c", "d"}

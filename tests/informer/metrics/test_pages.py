"""`/healthz`, `/readyz` and `/metrics` as a WSGI application."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from prometheus_client.registry import Collector

from informer import ListWatch, ObjectList, SharedInformer
from informer.leaderelection import LeaderElector, LeaseLock
from informer.metrics import make_app
from watch import ApiError, Channel, FakeWatcher


class Answer:
    """What a page says."""

    def __init__(self, app: Any, path: str, method: str = "GET", **environ: str) -> None:
        asked: dict[str, Any] = {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "QUERY_STRING": "",
            "SCRIPT_NAME": "",
            **environ,
        }
        setup_testing_defaults(asked)

        def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[[bytes], object]:
            self.status = int(status.split()[0])
            self.headers = dict(headers)
            return lambda data: None

        body = validator(app)(asked, start_response)
        try:
            self.text = b"".join(body).decode()
        finally:
            body.close()


@pytest.fixture
def ask(registry) -> Callable[..., Answer]:
    """Asks an application of the registry that has the given options."""

    def ask(path: str, method: str = "GET", *, environ: dict[str, str] | None = None, **options: Any) -> Answer:
        return Answer(make_app(registry=registry, **options), path, method, **(environ or {}))

    return ask


def test_an_election_is_no_informer(ask, embedded_apiserver, run) -> None:
    """Every page answers while this process takes part in one."""
    stop, leads = threading.Event(), threading.Event()
    with embedded_apiserver.api_client() as api_client:
        elector = LeaderElector(
            LeaseLock(api_client, "default", "elected", "me"),
            on_started_leading=lambda over: leads.set(),
            on_stopped_leading=lambda: None,
        )
        running = run(elector.run, stop)
        try:
            assert leads.wait(10)
            assert [ask(path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        finally:
            stop.set()
            running.result()


def empty(_: Any) -> ObjectList[Any]:
    return ObjectList([], "1")


def test_a_process_without_informers_is_well(ask) -> None:
    """There is nothing to wait for."""
    for path in ("/healthz", "/readyz", "/healthz/"):
        answer = ask(path)
        assert (answer.status, answer.text) == (200, "ok\n")
        assert answer.headers["Cache-Control"] == "no-store"


def test_ready_once_all_have_synced(ask, make, source) -> None:
    """Until then the answer names each that has not, and what keeps it from that; it is alive all the while."""
    calls: Channel[None] = Channel(None)
    state = {"error": ApiError(403, "Forbidden", "pods is forbidden:\n user \x00 may not")}

    def list_func(_: Any) -> ObjectList[Any]:
        calls.put(None)
        if state:
            raise state["error"]
        return ObjectList([], "1")

    make(source)
    forbidden = make(ListWatch(list_func, lambda _: FakeWatcher(None)), sync=False, watch_list=False, name="forbidden")
    calls.get(20)
    calls.get(20)
    answer = ask("/readyz")
    assert answer.status == 503
    assert answer.text.splitlines() == [
        "informer forbidden: not synced: 403 Forbidden: failed to list forbidden: pods is forbidden: user ? may not"
    ]
    assert ask("/healthz").status == 200
    state.clear()
    assert forbidden.wait_for_sync(20)
    assert ask("/readyz").status == 200


def test_a_list_under_way(ask, make, run) -> None:
    """Nothing is wrong, but it is not there yet."""
    asked: Channel[None] = Channel(0)
    go: Channel[None] = Channel(0)

    def list_func(_: Any) -> ObjectList[Any]:
        asked.put(None)
        go.get(20)
        return ObjectList([], "1")

    informer = make(ListWatch(list_func, lambda _: FakeWatcher(None)), sync=False, watch_list=False)
    asked.get(20)
    assert ask("/readyz").text == "informer things: not synced: its first list is under way\n"
    go.put(None)
    assert informer.wait_for_sync(20)


def test_a_dead_reader(ask, make) -> None:
    """Only a restart helps: it is neither alive nor ready."""
    informer = make(ListWatch(lambda _: sys.exit("pl4nt3d"), lambda _: None), sync=False, watch_list=False)
    assert not informer.wait_until(lambda: False, 20)
    for path in ("/healthz", "/readyz"):
        answer = ask(path)
        assert (answer.status, answer.text) == (503, "informer things: its reading has ended with SystemExit\n")


def test_stopped_informers(ask, make, source) -> None:
    """One that was stopped is no concern, unless it was asked for."""
    informer = make(source)
    informer.stop(20)
    assert ask("/readyz").status == 200
    assert ask("/readyz", informers=[informer]).text == "informer things: stopped\n"
    assert ask("/healthz", informers=[informer]).status == 200


def test_chosen_informers(ask, make, source) -> None:
    """Where some are named, the others are nobody's concern, and one that was not started yet is missing."""
    make(
        ListWatch(lambda _: ObjectList([], "1"), lambda _: FakeWatcher(None)),
        sync=False,
        watch_list=False,
        name="other",
    )
    later: SharedInformer[Any] = SharedInformer(source, name="later")
    assert ask("/readyz", informers=iter([later])).text == "informer later: not started\n"
    later.start()
    assert later.wait_for_sync(20)
    assert ask("/readyz", informers=iter([later])).status == 200
    later.stop(20)


def fail() -> None:
    raise RuntimeError("pl4nt3d")


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (fail, "check mine: failed with RuntimeError\n"),
        (lambda: ValueError("pl4nt3d"), "check mine: failed with ValueError\n"),
        (lambda: False, "check mine: failed\n"),
        (lambda: None, "ok\n"),
        (lambda: True, "ok\n"),
        (lambda: 0, "ok\n"),
    ],
    ids=["raises", "returns an error", "false", "none", "true", "anything"],
)
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_checks_of_the_users(ask, path: str, check: Callable[[], object], words: str, caplog) -> None:
    """Each fails by raising, by an exception or by False; what it says is for the log alone."""
    other, mine = ("live_checks", "ready_checks")[:: 1 if path == "/readyz" else -1]
    answer = ask(path, **{mine: {"mine": check}, other: {"other": fail}})
    assert answer.text == words
    assert answer.status == (200 if words == "ok\n" else 503)


def test_an_error_that_goes_on_for_ever(ask, make) -> None:
    """It is cut, and stands on one line."""
    calls: Channel[None] = Channel(None)

    def list_func(_: Any) -> ObjectList[Any]:
        calls.put(None)
        raise ApiError(500, "InternalError", "x\n" * 10000)

    make(ListWatch(list_func, lambda _: None), sync=False, watch_list=False)
    calls.get(20)
    calls.get(20)
    answer = ask("/readyz")
    assert len(answer.text) < 600
    assert answer.text.count("\n") == 1


def test_metrics(ask, make, source) -> None:
    """What the registry has, as text or as OpenMetrics, compressed for who asks for it."""
    make(source)
    answer = ask("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert 'informer_store_objects{name="things"} 3.0\n' in answer.text
    opened = ask("/metrics", environ={"HTTP_ACCEPT": "application/openmetrics-text; version=1.0.0"})
    assert opened.headers["Content-Type"].startswith("application/openmetrics-text")
    assert opened.text.endswith("# EOF\n")


class Broken(Collector):
    """A collector of somebody else's."""

    def collect(self) -> Any:
        raise RuntimeError("pl4nt3d")


def test_another_collector_that_fails(ask, registry, caplog) -> None:
    """The answer says that it failed, and the log how."""
    registry.register(Broken())
    answer = ask("/metrics")
    assert (answer.status, answer.text) == (500, "failed: the log says why\n")
    assert "pl4nt3d" in caplog.text
    assert ask("/readyz").status == 200


@pytest.mark.parametrize("path", ["/", "", "/x", "/metrics/x", "/healthz/../x"])
def test_other_paths(ask, path: str) -> None:
    """There are three pages."""
    assert ask(path).status == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_the_head_alone(ask, path: str) -> None:
    """HEAD is answered as GET is, without a body."""
    answer = ask(path, "HEAD")
    assert (answer.status, answer.text) == (200, "")


def test_other_methods(ask) -> None:
    """Nothing is changed by asking."""
    assert ask("/metrics", "POST").status == 405
    assert ask("/metrics", "OPTIONS").status == 405
    assert ask("/healthz", "POST").status == 405

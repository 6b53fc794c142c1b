"""What `/healthz` and `/readyz` report: informers and the user's checks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from informer import ListWatch, ObjectList, SharedInformer
from watch import ApiError, Channel, FakeWatcher


def empty(_: Any) -> ObjectList[Any]:
    return ObjectList([], "1")


def test_a_process_without_informers_is_alive_and_ready(ask) -> None:
    """It need not wait for a list."""
    for path in ("/healthz", "/readyz", "/healthz/"):
        answer = ask(path)
        assert (answer.status, answer.text) == (200, "ok\n")
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_process_is_ready_once_all_informers_have_synced(ask, make, source) -> None:
    """Until then the answer names each informer that has not synced, and the reason. The process is alive all the time."""
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
        "informer forbidden: not synced: 403 Forbidden: failed to list forbidden: pods is forbidden: user � may not"
    ]
    assert ask("/healthz").status == 200
    state.clear()
    assert forbidden.wait_for_sync(20)
    assert ask("/readyz").status == 200


def test_an_informer_whose_first_list_is_under_way_is_not_ready(ask, make, run) -> None:
    """The answer says so; it reports no error."""
    asked: Channel[None] = Channel(0)
    go: Channel[None] = Channel(0)

    def list_func(_: Any) -> ObjectList[Any]:
        asked.put(None)
        go.get(20)
        return ObjectList([], "1")

    informer = make(ListWatch(list_func, lambda _: FakeWatcher(None)), sync=False, watch_list=False)
    asked.get(20)
    assert ask("/readyz").text == "informer things: not synced: the first list is under way\n"
    go.put(None)
    assert informer.wait_for_sync(20)


def test_a_dead_reader_thread_makes_the_process_neither_alive_nor_ready(ask, make) -> None:
    """Only a restart helps. The answer shows the error's type, not its text."""
    informer = make(ListWatch(lambda _: sys.exit("pl4nt3d"), lambda _: None), sync=False, watch_list=False)
    assert not informer.wait_until(lambda: False, 20)
    for path in ("/healthz", "/readyz"):
        answer = ask(path)
        assert (answer.status, answer.text) == (503, "informer things: its reader thread ended with SystemExit\n")


def test_a_stopped_informer_counts_only_if_it_was_chosen(ask, make, source) -> None:
    """Without a choice of informers, only those that run are checked."""
    informer = make(source)
    informer.stop(20)
    assert ask("/readyz").status == 200
    assert ask("/readyz", informers=[informer]).text == "informer things: stopped\n"
    assert ask("/healthz", informers=[informer]).status == 200


def test_only_chosen_informers_are_checked(ask, make, source) -> None:
    """A chosen informer that was not started yet is not ready."""
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
def test_the_users_checks(ask, path: str, check: Callable[[], object], words: str, caplog) -> None:
    """A check fails if it raises, or returns an exception or False. The error's text is only logged."""
    other, mine = ("live_checks", "ready_checks")[:: 1 if path == "/readyz" else -1]
    answer = ask(path, **{mine: {"mine": check}, other: {"other": fail}})
    assert answer.text == words
    assert answer.status == (200 if words == "ok\n" else 503)


def test_a_long_error_is_cut_and_put_on_one_line(ask, make) -> None:
    """The answer stays below 600 characters."""
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

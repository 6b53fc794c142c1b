"""A group of threads: counting them, joining them, and telling them from other threads."""

from __future__ import annotations

import logging
import threading

import pytest

from informer.thread_group import ThreadGroup
from watch.concurrency import Worker


def test_join_waits_for_every_thread() -> None:
    """It returns False while one still runs, and True when all have ended."""
    thread_group, go = ThreadGroup(), threading.Event()
    thread_group.start(lambda: None, "short")
    thread_group.start(go.wait, "long")
    assert not thread_group.join(0.01)
    go.set()
    assert thread_group.join(10)


def test_ended_is_set_by_the_last_thread_of_a_closed_group() -> None:
    """Not while further threads may be started or one still runs."""
    thread_group, go = ThreadGroup(), threading.Event()
    thread_group.start(lambda: None, "short").join()
    assert not thread_group.ended.is_set()
    thread_group.start(go.wait, "long")
    thread_group.close()
    assert not thread_group.ended.is_set()
    go.set()
    assert thread_group.ended.wait(10)
    thread_group.join(None)


def test_a_group_without_threads_has_ended_once_closed() -> None:
    """Closing twice is harmless."""
    thread_group = ThreadGroup()
    thread_group.close()
    thread_group.close()
    assert thread_group.ended.is_set()
    assert thread_group.join(0)


def test_join_on_its_own_threads_does_not_wait() -> None:
    """On a thread of the group, or one started from such a thread, it returns False at once."""
    thread_group = ThreadGroup()
    answers: list[tuple[bool, bool]] = []

    def look() -> None:
        answers.append((thread_group.owns_current, thread_group.join(None)))

    def inner() -> None:
        look()
        Worker(look, "made-on-it").start().join(10)

    thread_group.start(inner, "own").join(10)
    look()
    assert answers == [(True, False), (True, False), (False, True)]


def test_a_thread_that_fails_has_ended_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Its exception is logged, and it counts as ended."""

    def fail() -> None:
        raise SystemExit

    thread_group = ThreadGroup()
    with caplog.at_level(logging.ERROR):
        thread_group.start(fail, "fails")
        thread_group.close()
        assert thread_group.ended.wait(10)
        assert thread_group.join(10)
    assert "thread fails ended with an error" in caplog.text


def test_a_thread_finds_itself_even_at_its_very_first_step() -> None:
    """`owns_current` is true on a thread from its first step on."""
    thread_group = ThreadGroup()
    answers: list[bool] = []
    for _ in range(200):
        thread_group.start(lambda: answers.append(thread_group.owns_current), "quick")
    assert thread_group.join(20)
    assert answers == [True] * 200

"""The threads of one informer: counted, waited for, and told apart from others."""

from __future__ import annotations

import logging
import threading

import pytest

from informer.crew import Crew
from watch.concurrency import Worker


def test_join_waits_for_every_thread() -> None:
    """It is False while one still runs, and True when all have ended."""
    crew, go = Crew(), threading.Event()
    crew.start(lambda: None, "short")
    crew.start(go.wait, "long")
    assert not crew.join(0.01)
    go.set()
    assert crew.join(10)


def test_ended_is_set_by_the_last_thread_of_a_closed_crew() -> None:
    """As long as threads may follow, or one runs, nothing has ended."""
    crew, go = Crew(), threading.Event()
    crew.start(lambda: None, "short").join()
    assert not crew.ended.is_set()
    crew.start(go.wait, "long")
    crew.close()
    assert not crew.ended.is_set()
    go.set()
    assert crew.ended.wait(10)
    crew.join(None)


def test_a_crew_without_threads_has_ended_once_closed() -> None:
    """Closing twice is harmless."""
    crew = Crew()
    crew.close()
    crew.close()
    assert crew.ended.is_set()
    assert crew.join(0)


def test_join_on_its_own_threads_does_not_wait() -> None:
    """On a thread of the crew, or on one made on such a thread, it is False at once."""
    crew = Crew()
    answers: list[tuple[bool, bool]] = []

    def look() -> None:
        answers.append((crew.owns_current, crew.join(None)))

    def inner() -> None:
        look()
        Worker(look, "made-on-it").start().join(10)

    crew.start(inner, "own").join(10)
    look()
    assert answers == [(True, False), (True, False), (False, True)]


def test_a_thread_that_fails_has_ended_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """What a thread raises is logged, and it counts as ended."""

    def fail() -> None:
        raise SystemExit

    crew = Crew()
    with caplog.at_level(logging.ERROR):
        crew.start(fail, "fails")
        crew.close()
        assert crew.ended.wait(10)
        assert crew.join(10)
    assert "thread fails ended with an error" in caplog.text


def test_a_thread_finds_itself_even_at_its_very_first_step() -> None:
    """However fast a thread begins, it knows that it belongs to the crew."""
    crew = Crew()
    answers: list[bool] = []
    for _ in range(200):
        crew.start(lambda: answers.append(crew.owns_current), "quick")
    assert crew.join(20)
    assert answers == [True] * 200

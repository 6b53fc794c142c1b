"""`Lifecycle` without an informer: a controller that only waits, and members that only count."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from informer import InformerForkedError
from informer.handlers.processor import Processor
from informer.shared.lifecycle import Lifecycle
from informer.shared.waiting import Waiters
from informer.thread_group import ThreadGroup
from tests.support.waiting import DEADLINE
from watch.concurrency import OwnerProcess


class Idle:
    """A controller that runs until it is stopped, or fails at once."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.stopped = threading.Event()
        self.failure = failure

    def run(self, stop: threading.Event) -> None:
        if self.failure is not None:
            raise self.failure
        assert self.stopped.wait(DEADLINE)

    def stop(self) -> None:
        self.stopped.set()


class Member:
    """A member whose thread runs until it is released."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.starts = 0

    def start(self, thread_group: ThreadGroup) -> None:
        self.starts += 1
        thread_group.start(lambda: self.go.wait(DEADLINE), "member")


class Made:
    """A lifecycle and its parts."""

    def __init__(self, failure: BaseException | None = None, on_start: Callable[[], object] | None = None) -> None:
        self.waiters = Waiters()
        self.controller: Any = Idle(failure)
        self.steps: list[str] = []
        self.lifecycle = Lifecycle(
            "mine",
            Processor(),
            self.waiters,
            make_controller=self._make_controller,
            on_start=on_start or (lambda: self.steps.append("on_start")),
            on_last_batch=lambda: None,
        )

    def _make_controller(self) -> Any:
        self.steps.append("make_controller")
        return self.controller


def test_it_starts_once_and_stops_once() -> None:
    """Fresh, started, stopped: no state comes again."""
    made = Made()
    life = made.lifecycle
    assert (life.is_started, life.is_stopped, life.controller) == (False, False, None)
    life.start()
    assert made.steps == ["make_controller", "on_start"]
    assert (life.is_started, life.is_stopped, life.controller) == (True, False, made.controller)
    with pytest.raises(RuntimeError, match="mine has already started"):
        life.start()
    assert life.stop(DEADLINE)
    assert (life.is_started, life.is_stopped, life.has_died) == (True, True, False)
    with pytest.raises(RuntimeError, match="mine has stopped: make a new one"):
        life.start()


def test_members_start_with_it_or_at_once() -> None:
    """A member that was added before the start begins with it; later ones begin as they are added; none after the stop."""
    life, early, removed, late = Made().lifecycle, Member(), Member(), Member()
    assert life.add_member(early)
    assert life.add_member(removed)
    assert life.remove_member(removed)
    assert not life.remove_member(removed)
    assert early.starts == 0
    life.start()
    assert life.add_member(late)
    assert (early.starts, removed.starts, late.starts) == (1, 0, 1)
    assert life.members == [early, late]
    assert life.stop(0) is False
    early.go.set()
    late.go.set()
    assert life.stop(DEADLINE)
    assert not life.add_member(Member())


def test_on_end_is_called_when_the_last_thread_has_ended() -> None:
    """The stop alone is not the end."""
    life, member, ended = Made().lifecycle, Member(), threading.Event()
    life.add_member(member)
    life.start()
    life.on_end(ended.set)
    life.begin_stop()
    assert not ended.is_set()
    member.go.set()
    assert ended.wait(DEADLINE)
    assert life.stop(DEADLINE)


def test_a_controller_that_fails_stops_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    """The exception is kept and logged, waits end, and `has_died` stays true until `stop` is called."""
    error = LookupError("odd")
    made = Made(error)
    life, ended = made.lifecycle, threading.Event()
    life.on_end(ended.set)
    with caplog.at_level(logging.ERROR):
        life.start()
        assert made.waiters.wait_until(lambda: False, DEADLINE) is False
        assert ended.wait(DEADLINE)
    assert life.failure is error
    assert life.is_stopped
    assert life.has_died
    assert "informer mine stopped because its reader thread failed" in caplog.text
    assert life.stop(DEADLINE)
    assert not life.has_died


def test_a_start_that_fails_stops_what_was_started() -> None:
    """The exception comes out, and nothing is left running."""

    def fail() -> None:
        raise KeyboardInterrupt

    made = Made(on_start=fail)
    with pytest.raises(KeyboardInterrupt):
        made.lifecycle.start()
    assert made.lifecycle.is_stopped
    assert made.controller.stopped.is_set()
    assert made.lifecycle.stop(0)


def test_what_is_set_before_the_start_is_refused_later() -> None:
    """`before_start` holds off the start for its block, and raises afterwards."""
    life, entered, starter = Made().lifecycle, threading.Event(), []
    with life.before_start():
        starter.append(threading.Thread(target=lambda: (entered.set(), life.start())))
        starter[0].start()
        assert entered.wait(DEADLINE)
        assert not life.is_started
    starter[0].join(DEADLINE)
    assert life.is_started
    with pytest.raises(RuntimeError, match="already started"), life.before_start():
        pass
    life.stop(DEADLINE)
    with pytest.raises(RuntimeError, match="has stopped"), life.before_start():
        pass


def test_in_another_process_it_may_not_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once started, everything but a stop raises in a forked child; the stop does nothing there."""
    made = Made()
    life = made.lifecycle
    life.check_process()
    life.start()
    with monkeypatch.context() as patched:
        patched.setattr(OwnerProcess, "is_current", False)
        assert life.is_forked
        uses: list[Callable[[], object]] = [
            life.check_process,
            life.start,
            lambda: life.controller,
            lambda: life.members,
            lambda: life.on_end(print),
            lambda: life.before_start().__enter__(),
        ]
        for use in uses:
            with pytest.raises(InformerForkedError, match="mine was started before this process was forked"):
                use()
        assert life.stop(None) is True
    assert not life.is_stopped
    assert life.stop(DEADLINE)

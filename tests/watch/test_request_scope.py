"""Scopes that cancel requests in flight."""

from __future__ import annotations

import pytest

from watch.channel import Channel
from watch.concurrency import Latch, current_thread_id
from watch.errors import RequestCancelledError, WatchError
from watch.request_scope import RequestScope, current_scope, unless_cancelled


def test_a_scope_is_found_while_it_is_entered(run):
    """current_scope returns the innermost scope entered on the calling thread."""
    outer, inner = RequestScope(), RequestScope()
    assert current_scope() is None
    with outer:
        assert current_scope() is outer
        with inner, inner:
            assert current_scope() is inner
        assert current_scope() is outer
        assert run(current_scope).result() is None
    assert current_scope() is None


def test_a_scope_is_left_by_an_exception():
    """A request that fails leaves its scope."""
    with pytest.raises(LookupError), RequestScope():
        raise LookupError
    assert current_scope() is None


def test_cancelling_calls_each_registered_function_once():
    """Cancelling calls every registered function once, and none that was withdrawn."""
    scope = RequestScope()
    closed: list[str] = []
    scope.on_cancel(lambda: closed.append("one"))
    withdraw = scope.on_cancel(lambda: closed.append("two"))
    scope.on_cancel(lambda: closed.append("three"))
    withdraw()
    assert not scope.cancelled
    scope.cancel()
    scope.cancel()
    withdraw()
    assert scope.cancelled
    assert closed == ["one", "three"]


def test_a_cancelled_scope_refuses_requests():
    """A later registration raises RequestCancelledError, and its function is not called."""
    scope = RequestScope()
    scope.cancel()
    closed: list[str] = []
    with pytest.raises(RequestCancelledError, match="its owner has stopped") as caught:
        scope.on_cancel(lambda: closed.append("late"))
    assert closed == []
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, WatchError)


def test_an_exception_of_one_function_does_not_stop_the_others(caplog):
    """An exception of one function is logged, and the others are called."""
    scope = RequestScope()
    closed: list[str] = []
    scope.on_cancel(lambda: 1 / 0)
    scope.on_cancel(lambda: closed.append("closed"))
    scope.cancel()
    assert closed == ["closed"]
    assert "ZeroDivisionError" in caplog.text


def test_a_closer_may_use_its_scope():
    """A function that is called may withdraw itself or register without a deadlock."""
    scope = RequestScope()
    withdraw = scope.on_cancel(lambda: withdraw())
    scope.cancel()
    assert scope.cancelled


def test_a_cancel_meets_a_request_that_is_just_beginning(run):
    """A request that begins during the cancellation is either refused or closed."""
    for _ in range(50):
        scope = RequestScope()
        closed: list[bool] = []

        def register(scope=scope, closed=closed):
            scope.on_cancel(lambda: closed.append(True))

        request = run(register)
        scope.cancel()
        try:
            request.result()
        except RequestCancelledError:
            closed.append(True)
        assert closed == [True]


# Calls that cannot be interrupted


def test_the_result_or_exception_of_a_call_is_passed_on():
    """Within a scope the function runs on another thread, else on the caller's; its result or exception is passed on."""
    assert unless_cancelled(current_thread_id, "call") == current_thread_id()
    with RequestScope() as scope:
        assert unless_cancelled(current_thread_id, "call") != current_thread_id()
        with pytest.raises(LookupError, match="mine"):
            unless_cancelled(lambda: raise_(LookupError("mine")), "call")
        with pytest.raises(SystemExit):
            unless_cancelled(lambda: raise_(SystemExit(3)), "call")
        scope.cancel()
        with pytest.raises(RequestCancelledError):
            unless_cancelled(lambda: pytest.fail("it was called"), "call")


def test_a_call_is_abandoned_when_its_scope_is_cancelled(run):
    """The caller continues at once; a result that comes later is discarded once."""
    scope, entered, go = RequestScope(), Latch(), Latch()
    discarded: Channel[str] = Channel(None)

    def block() -> str:
        entered.open()
        go.wait(10)
        return "late"

    def ask() -> None:
        with scope:
            unless_cancelled(block, "call", discard=discarded.put)

    task = run(ask)
    assert entered.wait(10)
    scope.cancel()
    try:
        with pytest.raises(RequestCancelledError, match="its owner has stopped"):
            task.result()
        assert len(discarded) == 0
    finally:
        go.open()
    assert discarded.get(10) == "late"


@pytest.mark.parametrize("round_", range(20))
def test_a_cancel_that_meets_the_return_of_a_call(run, round_):
    """The result is either returned or discarded, never both."""
    scope = RequestScope()
    values: Channel[str] = Channel(None)

    def ask() -> None:
        with scope:
            values.put(unless_cancelled(lambda: "value", "call", discard=values.put))

    task = run(ask)
    scope.cancel()
    try:
        task.result()
    except RequestCancelledError:
        assert len(values) <= 1
    else:
        assert len(values) == 1


def raise_(error: BaseException) -> None:
    raise error

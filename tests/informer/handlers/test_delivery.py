"""`Delivery`: calls of one handler, without a thread or an event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from informer import Change, DeltaType
from informer.handlers.backlog import Backlog
from informer.handlers.delivery import Delivery, Registration
from informer.handlers.handler import HandlerFunctions
from informer.handlers.processor import ResyncSchedule
from informer.handlers.subscription import Subscription


def added(name: str, *, initial: bool = False) -> Change[Any]:
    return Change(DeltaType.ADDED, name, is_in_initial_list=initial, key=name)


def make(
    on_error: Callable[[Change[Any], BaseException], object] | None = None,
    *,
    keep: Callable[[Any], object] | None = None,
    unwrap: Callable[[Any], Any] | None = None,
    yields: bool = False,
    catch: Any = BaseException,
    **functions: Any,
) -> Delivery:
    subscription = Subscription(
        Backlog(), ResyncSchedule(0, 0, 0), unwrap=lambda: unwrap, keep=keep, on_initial_done=lambda: None
    )
    handler = HandlerFunctions(**functions, may_be_async=yields)
    return Delivery(handler, subscription, lambda: True, on_error, yields=yields, catch=catch)


def hand_over(delivery: Delivery, *changes: Change[Any]) -> list[object]:
    """Puts changes, has them handed over, and returns what the delivery yielded."""
    delivery.subscription.put(changes, sum(change.is_in_initial_list for change in changes))
    taken = delivery.subscription.take(0)
    assert taken is not None
    return [*delivery.deliver(taken)]


def test_calls_come_in_order_and_are_counted() -> None:
    """Each change is one call; a delivery for a thread yields nothing."""
    calls: list[str] = []
    delivery = make(on_add=calls.append)
    assert hand_over(delivery, added("a"), added("b")) == []
    assert hand_over(delivery, added("c")) == []
    assert calls == ["a", "b", "c"]
    assert (delivery.calls, delivery.errors) == (3, 0)


def test_it_is_busy_only_while_it_hands_over() -> None:
    """`busy_since` is set within a call, and `busy_seconds` has grown after it."""
    since: list[float | None] = []
    delivery = make(on_add=lambda obj: since.append(delivery.busy_since))
    assert delivery.busy_since is None
    hand_over(delivery, added("a"))
    assert since[0] is not None
    assert delivery.busy_since is None
    assert delivery.busy_seconds > 0


def test_the_filter_sees_what_the_handler_sees() -> None:
    """Changes are unwrapped, then filtered; what the filter drops counts as handed over."""
    calls: list[str] = []
    delivery = make(on_add=calls.append, unwrap=str.upper, keep=lambda obj: obj != "B")
    hand_over(delivery, added("a"), added("b"), added("c"))
    assert calls == ["A", "C"]
    assert delivery.calls == 3


def test_initial_adds_are_finished_before_what_is_queued_behind_them() -> None:
    """The handler has synced after its last initial add, while a later change of the same batch still waits."""
    synced: list[tuple[str, bool]] = []
    delivery = make(on_add=lambda obj: synced.append((obj, delivery.has_synced())))
    assert delivery.has_synced()
    hand_over(delivery, added("a", initial=True), added("b", initial=True), added("c"))
    assert synced == [("a", False), ("b", False), ("c", True)]


@pytest.mark.parametrize("how", ["each", "batch"])
def test_a_failure_is_logged_counted_and_passed_on(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """`on_error` gets each change of the failed call, in the form that the handler saw."""
    failures: list[tuple[str, str]] = []

    def fail(what: Any) -> None:
        raise LookupError("odd")

    functions = {"on_batch": fail} if how == "batch" else {"on_add": fail}
    delivery = make(lambda change, error: failures.append((change.object, str(error))), unwrap=str.upper, **functions)
    with caplog.at_level(logging.ERROR):
        hand_over(delivery, added("a"), added("b"))
    assert failures == [("A", "odd"), ("B", "odd")]
    assert delivery.errors == (1 if how == "batch" else 2)
    assert delivery.calls == 2
    assert "failed for the Added change of a" in caplog.text


def test_an_on_error_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Its exception ends nothing."""

    def fail(*args: Any) -> None:
        raise SystemExit

    delivery = make(fail, on_add=fail)
    with caplog.at_level(logging.ERROR):
        hand_over(delivery, added("a"), added("b"))
    assert delivery.errors == 2
    assert "on_error of handler" in caplog.text


def test_other_exceptions_than_those_to_catch_end_the_delivery() -> None:
    """A driver for tasks leaves SystemExit to the event loop."""

    def leave(obj: Any) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        hand_over(make(on_add=leave, catch=Exception), added("a"))


def test_with_yields_each_result_comes_out() -> None:
    """What a call returned is yielded, None for a change that the filter dropped."""
    delivery = make(on_add=str.upper, keep=lambda obj: obj != "b", yields=True)
    assert hand_over(delivery, added("a"), added("b"), added("c")) == ["A", None, "C"]


def test_an_exception_thrown_in_fails_the_call_that_was_yielded() -> None:
    """That is how awaiting a call's result fails; the next call follows."""
    failures: list[str] = []
    delivery = make(lambda change, error: failures.append(change.key), on_add=str.upper, yields=True)
    delivery.subscription.put([added("a"), added("b")], 0)
    taken = delivery.subscription.take(0)
    assert taken is not None
    results = delivery.deliver(taken)
    assert next(results) == "A"
    assert results.throw(ValueError("failed later")) is None  # what `on_error` returned
    assert next(results) == "B"
    assert next(results, "end") == "end"
    assert (failures, delivery.errors) == (["a"], 1)


def test_a_handler_that_leaves_is_not_called_again() -> None:
    """What was taken with its last change is dropped, and nothing counts as synced."""
    calls: list[str] = []

    def leave(obj: str) -> None:
        calls.append(obj)
        delivery.subscription.close()

    delivery = make(on_add=leave)
    hand_over(delivery, added("a", initial=True), added("b", initial=True), added("c"))
    assert calls == ["a"]
    assert not delivery.has_synced()


def test_a_registration_shows_its_delivery() -> None:
    """Name, counts, backlog and times are those of the delivery."""
    delivery = make(on_add=str.upper)
    registration = Registration(delivery)
    delivery.subscription.put([added("a")], 0)
    assert registration.backlog_size == 1
    assert registration.lag_seconds > 0
    taken = delivery.subscription.take(0)
    assert taken is not None
    for _ in delivery.deliver(taken):
        pass
    assert (registration.calls, registration.errors, registration.backlog_size, registration.lag_seconds) == (
        1,
        0,
        0,
        0,
    )
    assert registration.busy_seconds == delivery.busy_seconds
    assert registration.busy_since is None
    assert registration.has_synced()
    assert registration.name == "str.upper"

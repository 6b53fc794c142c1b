"""Subscriptions: what their owner sees, what waits, and when the initial list is finished."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer import Change, DeltaType, InformerForkedError
from informer.handlers.backlog import Backlog, CoalescingBacklog
from informer.handlers.processor import ResyncSchedule
from informer.handlers.subscription import Subscription, initial_part, make_backlog


def added(key: str, *, initial: bool = False) -> Change:
    return Change(DeltaType.ADDED, key, None, initial, key=key)


def deleted(key: str) -> Change:
    return Change(DeltaType.DELETED, key, key=key)


def subscription(**options: Any) -> Subscription:
    defaults: dict[str, Any] = {
        "backlog": Backlog(),
        "resync": ResyncSchedule(0, 0, 0),
        "unwrap": lambda: None,
        "on_initial_done": lambda: None,
    }
    return Subscription(**{**defaults, **options})


@pytest.mark.parametrize(("policy", "kind"), [("all", Backlog), ("coalesce", CoalescingBacklog)])
def test_a_policy_names_its_backlog(policy: Any, kind: type) -> None:
    """Each policy makes its kind of backlog."""
    assert type(make_backlog(policy)) is kind


def test_an_unknown_policy_is_refused() -> None:
    """The message names the policies."""
    unknown: Any = "newest"
    with pytest.raises(ValueError, match=r'"all" or "coalesce", not \'newest\''):
        make_backlog(unknown)


def test_initial_adds_are_done_when_the_last_is_finished() -> None:
    """Initial adds of several batches count together, and the callback comes once, at the end."""
    done: list[bool] = []
    mine = subscription(on_initial_done=lambda: done.append(True))
    assert mine.initial_done
    mine.put([added("a", initial=True), added("b", initial=True)], 2)
    mine.put([added("c", initial=True), added("d")], 1)
    mine.finished(2)
    assert (mine.initial_done, done) == (False, [])
    mine.finished(0)
    assert done == []
    mine.finished(1)
    assert (mine.initial_done, done) == (True, [True])


def test_initial_adds_that_are_folded_away_count_as_finished() -> None:
    """The sync does not wait for adds that a delete has undone."""
    done: list[bool] = []
    mine = subscription(backlog=CoalescingBacklog(), on_initial_done=lambda: done.append(True))
    mine.put([added("a", initial=True), added("b", initial=True)], 2)
    mine.put([deleted("a")], 0)
    assert not mine.initial_done
    mine.put([deleted("b")], 0)
    assert (mine.initial_done, done) == (True, [True])


def test_initial_adds_can_be_left_out() -> None:
    """With `skip_initial` they are neither given nor waited for."""
    mine = subscription(skip_initial=True)
    mine.put([added("a", initial=True), added("b")], 1)
    mine.take()
    assert ([change.key for change in mine.in_hand], mine.initial_done) == (["b"], True)
    mine.put([added("c", initial=True)], 1)
    with pytest.raises(TimeoutError):
        mine.take(0)


def test_the_unwrap_function_is_looked_up_at_each_take() -> None:
    """A transform may be set after a listener was added."""
    form: list[Any] = [None]
    mine = subscription(unwrap=lambda: form[0])
    assert mine.is_plain
    form[0] = str.upper
    mine.put([added("a")], 0)
    mine.take()
    assert not mine.is_plain
    assert [mine.unwrapped(change).object for change in mine.in_hand] == ["A"]


def test_wake_comes_with_each_batch_and_at_the_end() -> None:
    """`wake` is called for each batch that is not empty, and at the close."""
    wakes: list[int] = []
    mine = subscription()
    mine.on_put(lambda: wakes.append(1))
    mine.put([], 0)
    assert len(wakes) == 0
    mine.put([added("a")], 0)
    assert len(wakes) == 1
    mine.close()
    assert len(wakes) == 2


@pytest.mark.parametrize("drain", [True, False])
def test_dropped_tells_a_close_without_drain(drain: bool) -> None:
    """A close with drain loses nothing; a later one without drain does."""
    mine = subscription()
    mine.put([added("a")], 0)
    mine.close(drain=drain)
    assert (mine.dropped, mine.backlog_size) == (not drain, int(drain))
    mine.close()
    assert (mine.dropped, mine.backlog_size) == (True, 0)


def test_lag_is_the_age_of_the_oldest_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows while a change waits, and is 0 when none does."""
    now = [10.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    mine = subscription()
    assert mine.lag_seconds == 0
    mine.put([added("a")], 0)
    now[0] = 12.5
    assert mine.lag_seconds == 2.5
    mine.take()
    assert mine.lag_seconds == 2.5
    list(mine.in_hand)
    assert mine.lag_seconds == 0


def test_in_a_forked_child_it_ends_and_may_not_be_read() -> None:
    """An iteration ends, `wake` is not called, and every reading raises."""
    forked, wakes = False, []

    def check_process() -> None:
        if forked:
            raise InformerForkedError("forked")

    mine = subscription(check_process=check_process)
    mine.put([added("a")], 0)
    mine.take()
    mine.on_put(lambda: wakes.append(1))
    forked = True
    mine.end_in_child()
    assert list(mine.in_hand) == []
    assert mine.dropped
    assert wakes == []
    for look in (mine.take, lambda: mine.backlog_size, lambda: mine.lag_seconds):
        with pytest.raises(InformerForkedError):
            look()
    mine.close()


@pytest.mark.parametrize(
    ("initial", "expected"),
    [([], (0, 0)), ([False, False], (0, 0)), ([True, True], (2, 2)), ([True, False, True, False], (3, 2))],
    ids=["empty", "none", "all", "between"],
)
def test_initial_part_reaches_to_the_last_initial_add(initial: list[bool], expected: tuple[int, int]) -> None:
    """It returns the index behind the last initial add, and the number of initial adds."""
    assert initial_part([added(str(i), initial=flag) for i, flag in enumerate(initial)]) == expected


@given(
    st.sampled_from(["all", "coalesce"]),
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["initial", "set", "delete", "take"])), max_size=40),
)
def test_every_initial_add_is_finished_once(policy: Any, steps: list[tuple[str, str]]) -> None:
    """Whether it is delivered or folded away, and none too early."""
    mine = subscription(backlog=make_backlog(policy))
    there: set[str] = set()
    known: set[str] = set()
    waiting: set[str] = set()  # initial adds that were put and neither delivered nor undone

    def deliver() -> None:
        for change in mine.in_hand:
            if change.is_in_initial_list:
                mine.finished(1)
                waiting.discard(change.key)

    for key, action in steps:
        if action == "initial" and key not in known:
            known.add(key)
            there.add(key)
            waiting.add(key)
            mine.put([added(key, initial=True)], 1)
        elif action == "set" and key in there:
            mine.put([Change(DeltaType.UPDATED, key, key, key=key)], 0)
        elif action == "delete" and key in there:
            there.discard(key)
            mine.put([deleted(key)], 0)
            if policy == "coalesce":
                waiting.discard(key)
        elif action == "take" and mine.backlog_size:
            mine.take(0)
            deliver()
        assert mine.initial_done == (not waiting)
    mine.close(drain=True)
    while mine.take() is not None:
        deliver()
    assert mine.initial_done

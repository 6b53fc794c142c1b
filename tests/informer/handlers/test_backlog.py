"""The backlog of a handler: every change in order, or the net change per key."""

from __future__ import annotations

import gc
import sysconfig
import threading
import weakref
from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer import Change, DeltaType
from informer.handlers.backlog import Backlog, CoalescingBacklog
from tests.support.objects import stored_pod as pod


def name_of(obj: dict[str, Any]) -> str:
    return obj["metadata"]["name"]


def added(obj: Any, *, initial: bool = False) -> Change:
    return Change(DeltaType.ADDED, obj, None, initial, key=name_of(obj))


def updated(old: Any, new: Any, *, is_sync: bool = False) -> Change:
    return Change(DeltaType.UPDATED, new, old, is_sync=is_sync, key=name_of(new))


def deleted(obj: Any) -> Change:
    return Change(DeltaType.DELETED, obj, key=name_of(obj))


def taken_from(backlog: Backlog) -> list[Change]:
    backlog.take(0)
    return list(backlog.in_hand)


def drained(backlog: Backlog) -> list[Change]:
    backlog.close(drain=True)
    changes: list[Change] = []
    while backlog.take() is not None:
        changes += backlog.in_hand
    return changes


A1, A2, A3 = pod("a", 1), pod("a", 2), pod("a", 3)
OTHER = pod("a", 4, uid="uid-other")


@pytest.mark.parametrize(
    ("puts", "expected"),
    [
        pytest.param([added(A1), updated(A1, A2)], [added(A2)], id="add-update"),
        pytest.param([added(A1), deleted(A2)], [], id="add-delete"),
        pytest.param([updated(A1, A2), updated(A2, A3)], [updated(A1, A3)], id="update-update"),
        pytest.param([updated(A1, A2), deleted(A3)], [deleted(A3)], id="update-delete"),
        pytest.param([deleted(A1), added(OTHER)], [deleted(A1), added(OTHER)], id="delete-add"),
        pytest.param([deleted(A1), added(OTHER), deleted(OTHER)], [deleted(A1)], id="delete-add-delete"),
        pytest.param([updated(A1, A2), deleted(A2), added(OTHER)], [deleted(A2), added(OTHER)], id="update-delete-add"),
        pytest.param(
            [added(A1, initial=True), updated(A1, A2)], [added(A2, initial=True)], id="initial-add-stays-initial"
        ),
    ],
)
def test_coalescing_folds_what_waits_for_a_key(puts: list[Change], expected: list[Change]) -> None:
    """The changes that wait for a key are folded into at most a delete and an add."""
    backlog = CoalescingBacklog()
    for change in puts:
        backlog.put([change])
    assert drained(backlog) == expected


def test_coalescing_keeps_an_object_of_another_uid_apart() -> None:
    """An update to an object with another uid becomes a delete of the old one and an add of the new one."""
    backlog = CoalescingBacklog()
    backlog.put([updated(A1, OTHER)])
    gone, came = drained(backlog)
    assert (gone.type, gone.object, gone.final_state_unknown) == (DeltaType.DELETED, A1, True)
    assert (came.type, came.object) == (DeltaType.ADDED, OTHER)


def test_coalescing_counts_initial_adds_that_a_delete_undoes() -> None:
    """`put` returns their number, so that the handler's sync does not wait for them."""
    backlog = CoalescingBacklog()
    assert backlog.put([added(A1, initial=True)]) == 0
    assert backlog.put([deleted(A1)]) == 1
    assert len(backlog) == 0


def test_backlog_keeps_every_change_in_order() -> None:
    """No change is lost, and none overtakes another."""
    backlog = Backlog()
    changes = [added(A1), updated(A1, A2), deleted(A2)]
    for change in changes:
        backlog.put([change])
    assert len(backlog) == 3
    assert drained(backlog) == changes


@pytest.mark.parametrize("make", [Backlog, CoalescingBacklog], ids=["all", "coalesce"])
def test_close_drops_what_waits_and_ends_a_wait(make: Any) -> None:
    """A closed backlog gives no change, and a waiting `take` returns."""
    backlog = make()
    backlog.put([added(A1)])
    backlog.close()
    backlog.put([added(A2)])
    assert backlog.take() is None
    assert backlog.oldest is None
    waiting = make()
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(waiting.take()))
    thread.start()
    waiting.close()
    thread.join(5)
    assert results == [None]


names = st.sampled_from("abc")


@given(st.lists(st.tuples(names, st.sampled_from(["set", "delete", "recreate", "take"])), max_size=60))
def test_coalesced_changes_replay_to_the_same_state(steps: list[tuple[str, str]]) -> None:
    """However changes are folded, a reader ends with the writer's state and never sees an impossible step."""
    backlog = CoalescingBacklog()
    truth: dict[str, dict[str, Any]] = {}
    seen: dict[str, dict[str, Any]] = {}

    def replay(changes: list[Change]) -> None:
        for change in changes:
            name = name_of(change.object)
            if change.type is DeltaType.ADDED:
                assert name not in seen
                seen[name] = change.object
            elif change.type is DeltaType.UPDATED:
                assert seen[name] == change.old
                seen[name] = change.object
            else:
                assert seen.pop(name)["metadata"]["uid"] == change.object["metadata"]["uid"]

    for number, (name, action) in enumerate(steps):
        old = truth.get(name)
        if action == "take":
            if len(backlog):
                replay(taken_from(backlog))
        elif action == "delete":
            if old is not None:
                backlog.put([deleted(truth.pop(name))])
        else:
            same_uid = old is not None and action == "set"
            new = pod(name, number, old["metadata"]["uid"] if same_uid and old else f"uid-{number}")
            backlog.put([added(new) if old is None else updated(old, new)])
            truth[name] = new
            assert len(backlog) <= 2 * len("abc")
    replay(drained(backlog))
    assert seen == truth


BOTH = pytest.mark.parametrize("make", [Backlog, CoalescingBacklog], ids=["all", "coalesce"])


@BOTH
def test_what_was_taken_counts_as_waiting_until_it_is_drawn(make: Any) -> None:
    """The size covers the waiting changes and the taken ones that are not handed over yet."""
    backlog = make()
    backlog.put([added(pod(name, 1)) for name in "abc"])
    assert len(backlog) == 3
    backlog.take()
    assert len(backlog) == 3
    next(backlog.in_hand)
    backlog.put([added(pod("d", 1))])
    assert len(backlog) == 3
    list(backlog.in_hand)
    assert len(backlog) == 1


@BOTH
def test_changes_that_were_handed_over_are_released_before_the_next_wait(make: Any) -> None:
    """An idle handler keeps no object in memory, even while another reference to its list exists."""

    class Held:
        def __init__(self) -> None:
            self.metadata = {"name": "a"}

    backlog = make()
    obj = Held()
    gone = weakref.ref(obj)
    backlog.put([Change(DeltaType.ADDED, obj, key="a")])
    del obj
    taken = backlog.take()
    assert [change.key for change in backlog.in_hand] == ["a"]
    assert gone() is not None
    with pytest.raises(TimeoutError):
        backlog.take(0)
    assert gone() is None
    assert taken is not None


@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="another collector")
@BOTH
def test_waiting_changes_are_not_visited_by_the_cycle_collector(make: Any) -> None:
    """After its first pass the collector has no more objects to visit than before: its pauses do not grow with a backlog."""
    backlog = make()
    gc.collect()
    before = len(gc.get_objects())
    for i in range(1000):
        backlog.put([Change(DeltaType.ADDED, None, key=f"k{i}")])
    # What is in a tuple is left out in one pass, the tuple in the next.
    for _ in range(3):
        gc.collect()
    assert len(gc.get_objects()) - before < 100


@BOTH
def test_a_take_that_times_out_keeps_what_is_in_hand(make: Any) -> None:
    """Changes that were taken and not drawn can still be drawn."""
    backlog = make()
    backlog.put([added(A1)])
    backlog.take()
    with pytest.raises(TimeoutError):
        backlog.take(0)
    assert [change.key for change in backlog.in_hand] == ["a"]


@BOTH
def test_close_ends_an_iteration_under_way(make: Any) -> None:
    """A close without drain ends it at once."""
    backlog = make()
    backlog.put([added(pod(name, 1)) for name in "abc"])
    backlog.take()
    in_hand = backlog.in_hand
    assert next(in_hand).key == "a"
    backlog.close()
    assert list(in_hand) == []
    assert (len(backlog), backlog.oldest, backlog.take()) == (0, None, None)


@BOTH
def test_draining_gives_what_waits_and_accepts_nothing_more(make: Any) -> None:
    """A close with drain keeps the waiting and the taken changes, and refuses further ones."""
    backlog = make()
    backlog.put([added(A1)])
    backlog.take()
    backlog.put([added(pod("b", 1))])
    backlog.close(drain=True)
    backlog.put([added(pod("c", 1))])
    assert [change.key for change in backlog.in_hand] == ["a"]
    assert [change.key for change in drained(backlog)] == ["b"]
    backlog.close()
    assert backlog.take() is None


@BOTH
def test_oldest_is_the_arrival_of_the_first_change_not_handed_over(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that were taken together keep their own times of arrival."""
    now = [10.0]
    monkeypatch.setattr("informer.handlers.backlog.time.monotonic", lambda: now[0])
    backlog = make()
    backlog.put([added(pod("a", 1)), added(pod("b", 1))])
    now[0] = 20.0
    backlog.put([added(pod("c", 1))])
    assert backlog.oldest == 10.0
    backlog.take()
    now[0] = 30.0
    backlog.put([added(pod("d", 1))])
    ages = []
    for _ in backlog.in_hand:
        ages.append(backlog.oldest)
    assert ages == [10.0, 20.0, 30.0]


@BOTH
def test_take_times_out(make: Any) -> None:
    """A take of an empty backlog with a time-out of 0 does not wait."""
    with pytest.raises(TimeoutError, match="no change came in time"):
        make().take(0)


@BOTH
def test_backlogs_are_never_falsy(make: Any) -> None:
    """An empty backlog is true."""
    assert make()


def test_a_handler_that_falls_behind_takes_some_hundred_keys_at_a_time() -> None:
    """The later keys stay behind, where their changes can still be folded, and come out in order."""
    backlog = CoalescingBacklog()
    names_in_order = [f"n{i}" for i in range(600)]
    backlog.put([added(pod(name, 1)) for name in names_in_order])
    first = taken_from(backlog)
    assert 0 < len(first) < 600
    backlog.put([updated(pod(name, 1), pod(name, 2)) for name in names_in_order])
    rest = drained(backlog)
    assert [change.key for change in first + rest if change.type is DeltaType.ADDED] == names_in_order
    assert all(change.object["metadata"]["resourceVersion"] == "2" for change in rest)


def test_a_handler_that_is_far_behind_takes_some_thousand_changes_at_a_time() -> None:
    """Changes stay in memory only until about a thousand are handed over; order, size and age stay right."""
    backlog = Backlog()
    states = [pod(f"n{i}", 1) for i in range(5000)]
    for state in states[:4000]:
        backlog.put([added(state)])
    backlog.put([added(state) for state in states[4000:]])
    seen: list[Any] = []
    while len(backlog):
        held = backlog.take()
        assert held is not None
        assert len(held) <= 2000
        for change in backlog.in_hand:
            seen.append(change.object)
            assert len(backlog) == 5000 - len(seen)
            assert (backlog.oldest is None) == (len(seen) == 5000)
    assert seen == states


def test_resyncs_of_one_key_are_folded_into_one_and_news_win() -> None:
    """Two resyncs of an object become one; a resync and an update become an update without `is_sync`."""
    backlog = CoalescingBacklog()
    backlog.put([updated(A1, A1, is_sync=True)])
    backlog.put([updated(A1, A1, is_sync=True)])
    assert drained(backlog) == [updated(A1, A1, is_sync=True)]
    backlog = CoalescingBacklog()
    backlog.put([updated(A1, A1, is_sync=True)])
    backlog.put([updated(A1, A2)])
    assert drained(backlog) == [updated(A1, A2)]


def test_coalescing_needs_no_metadata() -> None:
    """Objects without metadata are identified by their keys alone."""
    backlog = CoalescingBacklog()
    backlog.put([Change(DeltaType.UPDATED, "two", "one", key="k")])
    backlog.put([Change(DeltaType.UPDATED, "three", "two", key="k")])
    assert drained(backlog) == [Change(DeltaType.UPDATED, "three", "one")]


def test_folded_changes_keep_their_key() -> None:
    """Every change that comes out has the key of the changes that it combines."""
    backlog = CoalescingBacklog()
    backlog.put([added(A1), updated(A1, A2)])
    assert [change.key for change in drained(backlog)] == ["a"]
    backlog = CoalescingBacklog()
    backlog.put([updated(A1, OTHER)])
    assert [change.key for change in drained(backlog)] == ["a", "a"]


def test_a_folded_delete_knows_what_the_handler_saw_last() -> None:
    """For an update that was never delivered and a delete, `last_known` is the state before the update."""
    backlog = CoalescingBacklog()
    backlog.put([updated(A1, A2), Change(DeltaType.DELETED, A3, key="a", last_known=A2)])
    (gone,) = drained(backlog)
    assert (gone.object, gone.last_known) == (A3, A1)


def test_a_folded_delete_keeps_its_reason() -> None:
    """An update and a delete that wait become one delete."""
    backlog = CoalescingBacklog()
    first = Change(DeltaType.UPDATED, pod("a", "2"), pod("a", "1"), key="a")
    backlog.put([first, Change(DeltaType.DELETED, pod("a", "2"), final_state_unknown=True, key="a", reason="why")])
    (folded,) = backlog.take(0) or ()
    assert (folded.type, folded.reason) == (DeltaType.DELETED, "why")

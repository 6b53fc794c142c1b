"""What waits for a handler: everything in order, or the newest state of each key."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer import Change, DeltaType
from informer.backlog import Backlog, CoalescingBacklog


def pod(name: str, version: int, uid: str | None = None) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}}


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
    """What waits for a key is folded into at most a delete and an add."""
    backlog = CoalescingBacklog()
    for change in puts:
        backlog.put([change])
    assert drained(backlog) == expected


def test_coalescing_keeps_an_object_of_another_uid_apart() -> None:
    """An update to an object with another uid is a delete of the old one and an add of the new one."""
    backlog = CoalescingBacklog()
    backlog.put([updated(A1, OTHER)])
    gone, came = drained(backlog)
    assert (gone.type, gone.object, gone.final_state_unknown) == (DeltaType.DELETED, A1, True)
    assert (came.type, came.object) == (DeltaType.ADDED, OTHER)


def test_coalescing_counts_initial_adds_that_came_to_nothing() -> None:
    """An initial add that a delete undoes is reported, so that it need not be waited for."""
    backlog = CoalescingBacklog()
    assert backlog.put([added(A1, initial=True)]) == 0
    assert backlog.put([deleted(A1)]) == 1
    assert len(backlog) == 0


def test_backlog_keeps_every_change_in_order() -> None:
    """Nothing is lost and nothing overtakes."""
    backlog = Backlog()
    changes = [added(A1), updated(A1, A2), deleted(A2)]
    for change in changes:
        backlog.put([change])
    assert len(backlog) == 3
    assert drained(backlog) == changes


@pytest.mark.parametrize("make", [Backlog, CoalescingBacklog], ids=["all", "coalesce"])
def test_close_drops_what_waits_and_ends_a_wait(make: Any) -> None:
    """A closed backlog gives nothing more, and a thread that waits for it goes on."""
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
    """Whatever is folded, a reader ends with the writer's state and never sees an impossible step."""
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

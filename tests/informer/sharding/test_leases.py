"""The Leases of a shard elector as they are listed, and since when they are so."""

from __future__ import annotations

from typing import Any

import pytest

from informer.leaderelection import LeaderElectionRecord
from informer.sharding.leases import LeaseNames, ListedLeases, ShardLock, list_leases

NAMES = LeaseNames("ns", "work", 1)
HELD = LeaderElectionRecord("a", 15, "t0", "t0")


class Answering:
    """A transport that gives one answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send_json(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        return self.answer


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("informer.leaderelection.lease_lock", "informer.sharding.leases"):
        monkeypatch.setattr(f"{module}.transport_for", lambda given: given)


@pytest.mark.parametrize("answer", [None, [], {}, {"kind": "PodList", "items": []}, {"kind": "LeaseList", "items": {}}])
def test_what_is_not_a_list_of_leases_is_refused(answer: Any) -> None:
    """Read as an empty list, it would free all shards."""
    with pytest.raises(ConnectionError) as caught:
        list_leases(Answering(answer), NAMES, 5)
    assert str(caught.value) == (
        "the server's list of Leases in 'ns' is not a list of Leases (is a proxy or login page in front?)"
    )


def test_odd_items_of_a_list_are_left_out() -> None:
    """A Lease without a spec has no holder."""
    items = [None, {}, {"metadata": {"name": 5}}, {"metadata": {"name": "work-0"}}]
    assert list_leases(Answering({"kind": "LeaseList", "items": items}), NAMES, 5) == {"work-0": LeaderElectionRecord()}


def test_a_lease_is_held_for_its_duration_since_it_was_first_seen_so() -> None:
    """A renewal begins the time anew."""
    listed = ListedLeases(["work-0"], 15)
    for now in (100.0, 110.0):
        listed.update({"work-0": HELD}, now)
    assert listed["work-0"].is_held(114.9, 3600)
    assert not listed["work-0"].is_held(115, 3600)
    renewed = LeaderElectionRecord("a", 15, "t0", "t1")
    listed.update({"work-0": renewed}, 114)
    assert listed["work-0"].is_held(128.9, 3600)
    assert not listed["work-0"].is_held(128.9, 3)


def test_a_list_after_a_long_pause_begins_all_times_anew() -> None:
    """Held and absent Leases."""
    listed = ListedLeases(["work-0", "work-1"], 15)
    listed.update({"work-0": HELD}, 100)
    listed.update({"work-0": HELD}, 115)
    assert listed["work-0"].is_held(129, 3600)
    assert listed.absent_for("work-1", 129) == 14
    assert listed.absent_for("work-0", 129) < 0


def test_a_lease_is_not_created_while_a_former_owner_may_go_on() -> None:
    """Neither after a list, nor between a list and the attempt."""
    allowed: list[bool] = [False, True]
    lock = ShardLock(Answering({"metadata": {}}), "ns", "work-0", "a", lambda: allowed.pop(0))
    with pytest.raises(ConnectionError) as caught:
        lock.create(HELD)
    assert str(caught.value) == "it does not exist, and a former owner may not have noticed yet"
    lock.create(HELD)

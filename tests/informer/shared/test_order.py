"""Under load from many threads, each handler's calls are a possible history and end where the cache ends."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer import Change, DeltaType, ResourceEventHandler, SharedInformer
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import FakeClock

Make = Callable[..., SharedInformer[Any]]


@pytest.fixture(autouse=True)
def restless_threads() -> Iterator[None]:
    """Threads take turns as often as the interpreter allows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def version_of(obj: Any) -> int:
    return int(obj["metadata"]["resourceVersion"])


def is_even(obj: Any) -> bool:
    return bool(obj["metadata"]["labels"]["even"] == "yes")


class History:
    """What a handler knows from its calls alone; it notes every impossible call."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: dict[str, Any] = {}
        self.faults: list[str] = []
        self._gone_at: dict[str, int] = {}
        self._past_initial = False

    def take(self, changes: list[Change]) -> None:
        for change in changes:
            self.take_one(change)

    def take_one(self, change: Change) -> None:
        key, new = change.key, change.object
        known = self.seen.get(key)
        if change.type is DeltaType.ADDED:
            self._check(known is None, change, "an add of a known object")
            self._check(version_of(new) > self._gone_at.get(key, 0), change, "an add from the past")
            self._check(not (change.is_in_initial_list and self._past_initial), change, "an initial add too late")
            self.seen[key] = new
        elif change.type is DeltaType.UPDATED:
            self._check(known is not None, change, "an update of an unknown object")
            if known is not None:
                self._check(change.old == known, change, "an update from something else than was seen last")
                self._check(version_of(new) >= version_of(known), change, "an update into the past")
            self.seen[key] = new
        else:
            self._check(known is not None, change, "a delete of an unknown object")
            if known is not None:
                self._check(version_of(new) >= version_of(known), change, "a delete in the past")
            self.seen.pop(key, None)
            self._gone_at[key] = version_of(new)
        if not change.is_in_initial_list:
            self._past_initial = True

    def _check(self, holds: bool, change: Change, fault: str) -> None:
        if not holds:
            self.faults.append(f"{self.name}: {fault}: {change}; known: {self.seen.get(change.key)}")


class ByFunctions(ResourceEventHandler[Any]):
    """The same with three functions, which get less detail."""

    def __init__(self, history: History) -> None:
        self._history = history

    def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        self._history.take_one(Change(DeltaType.ADDED, obj, None, is_in_initial_list, key=_key(obj)))

    def on_update(self, old: Any, new: Any) -> None:
        self._history.take_one(Change(DeltaType.UPDATED, new, old, key=_key(new)))

    def on_delete(self, obj: Any, *, final_state_unknown: bool) -> None:
        self._history.take_one(Change(DeltaType.DELETED, obj, final_state_unknown=final_state_unknown, key=_key(obj)))


def _key(obj: Any) -> str:
    return f"ns/{obj['metadata']['name']}"


class Cluster:
    """A source that changes at random, with missed events, relists and bookmarks among the changes."""

    def __init__(self, seed: int) -> None:
        self.source = FakeControllerSource()
        self._random = random.Random(seed)
        self._there: set[str] = set()

    def change(self, count: int) -> None:
        chance = self._random
        for _ in range(count):
            name = f"p{chance.randrange(12)}"
            obj = {"metadata": {"name": name, "namespace": "ns", "labels": {"even": chance.choice(["yes", "no"])}}}
            missed = "_drop_watch" if chance.random() < 0.05 else ""
            what = "add" if name not in self._there else chance.choice(["modify", "modify", "delete"])
            getattr(self.source, what + missed)(obj)
            if what == "delete":
                self._there.discard(name)
            else:
                self._there.add(name)
            # Only a relist makes up for an event that was missed.
            if missed or chance.random() < 0.01:
                self.source.reset_watch()
            elif chance.random() < 0.05:
                self.source.bookmark()


def add_watchful_handler(informer: SharedInformer[Any], histories: list[History], name: str, **options: Any) -> None:
    """Adds a handler of one of the kinds, whose calls become a history."""
    history = History(name)
    histories.append(history)
    if options.pop("functions", False):
        informer.add_event_handler(ByFunctions(history), **options)
    else:
        informer.add_event_handler(on_batch=history.take, **options)


KINDS: dict[str, dict[str, Any]] = {
    "all": {},
    "functions": {"functions": True},
    "coalesce": {"backlog": "coalesce"},
    "coalesce-functions": {"backlog": "coalesce", "functions": True},
    "filter": {"filter": is_even},
    "filter-coalesce": {"filter": is_even, "backlog": "coalesce", "functions": True},
    "resync": {"resync_period": 1},
    "resync-coalesce": {"resync_period": 1, "backlog": "coalesce", "functions": True},
    "inline": {"inline": True},
    "inline-functions": {"inline": True, "functions": True, "resync_period": 1},
    "inline-filter-coalesce": {"inline": True, "filter": is_even, "backlog": "coalesce"},
}


def dawdling(snapshot: Callable[[], Any]) -> Callable[[], Any]:
    """Lets other threads run between a read of the cache and the use of what was read."""

    def look() -> Any:
        seen = snapshot()
        threading.Event().wait(0.001)
        return seen

    return look


ROUNDS = 5
CHANGES_A_ROUND = 300


def come_and_go(informer: SharedInformer[Any], clock: FakeClock, over: threading.Event, faults: list[str]) -> None:
    """Adds and removes handlers while resyncs become due."""
    inline = False
    while not over.is_set():
        inline = not inline
        transient = History("transient")
        registration = informer.add_event_handler(on_batch=transient.take, inline=inline)
        registration.wait_for_sync(0.01)
        registration.remove()
        faults += transient.faults
        clock.step(1)


@pytest.mark.parametrize("seed", range(3))
def test_every_handler_is_told_a_possible_history(make_informer: Make, queue: str, seed: int) -> None:
    """client-go source. No impossible call, for early handlers and for passing ones.

    A handler gets no add of a known object, no change of an unknown one, and no older version after a newer one. At the
    end each handler knows the objects of the cache, which are those of the server.
    """
    cluster, clock = Cluster(seed), FakeClock()
    cluster.change(30)
    informer = make_informer(cluster.source, queue=queue, clock=clock, resync_period=1)
    informer.indexer.records.copy = dawdling(informer.indexer.records.copy)  # type: ignore[method-assign]
    histories: list[History] = []
    faults: list[str] = []
    over = threading.Event()

    def join(when: str) -> None:
        for name, options in KINDS.items():
            add_watchful_handler(informer, histories, f"{when} {name}", **{"resync_period": 0, **options})

    def write() -> None:
        while not over.is_set():
            cluster.change(10)

    join("early")
    informer.start()
    threads = [
        threading.Thread(target=write),
        threading.Thread(target=come_and_go, args=(informer, clock, over, faults)),
    ]
    for thread in threads:
        thread.start()
    for number in range(ROUNDS):
        reached = int(informer.last_sync_resource_version or 0)
        assert informer.wait_for_resource_version(str(reached + CHANGES_A_ROUND), DEADLINE)
        join(f"late {number}")
    over.set()
    for thread in threads:
        thread.join(DEADLINE)
    cluster.source.reset_watch()
    assert informer.wait_for_resource_version(cluster.source.resource_version, DEADLINE)
    assert informer.stop(DEADLINE, drain=True)
    assert faults + [fault for history in histories for fault in history.faults] == []
    server = cluster.source.objects()
    assert {key: informer.store.get_by_key(key) for key in informer.store} == server
    for history in histories:
        shown = {key: obj for key, obj in server.items() if "filter" not in history.name or is_even(obj)}
        assert history.seen == shown, history.name

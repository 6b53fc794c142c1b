"""Threads that switch after every few instructions: every reading is whole and in order, however they interleave.

`KUBE_INFORMER_STRESS_SECONDS` lets each test run longer than the suite has time for.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer import (
    Backoff,
    Change,
    DeltaFIFO,
    DeltaType,
    Indexer,
    InOrderFIFO,
    SharedInformer,
    Store,
)
from informer.handlers.backlog import Backlog, CoalescingBacklog
from informer.queues.delta import Delta, ReplacedAll
from informer.testing import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import Channel, ChannelClosedError
from watch.concurrency import Latch, Worker

SECONDS = float(os.environ.get("KUBE_INFORMER_STRESS_SECONDS", "0.3"))
NAMES = [f"pod-{number}" for number in range(12)]
GROUPS = 3  # of four pods each, which always change together

pytestmark = pytest.mark.timeout(SECONDS * 2 + 60)


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Threads switch a thousand times as often as by default."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Crowd:
    """Calls functions again and again, each on a thread of its own, until the time is up or one fails."""

    def __init__(self) -> None:
        self._over = Latch()
        self._errors: list[BaseException] = []
        self._rounds: Counter[int] = Counter()

    def run(self, *steps: Callable[[], object], seconds: float = SECONDS) -> None:
        workers = [Worker(lambda at=at, step=step: self._repeat(at, step), "crowd") for at, step in enumerate(steps)]  # type: ignore[misc]
        for worker in workers:
            worker.start()
        self._over.wait(seconds)
        self._over.open()
        ended = [worker.join(DEADLINE) for worker in workers]
        if self._errors:
            raise self._errors[0]
        assert all(ended)
        assert all(self._rounds[at] for at in range(len(steps)))

    def _repeat(self, at: int, step: Callable[[], object]) -> None:
        try:
            while True:
                step()
                self._rounds[at] += 1
                if self._over.is_open:
                    return
        except BaseException as error:
            self._errors.append(error)
            self._over.open()


def pod(name: str, version: int, *, uid: str = "u", mark: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}, "mark": mark}


def version_of(obj: Any) -> int:
    return int(obj["metadata"]["resourceVersion"])


# Stores


class Board:
    """Writes a store in steps after which all pods of a group have one mark and one version."""

    def __init__(self, store: Store[Any]) -> None:
        self.store = store
        self.version = 0
        self._random = random.Random(1)
        self.relist()

    def group(self, number: int) -> list[str]:
        return NAMES[number::GROUPS]

    def step(self) -> None:
        self.relist() if self._random.random() < 0.2 else self.change()

    def change(self) -> None:
        number = self._random.randrange(GROUPS)
        self.store.apply([Delta(DeltaType.UPDATED, each) for each in self._made(number)])

    def relist(self) -> None:
        pods = [each for number in range(GROUPS) for each in self._made(number)]
        self._random.shuffle(pods)
        self.store.replace(pods, str(self.version))

    def _made(self, number: int) -> list[Any]:
        self.version += 1
        group = self.group(number)
        marked = self._random.choice(group)
        return [pod(name, self.version, mark=f"m{number}" if name == marked else "") for name in group]


def check_whole(objects: list[Any]) -> None:
    """Checks that every group has one version and one mark."""
    assert len(objects) == len(NAMES)
    versions: dict[int, set[int]] = {}
    for obj in objects:
        group = int(obj["metadata"]["name"].partition("-")[2]) % GROUPS
        versions.setdefault(group, set()).add(version_of(obj))
    assert all(len(each) == 1 for each in versions.values()), versions
    assert sorted(obj["mark"] for obj in objects if obj["mark"]) == [f"m{number}" for number in range(GROUPS)]


def test_no_reading_of_a_store_is_torn() -> None:
    """A reading shows a batch or relist wholly or not at all, and never goes back."""
    store: Store[Any] = Store()
    board = Board(store)
    newest = Counter[str]()

    def read() -> None:
        check_whole(store.list())
        assert len(store) == len(NAMES)
        assert sorted(store.list_keys()) == sorted(NAMES)
        assert set(store) == set(NAMES)

    def follow() -> None:
        for name in NAMES:
            assert name in store
            seen = version_of(store.get_by_key(name))
            assert seen >= newest[name]
            newest[name] = seen

    Crowd().run(board.step, read, read, follow)
    check_whole(store.list())


def test_indices_agree_with_their_store() -> None:
    """In every reading of an index, during writes and relists and while further indices are added."""
    marks = {"mark": lambda obj: [obj["mark"]] if obj["mark"] else []}
    indexer: Indexer[Any] = Indexer(indexers=marks)
    board = Board(indexer)
    added: list[str] = []

    def read() -> None:
        for number in range(GROUPS):
            (found,) = indexer.by_index("mark", f"m{number}")
            assert found["mark"] == f"m{number}"
            assert len(indexer.index_keys("mark", f"m{number}")) == 1
        assert sorted(indexer.list_index_func_values("mark")) == [f"m{number}" for number in range(GROUPS)]

    def add_index() -> None:
        name = f"group-{len(added)}"
        if len(added) < 20:
            indexer.add_indexers({name: lambda obj: [str(int(obj["metadata"]["name"].partition("-")[2]) % GROUPS)]})
            added.append(name)
        for each in added[-3:]:
            group = indexer.by_index(each, "1")
            assert len(group) == len(NAMES) // GROUPS
            assert len({version_of(obj) for obj in group}) == 1

    Crowd().run(board.step, read, lambda: check_whole(indexer.list()), add_index)
    for name, function in indexer.indexers.items():
        expected: dict[str, set[str]] = {}
        for obj in indexer.list():
            for value in function(obj):
                expected.setdefault(value, set()).add(obj["metadata"]["name"])
        assert {
            value: set(indexer.index_keys(name, value)) for value in indexer.list_index_func_values(name)
        } == expected


def test_writers_of_one_store_lose_nothing() -> None:
    """Several threads write their own objects; each finds what it wrote, in the store and in the index."""
    indexer: Indexer[Any] = Indexer(indexers={"mark": lambda obj: [obj["mark"]]})

    def writer(name: str) -> Callable[[], None]:
        counter = iter(range(1, sys.maxsize))

        def step() -> None:
            version = next(counter)
            made = pod(name, version, mark=f"{name}-{version % 2}")
            (indexer.add if version % 3 else indexer.update)(made)
            assert indexer.get_by_key(name) == made
            assert indexer.index_keys("mark", made["mark"]) == [name]
            assert indexer.index_keys("mark", f"{name}-{(version + 1) % 2}") == []
            if version % 5 == 0:
                indexer.delete(made)
                assert indexer.get_by_key(name) is None
                assert indexer.by_index("mark", made["mark"]) == []

        return step

    Crowd().run(*(writer(name) for name in NAMES[:4]), indexer.resync, lambda: [str(obj) for obj in indexer.list()])


# Queues


@pytest.mark.parametrize("kind", ["in_order", "delta"])
def test_a_drained_queue_gives_what_was_put_in(kind: str) -> None:
    """With deletes, relists and resyncs in between, no version goes back and nothing is lost."""
    seen: Store[Any] = Store()
    fifo: Any = InOrderFIFO() if kind == "in_order" else DeltaFIFO(known_objects=seen)
    served: dict[str, int] = {}  # each producer's own keys
    newest: Counter[str] = Counter()

    def producer(names: list[str], seed: int) -> Callable[[], None]:
        chance, version = random.Random(seed), iter(range(1, sys.maxsize))

        def step() -> None:
            if len(fifo) > 10_000:
                Latch().wait(0.01)
            name = chance.choice(names)
            now = next(version)
            if name in served and chance.random() < 0.3:
                del served[name]
                fifo.delete(pod(name, now))
            else:
                (fifo.update if name in served else fifo.add)(pod(name, now))
                served[name] = now

        return step

    def process(pairs: list[Any]) -> None:
        for deltas, _ in pairs:
            for delta in deltas:
                take(delta)

    def take(delta: Delta) -> None:
        if delta.type in (DeltaType.SYNC_ALL, DeltaType.BOOKMARK) or isinstance(delta.object, ReplacedAll):
            return
        name, version = delta.object["metadata"]["name"], version_of(delta.object)
        if delta.type is DeltaType.SYNC:
            # A resync shows objects that are cached already.
            assert version <= newest[name]
            return
        assert version > newest[name], (delta, newest[name])
        newest[name] = version
        seen.apply([delta])

    def resync() -> None:
        if len(fifo) < 1000:
            fifo.resync()

    chance = random.Random(6)

    def drain() -> None:
        with contextlib.suppress(queue.Empty):
            fifo.pop_batch(process, max_items=chance.choice((1, 3, 1000)), timeout=0.05)

    Crowd().run(producer(NAMES[:6], 1), producer(NAMES[6:], 2), drain, resync)
    while len(fifo):
        fifo.pop_batch(process, timeout=0)
    assert {key: version_of(seen.get_by_key(key)) for key in seen.list_keys()} == served
    fifo.close()


# Backlogs


class Story:
    """What one handler was called with, checked: adds of unknown objects, updates and deletes of known ones."""

    def __init__(self) -> None:
        self.has: dict[str, Any] = {}
        self.calls = 0

    def tell(self, change: Change[Any]) -> None:
        self.calls += 1
        key = change.key or change.object["metadata"]["name"]
        if change.type is DeltaType.ADDED:
            assert key not in self.has, change
            self.has[key] = change.object
        elif change.type is DeltaType.UPDATED:
            assert self.has[key] == change.old, change
            assert version_of(change.object) > version_of(change.old) or change.is_sync
            self.has[key] = change.object
        else:
            assert version_of(self.has.pop(key)) <= version_of(change.object), change


@pytest.mark.parametrize("kind", [Backlog, CoalescingBacklog])
def test_a_backlog_gives_a_possible_story(kind: type[Backlog]) -> None:
    """However changes are folded, the taker ends with the putter's state, and the size ends right."""
    backlog, story = kind(), Story()
    chance, version = random.Random(3), iter(range(1, sys.maxsize))
    there: dict[str, Any] = {}

    def change() -> Change[Any]:
        name = chance.choice(NAMES)
        made, old = pod(name, next(version)), there.get(name)
        if old is None:
            there[name] = made
            return Change(DeltaType.ADDED, made, key=name)
        if chance.random() < 0.3:
            del there[name]
            return Change(DeltaType.DELETED, made, key=name, last_known=old)
        there[name] = made
        return Change(DeltaType.UPDATED, made, old, key=name)

    def put() -> None:
        if len(backlog) < 10_000:
            backlog.put([change() for _ in range(chance.randrange(1, 5))])

    def take(timeout: float = 0.01) -> bool:
        try:
            if backlog.take(timeout) is None:
                return False
        except TimeoutError:
            return True
        for each in backlog.in_hand:
            story.tell(each)
        return True

    def look() -> None:
        assert len(backlog) >= 0
        oldest = backlog.oldest
        assert oldest is None or oldest <= time.monotonic()

    Crowd().run(put, take, look)
    backlog.close(drain=True)
    while take():
        pass
    assert story.has == there
    assert len(backlog) == 0


def test_a_backlog_that_is_closed_meanwhile_gives_nothing_more() -> None:
    """The taker gets the changes from the first up to some point, with none missing between."""

    def step() -> None:
        backlog, story = Backlog(), Story()
        closed = Latch()

        def draw() -> None:
            while backlog.take(DEADLINE) is not None:
                for each in backlog.in_hand:
                    story.tell(each)
            assert closed.is_open

        taker = Worker(draw, "taker").start()
        for version in range(1, 20):
            backlog.put([Change(DeltaType.ADDED, pod(f"p{version}", version), key=f"p{version}")])
        closed.open()
        backlog.close()
        assert taker.join(DEADLINE)
        assert list(story.has) == [f"p{version}" for version in range(1, len(story.has) + 1)]

    Crowd().run(step)


# Channels


@pytest.mark.parametrize("size", [None, 0, 1, 3], ids=["unbounded", "hand-off", "one", "three"])
def test_a_channel_gives_each_item_to_one_taker(size: int | None) -> None:
    """With several putters and takers, time-outs and a close, each accepted item comes out once and in order."""
    channel: Channel[tuple[int, int]] = Channel(size)
    accepted: list[list[int]] = [[], []]
    taken: list[list[tuple[int, int]]] = [[], []]

    def putter(number: int) -> Callable[[], None]:
        counter = iter(range(sys.maxsize))

        def step() -> None:
            item = next(counter)
            if item % 64 == 0 and len(channel) > 1000:
                Latch().wait(0.01)
            try:
                channel.put((number, item), timeout=None if item % 3 else 0.0005)
            except (queue.Full, ChannelClosedError):
                return
            else:
                accepted[number].append(item)

        return step

    def taker(number: int) -> Callable[[], None]:
        def step() -> None:
            with contextlib.suppress(queue.Empty, ChannelClosedError):
                taken[number] += channel.get_batch(2 if number else None, 0.01)

        return step

    def close_late() -> None:
        if time.monotonic() > end:
            channel.close()
        else:
            Latch().wait(0.005)

    end = time.monotonic() + SECONDS * 0.8
    Crowd().run(putter(0), putter(1), taker(0), taker(1), close_late)
    channel.close()
    with contextlib.suppress(ChannelClosedError):
        taken[0] += channel.get_batch()
    for number in (0, 1):
        assert sorted(item for each in taken for by, item in each if by == number) == accepted[number]
        for each in taken:
            mine = [item for by, item in each if by == number]
            assert mine == sorted(mine)
    assert accepted[0]
    assert accepted[1]


# Informers


class Follower:
    """A handler that checks that its calls are possible."""

    def __init__(self) -> None:
        self.story = Story()
        self.errors: list[BaseException] = []

    def on_batch(self, changes: list[Change[Any]]) -> None:
        try:
            for change in changes:
                self.story.tell(change)
        except BaseException as error:
            self.errors.append(error)


@pytest.mark.parametrize("backlog", ["all", "coalesce"])
@pytest.mark.parametrize("kind", ["in_order", "delta"])
def test_an_informer_in_a_crowd(kind: Any, backlog: Any) -> None:
    """With lost events, expired watches, resyncs, readers and passing handlers, all end equal to the server."""
    source = FakeControllerSource()
    informer: SharedInformer[Any] = SharedInformer(
        source,
        queue=kind,
        watch_list=False,
        indexers={"mark": lambda obj: [obj["mark"]]},
        backoff=Backoff(initial=0.001, maximum=0.002),
        resync_period=0.05,
    )
    first, chance = Follower(), random.Random(4)
    informer.add_event_handler(on_batch=first.on_batch, backlog=backlog)
    followers = [first]
    there: dict[str, Any] = {}

    def write() -> None:
        name = chance.choice(NAMES)
        made = {"metadata": {"name": name}, "mark": f"m{chance.randrange(4)}"}
        missed = "_drop_watch" if chance.random() < 0.02 else ""
        if name in there and chance.random() < 0.3:
            there.pop(name)
            getattr(source, f"delete{missed}")({"metadata": {"name": name}})
        else:
            if name in there:
                made["metadata"]["uid"] = there[name]["metadata"]["uid"]  # type: ignore[index]
            what = "modify" if name in there else "add"
            there[name] = getattr(source, what + missed)(made)
        if missed or chance.random() < 0.01:
            # A server that has lost an event ends the watch before it goes on.
            source.reset_watch()
        Latch().wait(0.0005)

    def read() -> None:
        for number in range(4):
            assert all(obj["mark"] == f"m{number}" for obj in informer.indexer.by_index("mark", f"m{number}"))
        keys = informer.indexer.list_keys()
        assert len(keys) == len(set(keys)) <= len(NAMES)
        assert informer.last_sync_resource_version is not None

    def come_and_go() -> None:
        follower = Follower()
        registration = informer.add_event_handler(on_batch=follower.on_batch, backlog=backlog)
        assert registration.wait_for_sync(DEADLINE)
        followers.append(follower)
        registration.remove()

    informer.start()
    try:
        Crowd().run(write, read, come_and_go, come_and_go)
        source.reset_watch()
        mark = source.add({"metadata": {"name": "last"}, "mark": "m0"})
        assert informer.wait_until(lambda: informer.indexer.get_by_key("last") is not None, DEADLINE)
        assert informer.wait_until(lambda: set(informer.indexer.list_keys()) == {*there, "last"}, DEADLINE)
    finally:
        assert informer.stop(DEADLINE, drain=True)
        source.shutdown()
    there["last"] = mark
    assert [error for follower in followers for error in follower.errors] == []
    assert {key: informer.indexer.get_by_key(key) for key in informer.indexer.list_keys()} == there
    assert first.story.has == there
    assert {each["metadata"]["name"] for each in informer.indexer.list()} == set(there)


def test_informers_that_stop_while_everything_goes_on() -> None:
    """Several threads stop an informer at any moment: nothing hangs, and no thread is left."""
    source = FakeControllerSource()
    for name in NAMES:
        source.add({"metadata": {"name": name}})
    chance = random.Random(5)

    def step() -> None:
        informer: SharedInformer[Any] = SharedInformer(source, watch_list=False, resync_period=0.01)
        follower = Follower()
        informer.add_event_handler(on_batch=follower.on_batch)
        stoppers = [Worker(lambda: informer.stop(DEADLINE, drain=chance.random() < 0.5), "stopper") for _ in range(3)]
        # The stop may come before the start: that is one of the moments.
        with contextlib.suppress(RuntimeError):
            for at, worker in enumerate(stoppers):
                if at == chance.randrange(4):
                    informer.start()
                worker.start()
        for worker in stoppers:
            with contextlib.suppress(RuntimeError):
                worker.start()
        assert all(worker.join(DEADLINE) for worker in stoppers)
        assert informer.stop(DEADLINE)
        assert follower.errors == []

    def write() -> None:
        source.modify({"metadata": {"name": chance.choice(NAMES)}})
        Latch().wait(0.001)

    try:
        Crowd().run(step, step, write)
    finally:
        source.shutdown()

"""Both queues against a plain model: in every case the consumer ends with the server's state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings, strategies as st

from informer import DeletedFinalStateUnknown, Delta, DeltaFIFO, DeltaType, InOrderFIFO
from informer.queues.fifo import FIFO

NAMES = "abc"


class Thing(NamedTuple):
    """An object at a version; its name is its key."""

    name: str
    version: int


@dataclass(frozen=True)
class Op:
    """A step: an operation, its object, and (for a pop) what happens while it is processed."""

    kind: str
    name: str = ""
    size: int = 1
    during: tuple[Op, ...] = ()


class World:
    """A server, a reflector that misses only what a step says, a queue, and a consumer with a dict."""

    def __init__(self, make_queue: Callable[[World], FIFO]) -> None:
        self.server: dict[str, Thing] = {}
        self.version = 0
        self.queued: dict[str, int] = {}  # the newest version of each object that was queued
        self.consumer: dict[str, Thing] = {}
        self.gone: dict[str, int] = {}  # the version of the newest delete of each object that was queued
        self.seen: dict[str, int] = {}  # the newest version of each object that the consumer saw
        self.marked: list[tuple[str, dict[str, int], dict[str, int]]] = []  # bookmarks, with `queued` and `gone` then
        self.queue = make_queue(self)

    # The consumer, as the known objects of a DeltaFIFO

    def list_keys(self) -> list[str]:
        return list(self.consumer)

    def get_by_key(self, key: str) -> Thing | None:
        return self.consumer.get(key)

    # Steps

    def do(self, op: Op) -> None:
        getattr(self, op.kind)(op)

    def write(self, op: Op, *, queue_it: bool = True) -> None:
        self.version += 1
        known = op.name in self.server
        thing = self.server[op.name] = Thing(op.name, self.version)
        if queue_it:
            self.queued[op.name] = self.version
            (self.queue.update if known else self.queue.add)(thing)

    def write_missed(self, op: Op) -> None:
        self.write(op, queue_it=False)

    def delete(self, op: Op, *, queue_it: bool = True) -> None:
        if self.server.pop(op.name, None) is None:
            return
        self.version += 1
        if queue_it:
            # A DeltaFIFO drops the delete of an unknown object. A bookmark then only says that it does not exist.
            self.queued.pop(op.name, None)
            self.gone[op.name] = self.version
            self.queue.delete(Thing(op.name, self.version))

    def delete_missed(self, op: Op) -> None:
        self.delete(op, queue_it=False)

    def relist(self, op: Op) -> None:
        self.queued.update({name: thing.version for name, thing in self.server.items()})
        self.queue.replace(self.server.values(), str(self.version))

    def resync(self, op: Op) -> None:
        self.queue.resync()

    def bookmark(self, op: Op) -> None:
        self.marked.append((str(self.version), dict(self.queued), dict(self.gone)))
        self.queue.bookmark(str(self.version))

    def pop(self, op: Op) -> None:
        if len(self.queue):
            self.queue.pop_batch(lambda pairs: self.process(pairs, op.during), op.size, timeout=0)

    # Consuming

    def process(self, pairs: list[tuple[list[Delta], bool]], during: tuple[Op, ...]) -> None:
        # The steps during a batch happen before the consumer has stored any of it.
        for op in during:
            self.do(op)
        for deltas, _ in pairs:
            for delta in deltas:
                self.apply(delta)

    def apply(self, delta: Delta) -> None:
        kind, obj = delta.type, delta.object
        if kind is DeltaType.REPLACED_ALL:
            for name in [*self.consumer]:
                if name not in {item.name for item in obj.items}:
                    del self.consumer[name]
            for item in obj.items:
                self.put(item)
        elif kind is DeltaType.BOOKMARK:
            version, queued, gone = self.marked.pop(0)
            assert obj == version
            missing = {name: v for name, v in queued.items() if self.seen.get(name, 0) < v}
            assert not missing, f"a bookmark came before {missing}"
            assert all(thing.version > gone.get(name, 0) for name, thing in self.consumer.items())
        elif kind is DeltaType.DELETED:
            if isinstance(obj, DeletedFinalStateUnknown):
                self.consumer.pop(obj.key, None)
            else:
                self.seen[obj.name] = max(self.seen.get(obj.name, 0), obj.version)
                self.consumer.pop(obj.name, None)
        elif kind is not DeltaType.SYNC_ALL:
            self.put(obj)

    def put(self, thing: Thing) -> None:
        assert thing.version >= self.seen.get(thing.name, 0), f"{thing} came behind a newer state"
        self.seen[thing.name] = thing.version
        self.consumer[thing.name] = thing

    def drain(self) -> None:
        while len(self.queue):
            self.pop(Op("pop", size=1000))


def in_order(world: World) -> FIFO:
    return InOrderFIFO(lambda thing: thing.name)


def delta_with(**options: Any) -> Callable[[World], FIFO]:
    return lambda world: DeltaFIFO(lambda thing: thing.name, known_objects=world, **options)


name = st.sampled_from(NAMES)
simple = st.one_of(
    st.builds(Op, st.sampled_from(["write", "delete"]), name),
    st.builds(Op, st.sampled_from(["relist", "resync", "bookmark"])),
)
pop = st.builds(Op, st.just("pop"), size=st.integers(1, 4), during=st.lists(simple, max_size=3).map(tuple))
missed = st.builds(Op, st.sampled_from(["write_missed", "delete_missed"]), name)
queues = pytest.mark.parametrize(
    "make_queue",
    [in_order, delta_with(), delta_with(emit_replaced=True)],
    ids=["in_order", "delta", "delta, replaced"],
)


@queues
@given(ops=st.lists(st.one_of(simple, pop), max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_consumer_without_gaps_follows_the_server(make_queue: Callable[[World], FIFO], ops: list[Op]) -> None:
    """It ends with the server's state. Versions never go back, and bookmarks keep their places."""
    world = World(make_queue)
    for op in ops:
        world.do(op)
    world.drain()
    assert world.consumer == world.server
    assert not world.marked


@queues
@given(ops=st.lists(st.one_of(simple, pop, missed), max_size=30), in_hand=st.integers(0, 4))
@settings(max_examples=300, deadline=None)
def test_a_relist_makes_up_for_missed_events(make_queue: Callable[[World], FIFO], ops: list[Op], in_hand: int) -> None:
    """After a list the consumer ends with the server's state: objects that the list lacks are deleted.

    That includes objects that were in process when the list came.
    """
    world = World(make_queue)
    for op in ops:
        world.do(op)
    if in_hand and len(world.queue):
        world.pop(Op("pop", size=in_hand, during=(Op("relist"),)))
    else:
        world.relist(Op("relist"))
    world.drain()
    assert world.consumer == world.server


@queues
@given(
    before=st.lists(st.one_of(simple, pop), max_size=10),
    after=st.lists(st.one_of(simple, pop), max_size=10),
)
@settings(max_examples=200, deadline=None)
def test_synced_means_that_the_first_list_was_consumed(
    make_queue: Callable[[World], FIFO], before: list[Op], after: list[Op]
) -> None:
    """Once the queue has synced, the consumer has every object of the first list."""
    world = World(make_queue)
    for op in before:
        world.write_missed(Op("write_missed", op.name or "a"))
    world.relist(Op("relist"))
    first = dict(world.queued)
    for op in after:
        world.do(op)
        if world.queue.has_synced():
            assert all(world.seen.get(key, 0) >= version for key, version in first.items())
    world.drain()
    assert world.queue.has_synced()

"""A handler that does not keep up, under many changes: what waits for it, what that costs, and what others notice."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from informer import ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE, eventually
from watch import Channel
from watch.concurrency import Latch

KEYS = 100
ROUNDS = 15
CHANGES = KEYS * ROUNDS
# Large enough that what stands around an object in memory counts for little.
OBJECT_BYTES = 8000


class Stuck:
    """A handler that comes to a standstill at its first update, until it is let go."""

    def __init__(self) -> None:
        self.gate = Latch()
        self.calls = 0
        self.latest: dict[str, str] = {}

    def on_add(self, obj: Any) -> None:
        self.latest[obj.name] = obj.resource_version

    def on_update(self, old: Any, new: Any) -> None:
        assert self.latest[new.name] == old.resource_version, "an update was left out"
        self.calls += 1
        self.gate.wait(DEADLINE)
        self.latest[new.name] = new.resource_version


@pytest.fixture
def trace() -> Iterator[Callable[[], None]]:
    """Starts tracemalloc, until the end of the test."""
    yield tracemalloc.start
    tracemalloc.stop()


def held() -> int:
    """Bytes allocated by the library itself since the trace began: the server is in this process too."""
    snapshot = tracemalloc.take_snapshot().filter_traces(
        [
            tracemalloc.Filter(False, "*/informer/testing/*"),
            tracemalloc.Filter(True, "*/watch/*"),
            tracemalloc.Filter(True, "*/informer/*"),
        ]
    )
    return sum(trace.size for trace in snapshot.traces)


def falls_below(limit: float) -> bool:
    """Whether no more than so much is held before long: threads that have just told the last may still let go of it."""
    return eventually(lambda: held() < limit, DEADLINE)


def wait_for(told: Channel[str], count: int) -> None:
    """Waits until so many things were told."""
    while count:
        count -= len(told.get_batch(count, timeout=DEADLINE))


@pytest.mark.parametrize(
    ("policy", "least", "most"),
    [
        # Each change keeps the state that it has replaced.
        pytest.param("all", CHANGES - 1, CHANGES - 1, id="all"),
        # What it has in hand, and one change a key behind that.
        pytest.param("coalesce", KEYS - 1, 2 * KEYS, id="coalesce"),
    ],
)
def test_what_waits_for_a_slow_handler_is_all_that_memory_grows_by(
    server: EmbeddedAPIServer,
    trace: Callable[[], None],
    policy: Literal["all", "coalesce"],
    least: int,
    most: int,
) -> None:
    """One handler stands still: others are told everything, memory grows by its backlog, and goes back once it is done."""
    text = "x" * OBJECT_BYTES

    def state(key: int, round: int) -> dict[str, Any]:
        return {**config_map(f"c{key:03}"), "data": {"text": text, "round": f"{round:04}"}}

    for key in range(KEYS):
        server.create(state(key, 0))
    informer: SharedInformer[Any] = SharedInformer(ListWatch.for_resource(server.api_client(), "configmaps"))
    stuck, added, updated = Stuck(), Channel[str](None), Channel[str](None)
    fast = informer.add_event_handler(
        on_add=lambda obj: added.put(obj.name), on_update=lambda old, new: updated.put(new.name)
    )
    slow = informer.add_event_handler(on_add=stuck.on_add, on_update=stuck.on_update, backlog=policy)
    with informer:
        assert fast.wait_for_sync(DEADLINE)
        assert slow.wait_for_sync(DEADLINE)
        wait_for(added, KEYS)
        trace()
        for round in range(1, ROUNDS + 1):
            for key in range(KEYS):
                server.update(state(key, round))
        wait_for(updated, CHANGES)
        assert fast.backlog_size == 0
        assert least <= slow.backlog_size <= most
        assert slow.lag_seconds > fast.lag_seconds == 0
        assert falls_below(1.25 * (most + 1) * OBJECT_BYTES)
        assert held() > 0.9 * least * OBJECT_BYTES
        stuck.gate.open()
        assert informer.stop(DEADLINE, drain=True)
        expected = {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in server.list("configmaps")}
        assert stuck.latest == {obj.name: obj.resource_version for obj in informer.store.list()} == expected
        # The cache itself.
        assert falls_below(1.25 * (KEYS + 1) * OBJECT_BYTES)
    assert (stuck.calls, slow.errors) == (CHANGES, 0) if policy == "all" else stuck.calls < CHANGES / 3

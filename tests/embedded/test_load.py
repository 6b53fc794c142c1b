"""A handler that does not keep up with many changes: its backlog, the memory it takes, and the effect on others."""

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
# Large, so that the memory around an object counts for little.
OBJECT_BYTES = 8000


class Stuck:
    """A handler that blocks in its first update until its gate opens."""

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
    """Starts tracemalloc until the end of the test."""
    yield tracemalloc.start
    tracemalloc.stop()


def held() -> int:
    """Returns the bytes allocated by the library since the trace began, without the server, which is in this process too."""
    snapshot = tracemalloc.take_snapshot().filter_traces(
        [
            tracemalloc.Filter(False, "*/informer/testing/*"),
            tracemalloc.Filter(True, "*/watch/*"),
            tracemalloc.Filter(True, "*/informer/*"),
        ]
    )
    return sum(trace.size for trace in snapshot.traces)


def falls_below(limit: float) -> bool:
    """Returns whether `held()` falls below `limit`; threads may hold the last objects for a moment."""
    return eventually(lambda: held() < limit, DEADLINE)


def wait_for(received: Channel[str], count: int) -> None:
    """Waits for `count` items."""
    while count:
        count -= len(received.get_batch(count, timeout=DEADLINE))


@pytest.mark.parametrize(
    ("policy", "least", "most"),
    [
        # Each change keeps the state that it replaced.
        pytest.param("all", CHANGES - 1, CHANGES - 1, id="all"),
        # The change in progress, and one per key behind it.
        pytest.param("coalesce", KEYS - 1, 2 * KEYS, id="coalesce"),
    ],
)
def test_memory_grows_by_the_backlog_of_a_slow_handler_only(
    server: EmbeddedAPIServer,
    trace: Callable[[], None],
    policy: Literal["all", "coalesce"],
    least: int,
    most: int,
) -> None:
    """Other handlers get every change; memory grows by the slow handler's backlog, and shrinks once it has drained."""
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
        # What remains is the cache.
        assert falls_below(1.25 * (KEYS + 1) * OBJECT_BYTES)
    assert (stuck.calls, slow.errors) == (CHANGES, 0) if policy == "all" else stuck.calls < CHANGES / 3

"""Keys are held back until the caches show the writes that were made for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from informer import SharedInformer
from informer.runtime.own_writes import OwnWrites
from informer.testing import FakeControllerSource
from informer.workqueue import PriorityQueue
from tests.support.objects import stored_pod
from tests.support.waiting import DEADLINE, eventually


class Held:
    """A cache that follows a source, and the writes of one controller."""

    def __init__(self, timeout: float) -> None:
        self.source = FakeControllerSource()
        self.queue: PriorityQueue[str] = PriorityQueue()
        self.informer: SharedInformer[Any] = SharedInformer(self.source)
        self.writes = OwnWrites({"pods": self.informer}, self.queue, timeout)
        self.informer.start()
        assert self.informer.wait_for_sync(DEADLINE)


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held(60)
    yield made
    made.informer.stop()
    made.queue.shut_down()


def test_a_key_without_writes_is_ready(held: Held) -> None:
    assert held.writes.is_ready("ns/a")


def test_a_key_is_held_until_the_cache_shows_its_write(held: Held) -> None:
    version = str(int(held.informer.last_sync_resource_version) + 1)
    written = stored_pod("made", version)
    held.writes.wrote("ns/a", "pods", written, "ns")
    assert not held.writes.is_ready("ns/a")
    assert held.writes.is_ready("ns/b")
    held.source.add(stored_pod("made"))
    assert held.queue.get(DEADLINE) == "ns/a"
    assert held.writes.is_ready("ns/a")


def test_a_key_is_held_until_the_cache_shows_a_deletion(held: Held) -> None:
    held.source.add(stored_pod("made", uid="u1"))
    assert eventually(lambda: held.informer.store.get_by_key("ns/made") is not None)
    held.writes.deleted("ns/a", "pods", "ns/made", "u1")
    assert not held.writes.is_ready("ns/a")
    held.source.delete(stored_pod("made", uid="u1"))
    assert held.queue.get(DEADLINE) == "ns/a"
    assert held.writes.is_ready("ns/a")


def test_writes_to_resources_without_a_cache_are_not_awaited(held: Held) -> None:
    held.writes.wrote("ns/a", "secrets", stored_pod("made", "999999"), "ns")
    held.writes.deleted("ns/a", "secrets", "ns/made", "u1")
    assert held.writes.is_ready("ns/a")


def test_after_the_time_out_a_key_is_let_go_and_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    held = Held(0.05)
    held.writes.wrote("ns/a", "pods", stored_pod("made", "999999"), "ns")
    assert not held.writes.is_ready("ns/a")
    assert held.queue.get(DEADLINE) == "ns/a"
    held.queue.done("ns/a")
    assert eventually(lambda: held.writes.is_ready("ns/a"))
    assert held.writes.timeouts == 1
    assert "'ns/a' is reconciled although the caches have not shown its last writes for 0.05 s" in caplog.text
    held.informer.stop()
    held.queue.shut_down()


def test_a_forgotten_key_is_ready(held: Held) -> None:
    held.writes.wrote("ns/a", "pods", stored_pod("made", "999999"), "ns")
    held.writes.deleted("ns/a", "pods", "ns/other", "u1")
    held.writes.forget("ns/a")
    assert held.writes.is_ready("ns/a")


def test_held_keys_share_one_delay(held: Held) -> None:
    """A delayed add of each would have them reconciled again, long after their writes show."""
    for number in range(5):
        held.writes.wrote(f"ns/{number}", "pods", stored_pod("made", "999999"), "ns")
        assert not held.writes.is_ready(f"ns/{number}")
    assert "1 delayed" in repr(held.queue)


def test_every_held_key_is_let_go_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """Also those that the shared delay is not for, and one that the queue gives earlier for another reason."""
    held = Held(0.2)
    keys = {f"ns/{number}" for number in range(3)}
    for key in sorted(keys):
        held.writes.wrote(key, "pods", stored_pod("made", "999999"), "ns")
        assert not held.writes.is_ready(key)
    held.queue.add_after("ns/0", 0.05)
    let_go = set()
    while let_go != keys:
        key = held.queue.get(DEADLINE)
        if held.writes.is_ready(key):
            let_go.add(key)
        held.queue.done(key)
    assert held.writes.timeouts == 3
    held.informer.stop()
    held.queue.shut_down()

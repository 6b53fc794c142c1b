"""What every kind of work queue does."""

from __future__ import annotations

import gc
import queue as queues
import threading
import time
import tracemalloc
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from informer import DeletedFinalStateUnknown, ExplicitKey, Object
from informer.workqueue import RateLimitingQueue, ShutDownError, WorkQueue
from tests.support.waiting import eventually

SHUT_DOWNS = pytest.mark.parametrize("shut_down", ["shut_down", "shut_down_with_drain"])


def consume(queue: WorkQueue[Any], each: Callable[[Any], object]) -> None:
    while True:
        try:
            item = queue.get()
        except ShutDownError:
            return
        each(item)
        queue.done(item)


@SHUT_DOWNS
def test_many_producers_and_consumers(any_queue: Any, run: Any, shut_down: str) -> None:
    """Go: TestBasic. An item is never with two workers, all workers end at the shut-down, and later items are ignored."""
    busy: set[int] = set()
    clashes: list[int] = []
    seen: set[Any] = set()

    def each(item: Any) -> None:
        if item in busy:
            clashes.append(item)
        busy.add(item)
        seen.add(item)
        time.monotonic()
        busy.discard(item)

    consumers = [run(consume, any_queue, each) for _ in range(10)]
    producers = [run(lambda n=n: [any_queue.add(n) for _ in range(50)]) for n in range(50)]
    for producer in producers:
        producer.result()
    getattr(any_queue, shut_down)()
    any_queue.add("added after shutdown!")
    for consumer in consumers:
        consumer.result()
    assert seen == set(range(50))
    assert not clashes
    assert len(any_queue) == 0


@SHUT_DOWNS
def test_an_item_added_while_it_is_processed_is_given_out_again(any_queue: Any, run: Any, shut_down: str) -> None:
    """Go: TestAddWhileProcessing."""
    times: dict[int, int] = {}
    all_twice = threading.Event()
    lock = threading.Lock()

    def each(item: int) -> None:
        with lock:
            times[item] = times.get(item, 0) + 1
            first = times[item] == 1
            if sorted(times) == list(range(50)) and min(times.values()) == 2:
                all_twice.set()
        if first:
            any_queue.add(item)

    consumers = [run(consume, any_queue, each) for _ in range(10)]
    any_queue.add_all(range(50))
    assert all_twice.wait(10)
    getattr(any_queue, shut_down)()
    for consumer in consumers:
        consumer.result()
    assert times == dict.fromkeys(range(50), 2)
    assert len(any_queue) == 0


def test_len_counts_each_item_once(any_queue: Any) -> None:
    """Go: TestLen."""
    assert not len(any_queue)
    assert any_queue
    sizes = []
    for item in ("foo", "bar", "foo"):
        any_queue.add(item)
        sizes.append(len(any_queue))
    assert sizes == [1, 2, 2]


def test_an_item_added_again_is_ready_only_after_done(any_queue: Any) -> None:
    """Go: TestReinsert."""
    any_queue.add("foo")
    assert any_queue.get(0) == "foo"
    any_queue.add("foo")
    with pytest.raises(queues.Empty):
        any_queue.get(0)
    any_queue.done("foo")
    assert any_queue.get(0) == "foo"
    any_queue.done("foo")
    assert len(any_queue) == 0


class Recording(deque[Any]):
    """An order of arrival that records the items it was told of again."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: list[Any] = []

    push = deque.append

    def pop(self) -> Any:
        return self.popleft()

    def touch(self, item: Any) -> None:
        self.touched.append(item)


def test_an_item_added_twice_is_given_out_once() -> None:
    """Go: TestCollapse. The second add touches the item in the order."""
    order = Recording()
    queue = WorkQueue(order=order)
    queue.add("bar")
    queue.add("bar")
    assert queue.get(0) == "bar"
    queue.done("bar")
    assert len(queue) == 0
    assert order.touched == ["bar"]


def test_several_adds_while_processing_count_as_one(run: Any) -> None:
    """Go: TestCollapseWhileProcessing. A second worker waits until the first is done, and gets the item once."""
    order = Recording()
    queue = WorkQueue(order=order)
    queue.add("foo")
    assert queue.get(0) == "foo"
    queue.add("foo")
    queue.add("foo")
    with pytest.raises(queues.Empty):
        queue.get(0.01)
    second = run(queue.get)
    queue.done("foo")
    assert second.result() == "foo"
    queue.done("foo")
    assert len(queue) == 0
    assert order.touched == []


def test_a_custom_order_decides_which_item_is_next() -> None:
    """client-go source. Any object with push, pop, touch and len can replace the order of arrival."""

    class LastFirst(Recording):
        def pop(self) -> Any:
            return deque.pop(self)

    queue = WorkQueue(order=LastFirst())
    queue.add_all("abc")
    assert [queue.get(0) for _ in range(3)] == ["c", "b", "a"]


def take(queue: WorkQueue[Any], *items: str) -> None:
    queue.add_all(items)
    for item in items:
        assert queue.get(0) == item


def test_a_draining_shut_down_waits_for_items_under_way(any_queue: Any, run: Any) -> None:
    """Go: TestQueueDrainageUsingShutDownWithDrain."""
    take(any_queue, "foo", "bar")
    ended = run(any_queue.shut_down_with_drain)
    with pytest.raises(ShutDownError):
        any_queue.get(10)
    assert any_queue.shutting_down
    any_queue.done("foo")
    assert not ended.ends_within(0.02)
    any_queue.done("bar")
    ended.result()


def test_a_plain_shut_down_does_not_wait_and_can_be_repeated(any_queue: Any) -> None:
    """Go: TestNoQueueDrainageUsingShutDown. The test would hang if it waited."""
    take(any_queue, "foo", "bar")
    any_queue.shut_down()
    any_queue.shut_down()
    assert any_queue.shutting_down


def test_a_plain_shut_down_ends_a_draining_one(any_queue: Any, run: Any) -> None:
    """Go: TestForceQueueShutdownUsingShutDown."""
    take(any_queue, "foo", "bar")
    ended = run(any_queue.shut_down_with_drain)
    with pytest.raises(ShutDownError):
        any_queue.get(10)
    assert not ended.ends_within(0.02)
    any_queue.shut_down()
    ended.result()


def test_draining_waits_for_items_that_were_added_again(any_queue: Any, run: Any) -> None:
    """Go: TestQueueDrainageUsingShutDownWithDrainWithDirtyItem."""
    take(any_queue, "foo")
    any_queue.add("foo")
    ended = run(any_queue.shut_down_with_drain)
    with pytest.raises(ShutDownError):
        any_queue.get(10)
    any_queue.done("foo")
    assert any_queue.get(0) == "foo"
    assert not ended.ends_within(0.02)
    any_queue.done("foo")
    with pytest.raises(ShutDownError):
        any_queue.get(10)
    ended.result()


def test_draining_waits_for_items_that_no_worker_has_taken_yet(any_queue: Any, run: Any) -> None:
    """Between two items of a single worker no item is under way, but the queue is not drained yet."""
    any_queue.add_all(["foo", "bar"])
    assert any_queue.get(0) == "foo"
    ended = run(any_queue.shut_down_with_drain)
    assert eventually(lambda: any_queue.shutting_down)
    any_queue.done("foo")
    assert not ended.ends_within(0.02)
    assert any_queue.get(0) == "bar"
    any_queue.done("bar")
    ended.result()


def test_ready_items_are_given_out_in_order_even_after_shut_down(any_queue: Any) -> None:
    """client-go source. Items added later are ignored, and `done` with an unknown item is harmless."""
    any_queue.add_all("cab")
    any_queue.done("never seen")
    any_queue.shut_down()
    any_queue.add("d")
    any_queue.add_all("ef")
    assert [any_queue.get(0) for _ in range(3)] == ["c", "a", "b"]
    with pytest.raises(ShutDownError, match="shut down"):
        any_queue.get(0)


def test_get_waits_for_an_item(any_queue: Any, run: Any) -> None:
    """An add wakes a waiting worker; when the time-out is over, get raises queue.Empty."""
    with pytest.raises(queues.Empty):
        any_queue.get(0.01)
    waiting = run(any_queue.get)
    any_queue.add("foo")
    assert waiting.result() == "foo"


@pytest.mark.parametrize("item", [{"a": 1}, ["foo"], ("foo", [])], ids=["dict", "list", "tuple of list"])
def test_an_item_must_be_hashable(any_queue: Any, item: Any) -> None:
    """The error names the type and says what to add instead; no item is added."""
    adders = ["add", "add_after", "add_rate_limited"]
    for name in adders:
        add = getattr(any_queue, name, None)
        if add is not None:
            with pytest.raises(TypeError, match=rf"a {type(item).__name__} is not .*namespace/name"):
                add(*((item, 1) if name == "add_after" else (item,)))
    with pytest.raises(TypeError, match="must be hashable"):
        any_queue.add_all(["foo", item])
    assert len(any_queue) == 0


class Item:
    """An item that can be weakly referenced."""


def test_a_done_item_is_freed(any_queue: Any) -> None:
    """Go: TestGarbageCollection. The queue does not refer to an item that was processed, retried and forgotten."""
    item = Item()
    ref = weakref.ref(item)
    any_queue.add(item)
    assert any_queue.get(0) is item
    if isinstance(any_queue, RateLimitingQueue):
        any_queue.add_rate_limited(item)
        any_queue.forget(item)
    any_queue.done(item)
    if hasattr(any_queue, "add_after"):
        any_queue.add_after(item, 100)
        any_queue.add_after(item, 0.001)
        got = any_queue.get(5)
        any_queue.done(got)
        del got
    del item
    gc.collect()
    assert ref() is None


def test_memory_does_not_grow_with_items_done(any_queue: Any) -> None:
    """After twenty thousand new keys a queue uses as much memory as before."""

    def process(first: int) -> None:
        for start in range(first, first + 20000, 1000):
            any_queue.add_all([f"shop/web-{n}" for n in range(start, start + 1000)])
            while len(any_queue):
                any_queue.done(any_queue.get(0))

    process(0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        process(20000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 200_000


def test_each_key_has_one_worker_under_contention(any_queue: Any, run: Any) -> None:
    """Eight workers and four producers share five keys: no key has two workers, and each is processed after its last add."""
    counts = dict.fromkeys("abcde", 0)
    seen = dict.fromkeys("abcde", 0)
    busy = dict.fromkeys("abcde", 0)
    clashes: list[str] = []
    lock = threading.Lock()

    def each(item: str) -> None:
        busy[item] += 1
        if busy[item] != 1:
            clashes.append(item)
        seen[item] = counts[item]
        busy[item] -= 1

    def produce() -> None:
        for n in range(2000):
            key = "abcde"[n % 5]
            with lock:
                counts[key] += 1
            any_queue.add(key)

    workers = [run(consume, any_queue, each) for _ in range(8)]
    for producer in [run(produce) for _ in range(4)]:
        producer.result()
    any_queue.shut_down_with_drain()
    for worker in workers:
        worker.result()
    assert not clashes
    assert seen == counts == dict.fromkeys("abcde", 1600)


class Request(NamedTuple):
    """A user's key."""

    namespace: str
    name: str


class Model(msgspec.Struct, frozen=True):
    """A user's model, which is hashable."""

    metadata: frozenset[str] = frozenset()


OBJECT = Object.from_dict({"metadata": {"namespace": "shop", "name": "web", "uid": "u", "resourceVersion": "1"}})
OBJECTS: dict[str, Any] = {
    "Object": OBJECT,
    "Model": Model(),
    "DeletedFinalStateUnknown": DeletedFinalStateUnknown("shop/web", OBJECT),
    "tuple of Object": ("update", OBJECT),
    "class with metadata": type("Thing", (), {"metadata": {"name": "web"}})(),
}


@pytest.mark.parametrize("item", OBJECTS.values(), ids=OBJECTS)
def test_an_item_must_not_be_an_object(any_queue: Any, item: Any) -> None:
    """Each version of an object would be another item, so that two workers could process one object (grafana#123359)."""
    for name in ("add", "add_after", "add_rate_limited"):
        add = getattr(any_queue, name, None)
        if add is not None:
            with pytest.raises(TypeError, match=r"must be a key.*is an object.*namespace/name"):
                add(*((item, 1) if name == "add_after" else (item,)))
    with pytest.raises(TypeError, match="must be a key"):
        any_queue.add_all(["foo", item])
    assert len(any_queue) == 0


@pytest.mark.parametrize(
    "item", ["shop/web", Request("shop", "web"), ("v1", "Pod", "web"), 7, ExplicitKey("a"), Item()]
)
def test_every_kind_of_key_is_taken(any_queue: Any, item: Any) -> None:
    """Strings, tuples, and objects that do not change."""
    any_queue.add(item)
    assert any_queue.get(0) == item


def test_done_of_an_item_that_was_not_got_changes_nothing(any_queue: Any) -> None:
    """The item that waits is still given out once, and not twice."""
    any_queue.add("foo")
    any_queue.done("foo")
    assert len(any_queue) == 1
    assert any_queue.get(0) == "foo"
    assert len(any_queue) == 0
    any_queue.done("foo")
    any_queue.done("never added")
    assert len(any_queue) == 0


def test_a_queues_repr_says_its_state_and_counts(make: Callable[..., Any]) -> None:
    """The name, how many items are ready, in progress and delayed, and whether it is shut down."""
    queue = make(WorkQueue, name="pods")
    assert repr(queue) == "<WorkQueue pods: 0 ready, 0 in progress>"
    retrying = make(RateLimitingQueue)
    retrying.add_all(["a", "b"])
    retrying.get(0)
    retrying.add_after("c", 60)
    assert repr(retrying) == "<RateLimitingQueue: 1 ready, 1 in progress, 1 delayed>"
    retrying.shut_down()
    assert repr(retrying) == "<RateLimitingQueue: 1 ready, 1 in progress, 0 delayed, shut down>"

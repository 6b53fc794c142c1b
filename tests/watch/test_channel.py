"""A channel is a closable queue between threads."""

from __future__ import annotations

import gc
import queue
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.waiting import DEADLINE, PROMPT, eventually
from watch import Channel, ChannelClosedError, WatchError
from watch.concurrency import Signal

SIZES = pytest.mark.parametrize("maxsize", [0, 1, 7, None], ids=["hand-off", "one", "seven", "unbounded"])


def wait_for_getter(channel: Channel[Any], count: int = 1) -> None:
    assert eventually(lambda: channel._getters >= count)


def wait_for_putter(channel: Channel[Any], count: int = 1) -> None:
    assert eventually(lambda: len(channel._offers) >= count)


# Hand-off


def test_a_hand_off_returns_once_taken(run: Any) -> None:
    """A put into a hand-off returns when a taker has the item, and not before."""
    channel: Channel[str] = Channel()
    putting = run(channel.put, "a")
    assert not putting.ends_within(0.05)
    assert len(channel) == 0
    assert channel.get(timeout=0) == "a"
    assert putting.result() is None


def test_a_timed_out_put_was_never_taken(run: Any) -> None:
    """An item whose put timed out is withdrawn: a taker gets the next item."""
    channel: Channel[str] = Channel()
    with pytest.raises(queue.Full):
        channel.put("lost", timeout=0.01)
    with pytest.raises(queue.Empty):
        channel.get(timeout=0)
    putting = run(channel.put, "next")
    assert channel.get(timeout=DEADLINE) == "next"
    putting.result()
    with pytest.raises(queue.Empty):
        channel.get(timeout=0)


def test_a_hand_off_needs_a_waiting_taker(run: Any) -> None:
    """Without a waiting taker put_nowait raises queue.Full; each waiting taker makes room for one item."""
    channel: Channel[int] = Channel()
    with pytest.raises(queue.Full):
        channel.put_nowait(0)
    takers = [run(channel.get) for _ in range(2)]
    wait_for_getter(channel, 2)
    with channel._monitor:
        # No taker can wake up while the monitor is held, so neither item has been taken.
        accepted = [channel._has_room_locked()]
        channel._items.append(1)
        accepted.append(channel._has_room_locked())
        channel._items.append(2)
        accepted.append(channel._has_room_locked())
        channel._monitor.notify_all()
    assert accepted == [True, True, False]
    assert sorted(taker.result() for taker in takers) == [1, 2]
    with pytest.raises(queue.Full):
        channel.put_nowait(3)


def test_put_nowait_hands_over_to_a_waiting_taker(run: Any) -> None:
    """put_nowait hands an item to a taker that waits."""
    channel: Channel[str] = Channel()
    taker = run(channel.get)
    wait_for_getter(channel)
    channel.put_nowait("a")
    assert taker.result() == "a"


def test_a_hand_offs_batch_is_what_is_offered(run: Any) -> None:
    """A batch takes the items of all waiting putters in order, at most max_items of them."""
    channel: Channel[int] = Channel()
    putters = []
    for number in range(3):
        putters.append(run(channel.put, number))
        wait_for_putter(channel, number + 1)
    assert channel.get_batch(2) == [0, 1]
    assert not putters[2].ends_within(0.02)
    assert channel.get_batch() == [2]


# Bounds


def test_at_most_n_items_wait(run: Any) -> None:
    """A channel of n accepts n items without a reader; the next put waits for room."""
    channel: Channel[int] = Channel(3)
    for number in range(3):
        channel.put(number)
    assert len(channel) == 3
    with pytest.raises(queue.Full):
        channel.put_nowait(3)
    with pytest.raises(queue.Full):
        channel.put(3, timeout=0.01)
    putting = run(channel.put, 3)
    assert not putting.ends_within(0.05)
    assert len(channel) == 3
    assert channel.get() == 0
    putting.result()
    assert channel.get_batch() == [1, 2, 3]


def test_a_waiting_put_gets_free_room_first(run: Any) -> None:
    """Room that becomes free goes to the put that waits, not to a later caller."""
    channel: Channel[str] = Channel(1)
    channel.put("a")
    putting = run(channel.put, "b")
    wait_for_putter(channel)
    assert channel.get() == "a"
    with pytest.raises(queue.Full):
        channel.put_nowait("c")
    assert channel.get() == "b"
    putting.result()


def test_a_newer_item_does_not_pass_a_waiting_one(run: Any) -> None:
    """A put that waits is served before every later put."""
    channel: Channel[str] = Channel()
    putting = run(channel.put, "old")
    wait_for_putter(channel)
    with channel._monitor:
        channel._getters += 1  # a taker that was woken and has not run yet
    with pytest.raises(queue.Full):
        channel.put_nowait("new")
    with channel._monitor:
        channel._getters -= 1
    assert channel.get() == "old"
    putting.result()


def test_an_unbounded_channel_never_waits() -> None:
    """Without a bound every item is accepted at once."""
    channel: Channel[int] = Channel(None)
    for number in range(10_000):
        channel.put(number, timeout=0)
    assert len(channel) == 10_000
    assert channel.get_batch() == list(range(10_000))


def test_a_negative_size_is_refused() -> None:
    """A negative size raises ValueError."""
    with pytest.raises(ValueError, match="not -1"):
        Channel(-1)


def test_a_bound_can_be_lifted(run: Any) -> None:
    """`unbound` accepts the items that wait, and all later ones."""
    channel: Channel[int] = Channel(1)
    channel.put(1)
    putting = run(channel.put, 2)
    wait_for_putter(channel)
    channel.unbound()
    putting.result()
    channel.put_nowait(3)
    assert channel.get_batch() == [1, 2, 3]


# Taking


@SIZES
def test_an_empty_channel_times_out(maxsize: int | None) -> None:
    """An empty channel raises queue.Empty after the time-out; a time-out of 0 does not wait."""
    channel: Channel[int] = Channel(maxsize)
    begun = time.monotonic()
    for timeout in (0, -1):
        with pytest.raises(queue.Empty):
            channel.get(timeout=timeout)
        with pytest.raises(queue.Empty):
            channel.get_batch(timeout=timeout)
    assert time.monotonic() - begun < PROMPT
    begun = time.monotonic()
    with pytest.raises(queue.Empty):
        channel.get(timeout=0.03)
    assert time.monotonic() - begun >= 0.03


@SIZES
def test_a_batch_waits_for_its_first_item(maxsize: int | None, run: Any) -> None:
    """get_batch waits for one item, then returns all that are ready."""
    channel: Channel[str] = Channel(maxsize)
    taking = run(channel.get_batch)
    wait_for_getter(channel)
    channel.put("a")
    assert taking.result() == ["a"]


def test_a_batch_is_bounded() -> None:
    """max_items bounds a batch, the rest comes next, and a bound below 1 is refused."""
    channel: Channel[int] = Channel(None)
    for number in range(5):
        channel.put(number)
    assert channel.get_batch(2) == [0, 1]
    assert channel.get_batch(9) == [2, 3, 4]
    with pytest.raises(ValueError, match="at least 1, not 0"):
        channel.get_batch(0)


def test_a_stop_event_ends_a_wait(run: Any) -> None:
    """Setting the stop event ends a wait as closing does; items that are ready are still taken."""
    channel: Channel[int] = Channel(None)
    stop = Signal()
    taking = run(lambda: channel.get_batch(stop=stop))
    wait_for_getter(channel)
    stop.set()
    with pytest.raises(ChannelClosedError, match="stopped"):
        taking.result()
    channel.put(1)
    assert channel.get_batch(stop=stop) == [1]
    with pytest.raises(ChannelClosedError):
        channel.get_batch(stop=stop)
    assert not channel.closed


# Closing


@pytest.mark.parametrize(
    ("maxsize", "wait"),
    [
        pytest.param(0, lambda channel: channel.put("x"), id="put-hand-off"),
        pytest.param(1, lambda channel: channel.put("x"), id="put-full"),
        pytest.param(0, lambda channel: channel.put("x", timeout=60), id="put-with-timeout"),
        pytest.param(0, lambda channel: channel.get(), id="get"),
        pytest.param(None, lambda channel: channel.get_batch(5, timeout=60), id="get-batch"),
    ],
)
def test_close_wakes_every_waiter(maxsize: int | None, wait: Callable[[Channel[str]], Any], run: Any) -> None:
    """Closing ends the waits of all putters and takers with ChannelClosedError."""
    channel: Channel[str] = Channel(maxsize)
    if maxsize == 1:
        channel.put("full")
    waiting = [run(wait, channel) for _ in range(3)]
    assert eventually(lambda: len(channel._offers) + channel._getters == 3)
    channel.close()
    for task in waiting:
        with pytest.raises(ChannelClosedError):
            task.result()
    assert len(channel) == (maxsize == 1)


def test_close_ends_an_iteration(run: Any) -> None:
    """A loop over a channel yields everything accepted, and ends when the channel is closed."""
    channel: Channel[int] = Channel()
    looping = run(lambda: list(channel))
    for number in range(3):
        channel.put(number)
    channel.close()
    assert looping.result() == [0, 1, 2]
    assert list(channel) == []


@pytest.mark.parametrize("maxsize", [3, None])
def test_accepted_items_can_be_taken_after_closing(maxsize: int | None) -> None:
    """A closed channel still returns the accepted items; then every call raises ChannelClosedError."""
    channel: Channel[int] = Channel(maxsize)
    channel.put(1)
    channel.put(2)
    channel.close()
    channel.close()
    assert channel.closed
    for put in (channel.put, channel.put_nowait):
        with pytest.raises(ChannelClosedError):
            put(3)
    assert len(channel) == 2
    assert channel.get(timeout=0) == 1
    assert channel.get_batch() == [2]
    with pytest.raises(ChannelClosedError):
        channel.get(timeout=0)
    with pytest.raises(ChannelClosedError):
        channel.get_batch()


def test_an_offer_is_withdrawn_by_closing(run: Any) -> None:
    """Closing withdraws the items whose put still waits."""
    channel: Channel[str] = Channel()
    putting = run(channel.put, "x")
    wait_for_putter(channel)
    channel.close()
    with pytest.raises(ChannelClosedError):
        putting.result()
    with pytest.raises(ChannelClosedError):
        channel.get(timeout=0)


def test_a_closed_channel_is_an_error_of_the_package() -> None:
    """ChannelClosedError is a WatchError."""
    assert issubclass(ChannelClosedError, WatchError)


# As a whole


@SIZES
def test_a_channel_is_never_false(maxsize: int | None) -> None:
    """An empty channel is true, so that `if channel` tests for None only."""
    assert Channel(maxsize)


def test_taken_items_are_not_kept() -> None:
    """A channel does not refer to items that were taken."""

    class Item:
        pass

    channel: Channel[Item] = Channel(2)
    item = Item()
    kept = weakref.ref(item)
    channel.put(item)
    del item
    channel.get()
    gc.collect()
    assert kept() is None


@SIZES
def test_every_item_comes_once_and_in_its_putters_order(maxsize: int | None, run: Any) -> None:
    """With many threads, every item is taken once, and those of one putter in the order put."""
    channel: Channel[tuple[int, int]] = Channel(maxsize)
    putters, takers, count = 4, 3, 150

    def put_all(putter: int) -> None:
        for number in range(count):
            while True:
                try:
                    channel.put((putter, number), timeout=0.001 if number % 3 else None)
                    break
                except queue.Full:
                    continue

    def take_all(size: int | None) -> list[tuple[int, int]]:
        taken: list[tuple[int, int]] = []
        while True:
            try:
                taken += channel.get_batch(size, timeout=0.001 if size == 2 else None)
            except queue.Empty:
                continue
            except ChannelClosedError:
                return taken

    taking = [run(take_all, size) for size in (1, 2, None)[:takers]]
    for task in [run(put_all, putter) for putter in range(putters)]:
        task.result()
    channel.close()
    results = [task.result() for task in taking]
    assert Counter(item for taken in results for item in taken) == Counter(
        (putter, number) for putter in range(putters) for number in range(count)
    )
    for taken in results:
        for putter in range(putters):
            numbers = [number for who, number in taken if who == putter]
            assert numbers == sorted(numbers)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers()),
        st.tuples(st.just("get"), st.none()),
        st.tuples(st.just("batch"), st.none() | st.integers(1, 3)),
        st.tuples(st.just("close"), st.none()),
    ),
    max_size=30,
)


@given(st.none() | st.integers(0, 3), operations)
def test_a_channel_behaves_as_a_list(maxsize: int | None, steps: list[tuple[str, Any]]) -> None:
    """On one thread a channel behaves like a plain list with a bound."""
    channel: Channel[Any] = Channel(maxsize)
    model: deque[Any] = deque()
    closed = False

    def attempt(function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (queue.Empty, queue.Full, ChannelClosedError) as error:
            return type(error)

    for step, argument in steps:
        nothing = ChannelClosedError if closed else queue.Empty
        if step == "put":
            outcome = attempt(lambda: channel.put_nowait(argument))  # noqa: B023
            if closed:
                assert outcome is ChannelClosedError
            elif maxsize is not None and len(model) >= maxsize:
                assert outcome is queue.Full
            else:
                assert outcome is None
                model.append(argument)
        elif step == "get":
            assert attempt(lambda: channel.get(0)) == (model.popleft() if model else nothing)
        elif step == "batch":
            size = len(model) if argument is None else min(argument, len(model))
            expected: Any = [model.popleft() for _ in range(size)] or nothing
            assert attempt(lambda: channel.get_batch(argument, 0)) == expected  # noqa: B023
        else:
            channel.close()
            closed = True
        assert len(channel) == len(model)
        assert channel.closed is closed

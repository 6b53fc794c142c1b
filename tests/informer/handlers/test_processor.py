"""The processor: which listener gets which batch, which is due for a resync, and what a late listener gets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from informer import Change, DeltaType
from informer.handlers.processor import Processor, ResyncSchedule
from watch import FakeClock

NEWS = Change(DeltaType.ADDED, "a", key="a")
SYNC = Change(DeltaType.UPDATED, "a", "a", is_sync=True, key="a")


class Listener:
    """A listener that remembers its batches."""

    def __init__(self, resync: ResyncSchedule | None = None) -> None:
        self.resync = resync or ResyncSchedule(0, 0, 0)
        self.syncing = False
        self.abandoned = False
        self.got: list[Change] = []
        self.initial = 0
        self.closed: list[bool] = []
        self.on_put: Callable[[], object] = lambda: None

    def put(self, changes: Sequence[Change], initial: int) -> None:
        self.got += changes
        self.initial += initial
        self.on_put()

    def close(self, *, drain: bool) -> None:
        self.closed.append(drain)

    def end_in_child(self) -> None:
        raise NotImplementedError


def with_listeners(processor: Processor, *listeners: Listener) -> None:
    for listener in listeners:
        assert processor.add(listener, dict)


def test_a_late_listener_gets_what_is_stored_as_initial_adds() -> None:
    """client-go source. It gets one add per stored object, marked as initial, before anything else."""
    processor, late = Processor(), Listener()
    assert processor.add(late, lambda: {"a": "A", "b": "B"})
    processor.distribute([NEWS])
    assert late.got == [
        Change(DeltaType.ADDED, "A", is_in_initial_list=True),
        Change(DeltaType.ADDED, "B", is_in_initial_list=True),
        NEWS,
    ]
    assert ([change.key for change in late.got], late.initial) == (["a", "b", "a"], 2)


def test_updates_to_the_same_state_go_only_to_listeners_in_the_resync() -> None:
    """client-go source. An update with an unchanged resourceVersion goes to the listeners that are due; changes go to all."""
    processor, syncing, other = Processor(), Listener(), Listener()
    with_listeners(processor, syncing, other)
    syncing.syncing = True
    processor.distribute([NEWS, SYNC])
    assert (syncing.got, other.got) == ([NEWS, SYNC], [NEWS])


def test_initial_adds_are_counted_for_each_batch() -> None:
    """`put` gets the number of initial adds in the batch."""
    processor, listener = Processor(), Listener()
    with_listeners(processor, listener)
    processor.distribute([Change(DeltaType.ADDED, "a", None, True), NEWS])
    assert listener.initial == 1


def test_a_listener_that_removes_itself_costs_no_other_a_batch() -> None:
    """A listener that leaves during a distribution does not keep the batch from the others."""
    processor, leaving, last = Processor(), Listener(), Listener()
    with_listeners(processor, leaving, last)
    leaving.on_put = lambda: processor.remove(leaving)
    processor.distribute([NEWS])
    processor.distribute([NEWS])
    assert (leaving.got, last.got) == ([NEWS], [NEWS, NEWS])


def test_an_abandoned_listener_is_removed_with_the_next_batch() -> None:
    """It is closed, and gets nothing further."""
    processor, abandoned, other = Processor(), Listener(), Listener()
    with_listeners(processor, abandoned, other)
    abandoned.abandoned = True
    processor.distribute([NEWS])
    assert (abandoned.closed, processor.listeners()) == ([False], (other,))
    assert other.got == [NEWS]


def test_removing_says_whether_it_was_there() -> None:
    """A second removal returns False."""
    processor, listener = Processor(), Listener()
    with_listeners(processor, listener)
    assert processor.remove(listener)
    assert not processor.remove(listener)


@pytest.mark.parametrize("drain", [True, False])
def test_a_closed_processor_refuses_listeners(drain: bool) -> None:
    """The close closes every listener; a late one is refused."""
    processor, listener, late = Processor(), Listener(), Listener()
    with_listeners(processor, listener)
    processor.close(drain=drain)
    assert listener.closed == [drain]
    assert not processor.add(late, lambda: {"a": "A"})
    assert late.got == []


def test_a_batch_waits_while_a_listener_joins() -> None:
    """A batch is distributed either before the joining listener's snapshot is taken, or after the listener has joined."""
    processor, late = Processor(), Listener()
    distributed = threading.Event()
    threads: list[threading.Thread] = []

    def distribute() -> None:
        processor.distribute([NEWS])
        distributed.set()

    def snapshot() -> dict[str, Any]:
        threads.append(threading.Thread(target=distribute))
        threads[0].start()
        assert not distributed.wait(0.05)
        return {"stored": "S"}

    assert processor.add(late, snapshot)
    threads[0].join(10)
    assert [change.key for change in late.got] == ["stored", "a"]


# Resyncs


def test_the_check_period_is_the_shortest_period_asked_for() -> None:
    """Go: TestResyncCheckPeriod. Before the start a listener with a shorter period shortens it."""
    processor = Processor(FakeClock())
    processor.resync_check_period = 12 * 3600.0
    schedules = []
    for requested, check in [(0, 12 * 3600), (60, 60), (55, 55), (5, 5)]:
        schedules.append(processor.schedule(requested))
        assert processor.resync_check_period == check
    assert [schedule.period for schedule in schedules] == [0, 60, 55, 5]


@pytest.mark.parametrize(
    ("check", "running", "requested", "period"),
    [
        pytest.param(10, False, 0.2, 1, id="below-the-least"),
        pytest.param(10, True, 5, 10, id="below-the-check-after-the-start"),
        pytest.param(10, True, 15, 15, id="above-the-check"),
        pytest.param(0, False, 5, 0, id="no-checks"),
        pytest.param(0, True, 5, 0, id="no-checks-after-the-start"),
        pytest.param(10, False, 0, 0, id="never"),
    ],
)
def test_a_listeners_period_follows_from_what_it_asks_and_when(
    check: float, running: bool, requested: float, period: float
) -> None:
    """client-go source. It is at least a second; after the start at least the check period; 0 without a check period."""
    processor = Processor(FakeClock())
    processor.resync_check_period = check
    if running:
        processor.start()
    assert processor.schedule(requested).period == period


def test_listeners_resync_at_their_own_periods() -> None:
    """Go: TestListenerResyncPeriods. With a check per second, listeners of 2 s and 3 s are due at 2 s and at 3 s."""
    clock = FakeClock()
    processor = Processor(clock)
    processor.resync_check_period = 1.0
    never, two, three = (Listener(processor.schedule(period)) for period in (0, 2, 3))
    with_listeners(processor, never, two, three)
    processor.start()
    due = []
    for _ in range(6):
        clock.step(1)
        due.append((processor.should_resync(), never.syncing, two.syncing, three.syncing))
    assert due == [
        (False, False, False, False),
        (True, False, True, False),
        (True, False, False, True),
        (True, False, True, False),
        (False, False, False, False),
        (True, False, True, True),
    ]


def test_periods_count_from_the_start() -> None:
    """Go: TestListenerResyncPeriodsDelayed. A late start of the informer delays every listener's first resync."""
    clock = FakeClock()
    processor = Processor(clock)
    processor.resync_check_period = 1.0
    listener = Listener(processor.schedule(2))
    with_listeners(processor, listener)
    clock.step(100)
    processor.start()
    clock.step(1)
    assert not processor.should_resync()
    clock.step(1)
    assert processor.should_resync()

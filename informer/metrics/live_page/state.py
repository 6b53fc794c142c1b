"""Reads what the live page shows of this process: informers, handlers, work queues and leases.

All numbers are those of the metrics. A short history of them is kept for plots and rates; it grows when the state is read.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from informer.metrics import families
from informer.metrics.collector import InformerCollector
from informer.metrics.families import Family, Reading
from informer.reflector.counts import Summary
from informer.shared.shared_informer import SharedInformer
from watch.printable import printable

__all__ = ["HandlerState", "InformerState", "LeaseState", "ProcessState", "QueueState", "Sample", "StateReader"]

# Numbers per plot, and the shortest time between two of them in seconds: two minutes if a page is open.
_SAMPLES = 60
_SAMPLE_PERIOD = 1.9
# Seconds over which a rate is computed, at least.
_SHORTEST_SPAN = 0.5
_MAX_ERROR = 500


class Sample(NamedTuple):
    """Numbers of an informer at a moment: the events until then, and how long the oldest waiting change has waited."""

    at: float
    events: float
    lag: float


class HandlerState(msgspec.Struct, frozen=True):
    """A handler, or several of one name. Times are in seconds."""

    name: str
    backlog: float
    lag: float
    delivered: int
    busy: float
    errors: float


class InformerState(msgspec.Struct, frozen=True):
    """An informer. `event_rate` is per second, and None until it was read twice. Times are in seconds."""

    name: str
    resource: str
    namespaces: str
    server: str
    state: str  # "synced", "syncing", "failing" or "dead"
    error: str
    objects: int
    bytes: float | None
    resource_version: str
    events: float
    event_rate: float | None
    event_age: float | None
    backlog: float
    lag: float
    errors: float
    handlers: list[HandlerState]


class QueueState(msgspec.Struct, frozen=True):
    """A work queue. Times are in seconds."""

    name: str
    depth: float
    adds: float
    retries: float
    longest: float


class LeaseState(msgspec.Struct, frozen=True):
    """A lease that this process takes part in: that of an election, or of a shard."""

    name: str
    is_held: bool
    holder: str


class ProcessState(msgspec.Struct, frozen=True):
    """All that is shown of this process."""

    host: str
    pid: int
    informers: list[InformerState]
    queues: list[QueueState]
    leases: list[LeaseState]


class StateReader:
    """Reads the state of this process, and remembers numbers for plots.

    Args:
        collector: finds informers, work queues and electors.

    Threads: one at a time.
    """

    def __init__(self, collector: InformerCollector) -> None:
        self._collector = collector
        self._histories: WeakKeyDictionary[SharedInformer[Any], deque[Sample]] = WeakKeyDictionary()

    def read(self) -> tuple[ProcessState, dict[str, list[Sample]]]:
        """Returns the state, and the history of each informer by its name."""
        informers, histories = [], {}
        for informer, name, readings in self._collector.read_informers():
            state = _informer_state(informer, name, readings)
            history = self._remember(informer, Sample(time.monotonic(), state.events, state.lag))
            informers.append(msgspec.structs.replace(state, event_rate=_rate(history)))
            histories[name] = history
        queues = [_queue_state(name, readings) for _, name, readings in self._collector.read_queues()]
        leases = [
            LeaseState(name, bool(_values(found)[families.LEADER]), printable(each.leader))
            for each, name, found in self._collector.read_electors()
        ]
        return ProcessState(socket.gethostname(), os.getpid(), informers, queues, leases), histories

    def _remember(self, informer: SharedInformer[Any], now: Sample) -> list[Sample]:
        """Adds a sample if the last one is old enough; returns the history with the present numbers at its end."""
        history = self._histories.setdefault(informer, deque(maxlen=_SAMPLES))
        if not history or now.at - history[-1].at >= _SAMPLE_PERIOD:
            history.append(now)
            return [*history]
        return [*history, now]


def _informer_state(informer: SharedInformer[Any], name: str, readings: list[Reading]) -> InformerState:
    labels = next((labels for family, labels, _ in readings if family is families.INFO), (name, informer.name, "", ""))
    handlers = _handler_states(readings)
    values = _values(readings)
    error = informer.failure if informer.has_died else informer.sync_error()
    state = "dead" if informer.has_died else "failing" if error else "synced" if informer.has_synced() else "syncing"
    failed = [value for family, _, value in readings if family is families.ERRORS and isinstance(value, (int, float))]
    return InformerState(
        name=name,
        resource=labels[1],
        namespaces=labels[2],
        server=labels[3],
        state=state,
        error="" if error is None else printable(str(error) or type(error).__name__, _MAX_ERROR),
        objects=int(values.get(families.OBJECTS, 0)),
        bytes=values.get(families.BYTES),
        resource_version=printable(informer.last_sync_resource_version),
        events=values.get(families.EVENTS, 0),
        event_rate=None,
        event_age=values.get(families.EVENT_AGE),
        backlog=sum(each.backlog for each in handlers),
        lag=max((each.lag for each in handlers), default=0.0),
        errors=sum(failed)
        + values.get(families.DECODE_ERRORS, 0)
        + values.get(families.INDEX_ERRORS, 0)
        + sum(each.errors for each in handlers),
        handlers=handlers,
    )


def _handler_states(readings: Iterable[Reading]) -> list[HandlerState]:
    by_name: dict[str, list[Reading]] = {}
    for reading in readings:
        if reading[0].labels == families.BACKLOG.labels:
            by_name.setdefault(reading[1][1], []).append(reading)
    states = []
    for name, found in by_name.items():
        values = _values(found)
        handled = next(value for family, _, value in found if family is families.HANDLED)
        states.append(
            HandlerState(
                name=name,
                backlog=values[families.BACKLOG],
                lag=values[families.LAG],
                delivered=handled.count if isinstance(handled, Summary) else 0,
                busy=values[families.HANDLER_BUSY],
                errors=values[families.HANDLER_ERRORS],
            )
        )
    return states


def _queue_state(name: str, readings: list[Reading]) -> QueueState:
    values = _values(readings)
    return QueueState(
        name=name,
        depth=values[families.DEPTH],
        adds=values[families.ADDS],
        retries=values[families.RETRIES],
        longest=values[families.LONGEST],
    )


def _values(readings: Iterable[Reading]) -> dict[Family, float]:
    """Returns the readings that are single numbers, by metric."""
    return {family: value for family, _, value in readings if isinstance(value, (int, float))}


def _rate(history: list[Sample]) -> float | None:
    """Returns the recent events per second; None before there is an earlier sample."""
    *earlier, now = history
    before = next((each for each in reversed(earlier) if now.at - each.at >= _SHORTEST_SPAN), None)
    return None if before is None else (now.events - before.events) / (now.at - before.at)

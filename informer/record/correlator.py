"""What an event has to do with those before it: counted, combined, or too many.

Comes in: events in API form of the core group. Goes out: what to write for each. An event equal to one before, but for its
time, is that one with a higher count; many that differ in their message alone become one that says so; and of a source that
reports without end about one object, most are left out. Pure but for the clock: no I/O.

Source: client-go tools/record EventCorrelator.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from informer.lru import LruMap
from informer.record.event import EventTime, copy_event, event_name, timestamp
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock

__all__ = ["Correlation", "EventCorrelator", "aggregate_key", "combined_message", "spam_key"]

_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion")


def spam_key(event: Mapping[str, Any]) -> Hashable:
    """Events with one such key share what they may be in number: source, object and type."""
    source, involved = event.get("source", {}), event.get("involvedObject", {})
    return (
        source.get("component", ""),
        source.get("host", ""),
        *(involved.get(field, "") for field in _INVOLVED),
        event.get("type", ""),
    )


def aggregate_key(event: Mapping[str, Any]) -> tuple[Hashable, str]:
    """The group of similar events that one belongs to, and what tells it from the others there: its message."""
    group = (
        spam_key(event),
        event.get("reason", ""),
        event.get("reportingComponent", ""),
        event.get("reportingInstance", ""),
    )
    return group, event.get("message", "")


def combined_message(event: Mapping[str, Any]) -> str:
    """What an event says that stands for all similar ones."""
    return f"(combined from similar events): {event.get('message', '')}"


def _exact_key(event: Mapping[str, Any]) -> Hashable:
    field_path = event.get("involvedObject", {}).get("fieldPath", "")
    return spam_key(event), field_path, event.get("reason", ""), event.get("message", "")


@dataclass(frozen=True)
class Correlation:
    """What is to be done with an event.

    Args:
        event: what to write; its count is above 1 where it, or the one it was combined into, was written before.
        patch: what has changed since then, as a merge patch; None for an event that is new.
        skip: whether to write nothing: there are too many.
        key: what it is remembered by.
    """

    event: dict[str, Any]
    patch: dict[str, Any] | None = None
    skip: bool = False
    key: Hashable = None


@dataclass(frozen=True)
class _Observation:
    """What was last written, or was to be, of an event."""

    name: str
    first_timestamp: Any
    count: int


@dataclass(frozen=True)
class _Group:
    """Similar events."""

    messages: frozenset[str]
    at: float  # of the last one


class EventCorrelator:
    """See the module.

    Args:
        max_events: so many similar events, the last of them included, are combined into one.
        interval: seconds since the last similar event after which the next begins anew.
        burst: so many events of one source about one object are written at once.
        qps: and so many a second after that.
        cache_size: so many events, groups and sources are remembered, those last seen.
        key_func: gives an event's group and what tells it from others there.
        message_func: what an event says that stands for its group.
        spam_key_func: events with the same key share `burst` and `qps`.
        clock: the time.

    Raises:
        ValueError: a number makes no sense.

    Threads: any.

    Example:
        >>> correlator = EventCorrelator()
        >>> event = {"metadata": {"name": "web.1", "namespace": "shop"}, "involvedObject": {"name": "web"}, "count": 1,
        ...          "type": "Normal", "reason": "Started", "message": "m", "lastTimestamp": "2026-01-01T00:00:00Z"}
        >>> correlator.correlate(event).patch
        >>> correlator.correlate(event).patch
        {'count': 2, 'lastTimestamp': '2026-01-01T00:00:00Z', 'message': 'm'}
    """

    def __init__(
        self,
        *,
        max_events: int = 10,
        interval: float = 600.0,
        burst: int = 25,
        qps: float = 1 / 300,
        cache_size: int = 4096,
        key_func: Callable[[Mapping[str, Any]], tuple[Hashable, str]] = aggregate_key,
        message_func: Callable[[Mapping[str, Any]], str] = combined_message,
        spam_key_func: Callable[[Mapping[str, Any]], Hashable] = spam_key,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if max_events < 1 or interval < 0:
            raise ValueError(f"max_events >= 1 and interval >= 0 are needed, not {max_events} and {interval}")
        if burst < 1 or qps < 0:
            raise ValueError(f"burst >= 1 and qps >= 0 are needed, not {burst} and {qps}")
        self._max_events = max_events
        self._interval = interval
        self._burst = burst
        self._qps = qps
        self._key_func = key_func
        self._message_func = message_func
        self._spam_key_func = spam_key_func
        self._clock = clock
        self._time = EventTime(clock)
        self._lock = Lock()
        # All guarded by _lock. A source's are the tokens that it had left, and when.
        self._groups: LruMap[Hashable, _Group] = LruMap(cache_size)
        self._observations: LruMap[Hashable, _Observation] = LruMap(cache_size)
        self._sources: LruMap[Hashable, tuple[float, float]] = LruMap(cache_size)

    def correlate(self, event: Mapping[str, Any]) -> Correlation:
        """Says what to do with an event, which is left as it is.

        Raises:
            ValueError: there is none.
        """
        if event is None:
            raise ValueError("event is nil: None was given")
        group, message = self._key_func(event)
        spam = self._spam_key_func(event)
        with self._lock:
            if self._is_one_of_many_locked(group, message):
                key: Hashable = ("combined", group)
                observed = self._combined(event)
            else:
                key = ("exact", _exact_key(event))
                observed = copy_event(event)
            patch = self._observe_locked(key, observed)
            skip = not self._take_token_locked(spam)
        return Correlation(observed, None if skip else patch, skip, key)

    def update_state(self, event: Mapping[str, Any], key: Hashable = None) -> None:
        """Remembers an event as the server has it, if it is one.

        Args:
            event: the server's answer to what was written.
            key: that of the correlation; None: that of an event which was not combined.
        """
        name, count = event.get("metadata", {}).get("name"), event.get("count")
        # Without them it is no event of this group: a sink may answer with anything.
        if not name or not count:
            return
        seen = _Observation(name, event.get("firstTimestamp"), count)
        with self._lock:
            self._observations.put(("exact", _exact_key(event)) if key is None else key, seen)

    def _is_one_of_many_locked(self, group: Hashable, message: str) -> bool:
        now = self._clock.monotonic()
        before = self._groups.get(group)
        known: frozenset[str] = frozenset()
        if before is not None and now - before.at <= self._interval:
            known = before.messages
        messages = known | {message}
        is_one_of_many = len(messages) >= self._max_events
        # The set grows no further, and its first members go on being events of their own.
        self._groups.put(group, _Group(known if is_one_of_many else messages, now))
        return is_one_of_many

    def _combined(self, event: Mapping[str, Any]) -> dict[str, Any]:
        nanoseconds = self._time.next()
        now = timestamp(nanoseconds)
        name = event_name(event.get("involvedObject", {}).get("name", ""), nanoseconds)
        return {
            **copy_event(event),
            # Without annotations, which are those of one event.
            "metadata": {"name": name, "namespace": event.get("metadata", {}).get("namespace", "")},
            "message": self._message_func(event),
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }

    def _observe_locked(self, key: Hashable, event: dict[str, Any]) -> dict[str, Any] | None:
        """Counts an event, which becomes the one that is written; returns what that has new."""
        before = self._observations.get(key)
        patch: dict[str, Any] | None = None
        if before is not None:
            event["metadata"] = {**event.get("metadata", {}), "name": before.name}
            event["firstTimestamp"] = before.first_timestamp
            event["count"] = before.count + 1
            patch = {field: event[field] for field in ("count", "lastTimestamp", "message") if field in event}
        name = event.get("metadata", {}).get("name", "")
        self._observations.put(key, _Observation(name, event.get("firstTimestamp"), event.get("count") or 1))
        return patch

    def _take_token_locked(self, source: Hashable) -> bool:
        now = self._clock.monotonic()
        left, at = self._sources.get(source) or (float(self._burst), now)
        left = min(float(self._burst), left + (now - at) * self._qps)
        taken = left >= 1
        self._sources.put(source, (left - 1 if taken else left, now))
        return taken

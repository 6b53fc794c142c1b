"""Counts, combines and drops events before they are written to an API server.

Source: client-go tools/record EventCorrelator.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from informer.lru import LruMap
from informer.record.event import EventTime, copy_event, event_name, timestamp
from informer.token_bucket import TokenBucket
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Lock

__all__ = ["Correlation", "EventCorrelator", "aggregate_key", "combined_message", "spam_key"]

# Bounds of the values that are remembered from a server's answers. Longer names and timestamps and larger counts are invalid.
_MAX_NAME = 253
_MAX_TIMESTAMP = 64
_MAX_COUNT = 2**31 - 2
_INVOLVED_FIELDS = ("kind", "namespace", "name", "uid", "apiVersion")


def spam_key(event: Mapping[str, Any]) -> Hashable:
    """Returns the key of the rate limit that an event counts against: its source, object and type."""
    source, involved = event.get("source", {}), event.get("involvedObject", {})
    return (
        source.get("component", ""),
        source.get("host", ""),
        *(involved.get(field, "") for field in _INVOLVED_FIELDS),
        event.get("type", ""),
    )


def aggregate_key(event: Mapping[str, Any]) -> tuple[Hashable, str]:
    """Returns the key of an event's group of similar events, and the message, which tells the events of a group apart."""
    group = (
        spam_key(event),
        event.get("reason", ""),
        event.get("reportingComponent", ""),
        event.get("reportingInstance", ""),
    )
    return group, event.get("message", "")


def combined_message(event: Mapping[str, Any]) -> str:
    """Returns the message of an event that stands for a group of similar events; `event` is the last of them."""
    return f"(combined from similar events): {event.get('message', '')}"


def _exact_key(event: Mapping[str, Any]) -> Hashable:
    field_path = event.get("involvedObject", {}).get("fieldPath", "")
    return spam_key(event), field_path, event.get("reason", ""), event.get("message", "")


@dataclass(frozen=True)
class Correlation:
    """What to write for an event.

    Args:
        event: the event to write, with its count.
        patch: a merge patch with the changed fields, if the event was written before. None for a new event.
        skip: True if nothing is to be written, because the source exceeds its rate limit.
        key: the correlator's key of this event, for `EventCorrelator.update_state`.
    """

    event: dict[str, Any]
    patch: dict[str, Any] | None = None
    skip: bool = False
    key: Hashable = None


@dataclass(frozen=True)
class _Observation:
    """The last state of an event, as written or skipped."""

    name: str
    first_timestamp: Any
    count: int


@dataclass(frozen=True)
class _Group:
    """Similar events."""

    messages: frozenset[str]
    last_seen: float


class EventCorrelator:
    """Decides what to write for an event, given the events before it.

    It applies three rules in turn:

    - An event that differs from an earlier one only in its message is similar. The `max_events`-th similar event and all
      further ones are written as one event, whose message begins with "(combined from similar events)".
    - An event that equals an earlier one, apart from its time, is written as a patch that raises that event's count.
    - A source may write `burst` events about one object at once, and `qps` events per second after that. Events beyond this
      are counted, but skipped.

    The correlator performs no I/O. Call `correlate` before writing an event and `update_state` with the server's answer.

    Args:
        max_events: the number of similar events from which on they are combined.
        interval: seconds after the last similar event after which its group is forgotten.
        burst: the number of events about one object that a source may write at once.
        qps: events per second that a source may write about one object once the burst is used up.
        cache_size: the largest number of events, of groups and of sources to remember; the least recently seen are evicted.
        key_func: returns an event's group and the text that tells the events of a group apart.
        message_func: returns the message of a combined event.
        spam_key_func: returns the key of the rate limit; events with the same key share `burst` and `qps`.
        clock: the time of combined events, and of the interval and the rate limit.

    Raises:
        ValueError: a number is out of range.

    Threads: all methods may be called from any thread.

    Example:
        >>> correlator = EventCorrelator()
        >>> event = {"metadata": {"name": "web.1", "namespace": "shop"}, "involvedObject": {"name": "web"}, "count": 1,
        ...          "type": "Normal", "reason": "Started", "message": "m", "lastTimestamp": "2026-01-01T00:00:00Z"}
        >>> correlator.correlate(event).patch
        >>> correlator.correlate(event).patch
        {'count': 2, 'lastTimestamp': '2026-01-01T00:00:00Z', 'message': 'm'}

    Source: client-go tools/record EventCorrelator, EventAggregator, eventLogger, EventSourceObjectSpamFilter.
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
            raise ValueError(f"max_events must be 1 or more and interval 0 or more, not {max_events} and {interval}")
        if burst < 1 or qps < 0:
            raise ValueError(f"burst must be 1 or more and qps 0 or more, not {burst} and {qps}")
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
        # All guarded by _lock.
        self._groups: LruMap[Hashable, _Group] = LruMap(cache_size)
        self._observations: LruMap[Hashable, _Observation] = LruMap(cache_size)
        self._buckets: LruMap[Hashable, TokenBucket] = LruMap(cache_size)  # by the key of the rate limit

    def correlate(self, event: Mapping[str, Any]) -> Correlation:
        """Counts an event and returns what to write for it.

        Args:
            event: an event of the core group in API form. It is not changed.

        Raises:
            ValueError: `event` is None.
        """
        if event is None:
            raise ValueError("event is nil: pass an event in API form, not None")
        group, message = self._key_func(event)
        spam = self._spam_key_func(event)
        with self._lock:
            if self._is_combined_locked(group, message):
                key: Hashable = ("combined", group)
                observed = self._combined(event)
            else:
                key = ("exact", _exact_key(event))
                observed = copy_event(event)
            patch = self._count_locked(key, observed)
            skip = not self._take_token_locked(spam)
        return Correlation(observed, None if skip else patch, skip, key)

    def update_state(self, event: Mapping[str, Any], key: Hashable = None) -> None:
        """Remembers the name and the count that the server has given an event.

        Args:
            event: the server's answer. Anything without a name and a count is ignored.
            key: the key of the correlation that was written. None: the key of an event that was not combined.
        """
        metadata, count, first = event.get("metadata"), event.get("count"), event.get("firstTimestamp")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        # A sink may return anything, such as a Status or an event of the other group. Only valid values are sent again later.
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME:
            return
        if type(count) is not int or not 0 < count <= _MAX_COUNT:
            return
        if first is not None and not (isinstance(first, str) and len(first) <= _MAX_TIMESTAMP):
            return
        seen = _Observation(name, first, count)
        with self._lock:
            self._observations.put(("exact", _exact_key(event)) if key is None else key, seen)

    def _is_combined_locked(self, group: Hashable, message: str) -> bool:
        """Adds a message to its group and returns whether the group is large enough to be combined."""
        now = self._clock.monotonic()
        before = self._groups.get(group)
        known: frozenset[str] = frozenset()
        if before is not None and now - before.last_seen <= self._interval:
            known = before.messages
        messages = known | {message}
        is_combined = len(messages) >= self._max_events
        # A full group does not grow: the messages that it already holds stay events of their own.
        self._groups.put(group, _Group(known if is_combined else messages, now))
        return is_combined

    def _combined(self, event: Mapping[str, Any]) -> dict[str, Any]:
        nanoseconds = self._time.next()
        now = timestamp(nanoseconds)
        name = event_name(event.get("involvedObject", {}).get("name", ""), nanoseconds)
        return {
            **copy_event(event),
            # Without annotations, which belong to a single event.
            "metadata": {"name": name, "namespace": event.get("metadata", {}).get("namespace", "")},
            "message": self._message_func(event),
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }

    def _count_locked(self, key: Hashable, event: dict[str, Any]) -> dict[str, Any] | None:
        """Counts an event; one seen before gets its former name, first timestamp and count, and a patch is returned."""
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

    def _take_token_locked(self, key: Hashable) -> bool:
        now = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = TokenBucket(self._qps, self._burst, now)
            self._buckets.put(key, bucket)
        return bucket.try_take(now)

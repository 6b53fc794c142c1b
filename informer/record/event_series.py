"""Groups similar events of events.k8s.io into series, and decides when to write them.

Source: client-go tools/events recordToSink, refreshExistingEventSeries, finishSeries.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from informer.lru import LruMap
from informer.record.event import copy_event
from watch.clock import Clock
from watch.concurrency import Lock

__all__ = ["FINISH_TIME", "REFRESH_TIME", "EventSeries", "series_key", "series_patch"]

FINISH_TIME = 6 * 60.0  # seconds without an event after which a series has ended
REFRESH_TIME = 30 * 60.0  # seconds between two writes of a series that goes on

_KEY_FIELDS = ("type", "action", "reason", "reportingController", "reportingInstance")


def series_key(event: Mapping[str, Any]) -> Hashable:
    """Returns the key of an event's series: all its fields but the note, and the resourceVersion of its objects."""
    return (
        *(event.get(field, "") for field in _KEY_FIELDS),
        _identity(event.get("regarding") or {}),
        _identity(event.get("related") or {}),
    )


def series_patch(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the merge patch for an event whose series has grown; None for a new event, which has no series."""
    return {"series": event["series"]} if event.get("series") else None


def _identity(reference: Mapping[str, str]) -> Hashable:
    # An object that has changed between two events is still the same object.
    return frozenset((field, value) for field, value in reference.items() if field != "resourceVersion")


@dataclass
class _Series:
    """The first event of a series, with the series as counted so far."""

    event: dict[str, Any]
    last_seen: float  # by the clock
    is_unsent: bool = False  # whether the count is higher than the one that was written last


class EventSeries:
    """Counts events that are alike as one event with a series.

    - The first event is created at the server.
    - The second is written at once, as a series with a count of 2.
    - Further ones are only counted.
    - The count is written when the series is refreshed, when it has ended, and when it is evicted. The server deletes old
      events, so a series that goes on is refreshed every `REFRESH_TIME`. It has ended `FINISH_TIME` after its last event.

    No method performs I/O: each returns copies of the events to write, in order.

    Args:
        size: the largest number of series to remember. The least recently seen is evicted, and written if it has grown.
        clock: the time.

    Threads: all methods may be called from any thread.
    """

    def __init__(self, size: int, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._series: LruMap[Hashable, _Series] = LruMap(size)  # guarded by _lock, with all that is in it

    def observe(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Counts an event in API form of events.k8s.io; returns the events to write."""
        key = series_key(event)
        now = self._clock.monotonic()
        with self._lock:
            known = self._series.get(key)
            if known is None:
                evicted = self._series.put(key, _Series(event, now))
                to_write = [event] if evicted is None or not evicted.is_unsent else [evicted.event, event]
                return [copy_event(each) for each in to_write]
            known.last_seen = now
            series = known.event.get("series")
            known.event["series"] = {
                "count": series["count"] + 1 if series else 2,
                "lastObservedTime": event["eventTime"],
            }
            known.is_unsent = series is not None
            return [] if series else [copy_event(known.event)]

    def refreshed(self) -> list[dict[str, Any]]:
        """Returns every series, to be written again so that the server keeps it."""
        return self._take(lambda each: "series" in each.event)

    def unsent(self) -> list[dict[str, Any]]:
        """Returns every series whose count is not written yet, and marks it as written."""
        return self._take(lambda each: each.is_unsent)

    def finished(self) -> list[dict[str, Any]]:
        """Forgets what had no event for `FINISH_TIME`; returns the series among it, to be written for the last time."""
        before = self._clock.monotonic() - FINISH_TIME
        ended: list[dict[str, Any]] = []
        with self._lock:
            for key, each in self._series.items():
                if each.last_seen < before:
                    self._series.pop(key)
                    if "series" in each.event:
                        ended.append(each.event)
        return ended

    def _take(self, wanted: Callable[[_Series], bool]) -> list[dict[str, Any]]:
        taken = []
        with self._lock:
            for each in self._series.values():
                if wanted(each):
                    each.is_unsent = False
                    taken.append(copy_event(each.event))
        return taken

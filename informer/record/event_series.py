"""Events of events.k8s.io that are alike are one event with a series: what is written of them, and when.

Comes in: events as they are recorded, and the times at which series are refreshed or have ended. Goes out: what to write. The
first of its kind is created, the second makes it a series of two, all further ones are only counted, until the series is
written again: after half an hour, so that the server does not forget it, or when nothing came for six minutes, which ends it.
No I/O.

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

FINISH_TIME = 6 * 60.0
REFRESH_TIME = 30 * 60.0

_KEY_FIELDS = ("type", "action", "reason", "reportingController", "reportingInstance")


def series_key(event: Mapping[str, Any]) -> Hashable:
    """What events of one series have in common: all but the note, and the version that their objects had."""
    return (
        *(event.get(field, "") for field in _KEY_FIELDS),
        _identity(event.get("regarding") or {}),
        _identity(event.get("related") or {}),
    )


def series_patch(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is new of an event whose series has grown; None for one without a series, which is new itself."""
    return {"series": event["series"]} if event.get("series") else None


def _identity(reference: Mapping[str, str]) -> Hashable:
    # An object changes between two events, and is the same.
    return frozenset((field, value) for field, value in reference.items() if field != "resourceVersion")


@dataclass
class _Series:
    """The first event of its kind, and how it went on."""

    event: dict[str, Any]
    seen_at: float  # when the last one came, on the clock
    is_unsent: bool = False  # whether more were counted than were written


class EventSeries:
    """See the module.

    Args:
        size: so many are remembered, those last seen; the others are written as they stand when they have to go.
        clock: the time.

    Threads: any.
    """

    def __init__(self, size: int, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._series: LruMap[Hashable, _Series] = LruMap(size)  # guarded by _lock, with all that is in it

    def observe(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Takes note of an event, whose `eventTime` says when it was; returns what to write."""
        key = series_key(event)
        now = self._clock.monotonic()
        with self._lock:
            known = self._series.get(key)
            if known is None:
                gone = self._series.put(key, _Series(event, now))
                to_write = [event] if gone is None or not gone.is_unsent else [gone.event, event]
                return [copy_event(each) for each in to_write]
            known.seen_at = now
            series = known.event.get("series")
            known.event["series"] = {
                "count": series["count"] + 1 if series else 2,
                "lastObservedTime": event["eventTime"],
            }
            known.is_unsent = series is not None
            return [] if series else [copy_event(known.event)]

    def refreshed(self) -> list[dict[str, Any]]:
        """All series, to be written so that the server keeps them."""
        return self._take(lambda each: "series" in each.event)

    def unsent(self) -> list[dict[str, Any]]:
        """The series of which not all is written."""
        return self._take(lambda each: each.is_unsent)

    def finished(self) -> list[dict[str, Any]]:
        """The series that have ended, to be written for the last time; they, and single events as old, are forgotten."""
        before = self._clock.monotonic() - FINISH_TIME
        ended: list[dict[str, Any]] = []
        with self._lock:
            for key, each in self._series.items():
                if each.seen_at < before:
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

"""Reads the first part of a watch list: the present state as ADDED events, up to its end bookmark (KEP-3157)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from informer.objects.keys import DeletedFinalStateUnknown, NoLongerDecodes, version_of
from informer.queues.delta import Delta, DeltaType
from informer.reflector.event_reader import EventReader, is_initial_events_end
from watch.errors import ApiError, WatchClosedError
from watch.event import Event, EventType
from watch.logs import get_logger

__all__ = ["BookmarkDeadline", "InitialEvents", "read_initial_events"]

_log = get_logger(__name__)

_BOOKMARK_PATIENCE = 15.0  # seconds
_PROGRESS = 100  # objects
_WARN_EVERY = 10.0  # seconds
_NOTICE_AFTER = 5.0  # seconds without progress


class BookmarkDeadline:
    """The time by which the end bookmark of a watch list has to come.

    Initial events come as fast as the server and the network allow, and put the deadline off. Events that trickle in are live
    events, from a server that does not send the end bookmark. Another bookmark indicates the same, since a server sends
    no other bookmark before the end bookmark. The deadline is then put off for the last time.

    Args:
        now: seconds of a monotonic clock.
        patience: seconds until the deadline, which starts anew whenever `progress` more objects have come.
        progress: a number of objects.
    """

    def __init__(self, now: float, *, patience: float = _BOOKMARK_PATIENCE, progress: int = _PROGRESS) -> None:
        self._patience = patience
        self._progress = progress
        self._since = now
        self._objects = 0  # objects that had come by `_since`
        self._final = False

    def update(self, objects: int, now: float, *, other_bookmark: bool) -> None:
        """Puts the deadline off if there was progress.

        Args:
            objects: the number of objects that have come.
            now: seconds of a monotonic clock.
            other_bookmark: whether a bookmark came that is not the end bookmark.
        """
        if self._final:
            return
        if other_bookmark or objects - self._objects >= self._progress:
            self._since, self._objects = now, objects
            self._final = other_bookmark

    def remaining(self, now: float) -> float:
        """Returns the seconds until the deadline; 0 or less once it has passed."""
        return self._since + self._patience - now

    def waited(self, now: float) -> float:
        """Returns the seconds since there was progress."""
        return now - self._since


class InitialEvents:
    """Collects the initial events of one watch list.

    Args:
        reader: reads the events.
        key_of: returns an object's key.
        on_keyless: called with the error of `key_of` for each object that has no key; the object is left out.
        now: seconds of a monotonic clock.
        patience: how long the end bookmark is awaited without progress, in seconds; 15 at most. See `BookmarkDeadline`.
        max_objects: the most objects that are accepted; None for no limit.
    """

    def __init__(
        self,
        reader: EventReader,
        key_of: Callable[[Any], str],
        on_keyless: Callable[[Exception], object],
        now: float,
        *,
        patience: float = _BOOKMARK_PATIENCE,
        max_objects: int | None = None,
    ) -> None:
        self.version = ""
        """The version of the end bookmark; "" until it has come."""
        self.error: ApiError | None = None
        """The ERROR event that ended the watch before its end bookmark; None if there was none."""
        self.undecodable: set[str] = set()
        """The keys of the objects that came and do not decode."""
        self._reader = reader
        self._key_of = key_of
        self._on_keyless = on_keyless
        patience = min(_BOOKMARK_PATIENCE, patience)
        self._deadline = BookmarkDeadline(now, patience=patience)
        self._notice_after = min(_NOTICE_AFTER, patience / 2)
        self._max_objects = max_objects
        self._objects: dict[str, Any] = {}
        self._rest: list[Event[Any]] = []
        self._started = self._last = now
        self._warn_at = now + _WARN_EVERY
        self._seen = False

    def feed(self, events: Sequence[Event[Any]], now: float) -> None:
        """Adds a batch of events."""
        end = next((i for i, event in enumerate(events) if is_initial_events_end(event)), None)
        initial = events if end is None else events[: end + 1]
        batch = self._reader.read(initial)
        for delta in batch.deltas:
            self._take(delta)
        self.error = batch.error
        self._last, self._seen = now, True
        if end is not None:
            # The initial events are in arbitrary order, so that only the bookmark's own version counts.
            self.version = version_of(events[end].object)
            self._rest = list(events[end + 1 :])
        other_bookmark = any(event.type == EventType.BOOKMARK for event in initial) and not self.version
        self._deadline.update(len(self._objects), now, other_bookmark=other_bookmark)

    @property
    def count(self) -> int:
        """The number of objects that have come."""
        return len(self._objects)

    def is_over(self) -> bool:
        """Returns whether the end bookmark, an error, or too many objects have come."""
        return self.version != "" or self.error is not None or self.is_too_many

    @property
    def is_too_many(self) -> bool:
        """Whether more than `max_objects` objects have come."""
        return self._max_objects is not None and len(self._objects) > self._max_objects

    def take_objects(self) -> list[Any]:
        """Returns the objects that came, and releases them."""
        objects, self._objects = [*self._objects.values()], {}
        return objects

    def take_rest(self) -> list[Event[Any]]:
        """Returns the events of the last batch that followed the end bookmark, and releases them."""
        rest, self._rest = self._rest, []
        return rest

    def wait_seconds(self, now: float) -> float:
        """Returns how long to wait for the next batch: until the deadline, the next `warning` or the `notice`."""
        until_notice = self._notice_after - self._deadline.waited(now)
        wait = min(self._deadline.remaining(now), max(self._warn_at - now, 0.001))
        return min(wait, until_notice) if until_notice > 0 else wait

    def notice(self, now: float) -> str | None:
        """Returns what is waited for, once there was no progress for 5 seconds; None before."""
        waited = self._deadline.waited(now)
        if waited < self._notice_after or self.is_over():
            return None
        return (
            f"waiting for the bookmark that completes the watch list: {self.count} objects have come, and less than "
            f"{_PROGRESS} in {waited:.0f} s (does a proxy hold the bookmark back?); if it does not come, a list follows"
        )

    def expired(self, now: float) -> bool:
        """Returns whether the deadline has passed."""
        return self._deadline.remaining(now) <= 0

    def warning(self, now: float) -> str | None:
        """Returns what to log about the missing end bookmark, at most once in ten seconds; None for nothing."""
        if now < self._warn_at or self.is_over():
            return None
        self._warn_at = now + _WARN_EVERY
        if not self._seen:
            return (
                "awaiting required bookmark event for initial events stream, "
                f"no events received for {now - self._started:.0f}s"
            )
        return (
            "hasn't received required bookmark event marking the end of initial events stream, "
            f"received last event {now - self._last:.0f}s ago"
        )

    def _take(self, delta: Delta) -> None:
        if delta.type is DeltaType.BOOKMARK:
            return
        try:
            obj = delta.object
            key = obj.key if isinstance(obj, DeletedFinalStateUnknown) else self._key_of(obj)
        # The key function of a user may raise anything.
        except Exception as error:
            self._on_keyless(error)
            return
        if type(obj) is NoLongerDecodes:
            self.undecodable.add(key)
        else:
            self.undecodable.discard(key)
        if delta.type is DeltaType.DELETED:
            self._objects.pop(key, None)
        else:
            self._objects[key] = delta.object


def read_initial_events(
    initial: InitialEvents,
    pull: Callable[[float | None], Sequence[Event[Any]]],
    stop: threading.Event,
    on_batch: Callable[[int], float],
    name: str,
    on_wait: Callable[[str], object] | None = None,
) -> bool:
    """Reads a watch until its initial events are complete, it ends, or `stop` is set.

    Args:
        initial: is fed with the events.
        pull: returns the next batch of the watch; takes a time-out in seconds.
        stop: ends the reading.
        on_batch: called with the size of each batch; returns the time, in seconds of the monotonic clock.
        name: the reflector's, for logs.
        on_wait: called with the `notice` when the end bookmark is late; None for no call.

    Returns:
        False if the end bookmark did not come in time.
    """
    now = time.monotonic()
    while not stop.is_set() and not initial.is_over():
        if initial.expired(now):
            _log.warning("%s: the end bookmark of the watch list did not come in time: using lists from now on", name)
            return False
        try:
            events = pull(initial.wait_seconds(now))
        except TimeoutError:
            now = time.monotonic()
        except WatchClosedError:
            break
        else:
            now = on_batch(len(events))
            initial.feed(events, now)
        warning = initial.warning(now)
        if warning is not None:
            _log.warning("%s: %s", name, warning)
        notice = initial.notice(now)
        if notice is not None and on_wait is not None:
            on_wait(notice)
    return True

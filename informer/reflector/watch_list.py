"""The first part of a watch list: the present state as ADDED events, up to the bookmark that ends it (KEP-3157)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from informer.objects.keys import DeletedFinalStateUnknown, version_of
from informer.queues.delta import Delta, DeltaType
from informer.reflector.event_reader import EventReader, is_initial_events_end
from watch.errors import ApiError, WatchClosedError
from watch.event import Event, EventType

__all__ = ["BookmarkDeadline", "InitialEvents", "read_initial_events"]

_log = logging.getLogger(__name__)

_WARN_EVERY = 10.0


class BookmarkDeadline:
    """How long a watch list may go on without its end bookmark.

    Initial events come as fast as the server and the line allow. What trickles in is live traffic, of a server that does
    not know the end bookmark or has lost it; a bookmark that is not the end tells the same, as a server that knows it
    sends no other before it.

    Args:
        now: seconds of a monotonic clock.
        patience: the deadline, put off each time that `progress` objects have come within so many seconds.
        progress: see there.
    """

    def __init__(self, now: float, *, patience: float = 15.0, progress: int = 100) -> None:
        self._patience = patience
        self._progress = progress
        self._since = now
        self._before = 0  # objects that had come by then
        self._final = False

    def saw(self, objects: int, now: float, *, other_bookmark: bool) -> None:
        """Takes how many objects there are by now, and whether a bookmark came that was not the end."""
        if self._final:
            return
        if other_bookmark or objects - self._before >= self._progress:
            self._since, self._before = now, objects
            self._final = other_bookmark

    def left(self, now: float) -> float:
        """Seconds left; 0 or less when the time is up."""
        return self._since + self._patience - now


class InitialEvents:
    """Collects the initial events of one watch list.

    Args:
        reader: reads the events.
        key_of: makes an object's key.
        on_keyless: told of an error for each object that has none.
        deadline: when to give up.
        now: seconds of a monotonic clock.
        max_objects: so many objects may come; None for any number.
    """

    def __init__(
        self,
        reader: EventReader,
        key_of: Callable[[Any], str],
        on_keyless: Callable[[Exception], object],
        deadline: BookmarkDeadline,
        now: float,
        *,
        max_objects: int | None = None,
    ) -> None:
        self.version = ""
        """The version of the end bookmark, once it has come; until then ""."""
        self.error: ApiError | None = None
        """What ended the watch before it."""
        self._reader = reader
        self._key_of = key_of
        self._on_keyless = on_keyless
        self._deadline = deadline
        self._max_objects = max_objects
        self._objects: dict[str, Any] = {}
        self._rest: list[Event[Any]] = []
        self._begun = self._last = now
        self._warn_at = now + _WARN_EVERY
        self._seen = False

    def feed(self, events: Sequence[Event[Any]], now: float) -> None:
        """Takes a batch."""
        end = next((i for i, event in enumerate(events) if is_initial_events_end(event)), None)
        initial = events if end is None else events[: end + 1]
        batch = self._reader.read(initial)
        for delta in batch.deltas:
            self._take(delta)
        self.error = batch.error
        self._last, self._seen = now, True
        if end is not None:
            # Its own version only: those of the events before it are in no order.
            self.version = version_of(events[end].object)
            self._rest = list(events[end + 1 :])
        others = any(event.type == EventType.BOOKMARK for event in initial) and not self.version
        self._deadline.saw(len(self._objects), now, other_bookmark=others)

    def is_over(self) -> bool:
        """Whether the end bookmark or an error has come, or too many objects have."""
        return self.version != "" or self.error is not None or self.is_too_many

    @property
    def is_too_many(self) -> bool:
        """Whether more objects have come than may be held."""
        return self._max_objects is not None and len(self._objects) > self._max_objects

    @property
    def count(self) -> int:
        """How many objects there are by now."""
        return len(self._objects)

    def take_objects(self) -> list[Any]:
        """The objects that came, which are not held here any more."""
        objects, self._objects = [*self._objects.values()], {}
        return objects

    def take_rest(self) -> list[Event[Any]]:
        """What came behind the end bookmark, which is not held here any more."""
        rest, self._rest = self._rest, []
        return rest

    def left(self, now: float) -> float:
        """Seconds to wait for the next batch, or until the next `warning`; 0 or less when it is time to give up."""
        return min(self._deadline.left(now), max(self._warn_at - now, 0.001))

    def expired(self, now: float) -> bool:
        """Whether the time is up."""
        return self._deadline.left(now) <= 0

    def warning(self, now: float) -> str | None:
        """What to log by now, at most every ten seconds."""
        if now < self._warn_at or self.is_over():
            return None
        self._warn_at = now + _WARN_EVERY
        if not self._seen:
            return (
                "awaiting required bookmark event for initial events stream, "
                f"no events received for {now - self._begun:.0f}s"
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
        # A user's key function.
        except Exception as error:
            self._on_keyless(error)
            return
        if delta.type is DeltaType.DELETED:
            self._objects.pop(key, None)
        else:
            self._objects[key] = delta.object


def read_initial_events(
    initial: InitialEvents,
    pull: Callable[[float | None], Sequence[Event[Any]]],
    stop: threading.Event,
    saw: Callable[[int], float],
    name: str,
) -> bool:
    """Feeds initial events until they are complete, the watch ends, or `stop` is set.

    Args:
        initial: collects the events.
        pull: returns the next batch of the watch; takes a time-out in seconds.
        stop: ends the reading.
        saw: called with the size of each batch; returns the time, in seconds of the monotonic clock.
        name: the reflector's, for logs.

    Returns:
        False if the end bookmark did not come in time.
    """
    now = time.monotonic()
    while not stop.is_set() and not initial.is_over():
        if initial.expired(now):
            _log.warning("%s: the end bookmark of the watch list did not come in time: listing instead", name)
            return False
        try:
            events = pull(initial.left(now))
        except TimeoutError:
            now = time.monotonic()
        except WatchClosedError:
            break
        else:
            now = saw(len(events))
            initial.feed(events, now)
        warning = initial.warning(now)
        if warning is not None:
            _log.warning("%s: %s", name, warning)
    return True

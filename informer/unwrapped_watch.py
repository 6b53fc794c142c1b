"""A watch that shows users their own type instead of what an informer stores.

Comes in: a watch of stored items. Goes out: the same events; those whose object did not decode are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watch.byte_source import NotReadyError
from watch.errors import WatchClosedError
from watch.event import Event, EventType
from watch.stream_watcher import StreamWatcher

__all__ = ["unwrapped_watch"]


def unwrapped_watch(source: StreamWatcher[Any], unwrap: Callable[[Any], Any]) -> StreamWatcher[Any]:
    """The watch with each object unwrapped; one for which `unwrap` gives None is left out."""
    return StreamWatcher(_UnwrappingDecoder(source, unwrap))


class _UnwrappingDecoder:
    takes_timeout = True

    def __init__(self, source: StreamWatcher[Any], unwrap: Callable[[Any], Any]) -> None:
        self._source = source
        self._unwrap = unwrap

    def decode(self) -> Event[Any]:
        raise NotImplementedError("events come in batches")

    def decode_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        while True:
            try:
                batch = self._source.next_batch(timeout)
            except WatchClosedError as error:
                raise EOFError(str(error)) from error
            except TimeoutError as error:
                raise NotReadyError(str(error), progress=getattr(error, "progress", False)) from error
            events = []
            for event in batch:
                if event.type in (EventType.BOOKMARK, EventType.ERROR):
                    events.append(event)
                    continue
                seen = self._unwrap(event.object)
                if seen is not None:
                    events.append(Event(event.type, seen))
            if events:
                return events

    def close(self) -> None:
        self._source.stop()

"""Whether the objects of a watch are of the type that was asked for, at no cost where they are.

Comes in: an apiVersion and kind, and objects' JSON. Goes out: how the JSON of such objects begins, and for any other object
what is to stand in its place.

Source: client-go tools/cache Reflector's expectedType and expectedGVK.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from informer.objects.entry import Undecodable
from informer.objects.object import Object
from watch.byte_source import NotReadyError
from watch.errors import WatchClosedError
from watch.event import Event, EventType
from watch.stream_watcher import StreamWatcher

__all__ = ["UnexpectedTypeError", "heads_of", "only_of", "unwrapped_watch"]


class UnexpectedTypeError(ValueError):
    """A watch brought an object of another type than was asked for."""


def heads_of(api_version: str, kind: str) -> tuple[bytes, ...]:
    """How the JSON of such objects begins: as API servers write it of their own types, and then of custom resources."""
    quoted_kind, quoted_version = json.dumps(kind).encode(), json.dumps(api_version).encode()
    return (
        b'{"kind":%b,"apiVersion":%b,' % (quoted_kind, quoted_version),
        b'{"apiVersion":%b,"kind":%b,' % (quoted_version, quoted_kind),
    )


def only_of(api_version: str, kind: str, decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A decoder of objects that sets those of another type aside; what does not say its type is taken for what it should be.

    What is set aside has no name: the object of that name in the cache, which is of the right type, must stay there.
    """

    def decode_checked(raw: bytes) -> Any:
        obj = Object.from_bytes(raw)
        if obj.kind in ("", kind) and obj.api_version in ("", api_version):
            return decode(raw)
        came = f"{obj.api_version[:100]}, Kind={obj.kind[:100]}"
        error = UnexpectedTypeError(f"a watch of {api_version}, Kind={kind} brought an object of {came}")
        return Undecodable("", "", "", "", raw, error)

    return decode_checked


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

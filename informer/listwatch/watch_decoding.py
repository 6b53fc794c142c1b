"""Checks that the objects of a watch are of the requested type, and decodes them for users.

The check is free for objects of the right type: their JSON begins in one of two ways.

Source: client-go tools/cache Reflector's expectedType and expectedGVK.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from informer.objects.entry import Undecodable
from informer.objects.object import Object
from watch.byte_source import NotReadyError
from watch.concurrency import Signal
from watch.errors import WatchClosedError
from watch.event import Event, EventType
from watch.printable import printable
from watch.stream_watcher import StreamWatcher
from watch.watcher import Watcher, puller

__all__ = ["UnexpectedTypeError", "json_heads", "checked_decoder", "mapped_watch", "unwrapped_watch"]


class UnexpectedTypeError(ValueError):
    """A watch delivered an object of another type than requested."""


def json_heads(api_version: str, kind: str) -> tuple[bytes, ...]:
    """Returns how the JSON of such objects begins: as API servers write built-in types, and as they write custom resources."""
    quoted_kind, quoted_version = json.dumps(kind).encode(), json.dumps(api_version).encode()
    return (
        b'{"kind":%b,"apiVersion":%b,' % (quoted_kind, quoted_version),
        b'{"apiVersion":%b,"kind":%b,' % (quoted_version, quoted_kind),
    )


def checked_decoder(api_version: str, kind: str, decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Returns a decoder that makes an `Undecodable` of each object of another type.

    An object without apiVersion and kind counts as one of the right type. The `Undecodable` has no name, so that it does not
    affect the object of that name in the cache, which is of the right type.

    Args:
        api_version: the expected apiVersion.
        kind: the expected kind.
        decode: the decoder of objects of the right type.
    """

    def decode_checked(raw: bytes) -> Any:
        obj = Object.from_bytes(raw)
        if obj.kind in ("", kind) and obj.api_version in ("", api_version):
            return decode(raw)
        came = f"{printable(obj.api_version)}, Kind={printable(obj.kind)}"
        error = UnexpectedTypeError(f"a watch of {api_version}, Kind={kind} delivered an object of {came}")
        return Undecodable("", "", "", "", raw, error)

    return decode_checked


def mapped_watch(source: Watcher[Any], function: Callable[[list[Event[Any]]], list[Event[Any]]]) -> StreamWatcher[Any]:
    """Returns a watch whose batches are those of another one, changed by a function. An empty result is not passed on."""
    return StreamWatcher(_MappingDecoder(source, function))


def unwrapped_watch(source: Watcher[Any], unwrap: Callable[[Any], Any]) -> StreamWatcher[Any]:
    """Returns a watch that unwraps each object, and drops the events for which `unwrap` returns None."""

    def unwrapped(batch: list[Event[Any]]) -> list[Event[Any]]:
        events = []
        for event in batch:
            if event.type in (EventType.BOOKMARK, EventType.ERROR):
                events.append(event)
                continue
            seen = unwrap(event.object)
            if seen is not None:
                events.append(Event(event.type, seen))
        return events

    return mapped_watch(source, unwrapped)


class _MappingDecoder:
    """A decoder whose batches are those of another watch, changed by a function."""

    takes_timeout = True

    def __init__(self, source: Watcher[Any], function: Callable[[list[Event[Any]]], list[Event[Any]]]) -> None:
        self._source = source
        self._function = function
        self._stopped = Signal()
        self._pull = puller(source, stop=self._stopped)

    def decode(self) -> Event[Any]:
        raise NotImplementedError("this decoder only decodes batches")

    def decode_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        left, progress = timeout, False
        while True:
            try:
                batch = self._function(self._pull(left))
            except WatchClosedError as error:
                raise EOFError(str(error)) from error
            except TimeoutError as error:
                raise NotReadyError(str(error), progress=progress or getattr(error, "progress", False)) from None
            if batch:
                return batch
            progress = True
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())

    def close(self) -> None:
        self._stopped.set()
        self._source.stop()

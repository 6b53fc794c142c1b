"""An answer on its way, as the faults see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from informer.testing.faults.transmission import Hold, Transmission
from informer.testing.http.connection import Connection, Exchange
from informer.testing.listwatch.watch_stream import Injected, WatchStream
from watch.errors import ApiError

__all__ = ["Answering", "Plan", "RawAnswer"]


class RawAnswer(NamedTuple):
    """An answer that comes not from the server but, say, from a proxy before it."""

    status: int
    body: bytes
    content_type: str


@dataclass
class Plan:
    """What the faults have decided about one answer."""

    names: list[str] = field(default_factory=list)
    hold: Hold | None = None
    cut: bool = False
    refusal: ApiError | RawAnswer | None = None
    watch_seconds: float | None = None
    end_bookmark: bool = True
    changes: list[Callable[[Transmission], object]] = field(default_factory=list)
    injections: list[Callable[[Answering], bool]] = field(default_factory=list)


class Answering:
    """One answer; `verb` of a watch that has sent the state becomes "watch"."""

    def __init__(self, exchange: Exchange, verb: str, resource: str) -> None:
        self.exchange = exchange
        self.verb = verb
        self.resource = resource
        self.stream: WatchStream | None = None
        self.send_lines: Callable[[list[bytes]], None] = exchange.send_chunks
        self._early: list[Callable[[Answering], bool]] = []  # what came before the stream was there
        self._transmission: Transmission | None = None

    def attach(self, stream: WatchStream) -> None:
        """Names the stream; the caller holds the faults' lock, as of `inject`."""
        self.stream = stream
        for injection in self._early:
            self.inject(injection)
        self._early = []

    def inject(self, injection: Callable[[Answering], bool]) -> None:
        """Has something done in the stream, between two events; it returns whether the stream ends there."""
        if self.stream is None:
            self._early.append(injection)
        else:
            self.stream.put(Injected(lambda: injection(self)))

    @property
    def connection(self) -> Connection:
        """The one that it goes out on."""
        return self.exchange.connection

    @property
    def transmission(self) -> Transmission:
        """Through which the body's bytes leave from now on."""
        if self._transmission is None:
            self._transmission = Transmission(self.connection)
            self.exchange.transmit = self._transmission
        return self._transmission

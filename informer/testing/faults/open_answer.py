"""An answer that the server is sending, and what the faults do to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from informer.testing.faults.transmission import Hold, Transmission
from informer.testing.http.connection import Connection, Exchange
from watch.errors import ApiError

__all__ = ["FaultPlan", "FaultyStream", "Injection", "OpenAnswer", "RawAnswer"]


class RawAnswer(NamedTuple):
    """An answer as a proxy in front of the server would give it: any body, of any type."""

    status: int
    body: bytes
    content_type: str


class FaultyStream(Protocol):
    """What the faults need of a watch's stream."""

    def inject(self, action: Callable[[], bool]) -> None:
        """Has `action` called on the connection's thread between two events; it returns True to end the stream."""

    def close(self) -> None:
        """Ends the stream properly."""

    def sample_event(self) -> bytes:
        """Returns an event of the kind that is watched."""

    def event_of(self, event: Mapping[str, Any]) -> bytes:
        """Returns an event of any type, with any object in API form."""

    def framed(self, data: bytes) -> bytes:
        """Returns bytes so that they take the place of an event."""


class OpenAnswer:
    """An answer that the server is sending.

    Args:
        exchange: the request and the means to answer it.
        verb: of the request, such as "list"; it turns from "watch_list" into "watch" once the initial state is sent.
        resource: of the request, such as "deployments.apps".
    """

    def __init__(self, exchange: Exchange, verb: str, resource: str) -> None:
        self.exchange = exchange
        self.verb = verb
        self.resource = resource
        self.stream: FaultyStream | None = None
        self.send_lines: Callable[[list[bytes]], None] = exchange.send_chunks
        self._early: list[Injection] = []  # injected before the stream was attached
        self._transmission: Transmission | None = None

    def attach(self, stream: FaultyStream) -> None:
        """Sets the stream of a watch. The caller holds the fault book's lock, as for `inject`."""
        self.stream = stream
        for injection in self._early:
            self.inject(injection)
        self._early = []

    def inject(self, injection: Injection) -> None:
        """Has `injection` called with this answer between two events; it returns True to end the stream."""
        if self.stream is None:
            self._early.append(injection)
        else:
            self.stream.inject(lambda: injection(self))

    @property
    def connection(self) -> Connection:
        """The connection on which the answer is sent."""
        return self.exchange.connection

    @property
    def transmission(self) -> Transmission:
        """What sends the bytes of the body; reading this puts it in place of the plain connection."""
        if self._transmission is None:
            self._transmission = Transmission(self.connection)
            self.exchange.transmit = self._transmission
        return self._transmission


Injection = Callable[[OpenAnswer], bool]
"""Does something in a stream between two events, on the connection's thread; it returns True to end the stream."""


@dataclass
class FaultPlan:
    """What the faults have decided about one answer."""

    names: list[str] = field(default_factory=list)
    hold: Hold | None = None
    """Waited for before anything is sent."""
    cut: bool = False
    """Whether the connection is cut instead of an answer."""
    refusal: ApiError | RawAnswer | None = None
    """Sent instead of the answer."""
    watch_seconds: float | None = None
    """How long a watch lasts that sends no event; None means a normal watch."""
    end_bookmark: bool = True
    """Whether the initial state of a watch list ends with its bookmark."""
    changes: list[Callable[[Transmission], object]] = field(default_factory=list)
    injections: list[Injection] = field(default_factory=list)

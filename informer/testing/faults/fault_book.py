"""The faults that are still to happen, and the answers that they hit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

from typing_extensions import TypedDict

from informer.testing.faults.transmission import Hold, Transmission
from informer.testing.http.connection import Connection, Exchange
from informer.testing.listwatch.watch_stream import WatchStream
from watch.concurrency import Lock
from watch.errors import ApiError

__all__ = ["Fault", "FaultBook", "Injection", "Kind", "OpenAnswer", "RawAnswer", "Which"]

_STREAMS = ("watch", "watch_list")
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_TARGETS = ("any", "write", "get", "list", *_STREAMS, *_WRITES)


class RawAnswer(NamedTuple):
    """An answer as a proxy in front of the server would give it: any body, of any type."""

    status: int
    body: bytes
    content_type: str


@dataclass(eq=False)
class OpenAnswer:
    """An answer that the server is sending, and what faults do to it.

    The book sets the attributes before the answer begins. Then only streams change, under the book's lock.
    """

    exchange: Exchange
    verb: str
    """Of the request, such as "list"; "watch_list" turns into "watch" once the initial state is sent."""
    resource: str
    """Of the request, such as "deployments.apps"."""
    faults: list[str] = field(default_factory=list)
    """The names of the faults that have hit it."""
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
    injections: list[Injection] = field(default_factory=list)
    """Those that wait for the stream."""
    stream: WatchStream | None = None

    def __post_init__(self) -> None:
        self.send_lines: Callable[[list[bytes]], None] = self.exchange.send_chunks

    @property
    def connection(self) -> Connection:
        """The connection on which the answer is sent."""
        return self.exchange.connection

    @property
    def transmission(self) -> Transmission:
        """What sends the bytes of the body; reading this puts it in place of the plain connection."""
        if not isinstance(self.exchange.transmit, Transmission):
            self.exchange.transmit = Transmission(self.connection)
        return self.exchange.transmit

    def inject(self, injection: Injection) -> None:
        """Has `injection` called with this answer and its stream between two events."""
        if self.stream is None:
            self.injections.append(injection)
        else:
            self.stream.put(partial(injection, self, self.stream))


Injection = Callable[[OpenAnswer, WatchStream], object]
"""Does something in a stream between two events, on the connection's thread. A true result ends the stream."""


Kind = Literal["answer", "start", "body", "stream"]
"""What a fault does. An "answer" replaces the answer, and excludes others. A "start" changes how an answer begins, a "body" how
its bytes are sent, and a "stream" does something in a stream, which may be open already."""


class Which(TypedDict, total=False):
    """Which requests a fault hits."""

    on: str
    resource: str | None
    times: int | None


@dataclass
class Fault:
    """One fault: which requests it hits, how often, and what it does.

    Raises:
        ValueError: `on` is not a known target, or `times` is less than 1.
    """

    name: str
    kind: Kind
    apply: Callable[[OpenAnswer], object]
    """Changes an answer."""
    on: str = "any"
    """The verb of the requests that it hits, or "write" or "any"."""
    resource: str | None = None
    """The resource of the requests that it hits; None means all."""
    times: int | None = 1
    """How often it is still to happen; None means without end. Guarded by the book's lock."""

    def __post_init__(self) -> None:
        if self.on not in _TARGETS:
            raise ValueError(f"on must be one of {', '.join(_TARGETS)}, not {self.on!r}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be at least 1, or None for all, not {self.times}")

    def hits(self, answer: OpenAnswer) -> bool:
        """Returns whether the fault can hit an answer."""
        plural = answer.resource.partition(".")[0]
        if self.times == 0 or self.resource not in (None, answer.resource, plural):
            return False
        return self.on in ("any", answer.verb) or (self.on == "write" and answer.verb in _WRITES)

    def hit(self, answer: OpenAnswer) -> None:
        """Changes an answer, and counts it."""
        self.times = None if self.times is None else self.times - 1
        answer.faults.append(self.name)
        self.apply(answer)


class FaultBook:
    """Decides which faults hit which answers.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._faults: list[Fault] = []  # guarded by _lock, as is the next
        self._open: dict[OpenAnswer, None] = {}  # an ordered set, oldest first

    def add(self, fault: Fault) -> None:
        """Adds a fault for answers that begin from now on. One of the kind "stream" hits open streams first, oldest first."""
        with self._lock:
            for answer in self._open if fault.kind == "stream" else ():
                if answer.verb in _STREAMS and fault.hits(answer):
                    fault.hit(answer)
            if fault.times != 0:
                self._faults.append(fault)

    def clear(self) -> None:
        """Removes every fault that has not happened yet."""
        with self._lock:
            self._faults = []

    def pending(self) -> list[str]:
        """Returns the names of the faults that are still to happen."""
        with self._lock:
            return [fault.name for fault in self._faults]

    def open_answers(self, on: str, resource: str | None) -> list[OpenAnswer]:
        """Returns the answers being sent to such requests, oldest first."""
        wanted = Fault("", "answer", str, on, resource)
        with self._lock:
            return [answer for answer in self._open if wanted.hits(answer)]

    @contextlib.contextmanager
    def answering(self, exchange: Exchange, verb: str, resource: str) -> Iterator[OpenAnswer]:
        """Registers an answer for the duration of the block, and decides what the faults do to it."""
        answer = OpenAnswer(exchange, verb, resource)
        with self._lock:
            self._hit_locked(answer, ("answer", "start", "body", "stream"))
            self._open[answer] = None
        try:
            yield answer
        finally:
            with self._lock:
                self._open.pop(answer, None)

    def attach_stream(self, answer: OpenAnswer, stream: WatchStream) -> None:
        """Gives an answer its stream, and does to the stream what the faults have decided."""
        stream.end_bookmark = answer.end_bookmark
        if answer.verb == "watch_list":
            stream.on_state_sent = lambda: self._became_watch(answer)
        with self._lock:
            answer.stream = stream
            stream.at_start = [partial(injection, answer, stream) for injection in answer.injections]

    def _became_watch(self, answer: OpenAnswer) -> None:
        """A watch list has sent the initial state: from now on it is hit as a plain watch."""
        with self._lock:
            answer.verb = "watch"
            self._hit_locked(answer, ("body", "stream"))

    def _hit_locked(self, answer: OpenAnswer, kinds: tuple[str, ...]) -> None:
        hit: list[str] = []  # one fault of each name is enough
        for fault in self._faults:
            if fault.kind not in kinds or fault.name in hit or not fault.hits(answer):
                continue
            if fault.kind == "answer" and hit:
                continue
            hit.append(fault.name)
            fault.hit(answer)
            if fault.kind == "answer":
                break
        self._faults = [fault for fault in self._faults if fault.times != 0]

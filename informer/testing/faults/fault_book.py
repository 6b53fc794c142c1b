"""The faults that are still to happen, and the answers that the server is sending."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from informer.testing.faults.open_answer import FaultPlan, FaultyStream, Injection, OpenAnswer
from informer.testing.http.connection import Exchange
from watch.concurrency import Lock

__all__ = ["Fault", "FaultBook"]

_STREAMS = ("watch", "watch_list")
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_TARGETS = ("any", "write", "get", "list", *_STREAMS, *_WRITES)


@dataclass
class Fault:
    """One fault: which requests it hits, how often, and what it does.

    Raises:
        ValueError: `on` is not a known target, or `left` is less than 1.
    """

    name: str
    on: str
    """The verb of the requests that it hits, or "write" or "any"."""
    resource: str | None
    """The resource of the requests that it hits; None means all."""
    left: int | None
    """How often it is still to happen; None means without end. Guarded by the book's lock."""
    apply: Callable[[FaultPlan], object]
    """Writes the fault into an answer's plan."""
    exclusive: bool = False
    """Whether no other fault can hit the same answer."""
    in_stream: bool = False
    """Whether it can also hit a watch list that has turned into a plain watch."""

    def __post_init__(self) -> None:
        if self.on not in _TARGETS:
            raise ValueError(f"on must be one of {', '.join(_TARGETS)}, not {self.on!r}")
        if self.left is not None and self.left < 1:
            raise ValueError(f"times must be at least 1, or None for all, not {self.left}")

    def hits(self, verb: str, resource: str) -> bool:
        """Returns whether the fault can hit such a request."""
        if self.left == 0 or self.resource not in (None, resource, resource.partition(".")[0]):
            return False
        return self.on in ("any", verb) or (self.on == "write" and verb in _WRITES)

    def use(self) -> None:
        """Counts that it has happened once."""
        self.left = None if self.left is None else self.left - 1


class FaultBook:
    """Decides which faults hit which answers.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._faults: list[Fault] = []  # guarded by _lock, as is the next
        self._open: dict[OpenAnswer, None] = {}  # an ordered set, oldest first

    def add(self, fault: Fault) -> None:
        """Adds a fault for answers that begin from now on."""
        with self._lock:
            self._faults.append(fault)

    def inject(self, fault: Fault, injection: Injection) -> None:
        """Adds a fault that hits open streams first, oldest first; `injection` is what it does to a stream."""
        with self._lock:
            for answer in self._open:
                if answer.verb in _STREAMS and fault.hits(answer.verb, answer.resource):
                    fault.use()
                    answer.inject(injection)
            if fault.left != 0:
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
        wanted = Fault("", on, resource, 1, str)
        with self._lock:
            return [answer for answer in self._open if wanted.hits(answer.verb, answer.resource)]

    @contextlib.contextmanager
    def answering(self, exchange: Exchange, verb: str, resource: str) -> Iterator[tuple[OpenAnswer, FaultPlan]]:
        """Registers an answer for the duration of the block, and decides what the faults do to it."""
        answer = OpenAnswer(exchange, verb, resource)
        with self._lock:
            plan = self._plan_locked(answer, begins=True)
            self._open[answer] = None
        try:
            yield answer, plan
        finally:
            with self._lock:
                self._open.pop(answer, None)

    def became_watch(self, answer: OpenAnswer) -> FaultPlan:
        """Notes that a watch list has sent the initial state; returns the faults that hit the plain watch."""
        with self._lock:
            answer.verb = "watch"
            return self._plan_locked(answer, begins=False)

    def attach_stream(self, answer: OpenAnswer, stream: FaultyStream) -> None:
        """Gives an answer its stream; what was injected before goes into the stream now."""
        with self._lock:
            answer.attach(stream)

    def _plan_locked(self, answer: OpenAnswer, *, begins: bool) -> FaultPlan:
        plan = FaultPlan()
        for fault in self._faults:
            if not fault.hits(answer.verb, answer.resource) or fault.name in plan.names:
                continue
            if (not begins and not fault.in_stream) or (fault.exclusive and plan.names):
                continue
            plan.names.append(fault.name)
            fault.use()
            fault.apply(plan)
            if fault.exclusive:
                break
        self._faults = [fault for fault in self._faults if fault.left != 0]
        return plan

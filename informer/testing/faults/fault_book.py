"""Which faults are still to happen, and which answers are on their way.

Comes in: faults, from any thread, and answers that begin and end. Goes out: a plan for each answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from informer.testing.faults.open_answer import Answering, Plan
from informer.testing.http.connection import Exchange
from informer.testing.listwatch.watch_stream import WatchStream
from watch.concurrency import Lock

__all__ = ["Fault", "FaultBook"]

_STREAMS = ("watch", "watch_list")
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_TARGETS = ("any", "write", "get", "list", *_STREAMS, *_WRITES)


@dataclass
class Fault:
    """Something that is to happen to answers.

    Raises:
        ValueError: `on` or `left` makes no sense.
    """

    name: str
    on: str
    resource: str | None
    left: int | None
    """How often it is still to happen; None is for ever. Guarded by the book's lock."""
    apply: Callable[[Plan], object]
    exclusive: bool = False
    """Whether nothing else can happen to such an answer."""
    in_stream: bool = False
    """Whether it can also happen to a stream that has become a plain watch."""

    def __post_init__(self) -> None:
        if self.on not in _TARGETS:
            raise ValueError(f"on must be one of {', '.join(_TARGETS)}, not {self.on!r}")
        if self.left is not None and self.left < 1:
            raise ValueError(f"times must be at least 1, or None for all, not {self.left}")

    def hits(self, verb: str, resource: str) -> bool:
        """Whether it is for such a request."""
        if self.left == 0 or self.resource not in (None, resource, resource.partition(".")[0]):
            return False
        return self.on in ("any", verb) or (self.on == "write" and verb in _WRITES)

    def use(self) -> None:
        """Counts that it happens."""
        self.left = None if self.left is None else self.left - 1


class FaultBook:
    """All of them. Threads: any."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._faults: list[Fault] = []  # guarded by _lock, as is the next
        self._open: dict[Answering, None] = {}  # in the order in which they began

    def add(self, fault: Fault) -> None:
        """Takes one in, for answers that begin from now on."""
        with self._lock:
            self._faults.append(fault)

    def inject(self, fault: Fault, injection: Callable[[Answering], bool]) -> None:
        """Takes one in that hits open streams first; `injection` is what it does to one."""
        with self._lock:
            for answering in self._open:
                if answering.verb in _STREAMS and fault.hits(answering.verb, answering.resource):
                    fault.use()
                    answering.inject(injection)
            if fault.left != 0:
                self._faults.append(fault)

    def clear(self) -> None:
        """Forgets all that have not happened."""
        with self._lock:
            self._faults = []

    def pending(self) -> list[str]:
        """The names of those that are still to happen."""
        with self._lock:
            return [fault.name for fault in self._faults]

    def open_answers(self, on: str, resource: str | None) -> list[Answering]:
        """The answers on their way to such requests."""
        wanted = Fault("", on, resource, 1, str)
        with self._lock:
            return [answering for answering in self._open if wanted.hits(answering.verb, answering.resource)]

    @contextlib.contextmanager
    def answering(self, exchange: Exchange, verb: str, resource: str) -> Iterator[tuple[Answering, Plan]]:
        """An answer begins, and ends with the block."""
        answering = Answering(exchange, verb, resource)
        with self._lock:
            plan = self._plan_locked(answering, anew=True)
            self._open[answering] = None
        try:
            yield answering, plan
        finally:
            with self._lock:
                self._open.pop(answering, None)

    def became_watch(self, answering: Answering) -> Plan:
        """A stream has sent its state and is a plain watch from now on."""
        with self._lock:
            answering.verb = "watch"
            return self._plan_locked(answering, anew=False)

    def attach_stream(self, answering: Answering, stream: WatchStream) -> None:
        """The stream of an answer is there; what was to be put into it meanwhile goes into it now."""
        with self._lock:
            answering.attach(stream)

    def _plan_locked(self, answering: Answering, *, anew: bool) -> Plan:
        plan = Plan()
        for fault in self._faults:
            if not fault.hits(answering.verb, answering.resource) or fault.name in plan.names:
                continue
            if (not anew and not fault.in_stream) or (fault.exclusive and plan.names):
                continue
            plan.names.append(fault.name)
            fault.use()
            fault.apply(plan)
            if fault.exclusive:
                break
        self._faults = [fault for fault in self._faults if fault.left != 0]
        return plan

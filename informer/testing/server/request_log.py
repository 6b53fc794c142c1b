"""What clients have asked: for tests that count requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from typing_extensions import override

from watch.concurrency import Monitor

__all__ = ["LoggedRequest", "RequestLog"]


_KEPT = 50_000


@dataclass
class LoggedRequest:
    """One request.

    `verb` is as in RBAC, but that a watch which asks to begin with the state is a "watch_list"; `status` is 0 until the
    answer begins; `ended` becomes true when the answer is complete or was broken off.
    """

    method: str
    path: str
    query: dict[str, str]
    user_agent: str
    verb: str
    resource: str
    namespace: str
    connection: int
    """A number: requests on the same connection have the same."""
    headers: dict[str, str] = field(repr=False, default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """The names of the faults that it was hit by as it came."""
    status: int = 0
    ended: bool = False


class RequestLog(Sequence[LoggedRequest]):
    """The requests since the start or the last `clear`, oldest first; of very many the newest 50,000.

    Threads: any; `wait_for` blocks.
    """

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._requests: deque[LoggedRequest] = deque(maxlen=_KEPT)  # guarded by _monitor

    def add(self, request: LoggedRequest) -> None:
        """Takes a request in."""
        with self._monitor:
            self._requests.append(request)
            self._monitor.notify_all()

    def change(self, request: LoggedRequest, *, status: int | None = None, ended: bool = False) -> None:
        """Notes what became of a request."""
        with self._monitor:
            request.status = request.status if status is None else status
            request.ended = request.ended or ended
            self._monitor.notify_all()

    def clear(self) -> None:
        """Forgets them."""
        with self._monitor:
            self._requests.clear()

    def select(
        self, verb: str | None = None, resource: str | None = None, *, status: int | None = None, open: bool = False
    ) -> list[LoggedRequest]:
        """Those of a verb ("list", "watch", "watch_list" ...), a resource ("pods", "deployments.apps") and a status.

        Args:
            verb: None takes all.
            resource: None takes all.
            status: None takes all.
            open: only those whose answer is not complete: the watches that go on.
        """
        with self._monitor:
            return self._select_locked(verb, resource, status, open)

    def wait_for(
        self,
        count: int,
        verb: str | None = None,
        resource: str | None = None,
        *,
        status: int | None = None,
        open: bool = False,
        timeout: float = 10.0,
    ) -> list[LoggedRequest]:
        """Waits until there are at least `count` such requests, and returns them.

        Raises:
            TimeoutError: there were not, in `timeout` seconds.
        """
        found: list[LoggedRequest] = []

        def enough() -> bool:
            nonlocal found
            found = self._select_locked(verb, resource, status, open)
            return len(found) >= count

        return self._wait(enough, lambda: found, f"{count} requests", timeout)

    def wait_until_ended(
        self, verb: str | None = None, resource: str | None = None, *, left: int = 0, timeout: float = 10.0
    ) -> None:
        """Waits until no more than `left` answers to such requests are still on their way.

        Raises:
            TimeoutError: more are, after `timeout` seconds.
        """
        self._wait(
            lambda: len(self._select_locked(verb, resource, None, True)) <= left,
            list,
            f"no more than {left} open requests",
            timeout,
        )

    def _wait(
        self, done: Callable[[], bool], result: Callable[[], list[LoggedRequest]], what: str, timeout: float
    ) -> list[LoggedRequest]:
        with self._monitor:
            if not self._monitor.wait_for(done, timeout):
                last = "\n".join(f"  {r.status} {r.verb} {r.path} {r.query}" for r in list(self._requests)[-20:])
                raise TimeoutError(f"waited {timeout} s for {what}; the last that came:\n{last}")
            return result()

    def _select_locked(
        self, verb: str | None, resource: str | None, status: int | None, open: bool
    ) -> list[LoggedRequest]:
        return [
            request
            for request in self._requests
            if verb in (None, request.verb)
            and resource in (None, request.resource)
            and status in (None, request.status)
            and not (open and request.ended)
        ]

    @overload
    def __getitem__(self, index: int) -> LoggedRequest: ...
    @overload
    def __getitem__(self, index: slice) -> list[LoggedRequest]: ...
    @override
    def __getitem__(self, index: Any) -> Any:
        with self._monitor:
            return list(self._requests)[index]

    @override
    def __len__(self) -> int:
        return len(self._requests)

    @override
    def __iter__(self) -> Iterator[LoggedRequest]:
        with self._monitor:
            return iter(list(self._requests))

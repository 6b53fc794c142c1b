"""The log of requests, for tests that count or wait for them."""

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
    """A request that an embedded API server has received."""

    method: str
    path: str
    query: dict[str, str]
    user_agent: str
    verb: str
    """As in RBAC, such as "list" or "watch"; "watch_list" for a watch that asks for the initial state."""
    resource: str
    """Such as "pods" or "deployments.apps"."""
    namespace: str
    """Empty for a request for the whole cluster."""
    connection: int
    """Identifies the connection: requests on the same connection have the same number."""
    headers: dict[str, str] = field(repr=False, default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """The names of the faults that hit the request when it arrived."""
    status: int = 0
    """The answer's status code; 0 until the answer begins."""
    ended: bool = False
    """Whether the answer is complete or was broken off."""


class RequestLog(Sequence[LoggedRequest]):
    """The requests that an `EmbeddedAPIServer` has received, as `server.requests`.

    It is a sequence of `LoggedRequest`, oldest first, since the start or the last `clear`. Only the newest 50,000
    requests are kept.

    Threads: any; `wait_for` and `wait_until_ended` block.

    Example:
        >>> from kubernetes import client
        >>> from informer.testing import EmbeddedAPIServer
        >>> with EmbeddedAPIServer() as server, server.api_client() as api:
        ...     _ = client.CoreV1Api(api).list_pod_for_all_namespaces()
        ...     [request.status for request in server.requests.wait_for(1, "list", "pods")]
        [200]
    """

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._requests: deque[LoggedRequest] = deque(maxlen=_KEPT)  # guarded by _monitor

    def add(self, request: LoggedRequest) -> None:
        """For the server itself: appends a request."""
        with self._monitor:
            self._requests.append(request)
            self._monitor.notify_all()

    def change(self, request: LoggedRequest, *, status: int | None = None, ended: bool = False) -> None:
        """For the server itself: sets a request's status, or that its answer has ended."""
        with self._monitor:
            request.status = request.status if status is None else status
            request.ended = request.ended or ended
            self._monitor.notify_all()

    def clear(self) -> None:
        """Removes all requests from the log."""
        with self._monitor:
            self._requests.clear()

    def select(
        self, verb: str | None = None, resource: str | None = None, *, status: int | None = None, open: bool = False
    ) -> list[LoggedRequest]:
        """Returns the requests that match, oldest first.

        Args:
            verb: such as "list", "watch" or "watch_list"; None means all.
            resource: such as "pods" or "deployments.apps"; None means all.
            status: the answer's status code; None means all.
            open: only requests whose answer is not complete, such as running watches.
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
        """Waits until at least `count` requests match, and returns them; the other arguments are those of `select`.

        Raises:
            TimeoutError: fewer requests match after `timeout` seconds; the message lists the latest requests.
        """
        with self._monitor:
            self._wait_locked(
                lambda: len(self._select_locked(verb, resource, status, open)) >= count, f"{count} requests", timeout
            )
            return self._select_locked(verb, resource, status, open)

    def wait_until_ended(
        self, verb: str | None = None, resource: str | None = None, *, left: int = 0, timeout: float = 10.0
    ) -> None:
        """Waits until at most `left` of the matching requests are still being answered.

        Raises:
            TimeoutError: more are, after `timeout` seconds.
        """
        with self._monitor:
            self._wait_locked(
                lambda: len(self._select_locked(verb, resource, None, True)) <= left,
                f"no more than {left} open requests",
                timeout,
            )

    def _wait_locked(self, done: Callable[[], bool], what: str, timeout: float) -> None:
        if not self._monitor.wait_for(done, timeout):
            last = "\n".join(f"  {r.status} {r.verb} {r.path} {r.query}" for r in list(self._requests)[-20:])
            raise TimeoutError(f"waited {timeout} s for {what}; the latest requests:\n{last}")

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

"""A small HTTP server for the pages of `make_app`. It answers probes even during a flood of requests.

One thread accepts, reads and writes all connections, and never waits. Each page is computed on a thread of its own, so that
neither a slow scrape nor a slow check delays another page. See docs/decisions/metrics-server.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import socket
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from weakref import WeakSet

from informer.metrics.client import CollectorRegistry
from informer.metrics.connections import Connection, Connections
from informer.metrics.health import CHECK_TIMEOUT, Check
from informer.metrics.http_head import Head
from informer.metrics.pages import Answer, Page, find_page, make_pages, text_answer
from informer.shared.shared_informer import SharedInformer
from watch.concurrency import Worker, in_forked_child, join_all
from watch.logs import get_logger
from watch.watcher import StopsOnExit

__all__ = ["MetricsServer", "serve"]

_log = get_logger(__name__)

# The most connections per page that wait for an answer or receive one. All pages together use fewer than the server's limit, so
# there is room for connections that have not sent their request yet.
_MAX_PER_PAGE = 128
# The most connections that the kernel queues, and that the loop accepts in one turn.
_BACKLOG = 64

_BUSY = text_answer(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests wait for this page\n")


def serve(
    port: int,
    host: str = "0.0.0.0",  # noqa: S104 - a kubelet and a Prometheus come from other hosts
    *,
    registry: CollectorRegistry | None = None,
    informers: Iterable[SharedInformer[Any]] | None = None,
    live_checks: Mapping[str, Check] | None = None,
    ready_checks: Mapping[str, Check] | None = None,
    check_timeout: float = CHECK_TIMEOUT,
) -> MetricsServer:
    """Serves `/healthz`, `/livez`, `/readyz` and `/metrics` over HTTP until the returned server is stopped.

    The server has neither TLS nor authentication: restrict who reaches the port, by a NetworkPolicy or with
    `host="127.0.0.1"`. A flood of requests does not keep probes out. `make_app` describes the pages.

    Args:
        port: the port to listen on. 0: a free port, which `MetricsServer.port` gives.
        host: the address to listen on. "127.0.0.1" is this host only; "::" is all IPv6 addresses and usually IPv4 too.
        registry: the Prometheus registry. None: the Prometheus client's default registry.
        informers: the informers that the probes check. None: all that were started in this process and not stopped.
        live_checks: further checks of `/healthz` by name. A check fails if it raises, if it returns False or an exception, or
            if it has not returned in time. It is not called again before it has returned.
        ready_checks: further checks of `/readyz` by name.
        check_timeout: seconds after which a check that still runs has failed. The default leaves time to answer within the
            one second that a kubelet waits unless a probe has `timeoutSeconds`.

    Returns:
        The server, which is running.

    Raises:
        OSError: the server cannot listen on the address, for example because the port is taken.
        ValueError: another collector of the registry has metrics of the same names, or `check_timeout` is not positive.

    Threads: does not block. The server has one thread for all connections and one for each page; each check runs on a thread
        of its own.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> from urllib.request import urlopen
        >>> with serve(0, "127.0.0.1", registry=CollectorRegistry(), informers=[]) as server:
        ...     with urlopen(f"http://127.0.0.1:{server.port}/healthz") as response:
        ...         print(response.read().decode().strip())
        ok
    """
    return MetricsServer(make_pages(registry, informers, live_checks, ready_checks, check_timeout), host, port)


class MetricsServer(StopsOnExit):
    """A running HTTP server that `serve` has started. As a context manager it stops at the end of the block.

    Threads: all methods are safe on any thread.
    """

    def __init__(self, pages: Mapping[str, Page], host: str, port: int) -> None:
        self._socket = _listen(host, port)
        self._port = int(self._socket.getsockname()[1])
        # Not a loop of the user's event loop policy, which may not support a socket that is made here.
        self._loop = asyncio.SelectorEventLoop()
        self._loop.set_exception_handler(_log_error)
        self._stopping = asyncio.Event()
        self._pages = pages
        self._queues = {page: _PageQueue(page, self._loop) for page in pages.values()}
        self._connections = Connections(self._loop, self._take)
        self._worker = Worker(self._run, "informer-metrics")
        self._start()
        _servers.add(self)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._port

    def stop(self, timeout: float | None = 1.0) -> bool:
        """Stops listening and closes all connections. Calling it again is harmless.

        Args:
            timeout: wait at most this many seconds for the server's threads to end. None: without limit.

        Returns:
            Whether all of its threads have ended.
        """
        # The loop is closed if this is not the first call.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopping.set)
        # The checks' threads come last, when no page can begin another check.
        checks = (worker for page in self._queues for worker in page.workers())
        return join_all(itertools.chain(self._workers(), checks), timeout)

    def close_in_child(self) -> None:
        """Closes the socket in a forked child, where no thread serves it: the port belongs to the parent."""
        self._socket.close()

    def _start(self) -> None:
        try:
            for worker in self._workers():
                worker.start()
        # The system has no more threads.
        except RuntimeError:
            if self._worker.is_alive:
                self.stop()
            else:
                self._socket.close()
                self._loop.close()
            raise

    def _workers(self) -> list[Worker]:
        return [self._worker, *(each.worker for each in self._queues.values())]

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()
            for each in self._queues.values():
                each.end()

    async def _serve(self) -> None:
        server = await self._loop.create_server(self._connections.make, sock=self._socket, backlog=_BACKLOG)
        await self._stopping.wait()
        # The loop makes accepted connections in tasks, which would fail once the server is closed. So they are awaited first.
        self._loop.remove_reader(self._socket)
        while self._connections.abort_all() or len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
        server.close()
        await asyncio.sleep(0)

    def _take(self, connection: Connection, head: Head) -> None:
        """Passes a request to its page, or answers it at once if it has none or too many requests wait for it."""
        found = find_page(self._pages, head.method, head.request.path)
        if isinstance(found, Page):
            waiting = self._queues[found]
            if len(waiting) < _MAX_PER_PAGE:
                waiting.add(connection, head)
                return
            found = found.latest() or _BUSY
        connection.answer(found)


class _PageQueue:
    """Computes a page on a thread of its own, in batches: each for all requests that wait at that moment.

    Threads: the server's thread, except for `_run`.
    """

    def __init__(self, page: Page, loop: asyncio.AbstractEventLoop) -> None:
        self._page = page
        self._loop = loop
        self._held: set[Connection] = set()  # those that wait or receive their answer
        self._waiting: dict[Connection, Head] = {}
        self._is_computing = False
        self._batches: queue.SimpleQueue[dict[Connection, Head] | None] = queue.SimpleQueue()
        self.worker = Worker(self._run, f"informer-metrics-{page.name.strip('/')}")

    def __len__(self) -> int:
        return len(self._held)

    def add(self, connection: Connection, head: Head) -> None:
        """Adds a request. Its connection counts until the answer was sent or the client has disconnected."""
        self._held.add(connection)
        connection.when_done(lambda: self._remove(connection))
        self._waiting[connection] = head
        self._begin()

    def end(self) -> None:
        """Ends the thread after its current batch."""
        self._batches.put(None)

    def _remove(self, connection: Connection) -> None:
        self._held.discard(connection)
        self._waiting.pop(connection, None)

    def _begin(self) -> None:
        if self._waiting and not self._is_computing:
            self._is_computing = True
            self._batches.put(self._waiting)
            self._waiting = {}

    def _finish(self, answers: list[tuple[Connection, Answer]]) -> None:
        for connection, answer in answers:
            connection.answer(answer)
        self._is_computing = False
        self._begin()

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            answers = [(each, self._page.answer(head.request)) for each, head in batch.items() if not each.is_gone]
            try:
                self._loop.call_soon_threadsafe(self._finish, answers)
            # The server was stopped.
            except RuntimeError:
                return


def _listen(host: str, port: int) -> socket.socket:
    try:
        return _make_socket(host, port)
    except OSError as error:
        message = f"cannot serve HTTP on port {port} ({error.strerror}): take another port, or 0 for a free one"
        raise type(error)(error.errno, message) from error


def _make_socket(host: str, port: int) -> socket.socket:
    if ":" not in host:
        return socket.create_server((host, port), backlog=_BACKLOG)
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=both)


def _log_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # An example is "too many open files", after which asyncio accepts again a second later.
    _log.debug("%s", context.get("message"), exc_info=context.get("exception"))


_servers: WeakSet[MetricsServer] = WeakSet()


@in_forked_child
def _close_in_child() -> None:
    for server in list(_servers):
        server.close_in_child()

"""A small HTTP server for the pages of `make_app`.

One thread accepts connections, and each request is answered on a thread of its own. Only a bounded number of connections is
open at a time, so that idle clients cannot keep the kubelet out.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from weakref import WeakSet
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from informer.metrics.app import make_app
from informer.metrics.client import CollectorRegistry
from informer.metrics.health import Check
from informer.shared.shared_informer import SharedInformer
from watch.concurrency import Lock, Worker, in_forked_child, join_all
from watch.logs import get_logger
from watch.watcher import StopsOnExit

__all__ = ["MetricsServer", "serve"]

_log = get_logger(__name__)

# Seconds after which a connection is closed whose client neither sends nor receives.
_IDLE_TIMEOUT = 10.0
_MAX_CONNECTIONS = 32
# Seconds to wait after `accept` failed, as when the process has too many open files. Without it the loop would be busy.
_ACCEPT_PAUSE = 0.1


def serve(
    port: int,
    host: str = "0.0.0.0",  # noqa: S104 - a kubelet and a Prometheus come from other hosts
    *,
    registry: CollectorRegistry | None = None,
    informers: Iterable[SharedInformer[Any]] | None = None,
    live_checks: Mapping[str, Check] | None = None,
    ready_checks: Mapping[str, Check] | None = None,
) -> MetricsServer:
    """Serves `/healthz`, `/readyz` and `/metrics` over HTTP until the returned server is stopped.

    The server has neither TLS nor authentication. `make_app` describes the pages.

    Args:
        port: the port to listen on. 0: a free port, which `MetricsServer.port` gives.
        host: the address to listen on. "127.0.0.1" is this host only; "::" is all IPv6 addresses and usually IPv4 too.
        registry: the Prometheus registry. None: the Prometheus client's default registry.
        informers: the informers that `/healthz` and `/readyz` check. None: all that were started in this process and not
            stopped.
        live_checks: further checks of `/healthz` by name. A check fails if it raises, or if it returns False or an exception.
        ready_checks: further checks of `/readyz` by name.

    Returns:
        The server, which is running.

    Raises:
        OSError: the server cannot listen on the address, for example because the port is taken.
        ValueError: another collector of the registry has metrics of the same names.

    Threads: does not block; requests are answered on threads of the server.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> from urllib.request import urlopen
        >>> with serve(0, "127.0.0.1", registry=CollectorRegistry(), informers=[]) as server:
        ...     with urlopen(f"http://127.0.0.1:{server.port}/healthz") as response:
        ...         print(response.read().decode().strip())
        ok
    """
    app = make_app(registry=registry, informers=informers, live_checks=live_checks, ready_checks=ready_checks)
    return MetricsServer(app, host, port)


class MetricsServer(StopsOnExit):
    """A running HTTP server that `serve` has started. As a context manager it stops at the end of the block.

    Threads: all methods are safe on any thread.
    """

    def __init__(self, app: Any, host: str, port: int) -> None:
        self._server = _server_class(host)((host, port), _Request)
        self._server.set_app(app)
        # A byte that `stop` sends wakes the thread that waits for connections.
        self._stop_receiver, self._stop_sender = socket.socketpair()
        self._worker = Worker(self._listen, "informer-metrics").start()
        _servers.add(self)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._server.server_port)

    def stop(self, timeout: float | None = 1.0) -> bool:
        """Stops listening and closes all connections. Calling it again is harmless.

        Args:
            timeout: wait at most this many seconds for the server's threads to end. None: without limit.

        Returns:
            Whether all of its threads have ended.
        """
        with contextlib.suppress(OSError):
            self._stop_sender.send(b".")
        ended = self._worker.join(timeout)
        return self._server.join(timeout) and ended

    def close_in_child(self) -> None:
        """Closes the sockets in a forked child, where no thread serves them: the port belongs to the parent."""
        for each in (self._server.socket, self._stop_sender, self._stop_receiver):
            each.close()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            selector.register(self._stop_receiver, selectors.EVENT_READ)
            while not any(key.fileobj is self._stop_receiver for key, _ in selector.select()):
                self._server.handle_request()
                if self._server.accept_failed:
                    self._server.accept_failed = False
                    selector.unregister(self._server)
                    selector.select(_ACCEPT_PAUSE)
                    selector.register(self._server, selectors.EVENT_READ)
        self._server.server_close()
        self._stop_sender.close()
        self._stop_receiver.close()


class _Server(WSGIServer):
    """Answers each request on a thread of its own, and keeps track of these threads."""

    timeout: float | None = 0.0  # `handle_request` is called only when a client waits
    request_queue_size = 128
    accept_failed = False  # set by a failing `accept`; the caller of `handle_request` clears it

    def __init__(self, *args: Any) -> None:
        self._lock = Lock()
        self._open: dict[socket.socket, Worker] = {}  # guarded by _lock
        super().__init__(*args)

    def server_bind(self) -> None:
        # HTTPServer's own would look up the host's name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def get_request(self) -> Any:
        try:
            return super().get_request()
        except OSError:
            self.accept_failed = True
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        worker = Worker(lambda: self._answer(request, client_address), "informer-metrics-request")
        with self._lock:
            # The oldest connection is closed: idle clients must not keep the kubelet out.
            is_full = len(self._open) >= _MAX_CONNECTIONS
            oldest = next(iter(self._open)) if is_full else None
            if oldest is not None:
                del self._open[oldest]
            self._open[request] = worker
        if oldest is not None:
            _cut(oldest)
        try:
            worker.start()
        # The system has no more threads. The client may try again.
        except RuntimeError:
            self._close(request)
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("failed to answer a request", exc_info=True)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            requests = list(self._open)
        for request in requests:
            _cut(request)

    def join(self, timeout: float | None) -> bool:
        """Waits at most `timeout` seconds for the requests under way; returns whether all have ended."""
        with self._lock:
            workers = list(self._open.values())
        return join_all(workers, timeout)

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        # Usually the client has closed the connection, or `_cut` has.
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self._close(request)

    def _close(self, request: Any) -> None:
        self.shutdown_request(request)
        with self._lock:
            self._open.pop(request, None)


class _IPv6Server(_Server):
    address_family: int = socket.AF_INET6


class _Request(WSGIRequestHandler):
    timeout: ClassVar[float | None] = _IDLE_TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)


def _cut(request: socket.socket) -> None:
    # The request's thread may have closed the socket already.
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _server_class(host: str) -> type[_Server]:
    return _IPv6Server if ":" in host else _Server


_servers: WeakSet[MetricsServer] = WeakSet()


@in_forked_child
def _close_in_child() -> None:
    for server in list(_servers):
        server.close_in_child()

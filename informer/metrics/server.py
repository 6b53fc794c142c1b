"""A small HTTP server for the pages of `make_app`, on threads of its own.

Comes in: requests of a kubelet and a Prometheus. Goes out: answers, a thread for each request, few at a time.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import socketserver
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self
from weakref import WeakSet
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from informer.metrics.app import make_app
from informer.metrics.client import CollectorRegistry
from informer.metrics.health import Check
from informer.shared.shared_informer import SharedInformer
from watch.concurrency import Lock, Worker, in_forked_child, join_all

__all__ = ["MetricsServer", "serve"]

_log = logging.getLogger(__name__)

# Who sends nothing for so many seconds, or takes nothing, is cut off; and so many are heard at a time.
_PATIENCE = 10.0
_MOST_CONNECTIONS = 32
# Seconds, where somebody waits and this process may open no more files: he would be seen again at once, without end.
_PAUSE = 0.1


def serve(
    port: int,
    host: str = "0.0.0.0",  # noqa: S104 - a kubelet and a Prometheus come from other hosts
    *,
    registry: CollectorRegistry | None = None,
    informers: Iterable[SharedInformer[Any]] | None = None,
    live_checks: Mapping[str, Check] | None = None,
    ready_checks: Mapping[str, Check] | None = None,
) -> MetricsServer:
    """Serves `/healthz`, `/readyz` and `/metrics`, to whoever can reach the address and without TLS, until `stop`.

    Args:
        port: 0 for one that is free: see `MetricsServer.port`.
        host: the address to listen on; "::" for all of IPv6 (and mostly IPv4), "127.0.0.1" for this host only.
        registry: this and the others as `make_app`'s.
        informers: those that have to be in order.
        live_checks: further checks of `/healthz`.
        ready_checks: further checks of `/readyz`.

    Raises:
        OSError: the address cannot be listened on, for one because the port is taken.
        ValueError: see `install`.

    Threads: does not block.
    """
    app = make_app(registry=registry, informers=informers, live_checks=live_checks, ready_checks=ready_checks)
    return MetricsServer(app, host, port)


class MetricsServer:
    """What `serve` gives back; a context manager that stops it.

    Threads: any. One listens, and one answers each request.
    """

    def __init__(self, app: Any, host: str, port: int) -> None:
        self._server = _server_class(host)((host, port), _Request)
        self._server.set_app(app)
        self._stopped, self._stop = socket.socketpair()
        self._worker = Worker(self._listen, "informer-metrics").start()
        _servers.add(self)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def stop(self, timeout: float | None = 1.0) -> bool:
        """Closes the address and every connection. Idempotent.

        Args:
            timeout: wait at most so many seconds for its threads to end; None waits without limit.

        Returns:
            Whether they have ended.
        """
        with contextlib.suppress(OSError):
            self._stop.send(b".")
        ended = self._worker.join(timeout)
        return self._server.join(timeout) and ended

    def close_in_child(self) -> None:
        """In a forked child: nobody listens here, and the port is the parent's."""
        for each in (self._server.socket, self._stop, self._stopped):
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while not any(key.fileobj is self._stopped for key, _ in selector.select()):
                self._server.handle_request()
                if self._server.has_failed:
                    self._server.has_failed = False
                    selector.unregister(self._server)
                    selector.select(_PAUSE)
                    selector.register(self._server, selectors.EVENT_READ)
        self._server.server_close()
        self._stop.close()
        self._stopped.close()


class _Server(WSGIServer):
    """Answers each request on a thread of its own, and forgets none of them."""

    timeout: float | None = 0.0  # of `handle_request`, which is called when somebody is there
    request_queue_size = 128
    has_failed = False  # to take in who has come

    def __init__(self, *args: Any) -> None:
        self._lock = Lock()
        self._open: dict[socket.socket, Worker] = {}  # guarded by _lock
        super().__init__(*args)

    def server_bind(self) -> None:
        # Not as HTTPServer does it, which asks for the host's name: that can take its time.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def get_request(self) -> Any:
        try:
            return super().get_request()
        except OSError:
            self.has_failed = True
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        worker = Worker(lambda: self._answer(request, client_address), "informer-metrics-request")
        with self._lock:
            # The oldest makes room: who keeps connections open for nothing must not keep a kubelet out.
            over = len(self._open) >= _MOST_CONNECTIONS
            oldest = next(iter(self._open)) if over else None
            if oldest is not None:
                del self._open[oldest]
            self._open[request] = worker
        if oldest is not None:
            _cut(oldest)
        try:
            worker.start()
        # The system has no more threads; whoever asks may ask again.
        except RuntimeError:
            self._close(request)
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a request was not answered", exc_info=True)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            requests = list(self._open)
        for request in requests:
            _cut(request)

    def join(self, timeout: float | None) -> bool:
        """Waits at most `timeout` seconds for the requests under way."""
        with self._lock:
            workers = list(self._open.values())
        return join_all(workers, timeout)

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        # Mostly somebody who has gone, or who was cut off.
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self._close(request)

    def _close(self, request: Any) -> None:
        self.shutdown_request(request)
        with self._lock:
            self._open.pop(request, None)


class _Server6(_Server):
    address_family: int = socket.AF_INET6


class _Request(WSGIRequestHandler):
    timeout: ClassVar[float | None] = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)


def _cut(request: socket.socket) -> None:
    # Its thread may have closed it by now.
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _server_class(host: str) -> type[_Server]:
    return _Server6 if ":" in host else _Server


_servers: WeakSet[MetricsServer] = WeakSet()


@in_forked_child
def _close_in_child() -> None:
    for server in list(_servers):
        server.close_in_child()

"""Connections that the scope of their request can give up in every state: name lookup, connecting, TLS handshake, waiting.

Comes in: what urllib3 asks of a connection. Goes out: the same, until the scope is cancelled. Also knows every open socket,
to close the child's copies after a fork.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from watch.concurrency import in_forked_child
from watch.errors import RequestCancelledError
from watch.request_scope import current_scope, unless_cancelled

__all__ = ["CONNECT_TIMEOUT", "POOL_CLASSES", "keepalive_options"]

CONNECT_TIMEOUT = 30.0
_MAX_INTERIM = 10

_open_sockets: WeakSet[socket.socket] = WeakSet()


def keepalive_options() -> list[tuple[int, int, int]]:
    """A dead path is noticed after 15 s of silence and three probes 10 s apart, or 45 s of unacknowledged data."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for names, value in (
        # macOS has the first under another name.
        (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), 15),
        (("TCP_KEEPINTVL",), 10),
        (("TCP_KEEPCNT",), 3),
        (("TCP_USER_TIMEOUT",), 45_000),
    ):
        number = next((getattr(socket, name) for name in names if hasattr(socket, name)), None)
        if number is not None:
            options.append((socket.IPPROTO_TCP, number, value))
    return options


class _Response(http.client.HTTPResponse):
    """One before which a server may send a few interim ones (100 Continue): http.client would read them without end."""

    _heads = 0

    def _read_status(self) -> tuple[str, int, str]:
        self._heads += 1
        if self._heads > _MAX_INTERIM + 1:
            raise http.client.HTTPException(f"more than {_MAX_INTERIM} interim answers")
        return super()._read_status()  # type: ignore[misc,no-any-return]


class _Interruptible:
    """A connection that the scope of its request can shut down while it connects and while it waits for an answer."""

    sock: Any
    port: int
    timeout: Any
    _dns_host: str
    socket_options: Any
    response_class: Any = _Response

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        _open_sockets.add(self.sock)

    def getresponse(self) -> Any:
        with _abortable(self.sock):
            return super().getresponse()  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        last: OSError | None = None
        for family, kind, protocol, _, address in _addresses(self._dns_host, self.port):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(self.timeout if isinstance(self.timeout, (int, float)) else CONNECT_TIMEOUT)
                with _abortable(sock):
                    sock.connect(address)
            except OSError as error:
                last = error
                sock.close()
                if isinstance(error, RequestCancelledError):
                    raise
            else:
                return sock
        raise last or OSError(f"no address for {self._dns_host}")


def _addresses(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        # A name: the resolver may take its time, and nothing can interrupt it.
        return unless_cancelled(lambda: socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM), "name-lookup")


class _PlainConnection(_Interruptible, HTTPConnection):
    pass


class _TLSConnection(_Interruptible, HTTPSConnection):
    """The handshake takes the socket object for its own: a second one for the same connection can end it."""

    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._handle = sock.dup()
        return sock

    def connect(self) -> None:
        scope = current_scope()
        withdraw = None if scope is None else scope.on_cancel(self._shut_down_handle)
        try:
            super().connect()
        finally:
            if withdraw is not None:
                withdraw()
            handle, self._handle = self._handle, None
            if handle is not None:
                handle.close()

    def _shut_down_handle(self) -> None:
        handle = self._handle
        if handle is not None:
            _shut_down(handle)


@contextlib.contextmanager
def _abortable(sock: socket.socket) -> Iterator[None]:
    """While inside, the scope's cancelling shuts the socket down."""
    scope = current_scope()
    if scope is None or sock is None:
        yield
        return
    withdraw = scope.on_cancel(lambda: _shut_down(sock))
    try:
        yield
    finally:
        withdraw()
        if scope.cancelled:
            raise RequestCancelledError("the request was given up: its owner has stopped")


def _shut_down(sock: socket.socket) -> None:
    # Below TLS, whose farewell could block.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection  # type: ignore[mutable-override]


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection  # type: ignore[mutable-override]

    def _validate_conn(self, conn: Any) -> None:
        # Without urllib3's warning where certificates are not verified: whoever configured that knows.
        if conn.is_closed:
            conn.connect()


POOL_CLASSES = {"http": _PlainPool, "https": _TLSPool}
"""For `urllib3.PoolManager.pool_classes_by_scheme`."""


@in_forked_child
def _close_after_fork() -> None:
    """The child's copies of the sockets are closed without a word to the server: the connections are the parent's."""
    for sock in list(_open_sockets):
        with contextlib.suppress(OSError, ValueError):
            number = sock.detach()
            if number >= 0:
                os.close(number)
    _open_sockets.clear()

"""urllib3 connections that cancelling a request can interrupt in every state: name lookup, connecting, TLS handshake, waiting.

The `RequestScope` of the current thread is what gets cancelled. This module also knows every open socket, to close the
copies that a forked child inherits.
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
"""Seconds that connecting may take, per address."""
_MAX_INTERIM = 10

_open_sockets: WeakSet[socket.socket] = WeakSet()


def keepalive_options() -> list[tuple[int, int, int]]:
    """Socket options that detect a dead network path.

    The kernel breaks a connection after 15 s of silence and three unanswered probes 10 s apart, or when data that was sent
    stays unacknowledged for 45 s.
    """
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for names, value in (
        # macOS calls it TCP_KEEPALIVE.
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
    """An http.client response that names its socket, limits interim responses (100 Continue), and refuses malformed headers.

    http.client would read interim responses without end. urllib3 would log all that follows a malformed header, which may be
    six megabytes.

    Attributes:
        socket: the socket on which the body arrives, an `ssl.SSLSocket` for https. `watch.byte_source` reads it.
    """

    _heads = 0

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.socket = sock

    def begin(self) -> None:
        super().begin()
        # The parser takes a line that is not a header, and all lines behind it, for a body. Go refuses it, too.
        if self.headers.get_payload():
            raise http.client.HTTPException("the server sent a malformed header")
        # These concern a body within the headers, and urllib3 would log them.
        self.headers.defects.clear()

    def _read_status(self) -> tuple[str, int, str]:
        self._heads += 1
        if self._heads > _MAX_INTERIM + 1:
            raise http.client.HTTPException(f"the server sent more than {_MAX_INTERIM} interim responses")
        return super()._read_status()  # type: ignore[misc,no-any-return]


class _Interruptible:
    """A connection that cancelling its request shuts down while it connects and while it waits for a response."""

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
        # A name: nothing can interrupt the resolver, so this thread stops waiting for it when the request is cancelled.
        return unless_cancelled(lambda: socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM), "name-lookup")


class _PlainConnection(_Interruptible, HTTPConnection):
    pass


class _TLSConnection(_Interruptible, HTTPSConnection):
    """Interrupts the TLS handshake through a duplicate of the socket, since wrapping takes over the socket object itself."""

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
    """Within this context, cancelling the request shuts the socket down."""
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
            raise RequestCancelledError("the request was cancelled: its owner has stopped")


def _shut_down(sock: socket.socket) -> None:
    # On the TCP level: TLS would send a closing message, which could block.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection  # type: ignore[mutable-override]


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection  # type: ignore[mutable-override]

    def _validate_conn(self, conn: Any) -> None:
        # Without urllib3's warning about unverified certificates: the user has configured that.
        if conn.is_closed:
            conn.connect()


POOL_CLASSES = {"http": _PlainPool, "https": _TLSPool}
"""For `urllib3.PoolManager.pool_classes_by_scheme`."""


@in_forked_child
def _close_after_fork() -> None:
    """Closes the copies in the child without sending anything: the connections belong to the parent."""
    for sock in list(_open_sockets):
        with contextlib.suppress(OSError, ValueError):
            number = sock.detach()
            if number >= 0:
                os.close(number)
    _open_sockets.clear()

"""A small HTTP/1.1 server.

One listener thread accepts connections and notices clients that hang up; each connection has a thread of its own.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from http.client import responses

from informer.testing.http.connection import Connection, Exchange
from informer.testing.http.messages import BadMessageError, response_head
from watch.concurrency import Latch, Lock, Worker, join_all
from watch.logs import get_logger

__all__ = ["HttpServer"]

_log = get_logger(__name__)

# Linux reports that a client has closed its connection. Elsewhere any input counts, as a client that waits sends nothing.
_HANGUP = getattr(select, "POLLRDHUP", select.POLLIN)
_BACKLOG = 512
_STOP_SECONDS = 5.0


class HttpServer:
    """Listens on the loopback address and passes each request to a function.

    Args:
        handle: answers one request. It runs on the connection's thread; an OSError that it raises ends the connection.
        context: the TLS context; None means plain HTTP.
        name: prefix of the threads' names.

    Threads: every method may be called from any thread; `start` may be called once.
    """

    def __init__(
        self, handle: Callable[[HttpServer, Exchange], None], *, context: ssl.SSLContext | None, name: str
    ) -> None:
        self._handle = handle
        self._context = context
        self._name = name
        self._lock = Lock()
        self._connections: dict[Connection, Worker] = {}  # oldest first; guarded by _lock
        self._stopping = False  # guarded by _lock
        self._listener = _bind(0)  # used by the listener thread only, as are the next four
        self._listening = False
        self._resume_at: float | None = None
        self._hangups: dict[int, Connection] = {}
        self._commands: deque[Callable[[], object]] = deque()  # to be run by the listener thread
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_out.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._wake_in, select.POLLIN)
        self._worker = Worker(self._run, f"{name}-listener")
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        """The number of connections accepted so far."""

    def start(self) -> None:
        """Listens, and starts the listener thread."""
        self._listen()
        self._worker.start()

    def stop(self) -> bool:
        """Closes the port and every connection; returns whether every thread has ended within 5 s each."""
        with self._lock:
            self._stopping = True
        self._wake()
        ended = self._worker.join(_STOP_SECONDS)
        with self._lock:
            workers = list(self._connections.values())
        self.cut_connections()
        return join_all(workers, _STOP_SECONDS) and ended

    def cut_connections(self, connections: Iterable[Connection] | None = None, *, reset: bool = False) -> int:
        """Cuts the given connections (None means all) at once; returns their number."""
        with self._lock:
            chosen = list(self._connections if connections is None else connections)
        for connection in chosen:
            connection.cut(reset=reset)
        return len(chosen)

    def refuse(self, seconds: float | None = None) -> None:
        """Refuses new connections for `seconds` (None means until `accept`); in force when this returns."""
        self._ask(lambda: self._refuse(seconds))

    def accept(self) -> None:
        """Accepts connections again; in force when this returns."""
        self._ask(self._listen)

    @contextlib.contextmanager
    def noticing_hangup(self, connection: Connection) -> Iterator[None]:
        """Within the block, the listener thread cuts the connection as soon as its client closes it.

        The connection's own thread is busy with a long answer then, and does not read.
        """
        fd = connection.fileno()
        self._command(lambda: self._register(fd, connection))
        try:
            yield
        finally:
            self._command(lambda: self._unregister(fd))

    def _ask(self, what: Callable[[], object]) -> None:
        done = Latch()
        self._command(what)
        self._command(done.open)
        done.wait(_STOP_SECONDS)

    def _command(self, what: Callable[[], object]) -> None:
        self._commands.append(what)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the socket is full, or the server has stopped
            self._wake_out.send(b"!")

    # The rest runs on the listener thread.

    def _run(self) -> None:
        try:
            while not self._stopping:
                resume_at = self._resume_at
                wait = None if resume_at is None else max(0.0, (resume_at - time.monotonic()) * 1000)
                for fd, _ in self._poll.poll(wait):
                    if fd == self._wake_in.fileno():
                        self._run_commands()
                    elif fd == self._listener.fileno():
                        self._accept()
                    elif (connection := self._unregister(fd)) is not None:
                        connection.cut()
                if self._resume_at is not None and time.monotonic() >= self._resume_at:
                    self._listen()
        finally:
            self._listener.close()
            self._wake_in.close()
            self._wake_out.close()

    def _run_commands(self) -> None:
        self._wake_in.recv(4096)
        while self._commands:
            self._commands.popleft()()

    def _listen(self) -> None:
        self._resume_at = None
        if not self._listening:
            self._listener.listen(_BACKLOG)
            self._poll.register(self._listener, select.POLLIN)
            self._listening = True

    def _refuse(self, seconds: float | None) -> None:
        self._resume_at = None if seconds is None else time.monotonic() + seconds
        if self._listening:
            self._poll.unregister(self._listener)
            self._listener.close()
            # Bound but not listening: clients are refused, and the port stays taken.
            self._listener = _bind(self.port)
            self._listening = False

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted += 1
        connection = Connection(sock, self._context, self.accepted)
        worker = Worker(lambda: self._serve(connection), f"{self._name}-connection-{self.accepted}")
        with self._lock:
            if self._stopping:
                connection.close()
                return
            self._connections[connection] = worker.start()

    def _register(self, fd: int, connection: Connection) -> None:
        self._hangups[fd] = connection
        self._poll.register(fd, _HANGUP)

    def _unregister(self, fd: int) -> Connection | None:
        connection = self._hangups.pop(fd, None)
        if connection is not None:
            self._poll.unregister(fd)
        return connection

    # A connection's own thread.

    def _serve(self, connection: Connection) -> None:
        try:
            connection.handshake()
            keep_alive = True
            while keep_alive and not connection.gone.is_set():
                exchange = Exchange(connection, connection.read_request())
                self._handle(self, exchange)
                keep_alive = exchange.keep_alive
        except BadMessageError as error:
            with contextlib.suppress(OSError):
                _refuse_message(connection, error)
        except OSError as error:
            _log.debug("connection %d ended: %s", connection.number, error)
        finally:
            connection.close()
            with self._lock:
                self._connections.pop(connection, None)


def _refuse_message(connection: Connection, error: BadMessageError) -> None:
    body = f"{error.status} {responses[error.status]}: {error}".encode()
    headers = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close", "Content-Length": str(len(body))}
    connection.send_last(response_head(error.status, headers) + body)


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.setblocking(False)
    return listener

"""A small HTTP/1.1 server: one thread that accepts and notices clients who hang up, and one for each connection."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from informer.testing.http.connection import Connection, Exchange
from informer.testing.http.messages import BadMessageError
from watch.concurrency import Latch, Lock, Worker, join_all

__all__ = ["HttpServer"]

_log = logging.getLogger(__name__)

# Linux tells that the other side has closed without the bytes before it having to be read.
_HANGUP = getattr(select, "POLLRDHUP", 0)
_BACKLOG = 512
_STOP_SECONDS = 5.0
_SPARE_WORKERS = 64


class HttpServer:
    """Listens on loopback and gives each request to a function.

    Args:
        handle: answers a request, on its connection's thread; what it raises is logged and ends the connection.
        context: for TLS; None for plain HTTP.
        name: of the threads.

    Threads: any may call any method; `start` once.
    """

    def __init__(
        self, handle: Callable[[HttpServer, Exchange], None], *, context: ssl.SSLContext | None, name: str
    ) -> None:
        self._handle = handle
        self._context = context
        self._name = name
        self._lock = Lock()
        self._connections: dict[Connection, None] = {}  # in the order in which they came; guarded by _lock
        # Theirs, and some that have ended or are about to: a thread cannot say that it has. Guarded by _lock.
        self._workers: list[Worker] = []
        self._stopping = False  # guarded by _lock
        self._listener: socket.socket | None = None
        self._listening = False  # the listener thread's, as is the next
        self._resume_at: float | None = None
        self._hangups: dict[int, Connection] = {}
        self._commands: deque[Callable[[], object]] = deque()  # for the listener thread
        self._wake_in, self._wake_out = socket.socketpair()
        self._poll = select.poll()
        self._worker = Worker(self._run, f"{name}-listener")
        self.port = 0
        self.accepted = 0
        """Connections so far."""

    def start(self, port: int = 0) -> None:
        """Begins to listen; 0 takes any free port."""
        self._listener = _bind(port)
        self.port = self._listener.getsockname()[1]
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._poll.register(self._wake_in, select.POLLIN)
        self._listen()
        self._worker.start()

    def stop(self) -> bool:
        """Closes the port and every connection; returns whether every thread has ended."""
        with self._lock:
            self._stopping = True
        self._wake()
        ended = self._worker.join(_STOP_SECONDS)
        self.cut_connections()
        with self._lock:
            workers, self._workers = self._workers, []
        return join_all(workers, _STOP_SECONDS) and ended

    def connections(self) -> list[Connection]:
        """Those that are open."""
        with self._lock:
            return list(self._connections)

    def cut_connections(self, connections: Iterable[Connection] | None = None, *, reset: bool = False) -> int:
        """Ends connections (None: all) at once; returns how many."""
        chosen = self.connections() if connections is None else list(connections)
        for connection in chosen:
            connection.cut(reset=reset)
        return len(chosen)

    def refuse(self, seconds: float | None = None) -> None:
        """Refuses new connections from now on, for some seconds or (None) until `accept`; returns once it does."""
        self._ask(lambda: self._refuse(seconds))

    def accept(self) -> None:
        """Takes connections again; returns once it does."""
        self._ask(self._listen)

    @contextlib.contextmanager
    def noticing_hangup(self, connection: Connection) -> Iterator[None]:
        """While the block runs, a connection is cut as soon as its client has closed it, though nobody reads from it."""
        fd = connection.fileno()
        if fd >= 0:
            self._command(lambda: self._register(fd, connection))
        try:
            yield
        finally:
            if fd >= 0:
                self._command(lambda: self._unregister(fd, connection))

    def _ask(self, what: Callable[[], object]) -> None:
        done = Latch()
        self._command(what)
        self._command(done.open)
        done.wait(_STOP_SECONDS)

    def _command(self, what: Callable[[], object]) -> None:
        self._commands.append(what)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is awake, or the server has stopped
            self._wake_out.send(b"!")

    # The listener thread.

    def _run(self) -> None:
        assert self._listener is not None
        try:
            while not self._stopping:
                for fd, event in self._poll.poll(self._patience()):
                    if fd == self._wake_in.fileno():
                        self._obey()
                    elif fd == self._listener.fileno():
                        self._accept()
                    else:
                        self._hung_up(fd, event)
                if self._resume_at is not None and time.monotonic() >= self._resume_at:
                    self._listen()
        finally:
            self._listener.close()
            self._wake_in.close()
            self._wake_out.close()

    def _patience(self) -> float | None:
        return None if self._resume_at is None else max(0.0, (self._resume_at - time.monotonic()) * 1000)

    def _obey(self) -> None:
        try:
            self._wake_in.recv(4096)
        except BlockingIOError:
            return
        while self._commands:
            self._commands.popleft()()

    def _listen(self) -> None:
        self._resume_at = None
        if not self._listening:
            assert self._listener is not None
            try:
                self._listener.listen(_BACKLOG)
            except OSError:
                self._listener.close()
                self._listener = _bind(self.port)
                self._listener.listen(_BACKLOG)
            self._poll.register(self._listener, select.POLLIN)
            self._listening = True

    def _refuse(self, seconds: float | None) -> None:
        self._resume_at = None if seconds is None else time.monotonic() + seconds
        if self._listening:
            assert self._listener is not None
            self._poll.unregister(self._listener)
            self._listening = False
            try:
                # Linux goes back from listening to bound: connections are refused, and nobody else gets the port.
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._listener.close()
                self._listener = _bind(self.port)

    def _accept(self) -> None:
        assert self._listener is not None
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
            self._connections[connection] = None
            if len(self._workers) > 2 * len(self._connections) + _SPARE_WORKERS:
                self._workers = [each for each in self._workers if each.is_alive]
            self._workers.append(worker)
            worker.start()

    def _register(self, fd: int, connection: Connection) -> None:
        if connection.fileno() == fd:
            self._hangups[fd] = connection
            self._poll.register(fd, _HANGUP or select.POLLIN)

    def _unregister(self, fd: int, connection: Connection) -> None:
        if self._hangups.get(fd) is connection:
            del self._hangups[fd]
            with contextlib.suppress(KeyError):
                self._poll.unregister(fd)

    def _hung_up(self, fd: int, event: int) -> None:
        connection = self._hangups.get(fd)
        if connection is None:
            return
        self._unregister(fd, connection)
        if event & ~select.POLLIN or connection.peer_closed():
            connection.cut()

    # A connection's thread.

    def _serve(self, connection: Connection) -> None:
        try:
            connection.handshake()
            while not connection.gone.is_set():
                try:
                    got = connection.read_request()
                except BadMessageError as error:
                    _refuse_message(connection, error)
                    return
                if got is None:
                    return
                exchange = Exchange(connection, *got)
                self._handle(self, exchange)
                if not exchange.keep_alive:
                    return
        except OSError as error:
            _log.debug("connection ended: %s", error)
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()


def _refuse_message(connection: Connection, error: BadMessageError) -> None:
    body = f"400 Bad Request: {error}".encode()
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    connection.send_last(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    if not port:
        # Only a port that was asked for by number stays with the socket when it stops listening.
        port = listener.getsockname()[1]
        listener.close()
        return _bind(port)
    listener.setblocking(False)
    return listener

"""A TCP proxy that causes network faults on demand, between a client and a server; it does not interpret what passes.

It runs on one thread, so that each fault hits all connections at the same moment, as when a network or load balancer fails.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from random import Random
from threading import Event
from typing import Any

from informer.testing.processes.kube_programs import free_ports
from watch.concurrency import Lock, Worker

_PIECE = 16 * 1024
# The most bytes that wait for a side which does not read.
_MOST_WAITING = 256 * 1024


class _Side:
    """One of the two sockets of a connection, and the bytes waiting to be sent to it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.waiting = bytearray()
        self.ended = False  # it has sent its last byte
        self.other: _Side = self
        self.pair: _Pair


class _Pair:
    def __init__(self, client: _Side, server: _Side | None, truncate_at: int | None) -> None:
        self.client = client
        self.server = server
        self.truncate_at = truncate_at  # after this many more bytes from the server the connection is cut
        self.closed = False


class FaultProxy:
    """A TCP proxy in front of a server.

    Args:
        host: the server's host.
        port: the server's port.
        random: chooses where streams are truncated.
        listen: the local address to listen at.

    Threads: any thread may call its methods.
    """

    def __init__(self, host: str, port: int, *, random: Random | None = None, listen: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._random = random or Random()
        self._address = listen
        self._lock = Lock()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._pairs: set[_Pair] = set()  # the proxy thread's own, like everything without a note here
        self._silent: list[_Pair] = []
        self._accepted: list[float] = []  # monotonic times; guarded by _lock
        self._commands: list[Callable[[], object]] = []  # guarded by _lock
        # A port outside the range for outgoing connections, so that it stays free while the proxy does not listen.
        (self.port,) = free_ports(1)
        self._listener = self._listen(self.port)
        self._frozen = False
        self._truncate_within: int | None = None
        self._truncated = 0
        self._bytes_per_second: float | None = None
        self._allowance = 0.0
        self._allowed_at = time.monotonic()
        self._stopping = False
        self._worker = Worker(self._run, "fault-proxy").start()

    # Faults

    def cut(self, *, reset: bool = True) -> int:
        """Ends every connection, with a reset or (`reset=False`) a plain end; returns how many there were."""
        return len(self._do(lambda: [self._close(pair, reset=reset) for pair in list(self._pairs)]))

    @contextlib.contextmanager
    def truncating(self, within: int) -> Iterator[None]:
        """Within the `with` block, cuts every connection after a random number of the server's bytes, at most `within`."""
        self._do(lambda: self._set_truncation(within))
        try:
            yield
        finally:
            self._do(lambda: self._set_truncation(None))

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the `with` block, passes no bytes in either direction and ends no connection."""
        self._do(lambda: setattr(self, "_frozen", True))
        try:
            yield
        finally:
            self._do(lambda: setattr(self, "_frozen", False))

    def silence(self) -> None:
        """Passes no more bytes on the connections that are open, and never ends them; new connections work.

        Connections silenced by an earlier call are ended, so that they do not accumulate.
        """

        def silence() -> None:
            for pair in self._silent:
                self._close(pair, reset=True)
            self._silent.clear()
            for pair in self._pairs:
                for side in (pair.client, pair.server):
                    if side is not None:
                        self._unregister(side)
            self._silent += self._pairs
            self._pairs.clear()

        self._do(silence)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Within the `with` block, refuses connections; open ones are cut."""

        def refuse() -> None:
            self._selector.unregister(self._listener)
            self._listener.close()
            for pair in list(self._pairs):
                self._close(pair, reset=True)

        def listen() -> None:
            self._listener = self._listen(self.port)

        self._do(refuse)
        try:
            yield
        finally:
            self._do(listen)

    @contextlib.contextmanager
    def routed_to(self, host: str, port: int) -> Iterator[None]:
        """Within the `with` block, connects clients to another server; open connections are cut at its start and end."""

        def route(target: tuple[str, int]) -> None:
            self._target = target
            for pair in list(self._pairs):
                self._close(pair, reset=False)

        usual = self._target
        self._do(lambda: route((host, port)))
        try:
            yield
        finally:
            self._do(lambda: route(usual))

    @contextlib.contextmanager
    def slow(self, bytes_per_second: float) -> Iterator[None]:
        """Within the `with` block, passes `bytes_per_second` bytes of the server, on all connections together."""
        self._do(lambda: setattr(self, "_bytes_per_second", bytes_per_second))
        try:
            yield
        finally:
            self._do(lambda: setattr(self, "_bytes_per_second", None))

    def accepted(self) -> list[float]:
        """Returns the monotonic time of each accepted connection."""
        with self._lock:
            return list(self._accepted)

    def truncated(self) -> int:
        """Returns how many connections `truncating` has cut."""
        return int(self._do(lambda: self._truncated))

    def close(self) -> None:
        """Closes all connections and stops the thread."""
        self._do(lambda: setattr(self, "_stopping", True), wait=False)
        self._worker.join(10)
        # Closed here and not by the thread, which may have ended before the wake-up byte is sent.
        self._wake_in.close()
        self._wake_out.close()

    # The proxy's thread

    def _run(self) -> None:
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        try:
            while not self._stopping:
                self._refill()
                for key, events in self._selector.select(self._pause()):
                    if key.fileobj is self._wake_in:
                        self._wake_in.recv(4096)
                    elif key.fileobj is self._listener:
                        self._accept()
                    else:
                        self._serve(key.data, events)
                self._run_commands()
                self._update_interest()
        finally:
            for pair in [*self._pairs, *self._silent]:
                self._close(pair, reset=False)
            self._listener.close()
            self._selector.close()

    def _do(self, command: Callable[[], Any], *, wait: bool = True) -> Any:
        """Runs a command on the proxy's thread; returns its result or raises its error."""
        done = Event()
        outcome: list[Any] = []
        failure: list[Exception] = []

        def run() -> None:
            try:
                outcome.append(command())
            except Exception as error:
                failure.append(error)
            finally:
                done.set()

        with self._lock:
            self._commands.append(run)
        self._wake_out.send(b".")
        if not wait:
            return None
        if not done.wait(10):
            raise TimeoutError("the proxy does not answer")
        if failure:
            raise failure[0]
        return outcome[0]

    def _run_commands(self) -> None:
        with self._lock:
            commands, self._commands = self._commands, []
        for command in commands:
            command()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server((self._address, port), backlog=512)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        return listener

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        with self._lock:
            self._accepted.append(time.monotonic())
        sock.setblocking(False)
        client = _Side(sock)
        pair = _Pair(client, None, None)
        client.pair = pair
        try:
            upstream = socket.create_connection(self._target, timeout=5)
        except OSError:
            self._close(pair, reset=True)
            return
        upstream.setblocking(False)
        for each in (sock, upstream):
            # A connection that was reset meanwhile refuses the option; the next read reports it.
            with contextlib.suppress(OSError):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = _Side(upstream)
        server.pair, server.other, client.other = pair, client, server
        pair.server = server
        if self._truncate_within is not None:
            pair.truncate_at = self._random.randint(0, self._truncate_within)
        self._pairs.add(pair)
        for side in (client, server):
            self._selector.register(side.sock, selectors.EVENT_READ, side)

    def _serve(self, side: _Side, events: int) -> None:
        if side.pair.closed:
            return
        if events & selectors.EVENT_WRITE and side.waiting:
            try:
                sent = side.sock.send(side.waiting)
                del side.waiting[:sent]
            except BlockingIOError:
                pass
            except OSError:
                self._close(side.pair, reset=True)
                return
        if events & selectors.EVENT_READ:
            self._read(side)

    def _read(self, side: _Side) -> None:
        from_server = side is side.pair.server
        most = _PIECE if not from_server or self._bytes_per_second is None else max(1, int(self._allowance))
        try:
            data = side.sock.recv(min(_PIECE, most))
        except BlockingIOError:
            return
        except OSError:
            self._close(side.pair, reset=True)
            return
        if not data:
            side.ended = True
            if not side.other.waiting:
                self._close(side.pair, reset=False)
            return
        if from_server:
            self._allowance -= len(data)
            if side.pair.truncate_at is not None:
                data = data[: side.pair.truncate_at]
                side.pair.truncate_at -= len(data)
        side.other.waiting += data
        try:
            sent = side.other.sock.send(side.other.waiting)
            del side.other.waiting[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._close(side.pair, reset=True)
            return
        if from_server and side.pair.truncate_at == 0:
            self._truncated += 1
            self._close(side.pair, reset=self._random.random() < 0.5)

    def _update_interest(self) -> None:
        for pair in list(self._pairs):
            for side in (pair.client, pair.server):
                if side is None or pair.closed:
                    continue
                wanted = 0
                if not self._frozen:
                    if side.waiting:
                        wanted |= selectors.EVENT_WRITE
                    throttled = side is pair.server and self._bytes_per_second is not None and self._allowance < 1
                    if len(side.other.waiting) < _MOST_WAITING and not side.ended and not throttled:
                        wanted |= selectors.EVENT_READ
                    if side.other.ended and not side.waiting:
                        self._close(pair, reset=False)
                        break
                self._set_interest(side, wanted)

    def _set_interest(self, side: _Side, wanted: int) -> None:
        if side.pair.closed:
            return
        key = self._selector.get_map().get(side.sock)
        if key is None and wanted:
            self._selector.register(side.sock, wanted, side)
        elif key is not None and not wanted:
            self._selector.unregister(side.sock)
        elif key is not None and key.events != wanted:
            self._selector.modify(side.sock, wanted, side)

    def _refill(self) -> None:
        now = time.monotonic()
        if self._bytes_per_second is not None:
            more = (now - self._allowed_at) * self._bytes_per_second
            self._allowance = min(self._bytes_per_second / 10, self._allowance + more)
        self._allowed_at = now

    def _pause(self) -> float | None:
        return None if self._bytes_per_second is None else 0.02

    def _set_truncation(self, within: int | None) -> None:
        self._truncate_within = within
        for pair in self._pairs:
            pair.truncate_at = None if within is None else self._random.randint(0, within)

    def _unregister(self, side: _Side) -> None:
        # It may not be registered, or be closed already.
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(side.sock)

    def _close(self, pair: _Pair, *, reset: bool) -> None:
        pair.closed = True
        self._pairs.discard(pair)
        for side in (pair.client, pair.server):
            if side is None:
                continue
            self._unregister(side)
            if reset:
                with contextlib.suppress(OSError):
                    side.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.sock.close()

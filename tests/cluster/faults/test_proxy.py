"""The fault proxy, in front of an echo server."""

from __future__ import annotations

import socket
import socketserver

import pytest

from tests.cluster.faults.proxy import FaultProxy
from watch.concurrency import Worker


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while data := self.request.recv(4096):
                self.request.sendall(data)
        except OSError:
            pass


@pytest.fixture
def proxy():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        worker = Worker(lambda: server.serve_forever(0.02), "echo").start()
        made = FaultProxy(*server.server_address)
        yield made
        made.close()
        server.shutdown()
        worker.join(5)


def connect(proxy, timeout=5.0):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout)


def echoed(sock, data=b"hello"):
    sock.sendall(data)
    got = b""
    while len(got) < len(data) and (piece := sock.recv(65536)):
        got += piece
    return got


def test_everything_passes_and_connections_are_counted(proxy):
    """Without a fault all bytes pass, and each connection is counted once."""
    with connect(proxy) as one, connect(proxy) as two:
        assert echoed(one, b"x" * 100_000) == b"x" * 100_000
        assert echoed(two) == b"hello"
    assert len(proxy.accepted()) == 2


@pytest.mark.parametrize("reset", [True, False])
def test_cut_ends_connections(proxy, reset):
    """A cut is a reset or a plain end, as requested; the next connection works."""
    with connect(proxy) as sock:
        assert echoed(sock) == b"hello"
        proxy.cut(reset=reset)
        if reset:
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        else:
            assert sock.recv(1) == b""
    with connect(proxy) as sock:
        assert echoed(sock) == b"hello"


def test_truncation_cuts_within_its_bytes(proxy):
    """A stream ends within the allowed number of bytes."""
    with proxy.truncating(10), connect(proxy) as sock:
        sock.sendall(b"y" * 50)
        got = b""
        try:
            while piece := sock.recv(100):
                got += piece
        except ConnectionResetError:
            pass
        assert len(got) <= 10


def test_freeze_holds_everything_back_until_it_ends(proxy):
    """Bytes sent while frozen arrive afterwards."""
    with connect(proxy) as sock:
        assert echoed(sock) == b"hello"
        sock.settimeout(0.2)
        with proxy.frozen():
            sock.sendall(b"late")
            with pytest.raises(TimeoutError):
                sock.recv(4)
        sock.settimeout(5)
        assert sock.recv(4) == b"late"


def test_silenced_connection_stays_silent_and_a_new_one_works(proxy):
    """`silence` applies to open connections only."""
    with connect(proxy) as old, connect(proxy) as new:
        assert echoed(old) == b"hello"
        assert echoed(new) == b"hello"
        proxy.silence()
        old.settimeout(0.2)
        with pytest.raises(TimeoutError):
            echoed(old)
        with connect(proxy) as fresh:
            assert echoed(fresh) == b"hello"


def test_connections_are_refused(proxy):
    """Connections are refused, and accepted again afterwards."""
    with proxy.refusing(), pytest.raises(ConnectionRefusedError):
        connect(proxy)
    with connect(proxy) as sock:
        assert echoed(sock) == b"hello"


def test_connections_are_routed_to_another_server(proxy):
    """Open connections are cut; new ones reach the other server and, after the block, the first server again."""
    with socket.create_server(("127.0.0.1", 0)) as other, connect(proxy) as sock:
        other.settimeout(5)
        assert echoed(sock) == b"hello"
        with proxy.routed_to(*other.getsockname()):
            assert sock.recv(1) == b""
            with connect(proxy), other.accept()[0] as reached:
                reached.settimeout(5)
        with connect(proxy) as again:
            assert echoed(again) == b"hello"


def test_failing_command_raises_in_its_caller(proxy):
    """If the port is taken while the proxy refuses, the caller gets the error, and the proxy continues."""
    taken = socket.socket()
    with connect(proxy) as sock, pytest.raises(OSError, match="in use"), proxy.refusing():
        taken.bind(("127.0.0.1", proxy.port))
        taken.listen()
    with taken:
        assert sock.fileno() == -1
        assert proxy.truncated() == 0


def test_slow_link_is_slow_and_complete(proxy):
    """All bytes arrive, no faster than allowed."""
    with proxy.slow(10_000), connect(proxy) as sock:
        sock.settimeout(0.1)
        sock.sendall(b"z" * 10_000)
        got = 0
        with pytest.raises(TimeoutError):
            while got < 10_000:
                got += len(sock.recv(10_000))
                sock.settimeout(0.001)
        sock.settimeout(5)
        while got < 10_000:
            got += len(sock.recv(10_000))

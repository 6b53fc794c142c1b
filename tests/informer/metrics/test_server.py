"""The small server of the pages."""

from __future__ import annotations

import errno
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer.metrics import MetricsServer, serve
from informer.metrics.server import _MOST_CONNECTIONS, _PATIENCE, _PAUSE, _Request
from tests.support.waiting import DEADLINE


@pytest.fixture
def start(registry) -> Iterator[Callable[..., MetricsServer]]:
    """Starts a server of the registry on this host."""
    made: list[MetricsServer] = []

    def start(port: int = 0, host: str = "127.0.0.1", **options: Any) -> MetricsServer:
        made.append(serve(port, host, registry=registry, **options))
        return made[-1]

    yield start
    for server in made:
        assert server.stop(DEADLINE)


def ask(server: MetricsServer, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, server.port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def connect(server: MetricsServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), DEADLINE)


def test_it_answers(start, make, source, capfd) -> None:
    """The three pages, on a port that was free, and not a word on standard error."""
    make(source)
    server = start()
    assert ask(server, "/healthz") == (200, "ok\n")
    assert ask(server, "/readyz") == (200, "ok\n")
    status, text = ask(server, "/metrics")
    assert status == 200
    assert 'informer_store_objects{name="things"} 3.0' in text
    assert ask(server, "/")[0] == 404
    assert capfd.readouterr().err == ""


def test_ipv6(start) -> None:
    """An address with colons is one of IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    assert ask(start(host="::1"), "/healthz", "::1")[0] == 200


def test_its_threads_are_named(start) -> None:
    """Whoever looks at a program's threads sees what they are for."""
    seen = threading.Event()
    names: list[str] = []

    def check() -> None:
        names.append(threading.current_thread().name)
        seen.set()

    ask(start(live_checks={"names": check}), "/healthz")
    assert seen.wait(DEADLINE)
    assert names == ["informer-metrics-request"]
    assert "informer-metrics" in [thread.name for thread in threading.enumerate()]


def test_a_port_that_is_taken(start) -> None:
    """It is an error at once, and nothing is left of the second one."""
    first = start()
    before = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        start(first.port)
    assert threading.active_count() == before


def test_a_stop_frees_the_port(start) -> None:
    """It is prompt, may be repeated, and another may listen there at once."""
    server = start()
    ask(server, "/healthz")
    begun = time.monotonic()
    assert server.stop()
    assert server.stop()
    assert time.monotonic() - begun < 1
    with start(server.port) as second:
        assert second.port == server.port
        assert ask(second, "/healthz")[0] == 200
    with pytest.raises(OSError):
        connect(second)


def test_a_stop_cuts_who_says_nothing(start) -> None:
    """An open connection does not hold it up."""
    server = start()
    with connect(server) as idle:
        # Its thread is there once a request behind it is answered.
        ask(server, "/healthz")
        begun = time.monotonic()
        assert server.stop(DEADLINE)
        assert time.monotonic() - begun < 2
        assert idle.recv(1) == b""


def test_a_check_that_hangs_blocks_no_other_request(start) -> None:
    """Each request has a thread; a stop tells that one goes on."""
    entered, go = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        assert go.wait(DEADLINE)

    server = start(live_checks={"hangs": hang})
    with connect(server) as asking:
        asking.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert entered.wait(DEADLINE)
        assert ask(server, "/readyz") == (200, "ok\n")
        assert not server.stop(0)
        go.set()


def test_who_keeps_connections_open_keeps_nobody_out(start) -> None:
    """So many are held at a time, and the oldest makes room."""
    server = start()
    idle = [connect(server) for _ in range(_MOST_CONNECTIONS + 5)]
    begun = time.monotonic()
    try:
        assert ask(server, "/healthz")[0] == 200
        assert [each.recv(1) for each in idle[:5]] == [b""] * 5
        assert time.monotonic() - begun < _PATIENCE / 2
    finally:
        for each in idle:
            each.close()


def test_who_says_nothing_is_cut_off(start, monkeypatch) -> None:
    """A connection that is kept for nothing ends by itself."""
    assert _Request.timeout == _PATIENCE
    monkeypatch.setattr(_Request, "timeout", 0.05)
    with connect(start()) as idle:
        assert idle.recv(1) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"G" * 70000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"a:b\r\n" * 300,
    ],
    ids=["no HTTP", "half a line", "a long line", "another version", "many headers"],
)
def test_odd_requests(start, sent: bytes, capfd) -> None:
    """They are refused, or cut off, and the next one is answered."""
    server = start()
    with connect(server) as asking:
        asking.sendall(sent)
        asking.shutdown(socket.SHUT_WR)
        try:
            while asking.recv(65536):
                pass
        except ConnectionResetError:
            pass
    assert ask(server, "/healthz") == (200, "ok\n")
    assert capfd.readouterr().err == ""


def test_where_no_file_can_be_opened_it_pauses(start, registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that cannot be taken in is not looked at without end, is answered later, and keeps no stop waiting."""
    tries: list[float] = []
    take = socket.socket.accept

    def accept(self: socket.socket) -> Any:
        tries.append(time.monotonic())
        if len(tries) <= 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return take(self)

    monkeypatch.setattr(socket.socket, "accept", accept)
    server = start()
    assert ask(server, "/healthz")[0] == 200
    assert tries[3] - tries[0] >= 3 * _PAUSE * 0.9

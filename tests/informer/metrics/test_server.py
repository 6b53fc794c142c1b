"""The HTTP server of the pages."""

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
from informer.metrics.connections import _REQUEST_TIMEOUT
from tests.support.waiting import DEADLINE, PROMPT


@pytest.fixture
def start(registry) -> Iterator[Callable[..., MetricsServer]]:
    """A function that starts a server on this host, which is stopped at the end of the test."""
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


def test_the_server_answers_on_a_free_port(start, make, source, capfd) -> None:
    """It serves the three pages and writes nothing to standard error."""
    make(source)
    server = start()
    assert ask(server, "/healthz") == (200, "ok\n")
    assert ask(server, "/readyz") == (200, "ok\n")
    status, text = ask(server, "/metrics")
    assert status == 200
    assert 'informer_store_objects{name="things"} 3.0' in text
    assert ask(server, "/")[0] == 404
    assert capfd.readouterr().err == ""


def test_an_address_with_colons_is_ipv6(start) -> None:
    """The server listens on ::1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    assert ask(start(host="::1"), "/healthz", "::1")[0] == 200


def test_the_servers_threads_have_names(start) -> None:
    """A list of a program's threads shows what they are for."""
    seen = threading.Event()
    names: list[str] = []

    def check() -> None:
        names.append(threading.current_thread().name)
        seen.set()

    ask(start(live_checks={"names": check}), "/healthz")
    assert seen.wait(DEADLINE)
    assert names == ["informer-metrics-check"]
    pages = {f"informer-metrics-{page}" for page in ("healthz", "readyz", "metrics")}
    assert {"informer-metrics", *pages} <= {thread.name for thread in threading.enumerate()}


def test_a_taken_port_is_an_error_at_once(start) -> None:
    """The failed server leaves no thread behind."""
    first = start()
    before = threading.active_count()
    message = rf"cannot serve HTTP on port {first.port} \(.*in use.*\): take another port, or 0 for a free one"
    with pytest.raises(OSError, match=message):
        start(first.port)
    assert threading.active_count() == before


def test_stop_frees_the_port(start) -> None:
    """It is prompt and may be repeated, and another server can listen there at once."""
    server = start()
    ask(server, "/healthz")
    begun = time.monotonic()
    assert server.stop(DEADLINE)
    assert server.stop(DEADLINE)
    assert time.monotonic() - begun < PROMPT
    with start(server.port) as second:
        assert second.port == server.port
        assert ask(second, "/healthz")[0] == 200
    with pytest.raises(OSError):
        connect(second)


def test_stop_closes_idle_connections(start) -> None:
    """An open connection does not delay it."""
    server = start()
    with connect(server) as idle:
        # Once a later request is answered, the server knows the idle connection.
        ask(server, "/healthz")
        begun = time.monotonic()
        assert server.stop(DEADLINE)
        assert time.monotonic() - begun < PROMPT
        assert idle.recv(1) == b""


def test_a_hanging_check_blocks_no_other_request(start) -> None:
    """Each page has a thread of its own; stop returns False while a check still runs."""
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


def test_idle_connections_keep_no_client_out(start, monkeypatch) -> None:
    """The number of connections is bounded, and the oldest is closed for a new one."""
    monkeypatch.setattr("informer.metrics.connections._MAX_CONNECTIONS", 32)
    server = start()
    idle = [connect(server) for _ in range(32 + 5)]
    begun = time.monotonic()
    try:
        assert ask(server, "/healthz")[0] == 200
        assert [each.recv(1) for each in idle[:5]] == [b""] * 5
        assert time.monotonic() - begun < _REQUEST_TIMEOUT / 2
    finally:
        for each in idle:
            each.close()


def test_an_idle_connection_is_closed(start, monkeypatch) -> None:
    """The server closes a connection whose client sends nothing."""
    monkeypatch.setattr("informer.metrics.connections._REQUEST_TIMEOUT", 0.05)
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
    ids=["not HTTP", "half a line", "a long line", "another version", "many headers"],
)
def test_malformed_requests_are_refused(start, sent: bytes, capfd) -> None:
    """The server answers the next request, and writes nothing to standard error."""
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


def test_a_failing_accept_is_retried_after_a_pause(start, registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many open files the server does not run in a busy loop, and it answers the connection later."""
    tries: list[float] = []
    take = socket.socket.accept

    def accept(self: socket.socket) -> Any:
        tries.append(time.monotonic())
        if time.monotonic() < tries[0] + 0.5:
            raise OSError(errno.EMFILE, "Too many open files")
        return take(self)

    monkeypatch.setattr(socket.socket, "accept", accept)
    server = start()
    assert ask(server, "/healthz")[0] == 200
    assert len(tries) < 300

"""Streams and connections that end: properly, early, within a line, by a reset, or behind a proxy."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any

import pytest

from tests.support.waiting import DEADLINE, eventually


def test_watch_closed_without_events_after_a_second_goes_on(scripted: Any, follow: Any, say: Any) -> None:
    """The watch is opened again at the same version at once, without a list."""

    def quiet(connection: Any) -> None:
        connection.begin()
        threading.Event().wait(1.05)
        connection.end()

    server = scripted([say.listed("5")], [quiet])
    followed = follow(server)
    assert server.wait_for(watches=2)
    assert (server.list_versions, server.watch_versions) == (["0"], ["5", "5"])
    assert followed.informer.sync_error() is None


def test_very_short_watch_lists_again(scripted: Any, follow: Any, caplog: pytest.LogCaptureFixture, say: Any) -> None:
    """A watch of less than a second without events is followed by a backoff and a list (kubernetes#137089)."""
    server = scripted([say.listed("5"), say.listed("6", "a")], [say.watched()])
    followed = follow(server)
    assert followed.reaches("6")
    assert server.list_versions == ["0", "5"]
    assert "very short watch: pods: Unexpected watch close" in caplog.text


@pytest.mark.parametrize("then", ["end", "cut"], ids=["proper-end-of-the-answer", "cut-connection"])
def test_eof_mid_line_drops_the_partial_line_and_resumes(scripted: Any, follow: Any, then: str, say: Any) -> None:
    """A line without its end is never parsed, even if it is complete JSON. The watch resumes at the same version."""
    half = json.dumps(say.added("b", "8")).encode()
    server = scripted(
        [say.listed("5", "a")],
        [say.watched(say.bookmark("7"), half, then=then), say.watched(say.added("b", "9"), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert (server.list_versions, server.watch_versions) == (["0"], ["5", "7"])
    assert followed.informer.store.get_by_key("ns/b").resource_version == "9"


def test_connection_refused_keeps_the_version_which_is_confirmed(scripted: Any, follow: Any, say: Any) -> None:
    """While no process listens, the informer backs off; then it lists one object and resumes at the same version."""
    server = scripted([say.listed("5")], [say.watched(say.bookmark("7"))])
    address = ("127.0.0.1", server.http.port)
    close = server.http._listener

    def close_then_end(connection: Any) -> None:
        connection.begin()
        connection.chunk(say.bookmark("8"))
        close.shutdown(socket.SHUT_RDWR)
        close.close()
        connection.cut()

    server._watches.append(close_then_end)
    followed = follow(server)
    with server.monitor:
        assert server.monitor.wait_for(lambda: len(server.watches) >= 2, DEADLINE)
    assert eventually(lambda: isinstance(followed.informer.sync_error(), ConnectionRefusedError))
    assert not followed.informer.is_watching
    later = scripted([say.listed("99")], [say.watched(say.bookmark("9"), then="hang")])
    relay = Relay(address, later.http.port)
    try:
        assert followed.reaches("9")
    finally:
        followed.informer.stop()
        relay.close()
    assert (later.list_versions, later.watch_versions) == (["8"], ["8"])
    assert later.lists[0]["limit"] == "1"


class Relay:
    """Listens at one address and forwards every connection to another port."""

    def __init__(self, address: tuple[str, int], port: int) -> None:
        self._listener = socket.create_server(address)
        self._port = port
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._copy, args=(source, target), daemon=True))
                self._threads[-1].start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
        for sock in self._sockets:
            sock.close()


@pytest.mark.parametrize("then", ["reset", "cut", "end"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_reset_goaway_and_closed_connection_resume(
    scripted: Any, follow: Any, authority: Any, then: str, tls: bool, say: Any
) -> None:
    """Each counts as the end of the stream: the watch resumes at the last version, without a list."""
    server = scripted(
        [say.listed("5")],
        [say.watched(say.added("a", "7"), then=then), say.watched(say.added("b", "8"), then="hang")],
        tls=authority.server_context("127.0.0.1") if tls else None,
    )
    followed = follow(server, settings={"ssl_ca_cert": authority.path})
    assert followed.reaches("8")
    # A reset may overtake what was sent before it.
    assert server.watch_versions[0] == "5"
    assert server.watch_versions[1] in (("5", "7") if then == "reset" else ("7",))


def test_proxy_that_buffers_headers_makes_no_very_short_watch(scripted: Any, follow: Any, say: Any) -> None:
    """The duration of a watch is measured from before its request."""

    def held_back(connection: Any) -> None:
        threading.Event().wait(1.05)
        connection.begin()
        connection.end()

    server = scripted([say.listed("5")], [held_back])
    follow(server)
    assert server.wait_for(watches=2)
    assert server.list_versions == ["0"]


def test_proxy_that_buffers_the_body_delivers_all_of_it(scripted: Any, follow: Any, say: Any) -> None:
    """A hundred events that arrive in few pieces, cut anywhere, are all delivered."""
    events = b"".join(json.dumps(say.added(f"p{i}", str(10 + i))).encode() + b"\n" for i in range(100))
    server = scripted([say.listed("5")], [say.watched(events[:777], events[777:5000], events[5000:], then="hang")])
    followed = follow(server)
    assert followed.reaches("109")
    assert len(followed.keys) == 100

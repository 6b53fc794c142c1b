"""Limits on what a server can make the transport hold and wait for, in responses other than lists and watches."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer import ApiError
from informer.transport.transport import Transport
from tests.support.waiting import DEADLINE
from watch.concurrency import Latch

PIECE = b"x" * 16_384
# Bytes that can be sent after the client has stopped reading: the buffers of both sockets, and what was read already.
UNDER_WAY = 16 * 1024 * 1024


class Endless:
    """A server that sends pieces until the client hangs up, and counts their bytes."""

    def __init__(self, serve: Any, status: int, pieces: Callable[[], Iterator[bytes]], **headers: str) -> None:
        self.bytes = 0
        self.over = Latch()
        self._status, self._pieces, self._headers = status, pieces, headers
        self.server = serve(self._handle)

    def _handle(self, request: Any, connection: Any) -> None:
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in self._headers.items())
        connection.keep = False
        connection.send(f"HTTP/1.1 {self._status} Reason\r\nTransfer-Encoding: chunked\r\n{head}\r\n".encode())
        try:
            for piece in self._pieces():
                connection.chunk(piece)
                self.bytes += len(piece)
        finally:
            self.over.open()


def plain() -> Iterator[bytes]:
    while True:
        yield PIECE


def bomb() -> Iterator[bytes]:
    """A gzip body that is a thousand times larger when it is uncompressed."""
    compress = zlib.compressobj(9, wbits=31)
    while True:
        if piece := compress.compress(b"x" * 1_000_000):
            yield piece


BODIES = pytest.mark.parametrize(
    ("pieces", "headers"),
    [pytest.param(plain, {}, id="plain"), pytest.param(bomb, {"Content_Encoding": "gzip"}, id="gzip-bomb")],
)


@BODIES
def test_an_endless_error_body_is_cut_off(serve: Any, pieces: Any, headers: Any) -> None:
    """64 KiB are read, then the connection is closed. The error quotes 200 characters."""
    endless = Endless(serve, 503, pieces, **headers)
    with pytest.raises(ApiError) as caught:
        Transport(endless.server.client()).open("/api", {}, gzip=bool(headers))
    assert (caught.value.status, caught.value.message) == (503, "x" * 200 + "...")
    assert endless.over.wait(DEADLINE)
    assert endless.bytes < 64 * 1024 + UNDER_WAY


@BODIES
def test_an_endless_json_answer_is_an_error(serve: Any, pieces: Any, headers: Any) -> None:
    """The limit of 16 MiB, which the message names, is far above the discovery data of the largest clusters.

    Gzip, which is not requested there, is refused.
    """
    endless = Endless(serve, 200, pieces, **headers)
    error = "'gzip', which was not requested" if headers else "to /apis is larger than 16777216 bytes, the limit"
    with pytest.raises(ApiError, match=error):
        Transport(endless.server.client()).get_json("/apis")
    assert endless.over.wait(DEADLINE)
    assert endless.bytes < 16 * 1024 * 1024 + UNDER_WAY


@pytest.mark.parametrize("status", [200, 503])
def test_a_small_body_that_trickles_is_given_up(serve: Any, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out covers the whole body: single bytes do not extend it."""
    monkeypatch.setattr("informer.transport.transport._ERROR_BODY_TIMEOUT", 0.2)
    monkeypatch.setattr("informer.transport.transport._JSON_BODY_TIMEOUT", 0.2)
    pause = Latch()

    def trickle() -> Iterator[bytes]:
        while not pause.wait(0.02):
            yield b"x"

    begun = time.monotonic()
    with pytest.raises((ApiError, ConnectionError)):
        Transport(Endless(serve, status, trickle).server.client()).get_json("/apis")
    assert 0.2 <= time.monotonic() - begun < 5.0


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"no header\r\n", id="no-colon"),
        pytest.param(b" X: y\r\n", id="continuation"),
        pytest.param(b"Content-Type: multipart/mixed; boundary=b\r\nno header\r\n--b\r\n\r\n", id="multipart"),
    ],
)
def test_malformed_headers_fill_no_log(serve: Any, caplog: pytest.LogCaptureFixture, head: bytes) -> None:
    """urllib3 would log what follows them, some megabytes, with a token that the server repeats."""
    caplog.set_level(logging.INFO)
    token = "a-token-of-a-user-1234567"

    def handle(_: Any, connection: Any) -> None:
        lines = (token.encode() + b"x" * 60_000 + b"\r\n") * 50
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + head + lines + b"\r\n{}")
        connection.cut()

    transport = Transport(serve(handle).client(api_key={"authorization": f"Bearer {token}"}))
    with pytest.raises(ConnectionError, match="a malformed header") as caught:
        transport.get_json("/api")
    shown = caplog.text + str(caught.value)
    assert len(shown) < 2000
    assert token not in shown

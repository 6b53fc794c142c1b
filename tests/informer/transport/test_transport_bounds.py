"""What a server can make us hold of an answer that is no list and no watch, and how long it can keep us."""

from __future__ import annotations

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
# The most of it that may be under way when nobody reads any more: buffers of both sockets, and what was read already.
UNDER_WAY = 16 * 1024 * 1024


class Endless:
    """Answers with pieces until the client hangs up, and tells how many bytes that were."""

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
    """A thousand times as much when it is uncompressed."""
    compress = zlib.compressobj(9, wbits=31)
    while True:
        if piece := compress.compress(b"x" * 1_000_000):
            yield piece


BODIES = pytest.mark.parametrize(
    ("pieces", "headers"),
    [pytest.param(plain, {}, id="plain"), pytest.param(bomb, {"Content_Encoding": "gzip"}, id="gzip-bomb")],
)


@BODIES
def test_an_error_body_without_an_end_is_cut_off(serve: Any, pieces: Any, headers: Any) -> None:
    """64 KiB are enough to know what was refused; the connection is closed, and the error quotes 200 characters."""
    endless = Endless(serve, 503, pieces, **headers)
    with pytest.raises(ApiError) as caught:
        Transport(endless.server.client()).open("/api", {}, gzip=bool(headers))
    assert (caught.value.status, caught.value.message) == (503, "x" * 200)
    assert endless.over.wait(DEADLINE)
    assert endless.bytes < 64 * 1024 + UNDER_WAY


@BODIES
def test_discovery_without_an_end_is_an_error(serve: Any, pieces: Any, headers: Any) -> None:
    """16 MiB are many times what the largest cluster says of its resources; the message names that limit."""
    endless = Endless(serve, 200, pieces, **headers)
    with pytest.raises(ApiError, match=r"/apis answered with more than 16777216 bytes, the most allowed"):
        Transport(endless.server.client()).get_json("/apis")
    assert endless.over.wait(DEADLINE)
    assert endless.bytes < 16 * 1024 * 1024 + UNDER_WAY


@pytest.mark.parametrize("status", [200, 503])
def test_a_small_body_that_trickles_is_given_up(serve: Any, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the whole body: a byte now and then does not put it off."""
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

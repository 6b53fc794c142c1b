"""Sources of a body's bytes: real sockets, plain and TLS, and other readers."""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
import sys
import time
import tracemalloc
from typing import Any

import pytest
import urllib3

from tests.support.waiting import DEADLINE, PROMPT
from watch.byte_source import READ_SIZE, NotReadyError, ReaderSource, SocketSource, byte_source
from watch.concurrency import Latch

PLAIN = b"HTTP/1.1 200 OK\r\n\r\n"


def read_to_end(source: Any) -> bytes:
    body = b""
    while pieces := source.read(DEADLINE):
        body += b"".join(pieces)
    return body


def wait_until_blocked(source: Any) -> None:
    """Waits until a read has begun; the wait for the socket begins a moment later."""
    deadline = time.monotonic() + DEADLINE
    while not source._reading:
        assert time.monotonic() < deadline
        select.select([], [], [], 0.001)


def test_pieces_are_the_bodies_of_chunks(stream_server: Any) -> None:
    """A chunked body is returned without its framing, and ends with its last chunk."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    assert isinstance(source, SocketSource)
    peer.chunk(b"one\n", b"two\n")
    peer.finish()
    assert read_to_end(source) == b"one\ntwo\n"
    assert source.read(0) == []
    source.close()


def test_what_came_with_the_head_is_not_lost(make_server: Any) -> None:
    """Bytes that arrived together with the head of the response come first."""
    server, pool = make_server()
    response, peer = server.answer(pool, PLAIN + b"with the head\n")
    source = byte_source(response)
    peer.send(b"behind it\n")
    peer.hang_up()
    assert read_to_end(source) == b"with the head\nbehind it\n"
    source.close()


def test_a_burst_comes_in_few_reads(stream_server: Any, run: Any) -> None:
    """Thousands of chunks that have arrived take one read per 512 KiB, not one per chunk."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    events = [b'{"type":"ADDED","object":{"n":%d}}\n' % number for number in range(5000)]
    sender = run(peer.chunk, *events)
    pieces: list[bytes] = []
    reads = 0
    while len(pieces) < len(events):
        pieces += source.read(DEADLINE)
        reads += 1
        # The bytes sent meanwhile arrive before the next read.
        select.select([], [], [], 0.002)
    sender.result()
    assert b"".join(pieces) == b"".join(events)
    assert reads < 50
    source.close()


def test_a_read_takes_all_that_has_come(stream_server: Any, run: Any) -> None:
    """One read returns several TLS records and several chunks."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    run(peer.chunk, *[b"x" * 1000] * 150).result()
    size = reads = 0
    while size < 150_000:
        size += sum(map(len, source.read(DEADLINE)))
        reads += 1
        select.select([], [], [], 0.002)
    assert reads <= 5
    source.close()


def test_a_lone_event_passes_at_once(stream_server: Any, run: Any) -> None:
    """A read returns the bytes that have arrived without waiting for more."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    task = run(source.read, DEADLINE)
    wait_until_blocked(source)
    begun = time.monotonic()
    peer.chunk(b"event\n")
    assert task.result() == [b"event\n"]
    assert time.monotonic() - begun < PROMPT
    source.close()


def test_a_lone_event_costs_one_wait_and_one_receive(stream_server: Any, run: Any) -> None:
    """On Linux a receive of a plain socket also waits; nothing is asked of the socket after it."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source: Any = byte_source(response)
    waits: list[float | None] = []
    receives: list[int] = []
    wait, receive = source._wait_readable, source._receive

    def counted_wait(seconds: float | None) -> object:
        waits.append(seconds)
        return wait(seconds)

    def counted_receive(seconds: float | None, now: float) -> bytes:
        receives.append(1)
        return bytes(receive(seconds, now))

    source._wait_readable, source._receive = counted_wait, counted_receive
    for number in range(3):
        waits.clear()
        receives.clear()
        reading = run(source.read, DEADLINE)
        wait_until_blocked(source)
        peer.chunk(b"%d\n" % number)
        assert reading.result() == [b"%d\n" % number]
        if number:
            is_one_call = sys.platform == "linux" and not isinstance(source._sock, ssl.SSLSocket)
            assert (len(waits), len(receives)) == (0 if is_one_call else 1, 1)
    source.close()


def test_a_chunk_is_passed_on_as_it_comes(stream_server: Any) -> None:
    """The beginning of a large chunk is returned before the chunk is complete."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    peer.send(b"a\r\n01234")
    assert source.read(DEADLINE) == [b"01234"]
    peer.send(b"56789\r")
    assert source.read(DEADLINE) == [b"56789"]
    peer.send(b"\n")
    peer.finish()
    assert source.read(DEADLINE) == []
    source.close()


def test_zero_does_not_wait(stream_server: Any) -> None:
    """A time-out of 0 returns what has arrived and does not wait; the source can be read on."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    for body in (b"a\n", b"b\n"):
        begun = time.monotonic()
        with pytest.raises(NotReadyError):
            source.read(0)
        assert time.monotonic() - begun < PROMPT
        peer.chunk(body)
        assert source.read(DEADLINE) == [body]
    source.close()


def test_a_timeout_is_kept_and_the_source_read_on(stream_server: Any) -> None:
    """A read ends after its time-out, and the next one continues, even within a chunk's size line."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    for part in (b"", b"5", b"\r"):
        peer.send(part)
        begun = time.monotonic()
        with pytest.raises(NotReadyError, match="no bytes came in time"):
            source.read(0.05)
        assert 0.04 < time.monotonic() - begun < PROMPT
    peer.send(b"\nhello\r\n")
    assert source.read(DEADLINE) == [b"hello"]
    source.close()


def test_slow_bytes_do_not_stretch_the_time(make_server: Any, run: Any) -> None:
    """Bytes that complete no piece do not extend the time-out."""
    server, pool = make_server()
    response, peer = server.answer(pool)
    source = byte_source(response)
    stop = Latch()

    def drip() -> None:
        while not stop.wait(0.02):
            peer.send(b"0")

    dripping = run(drip)
    begun = time.monotonic()
    with pytest.raises(NotReadyError):
        source.read(0.2)
    assert time.monotonic() - begun < PROMPT
    stop.open()
    dripping.result()
    source.close()


@pytest.mark.parametrize("timeout", [None, 1e12], ids=["none", "huge"])
def test_without_a_limit_a_read_waits(make_server: Any, run: Any, timeout: float | None) -> None:
    """A read waits for bytes without a time-out, and with one too long for any system call."""
    server, pool = make_server()
    response, peer = server.answer(pool)
    source = byte_source(response)
    task = run(source.read, timeout)
    wait_until_blocked(source)
    assert not task.ends_within(0.05)
    peer.chunk(b"x")
    assert task.result() == [b"x"]
    source.close()


def test_close_ends_a_blocked_read_at_once(stream_server: Any, run: Any) -> None:
    """Closing from another thread ends a read at once and closes the connection."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    sock = source._sock
    task = run(source.read, None)
    wait_until_blocked(source)
    begun = time.monotonic()
    source.close()
    assert time.monotonic() - begun < PROMPT
    with pytest.raises(EOFError):
        task.result()
    assert time.monotonic() - begun < PROMPT
    assert sock.fileno() == -1
    assert peer.client_has_gone()


def test_a_closed_source_reads_no_more(stream_server: Any) -> None:
    """Closing between reads closes the connection. Closing again does nothing, and a read raises EOFError."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    peer.chunk(b"x")
    source.close()
    source.close()
    with pytest.raises(EOFError, match="closed"):
        source.read(0)
    assert peer.client_has_gone()


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        pytest.param(None, b"", id="before-a-chunk"),
        pytest.param(None, b"5\r\nhel", id="within-a-chunk"),
        pytest.param(None, b"5", id="within-a-size"),
        pytest.param(None, b"5\r\nhello", id="before-a-line-end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"hel", id="within-a-length"),
    ],
)
@pytest.mark.parametrize("how", ["hang_up", "reset"])
def test_a_cut_connection_is_told_from_an_end(stream_server: Any, head: bytes | None, sent: bytes, how: str) -> None:
    """A connection that ends within the body raises EOFError, after the bytes before that were returned."""
    server, pool = stream_server
    response, peer = server.answer(pool, *([head] if head else []))
    source = byte_source(response)
    peer.send(sent)
    body = b"hello" if b"hello" in sent else b"hel" if b"hel" in sent else b""
    if body:
        assert source.read(DEADLINE) == [body]
    getattr(peer, how)()
    with pytest.raises((EOFError, OSError)) as caught:
        read_to_end(source)
    assert not isinstance(caught.value, NotReadyError)
    source.close()


def test_a_body_without_framing_ends_with_the_connection(stream_server: Any) -> None:
    """A body with neither length nor chunks is complete when the server closes."""
    server, pool = stream_server
    response, peer = server.answer(pool, PLAIN)
    source = byte_source(response)
    peer.send(b"one\ntwo")
    peer.hang_up()
    assert read_to_end(source) == b"one\ntwo"
    source.close()


def test_a_body_of_known_length_ends_there(stream_server: Any) -> None:
    """A body with a length ends after that many bytes; later bytes are not read."""
    server, pool = stream_server
    response, peer = server.answer(pool, b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
    source = byte_source(response)
    peer.send(b"one\ntwo and more")
    assert read_to_end(source) == b"one\ntwo"
    source.close()
    assert peer.client_has_gone()


def test_a_body_of_no_length_is_empty(make_server: Any) -> None:
    """A response without a body ends at once."""
    server, pool = make_server()
    response, _ = server.answer(pool, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    source = byte_source(response)
    assert source.read(DEADLINE) == []
    source.close()


@pytest.mark.parametrize("block", [False, True], ids=["pool-grows", "pool-of-one"])
def test_a_connection_whose_body_was_read_serves_again(stream_server: Any, make_server: Any, block: bool) -> None:
    """After the end of the body the connection goes back to its pool, and the next request uses it."""
    server, pool = stream_server
    if block:
        server, pool = make_server(tls=pool.scheme == "https", block=True, maxsize=1)
    for _ in range(3):
        response, peer = server.answer(pool)
        source = byte_source(response)
        sock = source._sock
        peer.chunk(b"body")
        peer.finish()
        assert read_to_end(source) == b"body"
        source.close()
        assert sock.gettimeout() != 0
    assert server.connections == 1


def test_a_connection_goes_back_with_the_timeouts_that_it_had(stream_server: Any) -> None:
    """Neither the time-out of the reads nor a blocking mode is left on the socket of the pool."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source: Any = byte_source(response)
    sock, before = source._sock, source._pool_timeout
    peer.chunk(b"one\n")
    peer.finish()
    with contextlib.suppress(NotReadyError):
        source.read(0.01)
    assert read_to_end(source) in (b"", b"one\n")
    source.close()
    assert sock.fileno() >= 0
    assert sock.gettimeout() == before
    assert not any(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(b"0\r\nX-Trailer: yes\r\n\r\n", id="trailer"),
        pytest.param(b"0\r\n\r\nHTTP/1.1 200 OK\r\n", id="more-behind"),
        pytest.param(b"0\r\n", id="no-last-line-end"),
    ],
)
def test_a_connection_with_something_behind_the_body_is_closed(make_server: Any, end: bytes) -> None:
    """A connection on which bytes may follow the body is not used again."""
    server, pool = make_server()
    response, peer = server.answer(pool)
    source = byte_source(response)
    peer.send(b"4\r\nbody\r\n" + end)
    assert read_to_end(source) == b"body"
    source.close()
    assert peer.client_has_gone()


def test_a_server_that_closes_gets_no_second_request(make_server: Any) -> None:
    """A connection that the server announced to close does not go back to the pool."""
    server, pool = make_server()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    response, peer = server.answer(pool, head)
    source = byte_source(response)
    peer.send(b"4\r\nbody\r\n0\r\n\r\n")
    assert read_to_end(source) == b"body"
    source.close()
    assert peer.client_has_gone()


def test_a_bounded_pool_gets_a_place_back(stream_server: Any, make_server: Any) -> None:
    """A closed watch frees its place in a pool with a fixed number of connections."""
    _, pool = stream_server
    server, pool = make_server(tls=pool.scheme == "https", block=True, maxsize=1)
    for _ in range(2):
        response, _ = server.answer(pool)
        byte_source(response).close()
    assert server.connections == 2


def test_garbage_instead_of_a_chunk_is_a_broken_connection(stream_server: Any) -> None:
    """Bytes that are not a chunk raise a ConnectionError that says so."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = byte_source(response)
    peer.send(b"garbage\r\n\r\n")
    with pytest.raises(ConnectionError, match="7 bytes where a chunk's size is expected"):
        source.read(DEADLINE)
    source.close()


@pytest.mark.parametrize("how", ["stream", "read1", "read"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_response_that_was_begun_is_read_on(make_server: Any, how: str, size: int) -> None:
    """A response that was read in part, within a chunk or to its end, can be read on."""
    server, pool = make_server()
    response, peer = server.answer(pool)
    peer.chunk(b"one", b"two", b"three")
    peer.finish()
    stream = response.stream(size)
    begun = next(stream) if how == "stream" else getattr(response, how)(size)
    source = byte_source(response)
    assert begun + read_to_end(source) == b"onetwothree"
    source.close()


def test_an_encoding_of_another_kind_is_left_to_urllib3(make_server: Any) -> None:
    """A body with another compression than gzip is uncompressed by urllib3."""
    import zlib

    server, pool = make_server()
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n"
    response, peer = server.answer(pool, head)
    source = byte_source(response)
    assert not source.gzipped
    peer.chunk(zlib.compress(b"event\n"))
    peer.finish()
    assert read_to_end(source) == b"event\n"
    source.close()


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
def test_gzipped_says_that_pieces_are_compressed(make_server: Any, encoding: str) -> None:
    """`gzipped` says that the pieces are compressed, in any spelling of the header."""
    server, pool = make_server()
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % encoding.encode()
    response, _ = server.answer(pool, head)
    source = byte_source(response)
    assert source.gzipped
    source.close()


def test_a_wrapped_response_is_closed_while_it_is_read(stream_server: Any, run: Any) -> None:
    """Closing from another thread ends a read at once, even where urllib3 reads the socket."""
    server, pool = stream_server
    response, peer = server.answer(pool)
    source = ReaderSource(response)
    peer.chunk(b"event\n")
    assert source.read(None) == [b"event\n"]
    task = run(source.read, None)
    wait_until_blocked(source)
    begun = time.monotonic()
    source.close()
    with pytest.raises((urllib3.exceptions.HTTPError, OSError)):
        task.result()
    assert time.monotonic() - begun < PROMPT
    with pytest.raises(EOFError):
        source.read(None)
    assert peer.client_has_gone()


def test_a_wrapped_body_without_framing_passes_events_at_once(make_server: Any) -> None:
    """A lone event is not held back until a buffer is full."""
    server, pool = make_server()
    response, peer = server.answer(pool, PLAIN)
    source = ReaderSource(response)
    peer.send(b"event\n")
    assert source.read(None) == [b"event\n"]
    peer.hang_up()
    assert source.read(None) == []
    source.close()
    source.close()


def test_any_reader_is_a_source() -> None:
    """Any object with `read` or `read1` can be read, such as a test's own response."""

    class OnlyRead:
        def __init__(self, body: bytes) -> None:
            self.read = io.BytesIO(body).read
            self.close = lambda: None

    for response in (io.BytesIO(b"body"), OnlyRead(b"body")):
        source = byte_source(response)
        assert not source.takes_timeout
        assert read_to_end(source) == b"body"
        source.close()


def test_a_piece_does_not_keep_the_read_alive(make_server: Any, run: Any) -> None:
    """A small piece of a large read does not keep the rest of that read in memory."""
    server, pool = make_server()
    response, peer = server.answer(pool)
    source = byte_source(response)
    chunks = [b"%07d\n" % number + b"x" * 1016 for number in range(200)]
    run(peer.chunk, *chunks).result()
    tracemalloc.start()
    try:
        kept: list[bytes] = []
        count = 0
        while count < len(chunks):
            pieces = source.read(DEADLINE)
            count += len(pieces)
            kept.append(pieces[0])
            del pieces
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) < 20
    assert held < len(kept) * 1100 + READ_SIZE // 16
    source.close()

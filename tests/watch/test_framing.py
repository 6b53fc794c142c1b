"""HTTP's framing, gzip and lines, for bytes in pieces of any size."""

from __future__ import annotations

import gzip
import json
import pickle
import time
import tracemalloc
import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from watch import WatchError
from watch.framing import BrokenBodyError, ChunkedBody, Gunzip, Lines, LineTooLongError, PlainBody

LIMIT = 1000

bodies = st.binary(max_size=200)
# Cuts are fractions of the whole, so that they fit data of any length.
cuts = st.lists(st.floats(0, 1), max_size=12)


def cut(data: bytes, at: Iterable[float]) -> list[bytes]:
    """Cuts the data into pieces."""
    places = sorted({int(part * len(data)) for part in at} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def chunked(
    body: bytes, at: Iterable[float], *, size: str = "{:x}", end: bytes = b"0\r\n\r\n", extension: str = ""
) -> bytes:
    """Returns the body as HTTP sends it in chunks."""
    return (
        b"".join(
            (size.format(len(piece)) + extension).encode() + b"\r\n" + piece + b"\r\n"
            for piece in cut(body, at)
            if piece
        )
        + end
    )


def feed_all(body: Any, pieces: Iterable[bytes]) -> bytes:
    taken = b""
    for piece in pieces:
        if body.ended:
            break
        taken += b"".join(body.feed(piece))
    return taken


@given(
    bodies,
    cuts,
    cuts,
    st.sampled_from(["{:x}", "{:X}", "{:04x}", "{:x} ", "{:016X}"]),
    st.sampled_from(["", ";a", ";a=b;c", " ; name=value", ';q="a;b"', ";" + "x" * 4000]),
    st.sampled_from([b"0\r\n\r\n", b"000\r\n\r\n", b"0;last\r\n\r\n", b"0\r\nTrailer: x\r\nOther: y\r\n\r\n"]),
)
def test_a_chunked_body_is_the_same_however_it_comes(
    body: bytes, chunk_cuts: list[float], wire_cuts: list[float], size: str, extension: str, end: bytes
) -> None:
    """Any chunk sizes, extensions, trailers and cuts on the wire give the same body."""
    framing = ChunkedBody()
    wire = chunked(body, chunk_cuts, size=size, extension=extension, end=end)
    assert feed_all(framing, cut(wire, wire_cuts)) == body
    assert framing.ended


@given(bodies.filter(bool), cuts, st.floats(0, 1, exclude_max=True))
def test_a_chunked_body_that_is_cut_off_has_not_ended(body: bytes, wire_cuts: list[float], where: float) -> None:
    """A body is not complete before its last chunk; the bytes returned are its beginning."""
    framing = ChunkedBody()
    wire = chunked(body, [0.5], end=b"0\r\n")
    taken = feed_all(framing, cut(wire[: int(where * len(wire))], wire_cuts))
    assert not framing.ended
    assert body.startswith(taken)


def test_every_byte_alone_gives_the_same_body() -> None:
    """A chunked body may arrive byte by byte."""
    framing = ChunkedBody()
    wire = chunked(b"hello world", [0.3, 0.6])
    assert feed_all(framing, (wire[i : i + 1] for i in range(len(wire)))) == b"hello world"
    assert framing.ended


@pytest.mark.parametrize(
    ("wire", "clean"),
    [
        (b"1\r\nx\r\n0\r\n\r\n", True),
        (b"0\r\n\r\n", True),
        (b"0\r\nTrailer: x\r\n\r\n", False),
        (b"0\r\n\r\nHTTP/1.1", False),
        (b"0\r\n", False),
    ],
    ids=["chunk", "empty", "trailer", "more", "unfinished"],
)
def test_a_connection_is_clean_when_nothing_follows(wire: bytes, clean: bool) -> None:
    """A connection can serve another request only if no byte follows the body."""
    framing = ChunkedBody()
    framing.feed(wire)
    assert framing.ended
    assert framing.clean is clean


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"xyz\r\n",
        b"-1\r\n",
        b"+1\r\nx\r\n",
        b"0x1\r\nx\r\n",
        b"0X1\r\nx\r\n",
        b"1_0\r\n",
        b"1 1\r\n",
        b"\xb2\r\n",
        b";ext\r\n",
        b"1\nx\r\n",
        b"11111111111111111\r\n",
        b"f" * 5000,
        b"1;" + b"x" * 5000 + b"\r\nx\r\n",
        b"1\r\nxy\r\n",
        b"1\r\nx\n\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_a_malformed_chunk_is_an_error(wire: bytes) -> None:
    """A malformed chunk raises, whether it arrives at once or byte by byte."""
    whole, single = ChunkedBody(), ChunkedBody()
    with pytest.raises(BrokenBodyError):
        whole.feed(wire)
    with pytest.raises(BrokenBodyError):
        feed_all(single, (wire[i : i + 1] for i in range(len(wire))))


def test_a_broken_body_is_a_broken_connection() -> None:
    """BrokenBodyError is a ConnectionError."""
    assert issubclass(BrokenBodyError, ConnectionError)


@given(bodies, cuts, st.binary(max_size=5))
def test_a_plain_body_of_known_length(body: bytes, wire_cuts: list[float], behind: bytes) -> None:
    """A body of known length ends after that many bytes, and is clean if none follow."""
    framing = PlainBody(len(body))
    assert feed_all(framing, cut(body + behind, wire_cuts)) == body
    assert framing.ended
    framing = PlainBody(len(body))
    if body:
        framing.feed(body + behind)
        assert framing.clean is not bool(behind)
    else:
        assert framing.clean


@given(bodies, cuts)
def test_a_plain_body_without_length(body: bytes, wire_cuts: list[float]) -> None:
    """A body of unknown length has every byte that arrives, and does not end by itself."""
    framing = PlainBody()
    assert feed_all(framing, cut(body, wire_cuts)) == body
    assert framing.ends_with_connection
    assert not framing.ended


# Lines


def lines_of(pieces: Iterable[bytes], limit: int = LIMIT) -> list[bytes]:
    return [line.removesuffix(b"\n") for line in Lines(limit).feed(pieces)]


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=20), cuts, st.booleans())
def test_lines_are_the_same_however_they_come(lines: list[bytes], at: list[float], ended: bool) -> None:
    """Pieces of any size give the lines between newlines; an incomplete line is held back."""
    body = b"".join(line + b"\n" for line in lines) + (b"" if ended else b"unfinished")
    assert lines_of(cut(body, at)) == lines
    assert lines_of(body[i : i + 1] for i in range(len(body))) == lines
    assert lines_of([body]) == lines


@given(st.text(alphabet="aé€😀\n", max_size=50), cuts)
def test_characters_may_be_cut(text: str, at: list[float]) -> None:
    """A character of several bytes may arrive in two pieces."""
    body = text.encode() + b"\n"
    assert b"\n".join(lines_of(cut(body, at))).decode() == text


def test_lines_of_several_feeds() -> None:
    """A line may begin in one feed and end in another."""
    lines = Lines(LIMIT)
    assert list(lines.feed([b"be"])) == []
    assert list(lines.feed([b"", b"gun", b"\nnext\nthi"])) == [b"begun", b"next"]
    assert list(lines.feed([b"rd\n"])) == [b"third"]


@pytest.mark.parametrize("size", [1, 1000, 65536, 3_000_000])
def test_a_long_line_comes_whole(size: int) -> None:
    """A line of 3 MB is joined from its pieces."""
    line = bytes(range(11, 256)) * (3_000_000 // 245)
    wire = chunked(line + b"\nshort\n", [0.4])
    framing = ChunkedBody()
    lines = Lines(len(line))
    got: list[bytes] = []
    step = max(size, 1000)
    for i in range(0, len(wire), step):
        got += lines.feed(framing.feed(wire[i : i + step]))
    assert [each.rstrip(b"\n") for each in got] == [line, b"short"]


@given(st.integers(1, 60), st.integers(-3, 3), cuts)
def test_the_longest_line(limit: int, over: int, at: list[float]) -> None:
    """A line of exactly the limit passes; one more byte raises, in pieces of any size."""
    body = b"ok\n" + b"x" * max(0, limit + over) + b"\n"
    lines = Lines(max(limit, 2))
    taken: list[bytes] = []
    if max(0, limit + over) <= max(limit, 2):
        taken += lines.feed(cut(body, at))
        assert len(taken) == 2
    else:
        with pytest.raises(LineTooLongError):
            taken.extend(lines.feed(cut(body, at)))
        assert [line.strip() for line in taken] == [b"ok"]


def test_a_line_that_never_ends_is_given_up() -> None:
    """The limit holds before a newline arrives, and the error names the option to raise."""
    lines = Lines(1000)
    with pytest.raises(LineTooLongError, match="more than 1000 bytes: raise max_line_bytes") as caught:
        for _ in range(11):
            assert list(lines.feed([b"x" * 100])) == []
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.max_bytes, str(error)) == (1000, str(caught.value))
    assert isinstance(error, WatchError)
    assert isinstance(error, ValueError)


# Compression


def sync_flushed(parts: Iterable[bytes]) -> bytes:
    """One gzip member, flushed after each part."""
    compressor = zlib.compressobj(wbits=31)
    return b"".join(compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH) for part in parts)


@given(st.lists(st.binary(max_size=60), max_size=8), cuts)
def test_members_cut_anywhere_give_the_same(parts: list[bytes], at: list[float]) -> None:
    """One member per flush, or one with many flushes, give the same bytes, wherever they are cut."""
    for wire in (b"".join(map(gzip.compress, parts)), sync_flushed(parts)):
        assert b"".join(Gunzip().feed(cut(wire, at))) == b"".join(parts)
        assert b"".join(Gunzip().feed(wire[i : i + 1] for i in range(len(wire)))) == b"".join(parts)


@pytest.mark.parametrize("wire", [gzip.compress, lambda part: sync_flushed([part])], ids=["member", "flush"])
def test_what_was_flushed_comes_at_once(wire: Any) -> None:
    """Each flush yields all bytes written before it, even if they are more than one step."""
    gunzip = Gunzip()
    part = b"x" * ((1 << 20) * 3 + 7)
    assert b"".join(gunzip.feed([wire(part)])) == part


def test_a_small_answer_claims_little_memory() -> None:
    """A small input with a large result is uncompressed in pieces, so that the limit on lines holds early."""
    bomb = gzip.compress(b"x" * 50_000_000)
    taken = 0
    with pytest.raises(LineTooLongError):
        for _ in Lines(2_000_000).feed(counted := Counted(Gunzip().feed([bomb]))):
            raise AssertionError("no line is expected")
    taken = counted.total
    assert taken < 4_000_000


class Counted:
    """Counts the bytes that pass."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.total = 0

    def __iter__(self) -> Any:
        for piece in self._pieces:
            self.total += len(piece)
            yield piece


@pytest.mark.parametrize(
    "wire",
    [
        b"not gzip",
        b"\x1f\x8b\x09" + b"\0" * 20,
        gzip.compress(b"one\n") + b"\0\0\0\0",
        gzip.compress(b"one\n") + b"tail",
    ],
    ids=["text", "method", "padding", "tail"],
)
def test_malformed_gzip_is_an_error(wire: bytes) -> None:
    """Malformed gzip raises after the bytes before it were yielded."""
    taken: list[bytes] = []
    with pytest.raises(zlib.error):
        taken.extend(Gunzip().feed([wire]))
    assert b"".join(taken) in (b"", b"one\n")


# All together, as a decoder uses them


class Outcome:
    """The result of a stream: its lines, and how it ended."""

    def __init__(self, pieces: Iterable[bytes], *, gzipped: bool) -> None:
        body, gunzip, lines = ChunkedBody(), Gunzip(), Lines(LIMIT)
        self.lines: list[bytes] = []
        self.error: Exception | None = None
        try:
            for piece in pieces:
                if body.ended:
                    break
                plain: Any = body.feed(piece)
                for line in lines.feed(gunzip.feed(plain) if gzipped else plain):
                    self.lines.append(line.strip())
        except (BrokenBodyError, zlib.error, LineTooLongError) as error:
            self.error = error
        self.ended = body.ended


objects = st.dictionaries(st.text(max_size=5), st.text(max_size=10) | st.integers() | st.none(), max_size=3)
events = st.lists(objects.map(lambda obj: json.dumps(obj, ensure_ascii=False).encode()), min_size=1, max_size=8)


def wire_of(lines: list[bytes], *, gzipped: bool, at: list[float] | None = None) -> bytes:
    parts = [line + b"\n" for line in lines]
    if gzipped:
        parts = [gzip.compress(part, mtime=0) for part in parts]
    if at is not None:
        return chunked(b"".join(parts), at)
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gzip"])
@given(lines=events, chunk_cuts=cuts, wire_cuts=cuts)
def test_any_pieces_give_the_same_lines(
    gzipped: bool, lines: list[bytes], chunk_cuts: list[float], wire_cuts: list[float]
) -> None:
    """The lines are the same, wherever chunks, members and the wire are cut."""
    wire = wire_of(lines, gzipped=gzipped, at=chunk_cuts)
    for pieces in ([wire], cut(wire, wire_cuts), [wire[i : i + 1] for i in range(len(wire))]):
        outcome = Outcome(pieces, gzipped=gzipped)
        assert (outcome.lines, outcome.error, outcome.ended) == (lines, None, True)


@pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gzip"])
@given(lines=events, where=st.floats(0, 1, exclude_max=True), wire_cuts=cuts)
def test_a_truncated_stream_gives_a_beginning(
    gzipped: bool, lines: list[bytes], where: float, wire_cuts: list[float]
) -> None:
    """A truncated stream gives complete, correct lines and no error."""
    wire = wire_of(lines, gzipped=gzipped)
    outcome = Outcome(cut(wire[: int(where * len(wire))], wire_cuts), gzipped=gzipped)
    assert outcome.error is None
    assert outcome.lines == lines[: len(outcome.lines)]


def is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def assert_right_until_broken(got: list[bytes], right: list[bytes]) -> None:
    """Asserts that the lines are correct, up to one that a decoder refuses."""
    got = [line for line in got if line]
    for number, line in enumerate(got):
        if number >= len(right) or line != right[number]:
            assert not is_object(line)
            return


@given(lines=events, where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_gzip_gives_no_wrong_line(lines: list[bytes], where: float, bit: int) -> None:
    """A flipped bit in gzip gives correct lines, then a line that does not decode, an error or an early end."""
    wire = bytearray(wire_of(lines, gzipped=True))
    wire[int(where * len(wire))] ^= 1 << bit
    assert_right_until_broken(Outcome([bytes(wire)], gzipped=True).lines, lines)


@given(lines=events, where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), wire_cuts=cuts)
def test_a_flipped_bit_in_the_framing_gives_no_wrong_line(
    lines: list[bytes], where: float, bit: int, wire_cuts: list[float]
) -> None:
    """A flipped bit in the framing gives correct lines, then a line that does not decode, an error or an early end."""
    wire = bytearray(wire_of(lines, gzipped=False))
    framing: list[int] = []
    at = 0
    for line in lines:
        head = len(b"%x\r\n" % (len(line) + 1))
        framing += range(at, at + head)
        at += head + len(line) + 1
        framing += [at, at + 1]
        at += 2
    framing += range(at, len(wire))
    wire[framing[int(where * len(framing))]] ^= 1 << bit
    assert_right_until_broken(Outcome(cut(bytes(wire), wire_cuts), gzipped=False).lines, lines)


@given(st.lists(st.binary(max_size=30), max_size=10), st.booleans())
def test_noise_raises_or_waits(pieces: list[bytes], gzipped: bool) -> None:
    """Random bytes give an error of a known type, or no lines."""
    outcome = Outcome(pieces, gzipped=gzipped)
    assert outcome.error is None or isinstance(outcome.error, (BrokenBodyError, zlib.error, LineTooLongError))


# Input that is made to cost time or memory


def test_ten_thousand_small_gzip_members_are_not_copied_again_and_again() -> None:
    """What follows a member is copied once, whatever the number of members in a read."""
    piece = gzip.compress(b"") * 25_000
    before = time.process_time()
    assert list(Gunzip().feed([piece])) == []
    assert time.process_time() - before < 1.5


def test_a_line_in_tiny_pieces_takes_the_memory_of_its_bytes() -> None:
    """A line in chunks of two bytes does not take 40 bytes for each of them."""
    lines = Lines(16 << 20)
    tracemalloc.start()
    try:
        for _ in range(200):
            assert list(lines.feed([bytes([120, at % 10]) for at in range(32, 5032)])) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(lines.rest()) == 2_000_000
    assert peak < 8_000_000

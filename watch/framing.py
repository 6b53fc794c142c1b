"""Takes a response's bytes apart, without I/O: HTTP's framing, gzip, and lines.

The bytes may come in pieces of any size. They pass through three parts: a `Body` takes off HTTP's framing, `Gunzip`
uncompresses, and `Lines` cuts the result into lines.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from watch.errors import WatchError

__all__ = [
    "DEFAULT_MAX_LINE_BYTES",
    "Body",
    "BrokenBodyError",
    "ChunkedBody",
    "Frames",
    "Gunzip",
    "LineTooLongError",
    "Lines",
    "PlainBody",
]

DEFAULT_MAX_LINE_BYTES = 16 * 1024 * 1024

# Bytes of a chunk's size line at most, with its extensions. It is usually some ten bytes long.
_MAX_SIZE_LINE = 4096
_MAX_SIZE_DIGITS = 16
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")
_LENGTH_BYTES = 4
# Bytes uncompressed per step: a small answer must not take all memory at once.
_GUNZIP_STEP = 1 << 20
# Compressed bytes that a new gzip member gets first, then twice as many each time. zlib copies the bytes after a member's end:
# with ten thousand small members in one read, each copy must not be as long as the read.
_GUNZIP_FIRST = 256


class BrokenBodyError(ConnectionError):
    """The body is not framed as HTTP requires. It is treated like a broken connection."""


class LineTooLongError(WatchError, ValueError):
    """A line, and so an event, is longer than accepted. `max_bytes` is the limit."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the server sent an event of more than {max_bytes} bytes: raise max_line_bytes to accept it")
        self.max_bytes = max_bytes

    def __reduce__(self) -> tuple[type[LineTooLongError], tuple[int]]:
        return LineTooLongError, (self.max_bytes,)


class Body(Protocol):
    """Takes HTTP's framing off a body."""

    ended: bool
    """Whether the body is complete."""
    clean: bool
    """Whether the body is complete and no bytes followed it, so that the connection can serve another request."""

    def feed(self, data: bytes) -> list[bytes]:
        """Takes bytes that were read, and returns the pieces of the body in them.

        Raises:
            BrokenBodyError: the framing is malformed.
        """
        ...


class PlainBody:
    """A body without framing.

    Args:
        length: its length in bytes; None where it ends with the connection.
    """

    def __init__(self, length: int | None = None) -> None:
        self._left = length
        self.ends_with_connection = length is None
        self.ended = length == 0
        self.clean = self.ended

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the bytes that belong to the body."""
        if self._left is None:
            return [data]
        self.clean = len(data) == self._left
        data = data[: self._left]
        self._left -= len(data)
        self.ended = self._left == 0
        return [data] if data else []


class ChunkedBody:
    """A body in chunks (`Transfer-Encoding: chunked`).

    Source: RFC 9112 section 7.1.
    """

    def __init__(self) -> None:
        self.ended = False
        self.clean = False
        self._held = b""  # an incomplete size line, a chunk's incomplete body, or a trailer
        self._wanted = 0  # bytes still to come of a chunk that is passed on in parts
        self._skip_line_end = False  # the CR LF after that chunk is still to come

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the chunks in the bytes. A chunk that has not arrived completely is passed on as far as it has."""
        pieces: list[bytes] = []
        if self._held:
            data, self._held = self._held + data, b""
        at, end = 0, len(data)
        while not self.ended:
            if self._wanted or self._skip_line_end:
                at = self._continue_chunk(data, at, pieces)
                if self._wanted or self._skip_line_end:
                    break
            line_end = data.find(b"\r\n", at, at + _MAX_SIZE_LINE)
            if line_end < 0:
                if end - at >= _MAX_SIZE_LINE:
                    raise BrokenBodyError("malformed chunked body: the line with a chunk's size is too long")
                break
            size = _chunk_size(data, at, line_end)
            body = line_end + 2
            after = body + size
            if size == 0:
                self.ended = True
                self.clean = data[body:] == b"\r\n"
            elif after + 2 <= end and data[after : after + 2] == b"\r\n":
                pieces.append(data[body:after])
                at = after + 2
            else:
                at, self._wanted = body, size
        if not self.ended:
            self._held = data[at:]
        return pieces

    def _continue_chunk(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Continues a chunk that began in earlier bytes; returns where the next one begins."""
        if self._wanted:
            piece = data[at : at + self._wanted]
            if piece:
                pieces.append(piece)
            at += len(piece)
            self._wanted -= len(piece)
            self._skip_line_end = not self._wanted
        if self._skip_line_end and len(data) - at >= 2:
            if data[at : at + 2] != b"\r\n":
                raise BrokenBodyError("malformed chunked body: a chunk is longer than its size")
            self._skip_line_end = False
            at += 2
        return at


def _chunk_size(data: bytes, start: int, end: int) -> int:
    digits = data[start:end]
    try:
        # The quick way. int() also accepts a sign, spaces, underscores and a leading 0x, so all else is checked below.
        if len(digits) <= _MAX_SIZE_DIGITS and digits.isalnum() and digits[0] != 0x30:
            return int(digits, 16)
        digits = digits.partition(b";")[0].strip(b" \t")
        if 0 < len(digits) <= _MAX_SIZE_DIGITS and _HEXADECIMAL.issuperset(digits):
            return int(digits, 16)
    except ValueError:
        pass
    # Not quoted: the bytes may be part of an object.
    raise BrokenBodyError(f"malformed chunked body: {len(digits)} bytes where a chunk's size is expected")


class Gunzip:
    """Uncompresses gzip. The stream may have several members: an API server may begin a new one with each flush."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._step = _GUNZIP_FIRST

    def feed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the uncompressed pieces, of at most 1 MiB each.

        Raises:
            zlib.error: the data is malformed.
        """
        for piece in pieces:
            at = 0
            while at < len(piece):
                given = piece[at : at + self._step]
                plain = self._member.decompress(given, _GUNZIP_STEP)
                if self._member.eof:
                    at += len(given) - len(self._member.unused_data)
                    self._member, self._step = zlib.decompressobj(wbits=31), _GUNZIP_FIRST
                else:
                    at += len(given) - len(self._member.unconsumed_tail)
                    self._step = min(2 * self._step, _GUNZIP_STEP)
                if plain:
                    yield plain


class Lines:
    """Cuts pieces of a body into lines.

    Args:
        max_bytes: the longest line accepted, in bytes, without its newline.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._begun = (
            bytearray()
        )  # an incomplete line, joined: each piece as an object of its own would take 40 bytes more

    def feed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the lines that the pieces complete. A line may still have its newline.

        Raises:
            LineTooLongError: a line is too long; the lines before it were yielded.
        """
        limit = self._max
        for piece in pieces:
            first = piece.find(b"\n")
            if first == len(piece) - 1 and not self._begun and first >= 0:
                # The usual case needs no copy: an API server sends each event as a chunk of its own.
                if first > limit:
                    raise LineTooLongError(limit)
                yield piece
                continue
            if first < 0:
                self._begin(piece)
                continue
            lines = piece.split(b"\n")
            if self._begun:
                self._begin(lines[0])
                lines[0] = bytes(self._begun)
                self._begun = bytearray()
            rest = lines.pop()
            for line in lines:
                if len(line) > limit:
                    raise LineTooLongError(limit)
                yield line
            if rest:
                self._begin(rest)

    def rest(self) -> bytes:
        """Returns what has come of an incomplete line."""
        return bytes(self._begun)

    def _begin(self, piece: bytes) -> None:
        if len(self._begun) + len(piece) > self._max:
            self._begun = bytearray()
            raise LineTooLongError(self._max)
        self._begun += piece


class Frames:
    """Cuts pieces of a body into frames. A frame is its length, in four bytes with the highest first, and that many bytes.

    Args:
        max_bytes: the longest frame accepted, in bytes.

    Source: apimachinery pkg/util/framer.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._held = bytearray()  # the beginning of an incomplete frame
        self._wanted = _LENGTH_BYTES  # bytes that `_held` needs before the length or the frame can be read

    def feed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the frames that the pieces complete.

        Raises:
            LineTooLongError: a frame is too long; the frames before it were yielded.
        """
        for piece in pieces:
            data = piece
            if self._held:
                self._held += piece
                if len(self._held) < self._wanted:
                    continue
                data = bytes(self._held)
                self._held = bytearray()
            at, end, self._wanted = 0, len(data), _LENGTH_BYTES
            while end - at >= _LENGTH_BYTES:
                size = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
                if size > self._max:
                    raise LineTooLongError(self._max)
                start = at + _LENGTH_BYTES
                if end - start < size:
                    self._wanted = _LENGTH_BYTES + size
                    break
                at = start + size
                yield data[start:at]
            if at < end:
                self._held += data[at:]

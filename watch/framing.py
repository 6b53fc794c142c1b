"""From what a server sends to lines: chunk framing, gzip and newlines taken off, without any I/O.

Comes in: bytes in whatever pieces a socket gives them. Goes out: whole lines. Three parts, each fed by the one before:
a `Body` takes off HTTP's framing, `Gunzip` the compression, `Lines` cuts.
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
    "Gunzip",
    "LineTooLongError",
    "Lines",
    "PlainBody",
]

DEFAULT_MAX_LINE_BYTES = 16 * 1024 * 1024

# A chunk's size line, extensions and line end included, is some ten bytes long.
_MAX_SIZE_LINE = 4096
_MAX_SIZE_DIGITS = 16
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")
# So much is uncompressed at a time, so that a small answer cannot claim all memory at once.
_GUNZIP_STEP = 1 << 20


class BrokenBodyError(ConnectionError):
    """What the server sent is not framed as HTTP asks: as bad as a broken connection."""


class LineTooLongError(WatchError, ValueError):
    """A line is longer than allowed."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the server sent an event of more than {max_bytes} bytes: raise max_line_bytes to accept it")
        self.max_bytes = max_bytes

    def __reduce__(self) -> tuple[type[LineTooLongError], tuple[int]]:
        return LineTooLongError, (self.max_bytes,)


class Body(Protocol):
    """Takes HTTP's framing off."""

    ended: bool
    """Whether the body is complete."""
    clean: bool
    """Whether nothing came behind the complete body, so that the connection can serve another request."""

    def feed(self, data: bytes) -> list[bytes]:
        """Takes what came and returns the pieces of the body in it; raises `BrokenBodyError`."""
        ...


class PlainBody:
    """A body without framing: so many bytes, or (None) up to the connection's end."""

    def __init__(self, length: int | None = None) -> None:
        self._left = length
        self.ends_with_connection = length is None
        self.ended = length == 0
        self.clean = self.ended

    def feed(self, data: bytes) -> list[bytes]:
        """See `Body.feed`."""
        if self._left is None:
            return [data]
        self.clean = len(data) == self._left
        data = data[: self._left]
        self._left -= len(data)
        self.ended = self._left == 0
        return [data] if data else []


class ChunkedBody:
    """A body in chunks.

    Source: RFC 9112 section 7.1.
    """

    def __init__(self) -> None:
        self.ended = False
        self.clean = False
        self._held = b""  # an incomplete size line, a chunk's incomplete body, or a trailer
        self._wanted = 0  # bytes of a large chunk's body still to come, passed on as they come
        self._skip_line_end = False  # the CR LF behind that body has to be taken off

    def feed(self, data: bytes) -> list[bytes]:
        """See `Body.feed`; a chunk that has not come whole is passed on as far as it has."""
        pieces: list[bytes] = []
        if self._held:
            data, self._held = self._held + data, b""
        at, end = 0, len(data)
        while not self.ended:
            if self._wanted or self._skip_line_end:
                at = self._go_on(data, at, pieces)
                if self._wanted or self._skip_line_end:
                    break
            line_end = data.find(b"\r\n", at, at + _MAX_SIZE_LINE)
            if line_end < 0:
                if end - at >= _MAX_SIZE_LINE:
                    raise BrokenBodyError("a chunk does not say its size")
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

    def _go_on(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Goes on with a chunk that did not come whole; returns how far."""
        if self._wanted:
            piece = data[at : at + self._wanted]
            if piece:
                pieces.append(piece)
            at += len(piece)
            self._wanted -= len(piece)
            self._skip_line_end = not self._wanted
        if self._skip_line_end and len(data) - at >= 2:
            if data[at : at + 2] != b"\r\n":
                raise BrokenBodyError("a chunk is longer than it said")
            self._skip_line_end = False
            at += 2
        return at


def _chunk_size(data: bytes, start: int, end: int) -> int:
    digits = data[start:end]
    try:
        # int() would also take signs, spaces, underscores and a 0x in front, none of which is a size; nearly no size has
        # any of those, nor a 0 in front.
        if len(digits) <= _MAX_SIZE_DIGITS and digits.isalnum() and digits[0] != 0x30:
            return int(digits, 16)
        digits = digits.partition(b";")[0].strip(b" \t")
        if 0 < len(digits) <= _MAX_SIZE_DIGITS and _HEXADECIMAL.issuperset(digits):
            return int(digits, 16)
    except ValueError:
        pass
    # What stands there may be part of an object: not quoted.
    raise BrokenBodyError(f"{len(digits)} bytes stand where a chunk's size should be")


class Gunzip:
    """Uncompresses a stream of gzip members: an API server may begin a new one with each flush."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    def feed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Takes compressed pieces and gives uncompressed ones, some at a time; raises `zlib.error`."""
        for piece in pieces:
            data = piece
            while data:
                plain = self._member.decompress(data, _GUNZIP_STEP)
                if plain:
                    yield plain
                if self._member.eof:
                    data = self._member.unused_data
                    self._member = zlib.decompressobj(wbits=31)
                else:
                    data = self._member.unconsumed_tail


class Lines:
    """Cuts pieces of a body into lines.

    Args:
        max_bytes: the longest line allowed, without its newline.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._begun: list[bytes] = []  # pieces of a line that has not ended yet
        self._begun_bytes = 0

    def feed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Takes pieces and gives the lines that they complete; a line may still have its newline.

        Raises:
            LineTooLongError: a line is too long; what came before it was given.
        """
        limit = self._max
        for piece in pieces:
            first = piece.find(b"\n")
            if first == len(piece) - 1 and not self._begun and first >= 0:
                # The usual case: an API server sends each event as a chunk of its own. No copy.
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
                lines[0] = b"".join(self._begun)
                self._begun, self._begun_bytes = [], 0
            rest = lines.pop()
            for line in lines:
                if len(line) > limit:
                    raise LineTooLongError(limit)
                yield line
            if rest:
                self._begin(rest)

    def _begin(self, piece: bytes) -> None:
        self._begun_bytes += len(piece)
        if self._begun_bytes > self._max:
            self._begun = []
            raise LineTooLongError(self._max)
        self._begun.append(piece)

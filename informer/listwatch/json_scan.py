"""Finds the strings and brackets of JSON that is received in pieces. No I/O."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from watch.request_scope import check_cancelled

__all__ = ["JSONScan", "QUOTE"]

QUOTE = 0x22
_TOKENS_PER_CHECK = 10_000
_MARK = re.compile(rb'["{}\[\]]')
# Possessive quantifiers keep no positions to backtrack to, so that a string of escapes takes no memory.
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class JSONScan:
    """Reads JSON once, from left to right. When more bytes have arrived, it continues where the bytes ended before.

    Whatever the bytes are, it takes time in proportion to their number, and a few bytes of memory.
    """

    def __init__(self) -> None:
        self._read = 0  # the bytes that have been read
        self._string = -1  # where the string begins that has not ended; -1 outside of strings

    def tokens(self, buffer: bytes, begin: int) -> Iterator[tuple[int, int, int]]:
        """Yields each complete string and bracket, as its first byte, its start and its end.

        Args:
            buffer: the bytes received so far. A later call may pass more bytes at the end, and different ones before `begin`.
            begin: where the JSON begins in `buffer`.

        Raises:
            RequestCancelledError: the request's scope was cancelled.
        """
        at = begin + self._read
        for count in itertools.count(1):
            if count % _TOKENS_PER_CHECK == 0:
                check_cancelled()
            if self._string < 0:
                found = _MARK.search(buffer, at)
                if found is None:
                    self._read = len(buffer) - begin
                    return
                start, at = found.span()
                self._read = at - begin
                if buffer[start] != QUOTE:
                    yield buffer[start], start, at
                    continue
                self._string = start - begin
            inside = _IN_STRING.match(buffer, at)
            at = at if inside is None else inside.end()
            self._read = at - begin
            if at >= len(buffer) or buffer[at] != QUOTE:
                return
            start, at = begin + self._string, at + 1
            self._read, self._string = at - begin, -1
            yield QUOTE, start, at

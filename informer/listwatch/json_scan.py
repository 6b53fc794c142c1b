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
# Possessive: what has matched is not remembered, so that a string of escapes takes no memory.
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class JSONScan:
    """Reads JSON once, from left to right, and goes on where the bytes received so far have ended.

    It costs time in proportion to the bytes, and a few bytes of memory, whatever the bytes are.
    """

    def __init__(self) -> None:
        self._read = 0  # the bytes that have been read
        self._string = -1  # where the string begins that has not ended; -1 outside of strings

    def tokens(self, buffer: bytes, begin: int) -> Iterator[tuple[int, int, int]]:
        """Yields each string and bracket that is complete: its first byte, where it begins, and where it ends.

        Cancelling the request's scope ends it, with RequestCancelledError.

        Args:
            buffer: what has been received. A later call may have more bytes at its end, and other bytes before `begin`.
            begin: where the JSON begins.
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

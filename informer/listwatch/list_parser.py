"""A list's JSON taken apart while it comes: each item as soon as it is there, never the whole answer in memory.

Comes in: pieces of a body. Goes out: items, and at the end what the list says of itself. No I/O.

An item ends where what follows its first byte is one complete JSON value, and that place is unique. Likely places are
those where the next item seems to begin; decoding the item, which has to be done in any case, tells whether it was one.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from informer.errors import TooManyObjectsError
from informer.transport.response_body import SILENCE, body_pieces
from watch.byte_source import NotReadyError
from watch.errors import RequestCancelledError
from watch.framing import LineTooLongError
from watch.request_scope import current_scope

__all__ = ["ListFraming", "read_items"]

_ITEMS = re.compile(rb'"items"[ \t\r\n]*:[ \t\r\n]*\[')
_SPACE = b" \t\r\n"
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]', re.DOTALL)
_CLOSED_BY = {0x7B: 0x7D, 0x5B: 0x5D}
_FIRST_KEYS = re.compile(rb'\{"[^"\\]+":(?:\{"[^"\\]+":|"[^"\\]*","[^"\\]+":|)')
_skip_over = msgspec.json.Decoder(msgspec.Raw).decode
# After so many likely places that were none, the item is read token by token.
_MAX_TRIES = 16


class ListFraming:
    """Takes a list apart.

    Args:
        decode: makes an item of its JSON, given the items' apiVersion and kind; raises ValueError for what is not one
            JSON object, and for nothing else.
        max_item_bytes: the longest item allowed.
        on_bad_item: makes an item of what is one in JSON's grammar but does not decode, given its bytes and why. One bad
            object must not keep all the others away.
        item_type: the items' apiVersion and kind, where the list does not tell them before it comes to its items.
    """

    def __init__(
        self,
        decode: Callable[[bytes, str, str], Any],
        max_item_bytes: int,
        *,
        on_bad_item: Callable[[bytes, Exception], Any],
        item_type: tuple[str, str] = ("", ""),
    ) -> None:
        self._decode = decode
        self._max = max_item_bytes
        self._on_bad_item = on_bad_item
        self._buffer = b""
        self._head: bytes | None = None  # what stands before the items
        self._tail: list[bytes] | None = None  # what stands behind them, once they are through
        self._tail_bytes = 0
        self._expected = b"{]"  # with what may the items go on
        self._separator = b""
        self._searched = 0  # up to here in the buffer nothing that is searched for begins
        self._scan_from = 0  # an item that has to be read by tokens is not tried again before so many bytes of it came
        self.api_version, self.kind = item_type
        self.metadata: dict[str, Any] = {}

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Takes a piece and gives the items that it completes.

        Raises:
            LineTooLongError: an item is too long.
            ValueError: it is no list.
        """
        if self._tail is not None:
            self._tail.append(piece)
            self._tail_bytes += len(piece)
            if self._tail_bytes > self._max:
                raise LineTooLongError(self._max)
            return
        self._buffer = self._buffer + piece if self._buffer else piece
        if self._head is None and not self._find_items():
            if len(self._buffer) > self._max:
                raise LineTooLongError(self._max)
            return
        yield from self._items()

    def finish(self) -> list[Any]:
        """Says that nothing more comes; returns the items that were still held back.

        Raises:
            ValueError: the list is not complete, or is no list.
        """
        if self._head is None:
            return self._finish_without_items()
        items = [*self._items(last=True)]
        if self._tail is None:
            raise ValueError("the list ended within its items")
        tail = b"".join(self._tail)
        whole = _decode(self._head + b'"items":null' + tail)
        if "items" in _decode(b'{"":null' + tail):
            raise ValueError("the server's list has its items twice")
        # What the head said may be said again behind the items, and then that counts.
        self.metadata = {}
        self._describe(whole)
        return items

    def _find_items(self) -> bool:
        """Looks for the beginning of the items; a lookalike deeper inside is told by what stands before it."""
        for found in _ITEMS.finditer(self._buffer, self._searched):
            self._searched = found.end()
            head = self._buffer[: found.start()]
            try:
                described = msgspec.json.decode(head + b'"items":null}')
            except (ValueError, msgspec.DecodeError, RecursionError):
                continue
            self._describe(described)
            self._head = head
            self._buffer, self._searched = self._buffer[found.end() :], 0
            return True
        self._searched = max(self._searched, self._buffer.rfind(b'"items"'), 0)
        return False

    def _items(self, *, last: bool = False) -> Iterator[Any]:
        buffer, at = self._buffer, 0
        self._buffer = b""
        try:
            while True:
                at = _skip(buffer, at, _SPACE)
                if at >= len(buffer):
                    return
                byte = buffer[at]
                if byte not in self._expected:
                    raise ValueError(f"the list's items are not all objects, with commas between: {chr(byte)!r} came")
                if byte == 0x2C:  # ,
                    self._expected = b"{"
                    at += 1
                    continue
                if byte == 0x5D:  # ]
                    self._tail = [buffer[at + 1 :]]
                    at = len(buffer)
                    return
                item, end = self._next_item(buffer, at, last=last)
                if end < 0:
                    return
                self._expected = b",]"
                yield item
                at = end
                self._searched = self._scan_from = 0
        finally:
            self._buffer = buffer[at:]

    def _next_item(self, buffer: bytes, at: int, *, last: bool) -> tuple[Any, int]:
        """The item that begins at a place, and where it ends; -1 while that has not come."""
        if not self._separator:
            first = _FIRST_KEYS.match(buffer, at)
            self._separator = b"}," + first[0] if first is not None else b"},{"
        length = len(buffer) - at
        if not self._scan_from:
            search = at + self._searched
            for _ in range(_MAX_TRIES):
                found = buffer.find(self._separator, search)
                if found < 0:
                    break
                item = self._try(buffer[at : found + 1])
                if item is not None:
                    return item, found + 1
                search = found + 1
            else:
                self._scan_from = length
        if last or length > self._max or self._scan_from:
            return self._scan(buffer, at, last=last)
        self._searched = max(0, length - len(self._separator))
        return None, -1

    def _scan(self, buffer: bytes, at: int, *, last: bool) -> tuple[Any, int]:
        """Reads an item by its tokens, where that is worth it by now."""
        length = len(buffer) - at
        if not last and length < self._scan_from:
            return None, -1
        item, end = self._by_tokens(buffer, at)
        if end < 0:
            if length > self._max:
                raise LineTooLongError(self._max)
            # Twice as much each time, so that all the scans together cost no more than two of the whole.
            self._scan_from = min(2 * length, self._max + 1)
        return item, end

    def _try(self, raw: bytes) -> Any:
        try:
            return self._decode(raw, self.api_version, self.kind)
        except ValueError:
            return None

    def _by_tokens(self, buffer: bytes, at: int) -> tuple[Any, int]:
        """The slow and sure way: counts brackets outside strings."""
        open_brackets = bytearray()
        for token in _TOKEN.finditer(buffer, at):
            byte = buffer[token.start()]
            if byte == 0x22:  # "
                if token.end() == token.start() + 1:
                    break  # its end has not come
                continue
            if byte in _CLOSED_BY:
                open_brackets.append(_CLOSED_BY[byte])
            elif open_brackets.pop() != byte:
                raise ValueError("the server's list is not JSON: the brackets of an item do not match")
            if not open_brackets:
                end = token.end()
                if end - at > self._max:
                    raise LineTooLongError(self._max)
                raw = buffer[at:end]
                try:
                    return self._decode(raw, self.api_version, self.kind), end
                except ValueError as error:
                    _check_grammar(raw)
                    return self._on_bad_item(raw, error), end
        return None, -1

    def _finish_without_items(self) -> list[Any]:
        """A list whose items are null or missing, or something else altogether."""
        whole = _decode(self._buffer)
        self._describe(whole)
        if whole.get("items") is not None:
            raise ValueError("the list's items are no list")
        if "items" not in whole and not self.metadata.get("resourceVersion"):
            # Taken for an empty list it would empty the cache.
            raise ValueError("the server's answer has neither items nor a resourceVersion: it is no list")
        return []

    def _describe(self, whole: Any) -> None:
        if not isinstance(whole, dict):
            raise ValueError(f"the server answered with a {type(whole).__name__}, not a list")
        kind, api_version, metadata = whole.get("kind"), whole.get("apiVersion"), whole.get("metadata")
        if kind == "Table":
            raise ValueError(f"unsupported list gvk: {api_version}, Kind=Table (a list of objects is needed)")
        if kind == "Status":
            raise ValueError(f"the server answered with a Status, not a list: {whole.get('message')}")
        if isinstance(kind, str) and isinstance(api_version, str):
            self.api_version = api_version
            self.kind = kind.removesuffix("List")
        if isinstance(metadata, dict):
            self.metadata = metadata


def read_items(response: Any, framing: ListFraming, what: str) -> list[Any]:
    """Reads a page of a list and returns its items.

    Args:
        response: an urllib3 response whose body was not read.
        framing: takes the body apart.
        what: is listed, for messages.

    Raises:
        ConnectionError: the connection broke.
        TooManyObjectsError: there are more items than the request's scope allows.
        ValueError: the answer is no list.
    """
    items: list[Any] = []
    try:
        _read_items(response, framing, what, items)
    except BaseException:
        # The error's frames stay for as long as somebody shows it, and with them what came.
        items.clear()
        raise
    return items


def _read_items(response: Any, framing: ListFraming, what: str, items: list[Any]) -> None:
    scope = current_scope()
    most = None if scope is None else scope.max_objects
    with contextlib.closing(body_pieces(response, None)) as pieces:
        try:
            for piece in pieces:
                items.extend(framing.feed(piece))
                if most is not None and len(items) > most:
                    raise TooManyObjectsError(most)
        except RequestCancelledError:
            raise
        except NotReadyError as error:
            raise ConnectionError(f"the list of {what} stood still for {SILENCE:.0f} s") from error
        except OSError as error:
            raise ConnectionError(f"the list of {what} broke off") from error
    items.extend(framing.finish())


def _skip(buffer: bytes, at: int, which: bytes) -> int:
    while at < len(buffer) and buffer[at] in which:
        at += 1
    return at


def _check_grammar(raw: bytes) -> None:
    """Refuses what is no JSON, of which nobody knows what it was: it may have swallowed other items."""
    try:
        _skip_over(raw)
    except msgspec.DecodeError as error:
        raise ValueError(f"the server's list is not JSON: {error}") from None
    except RecursionError:
        # Its brackets match.
        pass


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the server's list is not complete JSON: {error}") from None

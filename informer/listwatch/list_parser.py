"""Splits a list's JSON into items while it is received, so that the whole answer is never in memory.

An item ends at the only place where the bytes since its beginning are one complete JSON value. The parser looks for places
where the next item seems to begin; decoding the item, which is needed anyway, tells whether the place was right. No I/O,
except in `read_items`.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from informer.errors import TooManyObjectsError
from informer.listwatch.json_scan import QUOTE, JSONScan
from informer.transport.answers import PROXY_HINT, content_type_of
from informer.transport.response_body import SILENCE, body_pieces
from watch.byte_source import NotReadyError
from watch.errors import RequestCancelledError
from watch.framing import LineTooLongError
from watch.printable import printable, quoted_beginning
from watch.request_scope import check_cancelled

__all__ = ["ListParser", "read_items"]

_SPACE = b" \t\r\n"
_CLOSED_BY = {0x7B: 0x7D, 0x5B: 0x5D}
# The bounds are above the lengths of names in the API.
_FIRST_KEYS = re.compile(rb'\{"[^"\\]{1,64}+":(?:\{"[^"\\]{1,64}+":|"[^"\\]{0,256}+","[^"\\]{1,64}+":|)')
_skip_over = msgspec.json.Decoder(msgspec.Raw).decode
# After this number of wrong guesses at the end of an item, the item is read token by token. Once the wrong guesses of a list
# have read this many times the bytes that were received, all further items are read token by token.
_MAX_TRIES = 16
# The most strings and brackets outside the items. This JSON is decoded as a whole, and each empty array takes 64 bytes.
_MAX_TOKENS = 100_000
_MAX_DEPTH = 100
# Received bytes are joined to the incomplete item once they are a sixteenth of it. So if bytes arrive in tiny pieces, the item
# is not copied for each of them.
_GROWTH = 16
_ITEMS_PER_CHECK = 1000


class ListParser:
    """Parses one list: takes pieces of its JSON, and yields the items that they complete.

    Args:
        decode: called with an item's bytes and the apiVersion and kind of the items; returns the item. It raises ValueError
            if the bytes are not exactly one JSON object, and for no other reason.
        max_item_bytes: the longest accepted item, in bytes.
        on_bad_item: called with the bytes and the error of an item that is valid JSON but does not decode; returns what
            takes its place. So one bad object does not fail the whole list.
        item_type: the apiVersion and kind of the items, if the list does not state them before its items.

    Attributes:
        api_version: of the items, "" if unknown.
        kind: of the items, "" if unknown.
        metadata: the list's metadata; complete after `last_items`.
    """

    first_bytes = b"{"

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
        self._pending = bytearray()  # received after the buffer
        self._received = 0
        self._wasted = 0  # bytes read by wrong guesses
        self._head: bytes | None = None  # the JSON before the items; None until they begin
        self._tail: bytearray | None = None  # the JSON after the items; None until they end
        self._expected = b"{]"  # the bytes that may come next between items
        self._separator = b""
        self._searched = 0  # where the search for the end of the item continues, from its beginning
        self._tries = 0  # wrong guesses at the end of the item
        self._first_try = 0  # the count of wrong guesses at which a new item begins
        # The scan of the head, later of an item that is read by tokens, and the brackets that close those that are open.
        self._scan, self._open = JSONScan(), bytearray()
        self._key = (0, 0)  # the last string of the head, unless a bracket follows it
        self._tokens = 0  # strings and brackets outside of the items
        self.api_version, self.kind = item_type
        self.metadata: dict[str, Any] = {}

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Parses a piece of the list and yields the items that it completes.

        Raises:
            LineTooLongError: an item, or the JSON before or after the items, is too long.
            ValueError: the JSON is not a list of objects.
        """
        self._received += len(piece)
        if self._tail is not None:
            self._tail += piece
            if len(self._tail) > self._max:
                raise LineTooLongError(self._max)
            return
        if self._pending or len(piece) * _GROWTH < len(self._buffer):
            self._pending += piece
            if len(self._pending) * _GROWTH < len(self._buffer):
                return
            piece = self._take_pending()
        elif self._buffer:
            piece = self._buffer + piece
        self._buffer = piece
        if self._head is None and not self._find_items():
            if len(self._buffer) > self._max:
                raise LineTooLongError(self._max)
            return
        yield from self._items()

    def _take_pending(self) -> bytes:
        joined = self._buffer + self._pending
        self._pending = bytearray()
        return joined

    def last_items(self) -> Iterator[Any]:
        """Ends the list and yields the items that were not yet yielded.

        Raises:
            ValueError: the list is incomplete, or is not a list.
        """
        self._buffer = self._take_pending()
        if self._head is None and not self._find_items():
            self._finish_without_items()
            return
        yield from self._items(last=True)
        if self._head is None or self._tail is None:
            raise ValueError("the server's list ended within its items")
        tail = bytes(self._tail)
        for _ in JSONScan().tokens(tail, 0):
            self._count_token()
        whole = _decode(self._head + b'"items":null' + tail)
        if "items" in _decode(b'{"":null' + tail):
            raise ValueError("the server's list has its items twice")
        # A key may occur before and after the items; then the later value counts.
        self.metadata = {}
        self._describe(whole)

    def _find_items(self) -> bool:
        """Finds the beginning of the items: an array of the outermost object whose key is "items"."""
        buffer, is_open = self._buffer, self._open
        for byte, start, end in self._scan.tokens(buffer, 0):
            self._count_token()
            if byte == QUOTE:
                self._key = (start, end)
                continue
            # Only the first bracket after a string can begin its value.
            key, self._key = self._key, (0, 0)
            if byte not in _CLOSED_BY:
                if not is_open or is_open.pop() != byte:
                    raise ValueError("the server's list is not JSON: mismatched brackets before its items")
            elif byte == 0x5B and is_open == b"}" and self._begins_items(key, start):  # [
                head = buffer[: key[0]]
                self._describe(_decode(head + b'"items":null}'))
                self._head = head
                self._buffer = buffer[end:]
                self._scan, self._open = JSONScan(), bytearray()
                return True
            else:
                is_open.append(_CLOSED_BY[byte])
                if len(is_open) > _MAX_DEPTH:
                    raise ValueError(f"the server's list is nested more than {_MAX_DEPTH} levels before its items")
        return False

    def _count_token(self) -> None:
        self._tokens += 1
        if self._tokens > _MAX_TOKENS:
            raise ValueError(f"the server's list has more than {_MAX_TOKENS} strings and brackets outside of its items")

    def _begins_items(self, key: tuple[int, int], bracket: int) -> bool:
        """Returns whether the array that begins at `bracket` has the key "items"; `key` is where a string stands before it."""
        start, end = key
        return self._buffer[start:end] == b'"items"' and self._buffer[end:bracket].strip(_SPACE) == b":"

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
                    raise ValueError(f"the server's list must have objects separated by commas; it has {chr(byte)!r}")
                if byte == 0x2C:  # ,
                    self._expected = b"{"
                    at += 1
                    continue
                if byte == 0x5D:  # ]
                    self._tail = bytearray(memoryview(buffer)[at + 1 :])
                    at = len(buffer)
                    return
                item, end = self._next_item(buffer, at, last=last)
                if end < 0:
                    return
                self._expected = b",]"
                yield item
                at = end
                self._searched, self._tries = 0, self._first_try
        finally:
            self._buffer = buffer[at:]

    def _next_item(self, buffer: bytes, at: int, *, last: bool) -> tuple[Any, int]:
        """Returns the item that begins at `at`, and where it ends; -1 if its end has not been received."""
        if not self._separator:
            first = _FIRST_KEYS.match(buffer, at)
            self._separator = b"}," + first[0] if first is not None else b"},{"
        length = len(buffer) - at
        search = at + self._searched
        while self._tries < _MAX_TRIES:
            found = buffer.find(self._separator, search)
            if found < 0:
                if not last and length <= self._max:
                    self._searched = max(0, length - len(self._separator))
                    return None, -1
                # Nearly always, only brackets follow the last item.
                end = buffer.rfind(b"}]", at) + 1
                item = self._try(buffer[at:end]) if last and 0 < end <= at + self._max else None
                if item is not None:
                    return item, end
                self._guessed_wrong(length)
                break
            item = self._try(buffer[at : found + 1])
            if item is not None:
                return item, found + 1
            search = found + 1
            self._searched = search - at
            self._guessed_wrong(search - at)
        self._tries = _MAX_TRIES  # from now on, this item is read by its tokens
        item, end = self._by_tokens(buffer, at)
        if end < 0 and length > self._max:
            raise LineTooLongError(self._max)
        return item, end

    def _guessed_wrong(self, cost: int) -> None:
        self._tries += 1
        self._wasted += cost
        if self._wasted > _MAX_TRIES * self._received:
            self._first_try = self._tries = _MAX_TRIES

    def _try(self, raw: bytes) -> Any:
        try:
            return self._decode(raw, self.api_version, self.kind)
        except ValueError:
            return None

    def _by_tokens(self, buffer: bytes, at: int) -> tuple[Any, int]:
        """Finds the end of an item by counting the brackets outside strings: slow, but always right."""
        open_brackets = self._open
        for byte, _, end in self._scan.tokens(buffer, at):
            if byte == QUOTE:
                continue
            if byte in _CLOSED_BY:
                open_brackets.append(_CLOSED_BY[byte])
            elif open_brackets.pop() != byte:
                raise ValueError("the server's list is not JSON: mismatched brackets in an item")
            if not open_brackets:
                self._scan = JSONScan()
                if end - at > self._max:
                    raise LineTooLongError(self._max)
                raw = buffer[at:end]
                try:
                    return self._decode(raw, self.api_version, self.kind), end
                except ValueError as error:
                    _check_grammar(raw)
                    return self._on_bad_item(raw, error), end
        return None, -1

    def _finish_without_items(self) -> None:
        """Ends a list whose items are null or missing, or an answer that is not a list."""
        whole = _decode(self._buffer)
        self._describe(whole)
        if whole.get("items") is not None:
            raise ValueError("the server's answer has items that are not an array")
        if "items" not in whole and not self.metadata.get("resourceVersion"):
            # Read as an empty list, it would empty the cache.
            raise ValueError(
                f"the server's answer is not a list: it has neither items nor a resourceVersion ({PROXY_HINT})"
            )

    def _describe(self, whole: Any) -> None:
        if not isinstance(whole, dict):
            raise ValueError(f"the server answered with a {type(whole).__name__}, not a list")
        kind, api_version, metadata = whole.get("kind"), whole.get("apiVersion"), whole.get("metadata")
        if kind == "Table":
            table = f"{printable(str(api_version))}, Kind=Table"
            raise ValueError(f"unsupported list gvk: {table} (a list of objects was requested)")
        if kind == "Status":
            raise ValueError(
                f"the server answered with a Status, not a list: {printable(str(whole.get('message')), 300)}"
            )
        if isinstance(kind, str) and isinstance(api_version, str):
            self.api_version = api_version
            self.kind = kind.removesuffix("List")
        if isinstance(metadata, dict):
            self.metadata = metadata


class ItemParser(Protocol):
    """A parser of one list; see `ListParser`."""

    first_bytes: bytes
    """The bytes with which a list in its format may begin."""

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Parses a piece of the list and yields the items that it completes."""
        ...

    def last_items(self) -> Iterator[Any]:
        """Ends the list and yields the items that were not yet yielded."""
        ...


def read_items(response: Any, parser: ItemParser, what: str, max_objects: int | None = None) -> list[Any]:
    """Reads one page of a list and returns its items.

    Args:
        response: the urllib3 response; its body has not been read.
        parser: the parser of the list.
        what: the resource, for messages.
        max_objects: the most items that are accepted; None for no limit.

    Raises:
        ConnectionError: the connection broke, or the server sent nothing for `SILENCE` seconds.
        RequestCancelledError: the scope of the request was cancelled.
        TooManyObjectsError: the page has more than `max_objects` items.
        ValueError: the answer is not a list, or an item is too long.
    """
    items: list[Any] = []
    try:
        _read_items(response, parser, what, max_objects, items)
    except BaseException:
        # The traceback keeps this list alive for as long as the error is kept, for example by a log handler.
        items.clear()
        raise
    return items


def _read_items(response: Any, parser: ItemParser, what: str, max_objects: int | None, items: list[Any]) -> None:
    head = b""
    with contextlib.closing(body_pieces(response, None)) as pieces:
        try:
            for piece in pieces:
                if not head:
                    head = piece.lstrip()
                    if head and head[0] not in parser.first_bytes:
                        raise ValueError(_describe_foreign(response, head))
                _take(parser.feed(piece), items, max_objects)
        except RequestCancelledError:
            raise
        except NotReadyError as error:
            raise ConnectionError(f"failed to list {what}: the server sent nothing for {SILENCE:.0f} s") from error
        except OSError as error:
            raise ConnectionError(f"failed to list {what}: the connection broke before the end of the list") from error
    if not head:
        raise ValueError(f"{_asked(response)} was answered with an empty body, not with a list ({PROXY_HINT})")
    _take(parser.last_items(), items, max_objects)


def _describe_foreign(response: Any, head: bytes) -> str:
    """What an answer is that does not begin as a list does."""
    kind = content_type_of(response)
    named = f"something of type {kind} that is not a list" if kind else "something that is not a list"
    return f"{_asked(response)} was answered with {named} in JSON ({PROXY_HINT}){quoted_beginning(head)}"


def _asked(response: Any) -> str:
    """Method and address of the request, as a `Transport` has noted them."""
    return str(getattr(response, "asked", "the request"))


def _take(parsed: Iterator[Any], items: list[Any], max_objects: int | None) -> None:
    """Adds parsed items to `items`; stops between them if the request is cancelled or there are too many."""
    before = -1
    while before < len(items):
        before = len(items)
        items.extend(itertools.islice(parsed, _ITEMS_PER_CHECK))
        if max_objects is not None and len(items) > max_objects:
            raise TooManyObjectsError(max_objects)
        check_cancelled()


def _skip(buffer: bytes, at: int, which: bytes) -> int:
    while at < len(buffer) and buffer[at] in which:
        at += 1
    return at


def _check_grammar(raw: bytes) -> None:
    """Refuses bytes that are not JSON: they may contain the items that follow."""
    try:
        _skip_over(raw)
    except msgspec.DecodeError as error:
        raise ValueError(f"the server's list is not JSON: {error}") from None
    except RecursionError:
        # Too deep for msgspec; the caller has checked that the brackets match.
        pass


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise ValueError("the server's list is nested too deeply to decode: what stands outside its items") from None
    except (ValueError, msgspec.DecodeError) as error:
        raise ValueError(f"the server's list is not complete JSON: {error}") from None

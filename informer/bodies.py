"""Bodies of answers, read to their end: a list's items, or a few bytes of JSON.

Comes in: a response whose body was not read. Goes out: its pieces, uncompressed; reading stops when the scope of the request
is cancelled. The connection goes back to its pool when the body was read to its end, or else is closed.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Generator
from typing import Any

import urllib3

from informer.errors import TooManyObjectsError
from informer.list_framing import ListFraming
from watch.byte_source import NotReadyError, byte_source
from watch.errors import RequestCancelledError
from watch.framing import Gunzip
from watch.request_scope import current_scope

__all__ = ["read_body", "read_items"]

# A list that stands still for so many seconds has lost its server.
_SILENCE = 60.0


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
    with contextlib.closing(_pieces(response, None)) as pieces:
        try:
            for piece in pieces:
                items.extend(framing.feed(piece))
                if most is not None and len(items) > most:
                    raise TooManyObjectsError(most)
        except RequestCancelledError:
            raise
        except NotReadyError as error:
            raise ConnectionError(f"the list of {what} stood still for {_SILENCE:.0f} s") from error
        except OSError as error:
            raise ConnectionError(f"the list of {what} broke off") from error
    items.extend(framing.finish())


def read_body(response: Any, *, max_bytes: int, within: float) -> tuple[bytes, bool]:
    """Reads a small body.

    Args:
        response: an urllib3 response whose body was not read.
        max_bytes: so many bytes are enough; the rest is not waited for.
        within: seconds for all of it.

    Returns:
        What came, and whether that is all.
    """
    body = b""
    with contextlib.closing(_pieces(response, within)) as pieces:
        try:
            for piece in pieces:
                body += piece
                if len(body) > max_bytes:
                    return body[:max_bytes], False
        except RequestCancelledError:
            raise
        except OSError:
            return body, False
    return body, True


def _pieces(response: Any, within: float | None) -> Generator[bytes]:
    """The pieces of a body; raises OSError where it breaks off, `NotReadyError` where nothing comes."""
    scope = current_scope()
    source = byte_source(response)
    deadline = None if within is None else time.monotonic() + within
    withdraw = None
    try:
        if scope is not None:
            withdraw = scope.on_cancel(source.close)
        gunzip = Gunzip() if source.gzipped else None
        while pieces := source.read(_SILENCE if deadline is None else max(0.0, deadline - time.monotonic())):
            # A server sends a list in many small chunks: the framing is fed once a read.
            joined = pieces if len(pieces) == 1 else [b"".join(pieces)]
            yield from joined if gunzip is None else gunzip.feed(joined)
    except OSError:
        raise
    except (EOFError, urllib3.exceptions.HTTPError, zlib.error) as error:
        raise ConnectionError(f"the answer broke off: {type(error).__name__}") from error
    finally:
        if withdraw is not None:
            withdraw()
        source.close()

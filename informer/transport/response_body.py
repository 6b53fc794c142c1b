"""Reads the body of a response: whole, when it is small, or piece by piece.

Cancelling the request's scope ends a read. A connection whose body was read to its end returns to its pool; any other is
closed.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Generator
from typing import Any

import msgspec
import urllib3

from watch.byte_source import byte_source
from watch.deep_json import decode_levels
from watch.errors import RequestCancelledError
from watch.framing import Gunzip
from watch.request_scope import current_scope

__all__ = ["SILENCE", "body_pieces", "decode_object", "read_body"]

SILENCE = 60.0
"""Seconds without a byte after which a body without a deadline is given up."""


def read_body(response: Any, *, max_bytes: int, within: float) -> tuple[bytes, bool]:
    """Reads a small body.

    Args:
        response: an urllib3 response with an unread body.
        max_bytes: the most bytes to return; the rest is not read.
        within: seconds for the whole body.

    Returns:
        The bytes that arrived, and whether they are the complete body.

    Raises:
        RequestCancelledError: the request's scope was cancelled.
    """
    body = bytearray()
    with contextlib.closing(body_pieces(response, within)) as pieces:
        try:
            for piece in pieces:
                body += piece
                if len(body) > max_bytes:
                    return bytes(body[:max_bytes]), False
        except RequestCancelledError:
            raise
        except OSError:
            return bytes(body), False
    return bytes(body), True


def decode_object(body: bytes) -> Any:
    """Decodes an object. What is nested too deeply in it, such as managedFields that a client made so, stays `msgspec.Raw`.

    Raises:
        msgspec.DecodeError: the body is not JSON.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        return decode_levels(body, 2)


def body_pieces(response: Any, within: float | None) -> Generator[bytes]:
    """Yields the pieces of a body, uncompressed.

    Args:
        response: an urllib3 response with an unread body.
        within: seconds for the whole body; None limits only the wait for each piece, to `SILENCE`.

    Raises:
        NotReadyError: no data arrived in time. It is a TimeoutError and so an OSError.
        OSError: the connection broke within the body.
    """
    scope = current_scope()
    source = byte_source(response)
    deadline = None if within is None else time.monotonic() + within
    withdraw = None
    try:
        if scope is not None:
            withdraw = scope.on_cancel(source.close)
        gunzip = Gunzip() if source.gzipped else None
        while pieces := source.read(SILENCE if deadline is None else max(0.0, deadline - time.monotonic())):
            # A server sends a list in many small chunks: join them, so that the consumer runs once per read.
            joined = pieces if len(pieces) == 1 else [b"".join(pieces)]
            yield from joined if gunzip is None else gunzip.feed(joined)
    except OSError:
        raise
    except (EOFError, urllib3.exceptions.HTTPError, zlib.error) as error:
        raise ConnectionError(f"the response broke off: {type(error).__name__}") from error
    finally:
        if withdraw is not None:
            withdraw()
        source.close()

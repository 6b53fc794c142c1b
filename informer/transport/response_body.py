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

from watch.byte_source import byte_source
from watch.errors import RequestCancelledError
from watch.framing import Gunzip
from watch.request_scope import current_scope

__all__ = ["SILENCE", "body_pieces", "read_body"]

# A list that stands still for so many seconds has lost its server.
SILENCE = 60.0


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
    with contextlib.closing(body_pieces(response, within)) as pieces:
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


def body_pieces(response: Any, within: float | None) -> Generator[bytes]:
    """The pieces of a body; raises OSError where it breaks off, `NotReadyError` where nothing comes."""
    scope = current_scope()
    source = byte_source(response)
    deadline = None if within is None else time.monotonic() + within
    withdraw = None
    try:
        if scope is not None:
            withdraw = scope.on_cancel(source.close)
        gunzip = Gunzip() if source.gzipped else None
        while pieces := source.read(SILENCE if deadline is None else max(0.0, deadline - time.monotonic())):
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

"""One page of a list, read off its response."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import urllib3

from informer.list_framing import ListFraming
from watch.byte_source import NotReadyError, byte_source
from watch.errors import RequestCancelledError
from watch.framing import Gunzip
from watch.request_scope import current_scope

__all__ = ["read_items"]

# A list that stands still for so many seconds has lost its server.
_SILENCE = 60.0


def read_items(response: Any, framing: ListFraming, what: str) -> list[Any]:
    """Reads a page to its end and returns its items; the connection goes back to its pool, or is closed.

    Args:
        response: an urllib3 response whose body was not read.
        framing: takes the body apart.
        what: is listed, for messages.

    Raises:
        ConnectionError: the connection broke.
        ValueError: the answer is no list.
    """
    scope = current_scope()
    source = byte_source(response)
    withdraw = None
    items: list[Any] = []
    try:
        if scope is not None:
            withdraw = scope.on_cancel(source.close)
        gunzip = Gunzip() if source.gzipped else None
        while pieces := source.read(_SILENCE):
            joined: Iterable[bytes] = pieces if len(pieces) == 1 else (b"".join(pieces),)
            for piece in joined if gunzip is None else gunzip.feed(joined):
                items.extend(framing.feed(piece))
        items.extend(framing.finish())
    except RequestCancelledError:
        raise
    except NotReadyError as error:
        raise ConnectionError(f"the list of {what} stood still for {_SILENCE:.0f} s") from error
    except (EOFError, OSError, urllib3.exceptions.HTTPError, zlib.error) as error:
        raise ConnectionError(f"the list of {what} broke off") from error
    finally:
        if withdraw is not None:
            withdraw()
        source.close()
    return items

"""Sends JSON answers and errors: whole or in chunks, compressed for clients that accept gzip.

Source: apiserver pkg/endpoints/handlers/responsewriters/writers.go.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence

from informer.testing.http.connection import Exchange
from informer.testing.storage.negotiation import encode_status_for
from informer.testing.storage.statuses import status_of
from watch.errors import ApiError

__all__ = ["GZIP", "TEXT", "gzip_member", "send_body", "send_error", "takes_gzip"]

# The headers of a compressed body.
GZIP = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
# Answers of at least this size are compressed for clients that accept gzip.
_GZIP_BYTES = 128 * 1024
# Longer lists are sent in chunks: the real server does not know their length when it begins.
_CHUNKED_BYTES = 2048
_CHUNK_BYTES = 32 * 1024


def takes_gzip(exchange: Exchange) -> bool:
    """Returns whether a client accepts gzip."""
    accepted = exchange.request.headers.get("accept-encoding", "").lower()
    return any(part.partition(";")[0].strip() == "gzip" for part in accepted.split(","))


def gzip_member(data: bytes) -> bytes:
    """Compresses `data` to one complete gzip member; a stream of lines consists of many such members.

    Go's reader holds back what is in a member's last block until the next member begins. A flush before the end has it
    pass on all of `data` at once; the last block is empty.
    """
    compressor = zlib.compressobj(1, wbits=31)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH) + compressor.flush()


def send_body(
    exchange: Exchange,
    status: int,
    pieces: Sequence[bytes],
    *,
    chunked: bool = False,
    content_type: str = "application/json",
    warnings: Sequence[str] = (),
    vary: str = "",
) -> None:
    """Sends an answer whose body is the joined pieces.

    Args:
        exchange: the request to answer.
        status: the HTTP status code.
        pieces: the body.
        chunked: send a long body in chunks.
        content_type: the body's media type; "" for none.
        warnings: texts for the user, each of which is a Warning header.
        vary: the request's headers on which the answer depends.
    """
    body = b"".join(pieces)
    headers = {"Content-Type": content_type} if content_type else {}
    if vary:
        headers["Vary"] = vary
    headers |= _warning_headers(warnings)
    if len(body) >= _GZIP_BYTES and takes_gzip(exchange):
        body = gzip.compress(body, 1)
        headers |= GZIP
    if chunked and len(body) > _CHUNKED_BYTES:
        exchange.begin(status, headers)
        exchange.send_chunks(body[at : at + _CHUNK_BYTES] for at in range(0, len(body), _CHUNK_BYTES))
        exchange.end()
    else:
        exchange.answer(status, body, headers)


def send_error(exchange: Exchange, error: ApiError, warnings: Sequence[str] = ()) -> None:
    """Sends an error as a Status in the format that the client prefers, with Retry-After if the error has one."""
    content_type, body = encode_status_for(exchange.request.headers.get("accept", ""), status_of(error))
    headers = {"Content-Type": content_type}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    headers |= _warning_headers(warnings)
    exchange.answer(error.status, body, headers)


def _warning_headers(warnings: Sequence[str]) -> dict[str, str]:
    texts = dict.fromkeys(warnings)  # as in the real server, each text once
    return {"Warning": ", ".join(f'299 - "{_quoted(text)}"' for text in texts)} if texts else {}


def _quoted(text: str) -> str:
    """Returns a text as it stands between the quotes of a header: without line ends, quotes and backslashes escaped."""
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')

"""How the bytes of an answer leave: whole or in chunks, compressed for who asks.

Source: apiserver pkg/endpoints/handlers/responsewriters/writers.go.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence

import msgspec

from informer.testing.http.connection import Exchange
from informer.testing.storage.statuses import status_of
from watch.errors import ApiError

__all__ = ["JSON", "TEXT", "gzip_member", "send_error", "send_json", "takes_gzip"]

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
# Answers from this size on are compressed for who asks.
_GZIP_BYTES = 128 * 1024
# Longer lists come in chunks, as from a server that does not know their length beforehand.
_CHUNKED_BYTES = 2048
_CHUNK_BYTES = 32 * 1024


def takes_gzip(exchange: Exchange) -> bool:
    """Whether a client takes compressed answers."""
    accepted = exchange.request.headers.get("accept-encoding", "").lower()
    return any(part.partition(";")[0].strip() == "gzip" for part in accepted.split(","))


def gzip_member(data: bytes) -> bytes:
    """One gzip stream, complete in itself: a reader has to go on with the next."""
    compressor = zlib.compressobj(1, wbits=31)
    return compressor.compress(data) + compressor.flush()


def send_json(
    exchange: Exchange,
    status: int,
    pieces: Sequence[bytes],
    *,
    chunked: bool = False,
    content_type: str = "application/json",
) -> None:
    """Sends an answer whose body is these pieces; `chunked` where a long one comes in chunks."""
    body = b"".join(pieces)
    headers = {"Content-Type": content_type}
    if len(body) >= _GZIP_BYTES and takes_gzip(exchange):
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
    if chunked and len(body) > _CHUNKED_BYTES:
        exchange.begin(status, headers)
        exchange.send_chunks(body[at : at + _CHUNK_BYTES] for at in range(0, len(body), _CHUNK_BYTES))
        exchange.end()
    else:
        exchange.answer(status, body, headers)


def send_error(exchange: Exchange, error: ApiError) -> None:
    """Sends a refusal."""
    headers = dict(JSON)
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    exchange.answer(error.status, msgspec.json.encode(status_of(error)) + b"\n", headers)

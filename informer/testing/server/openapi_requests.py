"""Answers requests for the OpenAPI documents below /openapi.

Source: kube-openapi pkg/handler and pkg/handler3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from informer.testing.api_documents.custom_documents import custom_documents
from informer.testing.api_documents.openapi_v2 import encode_openapi_v2, openapi_v2
from informer.testing.api_documents.published import published
from informer.testing.http.connection import Exchange
from informer.testing.server.responses import TEXT, send_body
from informer.testing.storage.storage import Stored

__all__ = ["answer_openapi"]

_V3 = "/openapi/v3"
_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
# As the real server writes it, since a media type must not contain "@".
_V2_PROTOBUF_ANSWER = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def answer_openapi(exchange: Exchange, path: str, version: str, definitions: Iterable[Stored]) -> bool:
    """Answers a request for a document; returns False if there is none at this path.

    The documents of custom resources are made for each request.

    Args:
        exchange: the request to answer.
        path: such as "/openapi/v3/apis/apps/v1".
        version: the server's, such as "1.37".
        definitions: the CustomResourceDefinitions.
    """
    if path != "/openapi/v2" and path != _V3 and not path.startswith(f"{_V3}/"):
        return False
    custom = custom_documents([each.to_dict() for each in definitions])
    if path == "/openapi/v2":
        built_in = [msgspec.json.decode(document) for document in published().openapi.values()]
        _send_v2(exchange, openapi_v2(built_in, custom.values(), version))
        return True
    documents = {name: msgspec.json.encode(document) for name, document in custom.items()}
    if path == _V3:
        hashes = _built_in_hashes() | {name: _hash(document) for name, document in documents.items()}
        urls = {name: {"serverRelativeURL": f"{_V3}/{name}?hash={hashes[name]}"} for name in sorted(hashes)}
        # The real server sends plain text.
        send_body(exchange, 200, [msgspec.json.encode({"paths": urls})], content_type=TEXT["Content-Type"])
        return True
    found = {**published().openapi, **documents}.get(path.removeprefix(f"{_V3}/"))
    if found is None:
        exchange.answer(404, b"", {})
    else:
        send_body(exchange, 200, [bytes(found)], vary="Accept")
    return True


def _send_v2(exchange: Exchange, document: dict[str, Any]) -> None:
    if _V2_PROTOBUF in exchange.request.headers.get("accept", ""):
        media, body = _V2_PROTOBUF_ANSWER, encode_openapi_v2(document)
    else:
        media, body = "application/json", msgspec.json.encode(document)
    send_body(exchange, 200, [body], content_type=media, vary="Accept-Encoding, Accept")


@cache
def _built_in_hashes() -> dict[str, str]:
    return {name: _hash(document) for name, document in published().openapi.items()}


def _hash(document: bytes | msgspec.Raw) -> str:
    return hashlib.sha512(document).hexdigest().upper()

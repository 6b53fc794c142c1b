"""Answers requests for the OpenAPI documents below /openapi.

Source: kube-openapi pkg/handler and pkg/handler3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec

from informer.testing.api_documents.custom_documents import custom_documents
from informer.testing.api_documents.openapi_v2 import openapi_v2
from informer.testing.api_documents.openapi_v2_protobuf import encode_openapi_v2
from informer.testing.api_documents.published import published
from informer.testing.http.connection import Exchange
from informer.testing.server.responses import send_body
from informer.testing.server.versions import ServerVersion
from informer.testing.storage.registry import Registry
from informer.testing.storage.storage import Storage
from watch.concurrency import Lock

__all__ = ["OpenAPIRequests"]

_DEFINITIONS = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
# As the real server writes it, since a media type must not contain "@".
_V2_PROTOBUF_ANSWER = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class _Documents(NamedTuple):
    """The documents of custom resources, and the versions of the definitions from which they are made."""

    versions: tuple[tuple[str, int], ...]
    decoded: Mapping[str, dict[str, Any]]
    encoded: Mapping[str, bytes]
    hashes: Mapping[str, str]


class OpenAPIRequests:
    """Answers requests for OpenAPI documents. Those of built-in kinds are read at the first request.

    Threads: any.
    """

    def __init__(self, storage: Storage, registry: Registry, version: ServerVersion) -> None:
        self._storage = storage
        self._registry = registry
        self._version = f"{version.major}.{version.minor}"
        self._lock = Lock()
        self._custom = _Documents((), {}, {}, {})  # guarded by _lock
        self._v2: tuple[_Documents, dict[str, Any]] | None = None  # guarded by _lock

    def answer(self, exchange: Exchange, path: str) -> bool:
        """Answers a request for a document; returns False if there is none at this path.

        Args:
            exchange: the request to answer.
            path: such as "/openapi/v3/apis/apps/v1".
        """
        if path not in ("/openapi/v2", "/openapi/v3") and not path.startswith("/openapi/v3/"):
            return False
        if path == "/openapi/v2":
            self._answer_v2(exchange)
            return True
        custom = self._custom_documents()
        hashes = {**_built_in_hashes(), **custom.hashes}
        if path == "/openapi/v3":
            urls = {name: {"serverRelativeURL": _url(name, hash)} for name, hash in sorted(hashes.items())}
            # The real server sends plain text.
            media = "text/plain; charset=utf-8"
            send_body(exchange, 200, [msgspec.json.encode({"paths": urls})], content_type=media)
            return True
        name = path.removeprefix("/openapi/v3/")
        if name not in hashes:
            exchange.answer(404, b"", {})
        elif exchange.request.query.get("hash", hashes[name]) != hashes[name]:
            headers = {"Content-Type": "application/json", "Location": _url(name, hashes[name]), "Vary": "Accept"}
            exchange.answer(301, b"", headers)
        else:
            body = custom.encoded[name] if name in custom.encoded else bytes(published().openapi[name])
            send_body(exchange, 200, [body], vary="Accept")
        return True

    def _answer_v2(self, exchange: Exchange) -> None:
        custom = self._custom_documents()
        with self._lock:
            made = self._v2
            if made is None or made[0] is not custom:
                document = openapi_v2(_built_in_documents(), custom.decoded.values(), self._version)
                self._v2 = made = (custom, document)
        if _V2_PROTOBUF in exchange.request.headers.get("accept", ""):
            media, body = _V2_PROTOBUF_ANSWER, encode_openapi_v2(made[1])
        else:
            media, body = "application/json", msgspec.json.encode(made[1])
        send_body(exchange, 200, [body], content_type=media, vary="Accept-Encoding, Accept")

    def _custom_documents(self) -> _Documents:
        with self._storage.lock:
            served = self._registry.resources.find(*_DEFINITIONS)
            assert served is not None
            definitions = list(self._registry.bucket_locked(served).objects.values())
        versions = tuple((each.name, each.resource_version) for each in definitions)
        with self._lock:
            if self._custom.versions != versions:
                decoded = custom_documents([each.to_dict() for each in definitions])
                encoded = {name: msgspec.json.encode(document) for name, document in decoded.items()}
                hashes = {name: _hash(body) for name, body in encoded.items()}
                self._custom = _Documents(versions, decoded, encoded, hashes)
            return self._custom


@cache
def _built_in_hashes() -> dict[str, str]:
    return {name: _hash(document) for name, document in published().openapi.items()}


def _built_in_documents() -> list[dict[str, Any]]:
    return [msgspec.json.decode(document) for document in published().openapi.values()]


def _hash(document: bytes | msgspec.Raw) -> str:
    return hashlib.sha512(document).hexdigest().upper()


def _url(name: str, hash: str) -> str:
    return f"/openapi/v3/{name}?hash={hash}"

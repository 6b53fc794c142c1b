"""Answers requests about the server itself: its version, its health, and the groups and resources that it serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from informer.testing.http.connection import Exchange
from informer.testing.http.messages import Request
from informer.testing.server import discovery_documents as documents
from informer.testing.server.openapi_requests import answer_openapi
from informer.testing.server.responses import TEXT, send_body
from informer.testing.server.versions import ServerVersion
from informer.testing.storage.registry import Registry
from informer.testing.storage.statuses import method_not_allowed, page_not_found
from informer.testing.storage.storage import Storage

__all__ = ["ServerRequests", "send_plain_404"]

_CHECKS = ("ping", "log", "etcd")
_HEALTH = {"healthz": _CHECKS, "livez": _CHECKS, "readyz": (*_CHECKS, "etcd-readiness", "informer-sync", "shutdown")}
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_AGGREGATED = "as=APIGroupDiscoveryList"
_AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class ServerRequests:
    """Answers requests whose path is not a resource's.

    Threads: any.
    """

    def __init__(self, storage: Storage, registry: Registry, version: ServerVersion) -> None:
        self._storage = storage
        self._registry = registry
        self._version = version

    def answer(self, exchange: Exchange, address: str) -> None:
        """Answers a request.

        Args:
            exchange: the request to answer.
            address: "host:port" of the server, for the discovery document.

        Raises:
            ApiError: 404, the server does not have this path; 405, it does not allow the method.
        """
        path = exchange.request.path.rstrip("/") or "/"
        endpoint, _, check = path[1:].partition("/")
        if endpoint in _HEALTH and check in ("", *_HEALTH[endpoint]):
            exchange.answer(200, b"ok" if check else _health(endpoint, exchange.request), TEXT)
            return
        with self._storage.lock:
            definitions = list(self._storage.bucket_locked(_DEFINITIONS).objects.values())
        if answer_openapi(exchange, path, f"{self._version.major}.{self._version.minor}", definitions):
            return
        accept = exchange.request.headers.get("accept", "").replace(" ", "")
        document = self._document(path, address, aggregated=_AGGREGATED in accept and ";v=v2;" in f"{accept};")
        if document is None:
            first, _, rest = path.strip("/").partition("/")
            if first == "api" or (first == "apis" and self.is_built_in(rest.partition("/")[0])):
                raise page_not_found()
            send_plain_404(exchange)
            return
        if exchange.request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        content_type = _AGGREGATED_TYPE if document.get("kind") == "APIGroupDiscoveryList" else "application/json"
        send_body(exchange, 200, [msgspec.json.encode(document)], content_type=content_type)

    def is_built_in(self, group: str) -> bool:
        """Returns whether the server has an API group by itself, without a CustomResourceDefinition."""
        with self._storage.lock:
            return self._registry.resources.is_built_in(group)

    def _document(self, path: str, address: str, *, aggregated: bool) -> Mapping[str, Any] | None:
        if path == "/version":
            return documents.version_document(self._version.major, self._version.minor)
        parts = path.split("/")[1:]
        with self._storage.lock:
            resources = self._registry.resources
            if aggregated and path in ("/api", "/apis"):
                return documents.aggregated(resources, core=path == "/api")
            match parts:
                case ["api"]:
                    return documents.api_versions(address)
                case [""]:
                    return {"paths": ["/api", "/api/v1", "/apis", *(f"/apis/{g}" for g in resources.groups() if g)]}
                case ["apis"]:
                    return documents.api_groups(resources)
                case ["api", version]:
                    return documents.api_resources(resources, "", version)
                case ["apis", group]:
                    return documents.api_group(resources, group)
                case ["apis", group, version]:
                    return documents.api_resources(resources, group, version)
        return None


def _health(endpoint: str, request: Request) -> bytes:
    """Returns the page of a health endpoint, with a line for each check if the client asks for them."""
    if "verbose" not in request.query:
        return b"ok"
    lines = [f"[+]{name} ok" for name in _HEALTH[endpoint]]
    return "\n".join((*lines, f"{endpoint} check passed\n")).encode()


def send_plain_404(exchange: Exchange) -> None:
    """Sends a 404 in plain text, as the real server does for paths outside of its own API groups."""
    exchange.answer(404, b"404 page not found\n", TEXT)

"""A request, from the connection to its answer: who asks, what for, may they, and who answers."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from informer.discovery import Resource
from informer.testing import discovery_documents as documents
from informer.testing.access import Access
from informer.testing.http_connection import Exchange
from informer.testing.http_server import HttpServer
from informer.testing.list_options import read_list_query
from informer.testing.registry import Registry, Where
from informer.testing.representations import representation_for
from informer.testing.request_log import LoggedRequest, RequestLog
from informer.testing.resource_requests import ResourceRequests
from informer.testing.routes import Route, route_of
from informer.testing.selection import read_selection
from informer.testing.statuses import forbidden, generic, method_not_allowed, page_not_found, status_of
from informer.testing.storage import Storage
from informer.testing.versions import ServerVersion
from informer.testing.watches import WatchStream
from watch.errors import ApiError

__all__ = ["ApiHandler"]

_log = logging.getLogger(__name__)

_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
# Answers from this size on are compressed for who asks.
_GZIP_BYTES = 128 * 1024
# Longer answers come in chunks, as from a server that does not know their length beforehand.
_CHUNKED_BYTES = 2048
_CHUNK_BYTES = 32 * 1024
_HEALTH = frozenset(("/healthz", "/livez", "/readyz"))


class ApiHandler:
    """Answers every request.

    Threads: any connection's.
    """

    def __init__(
        self,
        storage: Storage,
        registry: Registry,
        access: Access,
        log: RequestLog,
        version: ServerVersion,
        *,
        bookmark_interval: float,
    ) -> None:
        self._storage = storage
        self._registry = registry
        self._access = access
        self._requests = log
        self._version = version
        self._bookmark_interval = bookmark_interval
        self._resources = ResourceRequests(storage, registry, version)
        self.http: HttpServer | None = None
        """Set before the first request comes."""

    def handle(self, exchange: Exchange) -> None:
        """Answers one request, on its connection's thread."""
        request = exchange.request
        route = route_of(request.method, request.path, request.query)
        logged = self._logged(exchange, route)
        exchange.on_status = lambda status: self._requests.change(logged, status=status)
        try:
            self._dispatch(exchange, route)
        except ApiError as error:
            self._refuse(exchange, error)
        except OSError:
            raise
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            if exchange.status:
                raise ConnectionError("the answer cannot be completed") from None
            self._refuse(exchange, generic(500))
        finally:
            self._requests.change(logged, ended=True)

    def _logged(self, exchange: Exchange, route: Route) -> LoggedRequest:
        request = exchange.request
        verb = route.verb
        if route.is_watch and request.query.get("sendInitialEvents", "").lower() in ("1", "true"):
            verb = "watch_list"
        logged = LoggedRequest(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            user_agent=request.headers.get("user-agent", ""),
            verb=verb,
            resource=f"{route.plural}.{route.group}" if route.group else route.plural,
            namespace=route.namespace,
            connection=id(exchange.connection),
            headers=dict(request.headers),
        )
        self._requests.add(logged)
        return logged

    def _dispatch(self, exchange: Exchange, route: Route) -> None:
        request = exchange.request
        user = self._access.user(request.headers.get("authorization", ""))
        if not route.plural:
            self._answer_about_server(exchange, route)
            return
        self._check_allowed(user, route)
        served = self._registry.find(route.group, route.version, route.plural)
        if served is None or not _is_served(route, served.resource, served.has_status):
            raise page_not_found()
        where = Where(served, route.namespace, route.name, route.subresource)
        if route.is_watch:
            self._watch(exchange, where)
            return
        status, body = self._resources.answer(route.verb, where, request)
        self._answer(exchange, status, body, chunked=route.verb == "list")

    def _check_allowed(self, user: str, route: Route) -> None:
        resource = Resource(route.group, route.version, route.plural, "", namespaced=bool(route.namespace))
        plural = f"{resource.name}/{route.subresource}" if route.subresource else resource.name
        if self._access.is_forbidden(route.verb, plural, route.namespace):
            raise forbidden(user, route.verb, resource, route.name, route.namespace, route.subresource)

    def _answer_about_server(self, exchange: Exchange, route: Route) -> None:
        path = route.path.rstrip("/") or "/"
        if path in _HEALTH:
            exchange.answer(200, b"ok", _TEXT)
            return
        document = self._document(path)
        if document is None:
            if path.startswith("/api"):
                raise page_not_found()
            exchange.answer(404, b"404 page not found\n", _TEXT)
            return
        if exchange.request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        self._answer(exchange, 200, [msgspec.json.encode(document)])

    def _document(self, path: str) -> Mapping[str, Any] | None:
        if path == "/version":
            return documents.version_document(self._version.major, self._version.minor)
        if path == "/api":
            return documents.api_versions(f"127.0.0.1:{self.http.port if self.http else 0}")
        parts = path.split("/")[1:]
        with self._storage.lock:
            resources = self._registry.resources
            if path == "/":
                return {"paths": ["/api", "/api/v1", "/apis", *(f"/apis/{g}" for g in resources.groups() if g)]}
            if path == "/apis":
                return documents.api_groups(resources)
            if parts[0] == "api" and len(parts) == 2:
                return documents.api_resources(resources, "", parts[1])
            if parts[0] == "apis" and len(parts) == 2:
                return documents.api_group(resources, parts[1])
            if parts[0] == "apis" and len(parts) == 3:
                return documents.api_resources(resources, parts[1], parts[2])
        return None

    def _watch(self, exchange: Exchange, where: Where) -> None:
        request = exchange.request
        representation = representation_for(request.headers.get("accept", ""), where.served)
        options = read_list_query(request.query, watch_list_enabled=self._version.has_watch_list)
        selection = read_selection(options, where.served, where.name, sharding=self._version.has_sharding)
        with self._storage.lock:
            bucket = self._registry.bucket_locked(where.served)
        stream = WatchStream(
            self._storage,
            bucket,
            where.namespace,
            options,
            selection,
            representation,
            bookmark_interval=self._bookmark_interval,
        )
        compressed = options.is_watch_list and self._version.compresses_watch_list and _takes_gzip(exchange)
        withdraw = exchange.connection.gone.subscribe(stream.close)
        assert self.http is not None
        self.http.notice_hangup(exchange.connection)
        try:
            exchange.begin(200, {**_JSON, "Content-Encoding": "gzip"} if compressed else _JSON)
            for lines in stream.batches():
                exchange.send_chunks([_gzip_member(b"".join(lines))] if compressed else lines)
            exchange.end()
        finally:
            self.http.forget_hangup(exchange.connection)
            withdraw()

    def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        headers = dict(_JSON)
        if error.retry_after is not None:
            headers["Retry-After"] = str(max(1, round(error.retry_after)))
        exchange.answer(error.status, msgspec.json.encode(status_of(error)) + b"\n", headers)

    def _answer(self, exchange: Exchange, status: int, body: list[bytes], *, chunked: bool = False) -> None:
        whole = b"".join(body)
        headers = dict(_JSON)
        if len(whole) >= _GZIP_BYTES and _takes_gzip(exchange):
            whole = gzip.compress(whole, 1)
            headers["Content-Encoding"] = "gzip"
        if chunked and len(whole) > _CHUNKED_BYTES and exchange.request.method != "HEAD":
            exchange.begin(status, headers)
            exchange.send_chunks(whole[at : at + _CHUNK_BYTES] for at in range(0, len(whole), _CHUNK_BYTES))
            exchange.end()
        else:
            exchange.answer(status, whole, headers)


def _is_served(route: Route, resource: Resource, has_status: bool) -> bool:
    if resource.namespaced and route.name and not route.namespace:
        return False
    if not resource.namespaced and route.namespace:
        return False
    return route.subresource == "" or (route.subresource == "status" and has_status)


def _takes_gzip(exchange: Exchange) -> bool:
    accepted = exchange.request.headers.get("accept-encoding", "").lower()
    return any(part.partition(";")[0].strip() == "gzip" for part in accepted.split(","))


def _gzip_member(data: bytes) -> bytes:
    """One gzip stream, complete in itself: a reader has to go on with the next."""
    compressor = zlib.compressobj(1, wbits=31)
    return compressor.compress(data) + compressor.flush()

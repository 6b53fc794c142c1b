"""A request, from the connection to its answer: who asks, what for, may they, and who answers."""

from __future__ import annotations

import contextlib
import gzip
import logging
import math
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from informer.discovery import Resource
from informer.testing import discovery_documents as documents
from informer.testing.access import Access
from informer.testing.answering import Answering, Plan
from informer.testing.faults import Faults
from informer.testing.http_connection import Connection, ConnectionCutError, Exchange
from informer.testing.http_server import HttpServer
from informer.testing.list_options import read_list_query
from informer.testing.object_checks import Where
from informer.testing.registry import Registry
from informer.testing.representations import representation_for
from informer.testing.request_log import LoggedRequest, RequestLog
from informer.testing.resource_requests import ResourceRequests
from informer.testing.routes import Route, route_of
from informer.testing.selection import read_selection
from informer.testing.served import ServedResource
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
_NO_PAGE = b"404 page not found\n"
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
        faults: Faults,
        version: ServerVersion,
        *,
        bookmark_interval: float,
    ) -> None:
        self._storage = storage
        self._registry = registry
        self._access = access
        self._requests = log
        self._faults = faults
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
            with self._faults.answering(exchange, logged.verb, logged.resource) as (answering, plan):
                logged.faults = plan.names
                if not self._meddle(exchange, answering, plan):
                    self._dispatch(answering, plan, route)
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

    def _meddle(self, exchange: Exchange, answering: Answering, plan: Plan) -> bool:
        """Does what faults want before an answer begins; returns whether that was the answer."""
        if plan.hold is not None:
            with self._noticing_hangup(exchange.connection):
                plan.hold.wait(exchange.connection)
        if plan.cut:
            exchange.connection.cut()
            raise ConnectionCutError("a fault has cut the connection")
        for change in plan.changes:
            change(answering.transmission)
        if isinstance(plan.refusal, ApiError):
            raise plan.refusal
        if plan.refusal is not None:
            exchange.answer(plan.refusal.status, plan.refusal.body, {"Content-Type": plan.refusal.content_type})
        return plan.refusal is not None

    @contextlib.contextmanager
    def _noticing_hangup(self, connection: Connection) -> Iterator[None]:
        assert self.http is not None
        self.http.notice_hangup(connection)
        try:
            yield
        finally:
            self.http.forget_hangup(connection)

    def _dispatch(self, answering: Answering, plan: Plan, route: Route) -> None:
        exchange = answering.exchange
        request = exchange.request
        user = self._access.user(request.headers.get("authorization", ""))
        if not route.plural:
            self._answer_about_server(exchange, route)
            return
        self._check_allowed(user, route)
        served = self._registry.find(route.group, route.version, route.plural)
        if served is None and not self._is_built_in(route.group):
            exchange.answer(404, _NO_PAGE, _TEXT)
            return
        if served is None or not _is_served(route, served):
            raise page_not_found()
        where = Where(served, route.namespace, route.name, route.subresource)
        if route.is_watch:
            self._watch(answering, plan, where)
            return
        status, body = self._resources.answer(route.verb, where, request)
        self._answer(exchange, status, body, chunked=route.verb == "list")

    def _is_built_in(self, group: str) -> bool:
        with self._storage.lock:
            return self._registry.resources.is_built_in(group)

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
            group = path.split("/")[2:3] if path.startswith("/apis/") else []
            if path.startswith("/api/") or (group and self._is_built_in(group[0])):
                raise page_not_found()
            exchange.answer(404, _NO_PAGE, _TEXT)
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

    def _watch(self, answering: Answering, plan: Plan, where: Where) -> None:
        exchange = answering.exchange
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
        headers = _JSON
        if options.is_watch_list and self._version.compresses_watch_list and _takes_gzip(exchange):
            headers = {**_JSON, "Content-Encoding": "gzip"}
            answering.send_lines = lambda lines: exchange.send_chunks([_gzip_member(b"".join(lines))])
        self._prepare(stream, answering, plan)
        withdraw = exchange.connection.gone.subscribe(stream.close)
        try:
            with self._noticing_hangup(exchange.connection):
                exchange.begin(200, headers)
                if plan.watch_seconds is not None:
                    exchange.connection.gone.wait(plan.watch_seconds)
                else:
                    for lines in stream.batches():
                        answering.send_lines(lines)
                exchange.end()
        finally:
            withdraw()

    def _prepare(self, stream: WatchStream, answering: Answering, plan: Plan) -> None:
        """Tells a stream what faults want of it."""
        stream.end_bookmark = plan.end_bookmark
        stream.at_start = [partial(injection, answering) for injection in plan.injections]
        if answering.verb == "watch_list":

            def state_sent() -> None:
                later = self._faults.became_watch(answering)
                for change in later.changes:
                    change(answering.transmission)
                for injection in later.injections:
                    answering.inject(injection)

            stream.on_state_sent = state_sent
        self._faults.attach_stream(answering, stream)

    def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        headers = dict(_JSON)
        if error.retry_after is not None:
            headers["Retry-After"] = str(math.ceil(error.retry_after))
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


def _is_served(route: Route, served: ServedResource) -> bool:
    resource = served.resource
    if resource.namespaced and route.name and not route.namespace:
        return False
    if not resource.namespaced and route.namespace:
        return False
    subresources = {"": True, "status": served.has_status, "scale": served.has_scale}
    return subresources.get(route.subresource, False)


def _takes_gzip(exchange: Exchange) -> bool:
    accepted = exchange.request.headers.get("accept-encoding", "").lower()
    return any(part.partition(";")[0].strip() == "gzip" for part in accepted.split(","))


def _gzip_member(data: bytes) -> bytes:
    """One gzip stream, complete in itself: a reader has to go on with the next."""
    compressor = zlib.compressobj(1, wbits=31)
    return compressor.compress(data) + compressor.flush()

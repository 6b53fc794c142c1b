"""Answers every request: logs it, applies faults, checks access, and passes it to the part that serves it."""

from __future__ import annotations

from informer.listwatch.resources import Resource
from informer.testing.faults.fault_book import OpenAnswer
from informer.testing.faults.faults import Faults
from informer.testing.http.connection import ConnectionCutError, Exchange
from informer.testing.http.server import HttpServer
from informer.testing.listwatch.list_options import is_true
from informer.testing.server.access import Access
from informer.testing.server.pod_requests import PodLogs
from informer.testing.server.request_log import LoggedRequest, RequestLog
from informer.testing.server.resource_requests import ResourceRequests
from informer.testing.server.responses import send_body, send_error
from informer.testing.server.routes import Route, route_of
from informer.testing.server.server_requests import ServerRequests, send_plain_404
from informer.testing.server.versions import ServerVersion
from informer.testing.server.watch_requests import WatchRequests
from informer.testing.storage.object_checks import Target
from informer.testing.storage.registry import Registry
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import forbidden, generic, page_not_found
from informer.testing.storage.storage import Storage
from informer.testing.storage.write import User
from watch.errors import ApiError
from watch.logs import get_logger

__all__ = ["RequestHandler"]

_log = get_logger(__name__)


class RequestHandler:
    """Answers the requests of an embedded API server.

    Args:
        storage: stores the objects.
        registry: reads and writes them.
        access: authenticates clients and forbids requests.
        log: records every request.
        faults: the faults that tests asked for.
        version: the server's version, which decides about features.
        logs: the logs of pods that tests have set.
        bookmark_interval: seconds between the bookmarks of a watch.

    Threads: any; each connection's thread calls `handle`.
    """

    def __init__(
        self,
        storage: Storage,
        registry: Registry,
        access: Access,
        log: RequestLog,
        faults: Faults,
        version: ServerVersion,
        logs: PodLogs,
        *,
        bookmark_interval: float,
    ) -> None:
        self._registry = registry
        self._access = access
        self._requests = log
        self._faults = faults
        self._resources = ResourceRequests(storage, registry, version, access, logs)
        self._watches = WatchRequests(storage, registry, faults, version, bookmark_interval=bookmark_interval)
        self._about_server = ServerRequests(storage, registry, version)

    def handle(self, http: HttpServer, exchange: Exchange) -> None:
        """Answers one request. Blocks until the answer is sent, which for a watch may take an hour."""
        request = exchange.request
        route = route_of(request.method, request.path, request.query)
        logged = self._logged(exchange, route)
        warnings: list[str] = []
        exchange.on_status = lambda status: self._requests.change(logged, status=status)
        try:
            with self._faults.book.answering(exchange, logged.verb, logged.resource) as answer:
                logged.faults = answer.faults
                if not _replaced_by_fault(http, answer):
                    self._dispatch(http, answer, route, warnings)
        except ApiError as error:
            send_error(exchange, error, warnings)
        except OSError:
            raise
        except Exception:
            _log.exception("the embedded API server failed to answer %s %s", request.method, request.path)
            if exchange.status:
                raise ConnectionError("the answer failed after its head was sent") from None
            send_error(exchange, generic(500))
        finally:
            self._requests.change(logged, ended=True)

    def _logged(self, exchange: Exchange, route: Route) -> LoggedRequest:
        request = exchange.request
        with_state = route.verb == "watch" and is_true(request.query.get("sendInitialEvents", "0"))
        logged = LoggedRequest(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            user_agent=request.headers.get("user-agent", ""),
            verb="watch_list" if with_state else route.verb,
            resource=f"{route.plural}.{route.group}" if route.group else route.plural,
            namespace=route.namespace,
            connection=exchange.connection.number,
            headers=dict(request.headers),
        )
        self._requests.add(logged)
        return logged

    def _dispatch(self, http: HttpServer, answer: OpenAnswer, route: Route, warnings: list[str]) -> None:
        exchange = answer.exchange
        if "//" in route.path:
            raise page_not_found()
        user = self._access.user(exchange.request.headers.get("authorization", ""))
        user = self._access.impersonated(user, exchange.request.headers)
        if not route.plural:
            self._about_server.answer(exchange, f"127.0.0.1:{http.port}")
            return
        self._check_allowed(user, route)
        served = self._registry.find(route.group, route.version, route.plural)
        is_custom = not self._about_server.is_built_in(route.group) if served is None else served.custom
        if served is None or not _has_path(served, route):
            if is_custom:
                send_plain_404(exchange)
                return
            raise page_not_found()
        target = Target(served, route.namespace, route.name, route.subresource)
        if route.verb == "watch":
            self._watches.answer(http, answer, target)
            return
        found = self._resources.answer(route.verb, target, exchange.request, user, warnings)
        send_body(
            exchange,
            found.status,
            found.body,
            chunked=route.verb == "list",
            content_type=found.media_type,
            warnings=warnings,
        )

    def _check_allowed(self, user: User, route: Route) -> None:
        resource = Resource(route.group, route.version, route.plural, "", namespaced=bool(route.namespace))
        plural = f"{resource.name}/{route.subresource}" if route.subresource else resource.name
        if self._access.is_forbidden(route.verb, plural, route.namespace):
            raise forbidden(user.name, route.verb, resource, route.name, route.namespace, route.subresource)


def _replaced_by_fault(http: HttpServer, answer: OpenAnswer) -> bool:
    """Applies the faults that act before an answer begins; returns whether one of them has answered the request."""
    connection, refusal = answer.connection, answer.refusal
    if answer.hold is not None:
        with http.noticing_hangup(connection):
            answer.hold.wait(connection)
    if answer.cut:
        connection.cut()
        raise ConnectionCutError("a fault has cut the connection")
    if isinstance(refusal, ApiError):
        send_error(answer.exchange, refusal)
    elif refusal is not None:
        answer.exchange.answer(refusal.status, refusal.body, {"Content-Type": refusal.content_type})
    return refusal is not None


def _has_path(served: ServedResource, route: Route) -> bool:
    """Returns whether a resource has a path. Without a namespace, objects in namespaces can only be listed and watched."""
    if served.resource.namespaced and not route.namespace:
        if route.name or (served.custom and route.verb not in ("list", "watch")):
            return False
    elif route.namespace and not served.resource.namespaced:
        return False
    if served.is_action:
        return not route.name
    subresources = {"": True, "status": served.has_status, "scale": served.has_scale}
    subresources |= {each.name: True for each in served.subresources}
    return subresources.get(route.subresource, False)

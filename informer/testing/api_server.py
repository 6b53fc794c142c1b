"""An API server in the test's process, over real HTTP on loopback."""

from __future__ import annotations

import builtins
import ssl
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from informer.testing.access import Access
from informer.testing.api_handler import ApiHandler
from informer.testing.http_server import HttpServer
from informer.testing.list_options import ListQuery
from informer.testing.lists import list_page
from informer.testing.patches import json_patch, merge_patch
from informer.testing.plain_objects import find_resource, plain_object, resource_of
from informer.testing.registry import Registry, Where
from informer.testing.request_log import RequestLog
from informer.testing.selection import read_selection
from informer.testing.served import ServedResource
from informer.testing.storage import Storage, Stored
from informer.testing.versions import ServerVersion
from watch.concurrency import Lock

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["EmbeddedAPIServer"]

_HISTORY_LIMIT = 100_000
_DEFAULT_NAMESPACE = "default"


class EmbeddedAPIServer:
    """A Kubernetes API server of its own, for tests and demonstrations.

    Example:
        >>> with EmbeddedAPIServer() as server:
        ...     pod = server.create({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}})
        ...     pod["metadata"]["namespace"], server.url.startswith("http://127.0.0.1:")
        ('default', True)
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        tokens: Mapping[str, str] | Iterable[str] | None = None,
        version: str = "1.37",
        sharded_list_and_watch: bool = False,
        bookmark_interval: float = 60.0,
        history_limit: int = _HISTORY_LIMIT,
    ) -> None:
        self._version = ServerVersion.parse(version, sharded_list_and_watch=sharded_list_and_watch)
        self._tls = tls
        self._storage = Storage(history_limit)
        self._registry = Registry(self._storage)
        self._access = Access(tokens)
        self.requests = RequestLog()
        self._handler = ApiHandler(
            self._storage,
            self._registry,
            self._access,
            self.requests,
            self._version,
            bookmark_interval=bookmark_interval,
        )
        self._lock = Lock()
        self._http: HttpServer | None = None
        self._stopped = False

    def start(self) -> Self:
        """Begins to listen, on a free port of loopback."""
        with self._lock:
            if self._stopped or self._http is not None:
                raise RuntimeError(f"the server was {'stopped' if self._stopped else 'started'} already")
            http = HttpServer(self._handler.handle, context=self._context(), name="apiserver")
            self._handler.http = self._http = http
        http.start()
        return self

    def stop(self) -> None:
        """Cuts every connection and ends every thread. Again is harmless."""
        with self._lock:
            self._stopped = True
            http, self._http = self._http, None
        if http is not None:
            http.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        http = self._http
        if http is None:
            raise RuntimeError("the server is not started, or stopped already")
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{http.port}"

    def api_client(self, token: str | None = None) -> ApiClient:
        """An official client that talks to it; close it, or use it in a `with`.

        Args:
            token: a bearer token; None for one of the server's own, where it asks for any.
        """
        from kubernetes import client

        configuration = client.Configuration()
        configuration.host = self.url
        token = token or self._access.any_token()
        if token is not None:
            configuration.api_key = {"authorization": token}
            configuration.api_key_prefix = {"authorization": "Bearer"}
        return client.ApiClient(configuration)

    def create(self, obj: Any, *, namespace: str | None = None) -> dict[str, Any]:
        """Adds an object and returns it as stored."""
        plain, where = self._locate(obj, namespace)
        return _shown(where.served, self._registry.create(where._replace(name=""), plain, whole=True))

    def update(self, obj: Any, *, namespace: str | None = None) -> dict[str, Any]:
        """Replaces an object, its status included, and returns it as stored."""
        plain, where = self._locate(obj, namespace)
        stored, _ = self._registry.update(where, lambda _: plain, whole=True)
        return _shown(where.served, stored)

    def patch(self, resource: str, name: str, patch: Any, *, namespace: str | None = None) -> dict[str, Any]:
        """Applies a merge patch (a dict) or a JSON patch (a list) and returns the object as stored."""
        where = self._where(resource, name, namespace)

        def change(obj: dict[str, Any]) -> dict[str, Any]:
            result: dict[str, Any] = json_patch(obj, patch) if isinstance(patch, list) else merge_patch(obj, patch)
            return result

        stored, _ = self._registry.update(where, change, whole=True)
        return _shown(where.served, stored)

    def delete(self, obj: Any, name: str | None = None, *, namespace: str | None = None) -> dict[str, Any]:
        """Deletes an object, given itself or by resource and name, and returns its last state."""
        where = self._where(obj, name, namespace) if isinstance(obj, str) else self._locate(obj, namespace)[1]
        stored, _ = self._registry.delete(where, {})
        return _shown(where.served, stored)

    def get(self, resource: str, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """An object as stored."""
        where = self._where(resource, name, namespace)
        return _shown(where.served, self._registry.get(where))

    def list(
        self, resource: str, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> builtins.list[dict[str, Any]]:
        """The objects of a resource in a namespace or (None) in all."""
        with self._storage.lock:
            served = find_resource(resource, self._registry.resources)
            bucket = self._registry.bucket_locked(served)
        options = ListQuery(label_selector=label_selector, field_selector=field_selector)
        selection = read_selection(options, served, "", sharding=False)
        page = list_page(self._storage, bucket, namespace or "", options, selection)
        return [_shown(served, stored) for stored in page.objects]

    def compact(self) -> None:
        """Forgets all history."""
        self._storage.compact()

    def _locate(self, obj: Any, namespace: str | None) -> tuple[dict[str, Any], Where]:
        with self._storage.lock:
            plain = plain_object(obj, self._registry.resources)
            served = resource_of(plain, self._registry.resources)
        metadata = plain.get("metadata") or {}
        namespace = namespace or metadata.get("namespace") or _DEFAULT_NAMESPACE
        return plain, Where(served, namespace if served.resource.namespaced else "", metadata.get("name") or "")

    def _where(self, resource: str, name: str | None, namespace: str | None) -> Where:
        if not name:
            raise ValueError("a name is needed")
        with self._storage.lock:
            served = find_resource(resource, self._registry.resources)
        return Where(served, (namespace or _DEFAULT_NAMESPACE) if served.resource.namespaced else "", name)

    def _context(self) -> ssl.SSLContext | None:
        return None


def _shown(served: ServedResource, stored: Stored) -> dict[str, Any]:
    resource = served.resource
    return {"kind": resource.kind, "apiVersion": resource.api_version, **stored.to_dict()}

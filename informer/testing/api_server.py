"""A Kubernetes API server in the test's own process, over real HTTP on the loopback address."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Self

from informer.files import check_private, write_private
from informer.testing.admission.webhooks import Webhooks
from informer.testing.clients import ServerWithClients
from informer.testing.controllers.garbage_collector import GarbageCollector
from informer.testing.faults.faults import Faults
from informer.testing.http.certificates import Certificates, make_certificates, make_minimal_certificates
from informer.testing.http.server import HttpServer
from informer.testing.server.access import Access
from informer.testing.server.object_calls import ObjectCalls
from informer.testing.server.request_handler import RequestHandler
from informer.testing.server.request_log import RequestLog
from informer.testing.server.versions import ServerVersion
from informer.testing.storage.kinds.initial_objects import initial_objects
from informer.testing.storage.registry import Registry
from informer.testing.storage.storage import Storage
from watch.concurrency import Lock

__all__ = ["EmbeddedAPIServer"]


class EmbeddedAPIServer(ServerWithClients, ObjectCalls):
    """A Kubernetes API server in the test's own process, which starts in about a millisecond.

    Clients talk to it over real HTTP, through `api_client()`, `kubeconfig(path)` or `url`. The test itself can also
    write objects directly, with `create`, `update`, `patch`, `delete` and `define`, and have requests fail, with
    `faults`. Every server begins with the objects of a new cluster: namespaces, two priority classes, a ServiceCIDR and,
    once it is started, the service `kubernetes`.

    It answers requests as kube-apiserver does, for built-in kinds and CustomResourceDefinitions: discovery and OpenAPI,
    defaults, validation and schemas, every kind of patch, server-side apply, tables, selectors, pages, watches, reviews of
    access, eviction and binding. docs/testing.md of this project lists what is different.

    What it does not do, since it is a store and not a cluster:

    - Nothing is scheduled or run.
    - What methods such as `create` write is the test's own: nothing is required of it, and an object without a spec stays
      without. Requests are validated as the real server validates them.
    - Admission is by webhooks with a URL. Admission policies are refused.
    - A deleted pod disappears at once, as no kubelet shuts it down.
    - Without `garbage_collect`, a deleted namespace disappears at once with every object in it, dependents outlive their
      owners, and foreground and orphan deletions leave a finalizer, which in a real cluster the garbage collector removes.
    - Objects that its methods create have no managedFields, unless `field_manager` names an owner.

    Args:
        tls: serve HTTPS with a new certificate. Needs the package `trustme`: `pip install 'kube-informer[testing]'`.
            "minimal" makes certificates without key identifiers and key usage, as EKS, GKE and microk8s do.
        tokens: user names by bearer token, or only tokens; requests without one of them get 401. None accepts every
            request.
        version: the version of Kubernetes to imitate. It decides whether WatchList and shardSelector are available.
        sharded_list_and_watch: enable the feature gate of shardSelector; versions before 1.36 ignore it.
        bookmark_interval: seconds between the bookmarks of a watch that allows them.
        history_limit: the number of changes kept per resource; older ones count as compacted. Of large objects fewer are
            kept, 32 MiB in all.
        garbage_collect: delete objects whose owners are gone, handle foreground and orphan deletions, and empty deleted
            namespaces step by step, as kube-controller-manager does. One thread does it, from the first time that there
            is something to do until `stop`; tests wait for the result.

    Attributes:
        faults: makes chosen requests fail; `help(server.faults)` lists the faults.
        requests: the requests received so far, a `RequestLog`.

    Raises:
        ImportError: `tls` is true and `trustme` is not installed.

    Threads: any. Each connection has a thread: hundreds of watches and two dozen requests at a time are fine.

    Example:
        >>> from informer import SharedInformerFactory
        >>> from informer.testing import EmbeddedAPIServer
        >>> with EmbeddedAPIServer() as server, server.api_client() as api_client:
        ...     pod = server.create({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}})
        ...     factory = SharedInformerFactory(api_client)
        ...     pods = factory.informer("pods")
        ...     with factory:
        ...         pods.wait_for_sync(timeout=10), pods.store.list_keys()
        (True, ['default/web'])
    """

    def __init__(
        self,
        *,
        tls: bool | Literal["minimal"] = False,
        tokens: Mapping[str, str] | Iterable[str] | None = None,
        version: str = "1.37",
        sharded_list_and_watch: bool = False,
        bookmark_interval: float = 60.0,
        history_limit: int = 20_000,
        garbage_collect: bool = False,
    ) -> None:
        storage = Storage(history_limit)
        registry = Registry(storage)
        self._webhooks = Webhooks(storage, registry.resources)
        registry.admission = self._webhooks
        self._collector = GarbageCollector(storage, registry) if garbage_collect else None
        super().__init__(storage, registry)
        self.faults = Faults()
        self.requests = RequestLog()
        self._access = Access(tokens)
        make = make_minimal_certificates if tls == "minimal" else make_certificates
        self._certificates: Certificates | None = make() if tls else None
        self._handler = RequestHandler(
            storage,
            registry,
            self._access,
            self.requests,
            self.faults,
            ServerVersion.parse(version, sharded_list_and_watch=sharded_list_and_watch),
            self._logs,
            bookmark_interval=bookmark_interval,
        )
        self._lock = Lock()
        self._http: HttpServer | None = None  # guarded by _lock, as are the next two
        self._directory: Path | None = None
        self._stopped = False

    # Life cycle

    def start(self) -> Self:
        """Starts to listen on a free port of the loopback address; returns the server.

        Raises:
            RuntimeError: the server was started or stopped before.
        """
        with self._lock:
            if self._stopped or self._http is not None:
                raise RuntimeError(f"the API server was {'stopped' if self._stopped else 'started'} already")
            context = None if self._certificates is None else self._certificates.server_context()
            http = HttpServer(self._handler.handle, context=context, name="apiserver")
            self._http = http
            self.faults.http = http
            self._registry.seed(initial_objects("service", port=http.port))
            http.start()
        return self

    def stop(self) -> None:
        """Cuts every connection and ends every thread. Idempotent; a stopped server cannot be started again."""
        with self._lock:
            self._stopped = True
            http, self._http = self._http, None
            directory, self._directory = self._directory, None
        self._webhooks.close()
        if http is not None:
            http.stop()
        if self._collector is not None:
            self._collector.close()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def restart(self) -> None:
        """Behaves as a server that ends and starts again on the same port: every connection is cut.

        Objects and their history stay, as they do in etcd. The watch cache is new, so that a watch from a
        resourceVersion before the restart gets 410.
        """
        http = self._running()
        http.refuse()
        http.cut_connections()
        self._storage.forget(for_watches_only=True)
        http.accept()

    def compact(self) -> None:
        """Drops all history: lists and watches from an older resourceVersion get 410."""
        self._storage.forget(for_watches_only=False)

    # Clients

    @property
    def url(self) -> str:
        """The server's address, such as "http://127.0.0.1:34567".

        Raises:
            RuntimeError: the server is not running.
        """
        return f"{'http' if self._certificates is None else 'https'}://127.0.0.1:{self._running().port}"

    @property
    def resource_version(self) -> str:
        """The resourceVersion of the newest write."""
        return str(self._storage.resource_version)

    @property
    def connection_count(self) -> int:
        """The number of connections that clients have opened so far."""
        return self._running().accepted

    @property
    def ca_certificate(self) -> bytes | None:
        """The certificate for clients to trust, as PEM; None without TLS."""
        return None if self._certificates is None else self._certificates.authority

    @property
    def ca_file(self) -> Path | None:
        """A PEM file with the certificates for clients to trust, until `stop`; None without TLS."""
        if self._certificates is None:
            return None
        with self._lock:
            try:
                if self._directory is not None:
                    check_private(self._directory)
            except OSError:
                # A program that cleans /tmp has deleted it, and another user may have made it anew.
                self._directory = None
            if self._directory is None:
                self._directory = Path(tempfile.mkdtemp(prefix="embedded-apiserver-"))
                write_private(self._directory / "ca.crt", self._certificates.authority)
            return self._directory / "ca.crt"

    def token(self, user: str | None = None) -> str | None:
        """Returns the bearer token of a user, by default of any; None if the server does not ask for tokens.

        Raises ValueError for an unknown user.
        """
        return self._access.token_of(user)

    def _running(self) -> HttpServer:
        http = self._http
        if http is None:
            raise RuntimeError(f"the API server is {'stopped' if self._stopped else 'not started'}")
        return http

    # Access

    def forbid(self, verb: str, resource: str, *, namespace: str | None = None) -> None:
        """Answers matching requests with 403 until `allow`.

        Args:
            verb: "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", or "*" for all.
            resource: such as "pods" or "deployments.apps", or "*" for all.
            namespace: only requests in this namespace; "" means only requests for the whole cluster; None means all.
        """
        self._access.forbid(verb, resource, namespace)

    def allow(self, verb: str = "*", resource: str = "*", *, namespace: str | None = None) -> None:
        """Undoes each `forbid` whose requests the arguments cover completely; without arguments, all of them."""
        self._access.allow(verb, resource, namespace)

    def set_tokens(self, tokens: Mapping[str, str] | Iterable[str] | None) -> None:
        """Replaces the accepted bearer tokens, as a rotation does. Open watches are not interrupted."""
        self._access.set_tokens(tokens)

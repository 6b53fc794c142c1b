"""An API server in the test's process, over real HTTP on loopback."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from informer.testing.faults.faults import Faults
from informer.testing.http.certificates import Certificates, make_certificates
from informer.testing.http.server import HttpServer
from informer.testing.server.access import Access
from informer.testing.server.object_calls import ObjectCalls
from informer.testing.server.request_handler import ApiHandler
from informer.testing.server.request_log import RequestLog
from informer.testing.server.versions import ServerVersion
from informer.testing.storage.registry import Registry
from informer.testing.storage.storage import Storage
from watch.concurrency import Lock

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["EmbeddedAPIServer"]


class EmbeddedAPIServer(ObjectCalls):
    """A Kubernetes API server of its own, for tests and demonstrations.

    It speaks the API over HTTP/1.1 as kube-apiserver does, for the built-in kinds and for those that a
    CustomResourceDefinition adds: discovery; create, update, patch (JSON, merge, strategic merge, apply as a merge) and
    delete with conflicts, preconditions, finalizers and the status subresource; lists with selectors, pages of one moment
    and all rules of resourceVersion; watches with history, bookmarks, WatchList and, with its gate, shardSelector.

    It is a store, not a cluster: nothing is scheduled or run, nothing is defaulted or validated beyond names and
    metadata, and there is no admission. Two things happen that need controllers elsewhere: a deleted namespace goes at
    once, with all that is in it, and a CustomResourceDefinition is served at once. A pod goes at once, since no kubelet
    would let go of it. There is no garbage collector: a deletion in the foreground, or with orphans, leaves the finalizer
    that one would take away. Apply does not record who owns which field, so it knows no conflicts.

    Args:
        tls: HTTPS, with a certificate made for this server (needs the `trustme` package: `pip install 'kube-informer[testing]'`).
        tokens: user names by bearer token, or just tokens; requests without one of them get 401. None lets everybody in.
        version: of Kubernetes; see `ServerVersion` for what differs.
        sharded_list_and_watch: the feature gate of shardSelector, which versions before 1.36 ignore.
        bookmark_interval: seconds between the bookmarks of a watch that allows them.
        history_limit: changes kept a resource; what is older is as if compacted.

    Attributes:
        faults: what is to go wrong; see `Faults` for the table.
        requests: what clients have asked; see `RequestLog`.

    Threads: any. Two dozen requests at once are fine, and so are hundreds of watches; each connection has a thread.

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
        history_limit: int = 20_000,
    ) -> None:
        storage = Storage(history_limit)
        registry = Registry(storage)
        super().__init__(storage, registry)
        self.faults = Faults()
        self.requests = RequestLog()
        self._access = Access(tokens)
        self._certificates: Certificates | None = make_certificates() if tls else None
        self._handler = ApiHandler(
            storage,
            registry,
            self._access,
            self.requests,
            self.faults,
            ServerVersion.parse(version, sharded_list_and_watch=sharded_list_and_watch),
            bookmark_interval=bookmark_interval,
        )
        self._lock = Lock()
        self._http: HttpServer | None = None  # guarded by _lock, as are the next two
        self._directory: Path | None = None
        self._stopped = False

    # Life

    def start(self) -> Self:
        """Begins to listen, on a free port of loopback.

        Raises:
            RuntimeError: it was started or stopped before.
        """
        with self._lock:
            if self._stopped or self._http is not None:
                raise RuntimeError(f"the API server was {'stopped' if self._stopped else 'started'} already")
            context = None if self._certificates is None else self._certificates.server_context()
            http = HttpServer(self._handler.handle, context=context, name="apiserver")
            self._http = http
            self.faults.attach(http)
            http.start()
        return self

    def stop(self) -> None:
        """Cuts every connection and ends every thread. Again is harmless."""
        with self._lock:
            self._stopped = True
            http, self._http = self._http, None
            directory, self._directory = self._directory, None
        if http is not None:
            http.stop()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def restart(self) -> None:
        """Cuts every connection, as a server that ends and starts again, and takes new ones on the same port.

        Objects, resourceVersions and lists of the past stay, as they are in etcd; a watch from a resourceVersion before
        the restart gets 410, as the watch cache is new.
        """
        http = self._running()
        http.refuse()
        http.cut_connections()
        self._storage.forget_watchable()
        http.accept()

    def compact(self) -> None:
        """Forgets all history: what is older than now can be neither listed nor watched any more."""
        self._storage.compact()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Clients

    @property
    def url(self) -> str:
        """Where it listens, such as "http://127.0.0.1:34567".

        Raises:
            RuntimeError: it is not started, or stopped.
        """
        return f"{'http' if self._certificates is None else 'https'}://127.0.0.1:{self._running().port}"

    @property
    def resource_version(self) -> str:
        """The newest: that of the last write."""
        return str(self._storage.resource_version)

    @property
    def connection_count(self) -> int:
        """How many connections clients have opened so far."""
        return self._running().accepted

    @property
    def ca_certificate(self) -> bytes | None:
        """The certificate that clients are to trust, as PEM; None without TLS."""
        return None if self._certificates is None else self._certificates.authority

    def api_client(self, *, token: str | None = None) -> ApiClient:
        """An official client that talks to this server; close it, or use it in a `with`.

        Args:
            token: a bearer token; None takes one of the server's own, where it asks for any.

        Raises:
            RuntimeError: the server is not started, or stopped.
        """
        from kubernetes import client

        configuration = client.Configuration()
        configuration.host = self.url
        # Loopback is reached directly, whatever the environment says.
        configuration.proxy = None
        if self._certificates is not None:
            configuration.ssl_ca_cert = str(self._ca_file())
        token = self._access.any_token() if token is None else token
        if token is not None:
            configuration.api_key["authorization"] = f"Bearer {token}"
        return client.ApiClient(configuration)

    def kubeconfig(self, path: str | os.PathLike[str], *, token: str | None = None) -> Path:
        """Writes a kubeconfig that stands for itself (no other file is needed) and returns its path.

        Args:
            path: of the file.
            token: a bearer token; None takes one of the server's own, where it asks for any.

        Raises:
            RuntimeError: the server is not started, or stopped.
        """
        cluster: dict[str, Any] = {"server": self.url}
        if self._certificates is not None:
            cluster["certificate-authority-data"] = base64.b64encode(self._certificates.authority).decode()
        token = self._access.any_token() if token is None else token
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "embedded", "cluster": cluster}],
            "users": [{"name": "embedded", "user": {} if token is None else {"token": token}}],
            "contexts": [{"name": "embedded", "context": {"cluster": "embedded", "user": "embedded"}}],
            "current-context": "embedded",
        }
        file = Path(path)
        # JSON is YAML too.
        file.write_text(json.dumps(config, indent=2) + "\n")
        file.chmod(0o600)
        return file

    def _ca_file(self) -> Path:
        assert self._certificates is not None
        with self._lock:
            if self._directory is None:
                self._directory = Path(tempfile.mkdtemp(prefix="embedded-apiserver-"))
                (self._directory / "ca.crt").write_bytes(self._certificates.authority)
            return self._directory / "ca.crt"

    def _running(self) -> HttpServer:
        http = self._http
        if http is None:
            raise RuntimeError(f"the API server is {'stopped' if self._stopped else 'not started'}")
        return http

    # Access

    def forbid(self, verb: str, resource: str, *, namespace: str | None = None) -> None:
        """Answers 403 from now on.

        Args:
            verb: "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection" or "*" for all.
            resource: "pods", "deployments.apps" or "*" for all.
            namespace: only requests in this one; "" only those all over the cluster; None all.
        """
        self._access.forbid(verb, resource, namespace)

    def allow(self, verb: str = "*", resource: str = "*", *, namespace: str | None = None) -> None:
        """Takes back what was forbidden, as far as these cover it."""
        self._access.allow(verb, resource, namespace)

    def set_tokens(self, tokens: Mapping[str, str] | Iterable[str] | None) -> None:
        """Takes other bearer tokens from now on, as when they are rotated; open watches go on."""
        self._access.set_tokens(tokens)

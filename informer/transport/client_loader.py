"""Makes an official `ApiClient` for the cluster that kubectl would use, without the official client's own loaders."""

from __future__ import annotations

import base64
import contextlib
import os
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import urllib3

from informer.api_paths import dns_label
from informer.errors import KubeconfigError
from informer.kubeconfig.access import Cluster, ClusterAccess, Pem
from informer.kubeconfig.find import find_access
from informer.kubeconfig.merge import quoted
from informer.transport.connection_pool import ConnectionPool
from informer.transport.credential_sources import AuthProvider, ExecPlugin, Source, TokenFile, put_token
from informer.transport.insecure_warnings import InsecureWarnings
from informer.transport.settings import ConnectionSettings
from watch.concurrency import OwnerProcess

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["current_namespace", "load_client", "repeat_headers"]


def load_client(
    kubeconfig: str | os.PathLike[str] | None = None,
    context: str | None = None,
    *,
    host: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    verify_ssl: bool | None = None,
    tls_server_name: str | None = None,
    user_agent: str | None = None,
) -> ApiClient:
    """Makes an official `ApiClient` for the cluster that kubectl would use.

    The cluster is that of `KUBECONFIG` (several files are merged), else that of `~/.kube/config`, else the one that this pod
    runs in. Informers without an `api_client` use such a client. Token files, exec plugins, inline certificates and
    impersonation work, also for the official API classes; an exec plugin runs when a request first needs it. Certificates
    from the kubeconfig itself are not written to files, so `kubernetes.stream` cannot use them.

    Args:
        kubeconfig: the path of a kubeconfig that has to exist; None to find one as kubectl does.
        context: the kubeconfig's context; None for its current one.
        host: replaces the address of the server. It also works without any kubeconfig, for an anonymous user.
        ca_file: replaces the certificates to trust: the path of a PEM file.
        verify_ssl: False accepts any certificate of the server; None for what the kubeconfig says.
        tls_server_name: replaces the name that the server's certificate must have.
        user_agent: the User-Agent header.

    Returns:
        A `kubernetes.client.ApiClient`.

    Raises:
        KubeconfigError: no cluster is configured, or its kubeconfig is malformed.

    Threads: any; reads files.
    """
    access = _with_host(host, kubeconfig, context)
    cluster = access.cluster
    if ca_file:
        path = os.path.abspath(os.path.expanduser(os.fspath(ca_file)))
        if not os.access(path, os.R_OK):
            raise KubeconfigError(f"ca_file {path} is missing, or this process may not read it")
        cluster = replace(cluster, authority=Pem(path=path), verify=True)
    if verify_ssl is not None:
        cluster = replace(cluster, verify=verify_ssl)
    if tls_server_name:
        cluster = replace(cluster, tls_server_name=tls_server_name)
    api_client = _client_for(replace(access, cluster=cluster))
    if user_agent:
        api_client.user_agent = user_agent
    return api_client


def current_namespace(kubeconfig: str | os.PathLike[str] | None = None, context: str | None = None) -> str:
    """Returns the namespace that kubectl would use: the context's, or that of the pod; "default" if neither says one.

    Args:
        kubeconfig: as for `load_client`.
        context: as for `load_client`.

    Raises:
        KubeconfigError: no cluster is configured, its kubeconfig is malformed, or the namespace is not a DNS label.
    """
    access = find_access(kubeconfig, context)
    with contextlib.suppress(ValueError):
        return dns_label("namespace", access.namespace)
    origin = f"context {access.context!r}" if access.context else access.cluster.file
    raise KubeconfigError(f"the namespace of {origin} is not the name of a namespace: correct it")


def _with_host(host: str | None, kubeconfig: str | os.PathLike[str] | None, context: str | None) -> ClusterAccess:
    if not host:
        return find_access(kubeconfig, context)
    address = (host if "://" in host else f"https://{host}").rstrip("/")
    try:
        access = find_access(kubeconfig, context)
    except KubeconfigError:
        # Without any configuration the address is enough.
        if kubeconfig or context or os.environ.get("KUBECONFIG"):
            raise
        return ClusterAccess(Cluster(address))
    return replace(access, cluster=replace(access.cluster, server=address))


def _client_for(access: ClusterAccess) -> ApiClient:
    from kubernetes import client

    # Not Configuration(): older official clients would copy the default configuration, with its credentials.
    configuration: Any = type.__call__(client.Configuration)
    # Shared with the transport of informers: one warning for both.
    configuration.insecure_warnings = InsecureWarnings()
    _configure(configuration, access.cluster)
    _authenticate(configuration, access)
    api_client: Any = _without_proxy(configuration, client.ApiClient)
    if access.user.impersonation:
        headers = urllib3.HTTPHeaderDict(api_client.default_headers)
        for name, value in access.user.impersonation:
            headers.add(name, value)
        api_client.default_headers = headers
    # The official client's own pool knows neither certificates without files nor a repeated header.
    api_client.rest_client.pool_manager = _OfficialPool(configuration, api_client.default_headers)
    return api_client  # type: ignore[no-any-return]


def _without_proxy(configuration: Any, make: Callable[[Any], Any]) -> Any:
    """Makes a client while its configuration has no proxy.

    The pool of the official client is replaced. Its constructor raises for some proxies, and quotes their addresses.
    """
    # A property of recent versions would forget whether the proxy comes from the environment.
    name = "_proxy" if hasattr(configuration, "_proxy") else "proxy"
    proxy = getattr(configuration, name, None)
    setattr(configuration, name, None)
    try:
        return make(configuration)
    finally:
        setattr(configuration, name, proxy)


def _configure(configuration: Any, cluster: Cluster) -> None:
    configuration.host = cluster.server
    configuration.verify_ssl = cluster.verify
    if cluster.verify and cluster.authority.data:
        configuration.ca_cert_data = cluster.authority.data.decode("ascii", "ignore")
    elif cluster.verify and cluster.authority.path:
        configuration.ssl_ca_cert = cluster.authority.path
    if cluster.tls_server_name:
        configuration.tls_server_name = cluster.tls_server_name
    if cluster.proxy_url:
        # NO_PROXY does not apply to a proxy that the kubeconfig names.
        configuration.proxy, configuration.no_proxy = cluster.proxy_url, None
    elif configuration.proxy is None:
        # Older official clients do not read the environment.
        environment = urllib.request.getproxies()
        scheme = "https" if cluster.server.startswith("https") else "http"
        configuration.proxy = environment.get(scheme) or environment.get("all")
        configuration.no_proxy = environment.get("no")


def _authenticate(configuration: Any, access: ClusterAccess) -> None:
    user = access.user
    configuration.credentials_origin = f"user {quoted(user.name)} in {user.file}" if user.name else ""
    if user.certificate:
        configuration.client_cert_data = user.certificate.data or None
        configuration.client_key_data = user.key.data or None
        configuration.cert_file = user.certificate.path or None
        configuration.key_file = user.key.path or None
    source = _source(access)
    if source is not None:
        # The official client calls the hook only where there is a token to refresh.
        put_token(configuration, "")
        configuration.refresh_api_key_hook = _hook(source)
    elif user.token:
        put_token(configuration, f"Bearer {user.token}")
    elif user.username or user.password:
        basic = urllib3.make_headers(basic_auth=f"{user.username}:{user.password}")
        put_token(configuration, basic["authorization"])


def _source(access: ClusterAccess) -> Source | None:
    """The source of credentials that change, in kubectl's order; None for fixed ones."""
    user = access.user
    if user.token_file:
        return TokenFile(user.token_file, user.token)
    if user.token:
        return None
    if user.exec is not None:
        return ExecPlugin(user.exec, cluster=_exec_cluster(access.cluster))
    if user.auth_provider is not None:
        return AuthProvider(user.auth_provider, user.name, user.file)
    return None


def _hook(source: Source) -> Any:
    def refresh(configuration: Any) -> None:
        if not source.is_asked:
            with source.needed():
                source.refresh(configuration, refused=False)

    return refresh


def _exec_cluster(cluster: Cluster) -> Mapping[str, Any]:
    """The cluster as a section of a kubeconfig, from which an exec plugin's input is made."""
    section: dict[str, Any] = {
        "server": cluster.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": not cluster.verify,
        "certificate-authority": cluster.authority.path,
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": cluster.exec_config}],
    }
    if cluster.authority.data:
        section["certificate-authority-data"] = base64.b64encode(cluster.authority.data).decode()
    return section


class _OfficialPool:
    """Stands in for the urllib3 pool of an official client, and sends its requests through the project's own pool.

    Args:
        configuration: the client's `Configuration`.
        headers: the client's default headers, of which some may be repeated.
    """

    def __init__(self, configuration: Any, headers: Mapping[str, str]) -> None:
        self._configuration = configuration
        self._headers = headers
        self._pool = ConnectionPool(configuration)
        self._process = OwnerProcess()

    def request(self, method: str, url: str, *, headers: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Sends a request as `urllib3.PoolManager.request` does."""
        if not self._process.is_current:
            # A forked child has no connections of its own: its copies of the parent's were closed.
            self._pool, self._process = ConnectionPool(self._configuration), OwnerProcess()
        retries = self._configuration.retries
        options.setdefault("retries", urllib3.Retry.DEFAULT if retries is None else retries)
        # A user without a token has None for the Authorization header.
        sent = {name: value for name, value in (headers or {}).items() if value is not None}
        has_credentials = any(name.lower() == "authorization" for name in sent)
        self._configuration.insecure_warnings.check(
            ConnectionSettings.of(self._configuration), has_credentials=has_credentials
        )
        return self._pool.current().request(method, url, headers=repeat_headers(sent, self._headers), **options)

    def clear(self) -> None:
        """Closes idle connections."""
        self._pool.close_idle()


def repeat_headers(headers: Mapping[str, str], defaults: Mapping[str, str]) -> Mapping[str, str]:
    """Returns a request's headers, in which default headers with several values are repeated instead of joined by commas.

    An API server takes "Impersonate-Group: a, b" for one group.

    Args:
        headers: the request's headers, default headers included.
        defaults: the client's default headers.
    """
    if not isinstance(defaults, urllib3.HTTPHeaderDict):
        return headers
    repeated = urllib3.HTTPHeaderDict(headers)
    for name in defaults:
        values = defaults.getlist(name)
        if len(values) > 1 and repeated.get(name) == defaults[name]:
            repeated.discard(name)
            for value in values:
                repeated.add(name, value)
    return repeated

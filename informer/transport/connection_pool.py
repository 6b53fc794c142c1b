"""The urllib3 pool of an API server's connections, replaced when settings or certificate files change."""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
import urllib.parse
from typing import Any

import urllib3

from informer.transport.connections import POOL_CLASSES, keepalive_options
from informer.transport.settings import ConnectionSettings
from informer.transport.tls_context import CertificateFiles, Certificates, make_context
from watch.concurrency import Lock

__all__ = ["ConnectionPool"]


class ConnectionPool:
    """Makes an urllib3 pool from an official client's configuration, and a new one after every change.

    A change is another value of a setting, or a certificate file with new contents, as when a certificate is rotated.

    Args:
        configuration: the official client's `Configuration`; read again for each request.

    Threads: any.
    """

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._lock = Lock()
        self._pool: urllib3.PoolManager | None = None  # guarded by _lock
        self._files = CertificateFiles()  # guarded by _lock
        self._made_from: Any = None  # settings and certificates that _pool was made from; guarded by _lock

    def current(self) -> urllib3.PoolManager:
        """Returns the pool for the next request. Responses from an earlier pool can still be read.

        Raises:
            OSError: a certificate file cannot be read, and never could, or its content cannot be used.
        """
        settings = ConnectionSettings.of(self._configuration)
        with self._lock:
            certificates = self._files.read(settings)
            # Paths do not count: the official client writes the same certificate to another file at times.
            made_from = (settings.without_files(), certificates)
            if self._pool is None or made_from != self._made_from:
                if self._pool is not None:
                    # Idle connections were opened with the old certificates, which may not be valid any more.
                    _close_idle(self._pool)
                self._pool = _make_pool(settings, certificates)
                self._made_from = made_from
            return self._pool

    def close_idle(self) -> None:
        """Closes the connections that no response uses."""
        with self._lock:
            if self._pool is not None:
                _close_idle(self._pool)


def _close_idle(manager: urllib3.PoolManager) -> None:
    # `clear` alone forgets the pools without closing them: an unread response keeps its pool's idle connections open.
    for key in manager.pools.keys():  # noqa: SIM118 - not a mapping to iterate over
        with contextlib.suppress(KeyError):
            manager.pools[key].close()
    manager.clear()


def _make_pool(settings: ConnectionSettings, certificates: Certificates) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        "num_pools": 4,
        "maxsize": 32,
        "block": False,
        "retries": False,
        "socket_options": [*keepalive_options(), *(settings.socket_options or ())],
    }
    if settings.host.startswith("https"):
        options |= _tls_options(settings, certificates)
    proxy = settings.proxy
    if not proxy or _bypasses_proxy(settings.host, settings.no_proxy):
        pool = urllib3.PoolManager(**options)
    elif proxy.lower().startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        # It uses connection classes of its own, so connecting through a SOCKS proxy cannot be interrupted.
        return SOCKSProxyManager(proxy, **options)
    else:
        pool = urllib3.ProxyManager(
            proxy,
            proxy_headers=_proxy_headers(settings, proxy),
            proxy_ssl_context=settings.proxy_ssl_context or _proxy_context(settings, certificates),
            **options,
        )
    pool.pool_classes_by_scheme = POOL_CLASSES
    return pool


def _tls_options(settings: ConnectionSettings, certificates: Certificates) -> dict[str, Any]:
    options: dict[str, Any] = {
        "cert_reqs": ssl.CERT_REQUIRED if settings.verify_ssl else ssl.CERT_NONE,
        "ssl_context": make_context(settings, certificates),
    }
    if settings.assert_hostname is not None:
        options["assert_hostname"] = settings.assert_hostname
    if settings.tls_server_name:
        options["server_hostname"] = settings.tls_server_name
    return options


def _proxy_context(settings: ConnectionSettings, certificates: Certificates) -> ssl.SSLContext | None:
    """The context for TLS to the proxy itself, which trusts the same authority; None for a proxy without TLS."""
    if not str(settings.proxy).lower().startswith("https"):
        return None
    return make_context(settings, Certificates(certificates.authority))


def _proxy_headers(settings: ConnectionSettings, proxy: str) -> Any:
    user, _, host = urllib.parse.urlsplit(proxy).netloc.rpartition("@")
    if settings.proxy_headers is None and user and host:
        return urllib3.make_headers(proxy_basic_auth=urllib.parse.unquote(user))
    return settings.proxy_headers


def _bypasses_proxy(host: str, no_proxy: str | None) -> bool:
    """Whether a host matches `no_proxy`, a comma-separated list of names, suffixes, addresses, networks and "*"."""
    parts = urllib.parse.urlsplit(host)
    name, with_port = (parts.hostname or "").lower(), parts.netloc.rpartition("@")[2].lower()
    for entry in (no_proxy or "").lower().split(","):
        suffix = entry.strip()
        if suffix == "*" or (suffix and _is_in_network(name, suffix)):
            return True
        suffix = suffix.lstrip(".")
        if suffix and any(each == suffix or each.endswith("." + suffix) for each in (name, with_port)):
            return True
    return False


def _is_in_network(name: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False

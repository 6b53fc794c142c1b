"""The urllib3 pool of an API server's connections, replaced when settings or certificate files change."""

from __future__ import annotations

import contextlib
import importlib.util
import queue
import ssl
import urllib.parse
from typing import Any

import urllib3

from informer.transport.connections import POOL_CLASSES, keepalive_options
from informer.transport.proxy import Proxy, proxy_for
from informer.transport.settings import ConnectionSettings
from informer.transport.tls_context import CertificateFiles, Certificates, make_context
from watch.concurrency import Lock
from watch.printable import hide_secret

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

    def drop_idle(self) -> None:
        """Closes the connections that no response uses; requests that other threads are about to send are not disturbed."""
        with self._lock:
            if self._pool is not None:
                _drain(self._pool)


def _close_idle(manager: urllib3.PoolManager) -> None:
    # `clear` alone forgets the pools without closing them: an unread response keeps its pool's idle connections open.
    for key in manager.pools.keys():  # noqa: SIM118 - not a mapping to iterate over
        with contextlib.suppress(KeyError):
            manager.pools[key].close()
    manager.clear()


def _drain(manager: urllib3.PoolManager) -> None:
    for key in manager.pools.keys():  # noqa: SIM118 - not a mapping to iterate over
        with contextlib.suppress(KeyError):
            _drain_one(manager.pools[key].pool)


def _drain_one(connections: Any) -> None:
    """Replaces the idle connections of a pool of urllib3 with free places."""
    taken: list[Any] = []
    with contextlib.suppress(queue.Empty):
        while connections is not None:
            taken.append(connections.get_nowait())
    for connection in taken:
        if connection is not None:
            connection.close()
        with contextlib.suppress(queue.Full):
            connections.put_nowait(None)


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
    proxy = proxy_for(settings)
    if proxy is None:
        pool = urllib3.PoolManager(**options)
    elif proxy.scheme.startswith("socks"):
        # It uses connection classes of its own, so connecting through a SOCKS proxy cannot be interrupted.
        return _socks_pool(proxy, options)
    else:
        pool = _proxy_pool(settings, certificates, proxy, options)
    pool.pool_classes_by_scheme = POOL_CLASSES
    return pool


def _proxy_pool(
    settings: ConnectionSettings, certificates: Certificates, proxy: Proxy, options: dict[str, Any]
) -> urllib3.PoolManager:
    if proxy.scheme not in ("http", "https"):
        raise ConnectionError(f"{proxy} must begin with http://, https:// or socks5://: {proxy.remedy}")
    context = _proxy_context(settings, certificates, proxy)
    with contextlib.suppress(ValueError):
        headers = _proxy_headers(settings, proxy.url)
        return urllib3.ProxyManager(proxy.url, proxy_headers=headers, proxy_ssl_context=context, **options)
    # Raised outside of the handler: the ValueError may quote a password.
    raise ConnectionError(f"{proxy} has a malformed address: {proxy.remedy}")


def _socks_pool(proxy: Proxy, options: dict[str, Any]) -> urllib3.PoolManager:
    # urllib3 would log a warning of its own.
    if importlib.util.find_spec("socks") is None:
        raise ConnectionError(f"{proxy} needs the package PySocks: pip install 'urllib3[socks]'")
    from urllib3.contrib.socks import SOCKSProxyManager

    return SOCKSProxyManager(proxy.url, **options)


def _proxy_context(settings: ConnectionSettings, certificates: Certificates, proxy: Proxy) -> Any:
    """The context for TLS to the proxy itself, which trusts the same authority; None for a proxy without TLS."""
    if settings.proxy_ssl_context is not None or proxy.scheme != "https":
        return settings.proxy_ssl_context
    return make_context(settings, Certificates(certificates.authority))


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


def _proxy_headers(settings: ConnectionSettings, proxy: str) -> Any:
    user, _, host = urllib.parse.urlsplit(proxy).netloc.rpartition("@")
    hide_secret(urllib.parse.unquote(user.partition(":")[2]))
    if settings.proxy_headers is None and user and host:
        return urllib3.make_headers(proxy_basic_auth=urllib.parse.unquote(user))
    return settings.proxy_headers

"""An urllib3 pool made as the official client's configuration says, made anew when certificate files change.

Comes in: a configuration. Goes out: the pool to send the next request through.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
import urllib.parse
from typing import Any

import urllib3

from informer.transport.connections import POOL_CLASSES, keepalive_options
from watch.concurrency import Lock

__all__ = ["ConnectionPool"]

_SETTINGS = (
    "host",
    "verify_ssl",
    "ca_cert_data",
    "assert_hostname",
    "tls_server_name",
    "proxy",
    "no_proxy",
    "proxy_headers",
    "proxy_ssl_context",
    "socket_options",
)
_FILES = ("ssl_ca_cert", "cert_file", "key_file")


class ConnectionPool:
    """See the module.

    Args:
        configuration: the official client's.

    Threads: any.
    """

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._lock = Lock()
        self._pool: urllib3.PoolManager | None = None  # guarded by _lock
        self._stamp: tuple[Any, ...] = ()  # of what the pool was made from; guarded by _lock

    def current(self) -> urllib3.PoolManager:
        """The pool; a new one after a change, while answers under way through the old one go on."""
        stamp = self._stamp_now()
        with self._lock:
            if self._pool is None or stamp != self._stamp:
                if self._pool is not None:
                    # What is idle was opened with certificates that may not be good any more.
                    _close_idle(self._pool)
                self._pool = _make_pool(self._configuration)
                self._stamp = stamp
            return self._pool

    def _stamp_now(self) -> tuple[Any, ...]:
        settings = tuple(getattr(self._configuration, name, None) for name in _SETTINGS)
        return (*settings, *(_file_stamp(getattr(self._configuration, name, None)) for name in _FILES))


def _close_idle(manager: urllib3.PoolManager) -> None:
    # `clear` only forgets the pools, and an answer under way keeps its own alive, idle connections and all.
    for key in manager.pools.keys():  # noqa: SIM118 - not a mapping to iterate over
        with contextlib.suppress(KeyError):
            manager.pools[key].close()
    manager.clear()


def _file_stamp(path: str | None) -> tuple[Any, ...]:
    try:
        stat = os.stat(path) if path else None
    except OSError:
        stat = None
    return (path, None) if stat is None else (path, stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _make_pool(configuration: Any) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        "num_pools": 4,
        "maxsize": 32,
        "block": False,
        "retries": False,
        "socket_options": [*keepalive_options(), *(getattr(configuration, "socket_options", None) or ())],
    }
    if configuration.host.startswith("https"):
        options |= _tls_options(configuration)
    proxy = configuration.proxy
    if not proxy or _bypasses_proxy(configuration.host, getattr(configuration, "no_proxy", None)):
        pool = urllib3.PoolManager(**options)
    elif proxy.lower().startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        # Its connections are its own, and connecting through one cannot be interrupted.
        return SOCKSProxyManager(proxy, **options)
    else:
        pool = urllib3.ProxyManager(
            proxy,
            proxy_headers=_proxy_headers(configuration, proxy),
            proxy_ssl_context=getattr(configuration, "proxy_ssl_context", None),
            **options,
        )
    pool.pool_classes_by_scheme = POOL_CLASSES
    return pool


def _tls_options(configuration: Any) -> dict[str, Any]:
    options = {
        "cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE,
        "ca_certs": configuration.ssl_ca_cert or None,
        "cert_file": configuration.cert_file or None,
        "key_file": configuration.key_file or None,
    }
    # Not every urllib3 that is allowed knows this one, and those official clients that go with it do not set it.
    if getattr(configuration, "ca_cert_data", None) is not None:
        options["ca_cert_data"] = configuration.ca_cert_data
    if configuration.assert_hostname is not None:
        options["assert_hostname"] = configuration.assert_hostname
    if getattr(configuration, "tls_server_name", None):
        options["server_hostname"] = configuration.tls_server_name
    return options


def _proxy_headers(configuration: Any, proxy: str) -> Any:
    headers = getattr(configuration, "proxy_headers", None)
    user, _, host = urllib.parse.urlsplit(proxy).netloc.rpartition("@")
    if headers is None and user and host:
        headers = urllib3.make_headers(proxy_basic_auth=urllib.parse.unquote(user))
    return headers


def _bypasses_proxy(host: str, no_proxy: str | None) -> bool:
    """Whether a comma-separated list of names, suffixes, addresses, networks and "*" has the host in it."""
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

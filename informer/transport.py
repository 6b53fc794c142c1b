"""Requests to an API server: the official client's configuration and credentials over an urllib3 pool of our own.

Comes in: a path and a query. Goes out: a response whose body was not read, or the server's refusal as an `ApiError`.
Waiting and trying again are the reflector's: nothing here retries, but for one refresh of credentials that were refused.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from watch.concurrency import Lock
from watch.errors import ApiError, RequestCancelledError, parse_retry_after
from watch.request_scope import current_scope

__all__ = ["Transport", "transport_for"]

CONNECT_TIMEOUT = 30.0
HEAD_TIMEOUT = 60.0
# A Status is some hundred bytes; what a proxy puts in its place is cut off here.
_MAX_ERROR_BODY = 64 * 1024

_open_sockets: WeakSet[socket.socket] = WeakSet()


def _keepalive_options() -> list[tuple[int, int, int]]:
    """A dead path is noticed after 15 s of silence and three probes 10 s apart, or 45 s of unacknowledged data."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 45_000)):
        number = getattr(socket, name, None)
        if number is not None:
            options.append((socket.IPPROTO_TCP, number, value))
    return options


class _Interruptible:
    """A connection that the scope of its request can shut down while it connects and while it waits for an answer."""

    sock: Any
    host: str
    port: int
    _dns_host: str
    socket_options: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        _open_sockets.add(self.sock)

    def getresponse(self) -> Any:
        with _abortable(self.sock):
            return super().getresponse()  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        last: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(CONNECT_TIMEOUT)
                with _abortable(sock):
                    sock.connect(address)
            except OSError as error:
                last = error
                sock.close()
                if isinstance(error, RequestCancelledError):
                    raise
            else:
                return sock
        raise last or OSError(f"no address for {self.host}")


class _TLSHandshake(_Interruptible):
    """The handshake takes the socket object for its own: a second one for the same connection can end it."""

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._handle = sock.dup()
        return sock

    def connect(self) -> None:
        scope = current_scope()
        withdraw = scope.on_cancel(lambda: _shut_down(self._handle)) if scope is not None else None
        self._handle = socket.socket()  # until there is a connection
        placeholder = self._handle
        try:
            super().connect()
        finally:
            if withdraw is not None:
                withdraw()
            placeholder.close()
            self._handle.close()


@contextlib.contextmanager
def _abortable(sock: socket.socket) -> Iterator[None]:
    """While inside, the scope's cancelling shuts the socket down."""
    scope = current_scope()
    if scope is None or sock is None:
        yield
        return
    withdraw = scope.on_cancel(lambda: _shut_down(sock))
    try:
        yield
    finally:
        withdraw()
        if scope.cancelled:
            raise RequestCancelledError("the request was given up: its owner has stopped")


class _PlainConnection(_Interruptible, HTTPConnection):
    pass


class _TLSConnection(_TLSHandshake, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOL_CLASSES = {"http": _PlainPool, "https": _TLSPool}


class Transport:
    """Sends requests with an official client's configuration.

    Args:
        api_client: its `configuration` says where to and with which credentials, its `default_headers` go along.

    Threads: any; credentials are made by one thread at a time, so that many informers run one exec plugin once.
    """

    def __init__(self, api_client: Any) -> None:
        self._configuration = api_client.configuration
        self._headers = dict(getattr(api_client, "default_headers", None) or {})
        cookie = getattr(api_client, "cookie", None)
        if cookie:
            self._headers["Cookie"] = cookie
        self._lock = Lock()
        self._pool: urllib3.PoolManager | None = None  # guarded by _lock
        self._pool_stamp: tuple[Any, ...] = ()  # of the certificate files that the pool was made with; guarded by _lock

    @property
    def host(self) -> str:
        """The server's address."""
        return str(self._configuration.host).rstrip("/")

    def open(self, path: str, query: Mapping[str, str], *, accept: str = "application/json", gzip: bool = False) -> Any:
        """Sends a GET and returns the response with its body unread; close it, or read it to the end.

        Args:
            path: absolute, such as "/api/v1/pods".
            query: parameters under their wire names.
            accept: the media types asked for.
            gzip: whether the answer may be compressed.

        Raises:
            ApiError: the server answered with anything but 2xx.
            ConnectionError: it could not be reached, or broke off; the message says which server and why.
        """
        response = self._send(path, query, accept, gzip)
        if response.status == 401 and self._refresh():
            response.close()
            response = self._send(path, query, accept, gzip)
        if not 200 <= response.status < 300:
            raise self._refusal(response)
        return response

    def get_json(self, path: str, *, accept: str = "application/json") -> Any:
        """Sends a GET and returns the decoded answer; raises as `open` does."""
        response = self.open(path, {}, accept=accept)
        try:
            body = response.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ConnectionError(f"{self.host} broke off its answer: {_reason(error)}") from error
        finally:
            response.close()
        try:
            return msgspec.json.decode(body)
        except (ValueError, RecursionError) as error:
            raise ApiError(response.status, "", f"{self.host}{path} did not answer in JSON") from error

    def _send(self, path: str, query: Mapping[str, str], accept: str, gzip: bool) -> Any:
        url = self.host + path
        headers = {**self._headers, "Accept": accept, "Accept-Encoding": "gzip" if gzip else "identity"}
        with self._lock:
            parameters = [*query.items(), *self._authenticate(headers)]
            pool = self._current_pool()
        if parameters:
            url += "?" + urllib.parse.urlencode(parameters)
        scope = current_scope()
        try:
            return pool.request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=HEAD_TIMEOUT),
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if scope is not None and scope.cancelled:
                raise RequestCancelledError("the request was given up: its owner has stopped") from error
            raise self._unreachable(error) from error

    def _unreachable(self, error: BaseException) -> ConnectionError:
        root: BaseException | None = error
        while root is not None:
            if isinstance(root, ConnectionRefusedError):
                return ConnectionRefusedError(f"cannot connect to {self.host}: connection refused")
            root = root.__cause__ or root.__context__
        return ConnectionError(f"cannot reach {self.host}: {_reason(error)}")

    def _refusal(self, response: Any) -> ApiError:
        try:
            body = response.read(_MAX_ERROR_BODY)
        except (urllib3.exceptions.HTTPError, OSError):
            body = b""
        finally:
            response.close()
        retry_after = parse_retry_after(response.headers.get("Retry-After"))
        try:
            status: Any = msgspec.json.decode(body)
        except (ValueError, RecursionError):
            status = None
        answer = ApiError.from_status(status, http_status=response.status, retry_after=retry_after)
        if answer.message or answer.reason:
            return answer
        text = body[:200].decode(errors="replace").strip()
        return ApiError(answer.status, response.reason or "", text, answer.retry_after, details=answer.details)

    def _authenticate(self, headers: dict[str, str]) -> list[tuple[str, str]]:
        """Puts the credentials of this moment into the headers; returns those that go into the query."""
        configuration = self._configuration
        parameters: list[tuple[str, str]] = []
        # The hook of the official client's loaders runs in here: token files are read again, exec plugins run.
        for setting in configuration.auth_settings().values():
            if not setting.get("value"):
                continue
            if setting["in"] == "header":
                headers[setting["key"]] = setting["value"]
            elif setting["in"] == "query":
                parameters.append((setting["key"], setting["value"]))
        if "authorization" not in {name.lower() for name in headers}:
            # Set by hand by users of every version, under either of the two names that versions know it by.
            for name in ("authorization", "BearerToken"):
                token = configuration.get_api_key_with_prefix(name)
                if token:
                    headers["Authorization"] = token
                    break
        return parameters

    def _refresh(self) -> bool:
        """After a 401: has the credentials made anew; returns whether there is any way to."""
        with self._lock:
            hook = getattr(self._configuration, "refresh_api_key_hook", None)
            if hook is None:
                return False
            # The official client's loaders look again only when a time that they keep has come. Each has a way to look
            # at once, and hides behind its hook.
            for cell in getattr(hook, "__closure__", None) or ():
                for name in ("_read_token_file", "_load_authentication"):
                    load = getattr(cell.cell_contents, name, None)
                    if callable(load):
                        load()
            return True

    def _current_pool(self) -> urllib3.PoolManager:
        stamp = self._certificate_stamp()
        if self._pool is None or stamp != self._pool_stamp:
            self._pool = _make_pool(self._configuration, self.host)
            self._pool_stamp = stamp
        return self._pool

    def _certificate_stamp(self) -> tuple[Any, ...]:
        configuration = self._configuration
        stamp: list[Any] = [configuration.verify_ssl]
        for path in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
            try:
                stat = os.stat(path) if path else None
            except OSError:
                stat = None
            stamp.append((path, stat and (stat.st_mtime_ns, stat.st_size, stat.st_ino)))
        return tuple(stamp)


def _make_pool(configuration: Any, host: str) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        "num_pools": 4,
        "maxsize": 32,
        "block": False,
        "retries": False,
        "socket_options": _keepalive_options(),
    }
    if host.startswith("https"):
        options |= {
            "cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE,
            "ca_certs": configuration.ssl_ca_cert or None,
            "cert_file": configuration.cert_file or None,
            "key_file": configuration.key_file or None,
        }
        if configuration.assert_hostname is not None:
            options["assert_hostname"] = configuration.assert_hostname
        if getattr(configuration, "tls_server_name", None):
            options["server_hostname"] = configuration.tls_server_name
            options["assert_hostname"] = configuration.assert_hostname or configuration.tls_server_name
        if not configuration.verify_ssl:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    proxy = configuration.proxy
    if proxy and not _bypasses_proxy(host, getattr(configuration, "no_proxy", None)):
        pool: urllib3.PoolManager = urllib3.ProxyManager(
            proxy, proxy_headers=getattr(configuration, "proxy_headers", None), **options
        )
    else:
        pool = urllib3.PoolManager(**options)
    pool.pool_classes_by_scheme = _POOL_CLASSES
    return pool


def _bypasses_proxy(host: str, no_proxy: str | None) -> bool:
    name = (urllib.parse.urlsplit(host).hostname or "").lower()
    for entry in (no_proxy or "").split(","):
        suffix = entry.strip().lower().lstrip(".")
        if suffix == "*" or (suffix and (name == suffix or name.endswith("." + suffix))):
            return True
    return False


def _reason(error: BaseException) -> str:
    """The innermost words of urllib3's nested errors, on one line."""
    inner = getattr(error, "reason", None)
    while isinstance(inner, BaseException):
        error, inner = inner, getattr(inner, "reason", None)
    text = " ".join(str(error).split())
    # urllib3 puts the connection object's repr before the words.
    return text.rpartition(">: ")[2] or type(error).__name__


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


_transports: WeakKeyDictionary[Any, Transport] = WeakKeyDictionary()
_transports_lock = Lock()


def transport_for(api_client: Any = None) -> Transport:
    """The transport of an official `ApiClient`, one for each.

    Args:
        api_client: None reads the in-cluster configuration, or else the kubeconfig, as kubectl does.

    Raises:
        kubernetes.config.ConfigException: None was given and there is no configuration.
    """
    if api_client is None:
        api_client = _default_client()
    with _transports_lock:
        transport = _transports.get(api_client)
        if transport is None:
            transport = _transports[api_client] = Transport(api_client)
        return transport


_defaults: list[Any] = []


def _default_client() -> Any:
    from kubernetes import client, config

    if not _defaults:
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            config.load_kube_config(client_configuration=configuration)
        _defaults.append(client.ApiClient(configuration))
    return _defaults[0]


def _close_after_fork() -> None:
    """The child's copies of the sockets are closed without a word to the server: the connections are the parent's."""
    for sock in list(_open_sockets):
        with contextlib.suppress(OSError, ValueError):
            number = sock.detach()
            if number >= 0:
                os.close(number)
    _open_sockets.clear()
    _transports.clear()
    _defaults.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_after_fork)

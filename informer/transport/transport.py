"""Requests to an API server: the official client's configuration and credentials over an urllib3 pool of our own.

Comes in: a path and a query. Goes out: a response whose body was not read, or the server's refusal as an `ApiError`.
Waiting and trying again are the reflector's: nothing here retries, but for one refresh of credentials that were refused.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec
import urllib3

from informer.transport.connection_pool import ConnectionPool
from informer.transport.connections import CONNECT_TIMEOUT
from informer.transport.credential_sources import load_kubeconfig
from informer.transport.credentials import Credentials, shown_address
from informer.transport.response_body import read_body
from informer.transport.tls_errors import tls_advice
from watch.concurrency import Lock, in_forked_child
from watch.errors import ApiError, RequestCancelledError, parse_retry_after
from watch.request_scope import current_scope, unless_cancelled

__all__ = ["Transport", "transport_for"]

HEAD_TIMEOUT = 60.0
# A Status is some hundred bytes; what a proxy puts in its place is cut off here.
_MAX_ERROR_BODY = 64 * 1024
_MAX_JSON_BODY = 16 * 1024 * 1024
_ERROR_BODY_TIMEOUT = 10.0
_JSON_BODY_TIMEOUT = 60.0


class _Request(NamedTuple):
    """What varies of a request beside its address and headers."""

    method: str = "GET"
    body: bytes | None = None
    timeout: float | None = None  # of connecting, and of waiting for the head; None: those of every request


_GET = _Request()


class Transport:
    """Sends requests with an official client's configuration.

    Args:
        api_client: its `configuration` says where to and with which credentials, its `default_headers` go along.

    Threads: any.
    """

    def __init__(self, api_client: Any) -> None:
        self._configuration = api_client.configuration
        # Not a copy: the official client's users may set headers later.
        self._headers: Mapping[str, str] = getattr(api_client, "default_headers", None) or {}
        cookie = getattr(api_client, "cookie", None)
        self._cookie = {"Cookie": cookie} if cookie else {}
        self._credentials = Credentials(self._configuration)
        self._pool = ConnectionPool(self._configuration)

    @property
    def host(self) -> str:
        """The server's address."""
        return str(self._configuration.host).rstrip("/")

    @property
    def shown_host(self) -> str:
        """The server's address for messages."""
        return shown_address(self._configuration.host)

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
        headers = {"Accept": accept, "Accept-Encoding": "gzip" if gzip else "identity"}
        response, renewals = self._send(path, query, headers)
        if response.status == 401 and self._renewed(renewals, response):
            response, _ = self._send(path, query, headers)
        if not 200 <= response.status < 300:
            raise _refusal(response)
        return response

    def _renewed(self, renewals: int, refused: Any) -> bool:
        """Whether there are new credentials; the answer that asked for them is closed unless it is the last word."""
        renewed = True
        try:
            renewed = self._credentials.renew(renewals)
        finally:
            if renewed:
                refused.close()
        return renewed

    def get_json(self, path: str, *, accept: str = "application/json") -> Any:
        """Sends a GET and returns the decoded answer; raises as `open` does."""
        return self._decoded(self.open(path, {}, accept=accept), path, _JSON_BODY_TIMEOUT)

    def _decoded(self, response: Any, path: str, within: float) -> Any:
        body, complete = read_body(response, max_bytes=_MAX_JSON_BODY, within=within)
        if not complete and len(body) >= _MAX_JSON_BODY:
            raise ApiError(
                response.status,
                "",
                f"{self.shown_host}{path} answered with more than {_MAX_JSON_BODY} bytes, the most allowed",
            )
        if not complete:
            raise ConnectionError(f"{self.shown_host} broke off its answer to {path}")
        try:
            return msgspec.json.decode(body)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise ApiError(response.status, "", f"{self.shown_host}{path} did not answer in JSON") from error

    def send_json(self, method: str, path: str, body: Any = None, *, timeout: float) -> Any:
        """Sends a request that may have a body, and returns the decoded answer.

        Args:
            method: "GET", "POST", "PUT", "PATCH" or "DELETE". Nothing is sent twice, but for credentials that were refused.
            path: absolute, with its query if it needs one.
            body: what is sent, in API form; None sends nothing.
            timeout: seconds for the connection, for the answer to begin, and for its body, each.

        Raises:
            ApiError: the server answered with anything but 2xx, or not in JSON.
            ConnectionError: it could not be reached, or broke off; whether it has done what it was asked is unknown then.
        """
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        request = _Request(method, data, timeout)
        response, renewals = self._send(path, {}, headers, request)
        if response.status == 401 and self._renewed(renewals, response):
            response, _ = self._send(path, {}, headers, request)
        if not 200 <= response.status < 300:
            raise _refusal(response)
        return self._decoded(response, path, timeout)

    def _send(
        self, path: str, query: Mapping[str, str], own_headers: Mapping[str, str], request: _Request = _GET
    ) -> tuple[Any, int]:
        headers = {**self._headers, **self._cookie, **own_headers}
        parameters, renewals = self._credentials.put_into(headers)
        url = self.host + path
        if query or parameters:
            url += "?" + urllib.parse.urlencode([*query.items(), *parameters])
        try:
            return self._request(url, headers, request), renewals
        except (urllib3.exceptions.HTTPError, OSError) as error:
            scope = current_scope()
            if scope is not None and scope.cancelled:
                raise RequestCancelledError("the request was given up: its owner has stopped") from error
            raise self._unreachable(error) from error
        except ValueError:
            pass
        # Not from within: the error has the header's value in it, which may be a token, and would stay behind this one.
        raise ConnectionError(f"cannot reach {self.shown_host}: a header or the address is malformed")

    def _request(self, url: str, headers: Mapping[str, str], request: _Request) -> Any:
        return self._pool.current().request(
            request.method,
            url,
            body=request.body,
            headers=headers,
            preload_content=False,
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(connect=request.timeout or CONNECT_TIMEOUT, read=request.timeout or HEAD_TIMEOUT),
        )

    def _unreachable(self, error: BaseException) -> ConnectionError:
        root = _root_of(error)
        if isinstance(root, ConnectionRefusedError):
            return ConnectionRefusedError(f"cannot connect to {self.shown_host}: connection refused")
        advice = tls_advice(root, self._configuration)
        if advice:
            return ConnectionError(f"cannot reach {self.shown_host}: {advice}")
        text = " ".join(str(root).split())
        # urllib3 puts the connection object's repr before the words.
        return ConnectionError(f"cannot reach {self.shown_host}: {text.rpartition('>: ')[2] or type(root).__name__}")


def _root_of(error: BaseException) -> BaseException:
    """The innermost of urllib3's nested errors."""
    for _ in range(10):
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((each for each in error.args if isinstance(each, BaseException)), None)
        if inner is None:
            break
        error = inner
    return error


def _refusal(response: Any) -> ApiError:
    """The server's answer, or what a proxy has put in its place."""
    retry_after = parse_retry_after(response.headers.get("Retry-After"))
    body, _ = read_body(response, max_bytes=_MAX_ERROR_BODY, within=_ERROR_BODY_TIMEOUT)
    try:
        status: Any = msgspec.json.decode(body)
    except (ValueError, msgspec.DecodeError, RecursionError):
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return ApiError.from_status(status, http_status=response.status, retry_after=retry_after)
    # Not an API server's: a code in there need not be one of HTTP's.
    message = status.get("message") if isinstance(status, dict) else None
    if not isinstance(message, str):
        message = " ".join(body[:1000].decode(errors="replace").split())[:200]
    return ApiError(response.status, response.reason or "", message, retry_after)


_transports: WeakKeyDictionary[Any, Transport] = WeakKeyDictionary()
_transports_lock = Lock()
_defaults: list[Any] = []  # the default client, once it was asked for
_defaults_lock = Lock()


def transport_for(api_client: Any = None) -> Transport:
    """The transport of an official `ApiClient`, one for each.

    Args:
        api_client: None reads the in-cluster configuration, or else the kubeconfig, as kubectl does.

    Raises:
        kubernetes.config.ConfigException: None was given and there is no configuration.
    """
    if api_client is None:
        # To load it may mean to run an exec plugin.
        api_client = _defaults[0] if _defaults else unless_cancelled(_default_client, "default-client")
    with _transports_lock:
        transport = _transports.get(api_client)
        if transport is None:
            transport = _transports[api_client] = Transport(api_client)
        return transport


def _default_client() -> Any:
    from kubernetes import client, config

    with _defaults_lock:
        if not _defaults:
            configuration = client.Configuration()
            load: Any = config
            try:
                load.load_incluster_config(client_configuration=configuration)
            except load.ConfigException:
                load_kubeconfig(configuration)
            _defaults.append(client.ApiClient(configuration))
        return _defaults[0]


@in_forked_child
def _forget_after_fork() -> None:
    """The pools are the parent's, and so may be a lock that was held when the child was made."""
    global _transports_lock, _defaults_lock
    _transports_lock, _defaults_lock = Lock(), Lock()
    _transports.clear()
    _defaults.clear()

"""Sends requests to an API server, with the official client's configuration over the project's own urllib3 pool.

Nothing here retries, except once with renewed credentials after a 401: backing off and retrying is up to the caller.
"""

from __future__ import annotations

import contextlib
import copy
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec
import urllib3

from informer.transport.answers import (
    PROXY_HINT,
    Foreign,
    explain_refusal,
    foreign_success,
    shown_address,
    unrequested_encoding,
)
from informer.transport.client_loader import load_client, repeat_headers
from informer.transport.connection_pool import ConnectionPool
from informer.transport.connections import CONNECT_TIMEOUT
from informer.transport.credentials import Credentials
from informer.transport.gated_client import GatedClient
from informer.transport.insecure_warnings import InsecureWarnings
from informer.transport.proxy import explain_proxy_error, proxy_for
from informer.transport.redaction import hide_credentials
from informer.transport.response_body import decode_object, read_body
from informer.transport.settings import ConnectionSettings, server_address
from informer.transport.tls_errors import explain_tls_error
from watch.concurrency import Lock, in_forked_child
from watch.errors import MAX_MESSAGE, ApiError, RequestCancelledError, parse_retry_after
from watch.printable import printable, quoted_beginning, without_secrets
from watch.protobuf_wire import looks_like_protobuf, open_envelope, status_in
from watch.request_scope import current_scope, time_limit, unless_cancelled

__all__ = ["MAX_SMALL_BODY", "Transport", "transport_for"]

HEAD_TIMEOUT = 60.0
"""Seconds that a server may take until its response begins."""
# A Status takes some hundred bytes. Longer error pages, as of a proxy, are cut off.
_MAX_ERROR_BODY = 64 * 1024
_MAX_FOREIGN_BODY = 4 * 1024
_MAX_JSON_BODY = 16 * 1024 * 1024
MAX_SMALL_BODY = 64 * 1024
"""The most bytes of an answer that is one small object, such as a Lease."""
_ERROR_BODY_TIMEOUT = 10.0
_JSON_BODY_TIMEOUT = 60.0


class _Request(NamedTuple):
    """The parts of a request besides its address and headers.

    Attributes:
        method: the HTTP method.
        body: the bytes to send; None sends no body.
        timeout: seconds until the response has begun, its headers included; None limits connecting, and each wait for bytes.
    """

    method: str = "GET"
    body: bytes | None = None
    timeout: float | None = None


_GET = _Request()
_decode = msgspec.json.decode


class Transport:
    """Sends requests as an official `ApiClient` is configured: its address, TLS settings, proxy, credentials and headers.

    Settings that change later take effect with the next request.

    Args:
        api_client: an `ApiClient` of `kubernetes` or `kubernetes_asyncio`. Only its `configuration`, `default_headers` and
            `cookie` are used, and the gate of a `GatedClient`.

    Threads: any.
    """

    def __init__(self, api_client: Any) -> None:
        self._gate = api_client.write_gate if isinstance(api_client, GatedClient) else None
        self._configuration = api_client.configuration
        # Not a copy: users can set headers on the client later.
        self._headers: Mapping[str, str] = api_client.default_headers
        self._cookie = {"Cookie": api_client.cookie} if api_client.cookie else {}
        self._credentials = Credentials(self._configuration)
        self._pool = ConnectionPool(self._configuration)
        # A configuration of `load_client` has one, which the official API classes share.
        self._warnings = getattr(self._configuration, "insecure_warnings", None) or InsecureWarnings()

    @property
    def host(self) -> str:
        """The server's address."""
        return server_address(self._configuration)

    @property
    def shown_host(self) -> str:
        """The server's address for messages, without a password in it."""
        return shown_address(self.host)

    def authority(self) -> str:
        """See `ConnectionSettings.authority`."""
        return ConnectionSettings.of(self._configuration).authority()

    def close_idle(self) -> None:
        """Closes the connections that no response uses."""
        self._pool.drop_idle()

    def open(self, path: str, query: Mapping[str, str], *, accept: str = "application/json", gzip: bool = False) -> Any:
        """Sends a GET request and returns the urllib3 response as soon as it begins, with its body unread.

        The caller reads the response to its end, or closes it.

        Args:
            path: absolute, such as "/api/v1/pods".
            query: the parameters, by their names in the API.
            accept: the accepted media types.
            gzip: whether the server may compress the body.

        Raises:
            ApiError: the server answered with a status other than 2xx.
            ConnectionError: the server cannot be reached or closed the connection, or there are no credentials. The message
                says which server and why.
            RequestCancelledError: the request's scope was cancelled.
        """
        headers = {"Accept": accept, "Accept-Encoding": "gzip" if gzip else "identity"}
        return self._exchange(path, query, headers, _GET)

    def get_json(self, path: str, *, accept: str = "application/json") -> Any:
        """Sends a GET request and returns the decoded JSON body; raises as `send_json`."""
        return self._decoded(self.open(path, {}, accept=accept), path, _JSON_BODY_TIMEOUT, _MAX_JSON_BODY)

    def _decoded(
        self, response: Any, path: str, within: float, max_bytes: int, decode: Callable[[bytes], Any] = _decode
    ) -> Any:
        body, complete = read_body(response, max_bytes=max_bytes, within=within)
        if not complete and len(body) >= max_bytes:
            raise ApiError(
                response.status,
                "",
                f"the answer of {self.shown_host} to {path} is larger than {max_bytes} bytes, the limit",
            )
        if not complete:
            raise ConnectionError(f"{self.shown_host} closed the connection, or stalled, within its answer to {path}")
        try:
            return decode(body)
        except RecursionError:
            # Not the cause: its traceback would hold the body.
            text = f"{self.shown_host} answered {path} with JSON that is nested too deeply to be decoded"
            raise ApiError(response.status, "", text) from None
        except (ValueError, msgspec.DecodeError) as error:
            raise ApiError(
                response.status,
                "",
                f"{self.shown_host} answered {path} with something other than JSON ({PROXY_HINT}){quoted_beginning(body)}",
            ) from error

    def send_json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        timeout: float,
        content_type: str = "application/json",
        max_bytes: int = MAX_SMALL_BODY,
    ) -> Any:
        """Sends a request with a JSON body and returns the decoded JSON body of the response.

        The request is sent once, and once more only when the server answers 401 and the credentials can be renewed. What is
        nested too deeply in the answer for a decoder stays JSON, as `msgspec.Raw`: a client may write an object's
        managedFields so.

        Args:
            method: "GET", "POST", "PUT", "PATCH" or "DELETE".
            path: absolute, with the query if there is one.
            body: the object to send, in API form; None sends no body.
            timeout: seconds until the response has begun, its headers included, and again for its body.
            content_type: the media type of `body`, which says what kind of patch it is.
            max_bytes: the longest body to accept.

        Raises:
            ApiError: the server answered with a status other than 2xx, not in JSON, or with more than `max_bytes`.
            ConnectionError: the server cannot be reached or closed the connection. The server may have executed the request.
        """
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = msgspec.json.encode(body)
        response = self._exchange(path, {}, headers, _Request(method, data, timeout))
        return self._decoded(response, path, timeout, max_bytes, decode_object)

    def _exchange(self, path: str, query: Mapping[str, str], headers: Mapping[str, str], request: _Request) -> Any:
        """Sends a request, again with renewed credentials after a 401, and returns the 2xx response."""
        response, renewals = self._send(path, query, headers, request)
        if response.status == 401 and self._renewed(renewals, response):
            response, _ = self._send(path, query, headers, request)
        asked = f"{request.method} {shown_address(self.host + path)}"
        encoded = unrequested_encoding(response, asked, gzip=headers["Accept-Encoding"] == "gzip")
        if encoded:
            response.close()
            reason = response.reason or "" if response.status >= 300 else ""
            refused = ApiError(response.status, reason, encoded, _retry_after(response))
            raise self._unauthorized(refused) if response.status == 401 else refused
        if response.status == 401:
            raise self._unauthorized(_refusal(response, asked))
        if not 200 <= response.status < 300:
            raise _refusal(response, asked)
        foreign = foreign_success(response, asked, is_watch="watch" in query)
        if foreign is not None:
            raise _foreign_answer(response, foreign)
        # For the message of a reader that finds no JSON in the body.
        response.asked = asked
        return response

    def _unauthorized(self, error: ApiError) -> ApiError:
        message = f"the server does not accept {self._credentials.describe_refused(self._headers)}"
        if error.message:
            message = f"{error.message} ({message})"
        return ApiError(error.status, error.reason, message, error.retry_after, details=error.details)

    def _renewed(self, renewals: int, refused: Any) -> bool:
        """Whether there are new credentials after a 401. If so, the refusing response is closed: the request is sent again."""
        renewed = True
        try:
            renewed = self._credentials.renew(renewals)
        finally:
            if renewed:
                refused.close()
        return renewed

    def _send(
        self, path: str, query: Mapping[str, str], own_headers: Mapping[str, str], request: _Request
    ) -> tuple[Any, int]:
        if not self.host:
            raise ConnectionError(
                "the ApiClient has no host: call load_kube_config(), or pass None as the api_client to connect as kubectl does"
            )
        headers = {**self._headers, **self._cookie, **own_headers}
        parameters, renewals = self._credentials.put_into(headers)
        hide_credentials(headers, parameters)
        has_credentials = bool(parameters) or any(name.lower() == "authorization" for name in headers)
        self._warnings.check(ConnectionSettings.of(self._configuration), has_credentials=has_credentials)
        url = self.host + path
        if query or parameters:
            url += "?" + urllib.parse.urlencode([*query.items(), *parameters])
        try:
            return self._request(url, repeat_headers(headers, self._headers), request), renewals
        except (urllib3.exceptions.HTTPError, OSError) as error:
            scope = current_scope()
            if scope is not None and scope.cancelled:
                raise RequestCancelledError("the request was cancelled: its owner has stopped") from error
            raise self._unreachable(error) from error
        except ValueError:
            pass
        # Raised outside of the handler: the ValueError quotes the header, perhaps a token, and would become the context.
        raise ConnectionError(
            f"cannot reach {self.shown_host}: a header or the address is malformed (a line break in a token, for example)"
        )

    def _request(self, url: str, headers: Mapping[str, str], request: _Request) -> Any:
        with contextlib.nullcontext() if request.timeout is None else time_limit(request.timeout):
            pool = self._pool.current()
            if self._gate is not None:
                self._gate.check(request.method, url)
            return pool.request(
                request.method,
                url,
                body=request.body,
                headers=headers,
                preload_content=False,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(
                    connect=request.timeout or CONNECT_TIMEOUT, read=request.timeout or HEAD_TIMEOUT
                ),
            )

    def _unreachable(self, error: BaseException) -> ConnectionError:
        settings = ConnectionSettings.of(self._configuration)
        root = _root_of(error)
        refused = isinstance(root, ConnectionRefusedError)
        proxy = proxy_for(settings)
        explanation = "" if proxy is None else explain_proxy_error(error, proxy)
        if explanation:
            text = f"cannot reach {self.shown_host}: {explanation}"
            return ConnectionRefusedError(text) if refused else ConnectionError(text)
        if refused:
            return ConnectionRefusedError(f"cannot connect to {self.shown_host}: connection refused")
        explanation = explain_tls_error(root, settings)
        if not explanation:
            # urllib3 puts the repr of its connection object before the reason.
            explanation = printable(str(root), 500).rpartition(">: ")[2] or type(root).__name__
        through = "" if proxy is None or str(proxy) in explanation else f" (through {proxy})"
        return ConnectionError(f"cannot reach {self.shown_host}: {explanation}{through}{self._scheme_hint()}")

    def _scheme_hint(self) -> str:
        """What to try for a server that is asked without TLS and cannot be reached in this way."""
        if not self.host.startswith("http://"):
            return ""
        given = str(self._configuration.host)
        start = "its address has no scheme, so http:// was used" if "://" not in given else "http:// was used"
        return f" ({start}: write https:// if the server speaks TLS)"


def _root_of(error: BaseException) -> BaseException:
    """The innermost of nested urllib3 errors."""
    for _ in range(10):
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((each for each in error.args if isinstance(each, BaseException)), None)
        if inner is None:
            break
        error = inner
    return error


def _foreign_answer(response: Any, foreign: Foreign) -> ApiError:
    """The error for a 2xx response that does not come from an API server."""
    body = b""
    if foreign.has_text:
        body, _ = read_body(response, max_bytes=_MAX_FOREIGN_BODY, within=_ERROR_BODY_TIMEOUT)
    response.close()
    return ApiError(response.status, "", foreign.message + quoted_beginning(body))


def _retry_after(response: Any) -> float | None:
    return parse_retry_after(response.headers.get("Retry-After"))


def _refusal(response: Any, asked: str) -> ApiError:
    """The error for a response other than 2xx: from the Status in its body, or from any text that a proxy sent instead."""
    retry_after = _retry_after(response)
    body, _ = read_body(response, max_bytes=_MAX_ERROR_BODY, within=_ERROR_BODY_TIMEOUT)
    status = _status_of(body)
    if isinstance(status, dict) and status.get("kind") == "Status":
        return ApiError.from_status(status, http_status=response.status, retry_after=retry_after)
    # Not from an API server, so a code in the body need not be an HTTP status.
    message = status.get("message") if isinstance(status, dict) else None
    message = message[:MAX_MESSAGE] if isinstance(message, str) else printable(body, 200)
    reason = printable(response.reason or "")
    return ApiError(response.status, reason, explain_refusal(response, asked, message), retry_after)


def _status_of(body: bytes) -> Any:
    """Decodes the body of a refusal; None if it is neither JSON nor protobuf of the Kubernetes API."""
    try:
        if looks_like_protobuf(body):
            envelope = open_envelope(body)
            body = msgspec.json.encode(status_in(body[envelope.start : envelope.end]))
        # Redacted before it is decoded, so that the details of a Status are covered too.
        return msgspec.json.decode(
            without_secrets(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        )
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None


_transports: WeakKeyDictionary[Any, Transport] = WeakKeyDictionary()
_transports_lock = Lock()
_defaults: list[Any] = []  # the default client, after the first use; guarded by _defaults_lock
_defaults_lock = Lock()


def transport_for(api_client: Any = None) -> Transport:
    """Returns the transport of an official `ApiClient`. Each client has one, so its informers share connections.

    Args:
        api_client: the client. None stands for a default client, made once by `load_client`, for the cluster that kubectl
            would use.

    Raises:
        KubeconfigError: `api_client` is None, and there is neither a kubeconfig nor a service account.

    Threads: any. With None, the first call reads files; cancelling the thread's request scope ends the wait.
    """
    if api_client is None:
        # A kubeconfig may lie on a file system that hangs, which nothing can interrupt.
        api_client = _defaults[0] if _defaults else unless_cancelled(_default_client, "default-client")
    with _transports_lock:
        return _transport_locked(api_client)


def _transport_locked(api_client: Any) -> Transport:
    transport = _transports.get(api_client)
    if transport is None and isinstance(api_client, GatedClient):
        transport = _transports[api_client] = copy.copy(_transport_locked(api_client.ungated))
        transport._gate = api_client.write_gate  # noqa: SLF001
    elif transport is None:
        transport = _transports[api_client] = Transport(api_client)
    return transport


def _default_client() -> Any:
    with _defaults_lock:
        if not _defaults:
            _defaults.append(load_client())
        return _defaults[0]


@in_forked_child
def _forget_after_fork() -> None:
    """The pools belong to the parent."""
    _transports.clear()
    _defaults.clear()

"""Requests to an API server: what is sent, and what responses and failures turn into."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import time
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest

from informer import ApiError
from informer.transport.connections import keepalive_options
from informer.transport.transport import Transport, transport_for
from tests.support.waiting import PROMPT, eventually
from watch.errors import RequestCancelledError
from watch.request_scope import RequestScope

OK = {"ok": True}


def answering(*answers: Any) -> Any:
    """A handler that gives these answers in turn, each (body, status, headers), and the last one from then on."""
    left = list(answers)

    def handler(request: Any, connection: Any) -> None:
        body, status, headers = left.pop(0) if len(left) > 1 else left[0]
        connection.answer(body, status, **headers)

    return handler


def fails(server: Any, **settings: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        Transport(server.client(**settings)).open("/api", {})
    return caught.value


# Requests


def test_request_has_path_query_and_headers(serve: Any) -> None:
    """Parameters are escaped, uncompressed JSON is requested, and the client's own headers are sent."""
    server = serve(answering((OK, 200, {})))
    api_client = server.client()
    api_client.set_default_header("X-Mine", "1")
    transport = Transport(api_client)
    # A header that is set later is sent too.
    api_client.set_default_header("X-Later", "2")
    transport.open("/api/v1/pods", {"labelSelector": "a in (b,c),d!=e", "limit": "5"}).close()
    (request,) = server.requests
    assert request.path == "/api/v1/pods"
    assert request.query == {"labelSelector": "a in (b,c),d!=e", "limit": "5"}
    assert request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert (request.headers["x-mine"], request.headers["x-later"]) == ("1", "2")
    assert request.headers["user-agent"]


def test_accept_and_compression_can_be_set(serve: Any) -> None:
    """For PartialObjectMetadata and gzip."""
    server = serve(answering((OK, 200, {})))
    Transport(server.client()).open("/api", {}, accept="application/json;as=X", gzip=True).close()
    assert server.requests[0].headers["accept"] == "application/json;as=X"
    assert server.requests[0].headers["accept-encoding"] == "gzip"


def test_the_body_is_not_read(serve: Any) -> None:
    """`open` returns as soon as the headers arrive; the body may be endless."""

    def handler(request: Any, connection: Any) -> None:
        connection.begin()
        connection.chunk(b"first")
        connection.hang()

    response = Transport(serve(handler).client()).open("/watch", {})
    assert response.read1() == b"first"
    response.close()


def test_a_host_with_a_path_or_a_slash_keeps_it(serve: Any) -> None:
    """As with Rancher, whose API servers are below a path."""
    server = serve(answering((OK, 200, {})))
    api_client = server.client(host=server.url + "/k8s/clusters/c-1/")
    Transport(api_client).open("/api/v1", {}).close()
    assert server.requests[0].path == "/k8s/clusters/c-1/api/v1"


def test_cookies_are_sent(serve: Any) -> None:
    """The `cookie` argument of the official client."""
    from kubernetes import client

    server = serve(answering((OK, 200, {})))
    Transport(client.ApiClient(client.Configuration(host=server.url), cookie="a=b")).open("/", {}).close()
    assert server.requests[0].headers["cookie"] == "a=b"


def test_redirects_are_not_followed(serve: Any) -> None:
    """A token must not be sent to an address that a response names."""
    server = serve(answering((b"", 302, {"Location": "http://127.0.0.1:1/"})))
    assert fails(server).status == 302
    assert len(server.requests) == 1


# Responses


@pytest.mark.parametrize("status", [400, 403, 404, 410, 422, 429, 500, 503, 504])
def test_a_status_becomes_an_api_error(serve: Any, status: int) -> None:
    """The error has the reason, message and details of the Status."""
    body = {"kind": "Status", "code": status, "reason": "Why", "message": "because", "details": {"kind": "pods"}}
    error = fails(serve(answering((body, status, {}))))
    assert (error.status, error.reason, error.message, error.details) == (status, "Why", "because", {"kind": "pods"})


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        pytest.param({"kind": "Status"}, {"Retry_After": "7"}, 7.0, id="header"),
        pytest.param({"kind": "Status", "details": {"retryAfterSeconds": 3}}, {}, 3.0, id="details"),
        pytest.param(
            {"kind": "Status", "details": {"retryAfterSeconds": 3}}, {"Retry_After": "7"}, 7.0, id="header-wins"
        ),
        pytest.param(b"slow down", {"Retry_After": "2"}, 2.0, id="a-proxys"),
        pytest.param({"kind": "Status"}, {"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, None, id="a-date"),
        pytest.param({"kind": "Status"}, {"Retry_After": "-1"}, None, id="negative"),
        pytest.param({"kind": "Status"}, {}, None, id="none"),
    ],
)
def test_retry_after_is_read_from_header_and_details(
    serve: Any, body: Any, headers: Any, expected: float | None
) -> None:
    """429 with Retry-After: the HTTP header has precedence over the body."""
    assert fails(serve(answering((body, 429, headers)))).retry_after == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b"not found\n", "not found", id="text"),
        pytest.param(
            b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>",
            "<html> <head><title>502 Bad Gateway</title></head> </html>",
            id="html-from-a-proxy",
        ),
        pytest.param({"code": 10001, "message": "rate limit exceeded"}, "rate limit exceeded", id="a-gateways-json"),
        pytest.param([1], "[1]", id="array"),
        pytest.param(b'{"kind":"Status","message":"half', '{"kind":"Status","message":"half', id="broken-json"),
        pytest.param(b"\xff\xfe", "\ufffd\ufffd", id="no-text-at-all"),
        pytest.param(b"[" * 100_000, "[" * 200 + "...", id="nested-without-end"),
        pytest.param(b"x" * 10_000_000, "x" * 200 + "...", id="huge"),
    ],
)
def test_other_error_bodies_keep_the_http_status(serve: Any, body: Any, message: str) -> None:
    """A proxy or gateway can answer in place of the server; codes in its body are not HTTP statuses."""
    error = fails(serve(answering((body, 429, {}))))
    assert (error.status, error.reason, error.message) == (429, "Reason", message)
    assert error.is_too_many_requests


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_an_incomplete_error_body_still_gives_an_api_error(
    serve: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is known from the headers; the wait for the body is bounded."""
    monkeypatch.setattr("informer.transport.transport._ERROR_BODY_TIMEOUT", 0.1)

    def handler(request: Any, connection: Any) -> None:
        connection.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\npartly")
        connection.cut() if how == "cut" else connection.hang()

    error = fails(serve(handler))
    assert (error.status, error.message) == (503, "partly")


def test_a_refused_request_keeps_the_connection(serve: Any) -> None:
    """Its body was read to the end, so the next request uses the same connection."""
    server = serve(answering(({"kind": "Status"}, 404, {})))
    transport = Transport(server.client())
    for _ in range(5):
        with pytest.raises(ApiError):
            transport.open("/", {})
    assert server.connections == 1


# JSON


def test_json_is_decoded(serve: Any) -> None:
    """As for discovery."""
    server = serve(answering((OK, 200, {})))
    assert Transport(server.client()).get_json("/apis", accept="x/y") == OK
    assert server.requests[0].headers["accept"] == "x/y"


def test_an_answer_other_than_json_is_an_api_error(serve: Any) -> None:
    """The message names the path and suggests a proxy or login page."""
    with pytest.raises(ApiError, match="answered /apis with something other than JSON"):
        Transport(serve(answering((b"<html>", 200, {}))).client()).get_json("/apis")


def test_incomplete_json_is_a_connection_error(serve: Any) -> None:
    """The message says that the server closed the connection."""

    def handler(request: Any, connection: Any) -> None:
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"a":')
        connection.cut()

    with pytest.raises(ConnectionError, match="closed the connection, or stalled, within its answer to /apis"):
        Transport(serve(handler).client()).get_json("/apis")


# Unreachable servers


def test_connection_refused_has_its_own_type() -> None:
    """ConnectionRefusedError, whose message names the server."""
    from kubernetes import client

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = Transport(client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{port}")))
    with pytest.raises(ConnectionRefusedError, match=f"cannot connect to http://127.0.0.1:{port}: connection refused"):
        transport.open("/", {})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(b"", "without response", id="closed"),
        pytest.param(b"garbage\r\n\r\n", "garbage", id="no-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "too long|header line", id="endless-header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 2\r\n\r\n{}", "a malformed header", id="malformed-header"
        ),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "more than 10 interim responses", id="endless-interim-answers"
        ),
    ],
)
def test_a_server_without_http_is_a_connection_error(serve: Any, answer: bytes, words: str) -> None:
    """The message has the innermost reason, on one line, for a closed connection and for garbage."""

    def handler(request: Any, connection: Any) -> None:
        connection.send(answer)
        connection.cut()

    server = serve(handler)
    with pytest.raises(ConnectionError, match=words) as caught:
        Transport(server.client()).open("/", {})
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "object at 0x" not in str(caught.value)


def test_an_unresolvable_name_is_a_connection_error() -> None:
    """A retry may succeed."""
    from kubernetes import client

    transport = Transport(client.ApiClient(client.Configuration(host="http://nowhere.invalid:1")))
    with pytest.raises(ConnectionError, match=r"cannot reach http://nowhere\.invalid:1: "):
        transport.open("/", {})


def test_a_response_that_does_not_begin_times_out(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that buffers headers or body: waiting for the headers has a time-out of its own."""
    monkeypatch.setattr("informer.transport.transport.HEAD_TIMEOUT", 0.05)
    server = serve(lambda request, connection: connection.hang())
    with pytest.raises(ConnectionError, match="timed out"):
        Transport(server.client()).open("/", {})


def test_the_timeout_of_the_headers_does_not_apply_to_the_body(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body can be silent for longer than the headers may take."""
    from watch.json_decoder import JSONDecoder

    monkeypatch.setattr("informer.transport.transport.HEAD_TIMEOUT", 0.2)
    go_on = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        connection.begin()
        go_on.wait(10)
        connection.chunk({"type": "ADDED", "object": {}})
        connection.end()

    decoder = JSONDecoder(Transport(serve(handler).client()).open("/", {}))
    with pytest.raises(TimeoutError):
        decoder.decode_batch(0.3)
    go_on.set()
    assert len(decoder.decode_batch(10)) == 1
    decoder.close()


# Cancelling


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("where", ["head", "error-body", "json-body"])
def test_cancelling_the_scope_ends_the_wait(serve: Any, authority: Any, run: Any, where: str, tls: bool) -> None:
    """Waiting for headers, for an error body or for JSON ends within half a second."""
    there = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        if where != "head":
            status = b"500" if where == "error-body" else b"200"
            connection.send(b"HTTP/1.1 %s X\r\nContent-Length: 9\r\n\r\n{" % status)
        there.set()
        connection.hang()

    server = serve(handler, tls=authority.server_context("127.0.0.1") if tls else None)
    transport = Transport(server.client(ssl_ca_cert=authority.path))
    scope = RequestScope()

    def ask() -> None:
        with scope:
            transport.get_json("/")

    task = run(ask)
    assert there.wait(10)
    begun = time.monotonic()
    scope.cancel()
    with pytest.raises((ConnectionError, ApiError)):
        task.result()
    assert time.monotonic() - begun < PROMPT


def test_a_cancelled_scope_sends_nothing(serve: Any) -> None:
    """It does not even connect."""
    server = serve(answering((OK, 200, {})))
    scope = RequestScope()
    scope.cancel()
    with scope, pytest.raises(RequestCancelledError):
        Transport(server.client()).open("/", {})
    assert server.requests == []


def test_cancelling_a_scope_leaves_other_scopes_alone(serve: Any, run: Any) -> None:
    """Two informers share a client: stopping one does not close the other's connections."""
    release = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        if request.path == "/slow":
            release.wait(10)
        connection.answer(OK)

    transport = Transport(serve(handler).client())
    mine, other = RequestScope(), RequestScope()

    def ask() -> Any:
        with mine:
            return transport.get_json("/slow")

    task = run(ask)
    with other:
        assert transport.get_json("/quick") == OK
        other.cancel()
    release.set()
    assert task.result() == OK


# The pool


def test_socket_options_detect_a_dead_path() -> None:
    """TCP keepalive 15/10/3 and TCP_USER_TIMEOUT detect a dead network path within 46 s."""
    options = {number: value for _, number, value in keepalive_options()}
    assert options[socket.SO_KEEPALIVE] == 1
    assert options[socket.TCP_NODELAY] == 1
    idle = getattr(socket, "TCP_KEEPIDLE", None) or socket.TCP_KEEPALIVE
    assert options[idle] + options[socket.TCP_KEEPINTVL] * options[socket.TCP_KEEPCNT] <= 46
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert options[socket.TCP_USER_TIMEOUT] <= 46_000


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_options_are_set_on_the_socket(serve: Any, authority: Any, tls: bool) -> None:
    """The kernel reports them, together with the user's own options."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1") if tls else None)
    mine = [(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 7)]
    response = Transport(server.client(ssl_ca_cert=authority.path, socket_options=mine)).open("/", {})
    sock = response._fp.socket
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    read = [
        sock.getsockopt(socket.IPPROTO_TCP, o) for o in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    ]
    assert read == [15, 7, 3]
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 45_000
    response.close()


def test_each_client_has_one_transport_with_its_own_lifetime() -> None:
    """Informers with one client share its connections; the transport is freed with the client."""
    from kubernetes import client

    api_client = client.ApiClient(client.Configuration(host="http://x"))
    transport = transport_for(api_client)
    assert transport_for(api_client) is transport
    assert transport_for(client.ApiClient(client.Configuration(host="http://x"))) is not transport
    gone = weakref.ref(transport)
    del api_client, transport
    gc.collect()
    assert gone() is None


def test_threads_get_one_transport(run: Any) -> None:
    """Also when they call at the same time."""
    from kubernetes import client

    api_client = client.ApiClient(client.Configuration(host="http://x"))
    barrier = threading.Barrier(8)

    def ask() -> Any:
        barrier.wait(10)
        return transport_for(api_client)

    assert len({id(task.result()) for task in [run(ask) for _ in range(8)]}) == 1


def test_without_a_client_the_kubeconfig_is_read(serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """As kubectl does."""
    import yaml

    server = serve(answering((OK, 200, {})))
    path = tmp_path / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": server.url}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr("informer.transport.transport._defaults", [])
    transport = transport_for()
    assert transport_for() is transport
    assert transport.get_json("/") == OK
    assert server.requests[0].headers["authorization"] == "Bearer t"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_forked_child_leaves_its_parents_connections_alone(serve: Any, authority: Any, tls: bool) -> None:
    """The child's copies of the sockets are closed; the parent goes on reading its response."""
    go_on = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        connection.begin()
        go_on.wait(10)
        connection.chunk(b"after the fork")
        connection.end()

    server = serve(handler, tls=authority.server_context("127.0.0.1") if tls else None)
    transport = Transport(server.client(ssl_ca_cert=authority.path))
    response = transport.open("/", {})
    sock = response._fp.socket
    with warnings.catch_warnings():
        # Python 3.12 and newer warn about forking a process with threads, which this test does on purpose.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if sock.fileno() < 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go_on.set()
    assert response.read() == b"after the fork"


# TLS


def test_certificates_and_names_are_checked_by_default(serve: Any, authority: Any, make_authority: Any) -> None:
    """Both the authority and the host name are verified."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1"))
    assert Transport(server.client(ssl_ca_cert=authority.path)).get_json("/") == OK
    for settings in ({}, {"ssl_ca_cert": make_authority().path}):
        with pytest.raises(ConnectionError, match=r"(?i)certificate.verify.failed"):
            Transport(server.client(**settings)).open("/", {})
    elsewhere = serve(answering((OK, 200, {})), tls=authority.server_context("example.com"))
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1"):
        Transport(elsewhere.client(ssl_ca_cert=authority.path)).open("/", {})


def test_tls_server_name_is_checked_instead_of_the_host(serve: Any, authority: Any) -> None:
    """A kubeconfig's tls-server-name is sent as SNI, and the certificate must have it."""
    names: list[str | None] = []
    context = authority.server_context("kubernetes.default")
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    server = serve(answering((OK, 200, {})), tls=context)
    settings = {"ssl_ca_cert": authority.path}
    assert Transport(server.client(tls_server_name="kubernetes.default", **settings)).get_json("/") == OK
    assert names == ["kubernetes.default"]
    with pytest.raises(ConnectionError):
        Transport(server.client(tls_server_name="other.default", **settings)).open("/", {})


def test_verification_can_be_turned_off(serve: Any, authority: Any) -> None:
    """With insecure-skip-tls-verify nothing is checked, and urllib3 does not warn for each request."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("example.com"))
    assert Transport(server.client(verify_ssl=False)).get_json("/") == OK


def test_the_check_of_the_name_can_be_turned_off(serve: Any, authority: Any, make_authority: Any) -> None:
    """assert_hostname=False still verifies the authority."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("example.com"))
    assert Transport(server.client(ssl_ca_cert=authority.path, assert_hostname=False)).get_json("/") == OK
    with pytest.raises(ConnectionError):
        Transport(server.client(ssl_ca_cert=make_authority().path, assert_hostname=False)).open("/", {})


def test_ca_data_replaces_a_file(serve: Any, authority: Any) -> None:
    """Newer versions of the official client have it in memory."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1"))
    data = Path(authority.path).read_text()
    assert Transport(server.client(ca_cert_data=data)).get_json("/") == OK


def test_a_missing_ca_file_is_a_connection_error(serve: Any, authority: Any) -> None:
    """A retry may succeed."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1"))
    with pytest.raises(ConnectionError, match="cannot reach"):
        Transport(server.client(ssl_ca_cert="/nowhere/ca.pem")).open("/", {})


def test_a_client_certificate_is_used(serve: Any, authority: Any) -> None:
    """Certificate and key are files."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1", wants_client=True))
    pair = authority.issue(name="client")
    settings = {"ssl_ca_cert": authority.path}
    assert Transport(server.client(cert_file=pair, key_file=pair, **settings)).get_json("/") == OK
    with pytest.raises(ConnectionError):
        Transport(server.client(**settings)).get_json("/")


def test_a_changed_ca_file_makes_a_new_pool(serve: Any, authority: Any, make_authority: Any, tmp_path: Any) -> None:
    """The new file counts from the next request on."""
    context = authority.server_context("127.0.0.1")
    server = serve(answering((OK, 200, {})), tls=context)
    path = tmp_path / "ca.pem"
    path.write_bytes(Path(authority.path).read_bytes())
    transport = Transport(server.client(ssl_ca_cert=str(path)))
    for _ in range(2):
        assert transport.get_json("/") == OK
    assert server.connections == 1
    # The client's authority changes, while the server's certificate is still of the old one.
    rotated = make_authority()
    path.write_bytes(Path(rotated.path).read_bytes())
    with pytest.raises(ConnectionError):
        transport.get_json("/")
    # Then the server's certificate changes too.
    context.load_cert_chain(rotated.issue("127.0.0.1"))
    assert transport.get_json("/") == OK


def test_a_change_closes_idle_connections(serve: Any, authority: Any, tmp_path: Path) -> None:
    """They were opened with certificates that may not be valid any more."""
    path = tmp_path / "ca.pem"
    path.write_bytes(Path(authority.path).read_bytes())
    served: list[Any] = []

    def handler(request: Any, connection: Any) -> None:
        served.append(connection.sock)
        if request.path == "/watch":
            connection.begin()
            connection.hang()
        else:
            connection.answer(OK)

    server = serve(handler, tls=authority.server_context("127.0.0.1"))
    transport = Transport(server.client(ssl_ca_cert=str(path)))
    # The running watch keeps the old pool alive, but none of its idle connections.
    response = transport.open("/watch", {})
    transport.get_json("/")
    path.write_bytes(path.read_bytes() + b"\n")
    transport.get_json("/")
    assert server.connections == 3
    # The server's thread for an idle connection ends when the connection does, and closes its socket.
    assert eventually(lambda: served[1].fileno() < 0)
    assert [sock.fileno() >= 0 for sock in served] == [True, False, True]
    response.close()


def test_a_replaced_client_certificate_is_used(serve: Any, authority: Any, tmp_path: Any) -> None:
    """cert-manager replaces the file under its name."""
    serials: list[int] = []
    context = authority.server_context("127.0.0.1", wants_client=True)

    def handler(request: Any, connection: Any) -> None:
        serials.append(connection.sock.getpeercert()["serialNumber"])
        connection.answer(OK)

    server = serve(handler, tls=context)
    path = tmp_path / "client.pem"
    transport = Transport(server.client(ssl_ca_cert=authority.path, cert_file=str(path), key_file=str(path)))
    for name in ("one", "two"):
        fresh = tmp_path / "fresh"
        fresh.write_bytes(Path(authority.issue(name=name)).read_bytes())
        fresh.replace(path)
        transport.get_json("/")
        transport.get_json("/")
    assert len(serials) == 4
    assert len(set(serials)) == 2


def test_a_change_does_not_interrupt_a_response(serve: Any, authority: Any, tmp_path: Any) -> None:
    """A watch continues over its connection until it ends by itself."""
    go_on = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        if request.path == "/watch":
            connection.begin()
            go_on.wait(10)
            connection.chunk(b"still here")
            connection.end()
        else:
            connection.answer(OK)

    server = serve(handler, tls=authority.server_context("127.0.0.1"))
    path = tmp_path / "ca.pem"
    data = Path(authority.path).read_bytes()
    path.write_bytes(data)
    transport = Transport(server.client(ssl_ca_cert=str(path)))
    response = transport.open("/watch", {})
    path.write_bytes(data + b"\n")
    assert transport.get_json("/") == OK
    go_on.set()
    assert response.read() == b"still here"


# Proxies


class Proxy:
    """An HTTP proxy that answers plain requests itself, and opens tunnels."""

    def __init__(self, serve: Any, tls: Any = None) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        self.url = serve(self._handle, tls=tls).url

    def _handle(self, request: Any, connection: Any) -> None:
        self.asked.append((request.method, request.target, request.headers.get("proxy-authorization")))
        if request.method != "CONNECT":
            connection.answer({"through": "the proxy"})
            return
        host, _, port = request.target.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(upstream, connection.sock))
            back.start()
            self._copy(connection.sock, upstream)
            back.join()
        connection.cut()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def test_plain_requests_go_through_the_proxy(serve: Any) -> None:
    """The whole address is their target."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})))
    assert Transport(server.client(proxy=proxy.url)).get_json("/api") == {"through": "the proxy"}
    assert proxy.asked == [("GET", server.url + "/api", None)]
    assert server.requests == []


def test_tls_goes_through_a_tunnel_and_is_checked_end_to_end(serve: Any, authority: Any, make_authority: Any) -> None:
    """The proxy sees only the server's name and port."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1"))
    settings = {"proxy": proxy.url, "ssl_ca_cert": authority.path}
    assert Transport(server.client(**settings)).get_json("/api") == OK
    assert proxy.asked == [("CONNECT", f"127.0.0.1:{server.port}", None)]
    with pytest.raises(ConnectionError):
        Transport(server.client(**{**settings, "ssl_ca_cert": make_authority().path})).get_json("/api")


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        pytest.param("http://user:p%40ss@", None, id="in-its-address"),
        pytest.param("http://", {"Proxy-Authorization": "Basic dXNlcjpwQHNz"}, id="as-headers"),
    ],
)
def test_the_proxy_gets_credentials(serve: Any, address: str, headers: Any) -> None:
    """From its address, or from `proxy_headers`."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})))
    settings = {"proxy": proxy.url.replace("http://", address), "proxy_headers": headers}
    Transport(server.client(**settings)).get_json("/api")
    assert proxy.asked[0][2] == "Basic dXNlcjpwQHNz"


def test_an_unreachable_proxy_is_a_connection_error(serve: Any) -> None:
    """The message does not contain the proxy's password."""
    server = serve(answering((OK, 200, {})))
    with pytest.raises(ConnectionError) as caught:
        Transport(server.client(proxy="http://user:secret@127.0.0.1:1")).get_json("/api")
    assert "secret" not in str(caught.value)


def test_cancelling_the_scope_ends_the_wait_for_a_proxy(serve: Any, authority: Any, run: Any) -> None:
    """The proxy accepts the request for a tunnel and does not answer."""
    there = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        there.set()
        connection.hang()

    proxy, server = serve(handler), serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1"))
    transport, scope = Transport(server.client(proxy=proxy.url)), RequestScope()

    def ask() -> None:
        with scope:
            transport.get_json("/")

    task = run(ask)
    assert there.wait(10)
    begun = time.monotonic()
    scope.cancel()
    with pytest.raises(ConnectionError):
        task.result()
    assert time.monotonic() - begun < PROMPT


@pytest.mark.parametrize(
    ("no_proxy", "bypassed"),
    [
        ("127.0.0.1", True),
        ("*", True),
        ("127.0.0.0/8", True),
        ("example.com, 127.0.0.1", True),
        (".0.0.1", True),
        ("10.0.0.0/8", False),
        ("27.0.0.1", False),
        ("example.com", False),
        ("", False),
        (",,", False),
        (None, False),
    ],
)
def test_no_proxy_is_respected(serve: Any, no_proxy: str | None, bypassed: bool) -> None:
    """Names, suffixes, addresses, networks and "*"."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})))
    Transport(server.client(proxy=proxy.url, no_proxy=no_proxy)).get_json("/api")
    assert bool(proxy.asked) is not bypassed


def test_no_proxy_can_name_a_port(serve: Any) -> None:
    """As in the official client."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})))
    Transport(server.client(proxy=proxy.url, no_proxy=f"127.0.0.1:{server.port}")).get_json("/api")
    assert proxy.asked == []


def test_the_proxy_of_the_environment_comes_from_the_configuration(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official client reads the environment; the transport does not."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    client = server.client()
    if not client.configuration.proxy:
        pytest.skip("this version of the official client does not read it")
    Transport(client).get_json("/api")
    assert len(proxy.asked) == 1


# Writes


def test_send_json_sends_method_and_body(serve: Any) -> None:
    """The body is JSON, and the answer is decoded."""
    server = serve(lambda request, connection: connection.answer({"path": request.path}, 201))
    answer = Transport(server.client()).send_json("POST", "/api/v1/namespaces/ns/pods", {"a": 1}, timeout=5)
    assert answer == {"path": "/api/v1/namespaces/ns/pods"}
    (request,) = server.requests
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert request.body == b'{"a":1}'


def test_a_refused_write_is_an_api_error_and_is_not_sent_again(serve: Any) -> None:
    """A conflict is raised like any other refusal."""
    status = {"kind": "Status", "code": 409, "reason": "Conflict", "message": "changed"}
    server = serve(answering((status, 409, {})))
    with pytest.raises(ApiError) as caught:
        Transport(server.client()).send_json("PUT", "/api", {}, timeout=5)
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    assert len(server.requests) == 1


def test_send_json_has_its_own_timeout(serve: Any) -> None:
    """A server that does not answer in time is given up."""
    server = serve(lambda request, connection: connection.hang())
    with pytest.raises(ConnectionError):
        Transport(server.client()).send_json("PUT", "/api", {}, timeout=0.1)
    assert len(server.requests) == 1

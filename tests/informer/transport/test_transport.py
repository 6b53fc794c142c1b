"""Requests to a server: what goes out, and what its answers, and its failures, become."""

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
from tests.eventually import eventually
from watch.errors import RequestCancelledError
from watch.request_scope import RequestScope

OK = {"ok": True}


def answering(*answers: Any) -> Any:
    """Gives these answers in turn, each (body, status, headers); the last for ever."""
    left = list(answers)

    def handler(request: Any, connection: Any) -> None:
        body, status, headers = left.pop(0) if len(left) > 1 else left[0]
        connection.answer(body, status, **headers)

    return handler


def fails(server: Any, **settings: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        Transport(server.client(**settings)).open("/api", {})
    return caught.value


# What goes out


def test_request_has_path_query_and_headers(serve: Any) -> None:
    """Parameters are escaped, the answer is asked for in JSON and uncompressed, and the client's own headers go along."""
    server = serve(answering((OK, 200, {})))
    api_client = server.client()
    api_client.set_default_header("X-Mine", "1")
    transport = Transport(api_client)
    # Set later, it goes along too.
    api_client.set_default_header("X-Later", "2")
    transport.open("/api/v1/pods", {"labelSelector": "a in (b,c),d!=e", "limit": "5"}).close()
    (request,) = server.requests
    assert request.path == "/api/v1/pods"
    assert request.query == {"labelSelector": "a in (b,c),d!=e", "limit": "5"}
    assert request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert (request.headers["x-mine"], request.headers["x-later"]) == ("1", "2")
    assert request.headers["user-agent"]


def test_accept_and_compression_are_the_callers(serve: Any) -> None:
    """PartialObjectMetadata by Accept, gzip where it is wanted."""
    server = serve(answering((OK, 200, {})))
    Transport(server.client()).open("/api", {}, accept="application/json;as=X", gzip=True).close()
    assert server.requests[0].headers["accept"] == "application/json;as=X"
    assert server.requests[0].headers["accept-encoding"] == "gzip"


def test_the_body_is_not_read(serve: Any) -> None:
    """An answer is there with its head; its body may go on for ever."""

    def handler(request: Any, connection: Any) -> None:
        connection.begin()
        connection.chunk(b"first")
        connection.hang()

    response = Transport(serve(handler).client()).open("/watch", {})
    assert response.read1() == b"first"
    response.close()


def test_a_host_with_a_path_or_a_slash_keeps_it(serve: Any) -> None:
    """As with Rancher, where the API server is below a path."""
    server = serve(answering((OK, 200, {})))
    api_client = server.client(host=server.url + "/k8s/clusters/c-1/")
    Transport(api_client).open("/api/v1", {}).close()
    assert server.requests[0].path == "/k8s/clusters/c-1/api/v1"


def test_cookies_go_along(serve: Any) -> None:
    """The official client's fourth argument."""
    from kubernetes import client

    server = serve(answering((OK, 200, {})))
    Transport(client.ApiClient(client.Configuration(host=server.url), cookie="a=b")).open("/", {}).close()
    assert server.requests[0].headers["cookie"] == "a=b"


def test_redirects_are_not_followed(serve: Any) -> None:
    """A token must not go wherever an answer points to."""
    server = serve(answering((b"", 302, {"Location": "http://127.0.0.1:1/"})))
    assert fails(server).status == 302
    assert len(server.requests) == 1


# What answers become


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 429, 500, 503, 504])
def test_a_status_says_it_in_its_own_words(serve: Any, status: int) -> None:
    """Reason, message and details are those of the Status."""
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
    """429 with Retry-After: the HTTP header wins over the body."""
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
        pytest.param(b"[" * 100_000, "[" * 200, id="nested-without-end"),
        pytest.param(b"x" * 10_000_000, "x" * 200, id="huge"),
    ],
)
def test_error_bodies_that_are_no_status_keep_the_answers_status(serve: Any, body: Any, message: str) -> None:
    """Whatever stands between us and the server may answer in its place; its own codes are not HTTP's."""
    error = fails(serve(answering((body, 429, {}))))
    assert (error.status, error.reason, error.message) == (429, "Reason", message)
    assert error.is_too_many_requests


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_an_error_body_that_does_not_come_whole_is_an_answer_all_the_same(
    serve: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is known by then; the body is not waited for without end."""
    monkeypatch.setattr("informer.transport.transport._ERROR_BODY_TIMEOUT", 0.1)

    def handler(request: Any, connection: Any) -> None:
        connection.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\npartly")
        connection.cut() if how == "cut" else connection.hang()

    error = fails(serve(handler))
    assert (error.status, error.message) == (503, "partly")


def test_a_connection_serves_the_next_request_when_its_answer_was_read(serve: Any) -> None:
    """A refused request, read to its end, keeps the connection."""
    server = serve(answering(({"kind": "Status"}, 404, {})))
    transport = Transport(server.client())
    for _ in range(5):
        with pytest.raises(ApiError):
            transport.open("/", {})
    assert server.connections == 1


# JSON


def test_json_is_decoded(serve: Any) -> None:
    """Discovery and the like."""
    server = serve(answering((OK, 200, {})))
    assert Transport(server.client()).get_json("/apis", accept="x/y") == OK
    assert server.requests[0].headers["accept"] == "x/y"


def test_what_is_no_json_is_the_servers_failure(serve: Any) -> None:
    """The message says where it came from."""
    with pytest.raises(ApiError, match="/apis did not answer in JSON"):
        Transport(serve(answering((b"<html>", 200, {}))).client()).get_json("/apis")


def test_json_that_breaks_off_is_a_broken_connection(serve: Any) -> None:
    """Half a document is none."""

    def handler(request: Any, connection: Any) -> None:
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"a":')
        connection.cut()

    with pytest.raises(ConnectionError, match="broke off"):
        Transport(serve(handler).client()).get_json("/apis")


# Nobody there


def test_connection_refused_is_told_as_that() -> None:
    """Connection refused: the type says so, the message says which server."""
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
            b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "more than 10 interim answers", id="endless-interim-answers"
        ),
    ],
)
def test_a_server_that_speaks_no_http_is_a_broken_connection(serve: Any, answer: bytes, words: str) -> None:
    """Reset, closed connection and nonsense: ConnectionError with the innermost words, on one line."""

    def handler(request: Any, connection: Any) -> None:
        connection.send(answer)
        connection.cut()

    server = serve(handler)
    with pytest.raises(ConnectionError, match=words) as caught:
        Transport(server.client()).open("/", {})
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "object at 0x" not in str(caught.value)


def test_a_name_that_does_not_resolve_is_told() -> None:
    """Not a failure of ours: it may resolve the next time."""
    from kubernetes import client

    transport = Transport(client.ApiClient(client.Configuration(host="http://nowhere.invalid:1")))
    with pytest.raises(ConnectionError, match=r"cannot reach http://nowhere\.invalid:1: "):
        transport.open("/", {})


def test_an_answer_whose_head_does_not_come_is_given_up(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy that buffers headers or body: the deadline on the head is one of its own."""
    monkeypatch.setattr("informer.transport.transport.HEAD_TIMEOUT", 0.05)
    server = serve(lambda request, connection: connection.hang())
    with pytest.raises(ConnectionError, match="timed out"):
        Transport(server.client()).open("/", {})


def test_a_head_that_took_its_time_does_not_shorten_the_body(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body may be silent for longer than a head may."""
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


# Giving up


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("where", ["head", "error-body", "json-body"])
def test_a_cancelled_scope_ends_the_wait(serve: Any, authority: Any, run: Any, where: str, tls: bool) -> None:
    """Waiting for headers, and for the body of a refusal or of JSON: over within half a second."""
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
    assert time.monotonic() - begun < 0.5


def test_a_cancelled_scope_sends_nothing(serve: Any) -> None:
    """Nor does it connect."""
    server = serve(answering((OK, 200, {})))
    scope = RequestScope()
    scope.cancel()
    with scope, pytest.raises(RequestCancelledError):
        Transport(server.client()).open("/", {})
    assert server.requests == []


def test_scopes_of_other_threads_are_left_alone(serve: Any, run: Any) -> None:
    """Two informers over one client: stopping one does not cut the other's connections."""
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


def test_sockets_notice_a_dead_path() -> None:
    """TCP keepalive 15/10/3 and TCP_USER_TIMEOUT, so that a dead network path is noticed within 46 s."""
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
    """Not only meant: the kernel says so; and options of the user's come on top."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1") if tls else None)
    mine = [(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 7)]
    response = Transport(server.client(ssl_ca_cert=authority.path, socket_options=mine)).open("/", {})
    sock = response._connection.sock if response._connection else response._fp.fp.raw._sock
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    read = [
        sock.getsockopt(socket.IPPROTO_TCP, o) for o in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    ]
    assert read == [15, 7, 3]
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 45_000
    response.close()


def test_one_transport_a_client_and_none_is_kept_alive() -> None:
    """Informers over one client share its connections; a client that nobody has any more takes them with it."""
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
    """However many ask at a time."""
    from kubernetes import client

    api_client = client.ApiClient(client.Configuration(host="http://x"))
    barrier = threading.Barrier(8)

    def ask() -> Any:
        barrier.wait(10)
        return transport_for(api_client)

    assert len({id(task.result()) for task in [run(ask) for _ in range(8)]}) == 1


def test_without_a_client_the_kubeconfig_is_read(serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """As kubectl does; in a cluster its own configuration comes first."""
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
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.setattr("informer.transport.transport._defaults", [])
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    transport = transport_for()
    assert transport_for() is transport
    assert transport.get_json("/") == OK
    assert server.requests[0].headers["authorization"] == "Bearer t"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_forked_child_says_nothing_on_its_parents_connections(serve: Any, authority: Any, tls: bool) -> None:
    """The child's copies of the sockets are closed; the parent's answer goes on."""
    go_on = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        connection.begin()
        go_on.wait(10)
        connection.chunk(b"after the fork")
        connection.end()

    server = serve(handler, tls=authority.server_context("127.0.0.1") if tls else None)
    transport = Transport(server.client(ssl_ca_cert=authority.path))
    response = transport.open("/", {})
    sock = response._fp.fp.raw._sock
    with warnings.catch_warnings():
        # Newer Pythons warn of a fork beside threads, which is what this is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if sock.fileno() < 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go_on.set()
    assert response.read() == b"after the fork"


# TLS


def test_certificates_and_names_are_checked_by_default(serve: Any, authority: Any, make_authority: Any) -> None:
    """Verification is on, and so is that of the name."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1"))
    assert Transport(server.client(ssl_ca_cert=authority.path)).get_json("/") == OK
    for settings in ({}, {"ssl_ca_cert": make_authority().path}):
        with pytest.raises(ConnectionError, match=r"(?i)certificate.verify.failed"):
            Transport(server.client(**settings)).open("/", {})
    elsewhere = serve(answering((OK, 200, {})), tls=authority.server_context("example.com"))
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1"):
        Transport(elsewhere.client(ssl_ca_cert=authority.path)).open("/", {})


def test_tls_server_name_is_checked_instead_of_the_host(serve: Any, authority: Any) -> None:
    """A kubeconfig's tls-server-name: sent as SNI, and the certificate must have it."""
    names: list[str | None] = []
    context = authority.server_context("kubernetes.default")
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    server = serve(answering((OK, 200, {})), tls=context)
    settings = {"ssl_ca_cert": authority.path}
    assert Transport(server.client(tls_server_name="kubernetes.default", **settings)).get_json("/") == OK
    assert names == ["kubernetes.default"]
    with pytest.raises(ConnectionError):
        Transport(server.client(tls_server_name="other.default", **settings)).open("/", {})


def test_verification_is_off_where_the_configuration_says_so(serve: Any, authority: Any) -> None:
    """insecure-skip-tls-verify: no check, and no warning either, as it was asked for."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("example.com"))
    assert Transport(server.client(verify_ssl=False)).get_json("/") == OK


def test_the_name_alone_may_be_left_unchecked(serve: Any, authority: Any, make_authority: Any) -> None:
    """assert_hostname=False still checks who signed."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("example.com"))
    assert Transport(server.client(ssl_ca_cert=authority.path, assert_hostname=False)).get_json("/") == OK
    with pytest.raises(ConnectionError):
        Transport(server.client(ssl_ca_cert=make_authority().path, assert_hostname=False)).open("/", {})


def test_ca_data_is_as_good_as_a_file(serve: Any, authority: Any) -> None:
    """Newer versions of the official client have it in memory."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1"))
    data = Path(authority.path).read_text()
    assert Transport(server.client(ca_cert_data=data)).get_json("/") == OK


def test_a_ca_file_that_is_not_there_is_told(serve: Any, authority: Any) -> None:
    """It may be there the next time."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1"))
    with pytest.raises(ConnectionError, match="cannot reach"):
        Transport(server.client(ssl_ca_cert="/nowhere/ca.pem")).open("/", {})


def test_a_client_certificate_is_shown(serve: Any, authority: Any) -> None:
    """Certificate and key from files."""
    server = serve(answering((OK, 200, {})), tls=authority.server_context("127.0.0.1", wants_client=True))
    pair = authority.issue(name="client")
    settings = {"ssl_ca_cert": authority.path}
    assert Transport(server.client(cert_file=pair, key_file=pair, **settings)).get_json("/") == OK
    with pytest.raises(ConnectionError):
        Transport(server.client(**settings)).get_json("/")


def test_a_ca_file_that_changes_on_disk_makes_a_new_pool(
    serve: Any, authority: Any, make_authority: Any, tmp_path: Any
) -> None:
    """TLS rotation: the new file counts from the next request on, and idle connections of before are closed."""
    context = authority.server_context("127.0.0.1")
    server = serve(answering((OK, 200, {})), tls=context)
    path = tmp_path / "ca.pem"
    path.write_bytes(Path(authority.path).read_bytes())
    transport = Transport(server.client(ssl_ca_cert=str(path)))
    for _ in range(2):
        assert transport.get_json("/") == OK
    assert server.connections == 1
    # The authority changes; the server still has a certificate of the old one.
    rotated = make_authority()
    path.write_bytes(Path(rotated.path).read_bytes())
    with pytest.raises(ConnectionError):
        transport.get_json("/")
    # And now the server's too.
    context.load_cert_chain(rotated.issue("127.0.0.1"))
    assert transport.get_json("/") == OK


def test_idle_connections_of_before_a_change_are_closed(serve: Any, authority: Any, tmp_path: Path) -> None:
    """TLS rotation: a connection that waits for its next request was opened with certificates that may not be good."""
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
    # A watch under way keeps the old pool, but nothing else in it.
    response = transport.open("/watch", {})
    transport.get_json("/")
    path.write_bytes(path.read_bytes() + b"\n")
    transport.get_json("/")
    assert server.connections == 3
    # The server's thread for an idle connection ends with it, and closes its socket.
    assert eventually(lambda: served[1].fileno() < 0)
    assert [sock.fileno() >= 0 for sock in served] == [True, False, True]
    response.close()


def test_a_client_certificate_that_changes_on_disk_is_used(serve: Any, authority: Any, tmp_path: Any) -> None:
    """As cert-manager does it: the file is replaced under its name."""
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


def test_a_change_does_not_cut_an_answer_under_way(serve: Any, authority: Any, tmp_path: Any) -> None:
    """A watch goes on over its connection until it ends by itself."""
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
    """An HTTP proxy: answers plain requests itself, and opens tunnels."""

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
    """With the whole address as their target."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})))
    assert Transport(server.client(proxy=proxy.url)).get_json("/api") == {"through": "the proxy"}
    assert proxy.asked == [("GET", server.url + "/api", None)]
    assert server.requests == []


def test_tls_goes_through_a_tunnel_and_is_checked_end_to_end(serve: Any, authority: Any, make_authority: Any) -> None:
    """The proxy sees the name and nothing else."""
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
    """From the address, or from the configuration's own headers."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})))
    settings = {"proxy": proxy.url.replace("http://", address), "proxy_headers": headers}
    Transport(server.client(**settings)).get_json("/api")
    assert proxy.asked[0][2] == "Basic dXNlcjpwQHNz"


def test_a_proxy_that_is_not_there_is_a_broken_connection(serve: Any) -> None:
    """And its password is not told."""
    server = serve(answering((OK, 200, {})))
    with pytest.raises(ConnectionError) as caught:
        Transport(server.client(proxy="http://user:secret@127.0.0.1:1")).get_json("/api")
    assert "secret" not in str(caught.value)


def test_a_stop_ends_the_wait_at_a_proxy(serve: Any, authority: Any, run: Any) -> None:
    """A proxy that takes the request for a tunnel and says nothing."""
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
    assert time.monotonic() - begun < 0.5


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
def test_no_proxy_is_kept_to(serve: Any, no_proxy: str | None, bypassed: bool) -> None:
    """Names, suffixes, addresses, networks, and everything."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})))
    Transport(server.client(proxy=proxy.url, no_proxy=no_proxy)).get_json("/api")
    assert bool(proxy.asked) is not bypassed


def test_no_proxy_may_name_a_port(serve: Any) -> None:
    """As the official client takes it."""
    proxy, server = Proxy(serve), serve(answering((OK, 200, {})))
    Transport(server.client(proxy=proxy.url, no_proxy=f"127.0.0.1:{server.port}")).get_json("/api")
    assert proxy.asked == []


def test_the_environments_proxy_is_the_configurations(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official client reads it; nothing here looks there again."""
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


# What is written


def test_what_is_written_has_a_method_and_a_body(serve: Any) -> None:
    """A body goes along as JSON, and the answer is decoded."""
    server = serve(lambda request, connection: connection.answer({"path": request.path}, 201))
    answer = Transport(server.client()).send_json("POST", "/api/v1/namespaces/ns/pods", {"a": 1}, timeout=5)
    assert answer == {"path": "/api/v1/namespaces/ns/pods"}
    (request,) = server.requests
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert request.body == b'{"a":1}'


def test_a_refused_write_is_an_api_error_and_is_not_sent_again(serve: Any) -> None:
    """A conflict is an answer like any other."""
    status = {"kind": "Status", "code": 409, "reason": "Conflict", "message": "changed"}
    server = serve(answering((status, 409, {})))
    with pytest.raises(ApiError) as caught:
        Transport(server.client()).send_json("PUT", "/api", {}, timeout=5)
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    assert len(server.requests) == 1


def test_a_write_has_a_time_out_of_its_own(serve: Any) -> None:
    """A server that does not answer is given up after as long as the caller says."""
    server = serve(lambda request, connection: connection.hang())
    with pytest.raises(ConnectionError):
        Transport(server.client()).send_json("PUT", "/api", {}, timeout=0.1)
    assert len(server.requests) == 1

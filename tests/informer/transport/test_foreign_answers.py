"""Answers that do not come from an API server: what the error says about who answered, and about the request."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from informer import ApiError, ListWatch, SharedInformer
from informer.reflector.backoff import Backoff
from informer.transport.transport import Transport
from tests.support.waiting import eventually
from watch import ListOptions

PAGE = b"<!DOCTYPE html>\r\n<html>\r\n  <head><title>Sign in</title>\x00</head>" + b"<p>" * 10_000
QUICK = Backoff(initial=0.02, maximum=0.05)
PODS = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": []}


def reported(api_client: Any, *phrases: str) -> str:
    """The text of `sync_error()`, once it contains all of the phrases or a deadline has passed."""
    informer: Any = SharedInformer(ListWatch.for_resource(api_client, "v1/pods"), backoff=QUICK)
    with informer:
        eventually(lambda: all(phrase in str(informer.sync_error()) for phrase in phrases), within=5)
        return str(informer.sync_error())


def answer(status: int, body: Any, **headers: str) -> Callable[[Any, Any], None]:
    return lambda _, connection: connection.answer(body, status, **headers)


@pytest.mark.parametrize(
    ("status", "body", "headers", "phrases"),
    [
        pytest.param(
            200,
            PAGE,
            {"Content_Type": "text/html; charset=utf-8"},
            ["text/html, not JSON", "is a proxy or login page in front?", '"<!DOCTYPE html> <html> <head>'],
            id="login-page",
        ),
        pytest.param(
            200, PAGE, {}, ["application/json", "login page in front?", '"<!DOCTYPE html>'], id="page-called-json"
        ),
        pytest.param(
            200, PAGE, {"Content_Type": "text/plain"}, ["text/plain", "login page", "<!DOCTYPE"], id="page-called-text"
        ),
        pytest.param(
            200,
            gzip.compress(PAGE),
            {"Content_Type": "text/html", "Content_Encoding": "gzip"},
            ["encoding 'gzip'", "not requested"],
            id="compressed-page",
        ),
        pytest.param(
            200, b"<?xml version='1.0'?>", {"Content_Type": "application/xml"}, ["application/xml", "<?xml"], id="xml"
        ),
        pytest.param(200, b"", {}, ["empty body, not with JSON", "login page in front?"], id="empty"),
        pytest.param(
            200, b"", {"Content_Type": "text/html"}, ["empty body, not with JSON"], id="empty-of-another-type"
        ),
        pytest.param(204, b"", {}, ["was answered with 204 and an empty body", "login page in front?"], id="204"),
        pytest.param(
            302,
            b"",
            {"Location": "https://me:pa55word@login.example/sign-in?state=t0ken#t0ken"},
            ["was redirected to https://login.example/sign-in", "login page in front?"],
            id="302",
        ),
        pytest.param(301, b"", {"Location": "/sign-in"}, ["was redirected to /sign-in"], id="301"),
        pytest.param(307, b"", {}, ["was redirected,"], id="redirect-without-location"),
        pytest.param(200, b"\x1b\x00", {"Content_Encoding": "br"}, ["encoding 'br'", "not requested"], id="br"),
        pytest.param(200, b"\x1b", {"Content_Encoding": "gzip, made-up"}, ["encoding 'gzip, made-up'"], id="encoding"),
        pytest.param(
            404,
            b"<html>404 Not Found nginx</html>",
            {"Content_Type": "text/html"},
            ["404 Not Found nginx", "text/html, not JSON", "login page in front?"],
            id="404-page",
        ),
        pytest.param(
            404,
            b"404 page not found\n",
            {"Content_Type": "text/plain"},
            ["404 page not found", "is the path in the server's address right?"],
            id="404-text",
        ),
        pytest.param(
            503, b"<html>busy", {"Content_Type": "text/html"}, ["<html>busy", "text/html, not JSON"], id="503-page"
        ),
        pytest.param(407, b"", {}, ["a proxy requires a user name and password"], id="407"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/wrong/prefix"])
def test_a_foreign_answer_is_described(
    status: int, body: bytes, headers: dict[str, str], phrases: list[str], prefix: str, serve: Any
) -> None:
    """Content type and first characters, Location or encoding, and the address that was asked."""
    server = serve(answer(status, body, **headers))
    said = reported(server.client(host=server.url + prefix), *phrases)
    assert said.count("failed to") == 1
    for phrase in phrases:
        assert phrase in said
    assert f"{server.url}{prefix}/api/v1/pods" in said
    assert said.isprintable()
    assert len(said) < 700
    assert "t0ken" not in said
    assert "pa55word" not in said


def test_an_answer_like_json_is_not_quoted(serve: Any) -> None:
    """It may hold the data of a Secret; so may protobuf, and a body that begins with a stray byte."""
    secret = json.dumps({"data": {"password": "c2VjcmV0"}}).encode()
    for body, kind in (
        (b"k8s\x00" + secret, "application/vnd.example"),
        (b"\xef\xbb\xbf" + secret, "application/json"),
        (b"[" + secret, "application/json"),
        (secret, "text/html"),
    ):
        server = serve(answer(200, body, Content_Type=kind))
        with pytest.raises((ApiError, ValueError)) as caught:
            ListWatch.for_resource(server.client(), "secrets").list(ListOptions())
        assert "c2VjcmV0" not in str(caught.value)


# Watches


def watched(serve: Any, send: Callable[[Any], None], *phrases: str) -> str:
    """The error of an informer whose lists are right and whose watches are answered by `send`."""

    def handler(request: Any, connection: Any) -> None:
        if "watch" not in request.query:
            connection.answer(PODS)
        elif "sendInitialEvents" in request.query:
            connection.answer({"kind": "Status", "code": 422}, 422)
        else:
            send(connection)

    return reported(serve(handler).client(), *phrases)


@pytest.mark.parametrize("newline", [b"", b"\n"], ids=["without-newline", "newline"])
@pytest.mark.parametrize("form", ["compact", "indented"])
def test_a_dropped_watch_parameter_is_named(serve: Any, newline: bytes, form: str) -> None:
    """The watch is answered with a list, as by a proxy that drops the query."""
    text = json.dumps(PODS, separators=(",", ":")) if form == "compact" else json.dumps(PODS)
    said = watched(
        serve, lambda connection: connection.answer(text.encode() + newline), "answered with a PodList", "watch=true"
    )
    assert "did a proxy drop the query parameter watch=true?" in said


def test_a_server_that_always_lists_still_syncs(serve: Any) -> None:
    """The watch list is answered with a list, too; the informer lists, and says what is wrong with the watch."""
    server = serve(answer(200, PODS))
    informer: Any = SharedInformer(ListWatch.for_resource(server.client(), "v1/pods"), backoff=QUICK)
    with informer:
        assert informer.wait_for_sync(10)
        assert eventually(lambda: "watch=true" in str(informer.sync_error()))


@pytest.mark.parametrize(
    ("send", "phrases"),
    [
        pytest.param(
            lambda connection: connection.answer(PAGE, Content_Type="text/html"),
            ["text/html, not JSON", "<!DOCTYPE html>", "login page in front?"],
            id="page",
        ),
        pytest.param(
            lambda connection: connection.answer(PAGE),
            ["answered with a page, not with events", "<!DOCTYPE html>", "login page in front?"],
            id="page-called-json",
        ),
        pytest.param(
            lambda connection: connection.answer(b"<html>login</html>"),
            ["answered with a page, not with events", "<html>login</html>"],
            id="page-of-one-line",
        ),
        pytest.param(lambda connection: connection.answer(b"", 204), ["204 and an empty body"], id="204"),
        pytest.param(
            lambda connection: connection.answer(b"", 302, Location="https://login.example/?t=1"),
            ["was redirected to https://login.example/,"],
            id="302",
        ),
        pytest.param(
            lambda connection: connection.answer({"kind": "Status", "message": "no watches here"}),
            ["answered with a Status, not with events: no watches here"],
            id="status",
        ),
        pytest.param(
            lambda connection: connection.answer(b"\x1b", Content_Encoding="br"), ["encoding 'br'"], id="encoding"
        ),
    ],
)
def test_a_foreign_answer_to_a_watch_is_described(send: Callable[[Any], None], phrases: list[str], serve: Any) -> None:
    """The list before it was right."""
    said = watched(serve, send, *phrases)
    for phrase in phrases:
        assert phrase in said
    assert said.isprintable()


# The address


def test_an_address_without_a_scheme_is_asked_with_tls_where_certificates_are_configured(
    serve: Any, authority: Any
) -> None:
    """As kubectl does; otherwise without TLS."""
    ok = {"ok": True}
    secure = serve(answer(200, ok), tls=authority.server_context("127.0.0.1"))
    plain = serve(answer(200, ok))
    bare = secure.url.partition("://")[2]
    assert Transport(secure.client(host=bare, ssl_ca_cert=authority.path)).get_json("/") == ok
    assert Transport(secure.client(host=bare, verify_ssl=False)).get_json("/") == ok
    assert Transport(plain.client(host=plain.url.partition("://")[2])).get_json("/") == ok


@pytest.mark.parametrize(
    "said_by_server",
    [b"", b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"],
    ids=["hangs-up", "go"],
)
@pytest.mark.parametrize("scheme", ["", "http://"])
def test_a_missing_https_is_named(scheme: str, said_by_server: bytes, run: Callable[..., Any]) -> None:
    """The message has the address that was asked, and what to write."""
    from kubernetes import client

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(said_by_server)

        task = run(hang_up)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        transport = Transport(client.ApiClient(client.Configuration(host=f"{scheme}{address}")))
        with pytest.raises((ConnectionError, ApiError)) as caught:
            transport.get_json("/api")
        task.result()
    assert f"http://{address}" in str(caught.value)
    assert "write https://" in str(caught.value)

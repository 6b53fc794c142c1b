"""Messages of docs/errors.md about what answers in place of an API server, or in another form, each in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from informer import ListWatch
from informer.reflector.event_reader import status_error
from informer.transport.transport import Transport
from tests.support.messages import check_raised, ids
from watch import ListOptions

HINT = "(is a proxy or login page in front?)"
PAGE = b"<html>Sign in</html>"
POD = b'{"metadata":{"name":"a"}}'


def answer(body: Any, status: int = 200, **headers: str) -> Callable[[Any, Any], None]:
    return lambda _, connection: connection.answer(body, status, **headers)


ANSWERS: list[tuple[Callable[[Any, Any], None], str]] = [
    (
        answer(PAGE, Content_Type="text/html"),
        "200: GET URL/api was answered with text/html, not JSON (is a proxy or login page in front?), "
        'beginning with "<html>Sign in</html>"',
    ),
    (
        answer(b"", 302, Location="https://me:pa55word@login.example/sign-in?state=t0ken"),
        "302 Reason: GET URL/api was redirected to https://login.example/sign-in, which API servers do not do " + HINT,
    ),
    (
        answer(b"\x1b", Content_Encoding="made-up"),
        "200: the answer to GET URL/api has the encoding 'made-up', which was not requested (does a proxy in front change "
        "answers?)",
    ),
    (
        answer(b"Client sent an HTTP request to an HTTPS server.\n", 400, Content_Type="text/plain"),
        "400 Reason: Client sent an HTTP request to an HTTPS server. The address that was asked is URL/api: write https:// in "
        "the server's address",
    ),
    (
        answer(b'"' + b"x" * (1 << 20) * 17 + b'"'),
        "200: the answer of URL to /api is larger than <...> bytes, the limit",
    ),
    (
        lambda _, connection: connection.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        "cannot reach URL: the server sent more than <...> interim responses<...>",
    ),
]


@pytest.mark.parametrize(("handler", "message"), ANSWERS, ids=ids(ANSWERS))
def test_a_foreign_answer_to_a_request(handler: Callable[[Any, Any], None], message: str, serve: Any) -> None:
    """Who was asked, what came, and what to check."""
    server = serve(handler)
    check_raised(lambda: Transport(server.client()).get_json("/api"), message.replace("URL", server.url))


LISTS: list[tuple[Any, str]] = [
    ({"kind": "PodList"}, f"the server's answer is not a list: it has neither items nor a resourceVersion {HINT}"),
    (b" ", f"GET URL/api/v1/pods was answered with an empty body, not with a list {HINT}"),
    (
        PAGE,
        "GET URL/api/v1/pods was answered with something of type application/json that is not a list in JSON "
        '(is a proxy or login page in front?), beginning with "<html>Sign in</html>"',
    ),
    (b'{"items":[{"a":tru}]}', "the server's list is not JSON: <...>"),
    (b'{"items":[],"metadata"', "the server's list is not complete JSON: <...>"),
    (b'{"items":[{"a":[}]]}', "the server's list is not JSON: mismatched brackets in an item"),
    (b'{"items":[' + POD + b'],"items":[]}', "the server's list has its items twice"),
    (b'{"items":[' + POD + b";" + POD + b"]}", "the server's list must have objects separated by commas; it has ';'"),
    ({"kind": "Status", "message": "no"}, "the server answered with a Status, not a list: no"),
    (
        {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"}},
        "unsupported list gvk: meta.k8s.io/v1, Kind=Table (a list of objects was requested)",
    ),
    (
        b'{"items":[{"a":"' + b"x" * 2000 + b'"}]}',
        "the server sent an event of more than 1000 bytes: raise max_line_bytes to accept it",
    ),
]


@pytest.mark.parametrize(("body", "message"), LISTS, ids=ids(LISTS))
def test_a_list_in_another_form(body: Any, message: str, serve: Any) -> None:
    """What is wrong with it. It is never taken for an empty list."""
    server = serve(answer(body))
    list_watch = ListWatch.for_resource(server.client(), "v1/pods").bounded(max_line_bytes=1000, max_objects=None)
    check_raised(lambda: list_watch.list(ListOptions()), message.replace("URL", server.url))


BODIES: list[tuple[bytes, str]] = [
    (b"1;" + b"x" * 5000, "malformed chunked body: the line with a chunk's size is too long"),
    (b"1\r\nab", "malformed chunked body: a chunk is longer than its size"),
]


@pytest.mark.parametrize(("body", "message"), BODIES, ids=ids(BODIES))
def test_a_body_that_http_does_not_allow(body: bytes, message: str, serve: Any) -> None:
    """A proxy that damages the answer of a list."""

    def handler(_: Any, connection: Any) -> None:
        connection.begin(Content_Type="application/json")
        connection.chunk(b'{"items":')
        connection.send(body + b" " * 10)

    list_watch = ListWatch.for_resource(serve(handler).client(), "v1/pods")
    with pytest.raises(ConnectionError) as caught:
        list_watch.list(ListOptions())
    error = caught.value
    assert str(error) == "failed to list pods: the connection broke before the end of the list"
    assert str(error.__cause__) == message


def test_a_compressed_body_that_is_damaged(serve: Any) -> None:
    """The same message, with the reason as its cause."""
    server = serve(answer(b"\x1f\x8b" + b"x" * 100, Content_Encoding="gzip"))
    with pytest.raises(ConnectionError) as caught:
        ListWatch.for_resource(server.client(), "v1/pods", gzip=True).list(ListOptions())
    error = caught.value
    assert str(error) == "failed to list pods: the connection broke before the end of the list"
    assert str(error.__cause__) == "the response broke off: error"


def test_an_error_that_is_not_a_status() -> None:
    """The object of an ERROR event, as a watch function of a user's own may send it."""
    check_raised(
        lambda: raise_(status_error(7)), "500 InternalError: the watch reported an error as a int, not as a Status"
    )


def raise_(error: Exception) -> None:
    raise error


def test_an_aggregated_api_that_is_down(serve: Any) -> None:
    """Only its own resources are affected."""

    def handler(request: Any, connection: Any) -> None:
        if request.path == "/apis":
            version = {"version": "v1", "groupVersion": "metrics.example/v1"}
            connection.answer({"groups": [{"name": "metrics.example", "versions": [version]}]})
        elif request.path == "/apis/metrics.example/v1":
            connection.answer(b"no endpoints", 503, Content_Type="text/plain")
        else:
            connection.answer({"resources": []})

    list_watch = ListWatch.for_resource(serve(handler).client(), "loads.metrics.example")
    check_raised(
        lambda: list_watch.list(ListOptions()),
        "503 Reason: the API group metrics.example/v1 is down: no endpoints (see: kubectl get apiservices)",
    )

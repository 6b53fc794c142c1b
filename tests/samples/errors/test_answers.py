"""Messages of docs/errors.md about what answers in place of an API server, or in another form, each in full."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from informer import ListWatch
from informer.objects.protobuf_object import ProtobufObject
from informer.protobuf.kinds import Kind
from informer.reflector.event_reader import status_error
from informer.testing.storage.protobuf_encoding import encode_envelope
from informer.transport.transport import Transport
from tests.support.messages import check_raised, ids, matches
from tests.support.waiting import DEADLINE
from watch import ListOptions
from watch.request_scope import time_limit

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
    (
        lambda _, connection: connection.send(b"HTTP/1.1 200 OK\r\nnot a header\r\nContent-Length: 2\r\n\r\n{}"),
        "cannot reach URL: the server sent a malformed header<...>",
    ),
]


@pytest.mark.parametrize(("handler", "message"), ANSWERS, ids=ids(ANSWERS))
def test_a_foreign_answer_to_a_request(handler: Callable[[Any, Any], None], message: str, serve: Any) -> None:
    """The message names the address, describes the answer, and says what to check."""
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
    """The message says what is wrong with the list, which never counts as an empty one."""
    server = serve(answer(body))
    list_watch = ListWatch.for_resource(server.client(), "v1/pods").bounded(max_line_bytes=1000, max_objects=None)
    check_raised(lambda: list_watch.list(ListOptions()), message.replace("URL", server.url))


OUTSIDE: list[tuple[bytes, str]] = [
    (
        b'{"a":' + b"[" * 100 + b"]" * 100 + b',"items":[]}',
        "the server's list is nested more than 100 levels before its items",
    ),
    (b'{"a":],"items":[]}', "the server's list is not JSON: mismatched brackets before its items"),
    (
        b'{"a":[' + b'"",' * 100_000 + b'""],"items":[]}',
        "the server's list has more than 100000 strings and brackets outside of its items",
    ),
    (
        b'{"items":[],"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        "the server's list is nested too deeply to decode: what stands outside its items",
    ),
    (
        b'{"items":[],"metadata":{"resourceVersion":"' + b"1" * 70_000 + b'"}}',
        "the resourceVersion of the server's list has 70000 characters; at most 65536 are accepted",
    ),
]


@pytest.mark.parametrize(("body", "message"), OUTSIDE, ids=ids(OUTSIDE))
def test_a_list_that_is_hostile_outside_of_its_items(body: bytes, message: str, serve: Any) -> None:
    """The memory that the list takes is limited."""
    server = serve(answer(body))
    check_raised(lambda: ListWatch.for_resource(server.client(), "v1/pods").list(ListOptions()), message)


PROTOBUF: list[tuple[bytes, str]] = [
    (b"\x0a\x02\x0a\x7f", "the protobuf message ends within a field"),
    (b"\x0a\x01\x03", "the protobuf message has a malformed field"),
]


@pytest.mark.parametrize(("body", "message"), PROTOBUF, ids=ids(PROTOBUF))
def test_a_list_in_protobuf_that_is_damaged(body: bytes, message: str, serve: Any) -> None:
    """Here in the metadata of the list."""
    server = serve(answer(encode_envelope("v1", "PodList", body), Content_Type="application/vnd.kubernetes.protobuf"))
    list_watch = ListWatch.for_resource(server.client(), "v1/pods", wire="protobuf")
    check_raised(lambda: list_watch.list(ListOptions()), message)


def test_an_event_in_protobuf_with_an_object_in_json(serve: Any) -> None:
    """The watch ends with an ERROR event."""
    obj = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}'
    event = b"\x0a\x05ADDED" + b"\x12%c\x0a%c" % (len(obj) + 2, len(obj)) + obj

    def handler(request: Any, connection: Any) -> None:
        if "watch" in request.query:
            connection.begin(Content_Type="application/vnd.kubernetes.protobuf;stream=watch")
            connection.chunk(len(event).to_bytes(4, "big") + event)
            connection.end()
        else:
            connection.answer({"major": "1", "minor": "36"})

    list_watch = ListWatch.for_resource(serve(handler).client(), "v1/pods", wire="protobuf")
    with list_watch.watch(ListOptions(resource_version="1")) as watcher:
        error = watcher.result_chan().get(timeout=DEADLINE).object
    assert error["message"] == (
        "unable to decode an event from the watch stream: the answer is not protobuf of the Kubernetes API: it does not begin "
        "with k8s"
    )


def test_a_kind_in_protobuf_that_is_not_known(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The log says why the resource is read as JSON."""

    def handler(request: Any, connection: Any) -> None:
        if "protobuf" in request.headers["accept"]:
            # One item, with a metadata.name.
            body = encode_envelope("v9", "PodList", b"\x0a\x00\x12\x05\x0a\x03\x0a\x01a")
            connection.answer(body, Content_Type="application/vnd.kubernetes.protobuf")
        else:
            connection.answer({"items": [], "metadata": {"resourceVersion": "1"}})

    caplog.set_level(logging.INFO)
    list_watch = ListWatch.for_resource(serve(handler).client(), "v1/pods", wire="protobuf")
    assert list_watch.list(ListOptions()).resource_version == "1"
    said = "<...> are read as JSON from now on: protobuf of v9, Kind=Pod is not known to kube-informer"
    assert any(matches(message, said) for message in caplog.messages)


def test_a_time_that_no_calendar_has() -> None:
    """Of an object in protobuf; the error comes when the field is read."""
    # metadata.creationTimestamp, with its seconds.
    message = b"\x0a\x09\x42\x07\x08\x80\x80\x80\x80\x80\x20"
    obj = ProtobufObject.of(message, Kind("v1", "Pod", "k8s.io/api/core/v1.Pod"))
    check_raised(
        lambda: obj.at("metadata.creationTimestamp"),
        "a time of 1099511627776 seconds since 1970 is outside of the years 1 to 9999",
    )


def test_a_server_with_very_many_groups(serve: Any) -> None:
    """The search for a resource ends."""

    def handler(request: Any, connection: Any) -> None:
        versions = [{"version": f"v{number}"} for number in range(1001)]
        groups = {"groups": [{"name": "a.example", "versions": versions}]}
        connection.answer(groups if request.path == "/apis" else {"resources": []})

    list_watch = ListWatch.for_resource(serve(handler).client(), "ghosts")
    check_raised(
        lambda: list_watch.list(ListOptions()),
        "500 InternalError: the server has more than 1000 versions of API groups, in which the resource was not found: name it "
        'with its group and version, as in "apps/v1/Deployment"',
    )


def test_an_answer_that_takes_too_long(serve: Any) -> None:
    """The server accepts the request and sends nothing."""
    transport = Transport(serve(lambda _, connection: connection.hang()).client())
    with pytest.raises(TimeoutError) as caught, time_limit(0.2):
        transport.get_json("/api")
    assert str(caught.value) == "no answer within 0.2 s"


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

"""Faults on demand: what each does to a plain client, which requests it hits, and how often; and informers that recover."""

from __future__ import annotations

import http.client
import select
import time

import pytest

from informer import Backoff, ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map
from tests.support.waiting import eventually

MAPS = "/api/v1/namespaces/default/configmaps"
STATE = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
BROKEN = (OSError, http.client.HTTPException)


# answers


@pytest.mark.parametrize(
    ("act", "status", "reason", "retry_after"),
    [
        (lambda f: f.too_many_requests(3), 429, "TooManyRequests", "3"),
        (lambda f: f.too_many_requests(0), 429, "TooManyRequests", "0"),
        (lambda f: f.internal_error(), 500, "InternalError", None),
        (lambda f: f.service_unavailable(), 503, "ServiceUnavailable", None),
        (lambda f: f.service_unavailable(7), 503, "ServiceUnavailable", "7"),
        (lambda f: f.expired(), 410, "Expired", None),
        (lambda f: f.too_large_resource_version(), 504, "Timeout", "1"),
        (lambda f: f.answer(418, reason="Teapot", message="short and stout"), 418, "Teapot", None),
        (lambda f: f.answer(401), 401, "Unauthorized", None),
    ],
)
def test_answer_is_replaced_by_a_status(server, call, act, status, reason, retry_after):
    """One request gets a Status body; the next is answered as usual."""
    act(server.faults)
    answer = call("GET", MAPS)
    assert (answer.status, answer.json["kind"], answer.json["reason"]) == (status, "Status", reason)
    assert answer.headers.get("retry-after") == retry_after
    details = answer.json.get("details") or {}
    assert details.get("retryAfterSeconds") == (int(retry_after) if retry_after and retry_after != "0" else None)
    assert server.requests[0].faults
    assert call("GET", MAPS).status == 200


def test_answer_is_replaced_by_any_body(server, call):
    """Any body and content type, for example a proxy's page."""
    server.faults.answer(502, body="<html>bad gateway</html>")
    answer = call("GET", MAPS)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (
        502,
        b"<html>bad gateway</html>",
        "text/html",
    )


def test_faults_apply_in_order_and_as_often_as_asked(server, call):
    """`times` counts requests; None means until `clear`."""
    server.faults.answer(500, times=2)
    server.faults.answer(503, times=None)
    assert server.faults.pending == ["answer 500", "answer 503"]
    assert [call("GET", MAPS).status for _ in range(5)] == [500, 500, 503, 503, 503]
    assert server.faults.pending == ["answer 503"]
    server.faults.clear()
    assert call("GET", MAPS).status == 200


@pytest.mark.parametrize(
    ("on", "hit"),
    [
        ("any", ["list", "get", "watch", "watch_list", "create", "patch", "delete"]),
        ("write", ["create", "patch", "delete"]),
        ("list", ["list"]),
        ("watch", ["watch"]),
        ("watch_list", ["watch_list"]),
        ("get", ["get"]),
        ("patch", ["patch"]),
    ],
)
def test_fault_hits_only_requests_of_its_verb(server, call, on, hit):
    """Requests are chosen by verb; a watch with initial events has the verb "watch_list"."""
    server.create(config_map("a"))
    requests = {
        "list": ("GET", MAPS, None),
        "get": ("GET", f"{MAPS}/a", None),
        "watch": ("GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={server.resource_version}", None),
        "watch_list": ("GET", f"{MAPS}?watch=1&timeoutSeconds=1&{STATE}", None),
        "create": ("POST", MAPS, config_map("b")),
        "patch": ("PATCH", f"{MAPS}/a", {}),
        "delete": ("DELETE", f"{MAPS}/a", None),
    }
    server.faults.answer(599, on=on, times=None)
    server.faults.short_watches(on="any", times=None)
    assert [verb for verb, request in requests.items() if call(*request).status == 599] == hit


def test_fault_hits_only_requests_of_its_resource(server, call):
    """A resource is named with or without its group."""
    server.faults.answer(500, resource="deployments", times=2)
    assert call("GET", MAPS).status == 200
    assert call("GET", "/apis/apps/v1/deployments").status == 500
    server.faults.answer(503, resource="deployments.apps")
    assert [call("GET", "/apis/apps/v1/deployments").status for _ in range(3)] == [500, 503, 200]


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda f: f.drop(on="lists"), "on must be one of any, write, get, list"),
        (lambda f: f.drop(times=0), "times must be at least 1"),
        (lambda f: f.slow(0), "bytes_per_second must be more than 0"),
        (lambda f: f.garbage_line(on="x"), "on must be one of"),
    ],
)
def test_invalid_arguments_of_faults(server, act, match):
    """ValueError names the allowed values."""
    with pytest.raises(ValueError, match=match):
        act(server.faults)


def test_a_request_that_hangs(server, call):
    """The request gets no answer until `clear`, and then the right one."""
    server.faults.hang(on="list")
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=0.2)
    connection.request("GET", MAPS)
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    server.requests.wait_until_ended("list")
    server.faults.hang(on="list")
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    connection.request("GET", MAPS)
    server.requests.wait_for(2, "list", open=False)
    server.faults.clear()
    assert connection.getresponse().status == 200
    connection.close()


def test_a_body_that_stops_in_the_middle(server, call):
    """The head and the given number of bytes are sent, the rest after `clear`."""
    server.create(config_map("a"))
    server.faults.hang(after_bytes=10, on="get")
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    connection.request("GET", f"{MAPS}/a")
    response = connection.getresponse()
    assert response.read(10) == b'{"kind":"C'
    server.faults.clear()
    assert response.read().startswith(b"onfigMap")
    connection.close()


def test_a_dropped_request(server, call):
    """The connection is cut without an answer."""
    server.faults.drop()
    with pytest.raises(BROKEN):
        call("GET", MAPS)
    assert call("GET", MAPS).status == 200
    assert [request.status for request in server.requests] == [0, 200]


@pytest.mark.parametrize("size", [0, 1, 57, 150])
def test_a_body_that_is_cut(server, size):
    """The given number of bytes of the body is sent, and the connection ends."""
    server.create(config_map("a"))
    server.faults.cut_after(size, on="get")
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    connection.request("GET", f"{MAPS}/a")
    response = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead) as broken:
        response.read()
    assert len(broken.value.partial) == size
    connection.close()


def test_a_stream_that_is_cut_in_the_middle_of_a_chunk(server, call):
    """The number of bytes includes the chunks' framing."""
    server.faults.cut_after(30)
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")
    server.create(config_map("a"))
    with pytest.raises(http.client.IncompleteRead):
        stream.response.read()


def test_a_slow_body(server, call):
    """The body is sent at the given number of bytes per second."""
    server.create(config_map("a") | {"data": {"k": "x" * 500}})
    server.faults.slow(2000, on="get")
    begun = time.monotonic()
    assert len(call("GET", f"{MAPS}/a").json["data"]["k"]) == 500
    assert time.monotonic() - begun > 0.3


# streams


def test_short_watches(server, call):
    """The watches end properly and without an event, although there was one."""
    version = server.resource_version
    server.create(config_map("a"))
    server.faults.short_watches(times=2)
    server.faults.short_watches(0.05)
    path = f"{MAPS}?resourceVersion={version}&timeoutSeconds=1"
    assert [call.watch(path).rest() for _ in range(3)] == [[], [], []]
    assert call.watch(path).events(1) == [("ADDED", "a")]


def test_initial_events_without_end_bookmark(server, call):
    """The bookmark that ends the initial events is missing; later events arrive."""
    server.create(config_map("a"))
    server.faults.no_end_bookmark()
    stream = call.watch(f"{MAPS}?{STATE}")
    assert stream.events(1) == [("ADDED", "a")]
    server.create(config_map("b"))
    assert stream.events(1) == [("ADDED", "b")]
    assert [type for type, _ in call.watched(f"{MAPS}?{STATE}")] == ["ADDED", "ADDED", "BOOKMARK"]


UNKNOWN = b'{"type":"SHRUNK","object":{"kind":"Unknown","apiVersion":"v1","metadata":{"resourceVersion":"1"}}}\n'
LINES = {
    "garbage": (lambda f, **k: f.garbage_line(**k), b'{"type":"ADDED","object":{"kind":garbage\n'),
    "blank": (lambda f, **k: f.blank_line(**k), b"\n"),
    "any": (lambda f, **k: f.line("some text", **k), b"some text\n"),
    "event": (lambda f, **k: f.line({"type": "ADDED", "object": {}}, **k), b'{"type":"ADDED","object":{}}\n'),
    "unknown": (lambda f, **k: f.unknown_event("SHRUNK", **k), UNKNOWN),
}  # fmt: skip


@pytest.mark.parametrize("when", ["open", "new"])
@pytest.mark.parametrize(("act", "line"), LINES.values(), ids=LINES)
def test_line_is_inserted_into_a_stream(server, call, act, line, when):
    """The line is sent at once in an open stream, or after the history in the next stream; the stream continues."""
    version = server.resource_version
    server.create(config_map("a"))
    if when == "new":
        act(server.faults)
    stream = call.watch(f"{MAPS}?resourceVersion={version}")
    assert stream.events(1) == [("ADDED", "a")]
    if when == "open":
        act(server.faults)
    assert stream.line() == line
    server.create(config_map("b"))
    assert stream.events(1) == [("ADDED", "b")]
    assert server.faults.pending == []


def test_open_streams_are_hit_first(server, call):
    """Open streams are hit first, oldest first; what remains of `times` applies to new ones."""
    version = server.resource_version
    first, second = (call.watch(f"{MAPS}?resourceVersion={version}") for _ in range(2))
    server.faults.line("one")
    assert first.line() == b"one\n"
    server.faults.line("three", times=3)
    assert (first.line(), second.line()) == (b"three\n", b"three\n")
    assert server.faults.pending == ["line"]
    assert call.watch(f"{MAPS}?resourceVersion={version}").line() == b"three\n"
    assert server.faults.pending == []


def test_line_before_or_after_the_end_bookmark(server, call):
    """On "watch_list" a line comes before the end bookmark, on "watch" after it."""
    server.create(config_map("a"))
    server.faults.line("during", on="watch_list")
    server.faults.line("after", on="watch")
    stream = call.watch(f"{MAPS}?{STATE}")
    assert stream.events(1) == [("ADDED", "a")]
    assert stream.line() == b"during\n"
    assert stream.event()[0] == "BOOKMARK"
    assert stream.line() == b"after\n"
    server.faults.line("now", on="watch")
    assert stream.line() == b"now\n"


@pytest.mark.parametrize(
    ("status", "options", "expected"),
    [
        (410, {}, (410, "Expired", None)),
        (429, {"retry_after": 2}, (429, "TooManyRequests", 2)),
        (500, {"reason": "Odd", "message": "text"}, (500, "Odd", None)),
    ],
)
def test_an_error_event_ends_the_stream(server, call, status, options, expected):
    """The stream ends properly; the Status is the caller's."""
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")
    server.faults.error_event(status, **options)
    server.create(config_map("a"))
    ((type, obj),) = stream.rest()
    assert type == "ERROR"
    assert (obj["code"], obj["reason"], (obj.get("details") or {}).get("retryAfterSeconds")) == expected


def test_error_event_with_any_object(server, call):
    """Any object is sent as it is."""
    server.faults.error_event({"odd": True})
    assert call.watch(f"{MAPS}?resourceVersion={server.resource_version}").rest() == [("ERROR", {"odd": True})]


def test_half_a_line(server, call):
    """The start of an event is sent, and the connection ends."""
    server.create(config_map("a"))
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")
    server.faults.half_line()
    with pytest.raises(http.client.IncompleteRead) as broken:
        stream.response.read()
    assert broken.value.partial.startswith(b'{"type":"BOOKMARK","object":{"kind":"ConfigMap"')
    assert not broken.value.partial.endswith(b"\n")


def test_a_frozen_stream(server, call):
    """Nothing is sent until `clear`, and then everything; the server notices when a client leaves."""
    version = server.resource_version
    first, second = (call.watch(f"{MAPS}?resourceVersion={version}") for _ in range(2))
    server.faults.freeze(times=2)
    server.create(config_map("a"))
    first.close()
    server.requests.wait_until_ended("watch", left=1)
    assert not select.select([second.connection.sock], [], [], 0.1)[0]
    server.faults.clear()
    assert second.events(1) == [("ADDED", "a")]


def test_connections_are_cut(server, call):
    """All connections, those of one resource, or those of one kind of request."""
    version = server.resource_version
    maps, pods = (call.watch(f"/api/v1/{plural}?resourceVersion={version}") for plural in ("configmaps", "pods"))
    assert server.faults.cut_connections(resource="pods") == 1
    assert server.faults.cut_connections(on="list") == 0
    with pytest.raises(BROKEN):
        pods.response.read()
    assert server.faults.cut_connections() >= 1
    with pytest.raises(BROKEN):
        maps.response.read()


def test_connections_are_reset(server, call):
    """The client sees a reset where the system supports that."""
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")
    assert server.faults.cut_connections(reset=True) == 1
    with pytest.raises(BROKEN):
        stream.response.read()


def test_watches_can_be_ended(server, call):
    """The watches end properly, as at their deadline."""
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")
    assert server.faults.end_watches() == 1
    assert stream.rest() == []


def test_ended_watch_sends_no_bookmark_for_unsent_events(client_of):
    """A watch that ends while frozen sends no bookmark that covers events it has not sent."""
    with EmbeddedAPIServer(bookmark_interval=0.001) as server:
        stream = client_of(server).watch(f"{MAPS}?resourceVersion={server.resource_version}&allowWatchBookmarks=true")
        stream.event()
        before = server.resource_version
        server.faults.freeze()
        # Bookmarks that are on their way when the fault begins still arrive; a frozen watch sends no more of them.
        while select.select([stream.response.fp], [], [], 0.1)[0]:
            stream.event()
        server.faults.end_watches()
        server.create(config_map("a"))
        server.faults.clear()
        versions = [obj["metadata"]["resourceVersion"] for _, obj in stream.rest()]
    assert not [version for version in versions if int(version) > int(before)]


def test_connections_can_be_refused(server, call):
    """For a number of seconds or until `accept_connections`; open connections continue."""
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")
    server.faults.refuse_connections()
    with pytest.raises(ConnectionRefusedError):
        call("GET", MAPS)
    server.faults.blank_line()
    assert stream.line() == b"\n"
    server.faults.accept_connections()
    assert call("GET", MAPS).status == 200
    server.faults.refuse_connections(0.2)
    with pytest.raises(ConnectionRefusedError):
        call("GET", MAPS)

    def is_accepted() -> bool:
        try:
            return call("GET", MAPS).status == 200
        except ConnectionRefusedError:
            return False

    assert eventually(is_accepted)


def test_faults_over_tls(client_of):
    """Cuts and half lines work over TLS too."""
    with EmbeddedAPIServer(tls=True) as server:
        call = client_of(server)
        path = f"{MAPS}?resourceVersion={server.resource_version}"
        for trouble in (server.faults.half_line, server.faults.cut_connections):
            stream = call.watch(path)
            trouble()
            with pytest.raises(BROKEN):
                stream.response.read()
        assert call("GET", MAPS).status == 200


# an informer lives through all of them

TROUBLE = {
    "cut": lambda s: s.faults.cut_connections(),
    "reset": lambda s: s.faults.cut_connections(reset=True),
    "ended": lambda s: s.faults.end_watches(),
    "half a line": lambda s: s.faults.half_line(),
    "garbage": lambda s: s.faults.garbage_line(),
    "blank line": lambda s: s.faults.blank_line(),
    "unknown event": lambda s: s.faults.unknown_event(),
    "410": lambda s: s.faults.error_event(410),
    "429 in the stream": lambda s: s.faults.error_event(429, retry_after=0),
    "500 in the stream": lambda s: s.faults.error_event(500),
    "410 as the status": lambda s: (s.faults.expired(on="watch"), s.faults.cut_connections()),
    "429": lambda s: (s.faults.too_many_requests(0, times=2), s.faults.cut_connections()),
    "503": lambda s: (s.faults.service_unavailable(times=2), s.faults.cut_connections()),
    "gateway": lambda s: (s.faults.answer(502, body="<html>"), s.faults.cut_connections()),
    "dropped": lambda s: (s.faults.drop(times=2), s.faults.cut_connections()),
    "refused": lambda s: (s.faults.refuse_connections(0.1), s.faults.cut_connections()),
    "short watches": lambda s: (s.faults.short_watches(times=2), s.faults.cut_connections()),
    "restarted": lambda s: s.restart(),
    "restarted and compacted": lambda s: (s.compact(), s.restart()),
}


@pytest.mark.parametrize(
    ("watch_list", "where"),
    [(True, {}), (False, {"wire": "protobuf"}), (True, {"metadata_only": True})],
    ids=["watch list", "paged list, protobuf", "watch list, metadata"],
)
@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_informer_recovers(server, trouble, watch_list, where):
    """In the end the informer has seen every write, deletions too."""
    server.create(config_map("goes"))
    with (
        server.api_client() as api,
        SharedInformer(
            ListWatch.for_resource(api, "configmaps", **where),
            watch_list=watch_list,
            backoff=Backoff(0.02, 0.1, jitter=0),
        ) as informer,
    ):
        assert informer.wait_for_sync(10)
        trouble(server)
        server.delete("configmaps", "goes")
        last = server.create(config_map("comes"))
        assert informer.wait_for_resource_version(last["metadata"]["resourceVersion"], 20)
        assert [obj.name for obj in informer.lister.list()] == ["comes"]

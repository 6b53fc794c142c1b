"""A server that wants to harm: encodings that were not requested, tokens in turns, versions that go back or never end."""

from __future__ import annotations

import gzip
import json
import logging
import time
import zlib
from typing import Any

import pytest

from informer import ApiError, Backoff, ListWatch, ObjectList, SharedInformer
from informer.transport.transport import Transport
from tests.support.waiting import PROMPT, eventually
from watch import ListOptions

LONG = "9" * 10_000_000
PODS = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": []}
QUICK = Backoff(initial=0.02, maximum=0.05)


# Encodings


def encoded(encoding: str, body: bytes) -> bytes:
    for each in encoding.split(","):
        body = zlib.compress(body) if each.strip() == "deflate" else gzip.compress(body)
    return body


def requests_of(client: Any, *, compress: bool) -> dict[str, Any]:
    pods = ListWatch.for_resource(client, "pods", gzip=compress)
    meta = ListWatch.for_resource(client, "pods", metadata_only=True, gzip=compress)
    transport = Transport(client)
    return {
        "list": lambda: pods.list(ListOptions()),
        "watch": lambda: pods.watch(ListOptions(resource_version="5")),
        "metadata": lambda: meta.list(ListOptions()),
        "discovery": lambda: ListWatch.for_resource(client, "widgets.example.com").list(ListOptions()),
        "post": lambda: transport.send_json("POST", "/api/v1/namespaces/a/events", {}, timeout=5),
    }


@pytest.mark.parametrize("status", [200, 403, 500])
@pytest.mark.parametrize("request_kind", ["list", "watch", "metadata", "discovery", "post"])
@pytest.mark.parametrize(
    "encoding", ["x-gzip", "deflate", "br", "zstd", "gzip, gzip", "gzip, identity", "made-up", "GZIP"]
)
def test_an_encoding_that_was_not_requested_is_refused_and_named(
    serve: Any, encoding: str, request_kind: str, status: int
) -> None:
    """The body of such an answer is not read, whatever its status code."""
    body = encoded(encoding, json.dumps(PODS).encode())
    server = serve(lambda _, connection: connection.answer(body, status, Content_Encoding=encoding))
    with pytest.raises(ApiError) as caught:
        requests_of(server.client(), compress=False)[request_kind]()
    assert caught.value.status == status
    assert f"has the encoding {encoding.lower()!r}, which was not requested" in str(caught.value)


@pytest.mark.parametrize("encoding", ["x-gzip", "deflate", "gzip, gzip", "br"])
def test_where_gzip_was_requested_only_gzip_is_accepted(serve: Any, encoding: str) -> None:
    """gzip is accepted once and only under its own name."""
    body = encoded(encoding, json.dumps(PODS).encode())
    server = serve(lambda _, connection: connection.answer(body, Content_Encoding=encoding))
    with pytest.raises(ApiError, match=f"the encoding '{encoding}', which was not requested"):
        requests_of(server.client(), compress=True)["list"]()


# Lists without an end, while the informer is stopped


def endless(head: bytes, piece: bytes, **headers: str) -> Any:
    packer = zlib.compressobj(wbits=31) if headers else None

    def answer(connection: Any) -> None:
        connection.begin(**headers)
        for part in (head, *[piece * ((1 << 20) // len(piece))] * 10_000):
            data = part if packer is None else packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)
            connection.chunk(data)

    return answer


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(b'{"metadata":{"a":[', b'{"items":[]},', id="items-in-the-metadata"),
        pytest.param(b'{"metadata":{"a":"', b'\\"', id="escapes-in-the-head"),
        pytest.param(b'{"items":[{"a":[', b"[],", id="brackets-in-an-item"),
        pytest.param(b'{"items":[{"a":"', b'\\"', id="escapes-in-an-item"),
        pytest.param(b'{"items":[{"b":{"c":1}}', b",{}", id="items"),
        pytest.param(b'{"items":[],"a":[', b"[],", id="brackets-at-the-end"),
    ],
)
def test_a_stop_ends_the_reading_of_a_hostile_list(serve: Any, head: bytes, piece: bytes) -> None:
    """`stop` returns at once, however much was received."""
    made = SharedInformer(
        ListWatch.for_resource(
            serve(lambda _, connection: endless(head, piece, Content_Encoding="gzip")(connection)).client(),
            "pods",
            gzip=True,
        ),
        backoff=QUICK,
        watch_list=False,
    )
    made.start()
    eventually(lambda: made.sync_error() is not None, within=0.7)
    assert made.stop(PROMPT)


# Continue tokens


@pytest.mark.parametrize("turn", [1, 2, 3, 50])
def test_tokens_in_turns_are_an_error_at_once(scripted: Any, follow: Any, say: Any, turn: int) -> None:
    """The list is an error when its first token is repeated, however many tokens come in turn."""
    pages = [say.listed("9", f"p{at}", **{"continue": f"t{at % turn}"}) for at in range(turn + 1)]
    server = scripted([*pages, say.listed("10", "b")], [])
    errors: list[str] = []
    followed = follow(server, watch_error_handler=lambda _, error: errors.append(str(error)))
    assert followed.reaches("10")
    assert len(server.lists) == turn + 2
    assert ["same continue token twice" in error for error in errors[:1]] == [True]


# Versions


def test_an_older_bookmark_does_not_take_the_version_back(scripted: Any, follow: Any, say: Any) -> None:
    """The next watch begins at the newest version seen."""
    server = scripted(
        [say.listed("50", "a")],
        [
            say.watched(say.added("b", "100"), then="end"),
            say.watched(say.bookmark("3"), then="end"),
            say.watched(say.added("c", "4"), then="end"),
            say.watched(say.bookmark("200"), then="hang"),
        ],
    )
    followed = follow(server)
    assert followed.reaches("200")
    assert server.watch_versions[:4] == ["50", "100", "100", "100"]
    assert followed.keys == ["a", "b", "c"]


def test_a_list_older_than_the_last_one_is_requested_again_for_the_newest_state(
    scripted: Any, follow: Any, say: Any
) -> None:
    """The newest state counts, whatever its version: a server's own history may go back."""
    expired = say.watched(say.line("ERROR", say.status(410, "Expired")))
    server = scripted(
        [say.listed("100", "a"), say.listed("3", "old"), say.listed("4", "b")],
        [expired, say.watched(say.bookmark("7"), then="hang")],
    )
    followed = follow(server)
    assert eventually(lambda: followed.keys == ["b"])
    assert server.list_versions[:3] == ["0", "100", ""]
    assert ("Added", "old") not in followed.delivered


@pytest.mark.parametrize("version", ["b", "05", "-3"])
def test_versions_that_are_not_numbers_are_not_compared(scripted: Any, follow: Any, say: Any, version: str) -> None:
    """Such versions are opaque: the last one counts."""
    server = scripted(
        [say.listed("c", "a")], [say.watched(say.bookmark(version)), say.watched(say.bookmark("x"), then="hang")]
    )
    followed = follow(server)
    assert eventually(lambda: followed.informer.last_sync_resource_version == "x")
    assert server.watch_versions[:2] == ["c", version]


@pytest.mark.parametrize("where", ["version", "token", "event", "bookmark"])
def test_a_version_of_ten_megabytes_is_never_sent_back(
    scripted: Any, follow: Any, say: Any, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the bound, and no line of the log is long."""
    caplog.set_level(logging.DEBUG)
    hostile = {
        "version": say.listed(LONG, "a"),
        "token": say.listed("5", "a", **{"continue": LONG}),
    }.get(where)
    event = {"event": say.added("b", LONG), "bookmark": say.bookmark(LONG)}.get(where)
    lists = [say.listed("5", "a")] if hostile is None else [hostile]
    watches = [] if event is None else [say.watched(event)]
    server = scripted([*lists, say.listed("10", "c")], [*watches, say.watched(say.bookmark("20"), then="hang")])
    errors: list[str] = []
    followed = follow(server, watch_error_handler=lambda _, error: errors.append(str(error)))
    assert followed.reaches("20")
    assert max(map(len, [*server.list_versions, *server.watch_versions])) < 100
    texts = [*errors, *(record.getMessage() for record in caplog.records)]
    assert max(map(len, texts), default=0) < 2000
    assert any("10000000 characters; at most 65536 are accepted" in text for text in texts)


def test_a_page_of_a_users_function_is_bounded_too() -> None:
    """A dict in API form counts as an answer of the server."""
    page = {"metadata": {"resourceVersion": LONG}, "items": []}
    with pytest.raises(ValueError, match="the resourceVersion of the server's list has 10000000 characters"):
        ListWatch(lambda _: page, lambda _: None).list(ListOptions())
    assert ObjectList([], "5").resource_version == "5"


# Discovery


def test_a_hundred_thousand_names_cost_little(serve: Any) -> None:
    """A suggestion is looked for among a bounded number of names, and the message stays short."""
    resources = [
        {"name": f"widgetry{at:06d}", "kind": f"Widgetry{at:06d}", "namespaced": True, "verbs": ["list"] * 10}
        for at in range(100_000)
    ]
    groups = {"groups": [{"name": "example.com", "versions": [{"version": "v1"}]}]}

    def handler(request: Any, connection: Any) -> None:
        connection.answer(groups if request.path.rstrip("/") == "/apis" else {"resources": resources})

    pods = ListWatch.for_resource(serve(handler).client(), "widgetry00x.example.com")
    before = time.process_time()
    with pytest.raises(ApiError) as caught:
        pods.list(ListOptions())
    assert time.process_time() - before < 3
    assert caught.value.status == 404
    assert len(str(caught.value)) < 1000


def test_endless_groups_are_an_error(serve: Any) -> None:
    """Each version of a group is a request."""
    count = 0
    groups = [{"name": f"g{at}.example.com", "versions": [{"version": "v1"}]} for at in range(10_000)]

    def handler(request: Any, connection: Any) -> None:
        nonlocal count
        count += 1
        connection.answer({"groups": groups} if request.path.rstrip("/") == "/apis" else {"resources": []})

    with pytest.raises(ApiError, match="more than 1000 versions of API groups"):
        ListWatch.for_resource(serve(handler).client(), "widgets").list(ListOptions())
    assert count <= 1002

"""An informer whose server sends malformed bytes: it keeps retrying, and the next valid list corrects its cache."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from informer import Backoff, Change, DeltaType, ListWatch, SharedInformer
from tests.support.fuzzing import mutated
from tests.support.waiting import DEADLINE
from watch.concurrency import Monitor

QUICK = Backoff(initial=0.001, maximum=0.002)
NAMES = ("a", "b", "c", "d")


def pod(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": str(version)}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"text": f"{name}-ü-{version}"}}


def event(kind: str, obj: Any) -> bytes:
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def pod_list(version: int, names: Any) -> bytes:
    items = [pod(name, version) for name in names]
    body = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": items}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def chunked(*bodies: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(body), body) for body in bodies)


def answer(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\n", *, length: int | None = None) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FINAL = 1_000_000
GONE = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})


class Server:
    """Sends malformed answers for a while, then one valid list, and a watch that stays open."""

    def __init__(self, serve: Any, answers: Callable[[bool], bytes], wrong: int) -> None:
        self._answers = answers
        self._left = wrong
        self._monitor = Monitor()
        self.http = serve(self._handle)

    def _handle(self, request: Any, connection: Any) -> None:
        watch = "watch" in request.query
        with self._monitor:
            self._left -= 1
            left = self._left
            if left >= 0:
                wire = self._answers(watch)
        if left >= 0:
            connection.send(wire)
            connection.cut()
        elif not watch:
            connection.send(answer(pod_list(FINAL, ("a", "b"))))
        elif request.query.get("resourceVersion") == str(FINAL):
            connection.send(STREAM)
            connection.hang()
        else:
            # The version that the malformed answers led to has expired, as on a compacted server.
            connection.send(STREAM + chunked(GONE) + b"0\r\n\r\n")


class Followed:
    """An informer with a handler that checks each change against the changes before it."""

    def __init__(self, server: Server, **options: Any) -> None:
        self.known: dict[tuple[str, str], Any] = {}
        self.invalid: list[str] = []
        self.delivered: list[tuple[DeltaType, str]] = []
        self._monitor = Monitor()
        options = {"watch_list": False, "backoff": QUICK, "random": Random(1), "name": "pods", **options}
        self.informer: SharedInformer[Any] = SharedInformer(
            ListWatch.for_resource(server.http.client(), "pods"), **options
        )
        self.informer.add_event_handler(on_batch=self._take)

    def _take(self, changes: list[Change[Any]]) -> None:
        with self._monitor:
            for change in changes:
                self._check(change)
            self._monitor.notify_all()

    def _check(self, change: Change[Any]) -> None:
        key = (change.object.namespace, change.object.name)
        self.delivered.append((change.type, change.object.name))
        if (key in self.known) is (change.type is DeltaType.ADDED):
            self.invalid.append(f"{change.type} of {key}")
        if change.type is DeltaType.DELETED:
            self.known.pop(key, None)
        else:
            self.known[key] = change.object

    def _is_current(self) -> bool:
        versions = {key: obj.resource_version for key, obj in self.known.items()}
        return versions == {("ns", "a"): str(FINAL), ("ns", "b"): str(FINAL)}

    def check_it_recovers(self) -> None:
        """Asserts that the informer reaches the valid list, and that its changes lead to that state."""
        with self.informer:
            with self._monitor:
                assert self._monitor.wait_for(self._is_current, DEADLINE), (self.known, self.informer.sync_error())
            assert not self.informer.is_stopped()
            assert sorted(self.informer.store.list_keys()) == ["ns/a", "ns/b"]
            for obj in self.informer.store.list():
                assert obj.to_dict() == pod(obj.name, FINAL)
        assert self.invalid == []
        assert self._is_current()


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.CRITICAL):
        yield


def a_watch(random: Random, version: int) -> bytes:
    kinds = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
    lines = [event(random.choice(kinds), pod(random.choice(NAMES), version + i)) for i in range(random.randint(1, 6))]
    if random.random() < 0.3:
        head = STREAM.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
        return head + chunked(*map(gzip.compress, lines)) + b"0\r\n\r\n"
    return STREAM + chunked(*lines) + b"0\r\n\r\n"


@pytest.mark.parametrize("queue", ["in_order", "delta"])
@pytest.mark.parametrize("seed", range(4))
def test_an_informer_recovers_from_malformed_bytes(seed: int, queue: str, serve: Any) -> None:
    """A hundred answers with malformed heads, framing, compression, events or objects precede a valid list."""
    random = Random(seed)
    version = 10

    def answers(watch: bool) -> bytes:
        nonlocal version
        version += 10
        if watch:
            head, _, body = a_watch(random, version).partition(b"\r\n\r\n")
        else:
            names = random.sample(NAMES, random.randint(0, 4))
            head, _, body = answer(pod_list(version, names)).partition(b"\r\n\r\n")
        chance = random.random()
        if chance < 0.1:
            return mutated(head + b"\r\n\r\n" + body, random)
        return head + b"\r\n\r\n" + (mutated(body, random) if chance < 0.8 else body)

    Followed(Server(serve, answers, 100), queue=queue).check_it_recovers()


ODD_STATUSES: tuple[Any, ...] = (
    {"code": "410", "reason": "Expired"},
    {"code": 410.0},
    {"code": 10**30},
    {"code": -1},
    {"code": True},
    {"code": 0, "reason": 7, "message": []},
    {"code": 429, "details": None},
    {"code": 429, "details": []},
    {"code": 429, "details": {"retryAfterSeconds": "1"}},
    {"code": 429, "details": {"retryAfterSeconds": -5}},
    {"code": 429, "details": {"retryAfterSeconds": 10**30}},
    {"code": 429, "details": {"retryAfterSeconds": None, "causes": {}}},
    {"code": 504, "reason": "Timeout", "details": {"causes": [None, 1, [], "x", {}, {"reason": []}, {"message": {}}]}},
    {"code": 504, "reason": "Timeout", "details": {"causes": "ResourceVersionTooLarge"}},
    {"kind": "Status", "status": {"kind": "Status", "code": 410}},
    {"object": {"kind": "Status", "code": 410}},
    {"kind": "Status", "status": "Success", "code": 200},
    {"metadata": None, "message": "x" * 100_000},
    {"metadata": {"resourceVersion": "7"}},
    {},
    None,
    [],
    [{"code": 410}],
    "gone",
    410,
    False,
)


@pytest.mark.parametrize("status", ODD_STATUSES, ids=lambda status: json.dumps(status)[:60])
@pytest.mark.parametrize("where", ["event", "watch", "list"])
def test_a_status_in_any_shape_is_retried(serve: Any, status: Any, where: str) -> None:
    """As an ERROR event and as the answer to a watch or list, the informer retries and recovers."""
    body = json.dumps(status).encode()
    refused = answer(body, b"HTTP/1.1 500 Internal Server Error\r\n")

    def answers(watch: bool) -> bytes:
        if watch:
            return refused if where == "watch" else STREAM + chunked(event("ERROR", status)) + b"0\r\n\r\n"
        return refused if where == "list" else answer(pod_list(5, NAMES))

    Followed(Server(serve, answers, 4)).check_it_recovers()


HTML = b"<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n</body>\n</html>\n"
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(answer(HTML, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"), id="html"),
        pytest.param(answer(HTML, b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n"), id="502-with-html"),
        pytest.param(answer(DEEP), id="deep"),
        pytest.param(answer(DEEP, b"HTTP/1.1 500 X\r\n"), id="500-with-depth"),
        pytest.param(answer(b""), id="empty"),
        pytest.param(answer(b"\0" * 5000), id="zeros"),
        pytest.param(answer(b"\xff" * 5000, b"HTTP/1.1 403 X\r\n"), id="403-with-no-text"),
        pytest.param(answer(b"{}"), id="an-object-of-nothing"),
        pytest.param(answer(b"null"), id="null"),
        pytest.param(answer(pod_list(7, NAMES), length=99_999), id="length-too-large"),
        pytest.param(answer(pod_list(7, NAMES), length=50), id="length-too-small"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n" + pod_list(7, NAMES)[:-9], id="length-negative"),
        pytest.param(answer(pod_list(7, NAMES) + b"{}"), id="something-behind-it"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nplain text", id="no-gzip"),
        pytest.param(STREAM + b"zz\r\n" + pod_list(7, NAMES), id="no-chunk"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="no-content"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", id="not-modified"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", id="redirect"),
        pytest.param(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", id="999"),
        pytest.param(b"HTTP/1.1 abc\r\n\r\n", id="no-status"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="ssh"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="tls"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", id="500-headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", id="a-long-header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\xff\xfe: \xff\r\n\r\n", id="headers-of-no-text"),
        pytest.param(b"HTTP/1.1 503 X\r\nRetry-After: 1e-9\r\nContent-Length: 0\r\n\r\n", id="odd-retry-after"),
        pytest.param(b"HTTP/1.1 429 X\r\nRetry-After: nan\r\nContent-Length: 0\r\n\r\n", id="nan-retry-after"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_an_answer_of_any_kind_to_lists_and_watches(serve: Any, wire: bytes) -> None:
    """The answers of a broken server, a proxy or another program are errors that the informer retries."""
    Followed(Server(serve, lambda watch: wire, 4)).check_it_recovers()


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(b'[{"metadata":{"name":"a"}},null]', id="with-null"),
        pytest.param(b'{"a":1}', id="an-object"),
        pytest.param(b'[{"metadata":{"name":"a"}},7]', id="with-a-number"),
        pytest.param(b'[{"metadata":{"name":"a"}},[]]', id="with-a-list"),
        pytest.param(b'"x"', id="a-text"),
        pytest.param(b'[{"metadata":{"name":"a"}}', id="not-closed"),
        pytest.param(b'[{"metadata":{"name":"a"}}],"items":[]', id="twice"),
        pytest.param(b'[{"metadata":["name":"a"}}]', id="a-flipped-bit"),
    ],
)
def test_a_list_with_malformed_items_does_not_empty_the_cache(serve: Any, items: bytes) -> None:
    """Readers keep the cached objects until a list is complete."""
    right, wrong = answer(pod_list(5, NAMES)), answer(b'{"metadata":{"resourceVersion":"6"},"items":' + items + b"}")
    lists = 0

    def answers(watch: bool) -> bytes:
        nonlocal lists
        if watch:
            return STREAM + chunked(GONE) + b"0\r\n\r\n"
        lists += 1
        return right if lists == 1 else wrong

    followed = Followed(Server(serve, answers, 5))
    followed.check_it_recovers()
    # All four stay cached until the valid list, in which two are missing.
    assert sorted(followed.delivered) == sorted(
        [
            *[(DeltaType.ADDED, name) for name in NAMES],
            *[(DeltaType.UPDATED, name) for name in ("a", "b")],
            *[(DeltaType.DELETED, name) for name in ("c", "d")],
        ]
    )


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [],
        "x",
        7,
        {},
        {"name": 7},
        {"name": ""},
        {"name": None},
        {"namespace": "ns"},
        {"name": ["a"]},
        {"name": {}},
    ],
    ids=repr,
)
@pytest.mark.parametrize("where", ["list", "ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
def test_objects_with_metadata_of_any_kind(serve: Any, metadata: Any, where: str) -> None:
    """An object without a name is reported and left out, in a list and in a watch; the others are stored."""
    odd = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata}
    items = [odd] if where == "list" else []
    body = json.dumps({"metadata": {"resourceVersion": "5"}, "items": [pod("c", 5), *items, pod("d", 5)]}).encode()
    stream = b"" if where == "list" else event(where, odd)

    def answers(watch: bool) -> bytes:
        return STREAM + chunked(event("ADDED", pod("a", 6)) + stream, GONE) + b"0\r\n\r\n" if watch else answer(body)

    followed = Followed(Server(serve, answers, 3))
    followed.check_it_recovers()
    assert {name for _, name in followed.delivered} == {"a", "b", "c", "d"}

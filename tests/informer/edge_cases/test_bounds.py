"""Limits on what a server can make the informer hold or do: endless lists, streams and heads, and long Retry-Afters."""

from __future__ import annotations

import itertools
import json
import traceback
from typing import Any

import pytest

from informer import Backoff, Object
from tests.support.waiting import eventually

LIMIT = 50


def endless_pages(say: Any, *, names: bool, tokens: bool = True) -> Any:
    """Pages without an end; `names`: each has an object, `tokens`: each has a different continue token."""
    count = itertools.count()

    def page(connection: Any) -> None:
        number = next(count)
        metadata = {"continue": f"t{number if tokens else 0}"}
        say.listed("9", *[f"p{number}"][: int(names)], **metadata)(connection)

    return page


def endless_items(say: Any) -> Any:
    """One page with items without an end."""

    def page(connection: Any) -> None:
        connection.begin()
        connection.chunk(b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[')
        for number in itertools.count():
            connection.chunk(json.dumps(say.pod(f"p{number}", "9")).encode() + b",")

    return page


def endless_events(say: Any) -> Any:
    """A watch that adds objects without an end."""

    def watch(connection: Any) -> None:
        connection.begin()
        for number in itertools.count():
            connection.chunk(say.added(f"p{number}", str(100 + number)))

    return watch


class Failures:
    """What a watch error handler was called with, except for expired versions, and the size of the cache then."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.shown: list[str] = []
        self.caches: list[int] = []

    def __call__(self, informer: Any, error: Exception) -> None:
        if not getattr(error, "is_expired", False):
            self.errors.append(str(error))
            self.shown.append(str(informer.sync_error()))
            self.caches.append(len(informer.store))


TOO_MANY = f"more than {LIMIT} objects: raise max_objects to accept them"


# Each list without an end: the answer, the number of requests until the informer gives up, and the error.
@pytest.mark.parametrize(
    ("make", "requests", "reason"),
    [
        pytest.param(lambda say: endless_pages(say, names=True), LIMIT + 1, TOO_MANY, id="pages"),
        pytest.param(lambda say: endless_pages(say, names=False), LIMIT + 1, TOO_MANY, id="empty-pages"),
        pytest.param(endless_items, 1, TOO_MANY, id="one-page"),
        pytest.param(
            lambda say: endless_pages(say, names=True, tokens=False), 2, "same continue token twice", id="same-token"
        ),
    ],
)
def test_a_list_without_an_end_is_an_error_and_the_cache_stays(
    scripted: Any, follow: Any, say: Any, make: Any, requests: int, reason: str
) -> None:
    """The error names the limit and its argument. The list is retried, and the cache stays until a list is complete."""
    endless, failures = make(say), Failures()
    server = scripted(
        [say.listed("5", "a"), *[endless] * (2 * requests), say.listed("10", "b", "c")], [say.refused(410, "Expired")]
    )
    followed = follow(server, max_objects=LIMIT, watch_error_handler=failures)
    assert followed.reaches("10")
    assert len(server.lists) == 2 * requests + 2
    assert [reason in error for error in failures.errors] == [True, True]
    assert failures.shown == failures.errors
    assert failures.caches == [1, 1]
    assert followed.keys == ["b", "c"]
    assert followed.delivered[0] == ("Added", "a")
    # The cache has the list a moment before `sync_error` is reset.
    assert eventually(lambda: followed.informer.sync_error() is None)


@pytest.mark.parametrize("then", ["too-many", "cut"])
def test_an_error_keeps_no_objects_of_the_failed_list_alive(scripted: Any, follow: Any, say: Any, then: str) -> None:
    """The traceback of `sync_error()` may be kept for long; the parsed objects are not."""

    def broken(connection: Any) -> None:
        connection.begin()
        connection.chunk(b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[')
        for number in range(LIMIT):
            connection.chunk(json.dumps(say.pod(f"p{number}", "9")).encode() + b",")
        connection.cut()

    server = scripted([endless_items(say) if then == "too-many" else broken], [])
    informer = follow(server, max_objects=LIMIT, backoff=Backoff(60, 60)).informer
    assert eventually(lambda: informer.sync_error() is not None)
    error: BaseException | None = informer.sync_error()
    held: list[int] = []
    frames = 0
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            frames += 1
            # Only lists: the bytes of the last read have a bound of their own.
            lists = [value for value in frame.f_locals.values() if isinstance(value, list)]
            held += [sum(type(item) is Object for item in each) for each in lists]
        error = error.__cause__
    assert frames
    assert max(held, default=0) == 0


def test_initial_events_without_an_end_are_an_error_and_the_cache_stays(scripted: Any, follow: Any, say: Any) -> None:
    """As for a list without an end. The watch list is retried, and not replaced by a list."""
    end = say.line(
        "BOOKMARK", {"metadata": {"resourceVersion": "5", "annotations": {"k8s.io/initial-events-end": "true"}}}
    )
    failures, expired = Failures(), say.line("ERROR", say.status(410, "Expired"))
    last = say.watched(say.added("b", "10"), {**end, "object": with_version(end["object"], "10")}, then="hang")
    server = scripted(
        [say.refused(500, "InternalError", "no lists are wanted here")],
        [say.watched(say.added("a", "5"), end, expired), endless_events(say), endless_events(say), last],
    )
    followed = follow(server, max_objects=LIMIT, watch_error_handler=failures, watch_list=True)
    assert followed.reaches("10")
    assert (len(server.lists), len(server.watches)) == (0, 4)
    assert [TOO_MANY in error for error in failures.errors] == [True, True]
    assert failures.caches == [1, 1]
    assert followed.keys == ["b"]


def with_version(obj: dict[str, Any], version: str) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}}


def test_a_watch_that_only_adds_is_an_error_and_is_followed_by_a_list(scripted: Any, follow: Any, say: Any) -> None:
    """The cache exceeds the limit by at most one read of the socket; then the informer lists again."""
    failures = Failures()
    server = scripted([say.listed("5", "a"), say.listed("1000000", "b")], [endless_events(say)])
    followed = follow(server, max_objects=LIMIT, watch_error_handler=failures)
    assert followed.reaches("1000000")
    assert [TOO_MANY in error for error in failures.errors] == [True]
    assert LIMIT < failures.caches[0] < 20_000
    assert followed.keys == ["b"]


def test_deleted_objects_do_not_count(scripted: Any, follow: Any, say: Any) -> None:
    """Neither deleted objects nor updates count towards the limit."""
    events: list[Any] = []
    for number in range(3 * LIMIT):
        name, version = f"p{number}", 10 + 3 * number
        events += [say.added(name, str(version)), say.line("MODIFIED", say.pod(name, str(version + 1)))]
        events += [say.line("DELETED", say.pod(name, str(version + 2)))]
    failures = Failures()
    server = scripted([say.listed("5", "a")], [say.watched(*events, say.bookmark("9999"), then="hang")])
    followed = follow(server, max_objects=2, watch_error_handler=failures)
    assert followed.reaches("9999")
    assert (failures.errors, len(server.lists)) == ([], 1)


def test_the_limit_itself_is_allowed(scripted: Any, follow: Any, say: Any) -> None:
    """The limit may be reached, in one page or in several."""
    pages = [say.listed("5", "a", "b", **{"continue": "t1"}), say.listed("5", "c")]
    followed = follow(scripted([*pages], [say.watched(say.bookmark("6"), then="hang")]), max_objects=3)
    assert followed.reaches("6")
    assert followed.keys == ["a", "b", "c"]


# Heads that are too long for http.client. Without its limit each would be read without an end.
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 200 " + b"x" * 70_000, id="status-line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 70_000, id="header-line"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200, id="headers"),
    ],
)
@pytest.mark.parametrize("where", ["list", "watch"])
def test_a_head_without_an_end_is_a_broken_connection(
    scripted: Any, follow: Any, say: Any, head: bytes, where: str
) -> None:
    """It is reported and retried, and no event is lost."""

    def answer(connection: Any) -> None:
        connection.keep = False
        connection.send(head + b"\r\n\r\n")

    failures, watch = Failures(), say.watched(say.added("b", "6"), then="hang")
    server = scripted(
        # Before the watch is resumed, the version is confirmed by a list of one object.
        [answer, say.listed("5", "a")] if where == "list" else [say.listed("5", "a")] * 2,
        [answer, watch] if where == "watch" else [watch],
    )
    followed = follow(server, watch_error_handler=failures)
    assert followed.reaches("6")
    assert followed.keys == ["a", "b"]
    assert [error.startswith(f"failed to {where} pods: cannot reach http://") for error in failures.errors] == [True]


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("where", ["list", "watch list", "watch"])
def test_a_long_retry_after_is_limited(scripted: Any, follow: Any, say: Any, code: int, where: str) -> None:
    """A Retry-After of almost a day is limited to `max_retry_after`."""
    busy = say.refused(code, "Busy", headers={"Retry_After": "80000"})
    watch = say.watched(say.added("b", "6"), then="hang")
    lists = [busy, say.listed("5", "a")] if where == "list" else [say.listed("5", "a")]
    # After a 429 the watch list is requested again, and then refused for good.
    again = [say.refused(501, "NotImplemented")] if (where, code) == ("watch list", 429) else []
    server = scripted(lists, [watch] if where == "list" else [busy, *again, watch])
    backoff = Backoff(initial=0.005, maximum=0.01, max_retry_after=0.05)
    followed = follow(server, watch_list=where == "watch list", backoff=backoff)
    assert followed.reaches("6")
    assert followed.keys == ["a", "b"]

"""Lists and watches that the server refuses, by an HTTP status or an ERROR event."""

from __future__ import annotations

from typing import Any

import pytest

from informer import ApiError


def test_error_event_with_status_500_relists(scripted: Any, follow: Any, say: Any) -> None:
    """A 500 in the stream ends the watch; a list at the last version follows."""
    server = scripted(
        [say.listed("5", "a"), say.listed("9", "a", "b")],
        [say.watched(say.bookmark("7"), say.line("ERROR", say.status(500, "InternalError", "etcd")), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.keys == ["a", "b"]


def test_error_event_with_status_410_relists_at_the_last_version_and_finds_deletes(
    scripted: Any, follow: Any, say: Any
) -> None:
    """An object missing from the relist is deleted, although no event reported it."""
    server = scripted(
        [say.listed("5", "a", "b"), say.listed("9", "b")],
        [say.watched(say.bookmark("7"), say.line("ERROR", say.status(410, "Expired", "too old")))],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.delivers(4)
    assert followed.delivered[2:] == [("Deleted", "a"), ("Updated", "b")]
    assert followed.changes[2].final_state_unknown


def test_error_event_with_status_429_watches_again_at_the_same_version(scripted: Any, follow: Any, say: Any) -> None:
    """A 429 in the stream is followed by a wait and another watch, without a list."""
    throttled = say.line("ERROR", say.status(429, "TooManyRequests", retryAfterSeconds=0))
    server = scripted(
        [say.listed("5")], [say.watched(say.bookmark("7"), throttled), say.watched(say.bookmark("8"), then="hang")]
    )
    assert follow(server).reaches("8")
    assert (server.list_versions, server.watch_versions) == (["0"], ["5", "7"])


def test_410_as_http_status_on_watch_takes_two_steps(scripted: Any, follow: Any, say: Any) -> None:
    """The informer lists at the last version first, and at "" only if that version has expired too."""
    gone = say.refused(410, "Expired", "too old resource version")
    server = scripted([say.listed("5", "a"), gone, say.listed("9", "a")], [gone])
    assert follow(server).reaches("9")
    assert server.list_versions == ["0", "5", ""]


def test_410_on_page_2_of_a_list_lists_everything_at_the_version_asked_for(
    scripted: Any, follow: Any, say: Any
) -> None:
    """The whole list is requested without a limit; the inconsistent continue token of the answer is not used."""
    server = scripted(
        [
            say.listed("5", "a", **{"continue": "C1"}),
            say.refused(410, "Expired", "continue", **{"continue": "INCONSISTENT"}),
            say.listed("5", "a", "b"),
        ],
        [],
    )
    followed = follow(server, page_size=1)
    assert followed.reaches("5")
    assert [(q.get("continue"), q.get("resourceVersion"), q.get("limit")) for q in server.lists] == [
        (None, "0", "1"),
        ("C1", None, "1"),
        (None, "0", None),
    ]
    assert followed.keys == ["a", "b"]


@pytest.mark.parametrize("where", ["list", "watch"])
def test_429_with_retry_after_is_waited_for(scripted: Any, follow: Any, where: str, say: Any) -> None:
    """The wait is at least as long as the header says, which takes precedence over the body."""
    throttled = say.refused(429, "TooManyRequests", headers={"Retry_After": "1"}, retryAfterSeconds=60)
    lists, watches = [say.listed("5")], []
    (lists if where == "list" else watches).insert(0, throttled)
    server = scripted(lists, watches)
    follow(server)
    assert server.wait_for(lists=len(lists), watches=len(watches) + 1)
    at = 0 if where == "list" else 1
    assert 1.0 <= server.times[at + 1] - server.times[at] < 5


@pytest.mark.parametrize(
    ("message", "details"),
    [
        ("Timeout", {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}),
        ("Too large resource version: 5, current: 3", {}),
    ],
    ids=["cause", "message-of-an-old-server"],
)
def test_too_large_resource_version_lists_the_newest(
    scripted: Any, follow: Any, message: str, details: Any, say: Any
) -> None:
    """The server lags behind the requested version and answers 504; the next list asks for its newest state."""
    too_large = say.refused(504, "Timeout", message, **details)
    server = scripted([say.listed("5"), too_large, say.listed("6")], [say.refused(410, "Expired")])
    assert follow(server).reaches("6")
    assert server.list_versions == ["0", "5", ""]


@pytest.mark.parametrize("code", [500, 503, 403, 401])
def test_a_failing_server_never_empties_the_cache(scripted: Any, follow: Any, code: int, say: Any) -> None:
    """Whatever status a relist is refused with, readers keep the cached objects."""
    server = scripted([say.listed("5", "a"), say.refused(code, "X", "no")], [say.refused(410, "Expired")])
    followed = follow(server)
    assert server.wait_for(lists=3)
    assert followed.keys == ["a"]
    assert isinstance(followed.informer.sync_error(), ApiError)

"""Events that are none, say little, or are of another kind."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"ADDED","object":{"metadata":{"name":"x"}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":x}}}\n',
        b"garbage\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'"text"\n',
        b'{"type":5,"object":{}}\n',
        b'{"type":"ADDED","object":5}\n',
        b'{"type":"ADDED"}\n',
        b'{"object":{}}\n',
    ],
    ids=repr,
)
def test_broken_json_in_a_full_line_relists(scripted: Any, follow: Any, bad: bytes, say: Any) -> None:
    """Broken JSON in a full line: ERROR 500, a list at the last version; what came before it is kept."""
    server = scripted(
        [say.listed("5"), say.listed("9", "a")],
        [say.watched(say.added("a", "7"), bad, say.added("lost", "8"), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.keys == ["a"]


def test_an_empty_line_is_nothing(scripted: Any, follow: Any, say: Any) -> None:
    """Between events a server may send a bare newline."""
    server = scripted(
        [say.listed("5")], [say.watched(b"\n", say.added("a", "7"), b"\n \n", say.added("b", "8"), then="hang")]
    )
    followed = follow(server)
    assert followed.reaches("8")
    assert (server.list_versions, followed.keys) == (["0"], ["a", "b"])


def test_unknown_event_type_relists_at_the_version_before_it(scripted: Any, follow: Any, say: Any) -> None:
    """Unknown event type: never past it; the list brings what it may have meant."""
    server = scripted(
        [say.listed("5"), say.listed("9", "a", "new")],
        [say.watched(say.added("a", "7"), say.line("REPLACED", say.pod("new", "8")), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.keys == ["a", "new"]


def test_bookmark_of_metadata_only_moves_the_version_and_is_never_shown(scripted: Any, follow: Any, say: Any) -> None:
    """Bookmark, only metadata: the cache has reached its version, and no handler hears of it."""
    server = scripted(
        [say.listed("5")], [say.watched(say.bookmark("70"), then="end"), say.watched(say.added("a", "71"), then="hang")]
    )
    followed = follow(server)
    assert followed.reaches("71")
    assert server.watch_versions == ["5", "70"]
    assert followed.tells(1)
    assert followed.told == [("Added", "a")]


@pytest.mark.parametrize("metadata", [{}, {"resourceVersion": ""}, {"resourceVersion": 7}], ids=repr)
def test_bookmark_with_empty_rv_is_ignored(scripted: Any, follow: Any, metadata: Any, say: Any) -> None:
    """Bookmark with empty RV: the last version stays."""
    empty = say.line("BOOKMARK", {"metadata": metadata})
    server = scripted([say.listed("5")], [say.watched(empty), say.watched(say.added("a", "7"), then="hang")])
    assert follow(server).reaches("7")
    assert server.watch_versions == ["5", "5"]


def test_rv_empty_on_watch_is_never_advanced_by_its_synthetic_adds(scripted: Any, follow: Any, say: Any) -> None:
    """RV "" / "0" / unset on watch: the synthetic adds' versions are in no order (python#819)."""
    synthetic = say.watched(say.added("a", "300"), say.added("b", "100"))
    server = scripted(
        [say.listed("", "a")],
        [
            synthetic,
            say.watched(say.added("a", "300"), say.line("MODIFIED", say.pod("b", "301"))),
            say.watched(say.bookmark("302"), then="hang"),
        ],
    )
    assert follow(server).reaches("302")
    assert server.watch_versions == ["", "", "301"]


def test_object_without_rv_is_stored_and_does_not_reset_the_last(scripted: Any, follow: Any, say: Any) -> None:
    """Object without RV: the last version is not overwritten with ""."""
    server = scripted(
        [say.listed("5")], [say.watched(say.added("a", None)), say.watched(say.added("b", "7"), then="hang")]
    )
    followed = follow(server)
    assert followed.reaches("7")
    assert server.watch_versions == ["5", "5"]
    assert followed.keys == ["a", "b"]


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, {"metadata": None}, {"metadata": {"name": 5}}], ids=repr)
def test_an_odd_object_takes_no_other_with_it(
    scripted: Any, follow: Any, odd: Any, caplog: pytest.LogCaptureFixture, say: Any
) -> None:
    """Wrong kind in stream, and what is no object at all: the others of the stream, or of the relist, arrive."""
    server = scripted(
        [say.listed("5"), say.listed("9", "a", "b")],
        [
            say.watched(
                say.added("a", "7"),
                say.line("MODIFIED", odd),
                say.added("b", "8"),
                say.line("BOOKMARK", {}),
                say.bookmark("9"),
                then="hang",
            )
        ],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert followed.keys == ["a", "b"]

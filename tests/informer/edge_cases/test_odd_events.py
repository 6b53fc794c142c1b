"""Events that are none, say little, or are of another kind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from informer import ListWatch, Reflector, SharedInformer, Store
from watch.concurrency import Signal


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


def test_table_in_the_stream_is_skipped(scripted: Any, follow: Any, say: Any) -> None:
    """Table: it has no name, is not stored, and takes nothing else with it."""
    table = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "6"}, "rows": [{}]}
    server = scripted(
        [say.listed("5")],
        [say.watched(say.line("ADDED", table), say.added("a", "7"), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("7")
    assert (server.list_versions, followed.keys) == (["0"], ["a"])


def test_wrong_kind_in_stream_is_skipped_and_logged(
    scripted: Any, say: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong kind in stream: where a reflector is told the kind, another is skipped and its version is not taken."""
    service = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s", "resourceVersion": "99"}}
    server = scripted(
        [say.listed("5")],
        [
            say.watched(say.added("a", "7"), say.line("ADDED", service)),
            say.watched(say.added("b", "8"), then="hang"),
        ],
    )
    store, stop = Store(), Signal()
    source = ListWatch.for_resource(server.http.client(), "pods")
    reflector = Reflector(source, store, expected_type=("v1", "Pod"), watch_list=False, backoff=say.backoff)
    running = run(reflector.run, stop)
    assert server.wait_for(watches=2)
    stop.set()
    running.result()
    assert server.watch_versions == ["5", "7"]
    assert "ns/a" in store.list_keys()
    assert "s" not in store.list_keys()
    assert "skipped an object of another type than requested: v1, Kind=Service" in caplog.text


class NeedsSpec(msgspec.Struct):
    """A model that no bookmark fits."""

    spec: dict[str, Any]


@pytest.mark.parametrize("model", [NeedsSpec, dict, None], ids=["struct", "dict", "object"])
def test_bookmark_of_metadata_only_is_not_typed(scripted: Any, say: Any, model: Any) -> None:
    """Bookmark, only metadata: no model is asked of it, and it may lack even its kind."""
    server = scripted(
        [say.listed("5")],
        [
            say.watched(say.line("BOOKMARK", {"metadata": {"resourceVersion": "70"}})),
            say.watched(say.line("ADDED", say.pod("a", "71", spec={})), then="hang"),
        ],
    )
    source = ListWatch.for_resource(server.http.client(), "pods", model=model)
    with SharedInformer(source, backoff=say.backoff, watch_list=False) as informer:
        assert informer.wait_for_resource_version("71", 10)
        assert informer.store.list_keys() == ["ns/a"]
    assert server.watch_versions == ["5", "70"]
    assert server.list_versions == ["0"]


@pytest.mark.parametrize("queue", ["in_order", "delta"])
def test_rv_0_on_watch_is_advanced_by_what_is_no_add(scripted: Any, follow: Any, say: Any, queue: str) -> None:
    """RV "0" on watch, of a list that says "0": as for "", from the first event that is no synthetic add."""
    server = scripted(
        [say.listed("0")],
        [
            say.watched(say.added("a", "300"), say.added("b", "100")),
            say.watched(say.added("a", "300"), say.bookmark("301"), say.added("c", "302")),
            say.watched(say.bookmark("303"), then="hang"),
        ],
    )
    assert follow(server, queue=queue).reaches("303")
    assert server.watch_versions == ["0", "0", "302"]

"""Events that are malformed, incomplete, or of another kind."""

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
    """Broken JSON is an ERROR event with code 500: the informer lists at the last version, and keeps the events before it."""
    server = scripted(
        [say.listed("5"), say.listed("9", "a")],
        [say.watched(say.added("a", "7"), bad, say.added("lost", "8"), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.keys == ["a"]


def test_empty_lines_are_ignored(scripted: Any, follow: Any, say: Any) -> None:
    """A server may send a bare newline between events."""
    server = scripted(
        [say.listed("5")], [say.watched(b"\n", say.added("a", "7"), b"\n \n", say.added("b", "8"), then="hang")]
    )
    followed = follow(server)
    assert followed.reaches("8")
    assert (server.list_versions, followed.keys) == (["0"], ["a", "b"])


def test_unknown_event_type_relists_at_the_version_before_it(scripted: Any, follow: Any, say: Any) -> None:
    """The informer does not skip the event: the list contains what it may have meant."""
    server = scripted(
        [say.listed("5"), say.listed("9", "a", "new")],
        [say.watched(say.added("a", "7"), say.line("REPLACED", say.pod("new", "8")), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.keys == ["a", "new"]


def test_bookmark_of_metadata_only_moves_the_version_and_is_never_shown(scripted: Any, follow: Any, say: Any) -> None:
    """The cache reaches the bookmark's version, and no handler is called."""
    server = scripted(
        [say.listed("5")], [say.watched(say.bookmark("70"), then="end"), say.watched(say.added("a", "71"), then="hang")]
    )
    followed = follow(server)
    assert followed.reaches("71")
    assert server.watch_versions == ["5", "70"]
    assert followed.delivers(1)
    assert followed.delivered == [("Added", "a")]


@pytest.mark.parametrize("metadata", [{}, {"resourceVersion": ""}, {"resourceVersion": 7}], ids=repr)
def test_bookmark_with_empty_rv_is_ignored(scripted: Any, follow: Any, metadata: Any, say: Any) -> None:
    """The last version stays."""
    empty = say.line("BOOKMARK", {"metadata": metadata})
    server = scripted([say.listed("5")], [say.watched(empty), say.watched(say.added("a", "7"), then="hang")])
    assert follow(server).reaches("7")
    assert server.watch_versions == ["5", "5"]


def test_rv_empty_on_watch_is_never_advanced_by_its_synthetic_adds(scripted: Any, follow: Any, say: Any) -> None:
    """The synthetic adds at the start of such a watch are not in the order of their versions (python#819)."""
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
    """The last version is not overwritten with ""."""
    server = scripted(
        [say.listed("5")], [say.watched(say.added("a", None)), say.watched(say.added("b", "7"), then="hang")]
    )
    followed = follow(server)
    assert followed.reaches("7")
    assert server.watch_versions == ["5", "5"]
    assert followed.keys == ["a", "b"]


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, {"metadata": None}, {"metadata": {"name": 5}}], ids=repr)
def test_an_odd_object_does_not_affect_others(
    scripted: Any, follow: Any, odd: Any, caplog: pytest.LogCaptureFixture, say: Any
) -> None:
    """The other objects of the stream, or of the relist, are stored."""
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
    """A Table has no name; it is not stored, and the other events are applied."""
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
    """With an expected type, an object of another type is skipped and its version ignored."""
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
    """A bookmark is not decoded as the model, and may even lack its kind."""
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
def test_rv_0_on_watch_is_advanced_by_the_first_other_event(scripted: Any, follow: Any, say: Any, queue: str) -> None:
    """As for "": synthetic adds do not advance the version, any later event does."""
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

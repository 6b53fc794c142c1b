"""Lists with incomplete, missing or wrong items, and lists that follow each other."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from informer import Change
from tests.support.waiting import DEADLINE, eventually


def test_list_items_that_lack_kind_and_api_version_get_them_of_the_list(scripted: Any, follow: Any) -> None:
    """API servers leave out kind and apiVersion of list items; the stored objects have both."""

    def untyped(connection: Any) -> None:
        item = {"metadata": {"name": "a", "namespace": "ns"}}
        connection.answer(
            {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": [item]}
        )

    followed = follow(scripted([untyped], []))
    assert followed.reaches("5")
    stored = followed.informer.store.get_by_key("ns/a")
    assert (stored.kind, stored.api_version, stored["kind"]) == ("Pod", "v1", "Pod")


def test_a_table_is_refused_and_reported(scripted: Any, follow: Any, say: Any) -> None:
    """The informer never requests a Table, and receiving one is a failed list."""

    def table(connection: Any) -> None:
        connection.answer(
            {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "4"}, "rows": []}
        )

    errors: list[Exception] = []
    server = scripted([table, say.listed("5", "a")], [])
    followed = follow(server, watch_error_handler=lambda informer, error: errors.append(error))
    assert followed.reaches("5")
    assert "unsupported list gvk: meta.k8s.io/v1, Kind=Table" in str(errors[0])
    assert all(request.headers["accept"] == "application/json" for request in server.http.requests)


@pytest.mark.parametrize("items", [{"items": None}, {}], ids=["null", "missing"])
def test_items_null_or_missing_are_an_empty_list(scripted: Any, follow: Any, items: Any, say: Any) -> None:
    """The objects of the list before are deleted."""

    def empty(connection: Any) -> None:
        connection.answer({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, **items})

    followed = follow(scripted([say.listed("5", "a"), empty], [say.refused(410, "Expired")]))
    assert followed.reaches("9")
    assert followed.keys == []


def test_same_rv_on_replace_is_no_change(scripted: Any, follow: Any, say: Any) -> None:
    """A relist delivers an update only for an object whose version differs."""

    def relist(connection: Any) -> None:
        items = [say.pod("a", "5"), say.pod("b", "8")]
        connection.answer({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": items})

    followed = follow(scripted([say.listed("5", "a", "b"), relist], [say.refused(410, "Expired")]))
    assert followed.reaches("9")
    assert followed.delivers(3)
    assert followed.delivered == [("Added", "a"), ("Added", "b"), ("Updated", "b")]


def test_replace_with_items_still_queued_keeps_their_order(scripted: Any, follow: Any, say: Any) -> None:
    """A slow handler gets the events before the relist first, and then the changes of the relist."""
    release = threading.Event()
    seen: list[tuple[str, str]] = []

    def slow(changes: list[Change[Any]]) -> None:
        release.wait(DEADLINE)
        seen.extend((str(change.type), change.object.name) for change in changes)

    events = [
        say.added("b", "6"),
        say.added("c", "7"),
        say.line("DELETED", say.pod("b", "8")),
        say.line("ERROR", say.status(410, "Expired")),
    ]
    server = scripted([say.listed("5", "a"), say.listed("9", "c", "d")], [say.watched(*events)])
    followed = follow(server)
    registration = followed.informer.add_event_handler(on_batch=slow)
    assert followed.reaches("9")
    release.set()
    assert registration.wait_for_sync(DEADLINE)
    assert eventually(lambda: ("Added", "d") in seen)
    assert set(seen[-3:]) == {("Deleted", "a"), ("Updated", "c"), ("Added", "d")}
    assert [each for each in seen if each[1] == "b"] in ([("Added", "b"), ("Deleted", "b")], [])


@pytest.mark.parametrize("relist", [False, True], ids=["first-list", "relist"])
def test_wrong_kind_of_a_list_is_refused_and_empties_no_cache(
    scripted: Any, follow: Any, say: Any, relist: bool
) -> None:
    """A list of services in answer to a list of pods is a failed list; the next list succeeds."""
    services = {"kind": "ServiceList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [{}]}
    lists = [lambda connection: connection.answer(services), say.listed("9", "a")]
    if relist:
        lists.insert(0, say.listed("5", "a", "b"))
    server = scripted(lists, [say.refused(410, "Expired")] if relist else [])
    errors: list[Exception] = []
    followed = follow(server, watch_error_handler=lambda informer, error: errors.append(error))
    assert followed.reaches("9")
    assert "the server answered with a list of 'Service', not of 'Pod'" in str(errors[-1])
    assert followed.keys == ["a"]
    before = [("Added", "a"), ("Added", "b")]
    expected = [*before, ("Deleted", "b"), ("Updated", "a")] if relist else before[:1]
    assert followed.delivers(len(expected))
    assert sorted(followed.delivered) == sorted(expected)


@pytest.mark.parametrize("kind", ["List", "PodList", None, 5], ids=repr)
def test_a_list_without_a_specific_kind_is_accepted(scripted: Any, follow: Any, say: Any, kind: Any) -> None:
    """A list with the kind "List", or without a kind, is accepted as the requested one."""
    body = {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": [say.pod("a", "5")]}
    followed = follow(scripted([lambda connection: connection.answer(body)], []))
    assert followed.reaches("5")
    assert followed.keys == ["a"]

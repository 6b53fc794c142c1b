"""From events to deltas: their types, the version they lead to, and what ends a watch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer import ApiError, DeletedFinalStateUnknown, Delta, DeltaType, Object
from informer.objects.entry import Undecodable
from informer.objects.keys import NoLongerDecodes
from informer.reflector.event_reader import EventReader, is_initial_events_end, status_error, type_check, version_after
from watch import Event, EventType


def obj(name: str, version: str | None = None) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, **({"resourceVersion": version} if version else {})},
    }


def reader(begun_at: str = "1", **options: Any) -> EventReader:
    options.setdefault("on_undecodable", lambda item: None)
    return EventReader(begun_at, **options)


def bad(name: str, version: str) -> Undecodable:
    return Undecodable(name, "ns", "uid", version, b"{}", ValueError("bad"))


A1, B2, C3 = obj("a", "1"), obj("b", "2"), obj("c", "3")


@pytest.mark.parametrize("plain", [False, True], ids=["enum", "string"])
def test_each_event_is_a_delta_in_order(plain: bool) -> None:
    """client-go source. An event's type may be an `EventType` or the server's string."""
    kinds: list[Any] = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    kinds = kinds if plain else [EventType(kind) for kind in kinds]
    batch = reader().read([Event(kind, each) for kind, each in zip(kinds, [A1, B2, C3, obj("", "9")], strict=True)])
    assert batch.deltas == [
        Delta(DeltaType.ADDED, A1),
        Delta(DeltaType.UPDATED, B2),
        Delta(DeltaType.DELETED, C3),
        Delta(DeltaType.BOOKMARK, "9"),
    ]
    assert (batch.resource_version, batch.error) == ("9", None)


@pytest.mark.parametrize(
    ("events", "version"),
    [
        pytest.param([], "", id="none"),
        pytest.param([("ADDED", obj("a", "5")), ("ADDED", obj("b", "3"))], "3", id="the-last-not-the-highest"),
        pytest.param([("ADDED", obj("a", "5")), ("MODIFIED", obj("b"))], "5", id="an-object-without-one"),
        pytest.param([("ADDED", obj("a"))], "", id="none-has-one"),
        pytest.param([("BOOKMARK", obj("", "5")), ("BOOKMARK", {})], "5", id="bookmark-without"),
        pytest.param([("ADDED", A1), ("ERROR", {}), ("ADDED", obj("b", "9"))], "1", id="up-to-the-error"),
        pytest.param([("ADDED", A1), ("MODIFIED", bad("b", "7"))], "7", id="one-that-does-not-decode"),
        pytest.param([("ADDED", bad("", ""))], "", id="an-unreadable-object"),
        pytest.param([("ADDED", Object.from_dict(obj("a", "6")))], "6", id="object"),
        pytest.param([("ADDED", {"metadata": {"resourceVersion": 7}})], "", id="a-number"),
    ],
)
def test_a_batch_leads_to_the_version_of_its_last_event_that_has_one(events: Any, version: str) -> None:
    """Go: TestReflectorWatchHandler. An object or bookmark without a resourceVersion does not reset the version to ""."""
    assert reader().read([Event(*event) for event in events]).resource_version == version


@pytest.mark.parametrize("begun_at", ["", "0"])
@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        pytest.param([["+9"], ["+3", "+5"]], ["", ""], id="adds-only"),
        pytest.param([["+9", "~4", "+5"]], ["5"], id="from-the-first-other-event"),
        pytest.param([["+9"], ["~4"], ["+5"]], ["", "4", "5"], id="in-later-batches"),
        pytest.param([["+9", "b7"], ["+8"]], ["7", "8"], id="a-bookmark-is-not-an-add"),
        pytest.param([["+9", "-4"]], ["4"], id="a-delete-is-not-an-add"),
        pytest.param([["+9", "!"]], [""], id="an-error-has-no-version"),
        pytest.param([["+9", "?6"]], [""], id="an-add-that-does-not-decode"),
    ],
)
def test_synthetic_adds_do_not_count_as_versions(begun_at: str, batches: list[list[str]], expected: list[str]) -> None:
    """client-go source. A watch from "" or "0" begins with ADDED events in arbitrary order (python#819)."""
    kinds = {"+": "ADDED", "~": "MODIFIED", "-": "DELETED", "b": "BOOKMARK", "!": "ERROR", "?": "ADDED"}

    def event(text: str) -> Event[Any]:
        made: Any = bad("u", text[1:]) if text[0] == "?" else obj("x", text[1:])
        return Event(kinds[text[0]], made)

    made = reader(begun_at)
    assert [made.read([event(text) for text in batch]).resource_version for batch in batches] == expected


def test_an_undecodable_object_is_reported_and_deleted() -> None:
    """It is deleted from the cache, and its version counts as seen."""
    reported: list[Undecodable] = []
    item = bad("b", "7")
    batch = reader(on_undecodable=reported.append).read([Event("MODIFIED", item)])
    assert reported == [item]
    assert batch.deltas == [
        Delta(DeltaType.DELETED, DeletedFinalStateUnknown("ns/b", None)),
        Delta(DeltaType.BOOKMARK, "7"),
    ]


def test_an_undecodable_object_without_a_name_deletes_nothing() -> None:
    """Its key is unknown."""
    reported: list[Undecodable] = []
    batch = reader(on_undecodable=reported.append).read([Event("ADDED", bad("", "7"))])
    assert [delta.type for delta in batch.deltas] == [DeltaType.BOOKMARK]
    assert len(reported) == 1


class Pod:
    pass


@pytest.mark.parametrize(
    ("expected", "fits", "does_not"),
    [
        pytest.param(Pod, Pod(), object(), id="class"),
        pytest.param(("v1", "Pod"), obj("a"), {"apiVersion": "v1", "kind": "Service"}, id="dict"),
        pytest.param(("v1", "Pod"), obj("a"), {"apiVersion": "v2", "kind": "Pod"}, id="version"),
        pytest.param(("v1", "Pod"), Object.from_dict(obj("a")), Object.from_dict({"kind": "Pod"}), id="object"),
        pytest.param(
            ("v1", "Pod"), SimpleNamespace(api_version="v1", kind="Pod"), SimpleNamespace(kind="Pod"), id="model"
        ),
    ],
)
def test_objects_of_another_type_are_skipped_and_counted(
    expected: Any, fits: Any, does_not: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Go: TestGetExpectedGVKFromObject. They are logged, too."""
    made = reader(is_expected=type_check(expected))
    batch = made.read([Event("ADDED", does_not), Event("ADDED", fits)])
    assert [delta.object for delta in batch.deltas] == [fits]
    assert made.skipped == 1
    assert "skipped an object of another type" in caplog.text


def test_a_flood_of_objects_of_another_type_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Only the first few are logged."""
    made = reader(is_expected=type_check(("v1", "Pod")))
    made.read([Event("ADDED", {"kind": "Service", "apiVersion": "v1"})] * 1000)
    assert made.skipped == 1000
    assert len(caplog.records) <= 5
    assert "v1, Kind=Service" in caplog.text


def test_without_an_expected_type_every_object_passes() -> None:
    """Go: TestGetTypeDescriptionFromObject."""
    assert type_check(None) is None


# Errors


class Status:
    """Has the attributes of the official client's V1Status."""

    def __init__(self, **fields: Any) -> None:
        self.code = fields.get("code")
        self.reason = fields.get("reason")
        self.message = fields.get("message")
        self.details = fields.get("details")


@pytest.mark.parametrize(
    ("given_object", "expected"),
    [
        pytest.param({"code": 410, "reason": "Expired", "message": "old"}, (410, "Expired", "old", None), id="dict"),
        pytest.param({"details": {"retryAfterSeconds": 3}}, (0, "", "", 3.0), id="details"),
        pytest.param(
            Status(code=429, details=SimpleNamespace(retry_after_seconds=5)), (429, "", "", 5.0), id="official-model"
        ),
        pytest.param(Status(code=410, reason="Gone"), (410, "Gone", "", None), id="official-model-without-details"),
        pytest.param(ApiError(500, "X", "y"), (500, "X", "y", None), id="error"),
        pytest.param(Object.from_dict({"kind": "Status", "code": 410}), (410, "", "", None), id="object"),
        pytest.param({}, (0, "", "", None), id="empty"),
        pytest.param({"code": "410", "reason": 5, "message": None}, (0, "", "", None), id="odd-fields"),
        pytest.param(None, (500, "InternalError", "NoneType", None), id="none"),
        pytest.param("boom", (500, "InternalError", "str", None), id="text"),
        pytest.param([1], (500, "InternalError", "list", None), id="array"),
    ],
)
def test_an_error_event_may_lack_any_field(given_object: Any, expected: Any) -> None:
    """`code`, `reason` and `message` may be missing, and the object need not be a Status."""
    status, reason, message, retry_after = expected
    error = status_error(given_object)
    assert (error.status, error.reason, error.retry_after) == (status, reason, retry_after)
    assert message in error.message


@pytest.mark.parametrize("kind", ["REPLACED", "", "added", None, 5])
def test_an_unknown_event_type_ends_the_watch(kind: Any) -> None:
    """It is an error; later events of the batch are not read, so that the version does not move past it."""
    batch = reader().read([Event("ADDED", A1), Event(kind, B2), Event("ADDED", C3)])
    assert [delta.object for delta in batch.deltas] == [A1]
    assert batch.resource_version == "1"
    assert batch.error is not None
    assert "got invalid watch event type" in batch.error.message


# The end bookmark


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event("BOOKMARK", {"metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}}), True),
        (Event(EventType.BOOKMARK, {"metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}}), True),
        (Event("BOOKMARK", {"metadata": {"annotations": {"k8s.io/initial-events-end": "false"}}}), False),
        (Event("BOOKMARK", {"metadata": {"annotations": {"k8s.io/initial-events-end": True}}}), False),
        (Event("BOOKMARK", {"metadata": {"annotations": None}}), False),
        (Event("BOOKMARK", {"metadata": {}}), False),
        (Event("BOOKMARK", None), False),
        (Event("ADDED", {"metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}}), False),
        (
            Event(
                "BOOKMARK",
                Object.from_dict({"metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}}),
            ),
            True,
        ),
    ],
)
def test_the_end_bookmark_is_recognised_by_its_annotation(event: Event[Any], expected: bool) -> None:
    """Go: TestWatchList. Only a bookmark with the annotation "true" counts, whatever the form of its object."""
    assert is_initial_events_end(event) is expected


# Any sequence of events


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "NEW"]),
            st.one_of(
                st.none(),
                st.integers(),
                st.text(max_size=3),
                st.builds(obj, st.text(max_size=2), st.none() | st.sampled_from(["1", "2", "10"])),
                st.builds(bad, st.sampled_from(["", "x"]), st.sampled_from(["", "4"])),
            ),
        ),
        max_size=12,
    ),
    st.sampled_from(["", "0", "7"]),
    st.integers(0, 12),
)
def test_batch_boundaries_do_not_matter(events: list[Any], begun_at: str, cut: int) -> None:
    """Events read in one batch or in two give the same deltas, the same last version and the same error."""
    made = [Event(*event) for event in events]
    whole, parts = reader(begun_at).read(made), reader(begun_at)
    first, second = parts.read(made[:cut]), None
    if first.error is None:
        second = parts.read(made[cut:])
    deltas = first.deltas + (second.deltas if second else [])
    assert deltas == whole.deltas
    assert ((second and second.resource_version) or first.resource_version) == whole.resource_version
    assert str((second or first).error) == str(whole.error)
    if begun_at == "7":
        known = [version_after(delta) for delta in whole.deltas]
        assert whole.resource_version == next((version for version in reversed(known) if version), "")


def test_the_end_of_an_undecodable_object_is_not_reported() -> None:
    """It is a delete like any other; a change that does not decode is told apart from it."""
    reported: list[Undecodable] = []
    batch = reader(on_undecodable=reported.append).read(
        [Event("MODIFIED", bad("a", "7")), Event("DELETED", bad("b", "8"))]
    )
    assert [item.name for item in reported] == ["a"]
    deletes = [delta.object for delta in batch.deltas if delta.type is DeltaType.DELETED]
    assert [(type(each), each.key) for each in deletes] == [
        (NoLongerDecodes, "ns/a"),
        (DeletedFinalStateUnknown, "ns/b"),
    ]
    assert batch.resource_version == "8"

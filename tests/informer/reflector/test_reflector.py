"""A reflector that lists and watches a scripted source."""

from __future__ import annotations

import logging
import threading
import weakref
from random import Random
from typing import Any

import pytest

from informer import ApiError, Backoff, DeltaType, InformerError, InOrderFIFO, ObjectList, Reflector, Store
from informer.objects.entry import Undecodable
from watch import Event, FakeClock
from watch.concurrency import Signal
from watch.fake import FakeWatcher

EXPIRED = ApiError(410, "Expired", "too old resource version: 10 (20)")
FAST = Backoff(initial=0.001, maximum=0.002)


def reflect(source: Any, target: Any = None, **options: Any) -> Reflector:
    options.setdefault("backoff", FAST)
    options.setdefault("watch_list", "auto")
    return Reflector(source, Store() if target is None else target, name="testName", random=Random(1), **options)


def one_round(made: Reflector) -> None:
    made.list_and_watch(Signal())


def versions(store: Store[Any]) -> dict[str, str | None]:
    return {obj["metadata"]["name"]: obj["metadata"].get("resourceVersion") for obj in store.list()}


# Listing and watching


def test_a_round_lists_in_pages_and_watches_from_the_version_of_the_list(script: Any) -> None:
    """Go: TestReflectorWatchHandler. The options of the list and of the watch after it."""
    source = script.source([script.pods("1", "foo")], [[script.added("bar", "55"), script.added("baz", "32")]])
    store: Store[Any] = Store()
    made = reflect(source, store)
    one_round(made)
    (listed,), watched = source.list_calls, source.watch_calls[0]
    assert (listed.resource_version, listed.limit, listed.allow_watch_bookmarks) == ("0", 500, False)
    assert (watched.resource_version, watched.allow_watch_bookmarks) == ("1", True)
    assert (watched.send_initial_events, watched.resource_version_match, watched.limit) == (None, "", 0)
    assert versions(store) == {"foo": "1", "bar": "55", "baz": "32"}


def test_events_change_the_store_and_the_last_version_is_that_of_the_last_event(script: Any) -> None:
    """Go: TestReflectorWatchHandler. It is the last version, not the highest; an object without one does not change it."""
    events = [
        Event("ADDED", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "rejected"}}),
        script.deleted("foo"),
        script.modified("bar", "55"),
        script.added("baz", "32"),
    ]
    store: Store[Any] = Store()
    made = reflect(script.source([script.pods("1", "foo", "bar")], [events]), store, expected_type=("v1", "Pod"))
    one_round(made)
    assert versions(store) == {"bar": "55", "baz": "32"}
    assert made.last_sync_resource_version == "32"


@pytest.mark.parametrize(
    "expected",
    [pytest.param(("v1", "Pod"), id="version-and-kind"), pytest.param(dict, id="class")],
)
def test_objects_of_another_type_are_skipped_and_do_not_move_the_version(script: Any, expected: Any) -> None:
    """Go: TestGetExpectedGVKFromObject."""
    odd: Any = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "odd", "resourceVersion": "99"}}
    if expected is dict:
        odd = Undecodable("", "", "", "", b"", ValueError())
    store: Store[Any] = Store()
    made = reflect(script.source([script.pods("1", "foo")], [[Event("ADDED", odd)]]), store, expected_type=expected)
    one_round(made)
    assert versions(store) == {"foo": "1"}
    assert made.last_sync_resource_version == "1"


def test_an_error_event_with_any_object_stops_the_watch_and_ends_the_round(script: Any) -> None:
    """Go: TestCloseWatchChannelOnError. The object of an ERROR event need not be a Status."""
    watcher = script.watcher([Event("ERROR", script.pod("foo"))], hang=True)
    one_round(reflect(script.source([script.pods("1")], [watcher])))
    assert watcher.stopped.is_set()


def test_failed_lists_and_watches_are_raised_and_the_store_stays_current(script: Any) -> None:
    """Go: TestReflectorListAndWatchWithErrors. The same store through lists, watches and failures of both."""
    list_error, watch_error = ValueError("a list error"), ValueError("a watch error")
    source = script.source(
        [
            script.pods("1"),
            script.pods("3", "foo", "bar"),
            list_error,
            script.pods("5", "bar", "qux"),
            script.pods("5", "bar", "qux"),
            script.pods("6", "bar", "qux", "baz"),
        ],
        [
            [script.added("foo", "2"), script.added("bar", "3"), Event("ERROR", {})],
            [script.deleted("foo", "4"), script.added("qux", "5"), Event("ERROR", {})],
            watch_error,
            [script.added("baz", "6"), Event("ERROR", {})],
            [Event("ERROR", {})],
        ],
    )
    store: Store[Any] = Store()
    made = reflect(source, store)
    seen: list[Any] = []
    causes: list[Any] = []
    for _ in range(6):
        try:
            one_round(made)
        except InformerError as error:
            seen.append(str(error))
            causes.append(error.__cause__)
        seen.append(sorted(versions(store)))
    assert causes == [list_error, watch_error]
    assert seen == [
        ["bar", "foo"],
        ["bar", "qux"],
        "failed to list testName: a list error",
        ["bar", "qux"],
        "failed to watch testName: a watch error",
        ["bar", "qux"],
        ["bar", "baz", "qux"],
        ["bar", "baz", "qux"],
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(ApiError(403, "Forbidden", "no"), ApiError, id="an-answer"),
        pytest.param(ConnectionRefusedError("refused"), ConnectionRefusedError, id="refused"),
        pytest.param(TimeoutError(), ConnectionError, id="no-answer"),
        pytest.param(KeyError("x"), InformerError, id="a-bug"),
    ],
)
def test_a_failed_list_says_what_failed_and_keeps_its_base_class(script: Any, error: Exception, kind: type) -> None:
    """client-go source. "failed to list <resource>: <cause>", with the original as the cause."""
    made = reflect(script.source([error]))
    with pytest.raises(kind, match="failed to list testName: ") as caught:
        one_round(made)
    assert caught.value.__cause__ is error
    assert made.sync_error() is caught.value


def test_an_official_exception_counts_as_the_servers_answer(script: Any) -> None:
    """A user's functions may raise the official client's `ApiException`; here the version has expired."""
    from kubernetes.client import ApiException

    gone = ApiException(status=410, reason="Gone")
    source = script.source([script.pods("10", "a"), gone, script.pods("11", "b")])
    made = reflect(source)
    one_round(made)
    one_round(made)
    assert source.list_versions == ["0", "10", ""]


# Watches that cannot begin, or end


@pytest.mark.parametrize(
    ("refusals", "least", "most"),
    [
        # 1 + 2 + 4 + 8 + 16 ms, and then 50 ms each; jitter at most doubles each.
        pytest.param(5, 0.031, 0.062, id="five"),
        pytest.param(40, 1.763, 3.526, id="forty"),
    ],
)
def test_refused_watches_back_off(script: Any, auto_clock: Any, refusals: int, least: float, most: float) -> None:
    """Go: TestReflectorListAndWatchInitConnBackoff. Nothing is listed again, but one object before each watch; no error."""
    confirmed = [script.pods("1")] * refusals
    source = script.source([script.pods("1"), *confirmed], [*[ConnectionRefusedError()] * refusals, []])
    backoff = Backoff(initial=0.001, factor=2.0, jitter=1.0, maximum=0.05, reset=0.1)
    one_round(reflect(source, clock=auto_clock, backoff=backoff))
    assert least <= auto_clock.now <= most
    assert {(options.resource_version, options.limit) for options in source.list_calls[1:]} == {("1", 1)}
    assert {options.resource_version for options in source.watch_calls} == {"1"}


def test_the_configured_backoff_is_used(script: Any, auto_clock: Any) -> None:
    """Go: TestNewReflectorWithCustomBackoff. 10 + 20 + 40 + 80 + 100 ms without jitter."""
    source = script.source([script.pods("1")] * 6, [*[ConnectionRefusedError()] * 5, []])
    one_round(reflect(source, clock=auto_clock, backoff=Backoff(initial=0.01, maximum=0.1, jitter=0)))
    assert auto_clock.now == pytest.approx(0.25)


def test_a_watch_backs_off_after_429_and_keeps_its_version(script: Any, auto_clock: Any) -> None:
    """Go: TestBackoffOnTooManyRequests. In answer to the call and as an ERROR event; the round ends without an error."""
    throttled = ApiError(429, "TooManyRequests", "slow down")
    in_stream = {"code": 429, "reason": "TooManyRequests", "details": {"retryAfterSeconds": 9}}
    source = script.source([script.pods("1")], [throttled, [Event("ERROR", in_stream)], []])
    one_round(reflect(source, clock=auto_clock))
    assert [options.resource_version for options in source.watch_calls] == ["1", "1", "1"]
    assert len(auto_clock.waits) == 2
    assert 9 <= auto_clock.waits[1] < 18
    assert len(source.list_calls) == 1


def test_retry_after_is_the_least_wait(script: Any, auto_clock: Any) -> None:
    """After a 429 with Retry-After, the wait is the longer of the server's and the backoff's."""
    source = script.source([script.pods("1")], [ApiError(429, "", "", 5.0), ApiError(429, "", "", 0.0001), []])
    one_round(reflect(source, clock=auto_clock, backoff=Backoff(initial=0.1, jitter=0)))
    assert auto_clock.waits == pytest.approx([5.0, 0.2])


def test_a_watch_function_that_returns_none_counts_as_a_broken_connection(script: Any, auto_clock: Any) -> None:
    """The watch is requested again after a backoff, at the same version; one object is listed before it."""
    source = script.source([script.pods("1")] * 3, [None, ConnectionResetError(), []])
    one_round(reflect(source, clock=auto_clock))
    assert [options.limit for options in source.list_calls] == [500, 1, 1]
    assert [options.resource_version for options in source.watch_calls] == ["1"] * 3
    assert len(auto_clock.waits) == 2


def test_a_very_short_watch_is_logged_and_ends_the_round_without_an_error(
    script: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Go: TestReflectorHandleWatchResultChanClosedBefore. A watch that ends within a second without an event."""
    made = reflect(script.source([script.pods("1")], [[]]))
    with caplog.at_level(logging.WARNING):
        one_round(made)
    text = "very short watch: testName: Unexpected watch close - watch lasted less than a second and no items received"
    assert text in caplog.text
    assert made.short_watches == 1
    assert str(made.sync_error()) == text


def test_a_watch_that_lasted_a_second_is_followed_by_another_at_once(script: Any, auto_clock: Any) -> None:
    """It brought no events: the next has the same version, and it follows without a list or a wait."""

    def lasted(options: Any) -> Any:
        auto_clock.now += 1.5
        return []

    source = script.source([script.pods("1")], [lasted, lasted, []])
    one_round(reflect(source, clock=auto_clock))
    assert len(source.watch_calls) == 3
    assert len(source.list_calls) == 1
    assert auto_clock.waits == []


def test_the_duration_of_a_watch_counts_from_before_its_call(script: Any, auto_clock: Any) -> None:
    """A proxy may hold back the response's head. Such a watch is not very short."""

    def held_back(options: Any) -> Any:
        auto_clock.now += 60
        return script.watcher()

    made = reflect(script.source([script.pods("1")], [held_back, []]), clock=auto_clock)
    one_round(made)
    assert made.watches == 2


def test_endless_watches_that_end_at_once_are_slowed_down(script: Any, auto_clock: Any) -> None:
    """A server that ends every watch after one bookmark: a hundred watches take minutes."""
    source = script.source([script.pods("1")], [[script.bookmark("1")] for _ in range(100)])
    one_round(reflect(source, clock=auto_clock))
    assert auto_clock.now > 400


def test_a_watcher_without_batches_is_read_through_its_channel(script: Any, run: Any) -> None:
    """Go: TestReflectorStopWatch. It is stopped at the end."""
    watcher: FakeWatcher[Any] = FakeWatcher(None)
    stop = Signal()
    store: Store[Any] = Store()
    made = reflect(script.source([script.pods("1")], [watcher]), store)
    task = run(made.list_and_watch, stop)
    watcher.add(script.pod("a", "2"))
    watcher.error({"code": 410})
    task.result()
    assert versions(store) == {"a": "2"}
    assert watcher.is_stopped()


# Resource versions


def test_a_bookmark_moves_the_version_and_stores_nothing(script: Any) -> None:
    """The store gets the version, and the next watch begins there."""
    store: Store[Any] = Store()
    source = script.source([script.pods("10")], [[script.bookmark("15")]])
    made = reflect(source, store)
    one_round(made)
    assert (made.last_sync_resource_version, store.resource_version, len(store)) == ("15", "15", 0)
    assert source.watch_calls[1].resource_version == "15"


def test_a_bookmark_without_a_version_is_ignored(script: Any) -> None:
    """The last version stays."""
    for odd in ({"metadata": {"resourceVersion": ""}}, {"metadata": {}}, {}, None):
        source = script.source([script.pods("10")], [[Event("BOOKMARK", odd)]])
        made = reflect(source)
        one_round(made)
        assert made.last_sync_resource_version == "10"


def test_an_object_without_a_version_is_stored_and_does_not_move_the_version(script: Any) -> None:
    """The last version is never overwritten with ""."""
    store: Store[Any] = Store()
    source = script.source([script.pods("10")], [[script.added("a"), script.modified("b")]])
    made = reflect(source, store)
    one_round(made)
    assert versions(store) == {"a": None, "b": None}
    assert source.watch_calls[1].resource_version == "10"


@pytest.mark.parametrize("begun_at", ["", "0"])
def test_synthetic_adds_are_never_resumed_from(script: Any, begun_at: str) -> None:
    """A watch from "" or "0" begins with ADDED events in arbitrary order. The first other event moves the version."""
    synthetic = [script.added("a", "300"), script.added("b", "100")]
    source = script.source([script.pods(begun_at)], [synthetic, [*synthetic, script.modified("a", "301")]])
    made = reflect(source)
    one_round(made)
    assert [options.resource_version for options in source.watch_calls] == [begun_at, begun_at, "301"]


def test_an_expired_watch_relists_at_the_last_version_and_without_a_limit(script: Any) -> None:
    """client-go source. A bookmark, then a 410 event: no error, and the next list asks for the bookmark's version."""
    source = script.source(
        [script.pods("10"), script.pods("20")], [[script.bookmark("15"), Event("ERROR", EXPIRED.to_status())]]
    )
    made = reflect(source)
    one_round(made)
    assert made.last_sync_resource_version == "15"
    assert made.sync_error() is None
    one_round(made)
    assert (source.list_calls[1].resource_version, source.list_calls[1].limit) == ("15", 0)


def test_an_expired_watch_call_is_raised_and_relists_in_two_steps(script: Any) -> None:
    """410 as the status of a watch call: the next list asks for the last version, and only the one after it for ""."""
    source = script.source([script.pods("10"), EXPIRED, script.pods("30")], [EXPIRED])
    made = reflect(source)
    with pytest.raises(ApiError) as caught:
        one_round(made)
    assert caught.value.is_expired
    one_round(made)
    assert source.list_versions == ["0", "10", ""]


def test_a_storage_error_event_leads_to_a_relist(script: Any) -> None:
    """Go: TestReflectorReplacesStoreOnUnsafeDelete. Objects that the relist lacks are deleted."""
    error = Event("ERROR", {"code": 500, "reason": "StorageReadError", "message": "corrupt"})
    source = script.source(
        [script.pods("3", "foo-1", "foo-2", "foo-3"), script.pods("5", "foo-1", "foo-2", "foo-3")],
        [[script.added("foo", "4"), error]],
    )
    store: Store[Any] = Store()
    made = reflect(source, store)
    one_round(made)
    assert "ns/foo" in store
    assert isinstance(made.sync_error(), ApiError)
    one_round(made)
    assert sorted(versions(store)) == ["foo-1", "foo-2", "foo-3"]
    assert made.last_sync_resource_version == "5"


def test_an_error_event_may_lack_everything(script: Any) -> None:
    """`code`, `reason` and `message` may be missing, and the object may be of any type."""
    for odd in ({}, None, [], "boom", 5, {"code": "x", "details": 3}):
        source = script.source([script.pods("1"), script.pods("2")], [[Event("ERROR", odd)]])
        made = reflect(source)
        one_round(made)
        one_round(made)
        assert source.list_versions == ["0", "1"]


def test_an_unknown_event_type_relists_and_does_not_move_the_version(script: Any) -> None:
    """The events before it are stored."""
    store: Store[Any] = Store()
    events = [script.added("a", "2"), Event("REPLACED", script.pod("b", "9")), script.added("c", "10")]
    made = reflect(script.source([script.pods("1")], [events]), store)
    one_round(made)
    assert made.last_sync_resource_version == "2"
    assert versions(store) == {"a": "2"}
    assert "got invalid watch event type: 'REPLACED'" in str(made.sync_error())


# Pages


def paged(script: Any, total: int, version: str = "20") -> list[ObjectList[Any]]:
    """Returns pages of ten objects."""
    names = [f"pod-{i}" for i in range(total)]
    tens = [names[at : at + 10] for at in range(0, max(total, 1), 10)]
    return [
        script.pods(version if not at else "", *ten, continue_=f"C{at + 1}" if at + 1 < len(tens) else None)
        for at, ten in enumerate(tens)
    ]


@pytest.mark.parametrize("total", [0, 9, 10, 11, 21])
def test_all_pages_are_stored_in_order_at_the_version_of_the_first(script: Any, total: int) -> None:
    """Go: TestListPager_List, TestListPager_EachListItem. Every object once, in the order of the pages."""
    source = script.source(paged(script, total))
    store: Store[Any] = Store()
    made = reflect(source, store)
    one_round(made)
    assert store.list_keys() == [f"ns/pod-{i}" for i in range(total)]
    assert made.last_sync_resource_version == "20"
    expected = [("0", "")] + [("", f"C{i}") for i in range(1, len(paged(script, total)))]
    assert [(o.resource_version, o.continue_) for o in source.list_calls] == expected


def test_all_pages_are_stored_in_one_replace(script: Any) -> None:
    """Go: TestReflectorListExtract. Five pages of a hundred objects."""
    pages = [
        script.pods("10", *[f"{at}-{i}" for i in range(100)], continue_=f"C{at}" if at < 4 else None) for at in range(5)
    ]
    queue = InOrderFIFO()
    one_round(reflect(script.source(pages), queue))
    popped: list[Any] = queue.pop(lambda deltas, initial: deltas)
    assert popped[0].type is DeltaType.REPLACED_ALL
    assert len(popped[0].object.items) == 500


def test_an_expired_second_page_is_followed_by_the_list_in_one_page(script: Any) -> None:
    """Go: TestReflectorFullListIfExpired. It has the original version; the token in the 410's details is not used."""
    gone = ApiError(410, "Expired", "the provided continue parameter is too old", details={"continue": "INCONSISTENT"})
    source = script.source(
        [script.pods("10", "a"), script.pods("11", "b", continue_="C1"), gone, script.pods("11", "b", "c")]
    )
    store: Store[Any] = Store()
    made = reflect(source, store, page_size=4)
    one_round(made)
    one_round(made)
    assert [(o.resource_version, o.continue_, o.limit) for o in source.list_calls] == [
        ("0", "", 4),
        ("10", "", 4),
        ("", "C1", 4),
        ("10", "", 0),
    ]
    assert sorted(versions(store)) == ["b", "c"]


def test_a_failed_page_stores_nothing(script: Any) -> None:
    """Go: TestListPager_List. The store stays as it was."""
    source = script.source([script.pods("1", "a"), script.pods("2", "b", continue_="C1"), ConnectionResetError("cut")])
    store: Store[Any] = Store()
    made = reflect(source, store, page_size=1)
    one_round(made)
    with pytest.raises(ConnectionError, match="failed to list testName: cut"):
        one_round(made)
    assert versions(store) == {"a": "1"}
    assert made.last_sync_resource_version == "1"


@pytest.mark.parametrize("page_size", [500, 0, 7])
def test_limits_follow_the_page_size(script: Any, page_size: int) -> None:
    """Go: TestReflectorNotPaginatingNotConsistentReads. The default only limits the first list, any other size every list."""
    source = script.source([script.pods("10", "a"), script.pods("11", "a")])
    made = reflect(source, page_size=page_size)
    one_round(made)
    one_round(made)
    assert [o.limit for o in source.list_calls] == {500: [500, 0], 0: [0, 0], 7: [7, 7]}[page_size]


def test_relists_are_paged_if_the_first_list_was(script: Any) -> None:
    """Go: TestReflectorPaginatingNonConsistentReadsIfWatchCacheDisabled. All pages of the relist are stored."""
    source = script.source([*paged(script, 21, "10"), *paged(script, 21, "11")])
    store: Store[Any] = Store()
    made = reflect(source, store)
    one_round(made)
    one_round(made)
    assert [(o.resource_version, o.limit) for o in source.list_calls if not o.continue_] == [("0", 500), ("10", 500)]
    assert len(store) == 21


def test_relists_ask_for_the_last_version(script: Any) -> None:
    """Go: TestReflectorResyncWithResourceVersion. The cache does not go back in time."""
    source = script.source([script.pods("10", "a", "b"), script.pods("11", "a", "b", "c")])
    store: Store[Any] = Store()
    made = reflect(source, store)
    one_round(made)
    one_round(made)
    assert source.list_versions == ["0", "10"]
    assert versions(store) == {"a": "11", "b": "11", "c": "11"}


def test_a_version_ahead_of_the_server_is_followed_by_the_newest(script: Any) -> None:
    """Go: TestReflectorFullListIfTooLarge. "Too large resource version" as the type of a cause, its message, or the message."""
    by_type = ApiError(504, "Timeout", "x", details={"causes": [{"reason": "ResourceVersionTooLarge"}]})
    by_cause = ApiError(504, "Timeout", "x", details={"causes": [{"message": "Too large resource version"}]})
    by_message = ApiError(504, "Timeout", "Too large resource version: 40, current: 30")
    source = script.source(
        [
            script.pods("20"),
            by_type,
            script.pods("30"),
            by_cause,
            script.pods("40"),
            by_message,
            script.pods("50"),
        ]
    )
    made = reflect(source)
    for _ in range(4):
        one_round(made)
    assert source.list_versions == ["0", "20", "", "30", "", "40", ""]


def test_any_other_504_is_a_failure(script: Any) -> None:
    """Only a Timeout about a too large resource version leads to a list at the newest state."""
    source = script.source([script.pods("20"), ApiError(504, "Timeout", "etcd is slow")])
    made = reflect(source)
    one_round(made)
    with pytest.raises(ApiError, match="etcd is slow"):
        one_round(made)
    assert source.list_versions == ["0", "20"]


# Unusable responses, and objects that cannot be stored


class Odd:
    """Raises on every use."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("odd")


@pytest.mark.parametrize(
    ("lists", "watches"),
    [
        pytest.param([None], [], id="page-none"),
        pytest.param([Odd()], [], id="page-odd"),
        pytest.param([ObjectList([1, None, "x"], "1")], [], id="items-of-wrong-types"),
        pytest.param(None, [object()], id="watcher-object"),
        pytest.param(None, [Odd()], id="watcher-odd"),
        pytest.param(None, [[1, 2, 3]], id="events-of-wrong-types"),
        pytest.param(None, [[("ADDED",)]], id="event-too-short"),
        pytest.param(None, [[Event([], {})]], id="event-type-unhashable"),
        pytest.param(None, [[Event("ADDED", 5), Event("DELETED", None)]], id="objects-of-wrong-types"),
        pytest.param(None, [[Event("BOOKMARK", 5)]], id="bookmark-of-wrong-type"),
    ],
)
def test_an_unusable_response_is_followed_by_another_request(script: Any, run: Any, lists: Any, watches: Any) -> None:
    """No page, watcher or event of a wrong type ends a reflector."""
    first = lists or [script.pods("1")]
    source = script.source([*first, script.pods("7", "good")], [*watches, script.watcher(hang=True)])
    stop = Signal()
    task = run(reflect(source).run, stop)
    # The script has one call or two. The next one is a list or, after a watch that has only ended, a watch.
    assert source.wait_for_calls(len(first) + len(watches) + 1)
    assert not task.ends_within(0)
    stop.set()
    task.result()


def test_a_watcher_that_raises_fails_the_round(script: Any) -> None:
    """The error has the exception's text; earlier events are stored."""
    source = script.source(
        [script.pods("1")], [script.watcher([script.added("a", "2")], error=ZeroDivisionError("bug"))]
    )
    store: Store[Any] = Store()
    made = reflect(source, store)
    with pytest.raises(InformerError, match="bug"):
        one_round(made)
    assert versions(store) == {"a": "2"}


def test_an_object_that_the_store_refuses_does_not_affect_the_others(
    script: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An object without a name has no key. It is logged."""
    nameless = Event("ADDED", {"metadata": {"resourceVersion": "3"}})
    store: Store[Any] = Store()
    one_round(
        reflect(script.source([script.pods("1")], [[script.added("a", "2"), nameless, script.added("b", "4")]]), store)
    )
    assert versions(store) == {"a": "2", "b": "4"}
    assert "the store refused an object" in caplog.text


@pytest.mark.parametrize("api_version", ["meta.k8s.io/v1", "meta.k8s.io/v1beta1"])
def test_a_table_event_is_not_stored(script: Any, api_version: str) -> None:
    """Go: TestIsUnsupportedTableObject."""
    table = Event(
        "ADDED", {"kind": "Table", "apiVersion": api_version, "metadata": {"resourceVersion": "3"}, "rows": []}
    )
    store: Store[Any] = Store()
    one_round(reflect(script.source([script.pods("1")], [[table, script.added("a", "4")]]), store))
    assert versions(store) == {"a": "4"}


def test_a_target_that_refuses_a_list_gets_the_next_one(script: Any) -> None:
    """The exception of `replace` fails the round; the version stays."""

    class Refusing(Store[Any]):
        refusals = 1

        def replace(self, items: Any, resource_version: str) -> None:
            if self.refusals:
                self.refusals -= 1
                raise ValueError("full")
            super().replace(items, resource_version)

    source = script.source([script.pods("10", "a"), script.pods("11", "a")])
    target = Refusing()
    made = reflect(source, target)
    with pytest.raises(InformerError, match="failed to store testName: full"):
        one_round(made)
    assert made.last_sync_resource_version == ""
    one_round(made)
    assert versions(target) == {"a": "11"}
    assert made.sync_error() is None


def test_objects_that_do_not_decode_are_reported_and_left_out(script: Any) -> None:
    """An `Undecodable` of a list is left out; one of a watch deletes the stored object."""
    bad = Undecodable("a", "ns", "uid-a", "5", b"{}", ValueError("bad"))
    reported: list[str] = []
    source = script.source(
        [ObjectList([bad, script.pod("b", "1")], "1")],
        [[Event("MODIFIED", Undecodable("b", "ns", "uid-b", "6", b"{}", ValueError("bad")))]],
    )
    store: Store[Any] = Store()
    made = reflect(source, store, on_undecodable=lambda item: reported.append(item.name))
    one_round(made)
    assert reported == ["a", "b"]
    assert len(store) == 0
    assert made.undecodable == 2
    assert made.last_sync_resource_version == "6"


def test_the_queues_transform_is_called_once_per_object(script: Any) -> None:
    """Go: TestReflectorRespectStoreTransformer. For objects of a list and of a watch."""
    seen: list[str] = []

    def transform(obj: Any) -> Any:
        seen.append(obj["metadata"]["name"])
        return {**obj, "transformed": True}

    source = script.source(
        watches=[[script.added("foo-1", "1"), script.added("foo-2", "2"), script.bookmark("3", end="true")], []],
        supports_watch_list=True,
    )
    source._watches[0] += [script.added("foo-3", "4")]
    queue = InOrderFIFO(transform=transform)
    one_round(reflect(source, queue))
    popped: list[Any] = queue.pop_batch(lambda pairs: [deltas[0] for deltas, _ in pairs])
    assert [obj["transformed"] for obj in popped[0].object.items] == [True, True]
    assert popped[1].object["transformed"]
    assert seen == ["foo-1", "foo-2", "foo-3"]
    assert source.list_calls == []


# Time-outs, resyncs and the error handler


@pytest.mark.parametrize(
    ("watch_timeout", "least", "most"),
    [pytest.param((300, 600), 300, 600, id="default"), pytest.param((1800, 3600), 1800, 3600, id="half-an-hour")],
)
def test_watches_ask_for_a_random_time_out(script: Any, watch_timeout: Any, least: int, most: int) -> None:
    """Go: TestWatchTimeout. Whole seconds, uniformly distributed in the range."""
    source = script.source([script.pods("1")], [[script.bookmark("1")] for _ in range(50)])
    one_round(reflect(source, watch_timeout=watch_timeout, clock=FakeClockThatPasses()))
    asked = {options.timeout_seconds for options in source.watch_calls}
    assert all(isinstance(each, int) and least <= each <= most for each in asked)
    assert len(asked) > 10


class FakeClockThatPasses(FakeClock):
    """A clock on which every wait returns at once."""

    def wait(self, condition_or_event: Any, timeout: float | None) -> bool:
        return False


def test_the_target_is_resynced_while_the_reflector_runs(script: Any, run: Any) -> None:
    """Go: TestReflectorResyncChan. `test_resync.py` tests the timer by itself."""
    resyncs = threading.Semaphore(0)

    class Counting(Store[Any]):
        def resync(self) -> None:
            resyncs.release()

    clock, stop = FakeClock(), Signal()
    source = script.source([script.pods("1")], [script.watcher(hang=True)])
    task = run(reflect(source, Counting(), resync_period=5, clock=clock).run, stop)
    for _ in range(3):
        assert clock.wait_for_waiters(1, timeout=10)
        assert not resyncs.acquire(blocking=False)
        clock.step(5)
        assert resyncs.acquire(timeout=10)
    stop.set()
    task.result()


def test_the_error_handler_is_called_once_per_failed_round(script: Any, run: Any) -> None:
    """client-go source. A round that ends with an ERROR event has not failed."""
    reported: list[Exception] = []
    errors = [ApiError(403, "Forbidden", "no"), ConnectionResetError("cut")]
    source = script.source(
        [*errors, script.pods("1"), script.pods("2")], [[Event("ERROR", {})], script.watcher(hang=True)]
    )
    stop = Signal()
    made = reflect(source, watch_error_handler=lambda reflector, error: reported.append((reflector, error)))
    task = run(made.run, stop)
    assert source.wait_for_calls(2, "watch")
    stop.set()
    task.result()
    assert [(reflector is made, error.__cause__) for reflector, error in reported] == [(True, each) for each in errors]
    assert made.failures == 2


def test_an_error_handler_that_raises_does_not_end_the_reflector(
    script: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its exception is logged, and the next round begins."""

    def fails(reflector: Any, error: Exception) -> None:
        raise RuntimeError("mine")

    source = script.source([ValueError("x"), script.pods("1")], [script.watcher(hang=True)])
    stop = Signal()
    task = run(reflect(source, watch_error_handler=fails).run, stop)
    assert source.wait_for_calls(1, "watch")
    stop.set()
    task.result()
    assert "the watch error handler failed" in caplog.text


def test_an_idle_reflector_does_not_keep_the_last_batch_alive(script: Any) -> None:
    """Only the cache holds objects."""

    class Watched(dict[str, Any]):
        """A dict to which there are weak references."""

    objects = [Watched(script.pod("a", "2"))]
    alive = weakref.ref(objects[0])
    seen: list[Any] = []

    def waited() -> list[Event[Any]]:
        seen.append(alive())
        return []

    # The second event replaces the object in the cache.
    watcher = script.watcher([Event("ADDED", objects.pop()), script.modified("a", "3")], waited)
    one_round(reflect(script.source([script.pods("1")], [watcher])))
    assert seen == [None]

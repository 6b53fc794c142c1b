"""A reflector that begins with a watch list: the present state as events, up to an end bookmark."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from informer import ApiError, Backoff, InOrderFIFO, ListWatch, ObjectList, Reflector, SharedInformer, Store
from informer.objects.entry import Undecodable
from watch import Event, ListOptions
from watch.concurrency import Signal
from watch.watcher import WatcherBase

END = "true"
EXPIRED_EVENT = Event("ERROR", {"code": 410, "reason": "Expired"})


def reflect(source: Any, target: Any = None, **options: Any) -> Reflector:
    options.setdefault("backoff", Backoff(initial=0.001, maximum=0.002))
    return Reflector(source, Store() if target is None else target, name="testName", random=Random(1), **options)


def one_round(made: Reflector) -> None:
    made.list_and_watch(Signal())


def versions(store: Store[Any]) -> dict[str, str | None]:
    return {obj["metadata"]["name"]: obj["metadata"].get("resourceVersion") for obj in store.list()}


def is_watch_list(options: Any) -> bool:
    return (
        options.resource_version == ""
        and options.resource_version_match == "NotOlderThan"
        and options.send_initial_events is True
        and options.allow_watch_bookmarks
        and options.timeout_seconds is not None
    )


@pytest.mark.parametrize(
    ("watch_list", "supported", "streams"),
    [
        pytest.param(False, True, False, id="off"),
        pytest.param("auto", True, True, id="auto-supported"),
        pytest.param("auto", False, False, id="auto-unsupported"),
        pytest.param("auto", None, True, id="auto-the-source-does-not-say"),
        pytest.param(True, False, True, id="on-whatever-the-source-says"),
    ],
)
def test_the_option_and_the_source_decide_about_watch_lists(
    script: Any, watch_list: Any, supported: bool | None, streams: bool
) -> None:
    """Go: TestNewReflectorWithDisablementWatchList, TestDoesClientNotSupportWatchListSemantics."""
    source = script.source([script.pods("1", "p1")], [[script.added("p1", "1"), script.bookmark("2", end=END)]])
    if supported is None:
        del source.supports_watch_list
    else:
        source.supports_watch_list = supported
    one_round(reflect(source, watch_list=watch_list))
    assert is_watch_list(source.watch_calls[0]) is streams
    assert len(source.list_calls) == (0 if streams else 1)


def test_without_watch_lists_the_list_asks_for_any_state_in_pages(script: Any) -> None:
    """Go: TestWatchList. A list at "0" with a limit of 500, then a watch from its version."""
    source = script.source([script.pods("1", "p1")], supports_watch_list=True)
    store: Store[Any] = Store()
    one_round(reflect(source, store, watch_list=False))
    assert (source.list_calls[0].resource_version, source.list_calls[0].limit) == ("0", 500)
    assert source.watch_calls[0].resource_version == "1"
    assert versions(store) == {"p1": "1"}


@pytest.mark.parametrize(
    ("events", "version"),
    [
        pytest.param([], "", id="no-events"),
        pytest.param(["p1"], "", id="an-add"),
        pytest.param(["p1", "end"], "2", id="an-add-and-the-end"),
    ],
)
def test_the_version_moves_with_the_end_bookmark_only(script: Any, events: list[str], version: str) -> None:
    """Go: TestWatchListResourceVersion. The versions of the initial events do not count."""
    made = [script.bookmark("2", end=END) if each == "end" else script.added(each, "1") for each in events]
    stop = Signal()

    def last(options: Any) -> Any:
        return script.watcher(*([made] if made else []), lambda: stop.set() or [script.bookmark("9")])

    reflector = reflect(script.source(watches=[last], supports_watch_list=True))
    reflector.list_and_watch(stop)
    assert reflector.last_sync_resource_version == version


def test_a_stop_before_the_bookmark_stores_nothing(script: Any) -> None:
    """Go: TestWatchList. The initial events are incomplete. No error is raised."""
    stop = Signal()
    watcher = script.watcher([script.added("p1", "1")], lambda: stop.set() or [script.added("p2", "2")])
    source = script.source(watches=[watcher], supports_watch_list=True)
    store: Store[Any] = Store()
    reflect(source, store).list_and_watch(stop)
    assert (len(store), len(source.watch_calls), source.list_calls) == (0, 1, [])
    assert watcher.stopped.is_set()


@pytest.mark.parametrize(
    ("error", "asked_again"),
    [
        pytest.param(ApiError(422, "Invalid", "streaming is not allowed"), False, id="invalid"),
        pytest.param(ValueError("dummy error"), False, id="any-exception"),
        pytest.param(ApiError(500, "InternalError", "boom"), True, id="internal-error"),
        pytest.param(ApiError(503, "ServiceUnavailable", "starting"), True, id="unavailable"),
    ],
)
def test_a_refused_watch_list_is_replaced_by_a_list_at_once(
    script: Any, auto_clock: Any, error: Exception, asked_again: bool
) -> None:
    """Go: TestWatchList. After a 422 for good; after a passing failure the next relist is a watch list again."""
    source = script.source(
        [script.pods("1", "p1"), script.pods("3", "p1")],
        [
            error,
            [script.added("p2", "2"), EXPIRED_EVENT],
            [script.bookmark("9", end=END), EXPIRED_EVENT],
        ],
        supports_watch_list=True,
    )
    store: Store[Any] = Store()
    made = reflect(source, store, clock=auto_clock)
    one_round(made)
    assert (source.list_calls[0].resource_version, source.list_calls[0].limit) == ("0", 500)
    assert [is_watch_list(o) for o in source.watch_calls] == [True, False]
    assert source.watch_calls[1].resource_version == "1"
    assert versions(store) == {"p1": "1", "p2": "2"}
    assert auto_clock.waits == []
    one_round(made)
    assert (source.watch_calls[2].send_initial_events is True) is asked_again


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(["+p1@1", "+p2@2", "end@2"], {"p1": "1", "p2": "2"}, id="adds"),
        pytest.param(
            ["+p1@1", "+p2@2", "~p1@3", "+p3@4", "-p3@5", "end@5"], {"p1": "3", "p2": "2"}, id="changes-between-them"
        ),
        pytest.param(["end@5"], {}, id="nothing-there"),
        pytest.param(["+p1@1", "+p1@1", "end@2"], {"p1": "1"}, id="twice-the-same"),
    ],
)
def test_the_initial_events_are_stored_when_they_are_complete(
    script: Any, events: list[str], expected: dict[str, str]
) -> None:
    """Go: TestWatchList. One request, no list, and one replace at the bookmark's version."""

    def event(text: str) -> Event[Any]:
        name, _, version = text.lstrip("+~-").partition("@")
        if name == "end":
            return script.bookmark(version, end=END)
        return {"+": script.added, "~": script.modified, "-": script.deleted}[text[0]](name, version)

    replaces: list[Any] = []

    class Watched(Store[Any]):
        def replace(self, items: Any, resource_version: str) -> None:
            replaces.append((len(items), resource_version))
            super().replace(items, resource_version)

    store = Watched()
    # Each event by itself, and then all in one batch.
    for batches in ([[event(text)] for text in events], [[event(text) for text in events]]):
        source = script.source(watches=[script.watcher(*batches)], supports_watch_list=True)
        made = reflect(source, store)
        one_round(made)
        assert versions(store) == expected
        assert source.list_calls == []
        assert made.last_sync_resource_version == events[-1].partition("@")[2]
    assert replaces == [(len(expected), made.last_sync_resource_version)] * 2


def test_a_watch_list_backs_off_after_429(script: Any, auto_clock: Any) -> None:
    """Go: TestWatchList. Throttled twice: three watch lists, two waits, no list."""
    throttled = ApiError(429, "TooManyRequests", "", 3.0)
    source = script.source(
        watches=[throttled, throttled, [script.added("p1", "1"), script.bookmark("2", end=END)]],
        supports_watch_list=True,
    )
    store: Store[Any] = Store()
    one_round(reflect(source, store, clock=auto_clock))
    assert [is_watch_list(o) for o in source.watch_calls[:3]] == [True, True, True]
    assert all(3.0 <= wait < 6.4 for wait in auto_clock.waits[:2])
    assert versions(store) == {"p1": "1"}
    assert source.list_calls == []


def test_a_watch_list_that_ends_before_its_bookmark_starts_again(script: Any, auto_clock: Any) -> None:
    """Go: TestWatchList. The events of the first one are dropped."""
    source = script.source(
        watches=[[script.added("gone", "1")], [script.added("p1", "1"), script.bookmark("1", end=END)]],
        supports_watch_list=True,
    )
    store: Store[Any] = Store()
    one_round(reflect(source, store, clock=auto_clock))
    assert [is_watch_list(o) for o in source.watch_calls[:2]] == [True, True]
    assert versions(store) == {"p1": "1"}
    assert len(auto_clock.waits) == 1


def test_watch_lists_without_a_bookmark_are_replaced_by_a_list(script: Any, auto_clock: Any) -> None:
    """A proxy that cuts every response short must not prevent every sync."""
    source = script.source(
        [script.pods("7", "p1")], [[script.added("p1", "1")] for _ in range(3)], supports_watch_list=True
    )
    store: Store[Any] = Store()
    made = reflect(source, store, clock=auto_clock)
    one_round(made)
    assert len(source.list_calls) == 1
    assert versions(store) == {"p1": "7"}
    assert source.watch_calls[3].send_initial_events is None


def test_after_the_bookmark_the_watch_continues_and_is_resumed_without_a_list(script: Any, auto_clock: Any) -> None:
    """Go: TestWatchList. The next request is a plain watch from the last event's version."""

    def lasted(options: Any) -> Any:
        return script.watcher([script.added("p1", "1"), script.added("p2", "2"), script.bookmark("2", end=END)], later)

    def later() -> list[Event[Any]]:
        auto_clock.now += 5
        return [script.added("p3", "3")]

    source = script.source(watches=[lasted, [script.added("p4", "4")]], supports_watch_list=True)
    store: Store[Any] = Store()
    one_round(reflect(source, store, clock=auto_clock))
    assert (source.watch_calls[1].resource_version, source.watch_calls[1].send_initial_events) == ("3", None)
    assert versions(store) == {"p1": "1", "p2": "2", "p3": "3", "p4": "4"}
    assert source.list_calls == []


def test_an_expired_resumption_is_raised_and_the_store_stays(script: Any) -> None:
    """Go: TestWatchList. The next round is a watch list at the last version."""
    expired = ApiError(410, "Expired", "rv expired")
    first = [script.added("p1", "1"), script.bookmark("2", end=END), script.added("p3", "3")]
    source = script.source(
        watches=[first, expired, [script.bookmark("9", end=END)]],
        supports_watch_list=True,
    )
    store: Store[Any] = Store()
    made = reflect(source, store)
    with pytest.raises(ApiError, match="failed to watch testName: rv expired"):
        one_round(made)
    assert versions(store) == {"p1": "1", "p3": "3"}
    one_round(made)
    assert (source.watch_calls[2].resource_version, source.watch_calls[2].send_initial_events) == ("3", True)
    assert len(store) == 0


@pytest.mark.parametrize("annotation", ["false", "", "True", None])
def test_only_the_annotation_true_ends_the_initial_events(script: Any, annotation: str | None) -> None:
    """Go: TestWatchList. After a bookmark with another annotation the store stays empty."""
    stop = Signal()
    other = script.bookmark("2", end=annotation)
    watcher = script.watcher([script.added("p1", "1"), other], lambda: stop.set() or [script.added("p2", "2")])
    store: Store[Any] = Store()
    made = reflect(script.source(watches=[watcher], supports_watch_list=True), store)
    made.list_and_watch(stop)
    assert (len(store), made.last_sync_resource_version) == (0, "")


def test_an_end_bookmark_without_a_version_does_not_count(script: Any, auto_clock: Any) -> None:
    """The versions of the initial events must not be resumed from."""
    source = script.source(
        [script.pods("7", "p1")],
        [[script.added("p1", "1"), script.bookmark("", end=END)] for _ in range(3)],
        supports_watch_list=True,
    )
    store: Store[Any] = Store()
    made = reflect(source, store, clock=auto_clock)
    one_round(made)
    assert versions(store) == {"p1": "7"}


@pytest.mark.parametrize(
    "error", [ApiError(410, "Expired"), ApiError(504, "Timeout", "Too large resource version: 5")], ids=["410", "504"]
)
def test_an_expired_or_future_version_is_followed_by_the_newest_at_once(
    script: Any, auto_clock: Any, error: ApiError
) -> None:
    """client-go source. As an ERROR event and as an answer to the call: a watch list at "" follows, and no list."""
    for answer in (error, [Event("ERROR", error.to_status())]):
        ends = [[script.bookmark(version, end=END), EXPIRED_EVENT] for version in ("5", "9")]
        source = script.source(watches=[ends[0], answer, ends[1]], supports_watch_list=True)
        made = reflect(source, clock=auto_clock)
        one_round(made)
        one_round(made)
        assert [o.resource_version for o in source.watch_calls] == ["", "5", ""]
        assert source.list_calls == []
        assert auto_clock.waits == []


def test_a_refused_connection_is_reported_although_the_round_continues(script: Any, auto_clock: Any) -> None:
    """An informer that starts while its server is down reports each attempt."""
    reported: list[str] = []
    source = script.source(
        watches=[ConnectionRefusedError("a"), ConnectionRefusedError("b"), [script.bookmark("5", end=END)]],
        supports_watch_list=True,
    )
    made = reflect(source, clock=auto_clock, watch_error_handler=lambda reflector, error: reported.append(str(error)))
    one_round(made)
    assert reported == ["failed to watch testName: a", "failed to watch testName: b"]
    assert made.sync_error() is None


def test_objects_without_a_key_are_left_out(script: Any, caplog: pytest.LogCaptureFixture) -> None:
    """All other objects are stored; one that does not decode is reported."""
    nameless = Event("ADDED", {"metadata": {}})
    bad = Event("ADDED", Undecodable("u", "ns", "", "1", b"", ValueError("bad")))
    events = [script.added("u", "0"), nameless, bad, script.added("p1", "1"), script.bookmark("2", end=END)]
    reported: list[str] = []
    store: Store[Any] = Store()
    made = reflect(
        script.source(watches=[events], supports_watch_list=True),
        store,
        on_undecodable=lambda item: reported.append(item.name),
    )
    one_round(made)
    assert versions(store) == {"p1": "1"}
    assert reported == ["u"]
    assert "an object was left out" in caplog.text


def test_initial_events_of_another_type_are_skipped(script: Any) -> None:
    """Go: TestReflectorWatchHandler."""
    service = Event("ADDED", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}})
    source = script.source(watches=[[service, script.bookmark("2", end=END)]], supports_watch_list=True)
    store: Store[Any] = Store()
    one_round(reflect(source, store, expected_type=("v1", "Pod")))
    assert len(store) == 0


def test_a_target_that_refuses_the_initial_events_starts_a_new_round(script: Any) -> None:
    """The exception of `replace` fails the round, and the version stays."""

    class Refusing(Store[Any]):
        def replace(self, items: Any, resource_version: str) -> None:
            raise ValueError("full")

    source = script.source(watches=[[script.bookmark("2", end=END)]], supports_watch_list=True)
    made = reflect(source, Refusing())
    with pytest.raises(Exception, match="failed to store testName: full"):
        one_round(made)
    assert made.last_sync_resource_version == ""


class Held:
    """An object in API form to which there are weak references."""

    def __init__(self, name: str) -> None:
        self.metadata = {"name": name, "resourceVersion": "1"}


def test_after_the_replace_only_the_target_holds_the_objects(script: Any) -> None:
    """Once they are deleted there, they are freed."""
    objects = [Held("a"), Held("b")]
    references = [weakref.ref(each) for each in objects]
    alive: list[bool] = []
    queue = InOrderFIFO()

    def look() -> list[Event[Any]]:
        queue.pop(lambda deltas, initial: None)
        gc.collect()
        alive.extend(reference() is not None for reference in references)
        return [script.bookmark("3")]

    events = [Event("ADDED", each) for each in objects] + [script.bookmark("2", end=END)]
    watcher = script.watcher(events[:1], events[1:], look)
    objects.clear()
    events.clear()
    one_round(reflect(script.source(watches=[watcher], supports_watch_list=True), queue))
    assert alive == [False, False]


def returns_none(options: ListOptions) -> None:
    """Returns no watcher."""


def raises_a_reset(options: ListOptions) -> None:
    """Fails with a broken connection."""
    raise ConnectionError("reset by peer")


@pytest.mark.parametrize("watch_func", [returns_none, raises_a_reset])
def test_a_watch_list_with_a_broken_connection_is_replaced_by_a_list(watch_func: Any) -> None:
    """client-go source. Only after a refused connection is the watch list retried."""
    page = ObjectList([{"metadata": {"name": "a", "resourceVersion": "1"}}], "5")
    with SharedInformer(ListWatch(lambda options: page, watch_func)) as informer:
        assert informer.wait_for_sync(10)
        assert informer.lister.get("a") == page.items[0]


# The deadline of the end bookmark


class Passing:
    """A `time.monotonic` that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("informer.reflector.reflector.time.monotonic", lambda: self.now)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Passing:
    """The reflector's time."""
    return Passing(monkeypatch)


class Slow(WatcherBase):
    """A watcher that returns a batch every few seconds, without end."""

    def __init__(self, passing: Passing, every: float, make: Callable[[int], list[Event[Any]]]) -> None:
        self._passing, self._every, self._make = passing, every, make
        self._left = every
        self.given = 0

    def next_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        if timeout is not None and timeout < self._left:
            self._passing.now += timeout
            self._left -= timeout
            raise TimeoutError
        self._passing.now += self._left
        self._left = self._every
        self.given += 1
        assert self.given < 1000, "the watch list is read without end"
        return self._make(self.given)

    def stop(self) -> None:
        pass


def late(script: Any, passing: Passing, every: float, make: Any, **options: Any) -> tuple[Store[Any], float]:
    """Runs a round with a watch list that has no end bookmark; returns the store and the duration of the watch list."""
    source = script.source([script.pods("7", "listed")], [Slow(passing, every, make)], supports_watch_list=True)
    store: Store[Any] = Store()
    begun = passing.now
    one_round(reflect(source, store, **options))
    return store, passing.now - begun


def test_a_silent_watch_list_is_replaced_by_a_list_after_15_seconds(
    script: Any, passing: Passing, caplog: pytest.LogCaptureFixture
) -> None:
    """There is a warning after 10 seconds."""
    with caplog.at_level(logging.WARNING):
        store, took = late(script, passing, 1e9, None)
    assert versions(store) == {"listed": "7"}
    assert took == pytest.approx(15)
    assert (
        "testName: awaiting required bookmark event for initial events stream, no events received for 10s"
        in caplog.text
    )


def test_initial_events_without_an_end_bookmark_are_replaced_by_a_list(
    script: Any, passing: Passing, caplog: pytest.LogCaptureFixture
) -> None:
    """Go: TestInitialEventsEndBookmarkTicker. All objects come, and then nothing more."""

    def make(given: int) -> list[Event[Any]]:
        if given == 1:
            return [script.added(f"p{i}", "1") for i in range(50)]
        passing.now += 1e9
        raise TimeoutError

    with caplog.at_level(logging.WARNING):
        store, _ = late(script, passing, 1.0, make)
    assert versions(store) == {"listed": "7"}
    assert "the end bookmark of the watch list did not come in time: using lists from now on" in caplog.text


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda script, i: [script.added(f"p{i}", str(i))], id="new-objects"),
        pytest.param(lambda script, i: [script.modified("p", str(i))], id="the-same-object"),
        pytest.param(lambda script, i: [script.bookmark(str(i))], id="other-bookmarks"),
    ],
)
def test_a_trickle_of_events_does_not_put_the_deadline_off(
    script: Any, passing: Passing, caplog: pytest.LogCaptureFixture, make: Any
) -> None:
    """Events that trickle in are live events."""
    with caplog.at_level(logging.WARNING):
        store, took = late(script, passing, 1.0, lambda given: make(script, given))
    assert versions(store) == {"listed": "7"}
    assert 15 <= took <= 18
    assert (
        "testName: hasn't received required bookmark event marking the end of initial events stream, "
        "received last event 0s ago"
    ) in caplog.text


def test_many_initial_events_put_the_deadline_off(script: Any, passing: Passing) -> None:
    """100 objects in 15 seconds are progress; after five minutes of them the end bookmark is accepted."""
    stop = Signal()

    def make(given: int) -> list[Event[Any]]:
        if given == 301:
            stop.set()
        if given >= 300:
            return [script.bookmark("9", end=END)]
        return [script.added(f"p{given}-{i}", "1") for i in range(10)]

    source = script.source(watches=[Slow(passing, 1.0, make)], supports_watch_list=True)
    store: Store[Any] = Store()
    reflect(source, store).list_and_watch(stop)
    assert len(store) == 2990
    assert len(source.calls) == 1


def test_a_short_silence_timeout_shortens_the_deadline(script: Any, passing: Passing) -> None:
    """The end bookmark is not awaited for longer than a silent watch."""
    store, took = late(script, passing, 1e9, None, silence_timeout=1)
    assert versions(store) == {"listed": "7"}
    assert took == pytest.approx(1)


def test_a_plain_watch_awaits_no_bookmark(script: Any, passing: Passing, caplog: pytest.LogCaptureFixture) -> None:
    """Go: TestInitialEventsEndBookmarkTicker. Thirty seconds without a bookmark cause no warning."""
    source = script.source([script.pods("1")], [Slow(passing, 30, lambda given: [Event("ERROR", {"code": 410})])])
    with caplog.at_level(logging.WARNING):
        one_round(reflect(source))
    assert "bookmark" not in caplog.text

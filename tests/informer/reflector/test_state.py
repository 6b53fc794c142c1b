"""What a reflector requests after each outcome: every rule, and properties of all sequences of outcomes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from informer.reflector.backoff import Backoff, BackoffState
from informer.reflector.state import Next, ReflectorState, Step, is_paced
from watch import ApiError, ListOptions

EXPIRED = ApiError(410, "Expired", "too old resource version")
TOO_LARGE = ApiError(
    504, "Timeout", "Too large resource version: 20", 1.0, details={"causes": [{"reason": "ResourceVersionTooLarge"}]}
)
THROTTLED = ApiError(429, "TooManyRequests", "slow down", 7.0)
INVALID = ApiError(422, "Invalid", "sendInitialEvents is forbidden")
FORBIDDEN = ApiError(403, "Forbidden", "no")
UNAVAILABLE = ApiError(503, "ServiceUnavailable", "no", 3.0)
REFUSED = ConnectionRefusedError("refused")


def state(*, watch_list: bool = False, page_size: int = 500, seen: str | None = None) -> ReflectorState:
    made = ReflectorState(watch_list=watch_list, page_size=page_size)
    made.begin()
    if seen is not None:
        made.list_complete(seen)
        made.begin()
    return made


def asked(made: ReflectorState) -> tuple[str, str, int]:
    options = made.list_options()
    return options.resource_version, options.continue_, options.limit


# Lists


@pytest.mark.parametrize(
    ("page_size", "seen", "expected"),
    [
        pytest.param(500, None, ("0", "", 500), id="first-list-asks-for-any-state"),
        pytest.param(500, "10", ("10", "", 0), id="later-list-asks-for-the-last-version-without-a-limit"),
        pytest.param(4, "10", ("10", "", 4), id="a-configured-page-size-is-always-used"),
        pytest.param(0, None, ("0", "", 0), id="no-pages"),
        pytest.param(500, "", ("0", "", 500), id="a-list-without-a-version-counts-as-none"),
    ],
)
def test_list_asks_for_a_version_and_a_limit(page_size: int, seen: str | None, expected: tuple[str, str, int]) -> None:
    """Go: TestReflectorNotPaginatingNotConsistentReads. The version and the limit of a list's first page."""
    assert asked(state(page_size=page_size, seen=seen)) == expected


def test_following_pages_have_the_token_and_no_version() -> None:
    """Go: TestListPager_List. A server refuses a continue token together with a resourceVersion."""
    made = state(page_size=4, seen="10")
    assert made.page_received("C1") == Next(Step.LIST)
    assert asked(made) == ("", "C1", 4)
    assert made.list_options().resource_version_match == ""
    assert made.page_received("") is None


def test_later_lists_are_paged_if_the_list_at_zero_was() -> None:
    """Go: TestReflectorPaginatingNonConsistentReadsIfWatchCacheDisabled. Such a server has no watch cache."""
    made = state()
    made.page_received("C1")
    made.page_received(None)
    made.list_complete("10")
    made.begin()
    assert asked(made) == ("10", "", 500)


@pytest.mark.parametrize("error", [EXPIRED, TOO_LARGE], ids=["expired", "too-large"])
def test_an_expired_or_future_version_is_followed_by_the_newest_state_once(error: ApiError) -> None:
    """Go: TestReflectorExpiredExactResourceVersion. A list at "" follows at once. If that fails too, the round fails."""
    made = state(seen="10")
    assert made.list_failed(error) == Next(Step.LIST)
    assert asked(made) == ("", "", 500)
    again = made.list_failed(error)
    assert (again.step, again.wait) == (Step.FAILED, True)
    made.begin()
    assert asked(made)[0] == ""
    made.list_complete("30")
    made.begin()
    assert asked(made)[0] == "30"


def test_an_expired_continue_token_is_followed_by_the_list_in_one_page() -> None:
    """Go: TestReflectorFullListIfExpired. It has the original version and no limit. If it has expired too, "" follows."""
    made = state(page_size=4, seen="10")
    made.page_received("C1")
    assert made.list_failed(EXPIRED) == Next(Step.LIST)
    assert asked(made) == ("10", "", 0)
    assert made.list_failed(EXPIRED) == Next(Step.LIST)
    assert asked(made) == ("", "", 4)
    assert made.list_failed(EXPIRED).step is Step.FAILED


def test_a_list_in_one_page_is_requested_only_once() -> None:
    """A server that sends several pages without a limit must not cause endless requests."""
    made = state(page_size=4, seen="10")
    made.page_received("C1")
    assert made.list_failed(EXPIRED) == Next(Step.LIST)
    made.page_received("C2")
    assert made.list_failed(EXPIRED) == Next(Step.LIST)
    assert asked(made)[0] == ""
    made.page_received("C3")
    assert made.list_failed(EXPIRED) == Next(Step.LIST)
    made.page_received("C4")
    assert made.list_failed(EXPIRED).step is Step.FAILED


@pytest.mark.parametrize(
    ("error", "at_least"),
    [
        pytest.param(FORBIDDEN, 0.0, id="forbidden"),
        pytest.param(THROTTLED, 7.0, id="throttled"),
        pytest.param(UNAVAILABLE, 3.0, id="unavailable"),
        pytest.param(REFUSED, 0.0, id="refused"),
        pytest.param(ValueError("x"), 0.0, id="anything-else"),
    ],
)
def test_a_failed_list_fails_the_round_and_keeps_retry_after(error: Exception, at_least: float) -> None:
    """client-go source. Retry-After is the least wait before the next round."""
    assert state(seen="10").list_failed(error) == Next(Step.FAILED, wait=True, at_least=at_least)


def test_a_failed_page_is_forgotten_by_the_next_round() -> None:
    """client-go source. Every round begins with a first page."""
    made = state(page_size=4)
    made.page_received("C1")
    made.list_failed(REFUSED)
    made.begin()
    assert asked(made) == ("0", "", 4)


def test_the_same_token_twice_fails_the_list() -> None:
    """A server that ignores continue tokens sends its first page for ever."""
    made = state()
    assert made.page_received("C1") == Next(Step.LIST)
    assert made.page_received("C2") == Next(Step.LIST)
    assert made.page_received("C2") == Next(Step.FAILED, wait=True)
    made.begin()
    assert made.page_received("C2") == Next(Step.LIST)


def test_a_list_may_have_many_pages() -> None:
    """As long as each page has another continue token."""
    made = state()
    assert all(made.page_received(f"C{i}") == Next(Step.LIST) for i in range(1000))


# Watches


def test_watch_begins_at_the_last_version_and_asks_for_bookmarks() -> None:
    """client-go source. A watch asks for bookmarks and a time-out, and sets no option of a watch list."""
    made = state()
    assert made.list_complete("10") == Next(Step.WATCH)
    made.stored("12")
    made.stored("")
    options = made.watch_options(300)
    assert (options.resource_version, options.allow_watch_bookmarks, options.timeout_seconds) == ("12", True, 300)
    assert (options.resource_version_match, options.send_initial_events, options.limit) == ("", None, 0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(THROTTLED, Next(Step.WATCH, wait=True, at_least=7.0), id="throttled-watch-again"),
        pytest.param(REFUSED, Next(Step.CONFIRM, wait=True), id="refused-confirm"),
        pytest.param(ConnectionResetError("reset"), Next(Step.CONFIRM, wait=True), id="reset-confirm"),
        pytest.param(TimeoutError("no head"), Next(Step.CONFIRM, wait=True), id="time-out-confirm"),
        pytest.param(EXPIRED, Next(Step.FAILED, wait=True), id="expired-new-round"),
        pytest.param(FORBIDDEN, Next(Step.FAILED, wait=True), id="forbidden-new-round"),
        pytest.param(UNAVAILABLE, Next(Step.FAILED, wait=True, at_least=3.0), id="unavailable-new-round"),
        pytest.param(ValueError("x"), Next(Step.FAILED, wait=True), id="other-exception-new-round"),
    ],
)
def test_a_failed_watch_call_is_retried_or_fails_the_round(error: Exception, expected: Next) -> None:
    """Go: TestReflectorListAndWatchInitConnBackoff, TestBackoffOnTooManyRequests. Rule 7."""
    made = state(seen="10")
    assert made.watch_call_failed(error) == expected
    assert made.watch_options(1).resource_version == "10"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(THROTTLED, Next(Step.WATCH, wait=True, at_least=7.0), id="throttled-watch-again"),
        pytest.param(EXPIRED, Next(Step.ENDED, wait=True), id="expired-new-round"),
        pytest.param(ApiError(500, "InternalError"), Next(Step.ENDED, wait=True), id="internal-error-new-round"),
        pytest.param(UNAVAILABLE, Next(Step.ENDED, wait=True, at_least=3.0), id="retry-after-in-details"),
        pytest.param(ApiError(0), Next(Step.ENDED, wait=True), id="empty-status"),
    ],
)
def test_an_error_event_ends_the_round_without_an_error(error: ApiError, expected: Next) -> None:
    """client-go source. Every error but 429 begins a new round, at the last version."""
    made = state(seen="10")
    assert made.watch_error(error) == expected
    assert asked(made)[0] == "10"


def test_an_expired_watch_lists_at_its_last_version_first() -> None:
    """client-go source, kubernetes#86430. A relist at the last version spares etcd; the newest state is the second attempt."""
    made = state(seen="10")
    made.stored("15")
    assert made.watch_call_failed(EXPIRED).step is Step.FAILED
    made.begin()
    assert asked(made) == ("15", "", 0)
    assert made.list_failed(EXPIRED) == Next(Step.LIST)
    assert asked(made)[0] == ""


def test_a_very_short_watch_without_an_event_ends_the_round() -> None:
    """Go: TestReflectorHandleWatchResultChanClosedBefore. The server may refuse to watch in this way."""
    assert state(seen="1").watch_ended(events=0, seconds=0.99) == Next(Step.ENDED, wait=True)


@pytest.mark.parametrize(
    ("events", "seconds"),
    [pytest.param(0, 1.0, id="a-second-without-events"), pytest.param(1, 0.0, id="one-event-and-the-end")],
)
def test_a_watch_that_ends_normally_is_resumed_at_once(events: int, seconds: float) -> None:
    """client-go source. A server ends watches at any time."""
    assert state(seen="1").watch_ended(events=events, seconds=seconds) == Next(Step.WATCH)


def test_watches_without_events_are_followed_by_a_short_pause() -> None:
    """The pause is 0.1 seconds from the third in a row; a watch with an event ends that."""
    made = state(seen="1")
    pauses = [made.watch_ended(events=0, seconds=5).pause for _ in range(6)]
    assert pauses == [0, 0, 0.1, 0.1, 0.1, 0.1]
    assert made.watch_ended(events=3, seconds=5).pause == 0
    assert made.watch_ended(events=0, seconds=5).pause == 0


def test_watches_that_end_at_once_are_followed_by_a_growing_pause() -> None:
    """A server that sends one event per watch and hangs up is not requested at full speed."""
    made = state(seen="1")
    pauses = [made.watch_ended(events=1, seconds=0.01).pause for _ in range(10)]
    assert pauses == pytest.approx([0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_a_silent_watch_is_resumed_at_once() -> None:
    """It is requested again from the last version, once the server has confirmed it."""
    made = state(seen="10")
    made.stored("11")
    assert made.watch_went_silent() == Next(Step.CONFIRM)
    assert made.confirmed() == Next(Step.WATCH)
    assert made.watch_options(1).resource_version == "11"


# Confirmations


def test_a_confirmation_asks_for_one_object_not_older_than_the_last_version() -> None:
    """kubernetes#107457. A server that was restored from a backup refuses it, and would accept the watch."""
    made = state(seen="10", page_size=0)
    made.stored("11")
    assert made.confirm_options() == ListOptions(resource_version="11", resource_version_match="NotOlderThan", limit=1)


@pytest.mark.parametrize("watch_list", [False, True], ids=["list", "watch-list"])
@pytest.mark.parametrize("error", [EXPIRED, TOO_LARGE], ids=["expired", "too-large"])
def test_a_history_that_went_back_is_followed_by_the_newest_state(watch_list: bool, error: ApiError) -> None:
    """At once, as a list or a watch list."""
    made = state(watch_list=watch_list, seen="10")
    made.watch_went_silent()
    assert made.confirm_failed(error) == Next(Step.WATCH_LIST if watch_list else Step.LIST)
    options = made.watch_list_options(1) if watch_list else made.list_options()
    assert options.resource_version == ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(REFUSED, Next(Step.CONFIRM, wait=True), id="refused-again"),
        pytest.param(TimeoutError(), Next(Step.CONFIRM, wait=True), id="time-out-again"),
        pytest.param(THROTTLED, Next(Step.CONFIRM, wait=True, at_least=7.0), id="throttled-again"),
        pytest.param(INVALID, Next(Step.WATCH), id="not-supported-watch"),
        pytest.param(UNAVAILABLE, Next(Step.FAILED, wait=True, at_least=3.0), id="unavailable-new-round"),
        pytest.param(FORBIDDEN, Next(Step.FAILED, wait=True), id="forbidden-new-round"),
        pytest.param(ValueError("x"), Next(Step.FAILED, wait=True), id="other-exception-new-round"),
    ],
)
def test_a_failed_confirmation_is_repeated_left_out_or_ends_the_round(error: Exception, expected: Next) -> None:
    """Rule 11. The version stays: lists at it are refused too if the history went back."""
    made = state(seen="10")
    made.watch_call_failed(REFUSED)
    assert made.confirm_failed(error) == expected
    assert asked(made)[0] == "10"


def test_a_server_that_refuses_confirmations_is_not_asked_again() -> None:
    """Some extension API servers do not know resourceVersionMatch."""
    made = state(seen="10")
    made.watch_went_silent()
    made.confirm_failed(INVALID)
    assert made.watch_went_silent() == Next(Step.WATCH)
    assert made.watch_call_failed(REFUSED) == Next(Step.WATCH, wait=True)


@pytest.mark.parametrize("seen", ["", "0"])
def test_without_a_version_there_is_nothing_to_confirm(seen: str) -> None:
    """Such a watch begins with the present state."""
    assert state(seen=seen).watch_went_silent() == Next(Step.WATCH)


def test_a_watch_that_the_server_ends_is_resumed_without_a_confirmation() -> None:
    """Without an outage it costs nothing."""
    made = state(seen="10")
    assert [made.watch_ended(events=1, seconds=400).step for _ in range(5)] == [Step.WATCH] * 5
    assert made.watch_error(THROTTLED).step is Step.WATCH
    assert made.watch_call_failed(THROTTLED).step is Step.WATCH


# Watch lists


def test_watch_list_asks_for_the_state_not_older_than_the_last_version() -> None:
    """Go: TestPrepareWatchListOptionsFromListOptions. For the first list and for a relist."""
    made = state(watch_list=True)
    assert made.begin() == Next(Step.WATCH_LIST)
    options = made.watch_list_options(300)
    assert (options.resource_version, options.resource_version_match) == ("", "NotOlderThan")
    assert (options.send_initial_events, options.allow_watch_bookmarks, options.limit) == (True, True, 0)
    made.watch_list_complete("10")
    assert made.last_resource_version == "10"
    assert made.begin() == Next(Step.WATCH_LIST)
    assert made.watch_list_options(300).resource_version == "10"


@pytest.mark.parametrize(
    ("error", "expected", "later"),
    [
        pytest.param(INVALID, Next(Step.LIST), Step.LIST, id="refused-never-again"),
        pytest.param(ApiError(400, "BadRequest"), Next(Step.LIST), Step.LIST, id="bad-request-never-again"),
        pytest.param(ValueError("dummy"), Next(Step.LIST), Step.LIST, id="unsupported-by-the-function-never-again"),
        pytest.param(FORBIDDEN, Next(Step.LIST), Step.WATCH_LIST, id="forbidden-list-this-time"),
        pytest.param(
            ApiError(500, "InternalError"), Next(Step.LIST), Step.WATCH_LIST, id="internal-error-list-this-time"
        ),
        pytest.param(
            UNAVAILABLE, Next(Step.LIST, at_least=3.0), Step.WATCH_LIST, id="unavailable-list-after-retry-after"
        ),
        pytest.param(
            THROTTLED, Next(Step.WATCH_LIST, wait=True, at_least=7.0), Step.WATCH_LIST, id="throttled-wait-and-again"
        ),
        pytest.param(REFUSED, Next(Step.WATCH_LIST, wait=True), Step.WATCH_LIST, id="refused-wait-and-again"),
        pytest.param(ConnectionError("reset"), Next(Step.LIST), Step.WATCH_LIST, id="broken-connection-list-this-time"),
    ],
)
def test_a_failed_watch_list_is_retried_or_replaced_by_a_list(error: Exception, expected: Next, later: Step) -> None:
    """Go: TestWatchList. Some failures also end the use of watch lists in later rounds."""
    made = state(watch_list=True)
    assert made.watch_list_failed(error) == expected
    assert made.begin().step is later


@pytest.mark.parametrize("error", [EXPIRED, TOO_LARGE], ids=["expired", "too-large"])
def test_a_watch_list_at_an_expired_or_future_version_asks_for_the_newest(error: ApiError) -> None:
    """client-go source. At once; if that has expired too, after a wait, and if it is too large, a list says why."""
    made = state(watch_list=True, seen="10")
    assert made.watch_list_failed(error) == Next(Step.WATCH_LIST)
    assert made.watch_list_options(1).resource_version == ""
    again = made.watch_list_failed(error)
    if error is EXPIRED:
        assert again == Next(Step.WATCH_LIST, wait=True)
    else:
        assert again == Next(Step.LIST, at_least=1.0)
        assert asked(made)[0] == ""
        assert made.begin().step is Step.WATCH_LIST
    made.watch_list_complete("30")
    assert made.watch_list_options(1).resource_version == "30"


def test_a_watch_list_that_ends_before_its_bookmark_is_retried_twice() -> None:
    """Go: TestWatchList. A proxy that cuts responses short would otherwise prevent every sync."""
    made = state(watch_list=True)
    assert made.watch_list_ended(2.0) == Next(Step.WATCH_LIST, wait=True)
    assert made.watch_list_ended(2.0) == Next(Step.WATCH_LIST, wait=True)
    assert made.watch_list_ended(2.0) == Next(Step.LIST)
    assert made.begin() == Next(Step.LIST)


def test_a_complete_watch_list_resets_the_count_of_incomplete_ones() -> None:
    """Only consecutive watch lists count."""
    made = state(watch_list=True)
    for _ in range(5):
        assert made.watch_list_ended(2.0).step is Step.WATCH_LIST
        made.watch_list_complete("1")


def test_a_watch_list_that_lasted_a_minute_without_its_bookmark_is_not_retried() -> None:
    """Another one would take as long."""
    assert state(watch_list=True).watch_list_ended(60.0) == Next(Step.LIST)


def test_a_watch_list_whose_bookmark_is_late_is_not_retried() -> None:
    """A list replaces it, in this round and in later ones."""
    made = state(watch_list=True)
    assert made.watch_list_timed_out() == Next(Step.LIST)
    assert made.begin() == Next(Step.LIST)


# Properties of all sequences of outcomes

_ERRORS = [EXPIRED, TOO_LARGE, THROTTLED, INVALID, FORBIDDEN, UNAVAILABLE, REFUSED, ApiError(500), ValueError("x")]
_outcomes = st.one_of(
    st.tuples(st.just("fails"), st.sampled_from(_ERRORS)),
    st.tuples(st.just("in_stream"), st.sampled_from([e for e in _ERRORS if isinstance(e, ApiError)])),
    st.tuples(st.just("ends"), st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.5, 1.0, 400.0]))),
    st.tuples(st.just("succeeds"), st.sampled_from([None, "C1", "C2"])),
    st.tuples(st.just("silent"), st.none()),
    st.tuples(st.just("unusable"), st.none()),
)


class World:
    """Applies outcomes to a state and checks every request."""

    def __init__(self, *, watch_list: bool, page_size: int) -> None:
        self.state = ReflectorState(watch_list=watch_list, page_size=page_size)
        self.step = self.state.begin()
        self.version = 0
        self.requests_in_a_row = 0  # without a wait, a pause or a watch that lasted between them

    def take(self, kind: str, value: Any) -> None:
        if self.step.step in (Step.FAILED, Step.ENDED):
            self.requests_in_a_row = 0
            self.step = self.state.begin()
        if self.step.waits:
            self.requests_in_a_row = 0
        self.requests_in_a_row += 1
        self.check_request()
        handler: Callable[[str, Any], Next] = {
            Step.LIST: self.listed,
            Step.WATCH_LIST: self.watch_listed,
            Step.WATCH: self.watched,
            Step.CONFIRM: self.confirmed,
        }[self.step.step]
        self.step = handler(kind, value)

    def check_request(self) -> None:
        seen = str(self.version) if self.version else ""
        assert self.state.last_resource_version == seen
        if self.step.step is Step.WATCH:
            assert self.state.watch_options(1).resource_version == seen
        elif self.step.step is Step.CONFIRM:
            assert self.state.confirm_options().resource_version == seen
        elif self.step.step is Step.WATCH_LIST:
            assert self.state.watch_list_options(1).resource_version in (seen, "")
        else:
            options = self.state.list_options()
            assert options.resource_version in (seen or "0", "")
            assert not (options.continue_ and options.resource_version)

    def listed(self, kind: str, value: Any) -> Next:
        if kind == "fails":
            return self.state.list_failed(value)
        if kind == "unusable":
            return self.state.round_failed()
        following = self.state.page_received(value if kind == "succeeds" else None)
        if following is not None:
            self.requests_in_a_row -= 1  # a page is progress
            return following
        self.version += 1
        return self.state.list_complete(str(self.version))

    def watch_listed(self, kind: str, value: Any) -> Next:
        if kind in ("fails", "in_stream"):
            return self.state.watch_list_failed(value)
        if kind == "ends":
            return self.state.watch_list_ended(value[1])
        if kind == "silent":
            return self.state.watch_list_timed_out()
        if kind == "unusable":
            return self.state.round_failed()
        self.version += 1
        self.state.watch_list_complete(str(self.version))
        return self.followed("ends", (1, 0.0))

    def watched(self, kind: str, value: Any) -> Next:
        return self.state.watch_call_failed(value) if kind == "fails" else self.followed(kind, value)

    def confirmed(self, kind: str, value: Any) -> Next:
        if kind == "unusable":
            return self.state.round_failed()
        return self.state.confirm_failed(value) if kind == "fails" else self.state.confirmed()

    def followed(self, kind: str, value: Any) -> Next:
        if kind == "in_stream":
            return self.state.watch_error(value)
        if kind == "unusable":
            return self.state.round_failed()
        if kind != "ends":
            self.requests_in_a_row = 0  # silence, or a watch that ended in its time
            return self.state.watch_went_silent()
        events, seconds = value
        if events:
            self.version += events
            self.state.stored(str(self.version))
        if seconds >= 1.0:
            self.requests_in_a_row = 0
        return self.state.watch_ended(events=events, seconds=seconds)


@settings(max_examples=300, deadline=None)
@given(
    outcomes=st.lists(_outcomes, min_size=1, max_size=60),
    watch_list=st.booleans(),
    page_size=st.sampled_from([0, 4, 500]),
)
def test_no_sequence_of_outcomes_loops_without_a_wait_or_goes_back(
    outcomes: list[tuple[str, Any]], watch_list: bool, page_size: int
) -> None:
    """At most eight requests without a wait between them; none for a version other than the last seen, "" or "0"."""
    world = World(watch_list=watch_list, page_size=page_size)
    for kind, value in outcomes:
        world.take(kind, value)
        assert world.requests_in_a_row <= 8


@pytest.mark.parametrize(
    ("outcome", "most"),
    [
        # 0.8 + 1.6 + 3.2 + ... + 30 + 30 ... seconds: some 125 rounds an hour, of a list and a watch or two each.
        pytest.param(("ends", (0, 0.0)), 260, id="very-short-watches"),
        pytest.param(("ends", (1, 0.0)), 750, id="one-event-and-the-end"),
        pytest.param(("fails", THROTTLED), 130, id="429"),
        pytest.param(("fails", FORBIDDEN), 260, id="403"),
        pytest.param(("fails", ApiError(404, "NotFound")), 260, id="404"),
        pytest.param(("fails", EXPIRED), 260, id="410"),
        pytest.param(("fails", REFUSED), 130, id="refused"),
        pytest.param(("in_stream", EXPIRED), 260, id="410-within-the-watch"),
        pytest.param(("in_stream", THROTTLED), 130, id="429-within-the-watch"),
        pytest.param(("in_stream", ApiError(500)), 400, id="500-within-the-watch"),
        pytest.param(("unusable", None), 130, id="broken"),
    ],
)
@pytest.mark.parametrize("watch_list", [False, True], ids=["list", "watch-list"])
def test_an_endless_failure_is_bounded_by_the_backoff(outcome: tuple[str, Any], most: int, watch_list: bool) -> None:
    """Whatever the failure, the number of requests per hour has a bound."""
    world = World(watch_list=watch_list, page_size=500)
    rounds = BackoffState(Backoff(jitter=0), Random(1))
    watches = BackoffState(Backoff(jitter=0), Random(1))
    now, requests = 0.0, 0
    while now < 3600:
        step = world.step
        if step.step in (Step.FAILED, Step.ENDED):
            now += rounds.next(now, step.at_least)
        elif step.waits:
            now += watches.next(now, step.at_least) if step.wait else watches.pause(step.pause, step.at_least)
        # If only watches fail, a list succeeds.
        kind, value = outcome
        world.take(*(("succeeds", None) if step.step is Step.LIST and kind in ("ends", "in_stream") else (kind, value)))
        requests += 1
        assert requests <= most


# Pacing


@pytest.mark.parametrize(
    ("before", "following", "paced"),
    [
        pytest.param(None, Next(Step.LIST), True, id="first-list"),
        pytest.param(None, Next(Step.WATCH_LIST), True, id="first-watch-list"),
        pytest.param(Step.LIST, Next(Step.LIST), False, id="next-page"),
        pytest.param(Step.LIST, Next(Step.WATCH), False, id="watch-after-list"),
        pytest.param(Step.WATCH_LIST, Next(Step.LIST), False, id="list-for-watch-list"),
        pytest.param(Step.WATCH_LIST, Next(Step.WATCH_LIST), False, id="newest-state-at-once"),
        pytest.param(Step.WATCH, Next(Step.WATCH), True, id="watch-after-watch"),
        pytest.param(Step.WATCH_LIST, Next(Step.WATCH), True, id="watch-after-watch-list"),
        pytest.param(Step.WATCH_LIST, Next(Step.LIST, at_least=1.0), True, id="after-a-retry-after"),
        pytest.param(Step.LIST, Next(Step.WATCH, pause=1.0), True, id="after-a-pause"),
        pytest.param(Step.WATCH, Next(Step.WATCH, wait=True), True, id="after-a-wait"),
        pytest.param(Step.WATCH, Next(Step.CONFIRM), True, id="confirmation-after-silence"),
        pytest.param(Step.CONFIRM, Next(Step.WATCH), False, id="watch-after-confirmation"),
        pytest.param(Step.CONFIRM, Next(Step.LIST), False, id="list-after-confirmation"),
    ],
)
def test_requests_that_many_informers_may_send_at_once_are_paced(
    before: Step | None, following: Next, paced: bool
) -> None:
    """Rule 10."""
    assert is_paced(before, following) is paced

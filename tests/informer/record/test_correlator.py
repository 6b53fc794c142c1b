"""Counting, combining and dropping events."""

from __future__ import annotations

from typing import Any

import pytest

from informer.record import EventCorrelator
from informer.record.correlator import aggregate_key, combined_message, spam_key
from watch import FakeClock

COMBINED = "(combined from similar events): "


def make(message: str = "m", *, reason: str = "R", pod: str = "my-pod", **involved: str) -> dict[str, Any]:
    """Returns an event about a pod in my-ns."""
    return {
        "metadata": {"name": f"{pod}.{message}", "namespace": "my-ns"},
        "involvedObject": {
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": "my-ns",
            "name": pod,
            "uid": "u",
            **involved,
        },
        "source": {"component": "kubelet", "host": "node-1"},
        "reportingComponent": "kubelet",
        "reportingInstance": "node-1",
        "type": "Warning",
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:01Z",
    }


def observe(clock: FakeClock, correlator: EventCorrelator, events: list[dict[str, Any]], step: float) -> list[Any]:
    """Correlates events one after another; each is answered as a server would."""
    correlations = []
    for event in events:
        correlation = correlator.correlate(event)
        if not correlation.skip:
            correlator.update_state(correlation.event, correlation.key)
        correlations.append(correlation)
        clock.step(step)
    return correlations


SIMILAR = [make(f"message {number}") for number in range(30)]


@pytest.mark.parametrize(
    ("before", "event", "step", "message", "count", "skip"),
    [
        pytest.param([], make(), 5, "m", 1, False, id="nothing-before"),
        pytest.param([make()], make(), 5, "m", 2, False, id="one-identical"),
        pytest.param([make()] * 10, make(), 30, "m", 11, False, id="ten-identical"),
        pytest.param([make()] * 26, make(), 1, "m", None, True, id="spam"),
        pytest.param([make(pod=f"p{n}") for n in range(30)], make(), 5, "m", 1, False, id="other-objects"),
        pytest.param(SIMILAR[:9], make(), 5, f"{COMBINED}m", 1, False, id="nine-similar"),
        pytest.param(SIMILAR[:10], make(), 5, f"{COMBINED}m", 2, False, id="ten-similar"),
        pytest.param([make(fieldPath="c2")], make(fieldPath="c1"), 5, "m", 1, False, id="other-container"),
        pytest.param(SIMILAR[:9], make(), 601, "m", 1, False, id="similar-long-ago"),
    ],
)
def test_events_are_counted_combined_or_skipped(
    before: list[dict[str, Any]], event: dict[str, Any], step: float, message: str, count: int | None, skip: bool
) -> None:
    """Go: TestEventCorrelator. Equal events are counted, similar ones combined, and too many skipped."""
    clock = FakeClock(1000)
    correlator = EventCorrelator(clock=clock)
    observe(clock, correlator, before, step)
    correlation = correlator.correlate(event)
    assert correlation.skip is skip
    if not skip:
        assert (correlation.event["message"], correlation.event["count"]) == (message, count)
        assert (correlation.patch is None) == (count == 1)
    assert event["count"] == 1


def test_the_tenth_similar_event_is_a_combined_one() -> None:
    """client-go source. The tenth similar event is created as a combined event, and later ones are patches of it."""
    clock = FakeClock(1000)
    correlations = observe(clock, EventCorrelator(clock=clock), SIMILAR[:13], 1)
    assert [each.patch for each in correlations[:10]] == [None] * 10
    assert [each.event["count"] for each in correlations] == [1] * 10 + [2, 3, 4]
    tenth = correlations[9].event
    for number, each in enumerate(correlations[10:], 10):
        assert each.event["metadata"]["name"] == tenth["metadata"]["name"]
        assert each.patch == {
            "count": each.event["count"],
            "lastTimestamp": each.event["lastTimestamp"],
            "message": f"{COMBINED}message {number}",
        }
        assert each.event["firstTimestamp"] == tenth["firstTimestamp"] < each.event["lastTimestamp"]
    assert tenth["metadata"]["name"] not in [event["metadata"]["name"] for event in SIMILAR]
    assert tenth["involvedObject"] == SIMILAR[0]["involvedObject"]


def test_events_from_before_combining_are_still_counted_alone() -> None:
    """Once similar events are combined, a repeat of an earlier event still counts for that event."""
    clock = FakeClock(1000)
    correlations = observe(clock, EventCorrelator(clock=clock), [*SIMILAR[:12], SIMILAR[3], SIMILAR[11]], 1)
    assert correlations[-2].event["metadata"]["name"] == SIMILAR[3]["metadata"]["name"]
    assert correlations[-2].event["count"] == 2
    assert correlations[-1].event["message"] == f"{COMBINED}message 11"
    assert correlations[-1].event["count"] == 4


def test_the_interval_counts_from_the_last_similar_event() -> None:
    """client-go source. Similar events are combined while each comes within 600 s of the one before it."""
    clock = FakeClock(1000)
    correlator = EventCorrelator(clock=clock)
    correlations = observe(clock, correlator, SIMILAR[:10], 600)
    assert correlations[-1].event["message"].startswith(COMBINED)
    clock.step(1)
    assert correlator.correlate(SIMILAR[10]).event["message"] == "message 10"


def test_a_source_may_write_25_events_and_then_one_per_five_minutes() -> None:
    """client-go source. Events beyond this are skipped, but counted."""
    clock = FakeClock(1000)
    correlator = EventCorrelator(clock=clock)
    burst = observe(clock, correlator, [make()] * 30, 0)
    assert [each.skip for each in burst] == [False] * 25 + [True] * 5
    assert [each.event["count"] for each in burst[:25]] == list(range(1, 26))
    assert [each.patch is None for each in burst[:25]] == [True] + [False] * 24
    clock.step(299)
    assert correlator.correlate(make()).skip
    clock.step(2)
    passed = correlator.correlate(make())
    assert (passed.skip, passed.event["count"]) == (False, 32)
    assert correlator.correlate(make()).skip


def test_a_silent_source_does_not_earn_a_larger_burst() -> None:
    """After any silence a source may write at most 25 events at once."""
    clock = FakeClock(1000)
    correlator = EventCorrelator(clock=clock)
    observe(clock, correlator, [make()] * 25, 0)
    clock.step(1_000_000)
    assert [each.skip for each in observe(clock, correlator, [make()] * 27, 0)].count(False) == 25


def test_none_is_not_an_event() -> None:
    """client-go source. `correlate(None)` raises ValueError."""
    nothing: Any = None
    with pytest.raises(ValueError, match="event is nil"):
        EventCorrelator().correlate(nothing)


def test_similar_events_differ_in_their_message_only() -> None:
    """Go: TestEventAggregatorByReasonFunc. An event with another reason is not similar."""
    first, second, other = aggregate_key(make("1")), aggregate_key(make("2")), aggregate_key(make("1", reason="Other"))
    assert first[0] == second[0]
    assert first[1] != second[1]
    assert first[0] != other[0]


def test_a_combined_event_has_the_last_message() -> None:
    """Go: TestEventAggregatorByReasonMessageFunc. A prefix says that it stands for several events."""
    assert combined_message(make("last")) == f"{COMBINED}last"


CHANGES: dict[str, dict[str, Any]] = {
    "component": {"source": {"component": "other", "host": "node-1"}},
    "host": {"source": {"component": "kubelet", "host": "other"}},
    **{
        field: {"involvedObject": {**make(fieldPath="x")["involvedObject"], field: "other"}}
        for field in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")
    },
    "resourceVersion": {"involvedObject": {**make(fieldPath="x")["involvedObject"], "resourceVersion": "9"}},
    "type": {"type": "Normal"},
    "reason": {"reason": "Other"},
    "message": {"message": "other"},
    "reportingComponent": {"reportingComponent": "other"},
    "reportingInstance": {"reportingInstance": "other"},
}
SPAM = {"component", "host", "kind", "namespace", "name", "uid", "apiVersion", "type"}


@pytest.mark.parametrize("field", CHANGES)
def test_the_fields_of_each_key(field: str) -> None:
    """Go: TestEventSpamFilter, and client-go source. Each of the three keys consists of these fields and no others."""
    first, second = make(fieldPath="x"), {**make(fieldPath="x"), **CHANGES[field]}
    assert (spam_key(first) != spam_key(second)) == (field in SPAM)
    similar = aggregate_key(first)[0] == aggregate_key(second)[0]
    assert similar == (field not in SPAM | {"reason", "reportingComponent", "reportingInstance"})
    correlator = EventCorrelator()
    correlator.correlate(first)
    assert (correlator.correlate(second).patch is None) == (field in SPAM | {"reason", "message", "fieldPath"})


def test_keys_keep_their_fields_apart() -> None:
    """Two events whose fields only concatenate to the same text have different keys."""
    first, second = make(pod="ab", uid="c"), make(pod="a", uid="bc")
    assert spam_key(first) != spam_key(second)


def test_the_constructors_options_are_used() -> None:
    """Go: TestEventSpamFilter. Given numbers and functions replace the defaults."""
    clock = FakeClock()
    correlator = EventCorrelator(
        max_events=3,
        interval=10,
        burst=4,
        qps=1,
        key_func=lambda event: ("all", event["message"]),
        message_func=lambda event: "many",
        spam_key_func=lambda event: event["reason"],
        clock=clock,
    )
    events = [make(f"m{number}", pod=f"p{number}") for number in range(5)]
    seen = observe(clock, correlator, events, 0)
    assert [each.event["message"] for each in seen[:4]] == ["m0", "m1", "many", "many"]
    assert [each.skip for each in seen] == [False] * 4 + [True]
    assert not correlator.correlate(make(reason="Other")).skip
    clock.step(1)
    assert not correlator.correlate(make()).skip


def test_the_least_recently_seen_event_is_forgotten() -> None:
    """Memory is bounded: beyond `cache_size` the least recently seen event is evicted."""
    clock = FakeClock()
    correlator = EventCorrelator(cache_size=3, clock=clock)
    observe(clock, correlator, [make(pod="a"), make(pod="b"), make(pod="c"), make(pod="a"), make(pod="d")], 1)
    assert correlator.correlate(make(pod="a")).event["count"] == 3
    assert correlator.correlate(make(pod="b")).event["count"] == 1


def test_the_servers_name_and_count_are_used() -> None:
    """The next event builds on the name and the count of the server's answer."""
    correlator = EventCorrelator()
    correlator.correlate(make())
    correlator.update_state({**make(), "metadata": {"name": "renamed", "namespace": "my-ns"}, "count": 5})
    correlator.update_state({"kind": "Status"})
    correlator.update_state({**make(), "count": None})
    again = correlator.correlate(make())
    assert (again.event["metadata"]["name"], again.event["count"]) == ("renamed", 6)


def test_the_servers_name_and_count_are_used_for_a_combined_event() -> None:
    """The next event of the group builds on the server's answer; a combined event begins with a count of 1."""
    correlator = EventCorrelator(max_events=1)
    first = correlator.correlate({**make(), "count": 5})
    assert first.event["count"] == 1
    answer = {**first.event, "metadata": {"name": "renamed", "namespace": "my-ns"}, "count": 7}
    correlator.update_state(answer, first.key)
    again = correlator.correlate(make("other"))
    assert (again.event["metadata"]["name"], again.event["count"]) == ("renamed", 8)


@pytest.mark.parametrize(
    "options", [{"max_events": 0}, {"interval": -1}, {"burst": 0}, {"qps": -1}, {"cache_size": 0}], ids=str
)
def test_invalid_numbers_are_refused(options: dict[str, Any]) -> None:
    """The constructor raises ValueError."""
    with pytest.raises(ValueError, match="must be"):
        EventCorrelator(**options)

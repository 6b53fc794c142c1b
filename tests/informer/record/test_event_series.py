"""Grouping similar events of events.k8s.io into series."""

from __future__ import annotations

from typing import Any

import pytest

from informer.record.event_series import EventSeries, series_key, series_patch
from watch import FakeClock


def make(**fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web.1", "namespace": "shop"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "c",
        "reportingInstance": "i",
        "action": "A",
        "reason": "R",
        "regarding": {"kind": "Pod", "name": "web", "namespace": "shop"},
        "note": "n",
        "type": "Normal",
        **fields,
    }


def later(number: int) -> str:
    return f"2026-01-01T00:00:00.00000{number}Z"


def test_the_second_event_makes_a_series_and_later_ones_are_counted() -> None:
    """client-go source. The first is created, the second is written as a series of two, the third is only counted."""
    series = EventSeries(10, FakeClock())
    assert series.observe(make()) == [make()]
    # The series keeps the first event's note and name.
    (second,) = series.observe(make(note="other", eventTime=later(2), metadata={"name": "web.2", "namespace": "shop"}))
    assert second == make(series={"count": 2, "lastObservedTime": later(2)})
    assert series_patch(second) == {"series": {"count": 2, "lastObservedTime": later(2)}}
    assert series.unsent() == []
    assert series.observe(make(eventTime=later(3))) == []
    assert series.unsent() == [make(series={"count": 3, "lastObservedTime": later(3)})]
    assert series.unsent() == []
    assert series.observe(make(eventTime=later(4))) == []
    assert series.unsent()[0]["series"]["count"] == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "Warning"},
        {"action": "B"},
        {"reason": "S"},
        {"reportingController": "d"},
        {"reportingInstance": "j"},
        {"regarding": {"kind": "Pod", "name": "other", "namespace": "shop"}},
        {"regarding": {"kind": "Pod", "name": "web", "namespace": "shop", "fieldPath": "x"}},
        {"related": {"kind": "Node", "name": "n"}},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_events_that_differ_in_a_key_field_are_separate(fields: dict[str, Any]) -> None:
    """Go: TestEventSeriesf. Such an event is created, and both are counted separately."""
    series = EventSeries(10, FakeClock())
    series.observe(make())
    assert series.observe(make(**fields)) == [make(**fields)]
    assert series.observe(make(**fields))[0]["series"]["count"] == 2
    assert series.observe(make())[0]["series"]["count"] == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"note": "other"},
        {"regarding": {"kind": "Pod", "name": "web", "namespace": "shop", "resourceVersion": "9"}},
        {"related": None},
        {"metadata": {"name": "other", "namespace": "shop"}},
    ],
    ids=["note", "version", "none-related", "name"],
)
def test_fields_that_are_not_part_of_the_key(fields: dict[str, Any]) -> None:
    """client-go source. The note, the event's name and the object's resourceVersion do not tell events apart."""
    assert series_key(make()) == series_key(make(**fields))


def test_a_series_ends_six_minutes_after_its_last_event() -> None:
    """Go: TestFinishSeries. It is written for the last time, and single events of that age are forgotten."""
    clock = FakeClock(1000)
    series = EventSeries(10, clock)
    for event in (make(), make(), make(), make(reason="single")):
        series.observe(event)
    clock.step(360)
    series.observe(make(reason="young"))
    assert series.finished() == []
    clock.step(1)
    assert [event["series"]["count"] for event in series.finished()] == [3]
    assert series.finished() == []
    assert series.observe(make()) == [make()]
    assert series.observe(make(reason="single")) == [make(reason="single")]
    assert series.observe(make(reason="young"))[0]["series"]["count"] == 2


def test_a_refresh_returns_every_series() -> None:
    """Go: TestRefreshExistingEventSeries. All series are written again and go on; single events are not."""
    series = EventSeries(10, FakeClock())
    for event in (make(), make(), make(), make(reason="single")):
        series.observe(event)
    for _ in range(2):
        (event,) = series.refreshed()
        assert event["series"]["count"] == 3
    series.observe(make())
    assert series.refreshed()[0]["series"]["count"] == 4


def test_returned_events_are_copies() -> None:
    """Changing a returned event does not change the remembered one."""
    series = EventSeries(10, FakeClock())
    series.observe(make())[0].clear()
    series.observe(make())[0]["series"]["count"] = 100
    series.observe(make())
    series.refreshed()[0]["series"]["count"] = 100
    assert series.refreshed()[0]["series"]["count"] == 3


def test_an_evicted_series_is_written_if_it_has_grown() -> None:
    """The least recently seen series is evicted, and its count is not lost."""
    series = EventSeries(2, FakeClock())
    for event in (make(), make(), make(), make(reason="single")):
        series.observe(event)
    assert [event.get("series", {}).get("count") for event in series.observe(make(reason="third"))] == [3, None]
    assert series.observe(make(reason="fourth")) == [make(reason="fourth")]

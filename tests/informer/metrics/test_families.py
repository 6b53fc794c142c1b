"""The metrics: their names, help texts and labels, and the unique label values of objects."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from informer.metrics.families import FAMILIES, UniqueNames, label_value

# Dashboards and alerts use these names, so renaming one breaks them. client-go has all that do not begin with "informer_", and
# of these queued_items, processing_latency_seconds and store_resource_version.
METRICS = """
informer_info informer_up informer_synced informer_failing informer_watches_open informer_last_event_age_seconds
informer_events_total informer_relists_total informer_reconnects_total informer_errors_total
informer_decode_errors_total informer_index_errors_total informer_queued_items informer_processing_latency_seconds
informer_store_objects informer_store_bytes informer_store_resource_version
informer_handler_backlog informer_handler_lag_seconds informer_handler_duration_seconds informer_handler_busy_seconds
informer_handler_errors_total informer_metrics_read_errors_total
reflector_lists_total reflector_list_duration_seconds reflector_items_per_list reflector_watches_total
reflector_short_watches_total reflector_watch_duration_seconds reflector_items_per_watch reflector_last_resource_version
workqueue_depth workqueue_adds_total workqueue_retries_total workqueue_queue_duration_seconds
workqueue_work_duration_seconds workqueue_unfinished_work_seconds workqueue_longest_running_processor_seconds
leader_election_master_status leader_election_slowpath_total
""".split()  # noqa: SIM905 - one name per line would fill a page


def test_the_list_of_metrics_is_complete() -> None:
    """Every metric is in the list above, and every name in the list is a metric."""
    shown = [family.name + ("_total" if family.kind == "counter" else "") for family in FAMILIES]
    assert sorted(shown) == sorted(METRICS)


def test_names_follow_the_conventions_of_prometheus() -> None:
    """Names end with their unit, help texts are sentences, and a metric has at most four labels."""
    for family in FAMILIES:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", family.name)
        assert ("duration" in family.name or "age" in family.name) <= family.name.endswith("_seconds")
        assert family.text.endswith(".")
        assert len(family.labels) <= 4


def test_every_collected_metric_is_described(scrape, collector, make, source) -> None:
    """From the description a registry knows the names, and refuses another collector that uses them."""
    make(source).add_event_handler(on_add=lambda obj: None)
    described = {metric.name: metric for metric in collector.describe()}
    for metric in collector.collect():
        assert described[metric.name].type == metric.type
        assert described[metric.name].documentation == metric.documentation
    assert all(metric.documentation for metric in described.values())


class Counted:
    """What a work queue gives to a metrics provider."""

    def __init__(self, name: str, stats: Any) -> None:
        self.name = name
        self.stats = stats

    def read(self) -> Any:
        return self.stats


def queue_stats() -> Any:
    durations = SimpleNamespace(bounds=(0.001, 1.0), counts=(2, 1, 1), total=12.5)
    return SimpleNamespace(
        depth=4,
        adds_total=9,
        retries_total=2,
        queue_duration_seconds=durations,
        work_duration_seconds=durations,
        unfinished_work_seconds=1.5,
        longest_running_processor_seconds=0.5,
    )


def test_the_metrics_are_valid_openmetrics(registry, collector, make, source) -> None:
    """The strict parser accepts the names, the units and the histograms."""
    make(source)
    queue = Counted("q", queue_stats())
    collector.queue_started(queue)
    parsed = {family.name for family in parse_openmetrics(generate_openmetrics(registry).decode())}
    assert {"informer_up", "reflector_lists", "workqueue_queue_duration_seconds"} <= parsed


class Named:
    """An object that can be weakly referenced."""


def test_an_object_keeps_its_unique_name() -> None:
    """Later objects of the same name get a number. A name is free again once its object is gone."""
    names = UniqueNames()
    first, second, third = Named(), Named(), Named()
    assert names.assign([(first, "pods"), (second, "pods")]) == [(first, "pods"), (second, "pods#2")]
    assert names.assign([(second, "pods")]) == [(second, "pods#2")]
    assert names.assign([(second, "pods"), (third, "pods")]) == [(second, "pods#2"), (third, "pods")]


def test_a_label_value_is_cut_to_120_characters() -> None:
    """A shorter value is kept as it is."""
    assert label_value("a" * 120) == "a" * 120
    assert label_value("a" * 121) == "a" * 119 + "…"
    assert label_value(7) == "7"

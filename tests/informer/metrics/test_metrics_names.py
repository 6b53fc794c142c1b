"""What `informer.metrics` offers, and under which names it shows what."""

from __future__ import annotations

import re

import informer.metrics
from informer.metrics.families import FAMILIES

NAMES = "Check InformerCollector MetricsServer dashboard install make_app serve".split()  # noqa: SIM905

# Names are for dashboards and alerts: what is renamed here is broken there. client-go has those without "informer_", but for
# queued_items, processing_latency_seconds and store_resource_version, which it has too.
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
""".split()  # noqa: SIM905 - one name a line would be a page


def test_the_public_names_are_these() -> None:
    """Neither more nor fewer, each with words of its own."""
    assert sorted(informer.metrics.__all__) == sorted(NAMES)
    assert all(getattr(informer.metrics, name).__doc__ for name in NAMES if name != "Check")


def test_the_metrics_are_these() -> None:
    """Neither more nor fewer."""
    shown = [family.name + ("_total" if family.kind == "counter" else "") for family in FAMILIES]
    assert sorted(shown) == sorted(METRICS)


def test_names_are_as_prometheus_wants_them() -> None:
    """Units are spelt out, and labels are few."""
    for family in FAMILIES:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", family.name)
        assert ("duration" in family.name or "age" in family.name) <= family.name.endswith("_seconds")
        assert family.text.endswith(".")
        assert len(family.labels) <= 4

"""The Grafana dashboard fits the exported metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from informer.metrics import dashboard
from informer.metrics.families import FAMILIES

# Metrics, labels and PromQL's own words.
_WORDS = re.compile(r"[a-z_:][a-z0-9_:]*")
_SUFFIXES = {
    "gauge": [""],
    "counter": ["_total"],
    "summary": ["_sum", "_count"],
    "histogram": ["_bucket", "_sum", "_count"],
}
EXPORTED = {family.name + suffix: family for family in FAMILIES for suffix in _SUFFIXES[family.kind]}


def queries(part: Any) -> Iterator[str]:
    """Every query in a part of the dashboard."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("expr", "query", "definition") and isinstance(value, str) and value != "prometheus":
                yield value
            else:
                yield from queries(value)
    elif isinstance(part, list):
        for each in part:
            yield from queries(each)


def metrics_of(query: str) -> set[str]:
    """The metrics that a query names, recognized by their prefixes."""
    return {
        word for word in _WORDS.findall(query) if word.startswith(("informer_", "reflector_", "workqueue_", "leader_"))
    }


def test_it_names_only_metrics_that_are_exported() -> None:
    """A panel of a metric that does not exist would look as if all were quiet."""
    named = set().union(*(metrics_of(query) for query in queries(json.loads(dashboard()))))
    assert named <= EXPORTED.keys()


def test_it_shows_every_metric() -> None:
    """No metric is missing."""
    named = set().union(*(metrics_of(query) for query in queries(json.loads(dashboard()))))
    shown = {EXPORTED[metric] for metric in named}
    assert {family.name for family in FAMILIES if family not in shown} == set()


def test_legends_and_queries_use_only_existing_labels() -> None:
    """A legend with an unknown label would be empty."""
    known = {"instance", "job", "le", *(label for family in FAMILIES for label in family.labels)}
    for panel in json.loads(dashboard())["panels"]:
        for target in panel.get("targets", []):
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= known
            for labels in re.findall(r"(?:by|on|group_left) \(([^)]*)\)", target["expr"]):
                assert {label.strip() for label in labels.split(",")} <= known
            assert target["expr"].count("(") == target["expr"].count(")")


def test_it_can_be_imported() -> None:
    """Panels have unique ids and do not overlap, and every query uses the chosen data source."""
    board = json.loads(dashboard())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert {target["datasource"]["uid"] for panel in panels for target in panel.get("targets", [])} == {"${datasource}"}
    assert board["uid"]
    assert board["title"]

"""The public names of `informer.metrics`."""

from __future__ import annotations

import informer.metrics

NAMES = [
    *("Check", "InformerCollector", "MetricsServer", "dashboard", "install", "make_app", "make_live_page_app", "serve"),
    "serve_live_page",
]


def test_the_public_names_are_these() -> None:
    """The list is complete, and each name has a docstring."""
    assert sorted(informer.metrics.__all__) == sorted(NAMES)
    assert all(getattr(informer.metrics, name).__doc__ for name in NAMES if name != "Check")

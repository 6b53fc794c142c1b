"""Metrics for Prometheus, and the pages that a kubelet asks: needs the extra `kube-informer[metrics]`."""

from __future__ import annotations

from importlib.resources import files

from informer.metrics.app import make_app
from informer.metrics.collector import InformerCollector, install
from informer.metrics.health import Check
from informer.metrics.server import MetricsServer, serve

__all__ = ["Check", "InformerCollector", "MetricsServer", "dashboard", "install", "make_app", "serve"]


def dashboard() -> str:
    """A Grafana dashboard of these metrics, as JSON to be imported there."""
    return files(__name__).joinpath("dashboard.json").read_text(encoding="utf-8")

"""Prometheus metrics and health checks. Needs the extra `kube-informer[metrics]`.

`serve` answers `/healthz`, `/readyz` and `/metrics` on a port of its own. `make_app` is the same as a WSGI application, and
`install` only adds the metrics to a Prometheus registry. `serve_live_page` shows informers and their caches in a browser.
"""

from __future__ import annotations

from importlib.resources import files

import informer.watch_check  # noqa: F401 - before any module that imports `watch`
from informer.metrics.app import make_app
from informer.metrics.collector import InformerCollector, install
from informer.metrics.health import Check
from informer.metrics.live_page.page import make_live_page_app, serve_live_page
from informer.metrics.server import MetricsServer, serve

__all__ = [
    "Check",
    "InformerCollector",
    "MetricsServer",
    "dashboard",
    "install",
    "make_app",
    "make_live_page_app",
    "serve",
    "serve_live_page",
]


def dashboard() -> str:
    """Returns a Grafana dashboard that shows all of these metrics, as JSON to import into Grafana."""
    return files(__name__).joinpath("dashboard.json").read_text(encoding="utf-8")

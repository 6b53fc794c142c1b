"""Imports the Prometheus client, with an error that says what to install if it is missing."""

from __future__ import annotations

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import CounterMetricFamily, Metric
    from prometheus_client.registry import Collector
    from prometheus_client.samples import Sample
except ImportError as error:
    raise ImportError(
        "informer.metrics needs the Prometheus client: pip install 'kube-informer[metrics]', or prometheus_client>=0.20"
    ) from error

__all__ = ["REGISTRY", "Collector", "CollectorRegistry", "CounterMetricFamily", "Metric", "Sample", "choose_encoder"]

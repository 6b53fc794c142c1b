"""The metrics of reconciles, for Prometheus. Queue, leader election and informer metrics come from `informer.metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from informer import leaderelection, workqueue
from informer.metrics import install
from informer.metrics.client import REGISTRY, CounterMetricFamily
from informer.runtime.controller import Controller

__all__ = ["install_providers", "register"]


class _Reconciles:
    """Reads the counters of a manager's controllers when Prometheus scrapes."""

    def __init__(self, controllers: Callable[[], Sequence[Controller]]) -> None:
        self._controllers = controllers

    def collect(self) -> Iterable[Any]:
        results = CounterMetricFamily(
            "informer_reconcile", "Reconciles by controller and result.", labels=["controller", "result"]
        )
        timeouts = CounterMetricFamily(
            "informer_reconcile_write_timeouts",
            "Reconciles that began although the caches did not show the last writes.",
            labels=["controller"],
        )
        for controller in self._controllers():
            name = controller.registration.name
            for result, count in controller.outcomes.totals().items():
                results.add_metric([name, result], count)
            timeouts.add_metric([name], controller.own_writes.timeouts)
        return [results, timeouts]

    def describe(self) -> Iterable[Any]:
        # Two managers of one process may have the same metrics.
        return []


def install_providers() -> None:
    """Has informers, queues and electors that are made from now on show their metrics in the default registry."""
    collector = install()
    workqueue.set_metrics_provider(collector)
    leaderelection.set_metrics_provider(collector)


def register(controllers: Callable[[], Sequence[Controller]]) -> Callable[[], None]:
    """Adds the metrics of some controllers to the default registry; returns a function that removes them."""
    collector = _Reconciles(controllers)
    REGISTRY.register(collector)
    return lambda: REGISTRY.unregister(collector)

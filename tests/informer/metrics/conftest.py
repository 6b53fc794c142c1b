"""Shared by the tests of metrics: a registry of one's own, what a scrape of it shows, informers stopped at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from informer import Backoff, SharedInformer
from informer.metrics import InformerCollector, install
from informer.testing.fake_source import FakeControllerSource

QUICK = Backoff(initial=0.01, maximum=0.02)

Shown = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scrape:
    """What a scrape shows, read as Prometheus does."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._values: Shown = {}
        for family in self.families.values():
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self._values, f"{sample} is there twice"
                self._values[key] = sample.value

    def value(self, metric: str, name: str | None = "things", **labels: str) -> float | None:
        """The value of a sample, None if there is none."""
        named = labels if name is None else {"name": name, **labels}
        return self._values.get((metric, frozenset(named.items())))

    def labels(self, metric: str) -> list[dict[str, str]]:
        """The labels of each sample of a metric."""
        return [dict(labels) for sample, labels in self._values if sample == metric]

    @property
    def names(self) -> list[str]:
        """What the informers that run are called."""
        return sorted(each["name"] for each in self.labels("informer_info"))


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of one's own."""
    return CollectorRegistry()


@pytest.fixture
def collector(registry: CollectorRegistry) -> InformerCollector:
    """The collector in it."""
    return install(registry)


@pytest.fixture
def scrape(registry: CollectorRegistry, collector: InformerCollector) -> Callable[[], Scrape]:
    """Scrapes it."""
    return lambda: Scrape(generate_latest(registry).decode())


@pytest.fixture
def source() -> FakeControllerSource:
    """A source with three objects."""
    made = FakeControllerSource()
    for name in "abc":
        made.add(thing(name))
    return made


@pytest.fixture
def make() -> Iterator[Callable[..., SharedInformer[Any]]]:
    """Makes an informer of a source, called "things" unless it is given another name, and starts it."""
    made: list[SharedInformer[Any]] = []

    def start(source: Any, *, sync: bool = True, **options: Any) -> SharedInformer[Any]:
        informer: SharedInformer[Any] = SharedInformer(source, **{"name": "things", "backoff": QUICK, **options})
        made.append(informer)
        informer.start()
        assert not sync or informer.wait_for_sync(20)
        return informer

    yield start
    for informer in made:
        informer.stop(20)


def thing(name: str, namespace: str = "ns", **fields: Any) -> dict[str, Any]:
    """An object in API form."""
    return {"metadata": {"name": name, "namespace": namespace}, **fields}

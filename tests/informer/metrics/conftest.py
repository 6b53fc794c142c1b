"""Fixtures for tests of metrics: a registry, scrapes of it, requests to the pages, and informers that are stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from informer import Backoff, SharedInformer
from informer.metrics import InformerCollector, install, make_app
from informer.testing.fake_source import FakeControllerSource

QUICK = Backoff(initial=0.01, maximum=0.02)

Shown = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scrape:
    """The result of a scrape, parsed as Prometheus does."""

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
        """The value of a sample; None if it is absent."""
        named = labels if name is None else {"name": name, **labels}
        return self._values.get((metric, frozenset(named.items())))

    def labels(self, metric: str) -> list[dict[str, str]]:
        """The labels of each sample of a metric."""
        return [dict(labels) for sample, labels in self._values if sample == metric]

    @property
    def names(self) -> list[str]:
        """The names of the running informers."""
        return sorted(each["name"] for each in self.labels("informer_info"))


@pytest.fixture
def registry() -> CollectorRegistry:
    """A new registry."""
    return CollectorRegistry()


@pytest.fixture
def collector(registry: CollectorRegistry) -> InformerCollector:
    """The collector that is installed in the registry."""
    return install(registry)


@pytest.fixture
def scrape(registry: CollectorRegistry, collector: InformerCollector) -> Callable[[], Scrape]:
    """A function that scrapes the registry."""
    return lambda: Scrape(generate_latest(registry).decode())


@pytest.fixture
def source() -> FakeControllerSource:
    """A fake source with the objects a, b and c."""
    made = FakeControllerSource()
    for name in "abc":
        made.add(thing(name))
    return made


@pytest.fixture
def make() -> Iterator[Callable[..., SharedInformer[Any]]]:
    """A function that makes and starts an informer of a source, by default with the name "things"."""
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


class Answer:
    """The answer of the application to one request."""

    def __init__(self, app: Any, path: str, method: str = "GET", **environ: str) -> None:
        environment: dict[str, Any] = {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "QUERY_STRING": "",
            "SCRIPT_NAME": "",
            **environ,
        }
        setup_testing_defaults(environment)

        def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[[bytes], object]:
            self.status = int(status.split()[0])
            self.headers = dict(headers)
            return lambda data: None

        body = validator(app)(environment, start_response)
        try:
            self.text = b"".join(body).decode()
        finally:
            body.close()


@pytest.fixture
def ask(registry) -> Callable[..., Answer]:
    """A function that makes an application with the given options, and sends it one request."""

    def ask(path: str, method: str = "GET", *, environ: dict[str, str] | None = None, **options: Any) -> Answer:
        return Answer(make_app(registry=registry, **options), path, method, **(environ or {}))

    return ask

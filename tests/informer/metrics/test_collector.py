"""What a scrape shows of informers."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import ref

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from informer import ListWatch, Object, ObjectList, SharedInformer, Store
from informer.metrics import InformerCollector, install
from informer.testing.fake_source import FakeControllerSource
from watch import ApiError, Channel, FakeWatcher

ROOT = Path(__file__).parents[3]


def thing(name: str, namespace: str = "ns", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, **fields}


def test_an_informer_is_shown_from_its_start_to_its_stop(scrape, make, source) -> None:
    """What it follows, that it has synced, its cache and its versions; nothing before, nothing afterwards."""
    assert scrape().names == []
    informer = make(source)
    shown = scrape()
    assert shown.labels("informer_info") == [{"name": "things", "resource": "things", "namespaces": "", "server": ""}]
    for metric, value in {
        "informer_up": 1,
        "informer_synced": 1,
        "informer_failing": 0,
        "informer_queued_items": 0,
        "informer_store_objects": 3,
        "informer_store_resource_version": 3,
        "reflector_last_resource_version": 3,
        "reflector_lists_total": 1,
        "reflector_items_per_list_count": 1,
        "reflector_items_per_list_sum": 3,
        "informer_relists_total": 0,
        "informer_decode_errors_total": 0,
    }.items():
        assert shown.value(metric) == value, metric
    assert 0 <= shown.value("informer_last_event_age_seconds") < 20
    assert 0 < shown.value("informer_processing_latency_seconds_sum") < 20
    informer.stop(20)
    assert scrape().labels("informer_up") == []


def test_one_that_is_not_synced_says_so(scrape, make) -> None:
    """Nothing is in its cache, and something keeps it from listing."""
    calls: Channel[None] = Channel(None)

    def refuse(_: Any) -> ObjectList[Any]:
        calls.put(None)
        raise ApiError(401, "Unauthorized", "no")

    make(ListWatch(refuse, lambda _: None), sync=False, watch_list=False)
    # With the second call the first has been counted.
    calls.get(20)
    calls.get(20)
    shown = scrape()
    assert shown.value("informer_synced") == 0
    assert shown.value("informer_failing") == 1
    assert shown.value("informer_errors_total", verb="list", kind="401") >= 1
    assert shown.value("reflector_list_duration_seconds_count") == 0
    assert shown.value("informer_last_event_age_seconds") is None
    assert shown.value("informer_store_resource_version") is None


def test_two_of_the_same_name_are_told_apart(scrape, make, source) -> None:
    """The older keeps the name, and each keeps its own for as long as it runs; a name that is free is used again."""
    first, _ = make(source), make(source)
    assert scrape().names == ["things", "things#2"]
    first.stop(20)
    assert scrape().names == ["things#2"]
    make(source)
    assert scrape().names == ["things", "things#2"]


def test_nothing_is_kept_alive(scrape, make, source) -> None:
    """An informer that nobody refers to is gone, whatever was scraped."""
    informer = SharedInformer(source, name="things")
    informer.start()
    assert informer.wait_for_sync(20)
    assert scrape().names == ["things"]
    gone = ref(informer)
    informer.stop(20)
    del informer
    gc.collect()
    assert gone() is None
    assert scrape().names == []


def test_one_that_cannot_be_read_hides_no_other(scrape, make, source) -> None:
    """What a user's list-watch raises is counted and logged, and all others are shown."""

    class Odd(ListWatch):
        broken = False

        @property
        def server(self) -> str:
            if self.broken:
                raise RuntimeError("odd")
            return ""

    odd = Odd(lambda _: ObjectList([], "1"), lambda _: FakeWatcher(None))
    make(odd, watch_list=False, name="odd")
    make(source)
    odd.broken = True
    shown = scrape()
    assert shown.names == ["things"]
    assert shown.value("informer_metrics_read_errors_total", None) == 1
    assert scrape().value("informer_metrics_read_errors_total", None) == 2


def test_a_dead_reader_is_shown_as_not_up(scrape, make, source, caplog) -> None:
    """An informer whose reading ended with an error is there until somebody stops it."""

    def fail(_: Any) -> ObjectList[Any]:
        raise SystemExit(3)

    informer = make(ListWatch(fail, lambda _: None), sync=False, watch_list=False)
    assert not informer.wait_until(lambda: False, 20)
    shown = scrape()
    assert shown.value("informer_up") == 0
    assert shown.value("informer_synced") is None
    informer.stop(20)
    assert scrape().value("informer_up") is None


def test_a_namespace_that_nobody_reads_ends_the_informer(scrape, make, caplog) -> None:
    """A reader of one namespace that dies takes the informer with it: it must not look as if it were current."""

    class Source(FakeControllerSource):
        def for_namespace(self, namespace: str) -> Any:
            if namespace == "a":
                return FakeControllerSource()
            return ListWatch(lambda _: sys.exit(3), lambda _: None)

    informer = make(Source(namespaces=["a", "b"]), sync=False, watch_list=False)
    assert not informer.wait_until(lambda: False, 20)
    assert isinstance(informer.failure, SystemExit)
    assert scrape().value("informer_up") == 0


def test_namespaces_are_added_up(scrape, make) -> None:
    """One informer of two namespaces: two lists, two watches, and their number of objects."""
    source = FakeControllerSource(namespaces=["n1", "n2"])
    for name, namespace in (("a", "n1"), ("b", "n2"), ("c", "n2")):
        source.add(thing(name, namespace))
    make(source, watch_list=False)
    assert source.wait_for_watches(2, 20)
    shown = scrape()
    assert [each["namespaces"] for each in shown.labels("informer_info")] == ["n1,n2"]
    assert shown.value("informer_store_objects") == 3
    assert shown.value("reflector_lists_total") == 2
    assert shown.value("informer_relists_total") == 0
    assert shown.value("reflector_items_per_list_sum") == 3
    assert shown.value("informer_watches_open") == 2


def test_many_namespaces_make_no_long_label(scrape, make) -> None:
    """Labels stay short, whatever was asked for, and hold no password of an address."""
    source: Any = FakeControllerSource(namespaces=[f"n{i}" for i in range(9)])
    source.server = "https://user:pl4nt3d@host:6443"
    source.resource_name = "w" * 500
    make(source, watch_list=False, name="n" * 500)
    shown = scrape()
    (labels,) = shown.labels("informer_info")
    assert labels["namespaces"] == "n0,n1,n2,n3,n4 and 4 more"
    assert labels["server"] == "https://host:6443"
    assert max(len(value) for value in labels.values()) <= 120
    assert "pl4nt3d" not in shown.text


def json_object(name: str, size: int) -> Object:
    return Object.from_dict({**thing(name), "spec": "x" * size})


@pytest.mark.parametrize("count", [0, 5, 1000])
def test_bytes_of_the_cache(scrape, make, count: int) -> None:
    """They are the objects' JSON; of many objects a sample is looked at, from one end of the cache to the other."""
    objects = [json_object(f"n{i:04}", 100 if i < count / 2 else 300) for i in range(count)]
    make(ListWatch(lambda _: ObjectList(objects, "1"), lambda _: FakeWatcher(None)), watch_list=False)
    exact = sum(len(obj.raw) for obj in objects)
    assert scrape().value("informer_store_bytes") == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 255, 256, 1000, 1001])
def test_a_sample_of_a_store(count: int) -> None:
    """Everything where there is not more, else about so many, in the store's order, from its beginning almost to its end."""
    store: Store[str] = Store(str)
    store.replace([str(i) for i in range(count)], "1")
    sample = [int(item) for item in store.records.sample(128)]
    assert sample == sorted(sample)
    assert min(count, 128) <= len(sample) < 2 * 128
    assert not sample or (sample[0] == 0 and sample[-1] >= count - max(1, count // 128))


def test_objects_in_another_form_have_no_bytes(scrape, make, source) -> None:
    """A dict's size is not known, and is not said."""
    make(source)
    assert scrape().value("informer_store_bytes") is None
    assert scrape().value("informer_store_objects") == 3


@pytest.mark.parametrize(
    ("version", "shown"),
    [("12345678901234567890", 678901234567890), ("7", 7), ("abc", None), ("٣", None)],
    ids=["the last 15 digits", "few", "no number", "odd digits"],
)
def test_versions_are_numbers_or_not_there(scrape, make, version: str, shown: float | None) -> None:
    """Go: TestStore_MetricsTrackedForResourceVersions. Of a long one the last 15 digits are shown, of an opaque one nothing."""
    make(ListWatch(lambda _: ObjectList([], version), lambda _: FakeWatcher(None)), watch_list=False)
    assert scrape().value("informer_store_resource_version") == shown
    assert scrape().value("reflector_last_resource_version") == shown


class Handler:
    """A handler that can be held, and that fails at one object."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.entered = threading.Event()

    def on_add(self, obj: Any) -> None:
        self.entered.set()
        assert self.go.wait(20)
        if obj["metadata"]["name"] == "b":
            raise ValueError("b")


def test_handlers(scrape, make, source, caplog) -> None:
    """What waits, for how long, the call under way, and in the end the calls, their duration and the errors."""
    informer = make(source)
    handler = Handler()
    registration = informer.add_event_handler(handler)
    labels = {"handler": f"{Handler.__module__}.Handler"}
    assert handler.entered.wait(20)
    shown = scrape()
    assert shown.value("informer_handler_backlog", **labels) == 2
    assert shown.value("informer_handler_lag_seconds", **labels) > 0
    assert shown.value("informer_handler_busy_seconds", **labels) > 0
    assert shown.value("informer_handler_duration_seconds_count", **labels) == 0
    handler.go.set()
    assert registration.wait_for_sync(20)
    shown = scrape()
    assert shown.value("informer_handler_backlog", **labels) == 0
    assert shown.value("informer_handler_lag_seconds", **labels) == 0
    assert shown.value("informer_handler_busy_seconds", **labels) == 0
    assert shown.value("informer_handler_duration_seconds_count", **labels) == 3
    assert shown.value("informer_handler_duration_seconds_sum", **labels) > 0
    assert shown.value("informer_handler_errors_total", **labels) == 1


def test_handlers_of_the_same_name_are_added_up(scrape, make, source) -> None:
    """Who adds a handler for each request adds no metric for each."""
    informer = make(source)
    registrations = [informer.add_event_handler(on_add=lambda obj: None) for _ in range(20)]
    assert all(registration.wait_for_sync(20) for registration in registrations)
    (labels,) = scrape().labels("informer_handler_backlog")
    assert labels["handler"].endswith("<lambda>")
    del labels["name"]
    assert scrape().value("informer_handler_duration_seconds_count", **labels) == 60


async def in_loop(informer: Any, scrape: Callable[[], Any]) -> Any:
    async def on_add(obj: Any) -> None:
        if obj["metadata"]["name"] == "b":
            raise ValueError("b")

    registration = informer.aio.add_event_handler(on_add=on_add)
    assert await registration.wait_for_sync(20)
    return registration, scrape()


def test_async_handlers(scrape, make, source, caplog) -> None:
    """They are shown as others are, until they are removed."""
    import asyncio

    informer = make(source)

    async def main() -> None:
        registration, shown = await in_loop(informer, scrape)
        (labels,) = shown.labels("informer_handler_errors_total")
        del labels["name"]
        assert labels["handler"].endswith("on_add")
        assert shown.value("informer_handler_errors_total", **labels) == 1
        assert shown.value("informer_handler_duration_seconds_count", **labels) == 3
        await registration.remove()
        assert scrape().labels("informer_handler_errors_total") == []

    asyncio.run(main())


def test_every_metric_is_one_that_was_described(scrape, collector, make, source) -> None:
    """A registry that knows all names beforehand refuses a second collector of the same names."""
    make(source).add_event_handler(on_add=lambda obj: None)
    described = {metric.name: metric for metric in collector.describe()}
    for metric in collector.collect():
        assert described[metric.name].type == metric.type
        assert described[metric.name].documentation == metric.documentation
    assert all(metric.documentation for metric in described.values())


def test_openmetrics_can_be_scraped_too(registry, collector, make, source) -> None:
    """Its parser is strict: names, units, and histograms."""
    make(source)
    queue = Counted("q", queue_stats())
    collector.queue_started(queue)
    parsed = {family.name for family in parse_openmetrics(generate_openmetrics(registry).decode())}
    assert {"informer_up", "reflector_lists", "workqueue_queue_duration_seconds"} <= parsed


class Counted:
    """What a work queue or an elector gives a provider."""

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


# Registries


def test_installing_again_is_harmless(registry: CollectorRegistry) -> None:
    """A registry has one collector, however often it is asked for; another registry has another."""
    assert install(registry) is install(registry)
    assert install(CollectorRegistry()) is not install(registry)


def test_the_default_registry() -> None:
    """None is the Prometheus client's own."""
    made = install()
    try:
        assert install(prometheus_client.REGISTRY) is made
        assert b"informer_metrics_read_errors_total" in prometheus_client.generate_latest()
    finally:
        prometheus_client.REGISTRY.unregister(made)
        install(CollectorRegistry())


def test_a_registry_with_metrics_of_these_names() -> None:
    """It is an error that says so, rather than two metrics of one name."""
    registry = CollectorRegistry()
    Gauge("workqueue_depth", "of somebody else", registry=registry)
    with pytest.raises(ValueError, match="workqueue_depth"):
        install(registry)
    with pytest.raises(ValueError, match="workqueue_depth"):
        install(registry)


def test_many_scrapes_at_once(collector: InformerCollector, make, source, run) -> None:
    """Two of them do not disturb one another while informers come and go."""
    over = threading.Event()

    def scrapes() -> int:
        count = 0
        while not over.is_set():
            collector.collect()
            count += 1
        return count

    tasks = [run(scrapes) for _ in range(2)]
    for _ in range(20):
        make(source, name="brief").stop(20)
    over.set()
    assert all(task.result() > 0 for task in tasks)
    assert not collector._read_errors


# Imports


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)


def test_without_the_prometheus_client() -> None:
    """The error says what to install; everything else works without."""
    done = python(
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import informer, informer.workqueue, informer.shared.shared_informer\n"
        "try:\n    import informer.metrics\n"
        "except ImportError as error:\n    print(error)\n"
    )
    assert done.stdout == (
        "informer.metrics needs the Prometheus client: pip install 'kube-informer[metrics]', or prometheus_client>=0.20\n"
    )


def test_informers_do_without_it() -> None:
    """Nothing but `informer.metrics` loads the Prometheus client."""
    done = python(
        "import informer, sys\nfor name in informer.__all__: getattr(informer, name)\n"
        "import informer.workqueue\nprint('prometheus_client' in sys.modules)"
    )
    assert done.stdout == "False\n", done.stderr

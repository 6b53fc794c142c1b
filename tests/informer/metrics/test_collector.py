"""The collector: which objects it shows and under which names, registries, and what it does when reading fails."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import ref

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Gauge

from informer import ListWatch, ObjectList, SharedInformer
from informer.leaderelection import ElectionMetrics
from informer.metrics import InformerCollector, install
from informer.workqueue import RateLimitingQueue, WorkQueue
from watch import FakeClock, FakeWatcher

ROOT = Path(__file__).parents[3]


def test_informers_of_the_same_name_get_unique_names(scrape, make, source) -> None:
    """The older one keeps the name. Each keeps its own while it runs, and a free name is used again."""
    first, _ = make(source), make(source)
    assert scrape().names == ["things", "things#2"]
    first.stop(20)
    assert scrape().names == ["things#2"]
    make(source)
    assert scrape().names == ["things", "things#2"]


def test_the_collector_keeps_no_informer_alive(scrape, make, source) -> None:
    """An informer without references is freed, even after it was scraped."""
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


def test_an_informer_that_cannot_be_read_hides_no_other(scrape, make, source) -> None:
    """An error raised by a user's list-watch is counted and logged, and the other informers are shown."""

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


def test_a_work_queue_is_shown_under_client_gos_names(scrape, collector) -> None:
    """Go: TestMetrics. Depth, adds, retries, waits, processing and work under way."""
    clock = FakeClock()
    queue = RateLimitingQueue(name="test", clock=clock, metrics_provider=collector)
    for item in ("foo", "bar", "foo"):
        queue.add(item)
    clock.step(0.05)
    assert queue.get() == "foo"
    clock.step(2)
    shown = scrape()
    for metric, value in {
        "workqueue_depth": 1,
        "workqueue_adds_total": 2,
        "workqueue_retries_total": 0,
        "workqueue_queue_duration_seconds_count": 1,
        "workqueue_queue_duration_seconds_sum": 0.05,
        "workqueue_work_duration_seconds_count": 0,
        "workqueue_unfinished_work_seconds": 2,
        "workqueue_longest_running_processor_seconds": 2,
    }.items():
        assert shown.value(metric, "test") == pytest.approx(value), metric
    queue.done("foo")
    queue.add_after("later", 10)
    shown = scrape()
    buckets = {
        le: shown.value("workqueue_work_duration_seconds_bucket", "test", le=le)
        for le in ("1.0", "10.0", "1e-08", "+Inf")
    }
    assert buckets == {"1e-08": 0, "1.0": 0, "10.0": 1, "+Inf": 1}
    assert shown.value("workqueue_unfinished_work_seconds", "test") == 0
    assert shown.value("workqueue_retries_total", "test") == 1
    queue.shut_down()
    assert scrape().labels("workqueue_depth") == []


def test_queues_of_the_same_name_get_unique_names(scrape, collector) -> None:
    """A queue without references disappears, even if it was not shut down."""
    first, second = (WorkQueue(name="q", metrics_provider=collector) for _ in range(2))
    second.add("x")
    shown = scrape()
    assert shown.value("workqueue_depth", "q") == 0
    assert shown.value("workqueue_depth", "q#2") == 1
    del second
    gc.collect()
    assert scrape().labels("workqueue_depth") == [{"name": "q"}]
    first.shut_down()


def test_a_queue_without_a_name_is_not_shown(scrape, collector) -> None:
    """client-go source. Such a queue measures nothing."""
    queue = WorkQueue(metrics_provider=collector)
    queue.add("x")
    assert scrape().labels("workqueue_depth") == []


class FailingClock(FakeClock):
    """A clock that raises on request."""

    failing = False

    def monotonic(self) -> float:
        if self.failing:
            raise RuntimeError("no time")
        return super().monotonic()


def test_a_queue_that_cannot_be_read_hides_no_other(scrape, collector) -> None:
    """An error raised by a user's clock is counted, and the other queues are shown."""
    clock = FailingClock()
    odd = WorkQueue(name="odd", clock=clock, metrics_provider=collector)
    queue = WorkQueue(name="q", metrics_provider=collector)
    clock.failing = True
    shown = scrape()
    assert shown.labels("workqueue_depth") == [{"name": "q"}]
    assert shown.value("informer_metrics_read_errors_total", None) == 1
    odd.shut_down()
    queue.shut_down()


def test_an_elector_is_shown(scrape, collector) -> None:
    """Whether it leads, and how many of its renewals were slow."""
    state: Any = SimpleNamespace(leads=False)
    metrics = ElectionMetrics("shop/leader", lambda: state.leads)
    collector.elector_started(metrics)
    assert scrape().value("leader_election_master_status", "shop/leader") == 0
    state.leads = True
    metrics.slow_path_taken()
    shown = scrape()
    assert shown.value("leader_election_master_status", "shop/leader") == 1
    assert shown.value("leader_election_slowpath_total", "shop/leader") == 1
    del metrics
    gc.collect()
    assert scrape().labels("leader_election_master_status") == []


def test_installing_again_returns_the_same_collector(registry: CollectorRegistry) -> None:
    """Another registry has another collector."""
    assert install(registry) is install(registry)
    assert install(CollectorRegistry()) is not install(registry)


def test_the_default_registry_is_the_prometheus_clients_own() -> None:
    """It is used where no registry is given."""
    made = install()
    try:
        assert install(prometheus_client.REGISTRY) is made
        assert b"informer_metrics_read_errors_total" in prometheus_client.generate_latest()
    finally:
        prometheus_client.REGISTRY.unregister(made)
        install(CollectorRegistry())


def test_metrics_of_the_same_names_in_a_registry_are_an_error() -> None:
    """The error names the metric, also the second time."""
    registry = CollectorRegistry()
    Gauge("workqueue_depth", "of another collector", registry=registry)
    with pytest.raises(ValueError, match="workqueue_depth"):
        install(registry)
    with pytest.raises(ValueError, match="workqueue_depth"):
        install(registry)


def test_concurrent_scrapes_do_not_disturb_each_other(collector: InformerCollector, make, source, run) -> None:
    """Two threads scrape while informers start and stop."""
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


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)


def test_without_the_prometheus_client_the_error_says_what_to_install() -> None:
    """The rest of the library works without it."""
    done = python(
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import informer, informer.workqueue, informer.shared.shared_informer\n"
        "try:\n    import informer.metrics\n"
        "except ImportError as error:\n    print(error)\n"
    )
    assert done.stdout == (
        "informer.metrics needs the Prometheus client: pip install 'kube-informer[metrics]', or prometheus_client>=0.20\n"
    )


def test_without_it_a_manager_that_serves_says_what_to_install() -> None:
    """Before it connects to anything."""
    done = python(
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from informer.runtime import Manager\n"
        "manager = Manager(name='m', serve=0)\n"
        "manager.controller('pods')(lambda request: None)\n"
        "try:\n    manager.run()\n"
        "except ImportError as error:\n    print(error)\n"
    )
    assert done.stdout.startswith("informer.metrics needs the Prometheus client: pip install"), done.stderr


def test_only_the_metrics_package_loads_the_prometheus_client() -> None:
    """Importing everything else does not load it."""
    done = python(
        "import informer, sys\nfor name in informer.__all__: getattr(informer, name)\n"
        "import informer.workqueue\nprint('prometheus_client' in sys.modules)"
    )
    assert done.stdout == "False\n", done.stderr

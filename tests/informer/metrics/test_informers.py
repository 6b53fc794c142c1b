"""The metrics of an informer: its state, its cache, its handlers, and what it counts when a server fails."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from informer import ListWatch, Object, ObjectList, SharedInformer, Store
from informer.testing import EmbeddedAPIServer
from informer.testing.fake_source import FakeControllerSource
from tests.support.objects import config_map
from watch import ApiError, Channel, FakeWatcher


def thing(name: str, namespace: str = "ns", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, **fields}


def test_an_informer_is_shown_from_its_start_to_its_stop(scrape, make, source) -> None:
    """While it runs, a scrape shows what it follows, that it has synced, its cache and its resourceVersions."""
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


def test_an_informer_that_cannot_list_is_shown_as_failing(scrape, make) -> None:
    """It has not synced, and its errors are counted by verb and kind."""
    calls: Channel[None] = Channel(None)

    def refuse(_: Any) -> ObjectList[Any]:
        calls.put(None)
        raise ApiError(401, "Unauthorized", "no")

    make(ListWatch(refuse, lambda _: None), sync=False, watch_list=False)
    # When the second call begins, the first has been counted.
    calls.get(20)
    calls.get(20)
    shown = scrape()
    assert shown.value("informer_synced") == 0
    assert shown.value("informer_failing") == 1
    assert shown.value("informer_errors_total", verb="list", kind="401") >= 1
    assert shown.value("reflector_list_duration_seconds_count") == 0
    assert shown.value("informer_last_event_age_seconds") is None
    assert shown.value("informer_store_resource_version") is None


def test_a_dead_reader_is_shown_as_not_up(scrape, make, source, caplog) -> None:
    """An informer whose reader thread ended with an error is shown until it is stopped."""

    def fail(_: Any) -> ObjectList[Any]:
        raise SystemExit(3)

    informer = make(ListWatch(fail, lambda _: None), sync=False, watch_list=False)
    assert not informer.wait_until(lambda: False, 20)
    shown = scrape()
    assert shown.value("informer_up") == 0
    assert shown.value("informer_synced") is None
    informer.stop(20)
    assert scrape().value("informer_up") is None


def test_a_dead_reader_of_one_namespace_ends_the_informer(scrape, make, caplog) -> None:
    """Otherwise the cache would look current although a namespace is not followed any more."""

    class Source(FakeControllerSource):
        def for_namespace(self, namespace: str) -> Any:
            if namespace == "a":
                return FakeControllerSource()
            return ListWatch(lambda _: sys.exit(3), lambda _: None)

    informer = make(Source(namespaces=["a", "b"]), sync=False, watch_list=False)
    assert not informer.wait_until(lambda: False, 20)
    assert isinstance(informer.failure, SystemExit)
    assert scrape().value("informer_up") == 0


def test_the_numbers_of_all_namespaces_are_summed_up(scrape, make) -> None:
    """One informer of two namespaces has two lists and two watches."""
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


def test_label_values_are_bounded_and_hold_no_password(scrape, make) -> None:
    """Many namespaces, long names and an address with a password are shortened."""
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
def test_the_bytes_of_the_cache_are_estimated_from_a_sample(scrape, make, count: int) -> None:
    """The sample spreads over the whole cache, so the sum of all objects' JSON is met within 2 %."""
    objects = [json_object(f"n{i:04}", 100 if i < count / 2 else 300) for i in range(count)]
    make(ListWatch(lambda _: ObjectList(objects, "1"), lambda _: FakeWatcher(None)), watch_list=False)
    exact = sum(len(obj.raw) for obj in objects)
    assert scrape().value("informer_store_bytes") == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 255, 256, 1000, 1001])
def test_a_sample_spreads_over_the_whole_store(count: int) -> None:
    """A small store is returned whole, a large one in steps, in the store's order."""
    store: Store[str] = Store(str)
    store.replace([str(i) for i in range(count)], "1")
    sample = [int(item) for item in store.records.sample(128)]
    assert sample == sorted(sample)
    assert min(count, 128) <= len(sample) < 2 * 128
    assert not sample or (sample[0] == 0 and sample[-1] >= count - max(1, count // 128))


def test_objects_that_are_not_json_have_no_bytes(scrape, make, source) -> None:
    """The size of a dict is unknown, so the metric is absent."""
    make(source)
    assert scrape().value("informer_store_bytes") is None
    assert scrape().value("informer_store_objects") == 3


@pytest.mark.parametrize(
    ("version", "shown"),
    [("12345678901234567890", 678901234567890), ("7", 7), ("abc", None), ("٣", None)],
    ids=["long", "short", "not a number", "digits that are not ASCII"],
)
def test_resource_versions_are_shown_if_they_are_numbers(scrape, make, version: str, shown: float | None) -> None:
    """Go: TestStore_MetricsTrackedForResourceVersions. Of a long one the last 15 digits are shown; an opaque one is absent."""
    make(ListWatch(lambda _: ObjectList([], version), lambda _: FakeWatcher(None)), watch_list=False)
    assert scrape().value("informer_store_resource_version") == shown
    assert scrape().value("reflector_last_resource_version") == shown


class Handler:
    """A handler that blocks on request, and raises for one object."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.entered = threading.Event()

    def on_add(self, obj: Any) -> None:
        self.entered.set()
        assert self.go.wait(20)
        if obj["metadata"]["name"] == "b":
            raise ValueError("b")


def test_a_handler_is_shown(scrape, make, source, caplog) -> None:
    """While a call runs: backlog, lag and busy time. Afterwards: the number of calls, their duration and the errors."""
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


def test_handlers_of_the_same_name_are_summed_up(scrape, make, source) -> None:
    """Adding a handler per request does not add a metric per request."""
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


def test_async_handlers_are_shown_until_they_are_removed(scrape, make, source, caplog) -> None:
    """They have the same metrics as other handlers."""
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


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    """A server with two objects."""
    with EmbeddedAPIServer() as made:
        for name in ("a", "b"):
            made.create(config_map(name))
        yield made


class Followed:
    """An informer of a server, and what it has counted so far."""

    def __init__(self, server: EmbeddedAPIServer, informer: SharedInformer[Any], scrape: Callable[[], Any]) -> None:
        self.server = server
        self.informer = informer
        self._scrape = scrape
        self._names = (f"new-{number}" for number in count())

    def changed(self) -> dict[str, float]:
        """The numbers of lists, watches and errors that are not zero, after two more objects have arrived."""
        # The first object may arrive with a list, which is counted once it is stored. The second arrives after that.
        for _ in range(2):
            created = self.server.create(config_map(next(self._names)))
            assert self.informer.wait_for_resource_version(created["metadata"]["resourceVersion"], 20)
        shown = self._scrape()
        numbers = {
            "relists": shown.value("informer_relists_total"),
            "reconnects": shown.value("informer_reconnects_total"),
            "short": shown.value("reflector_short_watches_total"),
            "lists": shown.value("reflector_lists_total"),
            "ended": shown.value("reflector_watch_duration_seconds_count"),
        }
        for labels in shown.labels("informer_errors_total"):
            del labels["name"]
            numbers[f"{labels['verb']} {labels['kind']}"] = shown.value("informer_errors_total", **labels)
        return {name: number for name, number in numbers.items() if number}


@pytest.fixture
def follow(server, make, scrape) -> Callable[..., Followed]:
    """A function that starts an informer of the server's objects."""

    def follow(**options: Any) -> Followed:
        source = ListWatch.for_resource(server.api_client(), "configmaps")
        return Followed(server, make(source, **options), scrape)

    return follow


def test_an_undisturbed_informer_lists_and_watches_once(server, follow, scrape) -> None:
    """The label `server` shows the server's address."""
    followed = follow(watch_list=False)
    assert followed.changed() == {"lists": 1}
    shown = scrape()
    assert shown.labels("informer_info") == [
        {"name": "things", "resource": "configmaps", "namespaces": "", "server": server.url}
    ]
    assert shown.value("reflector_watches_total") == 1
    assert shown.value("reflector_items_per_list_sum") == shown.value("informer_store_objects") - 2
    assert shown.value("informer_events_total") == 2
    assert shown.value("informer_store_bytes") == sum(len(obj.raw) for obj in followed.informer.indexer.list())
    assert shown.value("informer_store_resource_version") == int(server.resource_version)


def test_a_streamed_list_counts_as_a_list_and_as_a_watch(follow, scrape) -> None:
    """Its initial events count as events."""
    followed = follow(watch_list=True)
    assert followed.changed() == {"lists": 1}
    shown = scrape()
    assert shown.value("reflector_list_duration_seconds_count") == 1
    assert shown.value("reflector_items_per_list_sum") == shown.value("informer_store_objects") - 2
    # One more for the bookmark that ends the list.
    assert shown.value("informer_events_total") == shown.value("informer_store_objects") + 1


def test_refused_lists_are_counted(server, follow) -> None:
    """A 401 before the first list counts as an error and as a list."""
    server.faults.answer(401, on="list", times=2)
    assert follow(watch_list=False).changed() == {"list 401": 2, "lists": 3}


def test_a_410_in_the_stream_leads_to_a_relist(server, follow) -> None:
    """It counts as an error of the open watch."""
    followed = follow(watch_list=False)
    followed.changed()
    server.faults.error_event(410)
    assert followed.changed() == {"follow 410": 1, "lists": 2, "relists": 1, "ended": 1}


def test_a_410_for_the_watch_call_leads_to_a_relist(server, follow) -> None:
    """The refused watch was never open, so only the earlier watch has ended."""
    followed = follow(watch_list=False)
    followed.changed()
    server.faults.expired(on="watch")
    server.faults.end_watches()
    assert followed.changed() == {"watch 410": 1, "lists": 2, "relists": 1, "ended": 1}


def test_a_cut_connection_is_a_reconnect(server, follow, scrape) -> None:
    """The watch resumes without an error and without a list."""
    followed = follow(watch_list=False)
    followed.changed()
    for times in (1, 2, 3):
        assert server.faults.cut_connections(on="watch") == 1
        assert followed.changed() == {"lists": 1, "ended": times, "reconnects": times}
    assert scrape().value("reflector_items_per_watch_sum") == 6


def test_a_malformed_event_leads_to_a_relist(server, follow) -> None:
    """It counts as a decode error of the open watch."""
    followed = follow(watch_list=False)
    followed.changed()
    server.faults.garbage_line()
    assert followed.changed() == {"follow decode": 1, "lists": 2, "relists": 1, "ended": 1}


def test_refused_connections_are_counted(server, follow) -> None:
    """Each attempt counts until the server accepts connections again; then the watch resumes."""
    followed = follow(watch_list=False)
    followed.changed()
    server.faults.refuse_connections(0.1)
    server.faults.cut_connections()
    numbers = followed.changed()
    assert numbers.pop("watch refused") >= 1
    numbers.pop("list refused", None)  # of the request that confirms the version
    assert numbers == {"lists": 1, "ended": 1, "reconnects": 1}


def test_a_short_watch_without_events_leads_to_a_relist(server, follow) -> None:
    """It counts as a short watch."""
    server.faults.short_watches(times=1)
    assert follow(watch_list=False).changed() == {"short": 1, "lists": 2, "relists": 1, "ended": 1}


def test_a_silent_watch_is_replaced(server, follow) -> None:
    """A watch that is silent for longer than the time-out counts as an error and a reconnect."""
    followed = follow(watch_list=False, silence_timeout=0.2)
    followed.changed()
    server.faults.freeze()
    numbers = followed.changed()
    assert numbers.pop("follow silence") >= 1
    assert numbers.pop("reconnects") >= 1
    assert set(numbers) == {"lists", "ended"}

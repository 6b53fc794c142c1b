"""Provokes messages of docs/errors.md that a wrong call raises; other tests cause those of servers and networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client

from informer import (
    Backoff,
    ConsistencyStore,
    ExpirationCache,
    Indexer,
    InOrderFIFO,
    ListWatch,
    MutationCache,
    Object,
    Reflector,
    SharedInformer,
    SharedInformerFactory,
    Store,
    meta_namespace_key,
    split_meta_namespace_key,
    wait_for_cache_sync,
)
from informer.leaderelection import LeaderElector, LeaseLock, resource_lock
from informer.record import EventBroadcaster, EventCorrelator, get_reference
from informer.testing import ControlPlane, EmbeddedAPIServer, FakeControllerSource
from informer.workqueue import BucketRateLimiter, DelayingQueue, RateLimitingQueue, WorkQueue, enqueue_key, run_workers
from tests.samples.test_errors_page import ON_PAGE, pattern
from watch import Broadcaster, Channel, FakeClock, RaceFreeFakeWatcher, RetryWatcher

SOURCE = FakeControllerSource()
API = client.ApiClient()
QUEUE: Any = RateLimitingQueue()
BAD: Any = object()


def informer(**options: Any) -> SharedInformer[Any]:
    return SharedInformer(SOURCE, **options)


def elector(**options: Any) -> LeaderElector:
    lock = options.pop("lock", LeaseLock(API, "default", "name", "me"))
    return LeaderElector(lock, on_started_leading=lambda over: None, on_stopped_leading=lambda: None, **options)


async def async_function(*_: Any) -> None:
    """Must not be awaited."""


def pods(**options: Any) -> Any:
    return ListWatch.for_resource(API, "pods", **options)


def closed_channel() -> Channel[int]:
    channel: Channel[int] = Channel()
    channel.close()
    return channel


def full_watcher() -> RaceFreeFakeWatcher[int]:
    watcher: RaceFreeFakeWatcher[int] = RaceFreeFakeWatcher(maxsize=1)
    watcher.add(1)
    return watcher


def shut_down_queue() -> WorkQueue[str]:
    queue: WorkQueue[str] = WorkQueue()
    queue.shut_down()
    return queue


CALLS: list[Callable[[], Any]] = [
    lambda: SharedInformer(BAD),
    lambda: informer(queue="fast"),
    lambda: informer(resync_period=-1),
    lambda: informer().add_event_handler(),
    lambda: informer().add_event_handler(BAD),
    lambda: informer().add_event_handler(on_add=async_function),
    lambda: informer().add_event_handler(on_add=lambda: None),
    lambda: informer().add_event_handler(on_batch=print, on_add=print),
    lambda: informer().add_event_handler(on_add=print, backlog="none"),
    lambda: informer().remove_event_handler(BAD),
    lambda: informer().run(BAD),
    lambda: wait_for_cache_sync(BAD),
    lambda: Reflector(SOURCE, Store(), page_size=-1),
    lambda: Reflector(SOURCE, Store(), watch_list=BAD),
    lambda: Reflector(SOURCE, Store(), watch_timeout=(2, 1)),
    lambda: Reflector(SOURCE, Store(), silence_timeout=0),
    lambda: Reflector(SOURCE, Store(), max_objects=0),
    lambda: Backoff(initial=2, maximum=1),
    lambda: Backoff(factor=0.5),
    lambda: Backoff(jitter=-1),
    lambda: Backoff(max_retry_after=-1),
    lambda: SharedInformerFactory(API).informer("pods", colour="red"),
    lambda: SharedInformerFactory(API).informer(BAD),
    lambda: SharedInformerFactory(API).informer("nodes", namespace="a"),
    lambda: ListWatch.from_api(print),
    lambda: ListWatch.from_api(client.CoreV1Api(API).list_pod_for_all_namespaces, watch=True),
    lambda: ListWatch.from_api(client.CoreV1Api(API).list_pod_for_all_namespaces, colour="red"),
    lambda: ListWatch.for_resource(API, "a/b/c/d/e"),
    lambda: pods(namespace=[]),
    lambda: pods(model=int),
    lambda: pods(namespace=["a", "b"]).list(BAD),
    lambda: meta_namespace_key({"metadata": {}}),
    lambda: meta_namespace_key(7),
    lambda: split_meta_namespace_key("a/b/c"),
    lambda: Indexer().by_index("node", "a"),
    lambda: Indexer(indexers={"a": BAD}),
    lambda: MutationCache(Store()).by_index("node", "a"),
    lambda: MutationCache(Store()).mutation({"metadata": {"name": "a", "resourceVersion": "x"}}),
    lambda: ConsistencyStore({"pods": BAD}),
    lambda: ConsistencyStore({}).wrote_at("owner", "pods", "1"),
    lambda: ExpirationCache(meta_namespace_key, BAD),
    lambda: Object.from_dict(BAD),
    lambda: Object.from_bytes(BAD),
    lambda: Object.from_bytes(b"{"),
    lambda: Object.from_dict({"metadata": {"name": "a"}}).at(""),
    lambda: Object.from_dict({"metadata": {"name": "a"}}).at(BAD),
    lambda: Object.from_dict({"metadata": {"name": "a"}}).__setitem__("a", 1),
    lambda: InOrderFIFO().pop_batch(print, max_items=0),
    lambda: RetryWatcher("0", SOURCE),
    lambda: RetryWatcher(BAD, SOURCE),
    lambda: RetryWatcher("1", SOURCE, min_restart_delay=-1),
    lambda: Broadcaster(-1),
    lambda: Channel(-1),
    lambda: closed_channel().put(1),
    lambda: full_watcher().add(2),
    lambda: FakeClock().step(-1),
    lambda: WorkQueue().add([]),
    lambda: shut_down_queue().get(),
    lambda: DelayingQueue().add_after("a", float("inf")),
    lambda: BucketRateLimiter(0, 1),
    lambda: enqueue_key(BAD),
    lambda: run_workers(BAD, print),
    lambda: run_workers(QUEUE, print, workers=0),
    lambda: EventBroadcaster(sleep=-1),
    lambda: EventCorrelator(max_events=0),
    lambda: EventCorrelator(qps=-1),
    lambda: EventCorrelator().correlate(None),
    lambda: get_reference(None),
    lambda: get_reference({"metadata": {"name": "a"}}),
    lambda: get_reference(7),
    lambda: elector(lock=None),
    lambda: elector(lease_duration=5, renew_deadline=10),
    lambda: elector(renew_deadline=2, retry_period=2),
    lambda: elector(retry_period=0),
    lambda: LeaseLock(API, "default", "", "me"),
    lambda: resource_lock("endpoints", "default", "name", API, "me"),
    lambda: EmbeddedAPIServer().url,
    lambda: ControlPlane(extra_args="--v=1"),
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_a_wrong_call_raises_what_the_page_lists(call: Callable[[], Any]) -> None:
    """The message of the error is on the page."""
    with pytest.raises(Exception) as caught:
        call()
    # A KeyError shows the repr of its message.
    message = str(caught.value.args[0]) if isinstance(caught.value, KeyError) else str(caught.value)
    assert any(pattern(each).fullmatch(" ".join(message.split())) for each in ON_PAGE), message

"""Messages of docs/errors.md that a wrong call of the two packages raises, each in full."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client

from informer import (
    Backoff,
    ConsistencyStore,
    Controller,
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
    async_stop_on_signals,
    meta_namespace_key,
    split_meta_namespace_key,
    wait_for_cache_sync,
)
from informer.arguments import refuse_coroutine
from informer.lru import LruMap
from informer.objects.label_selector import NOTHING, parse_selector, selector_text
from informer.objects.resource_version import compare_resource_versions
from informer.rate_limited_log import rate_limited
from informer.testing import FakeControllerSource
from informer.workqueue import (
    BucketRateLimiter,
    DelayingQueue,
    RateLimitingQueue,
    WorkQueue,
    enqueue,
    enqueue_key,
    enqueue_owner,
    run_workers,
)
from tests.support.messages import check_logged, check_raised, ids, raised_by
from tests.support.objects import pod
from tests.support.waiting import Task
from watch import Broadcaster, Channel, FakeClock, RaceFreeFakeWatcher, RetryWatcher

SOURCE = FakeControllerSource()
API = client.ApiClient()
PODS = client.CoreV1Api(API).list_pod_for_all_namespaces
IN_ONE = client.CoreV1Api(API).list_namespaced_pod
QUEUE: Any = RateLimitingQueue()
POD = Object.from_dict(pod("a"))
BAD: Any = object()
NESTED: Any = {"metadata": {"name": "a"}}
NESTED["self"] = NESTED


def informer(**options: Any) -> SharedInformer[Any]:
    return SharedInformer(SOURCE, **options)


def stopped() -> SharedInformer[Any]:
    with SharedInformer(FakeControllerSource(), name="pods") as made:
        made.wait_for_sync(20)
    return made


def started_twice() -> None:
    with SharedInformer(FakeControllerSource(), name="pods") as made:
        made.start()


def stopped_factory() -> SharedInformerFactory:
    factory = SharedInformerFactory(API)
    factory.start()
    factory.shutdown()
    return factory


async def async_function(*_: Any) -> None:
    """A coroutine function, which must be refused."""


def generator(*_: Any) -> Iterator[None]:
    yield


async def use_aio(**options: Any) -> None:
    informer().aio.add_event_handler(on_add=async_function, **options)


def signals_on_a_thread() -> None:
    Task(lambda: asyncio.run(loop_for_signals()), ()).result()


async def loop_for_signals() -> None:
    async_stop_on_signals()


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


def shut_down_queue() -> RateLimitingQueue[str]:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    queue.shut_down()
    return queue


INFORMERS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: SharedInformer(BAD),
        "a object does not list and watch: pass ListWatch.for_resource(api_client, 'pods') or ListWatch.from_api(list_method)",
    ),
    (lambda: informer(queue="fast"), 'queue must be "in_order" or "delta", not \'fast\''),
    (lambda: informer(resync_period=-1), "resync_period must be 0 or more seconds, not -1"),
    (started_twice, "informer pods has already started"),
    (lambda: stopped().start(), "informer pods has stopped: make a new one"),
    (lambda: stopped().events(), "informer pods has stopped: it has no more events"),
    (lambda: stopped_factory().informer("pods"), "the factory has stopped: make a new one"),
    (lambda: informer().run(BAD), "stop must be a threading.Event, not a object"),
    (lambda: wait_for_cache_sync(BAD), "an informer or a function is needed, not a object"),
    (lambda: SharedInformerFactory(API).informer("pods", colour="red"), "an informer has no option colour"),
    (
        lambda: SharedInformerFactory(API).informer(BAD),
        "a resource is a name such as 'pods', a list method or an official model class, not <object object at <...>>",
    ),
    (
        lambda: SharedInformerFactory(API).informer(IN_ONE, namespace=["a", "b"]),
        "list_namespaced_pod lists one namespace: pass the resource's name, such as 'pods', for several",
    ),
    (
        lambda: SharedInformerFactory(API).informer("nodes", namespace="a"),
        "nodes has no namespaces: leave out namespace='a'",
    ),
    (
        signals_on_a_thread,
        "signal handlers can be set on the main thread only: call async_stop_on_signals there",
    ),
    (lambda: asyncio.run(use_aio(concurrency="2")), "concurrency must be an int, not str"),
    (lambda: asyncio.run(use_aio(concurrency=0)), "concurrency must be at least 1, not 0"),
    (
        lambda: Controller(BAD, SOURCE, process_run=print),
        "process_run needs an InOrderFIFO or a DeltaFIFO as queue, not a object",
    ),
]
REFLECTORS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Reflector(SOURCE, Store(), page_size=-1), "page_size must be 0 or more, not -1"),
    (lambda: Reflector(SOURCE, Store(), watch_list=BAD), 'watch_list must be True, False or "auto", not <...>'),
    (
        lambda: Reflector(SOURCE, Store(), watch_timeout=(2, 1)),
        "watch_timeout must be (shortest, longest) in seconds, not (2, 1)",
    ),
    (lambda: Reflector(SOURCE, Store(), silence_timeout=0), "silence_timeout must be more than 0 seconds, not 0"),
    (lambda: Reflector(SOURCE, Store(), max_objects=0), "max_objects must be 1 or more, or None for no limit, not 0"),
    (lambda: Backoff(initial=2, maximum=1), "0 <= initial <= maximum is needed, not initial=2, maximum=1"),
    (lambda: Backoff(factor=0.5), "factor must be at least 1, not 0.5"),
    (lambda: Backoff(jitter=-1), "jitter and reset must be 0 or more, not -1 and 120.0"),
    (lambda: Backoff(max_retry_after=-1), "max_retry_after must be 0 or more seconds, not -1"),
    (
        lambda: ListWatch.from_api(print),
        "<...> is not a list method of the official client, such as core_v1.list_pod_for_all_namespaces",
    ),
    (
        lambda: ListWatch.from_api(PODS, watch=True),
        "list_pod_for_all_namespaces: watch is set by the informer: leave it out",
    ),
    (
        lambda: ListWatch.from_api(PODS, colour="red"),
        "list_pod_for_all_namespaces refused its arguments: <...>",
    ),
    (
        lambda: ListWatch.for_resource(API, "a/b/c/d/e"),
        '\'a/b/c/d/e\' is not the name of a resource (such as "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment")',
    ),
    (lambda: pods(namespace=[]), "namespace must be a name, a list of at least one name, or None, not []"),
    (
        lambda: pods(model=int),
        "model must be None, dict, a msgspec.Struct, dataclass, TypedDict or an official model class, not "
        "<class 'int'> (a pydantic BaseModel will do, too)",
    ),
    (lambda: pods(wire="xml"), 'wire must be "json" or "protobuf", not \'xml\''),
    (
        lambda: pods(model=client.V1Service),
        "model=V1Service is of kind Service, but pods are of kind Pod: pass the model class of that kind, or a type that names "
        "the fields of interest",
    ),
    (
        lambda: pods(namespace="A_b"),
        "namespace must be a DNS label, of lower-case letters, digits and \"-\", at most 63, not 'A_b'",
    ),
    (
        lambda: ListWatch.for_resource(API, "loads.B_c"),
        'an API group must be a DNS subdomain, of lower-case letters, digits, "-" and ".", at most 253, not \'B_c\'',
    ),
    (
        lambda: SharedInformerFactory(API).informer(PODS, wire="protobuf"),
        "wire needs the resource by its name, such as 'pods', in place of a list method",
    ),
    (
        lambda: pods(namespace=["a", "b"]).list(BAD),
        "2 namespaces need a list each: use a SharedInformer, or for_namespace() for each",
    ),
    (
        lambda: RetryWatcher("0", SOURCE),
        'initial RV "0" is not supported due to issues with underlying WATCH: give the resourceVersion of a list',
    ),
    (lambda: RetryWatcher(BAD, SOURCE), "resource_version must be a string, not object"),
    (
        lambda: RetryWatcher("1", SOURCE, min_restart_delay=-1),
        "min_restart_delay must be 0 or more seconds, not -1",
    ),
]
HANDLERS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: informer().add_event_handler(),
        "nothing to call: pass a handler or some of on_add, on_update, on_delete, on_batch",
    ),
    (
        lambda: informer().add_event_handler(BAD),
        "object is not a handler: it has none of on_add, on_update, on_delete, on_batch",
    ),
    (
        lambda: informer().add_event_handler(on_add=async_function),
        "on_add is an async function, which a thread cannot await: use informer.aio.add_event_handler",
    ),
    (
        lambda: informer().add_event_handler(on_add=lambda: None),
        "on_add is called with 1 argument, and is_in_initial_list where it is named; tests.samples.errors.test_wrong_calls."
        "<lambda>.<locals>.<lambda> does not take that: too many positional arguments",
    ),
    (
        lambda: informer().add_event_handler(on_add=generator),
        "on_add is a generator function, of which a call runs nothing: remove its yield",
    ),
    (
        lambda: informer(transform=async_function),
        "transform is an async function, which a thread cannot await: pass a plain function",
    ),
    (
        lambda: informer().add_event_handler(on_batch=print, on_add=print),
        "on_batch gets every change: on_add would never be called",
    ),
    (
        lambda: informer().add_event_handler(on_add=print, backlog="none"),
        'backlog must be "all" or "coalesce", not \'none\'',
    ),
    (lambda: informer().remove_event_handler(BAD), "a handler's registration is needed, not a object"),
]
CACHES: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: meta_namespace_key({"metadata": {}}),
        "couldn't create key for object of type dict: its metadata has no name",
    ),
    (
        lambda: meta_namespace_key(7),
        "couldn't create key for object of type int: object has no meta (pass a dict in API form, an informer.Object, an "
        "official model or another value with .metadata)",
    ),
    (
        lambda: split_meta_namespace_key("a/b/c"),
        'unexpected key format: "a/b/c" (expected "name" or "namespace/name")',
    ),
    (lambda: Indexer().by_index("node", "a"), "Index with name node does not exist (there are: none)"),
    (lambda: Indexer(indexers={"a": BAD}), "the index function of 'a' must be callable, not object"),
    (
        lambda: MutationCache(Store()).by_index("node", "a"),
        "no indexer has been provided to the mutation cache: index node is not known",
    ),
    (
        lambda: MutationCache(Store()).mutation({"metadata": {"name": "a", "resourceVersion": "x"}}),
        "the resourceVersion of /a is not an integer: 'x'",
    ),
    (
        lambda: ConsistencyStore({"pods": BAD}),
        "the store for 'pods' must be an informer, a store or a function, not object",
    ),
    (lambda: ConsistencyStore({}).wrote_at("owner", "pods", "1"), "unknown resource 'pods' (known are: )"),
    (
        lambda: ExpirationCache(meta_namespace_key, BAD),
        "policy must be a function or have is_expired(entry), not object",
    ),
    (lambda: LruMap(0), "size must be at least 1, not 0"),
    (
        lambda: compare_resource_versions("x", "1"),
        "not a comparable resourceVersion: 'x' (pass a decimal number that the server sent)",
    ),
]
OBJECTS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Object.from_dict(BAD), "an object in API form is a dict, not object"),
    (lambda: Object.from_dict(NESTED), "the object is nested too deeply, or contains itself"),
    (lambda: Object.from_bytes(BAD), "an object's JSON is bytes, not object"),
    (lambda: Object.from_bytes(b"{"), "not a JSON object: Input data was truncated"),
    (
        lambda: Object.from_bytes(b'{"a":' + b"[" * 9_000 + b"]" * 9_000 + b"}").to_dict(),
        "the object is nested too deeply to decode: its attribute raw has the JSON",
    ),
    (lambda: selector_text(NOTHING), "a label selector that matches nothing cannot be sent to a server"),
    (lambda: Object.from_bytes(b'{"a":1e999}').at("a"), "the object cannot be read: <...>"),
    (lambda: POD.at(""), "a path needs at least one key, and none may be empty: ''"),
    (lambda: POD.at(BAD), "a path is a dotted string or a tuple of keys and list indices, not <...>"),
    (lambda: POD.__setitem__("a", 1), "read-only: use to_dict()"),
    (
        lambda: parse_selector("-a=b"),
        "cannot read the label selector '-a=b': '-a' is not a label key: at most 63 letters, digits, '-', '_' and '.', "
        "beginning and ending with a letter or digit, optionally after a DNS name and '/'",
    ),
    (
        lambda: parse_selector("a=-b"),
        "cannot read the label selector 'a=-b': '-b' is not a label value: at most 63 letters, digits, '-', '_' and '.', "
        "beginning and ending with a letter or digit",
    ),
]
QUEUES: list[tuple[Callable[[], Any], str]] = [
    (lambda: InOrderFIFO().pop_batch(print, max_items=0), "max_items must be at least 1, not 0"),
    (
        lambda: WorkQueue().add([]),
        "an item of a work queue must be hashable, but a list is not (unhashable type: 'list'): add a key such as "
        '"namespace/name" and look the object up when it is processed',
    ),
    (
        lambda: WorkQueue().add(POD),
        "an item of a work queue must be a key, but a Object is an object, of which each version would be another item: add "
        'a key such as "namespace/name" and look the object up when it is processed',
    ),
    (lambda: shut_down_queue().get(), "the work queue is shut down"),
    (lambda: DelayingQueue().add_after("a", float("inf")), "a delay must be a finite number of seconds, not inf"),
    (
        lambda: BucketRateLimiter(0, 1),
        "qps=0 and burst=1 must both be above 0: otherwise no item would ever be retried",
    ),
    (lambda: enqueue_key(BAD), "queue must be a WorkQueue of informer.workqueue, not a object"),
    (
        lambda: enqueue_owner(QUEUE, kind=BAD),
        'kind must be like "Foo", "Foo.samplecontroller.k8s.io" or ("samplecontroller.k8s.io/v1", "Foo"), not <...>',
    ),
    (
        lambda: run_workers(BAD, print),
        "workers need a RateLimitingQueue or a PriorityQueue, which can retry keys with backoff, not a object",
    ),
    (
        lambda: run_workers(QUEUE, print, workers=0),
        "workers must be at least 1, not 0: without a worker no key would be processed",
    ),
]
WATCH: list[tuple[Callable[[], Any], str]] = [
    (lambda: Broadcaster(-1), "queue_length must be 0 or more, not -1"),
    (lambda: Channel(-1), "maxsize must be None, 0 or more, not -1"),
    (lambda: Channel(1).get_batch(0), "max_items must be None or at least 1, not 0"),
    (lambda: closed_channel().put(1), "the channel is closed"),
    (lambda: full_watcher().add(2), "channel full"),
    (lambda: FakeClock().step(-1), "a clock cannot go back: step(-1)"),
]
TABLE = [*INFORMERS, *REFLECTORS, *HANDLERS, *CACHES, *OBJECTS, *QUEUES, *WATCH]


@pytest.mark.parametrize(("call", "message"), TABLE, ids=ids(TABLE))
def test_a_wrong_call_raises(call: Callable[[], Any], message: str) -> None:
    """The message in full: what is wrong, and what to pass instead."""
    check_raised(call, message)


def test_a_transform_may_not_return_a_coroutine() -> None:
    """Only its result shows that a lambda calls an async function."""
    message = raised_by(lambda: refuse_coroutine("transform", async_function()))
    assert message == "transform returned a coroutine, which a thread cannot await: pass a function that is not async"


def test_workers_of_a_queue_that_is_shut_down_end_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The warning helps a process that leads a second time with the queue of its first term."""
    run_workers(shut_down_queue(), print)
    check_logged(
        caplog, "the work queue is empty and already shut down: no key will ever be processed; make a new queue"
    )


def test_an_owner_with_a_malformed_name(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key would be that of an object of another namespace, so nothing is enqueued."""
    # Another test may have used up the lines of this period.
    monkeypatch.setattr(enqueue, "_limited", rate_limited(logging.getLogger("informer.workqueue")))
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "kube-system/x", "uid": "u", "controller": True}
    child = pod("a")
    child["metadata"]["ownerReferences"] = [owner]
    handler: Any = enqueue_owner(RateLimitingQueue(), kind="ReplicaSet.apps")
    handler.on_add(child)
    check_logged(
        caplog,
        "the owner of an object in namespace 'default' has the malformed name 'kube-system/x'",
    )

"""Users' code with the types that checkers have to infer; mypy and pyright read it, it never runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

import msgspec
from kubernetes import client

from informer import (
    AsyncEventStream,
    Change,
    Controller,
    EventStream,
    HandlerRegistration,
    Indexer,
    InformerWatcher,
    Lister,
    ListWatch,
    Object,
    ResourceEventHandler,
    SharedInformer,
    SharedInformerFactory,
    index_by,
    informer_watcher,
    new_informer,
    until_with_sync,
)
from informer.objects.object_fields import OwnerReference
from informer.runtime import AsyncRequest, Manager, Request, generation_changed, labels_changed
from informer.sharding import ShardedListWatch
from watch import (
    Event,
    EventType,
    FakeWatcher,
    RetryWatcher,
    Watcher,
    filter_watch,
    list_watch_until,
    until,
    until_with_retry,
)


class Metadata(msgspec.Struct):
    name: str


class Slim(msgspec.Struct):
    metadata: Metadata


@dataclass
class Data:
    metadata: Metadata


class Typed(TypedDict):
    metadata: dict[str, Any]


api = client.ApiClient()
core_v1 = client.CoreV1Api(api)


# List-watches and informers over them


def list_watches() -> None:
    assert_type(SharedInformer(ListWatch.for_resource(api, "pods")), SharedInformer[Object])
    assert_type(SharedInformer(ListWatch.for_resource(api, "pods", model=Object)), SharedInformer[Object])
    assert_type(SharedInformer(ListWatch.for_resource(api, "pods", model=client.V1Pod)), SharedInformer[client.V1Pod])
    assert_type(SharedInformer(ListWatch.for_resource(api, "pods", model=Slim, gzip=True)), SharedInformer[Slim])
    assert_type(SharedInformer(ListWatch.for_resource(None, "pods", model=Data)), SharedInformer[Data])
    assert_type(SharedInformer(ListWatch.for_resource(api, "pods", model=Typed)), SharedInformer[Typed])
    assert_type(SharedInformer(ListWatch.for_resource(api, "pods", model=dict)), SharedInformer[dict[str, Any]])

    list_pods = core_v1.list_pod_for_all_namespaces
    assert_type(SharedInformer(ListWatch.from_api(list_pods)), SharedInformer[Object])
    assert_type(
        SharedInformer(ListWatch.from_api(list_pods, limit=5, model=client.V1Pod)), SharedInformer[client.V1Pod]
    )
    assert_type(SharedInformer(ListWatch.from_api(list_pods, model=Slim)), SharedInformer[Slim])
    assert_type(SharedInformer(ListWatch.from_api(list_pods, model=dict)), SharedInformer[dict[str, Any]])
    shard = ShardedListWatch(ListWatch.for_resource(api, "pods", model=client.V1Pod), 0, 4)
    assert_type(shard, ShardedListWatch[client.V1Pod])
    assert_type(SharedInformer(shard), SharedInformer[client.V1Pod])


def factories(factory: SharedInformerFactory) -> None:
    assert_type(factory.informer("pods"), SharedInformer[Object])
    assert_type(factory.informer("pods", namespace=["a", "b"], page_size=100), SharedInformer[Object])
    assert_type(factory.informer(core_v1.list_pod_for_all_namespaces), SharedInformer[Object])
    assert_type(factory.informer(client.V1Pod), SharedInformer[client.V1Pod])
    assert_type(factory.informer(client.V1Node, label_selector="a=b"), SharedInformer[client.V1Node])
    assert_type(factory.informer("pods", model=client.V1Pod), SharedInformer[client.V1Pod])
    assert_type(factory.informer("pods", model=Slim), SharedInformer[Slim])
    assert_type(factory.informer("pods", model=Data), SharedInformer[Data])
    assert_type(factory.informer("pods", model=Typed), SharedInformer[Typed])
    assert_type(factory.informer("pods", model=dict), SharedInformer[dict[str, Any]])
    assert_type(factory.informer(core_v1.list_pod_for_all_namespaces, model=Slim), SharedInformer[Slim])
    assert_type(factory.informer(core_v1.list_pod_for_all_namespaces, model=dict), SharedInformer[dict[str, Any]])
    assert_type(factory.informer(client.V1Pod, model=Slim), SharedInformer[Slim])


# Reading


def by_node(pod: client.V1Pod) -> Iterable[str]:
    return [pod.spec.node_name or ""] if pod.spec else []


def cache(pods: SharedInformer[client.V1Pod], factory: SharedInformerFactory) -> None:
    assert_type(pods.lister, Lister[client.V1Pod])
    assert_type(pods.lister.namespaced("default"), Lister[client.V1Pod])
    assert_type(pods.lister.get("web", "default"), client.V1Pod)
    assert_type(pods.lister.list({"app": "web"}), list[client.V1Pod])
    assert_type(pods.lister.by_index("node", "node-1"), list[client.V1Pod])
    assert_type(pods.indexer, Indexer[client.V1Pod])
    assert_type(pods.store, Indexer[client.V1Pod])
    assert_type(pods.indexer.get_by_key("default/web"), client.V1Pod | None)
    pods.add_indexers({"node": by_node, "phase": index_by("status.phase")})
    factory.informer(client.V1Pod, indexers={"node": by_node, "phase": index_by("status.phase")})
    SharedInformer(ListWatch.for_resource(api, "pods", model=client.V1Pod), indexers={"node": by_node})
    factory.informer("pods", indexers={"node": lambda pod: [pod.at("spec.nodeName", "")]})
    factory.informer(client.V1Pod, indexers={"phase": lambda pod: [pod.kind or ""]})


def untyped_cache(pods: SharedInformer[Object]) -> None:
    assert_type(pods.lister.get("web", "default"), Object)
    assert_type(pods.lister.get("web", "default").name, str)


# Handlers


def added(pod: client.V1Pod) -> None: ...


def added_at_start(pod: client.V1Pod, *, is_in_initial_list: bool) -> int:
    return int(is_in_initial_list)


def added_perhaps_at_start(pod: client.V1Pod, is_in_initial_list: bool = False) -> None: ...


def updated(old: client.V1Pod, new: client.V1Pod) -> None: ...


def deleted(pod: client.V1Pod) -> None: ...


def deleted_unseen(pod: client.V1Pod, *, final_state_unknown: bool) -> None: ...


def deleted_or_undecodable(pod: client.V1Pod, *, reason: str) -> None: ...


def deleted_with_both(pod: client.V1Pod, *, final_state_unknown: bool, reason: str) -> None: ...


def any_object(obj: object) -> None: ...


def batch(changes: list[Change[client.V1Pod]]) -> None: ...


def wanted(pod: client.V1Pod) -> bool:
    return pod.metadata is not None


def failed(change: Change[client.V1Pod], error: BaseException) -> None: ...


class Whole(ResourceEventHandler[client.V1Pod]):
    def on_add(self, obj: client.V1Pod, *, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: client.V1Pod, new: client.V1Pod) -> None: ...

    def on_delete(self, obj: client.V1Pod, *, final_state_unknown: bool) -> None: ...


class OfOtherNames(ResourceEventHandler[client.V1Pod]):
    def on_add(self, pod: client.V1Pod, *, is_in_initial_list: bool) -> None: ...

    def on_update(self, before: client.V1Pod, after: client.V1Pod) -> None: ...


class WithReason(ResourceEventHandler[client.V1Pod]):
    def on_delete(self, obj: client.V1Pod, *, final_state_unknown: bool, reason: str = "") -> None: ...


class OfAsyncio(ResourceEventHandler[client.V1Pod]):
    async def on_add(self, obj: client.V1Pod, *, is_in_initial_list: bool) -> None: ...


class OfAnything(ResourceEventHandler):
    def on_update(self, old: Any, new: Any) -> None: ...


class OfEveryObject(ResourceEventHandler[object]):
    def on_update(self, old: object, new: object) -> None: ...


class OnlyAdds:
    def on_add(self, pod: client.V1Pod) -> None: ...


class OnlyDeletes:
    def on_delete(self, pod: client.V1Pod, *, final_state_unknown: bool) -> None: ...


class OnlyUpdates:
    def on_update(self, old: client.V1Pod, new: client.V1Pod) -> None: ...


class Batches:
    def on_batch(self, changes: list[Change[client.V1Pod]]) -> None: ...


def handlers(pods: SharedInformer[client.V1Pod]) -> None:
    assert_type(pods.add_event_handler(Whole()), HandlerRegistration)
    pods.add_event_handler(OfOtherNames())
    pods.add_event_handler(WithReason())
    pods.add_event_handler(on_delete=deleted_or_undecodable)
    pods.add_event_handler(on_delete=deleted_with_both)
    for handler in (OfAnything(), OfEveryObject(), OnlyAdds(), OnlyDeletes(), OnlyUpdates(), Batches()):
        pods.add_event_handler(handler)
    pods.add_event_handler(on_add=added, on_update=updated, on_delete=deleted, filter=wanted, on_error=failed)
    pods.add_event_handler(on_add=added_at_start, on_delete=deleted_unseen, backlog="coalesce")
    pods.add_event_handler(on_add=added_perhaps_at_start, on_delete=any_object)
    pods.add_event_handler(on_batch=batch, inline=True)
    pods.add_event_handler(on_add=lambda pod: assert_type(pod, client.V1Pod), filter=lambda pod: pod.spec)
    pods.add_event_handler(on_update=lambda old, new: (assert_type(old, client.V1Pod), new.spec))
    pods.add_event_handler(on_delete=lambda pod: pod.metadata)
    pods.add_event_handler(on_batch=lambda changes: assert_type(changes, list[Change[client.V1Pod]]))


def streams(pods: SharedInformer[client.V1Pod]) -> None:
    assert_type(pods.events(filter=wanted), EventStream[client.V1Pod])
    for change in pods.events(filter=lambda pod: pod.metadata, initial=False):
        assert_type(change, Change[client.V1Pod])
        assert_type(change.object, client.V1Pod)
        assert_type(change.old, client.V1Pod | None)


async def added_async(pod: client.V1Pod) -> None: ...


async def deleted_async(pod: client.V1Pod, *, final_state_unknown: bool) -> None: ...


async def undecodable_async(pod: client.V1Pod, *, reason: str) -> None: ...


async def asyncio_views(pods: SharedInformer[client.V1Pod]) -> None:
    pods.aio.add_event_handler(OfAsyncio())
    pods.aio.add_event_handler(on_add=added_async, on_update=updated, on_delete=deleted_async, filter=wanted)
    pods.aio.add_event_handler(on_delete=undecodable_async)
    assert_type(pods.aio.events(filter=wanted), AsyncEventStream[client.V1Pod])
    async for change in pods.aio.events():
        assert_type(change.object, client.V1Pod)


def plain() -> None:
    source = ListWatch.for_resource(api, "pods", model=client.V1Pod)
    assert_type(new_informer(source, OnlyAdds(), indexers={"node": by_node}), tuple[Indexer[client.V1Pod], Controller])


# Watches


def gone(event: Event[client.V1Pod]) -> bool:
    return event.type == EventType.DELETED


def kept(event: Event[client.V1Pod]) -> Event[client.V1Pod] | None:
    return None if event.object.metadata is None else event


def name_of(event: Event[client.V1Pod]) -> Event[str]:
    return Event(event.type, "")


def events(event: Event[client.V1Pod]) -> None:
    assert_type(event.type, EventType | str)
    assert_type(event.object, client.V1Pod)
    kind, pod = event
    assert_type(pod, client.V1Pod)
    assert_type(kind, EventType | str)
    assert_type(Event(EventType.ADDED, pod), Event[client.V1Pod])


def watches(watcher: Watcher[client.V1Pod]) -> None:
    for event in watcher:
        assert_type(event, Event[client.V1Pod])
    assert_type(until(watcher, gone, lambda event: event.object.spec is None), Event[client.V1Pod] | None)
    for left in filter_watch(watcher, kept):
        assert_type(left, Event[client.V1Pod])
    for named in filter_watch(watcher, name_of):
        assert_type(named, Event[str])
    fake: FakeWatcher[client.V1Pod] = FakeWatcher()
    assert_type(until(fake, gone), Event[client.V1Pod] | None)


def waits() -> None:
    source = ListWatch.for_resource(api, "pods", model=client.V1Pod)
    assert_type(RetryWatcher("1", source), RetryWatcher[client.V1Pod])
    assert_type(until_with_retry("1", source, gone), Event[client.V1Pod] | None)
    assert_type(list_watch_until(source, gone, timeout=1), Event[client.V1Pod] | None)
    assert_type(until_with_sync(source, gone, precondition=lambda store: not store.list()), Event[client.V1Pod] | None)
    assert_type(informer_watcher(source), InformerWatcher[client.V1Pod])
    assert_type(informer_watcher(source).store, Indexer[client.V1Pod])


def objects(obj: Object, informer: SharedInformer[Object], change: Change[Object]) -> None:
    assert_type(obj.owner_references, list[OwnerReference])
    assert_type([owner["uid"] for owner in obj.owner_references], list[str])
    assert_type(informer.by_key["default/web"], Object)
    assert_type(change.old, Object | None)
    assert_type(obj.view(client.V1Pod), client.V1Pod)


# Controllers

manager = Manager(name="m", leader_election=True)


def changed(old: Object, new: Object) -> bool:
    return old.generation != new.generation


@manager.controller("pods", owns=["configmaps"], predicate=generation_changed & ~labels_changed | changed)
def reconcile_pod(request: Request) -> float | None:
    assert_type(request.object, Object | None)
    assert_type(request.apply({"kind": "ConfigMap"}), Object)
    assert_type(request.children("configmaps"), list[Object])
    return 5.0


@manager.controller("nodes", watches={"pods": lambda pod: [pod.name]})
async def reconcile_node(request: AsyncRequest) -> None:
    assert_type(await request.set_condition("Ready", "True", "Done"), Object)


def runs(stop: threading.Event) -> None:
    assert_type(reconcile_pod(Request.__new__(Request)), float | None)
    assert_type(manager.manifests(namespace="m"), list[dict[str, Any]])
    assert_type(manager.wait_until_ready(1), bool)
    manager.run(stop)

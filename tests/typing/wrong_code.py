"""Users' mistakes, never run: the mark of a line names the rule that checkers report, first mypy's, then pyright's."""

# ruff: noqa: B018 - naming a missing attribute is enough for an error.

from __future__ import annotations

from typing import Any

import msgspec
from kubernetes import client

from informer import Change, Lister, ListWatch, Object, ResourceEventHandler, SharedInformer, SharedInformerFactory
from informer.runtime import Manager, Request
from informer.workqueue import RateLimitingQueue
from watch import Event, EventType, Watcher, filter_watch, until


class Slim(msgspec.Struct):
    name: str


api = client.ApiClient()


# Handlers


def of_node(node: client.V1Node) -> None: ...


def of_two(old: client.V1Pod, new: client.V1Pod) -> None: ...


def wrong_keyword(pod: client.V1Pod, *, is_initial: bool) -> None: ...


def wrong_keyword_type(pod: client.V1Pod, *, final_state_unknown: str) -> None: ...


def one_change(change: Change[client.V1Pod]) -> None: ...


async def async_add(pod: client.V1Pod) -> None: ...


async def async_update(old: client.V1Pod, new: client.V1Pod) -> None: ...


async def async_batch(changes: list[Change[client.V1Pod]]) -> None: ...


class OfNodes(ResourceEventHandler[client.V1Node]): ...


class WrongOverride(ResourceEventHandler[client.V1Pod]):
    def on_add(self, obj: int, *, initial: bool) -> None: ...  # wrong: override reportIncompatibleMethodOverride

    def on_update(self, new: client.V1Pod) -> None: ...  # wrong: override reportIncompatibleMethodOverride

    def on_delete(self, obj: client.V1Pod) -> None: ...  # wrong: override reportIncompatibleMethodOverride


class DuckOfNodes:
    def on_add(self, node: client.V1Node) -> None: ...


class NoHandler:
    def on_change(self, pod: client.V1Pod) -> None: ...


def handlers(pods: SharedInformer[client.V1Pod]) -> None:
    pods.add_event_handler(on_add=of_node)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_add=of_two)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_add=wrong_keyword)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_update=of_node)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_delete=of_node)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_delete=wrong_keyword_type)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_batch=one_change)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_change=of_two)  # wrong: call-arg reportCallIssue
    pods.add_event_handler(OfNodes())  # wrong: arg-type reportArgumentType
    pods.add_event_handler(DuckOfNodes())  # wrong: arg-type reportArgumentType
    pods.add_event_handler(NoHandler())  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_add=lambda pod: pod.nodes)  # wrong: attr-defined reportAttributeAccessIssue
    pods.add_event_handler(on_add=print, backlog="some")  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_add=print, inline="yes")  # wrong: arg-type reportArgumentType


async def handlers_of_asyncio(pods: SharedInformer[client.V1Pod]) -> None:
    pods.aio.add_event_handler(OfNodes())  # wrong: arg-type reportArgumentType
    pods.aio.add_event_handler(on_add=of_node)  # wrong: arg-type reportArgumentType


# Filters


def is_big(node: client.V1Node) -> bool:
    return node.status is not None


def filters(pods: SharedInformer[client.V1Pod]) -> None:
    pods.add_event_handler(on_add=async_add)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_update=async_update)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_delete=async_add)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_batch=async_batch)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_add=print, filter=is_big)  # wrong: arg-type reportArgumentType
    pods.add_event_handler(on_add=print, filter="app=web")  # wrong: arg-type reportArgumentType
    pods.events(filter=is_big)  # wrong: arg-type reportArgumentType
    pods.aio.events(filter=is_big)  # wrong: arg-type reportArgumentType


# Work queues


def queues(pods: SharedInformer[client.V1Pod]) -> None:
    queue = RateLimitingQueue()
    queue.add(pods.lister.get("web", "default"))  # wrong: arg-type reportArgumentType
    queue.get().spec  # wrong: attr-defined reportAttributeAccessIssue
    other: RateLimitingQueue[int] = queue  # wrong: assignment reportAssignmentType
    other.shut_down()


# Objects


def objects(pods: SharedInformer[client.V1Pod], nodes: SharedInformer[client.V1Node]) -> None:
    pod = pods.lister.get("web", "default")
    pod.nodes  # wrong: attr-defined reportAttributeAccessIssue
    pod.metadata.name  # wrong: union-attr reportOptionalMemberAccess
    pods.indexer.get_by_key("default/web").spec  # wrong: union-attr reportOptionalMemberAccess
    lister: Lister[client.V1Pod] = nodes.lister  # wrong: assignment reportAssignmentType
    lister.get("web").spec
    pods.add_indexers({"big": is_big})  # wrong: dict-item reportArgumentType
    for change in pods.events():
        change.object = pod  # wrong: misc reportAttributeAccessIssue
        change.object.nodes  # wrong: attr-defined reportAttributeAccessIssue


# Models and options


def models(factory: SharedInformerFactory) -> None:
    slim: SharedInformer[Slim] = factory.informer("pods")  # wrong: assignment reportAssignmentType
    slim.start()
    objects: SharedInformer[Object] = factory.informer(client.V1Pod)  # wrong: arg-type reportAssignmentType
    objects.start()
    factory.informer("pods", model=Slim).lister.get("web").spec  # wrong: attr-defined reportAttributeAccessIssue
    factory.informer("pods", model="V1Pod")  # wrong: call-overload reportCallIssue
    factory.informer("pods", pagesize=5)  # wrong: call-overload reportCallIssue
    factory.informer(client.V1Pod, indexers={"big": is_big})  # wrong: dict-item reportArgumentType
    factory.informer("pods", indexers={"big": lambda pod: [pod.node]})  # wrong: attr-defined reportAttributeAccessIssue
    ListWatch.for_resource(api, "pods", model=Slim(""))  # wrong: call-overload reportCallIssue
    ListWatch.for_resource(api, "pods", labels="app=web")  # wrong: call-overload reportCallIssue
    SharedInformer("pods")  # wrong: arg-type reportArgumentType


# Watches


def gone(event: Event[client.V1Node]) -> bool:
    return event.type == EventType.DELETED


def kept(event: Event[client.V1Node]) -> Event[client.V1Node]:
    return event


def watches(watcher: Watcher[client.V1Pod], event: Event[client.V1Pod]) -> None:
    event.type = EventType.ADDED  # wrong: misc reportAttributeAccessIssue
    event.object = client.V1Pod()  # wrong: misc reportAttributeAccessIssue
    event.object.nodes  # wrong: attr-defined reportAttributeAccessIssue
    until(watcher, gone)  # wrong: arg-type reportArgumentType
    until(watcher, lambda seen: seen.object.nodes)  # wrong: attr-defined reportAttributeAccessIssue
    filter_watch(watcher, kept)  # wrong: arg-type reportArgumentType
    other: Event[dict[str, Any]] = event  # wrong: assignment reportAssignmentType
    other.object.get("spec")


# Controllers

manager = Manager(name="m")


def reconcile_key(key: str) -> None: ...


def reconcile_text(request: Request) -> str:
    return request.key


manager.controller("pods")(reconcile_key)  # wrong: type-var reportArgumentType
manager.controller("pods")(reconcile_text)  # wrong: type-var reportArgumentType
manager.controller("pods", owns=5)  # wrong: arg-type reportArgumentType

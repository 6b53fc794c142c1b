#!/usr/bin/env python3
"""A scheduler beside kube-scheduler: gives each pod that asks for it a node with enough CPU and memory.

    kubectl apply -f samples/scheduler.yaml     # its service account and least rights; then deploy it once, or run it here:
    python samples/scheduler.py
    kubectl run web --image=nginx --overrides='{"spec": {"schedulerName": "sample-scheduler"}}'
    kubectl events

It shows two informers with an index, a work queue, bindings, and Kubernetes events that are logged and written as
kube-scheduler does it: "Scheduled" for each pod that gets a node, "FailedScheduling" with the reasons for one that fits
nowhere. If no cluster is configured, it starts an API server of its own, with nodes and with pods that come and go.

Requests, the node selector, taints and cordoned nodes count. Affinity, spreading, host ports, volumes, priorities and
preemption do not. Run one at a time: two would not see each other's pods in time.
"""

from __future__ import annotations

import argparse
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from decimal import Decimal
from typing import Any, NamedTuple

from _configured import cluster_is_configured
from kubernetes import client
from kubernetes.utils import parse_quantity

from informer import Object, SharedInformerFactory, index_by, load_client, stop_on_signals, strip_managed_fields
from informer.record import EventBroadcaster, EventRecorder, EventsV1Sink
from informer.workqueue import ItemExponentialFailureRateLimiter, RateLimitingQueue, run_workers
from watch.printable import printable

NAME = "sample-scheduler"
# Pods that have ended need no room. To the informer they are deleted.
UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"

log = logging.getLogger(NAME)


Amounts = Counter[str]
"""Amounts by resource, such as "cpu". They are of type Decimal."""


class Assumed(NamedTuple):
    """A pod that takes up room on a node, although the cache does not show it there yet.

    Attributes:
        pod: the pod, without a node.
        node: the name of the node.
        is_bound: whether the server has confirmed the binding. If not, its answer was lost.
    """

    pod: Object
    node: str
    is_bound: bool


class Scheduler:
    """Binds pods to nodes, one after the other.

    Args:
        api_client: an `ApiClient` of the official client.
        recorder: records the decisions.
        name: the pods whose `spec.schedulerName` this is are scheduled.

    Threads: `run` blocks; the informers' handlers only add keys to the queue and drop assumptions.
    """

    def __init__(self, api_client: Any, recorder: EventRecorder, name: str = NAME) -> None:
        self._core = client.CoreV1Api(api_client)
        self._recorder = recorder
        self._name = name
        self._queue: RateLimitingQueue[str] = RateLimitingQueue(ItemExponentialFailureRateLimiter(0.1, 10.0))
        self._factory = SharedInformerFactory(api_client, transform=strip_managed_fields)
        self._nodes = self._factory.informer("nodes")
        self._pods = self._factory.informer("pods", field_selector=UNFINISHED)
        self._pods.add_indexers({"node": index_by("spec.nodeName"), "pending": self._pending_index})
        self._lock = threading.Lock()
        self._assumed: dict[str, Assumed] = {}  # by uid; guarded by _lock
        # An update of a pod is to this scheduler what an add is. Inline: the functions only take notes.
        self._pods.add_event_handler(
            on_add=self._pod_changed,
            on_update=lambda _, new: self._pod_changed(new),
            on_delete=self._pod_gone,
            inline=True,
        )
        self._nodes.add_event_handler(on_add=lambda _: self._retry_pending(), on_update=self._node_changed, inline=True)

    def run(self, stop: threading.Event) -> None:
        """Schedules pods until `stop` is set.

        Raises:
            RuntimeError: a cache has no first list within a minute; the message says why.
        """
        with self._factory:
            for informer, synced in self._factory.wait_for_cache_sync(timeout=60).items():
                if not synced and not stop.is_set():
                    raise RuntimeError(f"{informer.name}: {informer.sync_error()}")
            # One worker: each decision sees the one before.
            run_workers(self._queue, self.schedule, stop=stop, drain=False)

    def schedule(self, key: str) -> None:
        """Binds a pod to a node, or records why it fits on none. An exception has the queue try again later."""
        pod = self._pods.store.get_by_key(key)
        if pod is None or not self._is_pending(pod):
            return
        with self._lock:
            assumed = self._assumed.get(pod.uid)
        if assumed is not None and assumed.is_bound:
            return  # the cache will show it
        # After a binding whose answer was lost, the same node again: the pod may be there already.
        node, reasons = (assumed.node, "") if assumed is not None else self._choose(pod)
        if node is None:
            # A change of a node, or a pod that goes, puts the key into the queue again.
            self._recorder.event(pod, "Warning", "FailedScheduling", reasons, action="Scheduling")
            return
        self._assume(Assumed(pod, node, is_bound=False))
        self._bind(pod, node)
        self._assume(Assumed(pod, node, is_bound=True))

    def _bind(self, pod: Object, node: str) -> None:
        binding = {
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            # The answer is a Status, which the official client would take for a Binding.
            self._core.create_namespaced_pod_binding(
                pod.name, pod.namespace, binding, _preload_content=False, _request_timeout=10
            ).drain_conn()
        except client.ApiException as error:
            if error.status != 409:
                if error.status < 500:
                    self._forget(pod)
                    message = f"binding to {node} was refused: {error.status} {error.reason}"
                    self._recorder.event(pod, "Warning", "FailedScheduling", message, action="Binding")
                raise
            found = self._core.read_namespaced_pod(pod.name, pod.namespace, _request_timeout=10)
            if (found.metadata.uid, found.spec.node_name) != (pod.uid, node):
                return  # another scheduler was first, or the pod was replaced: the cache will show it
            # Bound by an earlier request, whose answer was lost.
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
        self._recorder.event(pod, "Normal", "Scheduled", message, action="Binding")

    def _assume(self, assumed: Assumed) -> None:
        """Counts a pod on its node, unless the cache shows already that it is there or gone."""
        with self._lock:
            self._assumed[assumed.pod.uid] = assumed
        # After the assumption, so that an event that comes now is not missed here and in the handlers.
        cached = self._pods.store.get_by_key(f"{assumed.pod.namespace}/{assumed.pod.name}")
        if cached is None or cached.uid != assumed.pod.uid or cached.at("spec.nodeName"):
            self._forget(assumed.pod)

    def _forget(self, pod: Object) -> None:
        with self._lock:
            self._assumed.pop(pod.uid, None)

    def _choose(self, pod: Object) -> tuple[str | None, str]:
        """Returns the node with the most room left, or None and why no node fits."""
        wanted = requests_of(pod)
        best: tuple[Decimal, str] | None = None
        reasons: Counter[str] = Counter()
        nodes = self._nodes.store.list()
        for node in nodes:
            free, allocatable = self._free(node)
            misfits = [*misfits_of(pod, node), *lacking(wanted, free)]
            reasons.update(misfits)
            if not misfits:
                left = sum((free[each] - wanted[each]) / allocatable[each] for each in wanted if allocatable[each])
                best = max(best or (Decimal(-1), ""), (Decimal(left), node.name))
        if best is not None:
            return best[1], ""
        if not nodes:
            return None, "no nodes available to schedule pods"
        listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
        return None, f"0/{len(nodes)} nodes are available: {listed}."

    def _free(self, node: Object) -> tuple[Amounts, Amounts]:
        """Returns what is free on a node, and what it has for pods."""
        allocatable = amounts_of(node.at("status.allocatable", {}))
        with self._lock:
            assumed = {uid: each.pod for uid, each in self._assumed.items() if each.node == node.name}
        # The cache after the assumptions: what was dropped from them meanwhile is in it.
        placed = assumed | {pod.uid: pod for pod in self._pods.indexer.by_index("node", node.name)}
        free = Counter(allocatable)
        for pod in placed.values():
            free.subtract(requests_of(pod))
        return free, allocatable

    def _is_pending(self, pod: Object) -> bool:
        mine = pod.at("spec.schedulerName") == self._name
        return (
            mine and not pod.at("spec.nodeName") and not pod.deletion_timestamp and not pod.at("spec.schedulingGates")
        )

    def _pending_index(self, pod: Object) -> Iterable[str]:
        return ["yes"] if self._is_pending(pod) else []

    def _pod_changed(self, pod: Object) -> None:
        if pod.at("spec.nodeName"):
            self._forget(pod)
        elif self._is_pending(pod):
            self._queue.add(f"{pod.namespace}/{pod.name}")

    def _pod_gone(self, pod: Object) -> None:
        self._forget(pod)
        if pod.at("spec.nodeName"):
            self._retry_pending()

    def _node_changed(self, old: Object, new: Object) -> None:
        # Not for each heartbeat.
        paths = ("spec.unschedulable", "spec.taints", "metadata.labels", "status.allocatable")
        if any(old.at(path) != new.at(path) for path in paths):
            self._retry_pending()

    def _retry_pending(self) -> None:
        for key in self._pods.indexer.index_keys("pending", "yes"):
            self._queue.add(key)


def requests_of(pod: Object) -> Amounts:
    """Returns what a pod requests: its containers together, or the init container that requests more, and the overhead.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    together: Amounts = Counter()
    most: Amounts = Counter()
    for container in pod.at("spec.initContainers", ()):
        request = amounts_of(container.get("resources", {}).get("requests", {}))
        if container.get("restartPolicy") == "Always":
            together.update(request)
            request = Counter()
        most |= together + request
    for container in pod.at("spec.containers", ()):
        together.update(amounts_of(container.get("resources", {}).get("requests", {})))
    total = together | most
    total.update(amounts_of(pod.at("spec.overhead", {})))
    total["pods"] = Decimal(1)
    return total


def amounts_of(quantities: Any) -> Amounts:
    """Returns quantities as numbers, such as 0.5 for a cpu of "500m"."""
    return Counter({name: parse_quantity(text) for name, text in quantities.items()})


def lacking(wanted: Amounts, free: Amounts) -> list[str]:
    """Returns a reason for each resource of which a node has too little, as kube-scheduler words it."""
    names = [name for name, amount in wanted.items() if 0 < amount > free[name]]
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in names]


def misfits_of(pod: Object, node: Object) -> list[str]:
    """Returns why a pod may not run on a node, apart from its requests."""
    found = []
    if node.at("spec.unschedulable"):
        found.append("node(s) were unschedulable")
    if not pod.at("spec.nodeSelector", {}).items() <= node.labels.items():
        found.append("node(s) didn't match Pod's node affinity/selector")
    tolerations = pod.at("spec.tolerations", ())
    for taint in node.at("spec.taints", ()):
        if taint["effect"] != "PreferNoSchedule" and not any(tolerates(each, taint) for each in tolerations):
            found.append(f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}")
            break
    return found


def tolerates(toleration: Any, taint: Any) -> bool:
    """Returns whether a toleration is for a taint.

    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
    """
    if toleration.get("effect") not in (None, "", taint["effect"]) or toleration.get("key") not in (
        None,
        "",
        taint["key"],
    ):
        return False
    return toleration.get("operator") == "Exists" or (
        toleration.get("operator") in (None, "", "Equal") and toleration.get("value", "") == taint.get("value", "")
    )


def main() -> None:
    """Runs until Ctrl-C or SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    parser = argparse.ArgumentParser(description="Gives pods a node with enough CPU and memory.")
    parser.add_argument("--name", default=NAME, help=f"schedule the pods whose schedulerName this is (default: {NAME})")
    options = parser.parse_args()
    stop = stop_on_signals()
    with ExitStack() as stack:
        api_client = connect(stack, options.name)
        broadcaster = stack.enter_context(EventBroadcaster())
        broadcaster.start_event_watcher(log_event)
        broadcaster.start_recording_to_sink(EventsV1Sink(api_client))
        try:
            Scheduler(api_client, broadcaster.new_recorder(options.name), options.name).run(stop)
        except RuntimeError as error:
            raise SystemExit(f"error: {error}") from None


def log_event(event: Mapping[str, Any]) -> None:
    """Logs an event as one line."""
    about = event["involvedObject"]
    log.info("%s %s/%s: %s", event["reason"], about["namespace"], about["name"], printable(event["message"], 1024))


def connect(stack: ExitStack, name: str) -> Any:
    """Returns a client of the configured cluster, or of a demo cluster that ends with the program."""
    if cluster_is_configured():
        return stack.enter_context(load_client())
    from _scheduler_demo import scheduler_demo

    server = stack.enter_context(scheduler_demo(name))
    log.info("no cluster is configured: using a demo cluster at %s", server.url)
    return stack.enter_context(server.api_client())


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A small controller: writes the number of pods in each namespace to an annotation of the namespace.

python samples/pod_counter.py && kubectl get namespaces -o yaml | grep example.com/pods
"""

from __future__ import annotations

import threading

from _configured import cluster_is_configured
from kubernetes import client

from informer import (
    NAMESPACE_INDEX,
    Change,
    NotFoundError,
    Object,
    SharedInformer,
    SharedInformerFactory,
    load_client,
    meta_namespace_index,
    stop_on_signals,
)

ANNOTATION = "example.com/pods"


class PodCounter:
    """Counts pods in one cache, compares with the annotation in another cache, and writes if they differ.

    Args:
        core: writes the annotations. With the informers, it is all that a test has to replace.
        pods: an informer of pods that has not been started.
        namespaces: an informer of namespaces that has not been started.
    """

    def __init__(
        self, core: client.CoreV1Api, pods: SharedInformer[Object], namespaces: SharedInformer[Object]
    ) -> None:
        self._core = core
        self._pods = pods
        self._namespaces = namespaces
        # The two handlers run on two threads; only one of them compares and writes at a time.
        self._lock = threading.Lock()
        pods.add_indexers({NAMESPACE_INDEX: meta_namespace_index})
        namespaces.add_event_handler(on_add=lambda namespace: self.count(namespace.name))
        pods.add_event_handler(on_batch=self._count_all, backlog="coalesce")

    def _count_all(self, changes: list[Change[Object]]) -> None:
        for namespace in {change.object.namespace for change in changes}:
            self.count(namespace)

    def count(self, name: str) -> None:
        """Updates the annotation of one namespace."""
        if not (self._pods.wait_for_sync(timeout=60) and self._namespaces.wait_for_sync(timeout=60)):
            return
        with self._lock:
            count = str(len(self._pods.lister.by_index(NAMESPACE_INDEX, name)))
            try:
                namespace = self._namespaces.lister.get(name)
            except NotFoundError:
                return
            if namespace.annotations.get(ANNOTATION) != count:
                written = self._core.patch_namespace(name, {"metadata": {"annotations": {ANNOTATION: count}}})
                # Otherwise the next call might not see this write in the cache, and would repeat it.
                self._namespaces.wait_for_resource_version(written, timeout=10)


def main() -> None:
    """Runs until Ctrl-C or SIGTERM."""
    if not cluster_is_configured():
        raise SystemExit("no cluster is configured: create a kubeconfig, or run this in a pod")
    stop = stop_on_signals()
    api_client = load_client()
    factory = SharedInformerFactory(api_client)
    pods = factory.informer("pods", metadata_only=True)
    PodCounter(client.CoreV1Api(api_client), pods, factory.informer("namespaces"))
    with factory:
        for informer, synced in factory.wait_for_cache_sync(timeout=30).items():
            if not synced:
                raise SystemExit(f"{informer.name}: {informer.sync_error()}")
        stop.wait()


if __name__ == "__main__":
    main()

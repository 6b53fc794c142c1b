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
    SharedInformerFactory,
    load_client,
    meta_namespace_index,
    stop_on_signals,
)

ANNOTATION = "example.com/pods"


class PodCounter:
    """Counts pods in one cache, compares with the annotation in another cache, and writes if they differ."""

    def __init__(self, api_client: client.ApiClient) -> None:
        self.factory = SharedInformerFactory(api_client)
        self._core = client.CoreV1Api(api_client)
        # The two handlers run on two threads; only one of them compares and writes at a time.
        self._lock = threading.Lock()
        self._pods = self.factory.informer("pods", metadata_only=True)
        self._pods.add_indexers({NAMESPACE_INDEX: meta_namespace_index})
        self._namespaces = self.factory.informer(client.V1Namespace)
        self._namespaces.add_event_handler(on_add=lambda namespace: self.count(namespace.metadata.name))
        self._pods.add_event_handler(on_batch=self._count_all, backlog="coalesce")

    def _count_all(self, changes: list[Change[Object]]) -> None:
        for namespace in {change.object.namespace for change in changes}:
            self.count(namespace)

    def count(self, name: str) -> None:
        """Updates the annotation of one namespace."""
        if not all(self.factory.wait_for_cache_sync(timeout=60).values()):
            return
        with self._lock:
            count = str(len(self._pods.lister.by_index(NAMESPACE_INDEX, name)))
            try:
                namespace = self._namespaces.lister.get(name)
            except NotFoundError:
                return
            if (namespace.metadata.annotations or {}).get(ANNOTATION) != count:
                written = self._core.patch_namespace(name, {"metadata": {"annotations": {ANNOTATION: count}}})
                # Otherwise the next call might not see this write in the cache, and would repeat it.
                self._namespaces.wait_for_resource_version(written.metadata.resource_version, timeout=10)


def main() -> None:
    """Runs until Ctrl-C or SIGTERM."""
    if not cluster_is_configured():
        raise SystemExit("no cluster is configured: create a kubeconfig, or run this in a pod")
    stop = stop_on_signals()
    counter = PodCounter(load_client())
    with counter.factory as factory:
        for informer, synced in factory.wait_for_cache_sync(timeout=30).items():
            if not synced:
                raise SystemExit(f"{informer.name}: {informer.sync_error()}")
        stop.wait()


if __name__ == "__main__":
    main()

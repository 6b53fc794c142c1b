#!/usr/bin/env python3
"""A production-like controller: creates a Deployment for each Foo, a custom resource, and reports its available replicas.

    kubectl apply -f samples/foo_crd.yaml -f samples/foo.yaml
    python samples/sample_controller.py

If no cluster is configured, it starts an API server of its own, on which Foos and Deployments change by themselves.
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
import threading
import uuid
from contextlib import ExitStack
from typing import Any

from _configured import cluster_is_configured
from _foo import GROUP, KIND, PLURAL, VERSION, controller_uids, deployment_for, with_wanted
from kubernetes import client

from informer import (
    ConsistencyStore,
    Object,
    SharedInformerFactory,
    leaderelection,
    load_client,
    meta_namespace_key,
    metrics,
    stop_on_signals,
    strip_managed_fields,
    workqueue,
)
from informer.leaderelection import LeaderElector, LeaseLock
from informer.record import CoreV1EventSink, EventBroadcaster, EventRecorder

NAME = "sample-controller"
OWNER = "owner"  # an index: Deployments by the uid of their controller
# Seconds after which to check whether the cache shows a write whose event has not arrived.
CATCH_UP_SECONDS = 1.0
# Seconds after which to check whether a Deployment's name has become free.
TAKEN_SECONDS = 30.0
# Without a time-out the official client could wait for ever, and delay the exit of the program.
REQUEST: dict[str, Any] = {"_request_timeout": 10.0}

log = logging.getLogger(NAME)


class FooController:
    """Compares each Foo with its Deployment in the caches, and writes the difference to the server.

    Args:
        api_client: the official client's.
        recorder: records events about Foos, for their users.
        namespace: the namespace whose Foos are processed; None for all.
    """

    def __init__(self, api_client: client.ApiClient, recorder: EventRecorder, namespace: str | None = None) -> None:
        # Typed as Any, since the types differ between versions of the client.
        self._apps: Any = client.AppsV1Api(api_client)
        self._custom: Any = client.CustomObjectsApi(api_client)
        self._recorder = recorder
        # A limit per Foo and no common one: after an outage, thousands of Foos would wait for that.
        limiter = workqueue.ItemExponentialFailureRateLimiter(0.1, 10.0)
        self.queue: workqueue.PriorityQueue[str] = workqueue.PriorityQueue(limiter, name=PLURAL)
        self.factory = SharedInformerFactory(api_client, namespace=namespace, transform=strip_managed_fields)
        self.foos = self.factory.informer(f"{PLURAL}.{GROUP}")
        self.foos.add_event_handler(workqueue.enqueue_key(self.queue))
        self.deployments = self.factory.informer("deployments.apps", indexers={OWNER: controller_uids})
        self.deployments.add_event_handler(workqueue.enqueue_owner(self.queue, f"{KIND}.{GROUP}"))
        self._written = ConsistencyStore({"foos": self.foos, "deployments": self.deployments})

    def reconcile(self, key: str) -> float | None:
        """Takes the next step for a Foo. Returns the seconds to requeue after, or None to wait for a change."""
        if not self._written.ensure_ready(key):
            return CATCH_UP_SECONDS
        foo = self.foos.store.get_by_key(key)
        if foo is None or foo.deletion_timestamp:
            # The garbage collector deletes the Deployment, by its owner reference.
            self._written.clear(key)
            return None
        try:
            return self._step(key, foo)
        except client.ApiException as error:
            if error.status not in (404, 409):
                raise  # the workers log it, and retry with backoff
            log.info("%s: the cache was behind: %d", key, error.status)
            return CATCH_UP_SECONDS

    def _step(self, key: str, foo: Object) -> float | None:
        """Makes at most one write; its event leads to the next step."""
        wanted = deployment_for(foo)
        found = self.deployments.store.get_by_key(meta_namespace_key(wanted))
        if found is None:
            return self._create(key, foo, wanted)
        if foo.uid not in controller_uids(found):
            message = f'Resource "{found.name}" already exists and is not managed by Foo'
            self._recorder.event(foo, "Warning", "ErrResourceExists", message)
            return TAKEN_SECONDS
        spec = with_wanted(found["spec"], wanted["spec"])
        if spec != found["spec"]:
            return self._correct(key, foo, found, spec)
        available = found.at("status.availableReplicas", 0)
        if available != foo.at("status.availableReplicas", 0):
            return self._report(key, foo, available)
        for other in self.deployments.lister.by_index(OWNER, foo.uid):
            # A Deployment that the Foo named before.
            if other.name != found.name and not other.deletion_timestamp:
                return self._delete(foo, other)
        return None

    def _create(self, key: str, foo: Object, wanted: dict[str, Any]) -> float:
        made = self._apps.create_namespaced_deployment(foo.namespace, wanted, **REQUEST)
        self._recorder.event(foo, "Normal", "Synced", f"Deployment {made.metadata.name} created")
        return self._wrote(key, "deployments", made.metadata.resource_version)

    def _correct(self, key: str, foo: Object, found: Object, spec: dict[str, Any]) -> float:
        # With the resourceVersion from the cache: if the Deployment has changed since, the server answers 409.
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": found.resource_version},
            {"op": "replace", "path": "/spec", "value": spec},
        ]
        made = self._apps.patch_namespaced_deployment(found.name, found.namespace, patch, **REQUEST)
        self._recorder.event(foo, "Normal", "Synced", f"Deployment {found.name} corrected")
        return self._wrote(key, "deployments", made.metadata.resource_version)

    def _report(self, key: str, foo: Object, available: int) -> float:
        # A copy, with its resourceVersion: objects in the cache are shared and read-only.
        body = {**foo.to_dict(), "status": {"availableReplicas": available}}
        made = self._custom.replace_namespaced_custom_object_status(
            GROUP, VERSION, foo.namespace, PLURAL, foo.name, body, **REQUEST
        )
        return self._wrote(key, "foos", made["metadata"]["resourceVersion"])

    def _delete(self, foo: Object, other: Object) -> float:
        body = {"preconditions": {"uid": other.uid}}
        self._apps.delete_namespaced_deployment(other.name, other.namespace, body=body, **REQUEST)
        self._recorder.event(foo, "Normal", "Synced", f"Deployment {other.name} deleted")
        return CATCH_UP_SECONDS

    def _wrote(self, key: str, resource: str, resource_version: str) -> float:
        self._written.wrote_at(key, resource, resource_version)
        # If the watch is cut and the object deleted before the next list, no event comes: requeue.
        return CATCH_UP_SECONDS


def main() -> None:
    """Runs until Ctrl-C or SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    # urllib3 warns about every failed attempt; the workers already log the failed request.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    options = parse()
    stop = stop_on_signals()
    collector = metrics.install()
    workqueue.set_metrics_provider(collector)
    leaderelection.set_metrics_provider(collector)
    # Left in reverse order: the broadcaster sends the last events after everything else has stopped.
    with ExitStack() as stack:
        api_client = connect(stack)
        broadcaster = stack.enter_context(EventBroadcaster())
        broadcaster.start_logging(log.info)
        broadcaster.start_recording_to_sink(CoreV1EventSink(api_client))
        controller = FooController(api_client, broadcaster.new_recorder(NAME), options.namespace)
        elector = elector_for(controller, api_client, options, stop)
        checks = {"leader": lambda: elector.check(30)}
        server = stack.enter_context(metrics.serve(options.port, live_checks=checks))
        log.info("serving /healthz, /readyz and /metrics on port %d", server.port)
        stack.enter_context(controller.factory)
        # Before the election, so that a standby replica can take over at once.
        synced = controller.factory.wait_for_cache_sync(60, stop=stop)
        why = "; ".join(f"{informer.name}: {informer.sync_error()}" for informer, done in synced.items() if not done)
        if not why:
            elector.run(stop)
            why = "the lease is lost"
    if not stop.is_set():
        sys.exit(why)  # Kubernetes restarts the program


def elector_for(
    controller: FooController, api_client: client.ApiClient, options: argparse.Namespace, stop: threading.Event
) -> LeaderElector:
    """Returns an elector that runs the controller's workers while this process leads."""

    def reconcile(key: str) -> float | None:
        # After a stop the process keeps the lease and drains the queue. After losing the lease it must not write.
        return controller.reconcile(key) if elector.is_leader() or stop.is_set() else None

    elector = LeaderElector(
        LeaseLock(api_client, options.namespace or "default", NAME, identity=f"{socket.gethostname()}_{uuid.uuid4()}"),
        on_started_leading=lambda over: workqueue.run_workers(
            controller.queue, reconcile, workers=options.workers, stop=over
        ),
        on_stopped_leading=lambda: None,
        release_on_cancel=True,
        lease_duration=options.lease_seconds,
        renew_deadline=options.lease_seconds * 2 / 3,
    )
    return elector


def parse() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description="Gives each Foo a Deployment.")
    parser.add_argument("-n", "--namespace", help="the namespace whose Foos are processed (default: all)")
    parser.add_argument("--workers", type=int, default=4, help="how many Foos are processed at the same time")
    parser.add_argument(
        "--lease-seconds", type=float, default=15, help="how long after a leader's failure another replica takes over"
    )
    parser.add_argument("--port", type=int, default=0, help="port for health and metrics (default: a free one)")
    return parser.parse_args()


def connect(stack: ExitStack) -> Any:
    """Returns a client of the configured cluster, or of a demo cluster that exits with the program."""
    if cluster_is_configured():
        return stack.enter_context(load_client())
    from _foo_demo import foo_demo

    server = stack.enter_context(foo_demo())
    log.info("no cluster is configured: using a demo cluster at %s", server.url)
    return stack.enter_context(server.api_client())


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A controller as one would run it: each Foo, a custom resource, gets a Deployment, and says how many of its replicas are up.

    kubectl apply -f samples/foo_crd.yaml -f samples/foo.yaml
    python samples/sample_controller.py

Without any cluster configured it starts an API server of its own, on which Foos and Deployments change by themselves.
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
from _foo import GROUP, KIND, PLURAL, VERSION, controllers, deployment_for, overlaid
from kubernetes import client, config

from informer import (
    ConsistencyStore,
    Object,
    SharedInformerFactory,
    leaderelection,
    meta_namespace_key,
    metrics,
    stop_on_signals,
    strip_managed_fields,
    workqueue,
)
from informer.leaderelection import LeaderElector, LeaseLock
from informer.record import CoreV1EventSink, EventBroadcaster, EventRecorder

NAME = "sample-controller"
OWNER = "owner"  # an index: Deployments by the uid of who controls them
# By then the cache shows a write, if its event does not come before.
CATCH_UP_SECONDS = 1.0
# By then a name that was taken may be free.
TAKEN_SECONDS = 30.0
# The official client would wait without limit, and so would the end of the program.
REQUEST: dict[str, Any] = {"_request_timeout": 10.0}

log = logging.getLogger(NAME)


class FooController:
    """Reads caches, writes to the server, and looks again at each Foo of which anything has changed.

    Args:
        api_client: of the official client.
        recorder: for what users are to know of their Foos.
        namespace: whose Foos; None for all.
    """

    def __init__(self, api_client: client.ApiClient, recorder: EventRecorder, namespace: str | None = None) -> None:
        # Their types differ from version to version.
        self._apps: Any = client.AppsV1Api(api_client)
        self._custom: Any = client.CustomObjectsApi(api_client)
        self._recorder = recorder
        # A limit for each Foo, and none for all together: after an outage, thousands would wait for it.
        limiter = workqueue.ItemExponentialFailureRateLimiter(0.1, 10.0)
        self.queue: workqueue.PriorityQueue[str] = workqueue.PriorityQueue(limiter, name=PLURAL)
        self.factory = SharedInformerFactory(api_client, namespace=namespace, transform=strip_managed_fields)
        self.foos = self.factory.informer(f"{PLURAL}.{GROUP}")
        self.foos.add_event_handler(workqueue.enqueue_key(self.queue))
        self.deployments = self.factory.informer("deployments.apps", indexers={OWNER: controllers})
        self.deployments.add_event_handler(workqueue.enqueue_owner(self.queue, f"{KIND}.{GROUP}"))
        self._written = ConsistencyStore({"foos": self.foos, "deployments": self.deployments})

    def reconcile(self, key: str) -> float | None:
        """Takes the next step for a Foo. Returns the seconds after which to look again, None for when something changes."""
        if not self._written.ensure_ready(key):
            return CATCH_UP_SECONDS
        foo = self.foos.store.get_by_key(key)
        if foo is None or foo.deletion_timestamp:
            # The garbage collector follows the owner reference.
            self._written.clear(key)
            return None
        try:
            return self._step(key, foo)
        except client.ApiException as error:
            if error.status not in (404, 409):
                raise  # the workers log it, and try again later each time
            log.info("%s: the cache was behind: %s", key, error.reason)
            return CATCH_UP_SECONDS

    def _step(self, key: str, foo: Object) -> float | None:
        """Makes one write at most, whose event leads to the next step."""
        wanted = deployment_for(foo)
        found = self.deployments.store.get_by_key(meta_namespace_key(wanted))
        if found is None:
            return self._create(key, foo, wanted)
        if foo.uid not in controllers(found):
            message = f'Resource "{found.name}" already exists and is not managed by Foo'
            self._recorder.event(foo, "Warning", "ErrResourceExists", message)
            return TAKEN_SECONDS
        spec = overlaid(found["spec"], wanted["spec"])
        if spec != found["spec"]:
            return self._correct(key, foo, found, spec)
        available = found.at("status.availableReplicas", 0)
        if available != foo.at("status.availableReplicas", 0):
            return self._report(key, foo, available)
        for other in self.deployments.lister.by_index(OWNER, foo.uid):
            # The Foo has named another one since.
            if other.name != found.name and not other.deletion_timestamp:
                return self._delete(foo, other)
        return None

    def _create(self, key: str, foo: Object, wanted: dict[str, Any]) -> float:
        made = self._apps.create_namespaced_deployment(foo.namespace, wanted, **REQUEST)
        self._recorder.event(foo, "Normal", "Synced", f"Deployment {made.metadata.name} created")
        return self._wrote(key, "deployments", made.metadata.resource_version)

    def _correct(self, key: str, foo: Object, found: Object, spec: dict[str, Any]) -> float:
        # With the resourceVersion that was seen: where somebody was faster, the server refuses it (409).
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": found.resource_version},
            {"op": "replace", "path": "/spec", "value": spec},
        ]
        made = self._apps.patch_namespaced_deployment(found.name, found.namespace, patch, **REQUEST)
        self._recorder.event(foo, "Normal", "Synced", f"Deployment {found.name} brought back to what the Foo asks for")
        return self._wrote(key, "deployments", made.metadata.resource_version)

    def _report(self, key: str, foo: Object, available: int) -> float:
        # A copy, its resourceVersion included: what the cache holds is everybody's, and read-only.
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
        # Should the watch be cut and the object gone by the next list, there will be no event.
        return CATCH_UP_SECONDS


def main() -> None:
    """Runs until Ctrl-C or SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    # It warns of each try of a request that fails; the workers log the request.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    options = parse()
    stop = stop_on_signals()
    collector = metrics.install()
    workqueue.set_metrics_provider(collector)
    leaderelection.set_metrics_provider(collector)
    # Left in the opposite order: events are sent when nothing more happens.
    with ExitStack() as stack:
        api_client = connect(stack)
        broadcaster = stack.enter_context(EventBroadcaster())
        broadcaster.start_logging(log.info)
        broadcaster.start_recording_to_sink(CoreV1EventSink(api_client))
        controller = FooController(api_client, broadcaster.new_recorder(NAME), options.namespace)
        elector = elector_for(controller, api_client, options, stop)
        checks = {"leader": lambda: elector.check(30)}
        server = stack.enter_context(metrics.serve(options.port, live_checks=checks))
        log.info("/healthz, /readyz and /metrics are at port %d", server.port)
        stack.enter_context(controller.factory)
        # Before the election: whoever waits for the lease is ready to go on.
        synced = controller.factory.wait_for_cache_sync(60, stop=stop)
        why = "; ".join(f"{informer.name}: {informer.sync_error()}" for informer, done in synced.items() if not done)
        if not why:
            elector.run(stop)
            why = "the lease is lost"
    if not stop.is_set():
        sys.exit(why)  # to be started again


def elector_for(
    controller: FooController, api_client: client.ApiClient, options: argparse.Namespace, stop: threading.Event
) -> LeaderElector:
    """Has the controller work while this process leads."""

    def reconcile(key: str) -> float | None:
        # Who is asked to stop does what is queued, and has the lease for that long; who has lost it does not.
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
    """The command line."""
    parser = argparse.ArgumentParser(description="Gives each Foo a Deployment.")
    parser.add_argument("-n", "--namespace", help="the namespace whose Foos count (default: all)")
    parser.add_argument("--workers", type=int, default=4, help="how many Foos are looked at at the same time")
    parser.add_argument(
        "--lease-seconds", type=float, default=15, help="before another takes over from one that is gone"
    )
    parser.add_argument("--port", type=int, default=0, help="for health and metrics (default: one that is free)")
    return parser.parse_args()


def connect(stack: ExitStack) -> Any:
    """A client of the cluster that is configured, or of one that only lives as long as the program."""
    if cluster_is_configured():
        config.load_config()
        return stack.enter_context(client.ApiClient())
    from _foo_demo import foo_demo

    server = stack.enter_context(foo_demo())
    log.info("no cluster is configured: this is a demo cluster at %s", server.url)
    return stack.enter_context(server.api_client())


if __name__ == "__main__":
    main()

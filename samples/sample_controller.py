#!/usr/bin/env python3
"""The ecosystem's standard example, kubernetes/sample-controller: a Deployment for each Foo, a custom resource.

    kubectl apply -f samples/foo_crd.yaml -f samples/foo.yaml
    python samples/sample_controller.py

If no cluster is configured, it starts an API server of its own, on which Foos and Deployments change by themselves.
docs/hand-wired-controller.md is the same controller without a `Manager`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import ExitStack
from typing import Any

import yaml
from _configured import cluster_is_configured

from informer import Object, load_client
from informer.runtime import Manager, ManagerError, Request

NAME, FOOS, DEPLOYMENTS = "sample-controller", "foos.samplecontroller.k8s.io", "deployments.apps"
# Seconds after which to check whether a Deployment's name has become free.
TAKEN_SECONDS = 30.0

log = logging.getLogger(NAME)


def add_controller(manager: Manager, workers: int = 4) -> None:
    """Adds the controller of Foos to a manager."""

    @manager.controller(FOOS, owns=[DEPLOYMENTS], workers=workers)
    def reconcile(request: Request) -> float | None:
        foo = request.object
        if foo is None or foo.deletion_timestamp:
            return None  # the garbage collector deletes the Deployment, by its owner reference
        wanted = deployment_for(foo)
        name = wanted["metadata"]["name"]
        mine = {each.name: each for each in request.children(DEPLOYMENTS)}
        if name not in mine and f"{foo.namespace}/{name}" in manager.informer(DEPLOYMENTS).store:
            message = f'Resource "{name}" already exists and is not managed by Foo'
            request.event("Warning", "ErrResourceExists", message)
            return TAKEN_SECONDS
        deployment = request.apply(wanted)
        if name not in mine:
            request.log.info("Deployment %s created", name)
            request.event("Normal", "Synced", f"Deployment {name} created")
        request.update_status({"availableReplicas": deployment.at("status.availableReplicas", 0)})
        for other in mine.keys() - {name}:  # a Deployment that the Foo named before
            request.delete(mine[other])
        return None


def deployment_for(foo: Object) -> dict[str, Any]:
    """Returns the Deployment that a Foo asks for."""
    # Not the name, which may be too long for a label's value.
    labels = {"app": "nginx", "controller": foo.uid}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": foo.at("spec.deploymentName")},
        "spec": {
            "replicas": foo.at("spec.replicas", 1),
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "nginx", "image": "nginx:latest"}]},
            },
        },
    }


def main() -> None:
    """Runs until Ctrl-C or SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    options = parse()
    with ExitStack() as stack:
        manager = Manager(
            None if options.manifests else connect(stack),
            name=NAME,
            namespace=options.namespace,
            leader_election=True,
            lease_namespace=options.namespace or "default",
            lease_duration=options.lease_seconds,
            renew_deadline=options.lease_seconds * 2 / 3,
            retry_period=min(2.0, options.lease_seconds / 8),
            serve=options.port,
        )
        add_controller(manager, options.workers)
        if options.manifests:
            manifests = manager.manifests(namespace=options.namespace or "default", image=options.manifests)
            print(yaml.safe_dump_all(manifests, sort_keys=False))
            return
        try:
            manager.run()
        except ManagerError as error:
            sys.exit(str(error))  # Kubernetes restarts the program


def parse() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description="Gives each Foo a Deployment.")
    parser.add_argument("-n", "--namespace", help="the namespace whose Foos are processed (default: all)")
    parser.add_argument("--workers", type=int, default=4, help="how many Foos are processed at the same time")
    parser.add_argument(
        "--lease-seconds", type=float, default=15, help="how long after a leader's failure another replica takes over"
    )
    parser.add_argument("--port", type=int, default=0, help="port for health and metrics (default: a free one)")
    parser.add_argument("--manifests", metavar="IMAGE", help="print what this program needs in a cluster, and end")
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

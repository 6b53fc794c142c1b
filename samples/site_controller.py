#!/usr/bin/env python3
"""A controller in thirty lines: gives each Site, a custom resource, a ConfigMap with its text and a Deployment that serves it.

    kubectl apply -f samples/site_crd.yaml
    python samples/site_controller.py              # run it
    python samples/site_controller.py manifests    # print what it needs in a cluster

Environment variables: PORT, of metrics and probes; LEASE_SECONDS, after which another replica takes over from a failed leader.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import yaml

from informer import Object
from informer.runtime import Manager, Request

LEASE_SECONDS = float(os.environ.get("LEASE_SECONDS", "15"))
manager = Manager(
    name="site-controller",
    leader_election=True,
    lease_duration=LEASE_SECONDS,
    renew_deadline=LEASE_SECONDS * 2 / 3,
    retry_period=min(2.0, LEASE_SECONDS / 8),
    serve=int(os.environ.get("PORT", "8080")),
)


@manager.controller("sites.example.com", owns=["deployments.apps", "configmaps"], workers=4)
def reconcile(request: Request) -> None:
    """Applies what a Site asks for, and reports whether it is there."""
    site = request.object
    if site is None:
        return
    request.apply(config_map_for(site))
    deployment = request.apply(deployment_for(site))
    available = deployment.at("status.availableReplicas", 0)
    request.set_condition(
        "Ready", str(available >= site.at("spec.replicas")), "Available", f"{available} replicas serve it"
    )


def config_map_for(site: Object) -> dict[str, Any]:
    """Returns the ConfigMap of a Site."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"site-{site.name}"},
        "data": {"index.html": site.at("spec.text")},
    }


def deployment_for(site: Object) -> dict[str, Any]:
    """Returns the Deployment of a Site."""
    labels = {"site": site.name}
    volume = {"name": "text", "configMap": {"name": f"site-{site.name}"}}
    mount = {"name": "text", "mountPath": "/usr/share/nginx/html"}
    container = {"name": "nginx", "image": "nginx:1.29", "volumeMounts": [mount]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"site-{site.name}"},
        "spec": {
            "replicas": site.at("spec.replicas"),
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": [volume]}},
        },
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["manifests"]:
        print(
            yaml.safe_dump_all(
                manager.manifests(namespace="sites", image="example.com/site-controller:1"), sort_keys=False
            )
        )
    else:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
        manager.run()

#!/usr/bin/env python3
"""A controller whose replicas share the work: gives each Site a ConfigMap with its text.

    kubectl apply -f samples/site_crd.yaml
    python samples/sharded_controller.py              # run it, several times at once
    python samples/sharded_controller.py manifests    # print what it needs in a cluster: samples/sharded_controller.yaml

Each replica owns some of eight shards, by Leases. It lists, watches, caches and reconciles the Sites of its shards only. When a
replica comes, goes or dies, the others share its shards.

Environment variables: PORT, of metrics and probes; LEASE_SECONDS, after which the shards of a dead replica are taken over.
"""

from __future__ import annotations

import logging
import os
import sys

import yaml

from informer.runtime import Manager, Request

LEASE_SECONDS = float(os.environ.get("LEASE_SECONDS", "15"))
manager = Manager(
    name="sharded-controller",
    lease_namespace="sites",
    shards=8,
    lease_duration=LEASE_SECONDS,
    renew_deadline=LEASE_SECONDS * 2 / 3,
    retry_period=min(2.0, LEASE_SECONDS / 8),
    serve=int(os.environ.get("PORT", "8080")),
)


@manager.controller("sites.example.com", owns=["configmaps"])
def reconcile(request: Request) -> None:
    """Applies the ConfigMap of a Site."""
    site = request.object
    if site is None:
        return
    request.log.info("reconciled")
    request.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"site-{site.name}"},
            "data": {"index.html": site.at("spec.text")},
        }
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["manifests"]:
        manifests = manager.manifests(namespace="sites", image="example.com/sharded-controller:1")
        print(yaml.safe_dump_all(manifests, sort_keys=False), end="")
    else:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
        manager.run()

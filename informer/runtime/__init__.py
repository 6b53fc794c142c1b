"""Controllers without wiring: a `Manager` joins informers, work queues, workers, leader election, events, metrics and probes.

manager = Manager(name="site-controller", leader_election=True, serve=8080)

@manager.controller("sites.example.com", owns=["deployments.apps"])
def reconcile(request):
if request.object is not None:
request.apply(deployment_for(request.object))

manager.run()
"""

from __future__ import annotations

import informer.watch_check  # noqa: F401 - before any module that imports `watch`
from informer.runtime.clusters import Clusters
from informer.runtime.errors import ConflictError, ManagerError
from informer.runtime.manager import Manager
from informer.runtime.owners import owner_reference
from informer.runtime.predicates import Predicate, annotations_changed, generation_changed, labels_changed
from informer.runtime.request import AsyncRequest, Request

__all__ = [
    "AsyncRequest",
    "Clusters",
    "ConflictError",
    "Manager",
    "ManagerError",
    "Predicate",
    "Request",
    "annotations_changed",
    "generation_changed",
    "labels_changed",
    "owner_reference",
]

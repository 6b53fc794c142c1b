"""How a CustomResourceDefinition that is being deleted looks: it waits for its objects. No I/O.

Source: apiextensions-apiserver pkg/registry/customresourcedefinition/etcd.go, pkg/controller/finalizer.
"""

from __future__ import annotations

from typing import Any

from informer.listwatch.resources import Resource
from watch.errors import ApiError

__all__ = ["is_terminating", "mark_terminating", "without_cleanup"]

_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


def mark_terminating(obj: dict[str, Any]) -> None:
    """Adds what a definition gets when its deletion begins: a finalizer and a condition."""
    obj["metadata"]["finalizers"] = [*(obj["metadata"].get("finalizers") or ()), _CLEANUP]
    status = obj.setdefault("status", {})
    condition = {
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": obj["metadata"]["deletionTimestamp"],
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    }
    status["conditions"] = [*(status.get("conditions") or ()), condition]


def without_cleanup(obj: dict[str, Any]) -> dict[str, Any]:
    """Returns a definition whose objects are gone."""
    metadata = obj["metadata"]
    metadata["finalizers"] = [each for each in metadata.get("finalizers") or () if each != _CLEANUP]
    return obj


def is_terminating(resource: Resource, name: str) -> ApiError:
    """Returns the refusal of a new object whose definition is being deleted."""
    text = "create not allowed while custom resource definition is terminating"
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return ApiError(403, "Forbidden", f'{resource.name} "{name}" is forbidden: {text}', details=details)

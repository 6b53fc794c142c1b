"""The options of a deletion: validation, and the finalizers that a propagation policy sets. No I/O.

A deletion in the foreground or with orphans leaves a finalizer, which a garbage collector removes.

Source: apimachinery pkg/apis/meta/v1/validation, apiserver pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from informer.listwatch.resources import Resource
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import Cause, invalid
from informer.testing.storage.storage import Stored
from informer.testing.storage.system_fields import now

__all__ = ["check_delete_options", "marked", "warn_of_orphans"]

_FINALIZERS = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}
# Resources whose dependents are orphaned unless the options say otherwise.
_ORPHANING = frozenset(("jobs.batch", "replicationcontrollers"))
_POLICIES = ("Foreground", "Background", "Orphan", "nil")


def check_delete_options(options: Mapping[str, Any]) -> None:
    """Raises ApiError 422 if the options contradict each other or name an unknown policy."""
    policy, orphans = options.get("propagationPolicy"), options.get("orphanDependents")
    causes = []
    if policy is not None and orphans is not None:
        message = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(Cause.bad("propagationPolicy", json.dumps(policy), message))
    if policy is not None and policy not in _POLICIES[:-1]:
        causes.append(Cause.unsupported("propagationPolicy", str(policy), _POLICIES))
    if causes:
        raise invalid("meta.k8s.io", "DeleteOptions", "", causes)


def warn_of_orphans(resource: Resource, options: Mapping[str, Any]) -> list[str]:
    """Returns the warnings about a deletion that does not say what happens to the dependents."""
    if resource.kind != "Job" or options.get("propagationPolicy") or options.get("orphanDependents") is not None:
        return []
    return [
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
        "set propagationPolicy=Orphan to suppress this warning"
    ]


def finalizers_for(resource: Resource, options: Mapping[str, Any], finalizers: Sequence[str]) -> list[str]:
    """Returns the finalizers that an object gets when it is deleted, given those that it has."""
    policy = options.get("propagationPolicy")
    if policy is None and options.get("orphanDependents") is not None:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    if policy is None and resource.name in _ORPHANING and not set(finalizers) & set(_FINALIZERS.values()):
        policy = "Orphan"
    if policy is None:
        return list(finalizers)
    others = [each for each in finalizers if each not in _FINALIZERS.values()]
    return [*others, _FINALIZERS[policy]] if policy in _FINALIZERS else others


def marked(served: ServedResource, old: Stored, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns an object as it is marked for its deletion; None if the deletion does not change it before it is removed."""
    obj, kind = old.to_dict(), served.resource.kind
    metadata = obj["metadata"]
    before = metadata.pop("finalizers", None) or []
    finalizers = finalizers_for(served.resource, options, before)
    mark = not old.marked and bool(finalizers or kind in ("Pod", "Namespace", "CustomResourceDefinition"))
    if not mark and finalizers == before:
        return None
    if finalizers:
        metadata["finalizers"] = finalizers
    if mark:
        metadata["deletionTimestamp"] = now()
        if kind not in ("Namespace", "CustomResourceDefinition"):
            metadata["deletionGracePeriodSeconds"] = 0
        if served.counts_generation and kind != "CustomResourceDefinition":
            metadata["generation"] = metadata.get("generation", 0) + 1
        if kind == "Namespace":
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return obj

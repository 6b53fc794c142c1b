"""The options of a deletion: what becomes of an object that others depend on. Pure.

There is no garbage collector here: who asks for the foreground, or for orphans, gets the finalizer that keeps the object
until one has done its work, as from any kube-apiserver that has none beside it.

Source: apimachinery pkg/apis/meta/v1/validation, apiserver pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from informer.testing.storage.statuses import Cause, invalid

__all__ = ["check_delete_options", "finalizers_for"]

_FINALIZERS = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}
_POLICIES = ("Foreground", "Background", "Orphan", "nil")


def check_delete_options(options: Mapping[str, Any]) -> None:
    """Raises 422 where the options contradict each other, or ask for what there is not."""
    policy, orphans = options.get("propagationPolicy"), options.get("orphanDependents")
    causes = []
    if policy is not None and orphans is not None:
        words = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(Cause.bad("propagationPolicy", json.dumps(policy), words))
    if policy is not None and policy not in _POLICIES[:-1]:
        causes.append(Cause.unsupported("propagationPolicy", str(policy), _POLICIES))
    if causes:
        raise invalid("meta.k8s.io", "DeleteOptions", "", causes)


def finalizers_for(options: Mapping[str, Any], finalizers: Sequence[str]) -> list[str]:
    """The finalizers of an object that is to be deleted, given those that it has."""
    policy = options.get("propagationPolicy")
    if policy is None and options.get("orphanDependents") is not None:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    if policy is None:
        return list(finalizers)
    others = [each for each in finalizers if each not in _FINALIZERS.values()]
    return [*others, _FINALIZERS[policy]] if policy in _FINALIZERS else others

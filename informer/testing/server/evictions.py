"""Evicts pods, if their PodDisruptionBudgets allow it.

Source: kubernetes pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.testing.storage.kinds.selectors import selects
from informer.testing.storage.object_checks import Target
from informer.testing.storage.registry import Registry
from informer.testing.storage.statuses import bad_request
from informer.testing.storage.storage import Stored
from informer.testing.storage.system_fields import now
from informer.testing.storage.write import Write
from watch.errors import ApiError

__all__ = ["evict"]

_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_RETRY_SECONDS = 10


def evict(registry: Registry, target: Target, eviction: Mapping[str, Any], write: Write) -> None:
    """Deletes a pod, and counts that in the status of its budget.

    Raises:
        ApiError: 400, the eviction has another name; 404, the pod does not exist; 429, its budget does not allow it.
    """
    if (eviction.get("metadata") or {}).get("name") != target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    options = eviction.get("deleteOptions") or {}
    pod_target = target._replace(subresource="")
    stored = registry.get(pod_target)
    pod = stored.to_dict()
    status = pod.get("status") or {}
    budgets = registry.find("policy", "v1", "poddisruptionbudgets")
    assert budgets is not None
    found = _budgets_of(registry, Target(budgets, target.namespace), stored)
    if found and status.get("phase") not in ("Succeeded", "Failed", "Pending") and not stored.marked:
        if len(found) > 1:
            raise ApiError(500, "", _SEVERAL)
        dry_run = bool(options.get("dryRun")) or write.dry_run
        budget_target = Target(budgets, target.namespace, found[0].name, "status")
        is_ready = any(
            each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions") or ()
        )
        counts = is_ready or not _ignores_unready(found[0].to_dict())
        if counts:
            registry.update(
                budget_target,
                lambda budget: _counted(budget, target.name),
                Write(dry_run=dry_run, field_manager="kube-apiserver"),
            )
    registry.delete(pod_target, options, write)


def _budgets_of(registry: Registry, target: Target, pod: Stored) -> list[Stored]:
    found = []
    for budget in registry.in_namespace(target):
        selector = (budget.to_dict().get("spec") or {}).get("selector")
        if selector is not None and selects(selector, pod.labels):
            found.append(budget)
    return found


def _ignores_unready(budget: Mapping[str, Any]) -> bool:
    """Returns whether a pod that is not ready may go in any case."""
    status = budget.get("status") or {}
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    return bool(status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0)


def _counted(budget: dict[str, Any], pod: str) -> dict[str, Any]:
    """Returns a budget that allows one disruption less."""
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", _RETRY_SECONDS)
    allowed, wanted, healthy = (
        status.get(key, 0) for key in ("disruptionsAllowed", "desiredHealthy", "currentHealthy")
    )
    if allowed <= 0:
        why = "does not allow evicting pods currently"
        if healthy <= wanted:
            why = f"needs {wanted} healthy pods and has {healthy} currently"
        raise _refused(f"The disruption budget {name} {why}", None)
    left = allowed - 1
    condition = {
        "type": "DisruptionAllowed",
        "status": "True" if left else "False",
        "observedGeneration": status["observedGeneration"],
        "lastTransitionTime": now(),
        "reason": "SufficientPods" if left else "InsufficientPods",
        "message": "",
    }
    others = [each for each in status.get("conditions") or () if each.get("type") != condition["type"]]
    disrupted = {**(status.get("disruptedPods") or {}), pod: now()}
    budget["status"] = {
        **status,
        "disruptedPods": disrupted,
        "disruptionsAllowed": left,
        "conditions": [*others, condition],
    }
    return budget


def _refused(why: str, retry_seconds: int | None) -> ApiError:
    causes = [{"reason": "DisruptionBudget", "message": why}]
    return ApiError(429, "TooManyRequests", _REFUSED, retry_seconds, details={"causes": causes})

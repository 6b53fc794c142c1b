"""Carries out what the subresources of pods are for: binding, eviction, log.

Source: kubernetes pkg/registry/core/pod/storage, with eviction.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.testing.storage.kinds.checks import selects
from informer.testing.storage.object_checks import Target, check_expected
from informer.testing.storage.registry import Registry
from informer.testing.storage.statuses import bad_request
from informer.testing.storage.system_fields import now
from informer.testing.storage.write import Write
from watch.concurrency import Lock
from watch.errors import ApiError

__all__ = ["PodLogs", "bind", "evict"]

_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_RETRY_SECONDS = 10


class PodLogs:
    """The logs of pods that tests have set.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._texts: dict[tuple[str, str, str], str] = {}  # by namespace, pod and container; guarded by _lock

    def set(self, namespace: str, pod: str, container: str, text: str) -> None:
        """Sets the log of a container; "" means any container of the pod."""
        with self._lock:
            self._texts[namespace, pod, container] = text

    def read(self, target: Target, pod: Mapping[str, Any], query: Mapping[str, str]) -> bytes | None:
        """Returns the log that a request asks for; None if the pod has no node and no log.

        Raises:
            ApiError: 400, the pod does not have the container, or has several, or an option is not a number.
        """
        spec = pod.get("spec") or {}
        names = [each.get("name") for key in ("initContainers", "containers") for each in spec.get(key) or ()]
        container = query.get("container") or ""
        if container and names and container not in names:
            raise bad_request(f"container {container} is not valid for pod {target.name}")
        if not container and len(names) > 1:
            message = f"a container name must be specified for pod {target.name}, choose one of: [{' '.join(names)}]"
            raise bad_request(message)
        tail, most = (_number(query, name) for name in ("tailLines", "limitBytes"))
        keys = [(target.namespace, target.name, each) for each in (container or str(*names[:1]), "")]
        with self._lock:
            text = next((self._texts[key] for key in keys if key in self._texts), None)
        if text is None:
            return b"" if spec.get("nodeName") else None
        lines = text.splitlines(keepends=True)
        if tail is not None:
            lines = lines[max(len(lines) - tail, 0) :]
        return "".join(lines).encode()[:most]


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is not None and not text.isdecimal():
        raise bad_request(f"{name} has to be a number of at least 0, not {text!r}")
    return None if text is None else int(text)


def bind(registry: Registry, target: Target, binding: Mapping[str, Any], write: Write) -> None:
    """Assigns a pod to a node.

    Raises:
        ApiError: 400, the binding names another pod; 404, the pod does not exist; 409, it has a node already, or another uid or
            resourceVersion than the binding; 500, as in the real server, the binding is not valid.
    """
    node, expected = binding.get("target") or {}, binding.get("metadata") or {}
    if expected.get("name") != target.name:
        raise bad_request("name in URL does not match name in Binding object")
    if not node.get("name"):
        raise ApiError(500, "", "target.name: Required value")

    def change(pod: dict[str, Any]) -> dict[str, Any]:
        check_expected(target, expected, pod["metadata"])
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        if spec.get("nodeName"):
            why = f'pod {target.name} is already assigned to node "{spec["nodeName"]}"'
            message = f'Operation cannot be fulfilled on pods/binding "{target.name}": {why}'
            raise ApiError(409, "Conflict", message, details={"name": target.name, "kind": "pods/binding"})
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
        conditions = [*(status.get("conditions") or ()), scheduled]
        return {**pod, "spec": {**spec, "nodeName": node["name"]}, "status": {**status, "conditions": conditions}}

    trusted = Write(user=write.user, dry_run=write.dry_run, with_status=True)
    registry.update(target._replace(subresource="binding"), change, trusted)


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
    status = stored.to_dict().get("status") or {}
    budgets = registry.find("policy", "v1", "poddisruptionbudgets")
    assert budgets is not None
    found = [
        budget
        for budget in registry.in_namespace(Target(budgets, target.namespace))
        if (selector := (budget.to_dict().get("spec") or {}).get("selector")) is not None
        and selects(selector, stored.labels)
    ]
    if found and status.get("phase") not in ("Succeeded", "Failed", "Pending") and not stored.marked:
        if len(found) > 1:
            raise ApiError(500, "", _SEVERAL)
        conditions = status.get("conditions") or ()
        is_ready = any((each.get("type"), each.get("status")) == ("Ready", "True") for each in conditions)
        if is_ready or not _ignores_unready(found[0].to_dict()):
            dry_run = bool(options.get("dryRun")) or write.dry_run
            registry.update(
                Target(budgets, target.namespace, found[0].name, "status"),
                lambda budget: _counted(budget, target.name),
                Write(dry_run=dry_run, field_manager="kube-apiserver"),
            )
    registry.delete(pod_target, options, write)


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
    disrupted = {**(status.get("disruptedPods") or {}), pod: now()}
    budget["status"] = {**status, "disruptedPods": disrupted, "disruptionsAllowed": allowed - 1}
    return budget


def _refused(why: str, retry_seconds: int | None) -> ApiError:
    causes = [{"reason": "DisruptionBudget", "message": why}]
    return ApiError(429, "TooManyRequests", _REFUSED, retry_seconds, details={"causes": causes})

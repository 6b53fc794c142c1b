"""Answers requests for the subresources of pods: binding, eviction, log, ephemeralcontainers, resize.

Source: kubernetes pkg/registry/core/pod/storage, with eviction.go.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from informer.testing.storage.kinds.checks import selects
from informer.testing.storage.object_checks import Target, check_expected
from informer.testing.storage.registry import Registry
from informer.testing.storage.statuses import Cause, bad_request, invalid
from informer.testing.storage.storage import Stored
from informer.testing.storage.system_fields import now
from informer.testing.storage.write import Write
from watch.concurrency import Lock
from watch.errors import ApiError

__all__ = ["PodLogs", "bind", "only_part"]

_Change = Callable[[dict[str, Any]], dict[str, Any]]


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
            ApiError: 400, the pod does not have the container, or has several; 422, an option is not valid.
        """
        spec = pod.get("spec") or {}
        names = [each.get("name") for key in ("initContainers", "containers") for each in spec.get(key) or ()]
        container = query.get("container") or ""
        if container and names and container not in names:
            raise bad_request(f"container {container} is not valid for pod {target.name}")
        if not container and len(names) > 1:
            message = f"a container name must be specified for pod {target.name}, choose one of: [{' '.join(names)}]"
            raise bad_request(message)
        numbers = {name: _number(query, name, target.name) for name in ("tailLines", "limitBytes")}
        with self._lock:
            found = [
                self._texts.get((target.namespace, target.name, each)) for each in (container or str(*names[:1]), "")
            ]
        text = next((each for each in found if each is not None), None)
        if text is None:
            return b"" if spec.get("nodeName") else None
        lines = text.splitlines(keepends=True)
        if numbers["tailLines"] is not None:
            lines = lines[len(lines) - min(numbers["tailLines"], len(lines)) :]
        return "".join(lines).encode()[: numbers["limitBytes"]]


def bind(registry: Registry, target: Target, binding: Mapping[str, Any], write: Write) -> None:
    """Assigns a pod to a node.

    Raises:
        ApiError: 400, the binding names another pod; 404, the pod does not exist; 409, it has a node already, or another uid or
            resourceVersion than the binding; 500, as in the real server, the binding is not valid.
    """
    node, expected = binding.get("target") or {}, binding.get("metadata") or {}
    if expected.get("name") != target.name:
        raise bad_request("name in URL does not match name in Binding object")
    if node.get("kind") not in (None, "", "Node"):
        message = f'Unsupported value: "{node["kind"]}": supported values: "Node", "<empty>"'
        raise ApiError(500, "", f"target.kind: {message}")
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
        metadata = pod["metadata"]
        for name in ("annotations", "labels"):
            if given := expected.get(name):
                metadata[name] = {**(metadata.get(name) or {}), **given}
        conditions = [*(status.get("conditions") or ()), scheduled]
        return {**pod, "spec": {**spec, "nodeName": node["name"]}, "status": {**status, "conditions": conditions}}

    trusted = Write(user=write.user, dry_run=write.dry_run, with_status=True)
    registry.update(target._replace(subresource="binding"), change, trusted)


def only_part(subresource: str, change: _Change) -> _Change:
    """Returns a change of a pod of which only what its subresource is about takes effect."""

    def changed(pod: dict[str, Any]) -> dict[str, Any]:
        wanted = change(copy.deepcopy(pod))
        spec = pod.get("spec") or {}
        given = wanted.get("spec") or {}
        if subresource == "ephemeralcontainers":
            _check_ephemeral(pod, given)
            spec["ephemeralContainers"] = given.get("ephemeralContainers") or []
        else:
            resources = {each.get("name"): each.get("resources") for each in given.get("containers") or ()}
            for each in spec.get("containers") or ():
                each["resources"] = resources.get(each["name"]) or each.get("resources")
        version = (wanted.get("metadata") or {}).get("resourceVersion")
        return {**pod, "metadata": {**pod["metadata"], "resourceVersion": version}, "spec": spec}

    return changed


def _check_ephemeral(pod: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    wanted = {each.get("name"): each for each in given.get("ephemeralContainers") or ()}
    for each in (pod.get("spec") or {}).get("ephemeralContainers") or ():
        why = "removed" if each["name"] not in wanted else "changed"
        if {**each, **wanted.get(each["name"], {})} != each or why == "removed":
            message = f'existing ephemeral containers "{each["name"]}" may not be {why}'
            causes = [Cause.forbidden("spec.ephemeralContainers", message)]
            raise invalid("", "Pod", pod["metadata"]["name"], causes)


def _number(query: Mapping[str, str], name: str, pod: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
    if number < 0:
        cause = Cause.bad(name, text, "must be greater than or equal to 0")
        raise invalid("", "PodLogOptions", pod, [cause])
    return number


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

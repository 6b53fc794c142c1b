"""What only the server sets in a new object of a built-in kind: its first status, and labels that contain its uid.

Source: kubernetes pkg/registry, the strategies of the kinds; the admission plugins TaintNodesByCondition and
StorageObjectInUseProtection.
"""

from __future__ import annotations

from typing import Any

from informer.testing.storage.kinds.defaults import containers_of
from informer.testing.storage.kinds.tables import rules_in, set_defaults_by

__all__ = ["complete_new", "protect", "unprotected"]

_Object = dict[str, Any]
_PROTECTION = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}
_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def protect(resource: str, metadata: _Object) -> None:
    """Gives a new claim or volume the finalizer that holds it while it is used."""
    finalizer, finalizers = _PROTECTION.get(resource), metadata.get("finalizers") or []
    if finalizer is not None and finalizer not in finalizers:
        metadata["finalizers"] = [*finalizers, finalizer]


def unprotected(claim: _Object) -> _Object:
    """Returns a claim without that finalizer, as its controller leaves it."""
    metadata = claim["metadata"]
    metadata["finalizers"] = [each for each in metadata.get("finalizers") or () if each not in _PROTECTION.values()]
    if not metadata["finalizers"]:
        del metadata["finalizers"]
    return claim


def complete_new(resource: str, obj: _Object, *, is_request: bool) -> None:
    """Completes an object of a resource such as "jobs.batch"; `is_request` is False for those of a method call."""
    spec, metadata = obj.get("spec") or {}, obj["metadata"]
    first = rules_in("first_status.yaml", _as_it_is).get(resource)
    if first is not None and (resource != "nodes" or is_request):
        set_defaults_by(first, obj)
    if resource == "pods":
        obj["status"].setdefault("qosClass", _quality_of(spec))
    elif resource == "jobs.batch" and not spec.get("manualSelector"):
        _label_job(obj)
    elif resource == "daemonsets.apps":
        generation = {"deprecated.daemonset.template.generation": "1"}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **generation}
    elif resource == "persistentvolumes":
        obj["status"].setdefault("lastPhaseTransitionTime", metadata["creationTimestamp"])
    elif resource == "nodes" and is_request:
        obj["spec"] = {**spec, "taints": [*(spec.get("taints") or ()), _NOT_READY]}
        if spec.get("podCIDR"):
            obj["spec"].setdefault("podCIDRs", [spec["podCIDR"]])


def _label_job(job: _Object) -> None:
    metadata, spec = job["metadata"], job["spec"]
    labels: dict[str, str] = {}
    for prefix in ("batch.kubernetes.io/", ""):
        labels |= {f"{prefix}controller-uid": metadata["uid"], f"{prefix}job-name": metadata["name"]}
    selected = (spec.get("selector") or {}).get("matchLabels") or {}
    spec["selector"] = {
        **(spec.get("selector") or {}),
        "matchLabels": {**selected, "batch.kubernetes.io/controller-uid": metadata["uid"]},
    }
    template = spec["template"]["metadata"]
    given = template.get("labels") or {}
    template["labels"] = {**given, **labels}
    metadata["labels"] = metadata.get("labels") or template["labels"]


def _quality_of(spec: _Object) -> str:
    names = ("cpu", "memory")
    resources = [each.get("resources") or {} for each in containers_of(spec)]
    pairs = [(each.get("limits") or {}, each.get("requests") or {}) for each in resources]
    if not any(name in each for pair in pairs for each in pair for name in names):
        return "BestEffort"
    same = all(name in limits and limits[name] == requests.get(name) for limits, requests in pairs for name in names)
    return "Guaranteed" if same else "Burstable"


def _as_it_is(value: Any) -> Any:
    return value

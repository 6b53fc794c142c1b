"""Fields of built-in kinds that no update may change.

Source: kubernetes pkg/apis/*/validation/validation.go. The real server's messages for pods and claims end with a difference of
Go's structs, which is not imitated; nor is Go's form of a struct as a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from informer.testing.storage.statuses import Cause, shown
from informer.testing.tables.cells import value_at

__all__ = ["immutability_causes"]

_Object = Mapping[str, Any]
_FIELDS = {
    "deployments.apps": ("spec.selector",),
    "replicasets.apps": ("spec.selector",),
    "daemonsets.apps": ("spec.selector",),
    "statefulsets.apps": ("spec.serviceName", "spec.selector", "spec.volumeClaimTemplates", "spec.podManagementPolicy"),
    "jobs.batch": ("spec.selector", "spec.completionMode"),
    "rolebindings.rbac.authorization.k8s.io": ("roleRef",),
    "clusterrolebindings.rbac.authorization.k8s.io": ("roleRef",),
    "storageclasses.storage.k8s.io": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    "endpointslices.discovery.k8s.io": ("addressType",),
    "priorityclasses.scheduling.k8s.io": ("value", "preemptionPolicy"),
    "secrets": ("type",),
    "ingressclasses.networking.k8s.io": ("spec.controller",),
    "controllerrevisions.apps": ("data",),
}
_FROZEN = "field is immutable when `immutable` is set"
_ONLY_IMAGES = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_ONLY_REQUESTS = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def immutability_causes(resource: str, old: _Object, new: _Object) -> list[Cause]:
    """Returns the changes of an object that the real server refuses."""
    values = [(path, value_at(old, path), value_at(new, path)) for path in _FIELDS.get(resource, ())]
    causes = [Cause.bad(path, shown(after), "field is immutable") for path, before, after in values if before != after]
    more = _BY_RESOURCE.get(resource)
    return causes + more(old, new) if more else causes


def _data_causes(old: _Object, new: _Object) -> list[Cause]:
    if not old.get("immutable"):
        return []
    names = ("immutable", "data", "binaryData")
    return [Cause.forbidden(name, _FROZEN) for name in names if (old.get(name) or {}) != (new.get(name) or {})]


def _job_causes(old: _Object, new: _Object) -> list[Cause]:
    before, after = old.get("spec") or {}, new.get("spec") or {}
    # An indexed job may change its size, and a suspended one where its pods run.
    names = [] if before.get("completionMode") == "Indexed" else ["completions"]
    names += [] if before.get("suspend") else ["template"]
    return [
        Cause.bad(f"spec.{name}", shown(after.get(name)), "field is immutable")
        for name in names
        if before.get(name) != after.get(name)
    ]


def _pod_causes(old: _Object, new: _Object) -> list[Cause]:
    before, after = old.get("spec") or {}, new.get("spec") or {}
    for name in ("containers", "initContainers"):
        if len(before.get(name) or ()) != len(after.get(name) or ()):
            return [Cause.forbidden(f"spec.{name}", "pod updates may not add or remove containers")]
    kept, tolerations = ([{**each, "tolerationSeconds": None} for each in spec.get("tolerations") or ()]
                         for spec in (before, after))  # fmt: skip
    causes = [] if _fixed(before) == _fixed(after) else [Cause.forbidden("spec", _ONLY_IMAGES)]
    if any(each not in tolerations for each in kept):
        message = "existing toleration can not be modified except its tolerationSeconds"
        causes.append(Cause.forbidden("spec.tolerations", message))
    return causes


def _fixed(spec: _Object) -> dict[str, Any]:
    """Returns a pod's spec without what may change."""
    fixed = {key: each for key, each in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for name in ("containers", "initContainers"):
        fixed[name] = [{**each, "image": ""} for each in spec.get(name) or ()]
    return fixed


def _claim_causes(old: _Object, new: _Object) -> list[Cause]:
    before, after = dict(old.get("spec") or {}), dict(new.get("spec") or {})
    for name in ("volumeName", "storageClassName", "volumeAttributesClassName"):
        if not before.get(name):  # they may be set once
            before.pop(name, None)
            after.pop(name, None)
    if before.get("volumeName"):
        before["resources"] = after.get("resources")
    return [] if before == after else [Cause.forbidden("spec", _ONLY_REQUESTS)]


_BY_RESOURCE: dict[str, Callable[[_Object, _Object], list[Cause]]] = {
    "configmaps": _data_causes,
    "secrets": _data_causes,
    "jobs.batch": _job_causes,
    "pods": _pod_causes,
    "persistentvolumeclaims": _claim_causes,
}

"""The scale subresource: an object's wanted and present replicas, in a form that all kinds share. No I/O.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from informer.listwatch.resources import Resource
from informer.testing.storage.ownership import applied
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import Cause, invalid, unreadable
from informer.testing.storage.write import Write
from informer.testing.tables.cells import selector_text, value_at

__all__ = ["SCALES", "scale_of", "scaled", "with_scale"]

SCALES = ServedResource(Resource("autoscaling", "v1", "scales", "Scale", True))
"""The resource that the scale subresources of all kinds are."""

_PATHS = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
_COPIED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(served: ServedResource, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the Scale of an object."""
    status: dict[str, Any] = {"replicas": value_at(obj, _path(served, "statusReplicasPath")) or 0}
    selector = _selector(served, obj)
    if selector:
        status["selector"] = selector
    replicas = value_at(obj, _path(served, "specReplicasPath"))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in _COPIED if key in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def with_scale(served: ServedResource, obj: dict[str, Any], scale: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the object with the number of replicas that a Scale wants.

    Raises:
        ApiError: 400, it is another kind of object; 422, `spec.replicas` is not an integer of at least 0.
    """
    if scale.get("kind") not in ("Scale", "", None):
        raise unreadable(served.resource, "it is not a Scale")
    spec = scale.get("spec")
    replicas = spec.get("replicas", 0) if isinstance(spec, Mapping) else 0
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        cause = Cause.bad("spec.replicas", str(replicas), "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", obj["metadata"]["name"], [cause])
    *parents, last = _path(served, "specReplicasPath").split(".")
    at = obj
    for parent in parents:
        at = at.setdefault(parent, {})
    at[last] = replicas
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version:
        obj["metadata"]["resourceVersion"] = version
    return obj


def scaled(
    served: ServedResource, obj: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]], write: Write
) -> dict[str, Any]:
    """Returns the object after a write of its Scale; raises as `with_scale`, and as `applied`.

    Args:
        served: the object's resource.
        obj: the object, which may be changed.
        change: returns the new Scale, given the old one.
        write: who writes, and how.
    """
    new = change(scale_of(served, obj))
    if not write.applies:
        return with_scale(served, obj, new)
    resource = served.resource
    replicas = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": obj["metadata"]["name"]},
    }
    return applied(served, "scale", obj, with_scale(served, replicas, new), write)


def _path(served: ServedResource, name: str) -> str:
    return {**_PATHS, **served.scale_paths}.get(name, "").strip(".")


def _selector(served: ServedResource, obj: Mapping[str, Any]) -> str:
    if served.custom:
        path = _path(served, "labelSelectorPath")
        return str(value_at(obj, path) or "") if path else ""
    selector = value_at(obj, "spec.selector") or {}
    is_whole = "matchLabels" in selector or "matchExpressions" in selector
    return selector_text(selector if is_whole else {"matchLabels": selector})

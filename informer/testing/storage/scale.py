"""The scale subresource: an object's wanted and present replicas, in a form that all kinds share. No I/O.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from informer.listwatch.resources import Resource
from informer.testing.storage.field_owners import FieldOwners, ManagerId, Owned, entry_order
from informer.testing.storage.field_sets import FieldSet, difference, intersection
from informer.testing.storage.ownership import updated
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import Cause, invalid
from informer.testing.storage.write import Write
from informer.testing.tables.cells import selector_text

__all__ = ["SCALES", "scale_of", "scaled", "with_scale"]

SCALES = ServedResource(Resource("autoscaling", "v1", "scales", "Scale", True))
"""The resource that the scale subresources of all kinds are."""

_PATHS = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
_COPIED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(served: ServedResource, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the Scale of an object."""
    paths = {**_PATHS, **served.scale_paths}
    status: dict[str, Any] = {"replicas": _get(obj, paths["statusReplicasPath"]) or 0}
    selector = _selector(served, obj)
    if selector:
        status["selector"] = selector
    replicas = _get(obj, paths["specReplicasPath"])
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
        ApiError: 422, `spec.replicas` is not an integer of at least 0.
    """
    spec = scale.get("spec")
    replicas = spec.get("replicas", 0) if isinstance(spec, Mapping) else 0
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        cause = Cause.bad("spec.replicas", str(replicas), "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", obj["metadata"]["name"], [cause])
    *parents, last = _replicas_path(served).strip(".").split(".")
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
    """Returns the object after a write of its Scale, with its new managedFields; raises as `with_scale`.

    Args:
        served: the object's resource.
        obj: the object, which may be changed.
        change: returns the new Scale, given the old one.
        write: who writes, and how.
    """
    path, entries = _replicas_path(served), obj["metadata"].get("managedFields") or []
    old = scale_of(served, obj)
    old["metadata"]["managedFields"] = _scale_entries(entries, path)
    new = change(old)
    new = {**new, "metadata": new.get("metadata") or {}}
    if not write.applies:
        new = updated(SCALES, "scale", old, new, write)
    obj = with_scale(served, obj, new)
    obj["metadata"]["managedFields"] = _object_entries(
        served, entries, new["metadata"].get("managedFields") or [], path
    )
    return obj


def _replicas_path(served: ServedResource) -> str:
    return {**_PATHS, **served.scale_paths}["specReplicasPath"]


def _scale_entries(entries: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Returns the managedFields of an object's Scale."""
    fields = _fields_of(path)
    return FieldOwners(
        {
            _in_version(who, SCALES): Owned(SCALES.resource.api_version, _fields_of(".spec.replicas"), owned.time)
            for who, owned in FieldOwners.read(entries).items()
            if intersection(owned.fields, fields)
        }
    ).entries()


def _object_entries(
    served: ServedResource, entries: list[dict[str, Any]], scale_entries: list[dict[str, Any]], path: str
) -> list[dict[str, Any]]:
    """Returns the managedFields of an object, given those of its changed Scale.

    As in the real server, the entry of an update has no time, and a manager may have two entries.
    """
    fields, scale, kept = _fields_of(path), FieldOwners.read(scale_entries), FieldOwners()
    for who, owned in FieldOwners.read(entries).items():
        lost = fields if intersection(owned.fields, fields) and scale.pop(who, None) is None else {}
        left = difference(owned.fields, lost)
        if left:
            kept[who] = owned._replace(fields=left)
    new = FieldOwners({_in_version(who, served): Owned(served.resource.api_version, fields, None) for who in scale})
    return sorted([*kept.entries(), *new.entries()], key=entry_order)


def _in_version(who: ManagerId, served: ServedResource) -> ManagerId:
    return who._replace(api_version=served.resource.api_version if who.operation == "Update" else "")


def _fields_of(path: str) -> FieldSet:
    fields: FieldSet = {}
    for name in reversed(path.strip(".").split(".")):
        fields = {f"f:{name}": fields}
    return fields


def _selector(served: ServedResource, obj: Mapping[str, Any]) -> str:
    if served.custom:
        path = served.scale_paths.get("labelSelectorPath")
        return str(_get(obj, path) or "") if path else ""
    selector = _get(obj, ".spec.selector") or {}
    if "matchLabels" in selector or "matchExpressions" in selector:
        return selector_text(selector)
    return selector_text({"matchLabels": selector})


def _get(obj: Any, path: str) -> Any:
    for key in path.strip(".").split("."):
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj

"""Owner references: made for children, and followed from a child to its owner."""

from __future__ import annotations

from typing import Any

from informer.objects.object import Object
from informer.record.reference import get_reference

__all__ = ["CONTROLLER_INDEX", "controller_uids", "owner_reference", "with_owner"]

CONTROLLER_INDEX = "informer.runtime/controller-uid"
"""The index of children by the uid of the object that controls them."""


def owner_reference(obj: Any, *, controller: bool = True, block_owner_deletion: bool = True) -> dict[str, Any]:
    """Returns an owner reference to an object, for `metadata.ownerReferences` of another one.

    Args:
        obj: the owner: an `Object`, a dict in API form or an official model. It has a uid, so it comes from the server.
        controller: whether the owner controls the other object; an object has at most one controller.
        block_owner_deletion: whether the owner, when it is deleted in the foreground, waits for the other object to go.

    Raises:
        ValueError: the owner has no kind, apiVersion, name or uid.

    Example:
        >>> site = {"apiVersion": "example.com/v1", "kind": "Site", "metadata": {"name": "shop", "uid": "u1"}}
        >>> owner_reference(site)["name"]
        'shop'
    """
    reference = get_reference(obj)
    missing = [field for field in ("name", "uid") if not reference.get(field)]
    if missing:
        raise ValueError(f"an owner needs a {' and a '.join(missing)}: pass an object that the server has returned")
    made: dict[str, Any] = {name: reference[name] for name in ("apiVersion", "kind", "name", "uid")}
    made["controller"] = controller
    made["blockOwnerDeletion"] = block_owner_deletion
    return made


def with_owner(obj: dict[str, Any], owner: Any) -> dict[str, Any]:
    """Returns an object in API form with a controller reference to its owner; other references stay.

    Raises:
        ValueError: another owner controls it already, or it is the owner itself.
    """
    reference = owner_reference(owner)
    metadata = dict(obj.get("metadata") or {})
    if _identity(obj) == _identity(get_reference(owner)):
        raise ValueError(f"{reference['kind']} {reference['name']} cannot own itself: pass owned=False")
    others = [each for each in metadata.get("ownerReferences") or [] if each.get("uid") != reference["uid"]]
    rival = next((each for each in others if each.get("controller")), None)
    if rival is not None:
        raise ValueError(
            f"{metadata.get('name')} is controlled by {rival.get('kind')} {rival.get('name')}: pass owned=False, or leave its "
            "ownerReferences out"
        )
    return {**obj, "metadata": {**metadata, "ownerReferences": [*others, reference]}}


def _identity(obj: dict[str, Any]) -> tuple[Any, ...]:
    """Group, kind, namespace and name of an object in API form, or of a reference."""
    metadata = obj.get("metadata") or obj
    group = str(obj.get("apiVersion")).rpartition("/")[0]
    return group, obj.get("kind"), metadata.get("namespace") or "", metadata.get("name")


def controller_uids(obj: Object) -> list[str]:
    """An index function: the uid of the object's controller."""
    return [each["uid"] for each in obj.owner_references if each.get("controller") and each.get("uid")]

"""The fields that only the server sets: uid, timestamps, generation, status. Turns what a writer sends into what is stored.

Source: apiserver pkg/registry/rest/create.go, update.go, delete.go, and the strategies of the kinds.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from informer.objects.keys import namespaced_name
from informer.testing.storage.json_values import is_same
from informer.testing.storage.served_resources import ServedResource

__all__ = [
    "changed_object",
    "key_of",
    "label_with_name",
    "new_object",
    "now",
]

# Metadata that a writer cannot change.
_SET_BY_SERVER = frozenset(
    (
        *("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    )
)
_KUBERNETES = "kubernetes"  # the finalizer that every namespace has
_NO_CONTENT = frozenset(("metadata", "status", "kind", "apiVersion"))


def key_of(metadata: Mapping[str, Any]) -> str:
    """Returns the key under which an object is stored."""
    namespace = metadata.get("namespace")
    return namespaced_name(namespace or "", str(metadata["name"]))


def now() -> str:
    """Returns the present time in the format of an object's timestamps."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def new_object(served: ServedResource, obj: Mapping[str, Any], *, with_status: bool) -> dict[str, Any]:
    """Returns what is stored for a new object; its resourceVersion is still empty."""
    given = obj["metadata"]
    metadata: dict[str, Any] = {"name": given["name"]}
    metadata.update({name: given[name] for name in ("generateName", "namespace") if given.get(name)})
    metadata.update(uid=str(uuid.uuid4()), resourceVersion="")
    if served.counts_generation:
        metadata["generation"] = 1
    metadata["creationTimestamp"] = now()
    metadata.update(_free_fields(given))
    created = {"metadata": metadata, **{k: v for k, v in obj.items() if k not in ("metadata", "kind", "apiVersion")}}
    # A new node may come with a status: a kubelet registers it so.
    if served.has_status and not with_status and served.bucket != "nodes":
        created.pop("status", None)
    _give_phase(served, created)
    return created


def changed_object(
    served: ServedResource, subresource: str, old: Mapping[str, Any], new: Mapping[str, Any], *, with_status: bool
) -> dict[str, Any]:
    """Returns what is stored for an updated object: the part of `new` that the endpoint may change, the rest of `old`."""
    is_status = subresource == "status"
    content = old if is_status else new
    with_the_status = old if served.has_status and not (is_status or with_status) else new
    changed = {key: value for key, value in content.items() if key not in ("kind", "apiVersion", "status")}
    if "status" in with_the_status:
        changed["status"] = with_the_status["status"]
    quality = (old.get("status") or {}).get("qosClass")
    if quality and is_status and served.bucket == "pods":
        changed["status"] = {**(changed.get("status") or {}), "qosClass": quality}
    if served.bucket == "namespaces" and not with_status:
        spec = changed if subresource == "finalize" else old
        changed["spec"] = {key: value for key, value in (spec.get("spec") or {}).items() if value}
    metadata = {key: value for key, value in old["metadata"].items() if key in _SET_BY_SERVER}
    given = new["metadata"]
    if is_status:
        given = {**old["metadata"], "managedFields": given.get("managedFields")}
    metadata.update(_free_fields(given))
    if served.counts_generation and subresource != "binding" and not is_same(_content(old), _content(changed)):
        metadata["generation"] = metadata.get("generation", 0) + 1
    return {"metadata": metadata, **{key: value for key, value in changed.items() if key != "metadata"}}


def _free_fields(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the metadata that a writer may set, without empty values."""
    return {k: v for k, v in metadata.items() if k not in _SET_BY_SERVER and v is not None and v not in ([], {})}


def _give_phase(served: ServedResource, obj: dict[str, Any]) -> None:
    """Sets the few defaults that tests rely on: the phase of pods and namespaces, and a namespace's label."""
    if served.resource.group:
        return
    if served.resource.kind == "Pod":
        obj["status"] = {"phase": "Pending", **(obj.get("status") or {})}
    elif served.resource.kind == "Namespace":
        label_with_name(obj["metadata"])
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        obj["spec"] = {"finalizers": [*finalizers, *([] if _KUBERNETES in finalizers else [_KUBERNETES])]}
        obj["status"] = {"phase": "Active", **(obj.get("status") or {})}


def label_with_name(metadata: dict[str, Any]) -> None:
    """Gives a namespace the label that every namespace has: its name."""
    metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}


def _content(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields whose changes increase the generation."""
    return {key: value for key, value in obj.items() if key not in _NO_CONTENT}

"""The fields that only the server sets: uid, timestamps, generation, status. Turns what a writer sends into what is stored.

Source: apiserver pkg/registry/rest/create.go, update.go, delete.go, and the strategies of the kinds.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from informer.objects.keys import namespaced_name
from informer.testing.storage.json_values import is_same
from informer.testing.storage.name_rules import generated_name
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.storage import Bucket

__all__ = [
    "changed_object",
    "generate_name",
    "key_of",
    "label_with_name",
    "mark_deleted",
    "new_object",
    "now",
]

# Attempts to generate a name that is not taken.
_NAME_TRIES = 8
# Metadata that a writer cannot change.
_SET_BY_SERVER = frozenset(
    (
        *("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    )
)
# The new objects of these resources may come with a status: a kubelet registers its node so.
_CREATED_WITH_STATUS = frozenset((("", "nodes"),))
_KUBERNETES = "kubernetes"  # the finalizer that every namespace has
_NO_CONTENT = frozenset(("metadata", "status", "kind", "apiVersion"))


def key_of(metadata: Mapping[str, Any]) -> str:
    """Returns the key under which an object is stored."""
    namespace = metadata.get("namespace")
    return namespaced_name(namespace or "", str(metadata["name"]))


def now() -> str:
    """Returns the present time in the format of an object's timestamps."""
    return _shown(int(time.time()))


@functools.lru_cache(maxsize=1)
def _shown(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
    keeps_status = with_status or (served.resource.group, served.resource.plural) in _CREATED_WITH_STATUS
    if served.has_status and not keeps_status:
        created.pop("status", None)
    _give_phase(served, created)
    return created


def changed_object(
    served: ServedResource, subresource: str, old: Mapping[str, Any], new: Mapping[str, Any], *, with_status: bool
) -> dict[str, Any]:
    """Returns what is stored for an updated object: the part of `new` that the endpoint may change, the rest of `old`."""
    changed = {key: value for key, value in new.items() if key not in ("kind", "apiVersion")}
    if subresource == "status":
        changed = {**old, **({"status": new["status"]} if "status" in new else {})}
        if "status" not in new:
            changed.pop("status", None)
        quality = (old.get("status") or {}).get("qosClass")
        if quality and served.bucket == "pods":
            changed["status"] = {**(changed.get("status") or {}), "qosClass": quality}
    elif served.has_status and not with_status:
        changed.pop("status", None)
        if "status" in old:
            changed["status"] = old["status"]
    if served.bucket == "namespaces" and not with_status:
        spec = changed if subresource == "finalize" else old
        changed["spec"] = {key: value for key, value in (spec.get("spec") or {}).items() if value}
    metadata = {key: value for key, value in old["metadata"].items() if key in _SET_BY_SERVER}
    given = new["metadata"]
    if subresource == "status":
        given = {**old["metadata"], "managedFields": given.get("managedFields")}
    metadata.update(_free_fields(given))
    if served.counts_generation and subresource != "binding" and not is_same(_content(old), _content(changed)):
        metadata["generation"] = metadata.get("generation", 0) + 1
    return {"metadata": metadata, **{key: value for key, value in changed.items() if key != "metadata"}}


def mark_deleted(served: ServedResource, obj: dict[str, Any]) -> None:
    """Sets the deletionTimestamp and what else marks an object as being deleted."""
    kind, metadata = served.resource.kind, obj["metadata"]
    metadata["deletionTimestamp"] = now()
    if kind not in ("Namespace", "CustomResourceDefinition"):
        metadata["deletionGracePeriodSeconds"] = 0
    if served.counts_generation and kind != "CustomResourceDefinition":
        metadata["generation"] = metadata.get("generation", 0) + 1
    if kind == "Namespace":
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}


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


def generate_name(bucket: Bucket, metadata: dict[str, Any]) -> None:
    """Gives an object a name that is not taken, if it has a generateName instead."""
    prefix = metadata.get("generateName")
    if metadata.get("name") or not prefix:
        return
    for _ in range(_NAME_TRIES):
        metadata["name"] = generated_name(prefix)
        if key_of(metadata) not in bucket.objects:
            return

"""Keeps the served resources in step with the CustomResourceDefinitions that are written and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.testing.storage.served_resources import ServedResources, served_versions
from informer.testing.storage.statuses import Cause, invalid
from informer.testing.storage.storage import Storage, Stored

__all__ = ["Definitions"]

_GROUP, _KIND = "apiextensions.k8s.io", "CustomResourceDefinition"


class Definitions:
    """Validates definitions, and serves or withdraws the resources that they describe.

    Threads: any; callers hold the storage's lock.
    """

    def __init__(self, storage: Storage, resources: ServedResources) -> None:
        self._storage = storage
        self._resources = resources

    def accept_locked(self, obj: dict[str, Any]) -> None:
        """Validates a new definition and sets the status that the real server's controllers would set.

        Raises:
            ApiError: 422, a required field is missing, or the name does not fit.
        """
        causes = _causes(obj)
        if causes:
            raise invalid(_GROUP, _KIND, obj["metadata"].get("name", ""), causes)
        names = obj["spec"]["names"]
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
        at = obj["metadata"]["creationTimestamp"]
        conditions = [
            {"type": "NamesAccepted", "status": "True", "lastTransitionTime": at, "reason": "NoConflicts",
             "message": "no conflicts found"},
            {"type": "Established", "status": "True", "lastTransitionTime": at, "reason": "InitialNamesAccepted",
             "message": "the initial names have been accepted"},
        ]  # fmt: skip
        stored = [version["name"] for version in obj["spec"]["versions"] if version.get("storage")]
        obj["status"] = {"conditions": conditions, "acceptedNames": dict(names), "storedVersions": stored}

    def serve_locked(self, definition: Stored) -> None:
        """Serves the versions that a definition describes."""
        obj = definition.to_dict()
        self._resources.replace_custom(definition.name, served_versions(obj))

    def withdraw_locked(self, definition: Stored) -> None:
        """Deletes the objects of a deleted definition, ends their watches and stops serving its versions."""
        bucket = self._storage.bucket_locked(definition.name)
        for stored in list(bucket.objects.values()):
            self._storage.delete_locked(bucket, stored)
        self._resources.replace_custom(definition.name, ())
        self._storage.drop_bucket_locked(definition.name)


def _causes(obj: Mapping[str, Any]) -> list[Cause]:
    spec = obj.get("spec") if isinstance(obj.get("spec"), dict) else {}
    assert spec is not None
    names = spec.get("names") or {}
    causes = [
        Cause.required(f"spec.{field}", "")
        for field, value in (
            ("group", spec.get("group")),
            ("scope", spec.get("scope")),
            ("versions", spec.get("versions")),
            ("names.plural", names.get("plural")),
            ("names.kind", names.get("kind")),
        )
        if not value
    ]
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    name = obj["metadata"].get("name", "")
    if not causes and name != wanted:
        causes.append(Cause.bad("metadata.name", f'"{name}"', 'must be spec.names.plural+"."+spec.group'))
    return causes

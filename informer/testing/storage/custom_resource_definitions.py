"""Keeps the served resources in step with the CustomResourceDefinitions that are written and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.testing.storage.schemas.definition_checks import definition_causes
from informer.testing.storage.served_resources import ServedResources, served_versions
from informer.testing.storage.statuses import invalid
from informer.testing.storage.storage import Storage, Stored
from watch.errors import ApiError

__all__ = ["Definitions"]

_GROUP, _KIND = "apiextensions.k8s.io", "CustomResourceDefinition"


class Definitions:
    """Validates definitions, and serves or withdraws the resources that they describe.

    Threads: any; callers hold the storage's lock.
    """

    def __init__(self, storage: Storage, resources: ServedResources) -> None:
        self._storage = storage
        self._resources = resources

    def accept(self, obj: dict[str, Any], old: Mapping[str, Any] | None) -> None:
        """Validates a definition and sets the defaults and the status that the real server's controllers would set.

        Args:
            obj: the definition, which is changed.
            old: the stored one; None for a new one.

        Raises:
            ApiError: 422, the definition is not valid; 501, a package that its schemas need is not installed.
        """
        names = (obj.get("spec") or {}).get("names") or {}
        if names.get("kind"):
            names.setdefault("singular", names["kind"].lower())
            names.setdefault("listKind", names["kind"] + "List")
        try:
            causes = definition_causes(obj, old)
        except ImportError as error:
            raise ApiError(501, "NotImplemented", str(error)) from error
        if causes:
            raise invalid(_GROUP, _KIND, obj["metadata"].get("name", ""), causes)
        obj["spec"].pop("preserveUnknownFields", None)
        obj["spec"].setdefault("conversion", {"strategy": "None"})
        versions = obj["spec"]["versions"]
        stored = [version["name"] for version in versions if version.get("storage")]
        if old is not None:
            status = obj.setdefault("status", {})
            status["storedVersions"] = list(dict.fromkeys((*status.get("storedVersions", ()), *stored)))
            status["acceptedNames"] = dict(names)
            return
        at = obj["metadata"]["creationTimestamp"]
        conditions = [
            {"type": "NamesAccepted", "status": "True", "lastTransitionTime": at, "reason": "NoConflicts",
             "message": "no conflicts found"},
            {"type": "Established", "status": "True", "lastTransitionTime": at, "reason": "InitialNamesAccepted",
             "message": "the initial names have been accepted"},
        ]  # fmt: skip
        obj["status"] = {"conditions": conditions, "acceptedNames": dict(names), "storedVersions": stored}

    def serve_locked(self, definition: Stored) -> None:
        """Serves the versions that a definition describes."""
        versions = served_versions(definition.to_dict())
        self._resources.replace_custom(definition.name, versions)
        for served in versions[:1]:
            bucket = self._storage.bucket_locked(served.bucket, served.paths, served.form)
            bucket.form = served.form

    def withdraw_locked(self, definition: Stored) -> None:
        """Deletes the objects of a deleted definition, ends their watches and stops serving its versions."""
        bucket = self._storage.bucket_locked(definition.name)
        for stored in list(bucket.objects.values()):
            self._storage.delete_locked(bucket, stored)
        self._resources.replace_custom(definition.name, ())
        self._storage.drop_bucket_locked(definition.name)

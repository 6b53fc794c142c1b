"""Creating, reading, changing and deleting objects, with the checks that the real server makes.

Comes in: decoded objects and patches. Goes out: the stored state. Everything that a write has to look at, it looks at
under the storage's lock, so that two writers never see the same state.

Source: apiserver pkg/registry/generic/registry/store.go and pkg/registry/rest.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from informer.discovery import Resource
from informer.testing.definitions import Definitions
from informer.testing.names import generated_name, name_error
from informer.testing.served import ServedResource, ServedResources
from informer.testing.statuses import (
    Cause,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
    wrong_precondition,
)
from informer.testing.storage import Bucket, Storage, Stored
from watch.errors import ApiError

__all__ = ["Registry", "Where"]

_NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
_INITIAL_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
# So often another random end is tried when a generated name is taken.
_NAME_TRIES = 8


class Where(NamedTuple):
    """Which object, or (without a name) which objects."""

    served: ServedResource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class Registry:
    """All writes.

    Args:
        storage: where the objects are.

    Threads: any.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.resources = ServedResources()  # guarded by the storage's lock
        self._definitions = Definitions(storage, self.resources)
        namespaces = self.resources.find("", "v1", "namespaces")
        assert namespaces is not None
        self._namespaces = namespaces
        for name in _INITIAL_NAMESPACES:
            self.create(Where(namespaces), {"metadata": {"name": name}})

    def find(self, group: str, version: str, plural: str) -> ServedResource | None:
        """The resource at a path."""
        with self._storage.lock:
            return self.resources.find(group, version, plural)

    def bucket_locked(self, served: ServedResource) -> Bucket:
        """Where the objects of a resource are."""
        return self._storage.bucket_locked(served.bucket, served.selectable)

    def get(self, where: Where) -> Stored:
        """The newest state of an object.

        Raises:
            ApiError: 404.
        """
        with self._storage.lock:
            return self._existing_locked(where)

    def create(self, where: Where, obj: dict[str, Any], *, whole: bool = False, dry_run: bool = False) -> Stored:
        """Adds an object.

        Args:
            where: its resource and namespace; a name, if any, has to be the object's.
            obj: becomes the registry's own.
            whole: its status is kept too.
            dry_run: everything is checked, and nothing stored.

        Raises:
            ApiError: it cannot be.
        """
        served = where.served
        resource = served.resource
        check_kind(served, obj)
        metadata = _metadata(obj)
        _settle_namespace(where, metadata)
        if metadata.get("resourceVersion"):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        with self._storage.lock:
            self._check_namespace_locked(where, metadata.get("namespace", ""))
            bucket = self.bucket_locked(served)
            self._settle_name_locked(served, bucket, metadata)
            if key_of(metadata) in bucket.objects:
                raise already_exists(resource, metadata["name"])
            obj["metadata"] = _system_fields_first(metadata, uid=str(uuid.uuid4()), created=now())
            if served.counts_generation:
                obj["metadata"]["generation"] = 1
            if served.has_status and not whole:
                obj.pop("status", None)
            _initial_status(resource, obj)
            if resource.kind == "CustomResourceDefinition":
                self._definitions.accept_locked(obj)
            if dry_run:
                return self._storage.made_locked(bucket, obj)
            stored = self._storage.write_locked(bucket, obj, None)
            if resource.kind == "CustomResourceDefinition":
                self._definitions.serve_locked(stored)
            return stored

    def update(
        self,
        where: Where,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        whole: bool = False,
        dry_run: bool = False,
        create: bool = False,
    ) -> tuple[Stored, bool]:
        """Changes an object.

        Args:
            where: which; its subresource says which part may be changed.
            change: makes the new object of the old one, which it may change; it is called under the lock. The
                resourceVersion that it leaves, if any, has to be the stored one's.
            whole: object and status are written at once.
            dry_run: everything is checked, and nothing stored.
            create: make the object if there is none.

        Returns:
            the newest state, and whether it was created.

        Raises:
            ApiError: it cannot be.
        """
        served = where.served
        with self._storage.lock:
            bucket = self.bucket_locked(served)
            old = bucket.objects.get(_key(where))
            if old is None:
                if not create:
                    raise not_found(served.resource, where.name)
                new = change({"metadata": {"name": where.name}})
                return self.create(where, new, whole=whole, dry_run=dry_run), True
            before = old.to_dict()
            after = change(copy.deepcopy(before))
            check_kind(served, after)
            metadata = _metadata(after)
            _settle_namespace(where, metadata)
            _check_identity(where, before["metadata"], metadata)
            self._check_version(where, metadata, old)
            after = _merge_parts(where, before, after, whole=whole)
            if served.counts_generation and _content(before) != _content(after):
                after["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
            if dry_run:
                return self._storage.made_locked(bucket, after), False
            if "deletionTimestamp" in after["metadata"] and not after["metadata"].get("finalizers"):
                return self._finish_deletion_locked(where, bucket, old), False
            if after == before:
                return old, False
            stored = self._storage.write_locked(bucket, after, old)
            if served.resource.kind == "CustomResourceDefinition":
                self._definitions.serve_locked(stored)
            return stored, False

    def delete(self, where: Where, options: Mapping[str, Any], *, dry_run: bool = False) -> tuple[Stored, bool]:
        """Deletes an object, or marks it where finalizers hold it.

        Args:
            where: which.
            options: a DeleteOptions object; its preconditions have to hold.
            dry_run: everything is checked, and nothing done.

        Returns:
            the last state, and whether it is gone.

        Raises:
            ApiError: it cannot be.
        """
        with self._storage.lock:
            bucket = self.bucket_locked(where.served)
            old = self._existing_locked(where)
            _check_preconditions(where.served.resource, old, options.get("preconditions") or {})
            if dry_run:
                return old, not old.to_dict()["metadata"].get("finalizers")
            obj = old.to_dict()
            metadata = obj["metadata"]
            held = bool(metadata.get("finalizers"))
            graceful = where.served.resource.kind == "Pod"
            if (held or graceful) and "deletionTimestamp" not in metadata:
                _insert_deletion(metadata, counted=where.served.counts_generation)
                old = self._storage.write_locked(bucket, obj, old)
            if held:
                return old, False
            return self._finish_deletion_locked(where, bucket, old), True

    def _finish_deletion_locked(self, where: Where, bucket: Bucket, old: Stored) -> Stored:
        kind = where.served.resource.kind
        if kind == "Namespace":
            self._empty_namespace_locked(old.name)
        last = self._storage.delete_locked(bucket, old)
        if kind == "CustomResourceDefinition":
            self._definitions.withdraw_locked(last)
        return last

    def _empty_namespace_locked(self, namespace: str) -> None:
        """What the namespace controller does in a cluster; there is none here."""
        for _, bucket in self._storage.buckets_locked():
            for stored in [o for o in bucket.objects.values() if o.namespace == namespace]:
                self._storage.delete_locked(bucket, stored)

    def _existing_locked(self, where: Where) -> Stored:
        stored = self.bucket_locked(where.served).objects.get(_key(where))
        if stored is None:
            raise not_found(where.served.resource, where.name)
        return stored

    def _check_namespace_locked(self, where: Where, namespace: str) -> None:
        if where.served.resource.namespaced and namespace not in self.bucket_locked(self._namespaces).objects:
            raise not_found(_NAMESPACES, namespace)

    def _settle_name_locked(self, served: ServedResource, bucket: Bucket, metadata: dict[str, Any]) -> None:
        resource = served.resource
        prefix = metadata.get("generateName")
        if not metadata.get("name") and prefix:
            for _ in range(_NAME_TRIES):
                metadata["name"] = generated_name(prefix)
                if key_of(metadata) not in bucket.objects:
                    break
        cause = name_error(metadata.get("name") or "", resource.kind, resource.group)
        if cause is not None:
            raise invalid(resource.group, resource.kind, metadata.get("name") or "", [cause])

    def _check_version(self, where: Where, metadata: Mapping[str, Any], old: Stored) -> None:
        served, resource = where.served, where.served.resource
        version = metadata.get("resourceVersion") or ""
        if version and version != str(old.resource_version):
            raise conflict(resource, where.name)
        if not version and served.needs_resource_version:
            cause = Cause.bad("metadata.resourceVersion", _ZERO, "must be specified for an update")
            raise invalid(resource.group, resource.kind, where.name, [cause])


_ZERO = "0"


def key_of(metadata: Mapping[str, Any]) -> str:
    """Under which an object is stored."""
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def now() -> str:
    """The time as objects have it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_kind(served: ServedResource, obj: Mapping[str, Any]) -> None:
    """Raises 400 where an object says to be of another kind than the resource it is written to."""
    resource = served.resource
    kind, api_version = obj.get("kind"), obj.get("apiVersion")
    if kind not in (None, "", resource.kind):
        version = api_version or resource.api_version
        shown = str(version).rpartition("/")[2]
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: converting ({shown}.{kind}) to '
            f"({resource.group.partition('.')[0] or 'core'}.{resource.kind}): unknown conversion"
        )
    if api_version not in (None, "", resource.api_version):
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )


def _key(where: Where) -> str:
    return f"{where.namespace}/{where.name}" if where.served.resource.namespaced else where.name


def _metadata(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise bad_request(f"metadata must be an object, not {type(metadata).__name__}")
    for field in ("labels", "annotations"):
        values = metadata.get(field)
        if values is not None and not (isinstance(values, dict) and all(isinstance(v, str) for v in values.values())):
            raise bad_request(f"metadata.{field} must be an object of strings")
    return metadata


def _settle_namespace(where: Where, metadata: dict[str, Any]) -> None:
    if not where.served.resource.namespaced:
        metadata.pop("namespace", None)
        return
    if metadata.get("namespace") not in (None, "", where.namespace):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = where.namespace


def _system_fields_first(metadata: Mapping[str, Any], *, uid: str, created: str) -> dict[str, Any]:
    """The metadata in the order in which the real server writes it."""
    fields: dict[str, Any] = {"name": metadata["name"]}
    for name in ("generateName", "namespace"):
        if metadata.get(name):
            fields[name] = metadata[name]
    fields.update(uid=uid, resourceVersion="", creationTimestamp=created)
    dropped = {*fields, "selfLink", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"}
    fields.update({key: value for key, value in metadata.items() if key not in dropped and value is not None})
    return fields


def _initial_status(resource: Resource, obj: dict[str, Any]) -> None:
    """What the real server itself puts into a new object; nothing else is defaulted."""
    if resource.group:
        return
    if resource.kind == "Pod":
        obj.setdefault("status", {}).setdefault("phase", "Pending")
    elif resource.kind == "Namespace":
        labels = {**(obj["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": obj["metadata"]["name"]}
        obj["metadata"]["labels"] = labels
        obj["status"] = {"phase": "Active", **(obj.get("status") or {})}


# What a writer cannot change.
_SET_BY_SERVER = frozenset(
    [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ]
)


def _check_identity(where: Where, before: Mapping[str, Any], metadata: dict[str, Any]) -> None:
    resource = where.served.resource
    name = metadata.get("name")
    if name != where.name:
        if not name:
            raise bad_request("the name of the object ( based on URL) was undeterminable: name must be provided")
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({where.name})")
    uid = metadata.get("uid")
    if uid and uid != before["uid"]:
        where_stored = f"/registry/{resource.plural}/{where.namespace}/{name}".replace("//", "/")
        raise conflict(
            resource,
            where.name,
            f"StorageError: invalid object, Code: 4, Key: {where_stored}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}",
        )


def _merge_parts(where: Where, before: Mapping[str, Any], after: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """What is written of a new object: the part that the endpoint is for, with the metadata that only the server sets."""
    merged = {key: value for key, value in after.items() if key not in ("kind", "apiVersion")}
    if where.subresource == "status":
        merged = {**before, "metadata": after["metadata"]}
        merged.pop("status", None)
        if "status" in after:
            merged["status"] = after["status"]
    elif where.served.has_status and not whole:
        merged.pop("status", None)
        if "status" in before:
            merged["status"] = before["status"]
    metadata = {key: value for key, value in before["metadata"].items() if key in _SET_BY_SERVER}
    metadata.update({k: v for k, v in after["metadata"].items() if k not in _SET_BY_SERVER and v is not None})
    merged["metadata"] = {key: value for key, value in metadata.items() if value not in ([], {})}
    return merged


def _content(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What a generation counts the changes of."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status", "kind", "apiVersion")}


def _check_preconditions(resource: Resource, old: Stored, preconditions: Mapping[str, Any]) -> None:
    uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
    if uid is not None and uid != old.uid:
        raise wrong_precondition(
            resource,
            old.name,
            f"the UID in the precondition ({uid}) does not match the UID in record ({old.uid}). "
            "The object might have been deleted and then recreated",
        )
    if version is not None and version != str(old.resource_version):
        raise wrong_precondition(
            resource,
            old.name,
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({old.resource_version}). The object might have been modified",
        )


def _insert_deletion(metadata: dict[str, Any], *, counted: bool) -> None:
    """Marks an object as being deleted, in the place where the real server writes it."""
    marked: dict[str, Any] = {}
    for key, value in metadata.items():
        marked[key] = value
        if key == "creationTimestamp":
            marked.update(deletionTimestamp=now(), deletionGracePeriodSeconds=0)
    if counted:
        marked["generation"] = metadata.get("generation", 0) + 1
    metadata.clear()
    metadata.update(marked)

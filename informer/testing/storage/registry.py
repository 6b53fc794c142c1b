"""Creating, reading, changing and deleting objects, with the checks that the real server makes.

Comes in: decoded objects and changes. Goes out: the stored state. Everything that a write has to look at, it looks at
under the storage's lock, so that two writers never see the same state.

Source: apiserver pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from informer.testing.storage.custom_resource_definitions import Definitions
from informer.testing.storage.deletion import check_delete_options, finalizers_for
from informer.testing.storage.name_rules import generated_name
from informer.testing.storage.namespaces import INITIAL, Namespaces
from informer.testing.storage.object_checks import (
    Where,
    check_finalizers,
    check_identity,
    check_kind,
    check_metadata,
    check_preconditions,
    check_uid,
    check_version,
    metadata_of,
    settle_namespace,
)
from informer.testing.storage.served_resources import ServedResource, ServedResources
from informer.testing.storage.statuses import already_exists, not_found, page_not_found
from informer.testing.storage.storage import Bucket, Storage, Stored
from informer.testing.storage.system_fields import changed_object, key_of, mark_deleted, new_object
from watch.errors import ApiError

__all__ = ["Registry"]

# So often another random end is tried when a generated name is taken.
_NAME_TRIES = 8
_DEFINITION = "CustomResourceDefinition"


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
        self._namespaces = Namespaces(storage, namespaces)
        for name in INITIAL:
            self.create(Where(namespaces), {"metadata": {"name": name}})

    def find(self, group: str, version: str, plural: str) -> ServedResource | None:
        """The resource at a path."""
        with self._storage.lock:
            return self.resources.find(group, version, plural)

    def bucket_locked(self, served: ServedResource) -> Bucket:
        """Where the objects of a resource are."""
        return self._storage.bucket_locked(served.bucket, served.paths, served.form)

    def get(self, where: Where) -> Stored:
        """The newest state of an object.

        Raises:
            ApiError: 404.
        """
        with self._storage.lock:
            return self._existing_locked(where)

    def create(self, where: Where, obj: dict[str, Any], *, with_status: bool = False, dry_run: bool = False) -> Stored:
        """Adds an object.

        Args:
            where: its resource and namespace.
            obj: becomes the registry's own.
            with_status: its status is kept too.
            dry_run: everything is checked, and nothing stored.

        Raises:
            ApiError: it cannot be.
        """
        served = where.served
        check_kind(served, obj, self._is_served)
        metadata = metadata_of(obj, served.resource)
        obj = served.to_stored(obj)
        settle_namespace(where, metadata)
        if metadata.get("resourceVersion"):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        with self._storage.lock:
            if served.custom and self.find(*served.path) is None:
                raise page_not_found()  # its definition was deleted a moment ago
            self._namespaces.check_create_locked(where, metadata.get("name") or "")
            bucket = self.bucket_locked(served)
            _generate_name(bucket, metadata)
            check_metadata(metadata, served)
            if key_of(metadata) in bucket.objects:
                raise already_exists(served.resource, metadata["name"])
            created = new_object(served, obj, with_status=with_status)
            if served.resource.kind == _DEFINITION:
                self._definitions.accept_locked(created)
            if dry_run:
                return self._storage.dry_run_locked(bucket, created)
            stored = self._storage.write_locked(bucket, created, None)
            if served.resource.kind == _DEFINITION:
                self._definitions.serve_locked(stored)
            return stored

    def update(
        self,
        where: Where,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        with_status: bool = False,
        dry_run: bool = False,
        create: bool = False,
        patch: bool = False,
    ) -> tuple[Stored, bool]:
        """Changes an object.

        Args:
            where: which; its subresource says which part may be changed.
            change: makes the new object of the old one, which it may change; it is called under the lock, so it must be
                short. The resourceVersion that it leaves, if any, has to be the stored one's.
            with_status: object and status are written at once.
            dry_run: everything is checked, and nothing stored.
            create: make the object if there is none.
            patch: whether the change was asked for as one, and not as a new object.

        Returns:
            the newest state, and whether it was created.

        Raises:
            ApiError: it cannot be.
        """
        served, resource = where.served, where.served.resource
        with self._storage.lock:
            bucket = self.bucket_locked(served)
            old = bucket.objects.get(where.key)
            if old is None:
                if not create:
                    raise not_found(resource, where.name)
                return self._create_by_update(where, change({}), with_status=with_status, dry_run=dry_run), True
            new = change(served.shown(old))
            check_kind(served, new, self._is_served)
            metadata = metadata_of(new, resource)
            new = served.to_stored(new)
            settle_namespace(where, metadata)
            check_identity(where, metadata, "" if patch else old.uid)
            check_version(where, metadata, old)
            check_metadata(metadata, served)
            check_uid(where, metadata, old.uid)
            before = old.to_dict()
            check_finalizers(where, before["metadata"], metadata)
            after = changed_object(served, where.subresource, before, new, with_status=with_status)
            if dry_run:
                return self._storage.dry_run_locked(bucket, after), False
            if after == before:
                return old, False
            return self._change_locked(served, bucket, old, after), False

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
        check_delete_options(options)
        with self._storage.lock:
            bucket = self.bucket_locked(where.served)
            old = self._existing_locked(where)
            check_preconditions(where.served.resource, old, options.get("preconditions") or {})
            if where.served is self._namespaces.served:
                self._namespaces.check_delete_locked(old.name)
            if dry_run:
                return old, not old.held
            return self._delete_locked(where.served, bucket, old, options)

    def _create_by_update(self, where: Where, obj: dict[str, Any], *, with_status: bool, dry_run: bool) -> Stored:
        metadata = metadata_of(obj, where.served.resource)
        check_version(where, metadata, None)
        check_identity(where, metadata, "")
        metadata.pop("resourceVersion", None)
        return self.create(where, obj, with_status=with_status, dry_run=dry_run)

    def _change_locked(self, served: ServedResource, bucket: Bucket, old: Stored, after: dict[str, Any]) -> Stored:
        """Stores a new state, or lets go of an object that nothing holds any more."""
        is_namespace = served is self._namespaces.served
        if old.marked and not after["metadata"].get("finalizers") and not is_namespace:
            self._remove_locked(served, bucket, old)
            return self._storage.dry_run_locked(bucket, after)
        stored = self._storage.write_locked(bucket, after, old)
        if is_namespace:
            self._namespaces.finish_locked(stored.name)
        elif served.resource.kind == _DEFINITION:
            self._definitions.serve_locked(stored)
        return stored

    def _delete_locked(
        self, served: ServedResource, bucket: Bucket, old: Stored, options: Mapping[str, Any]
    ) -> tuple[Stored, bool]:
        """Marks what has to be marked, and removes what can be removed."""
        kind = served.resource.kind
        obj = old.to_dict()
        before = obj["metadata"].get("finalizers") or []
        finalizers = finalizers_for(options, before)
        mark = not old.marked and bool(finalizers or kind in ("Pod", "Namespace", _DEFINITION))
        if mark:
            mark_deleted(served, obj)
        if mark or finalizers != before:
            obj["metadata"]["finalizers"] = finalizers
            if not finalizers:
                del obj["metadata"]["finalizers"]
            old = self._storage.write_locked(bucket, obj, old)
        if kind == _DEFINITION and not old.held:
            self._remove_locked(served, bucket, old)
            return old, False
        if served is self._namespaces.served:
            self._namespaces.empty_locked(old.name, self._delete_in_namespace_locked)
            return old, False
        return (old, False) if old.held else (self._remove_locked(served, bucket, old), True)

    def _delete_in_namespace_locked(self, bucket_name: str, bucket: Bucket, key: str) -> None:
        served = self.resources.by_bucket(bucket_name)
        old = bucket.objects.get(key)
        if served is not None and old is not None:
            self._delete_locked(served, bucket, old, {})

    def _remove_locked(self, served: ServedResource, bucket: Bucket, old: Stored) -> Stored:
        last = self._storage.delete_locked(bucket, old)
        if served.resource.kind == _DEFINITION:
            self._definitions.withdraw_locked(last)
        elif served.resource.namespaced:
            self._namespaces.finish_locked(last.namespace)
        return last

    def _existing_locked(self, where: Where) -> Stored:
        stored = self.bucket_locked(where.served).objects.get(where.key)
        if stored is None:
            raise not_found(where.served.resource, where.name)
        return stored

    def _is_served(self, api_version: str, kind: str) -> bool:
        with self._storage.lock:
            return self.resources.by_kind(api_version, kind) is not None


def _generate_name(bucket: Bucket, metadata: dict[str, Any]) -> None:
    prefix = metadata.get("generateName")
    if metadata.get("name") or not prefix:
        return
    for _ in range(_NAME_TRIES):
        metadata["name"] = generated_name(prefix)
        if key_of(metadata) not in bucket.objects:
            return

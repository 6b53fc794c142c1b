"""Creates, reads, updates and deletes objects, with the validation of the real server.

A write is prepared without the storage's lock, since admission webhooks may call the server back. The lock is held while
it is stored; if the object has changed meanwhile, the write is prepared again. So no two writers start from the same state.

Source: apiserver pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from informer.testing.storage.custom_resource_definitions import Definitions
from informer.testing.storage.deletion import (
    check_delete_options,
    marked,
    warn_of_orphans,
)
from informer.testing.storage.field_validation import check_schema, check_types, keep_known_fields
from informer.testing.storage.kinds.built_in_kinds import BuiltInKinds, check_size
from informer.testing.storage.kinds.initial_objects import initial_objects
from informer.testing.storage.kinds.new_objects import unprotected
from informer.testing.storage.name_rules import generated_name
from informer.testing.storage.namespaces import Namespaces
from informer.testing.storage.object_checks import (
    Target,
    check_changes,
    check_expected,
    check_identity,
    check_kind,
    check_metadata,
    check_version,
    metadata_of,
    set_namespace,
)
from informer.testing.storage.ownership import same_but_times, with_owners
from informer.testing.storage.served_resources import ServedResource, ServedResources
from informer.testing.storage.statuses import already_exists, denied, not_found, page_not_found
from informer.testing.storage.storage import Bucket, Storage, Stored
from informer.testing.storage.system_fields import changed_object, key_of, new_object, now
from informer.testing.storage.write import Admission, Review, Write
from watch.errors import ApiError

__all__ = ["Registry"]

_DEFINITION = "CustomResourceDefinition"
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class Registry:
    """The embedded server's objects: validates writes as kube-apiserver does, and stores them.

    Args:
        storage: stores the objects; the registry adds the initial namespaces to it.

    Threads: any.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.resources = ServedResources()  # guarded by the storage's lock
        self._definitions = Definitions(storage, self.resources)
        self._namespaces = Namespaces(storage, self.resources.existing("namespaces"))
        self._kinds = BuiltInKinds(storage)
        self.admission: Admission = Admission()
        self.empties_namespaces = True
        """Whether a deleted namespace is emptied at once, and not by the garbage collector."""
        self.seed(initial_objects("cluster", now=now()))

    def seed(self, objects: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Stores complete objects that do not exist yet, each with its resource's name, as a server does at its start."""
        with self._storage.lock:
            for name, obj in objects:
                served = self.resources.existing(name)
                bucket = self.bucket_locked(served)
                if key_of(obj["metadata"]) not in bucket.objects:
                    self._storage.write_locked(bucket, new_object(served, obj, with_status=True), None)

    def find(self, group: str, version: str, plural: str) -> ServedResource | None:
        """Returns the resource at a path; None if the server does not have it."""
        with self._storage.lock:
            return self.resources.find(group, version, plural)

    def bucket_locked(self, served: ServedResource) -> Bucket:
        """Returns the bucket with a resource's objects."""
        return self._storage.bucket_locked(served.bucket, served.paths, served.form)

    def get(self, target: Target) -> Stored:
        """Returns the newest state of an object.

        Raises:
            ApiError: 404, the object does not exist.
        """
        with self._storage.lock:
            stored = self.bucket_locked(target.served).objects.get(target.key)
        if stored is None:
            raise not_found(target.served.resource, target.name)
        return stored

    def in_namespace(self, target: Target) -> list[Stored]:
        """Returns the objects of a resource in the target's namespace."""
        with self._storage.lock:
            objects = list(self.bucket_locked(target.served).objects.values())
        return [stored for stored in objects if stored.namespace == target.namespace]

    def create(self, target: Target, obj: dict[str, Any], write: Write) -> Stored:
        """Creates an object and returns its state.

        Args:
            target: the resource and the namespace.
            obj: the object; the registry takes ownership of it.
            write: who writes, and how.

        Raises:
            ApiError: the object is not valid, or exists already.
        """
        served = target.served
        check_kind(served, obj)
        metadata = metadata_of(obj, served.resource)
        keep_known_fields(served, obj, None, write)
        check_types(served, obj, None, write)
        set_namespace(target, metadata)
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            metadata.pop(name, None)
        if metadata.get("resourceVersion"):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        with self._storage.lock:
            self._check_place_locked(target, metadata.get("name") or "")
        obj = self._mutated(Review(target, "CREATE", obj, None, write))
        with self._storage.lock:
            created = self._new_locked(target, obj, write)
        if served.resource.kind == _DEFINITION:
            self._definitions.accept(created, None)
        check_schema(target, created, None, write)
        self.admission.validate(Review(target, "CREATE", created, None, write))
        with self._storage.lock:
            self._check_place_locked(target, created["metadata"]["name"])
            bucket = self.bucket_locked(served)
            if key_of(created["metadata"]) in bucket.objects:
                raise already_exists(served.resource, created["metadata"]["name"])
            check_size(created, write)
            if write.dry_run:
                return self._storage.dry_run_locked(bucket, created)
            stored = self._storage.write_locked(bucket, created, None)
            if served.resource.kind == _DEFINITION:
                self._definitions.serve_locked(stored)
            return stored

    def update(
        self, target: Target, change: Callable[[dict[str, Any]], dict[str, Any]], write: Write, *, create: bool = False
    ) -> tuple[Stored, bool]:
        """Updates an object.

        Args:
            target: the object; its subresource decides which part of the object is updated.
            change: returns the new object, given the old one, which it may change. It is called again if the object
                changes meanwhile. A resourceVersion in the new object must be that of the stored object.
            write: who writes, and how.
            create: create the object if it does not exist.

        Returns:
            The newest state, and whether the object was created.

        Raises:
            ApiError: the new object is not valid, or the object does not exist.
        """
        served, warned = target.served, len(write.warnings)
        while True:
            with self._storage.lock:
                old = self.bucket_locked(served).objects.get(target.key)
            if old is None:
                if not create:
                    raise not_found(served.resource, target.name)
                return self._create_by_update(target, change({}), write), True
            before = served.read(old)
            after = self._changed(target, change(served.shown(old)), old, before, write)
            with self._storage.lock:
                bucket = self.bucket_locked(served)
                if bucket.objects.get(target.key) is old:
                    if not write.dry_run and same_but_times(before, after):
                        return old, False
                    return self._change_locked(served, bucket, old, after, write), False
            del write.warnings[warned:]  # another writer was faster

    def delete(
        self,
        target: Target,
        options: Mapping[str, Any],
        write: Write = Write(),  # noqa: B008 - it is immutable
    ) -> tuple[Stored, bool]:
        """Deletes an object, or marks it with a deletionTimestamp if it has finalizers.

        Args:
            target: the object.
            options: a DeleteOptions object, whose preconditions must hold. With dryRun nothing is changed.
            write: who deletes.

        Returns:
            The last state, and whether the answer is a Status for a removed object (False for definitions and namespaces,
            except in a dry run).

        Raises:
            ApiError: the object does not exist, must not be deleted, or a precondition does not hold.
        """
        check_delete_options(options)
        served, warned = target.served, len(write.warnings)
        write = replace(write, options=options, dry_run=write.dry_run or bool(options.get("dryRun")))
        while True:
            old = self.get(target)
            stored = {"uid": old.uid, "resourceVersion": str(old.resource_version)}
            check_expected(target, options.get("preconditions") or {}, stored)
            if served is self._namespaces.served:
                self._namespaces.check_delete(old.name)
            write.warnings.extend(warn_of_orphans(served.resource, options))
            review = Review(target, "DELETE", None, old, write)
            self.admission.mutate(review)
            self.admission.validate(review)
            with self._storage.lock:
                bucket = self.bucket_locked(served)
                if bucket.objects.get(target.key) is old:
                    return self._delete_locked(served, bucket, old, options, dry_run=write.dry_run)
            del write.warnings[warned:]

    def finish_namespace(self, name: str) -> None:
        """Removes a namespace if it is being deleted and is empty."""
        with self._storage.lock:
            self._namespaces.finish_locked(name)

    def _check_place_locked(self, target: Target, name: str) -> None:
        """Raises ApiError if the resource or namespace of a new object does not exist, or is being deleted."""
        if target.served.custom:
            if self.find(*target.served.path) is None:
                raise page_not_found()  # its definition was deleted after the request was routed
            definition = self._storage.bucket_locked(_DEFINITIONS).objects.get(target.served.bucket)
            if definition is not None and definition.marked:
                why = "create not allowed while custom resource definition is terminating"
                raise denied(target.served.resource, name, why)
        self._namespaces.check_create_locked(target, name)

    def _new_locked(self, target: Target, obj: dict[str, Any], write: Write) -> dict[str, Any]:
        """Returns a new object as it is stored."""
        served = target.served
        metadata = obj["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = generated_name(metadata["generateName"])
        review = Review(target, "CREATE", obj, None, write)
        causes, is_request = self._kinds.causes(review), write.field_manager is not None
        write.warnings.extend(check_metadata(served, metadata, {}, causes, is_request=is_request))
        created = new_object(served, obj, with_status=write.with_status)
        self._kinds.complete(review._replace(obj=created))
        return created

    def _changed(
        self, target: Target, new: dict[str, Any], old: Stored, before: Mapping[str, Any], write: Write
    ) -> dict[str, Any]:
        """Returns a changed object as it is stored, given what the client wants and what is stored."""
        served = target.served
        check_kind(served, new, patched=write.patches)
        metadata = metadata_of(new, served.resource)
        live = served.from_stored(dict(before))
        keep_known_fields(served, new, live, write)
        check_types(served, new, live, write)
        set_namespace(target, metadata)
        check_identity(target, metadata, "" if write.patches else old.uid)
        review = Review(target, "UPDATE", new, old, write, before)
        new = self._mutated(review)
        metadata = new["metadata"]
        check_version(target, metadata, old)
        causes = self._kinds.causes(review._replace(obj=new))
        is_request = write.field_manager is not None
        write.warnings.extend(check_metadata(served, metadata, before["metadata"], causes, is_request=is_request))
        check_changes(target, before["metadata"], metadata)
        after = changed_object(served, target.subresource, before, new, with_status=write.with_status)
        self._kinds.complete(review._replace(obj=after))
        if served.resource.kind == _DEFINITION and not target.subresource:
            self._definitions.accept(after, before)
        check_schema(target, after, before, write)
        self.admission.validate(review._replace(obj=after))
        return after

    def _mutated(self, review: Review) -> Any:
        """Returns an object as it is stored, with defaults and owners, and as mutating webhooks want it."""
        target, _, obj, _, write, before = review
        served = target.served
        if not served.is_view:  # the defaults of another view are those of the stored fields
            self._kinds.set_defaults(review)
        if target.subresource != "binding":  # which has no manager
            obj = with_owners(served, target.subresource, before, obj or {}, write)
        review = review._replace(obj=obj)
        self._kinds.admit(review)
        mutated = self.admission.mutate(review)
        if mutated is not obj:
            keep_known_fields(served, mutated, None, replace(write, field_validation="Ignore"))
        stored = served.to_stored(mutated)
        if served.is_view or mutated is not obj:
            self._kinds.set_defaults(review._replace(obj=stored))
        return stored

    def _create_by_update(self, target: Target, obj: dict[str, Any], write: Write) -> Stored:
        metadata = metadata_of(obj, target.served.resource)
        check_version(target, metadata, None)
        check_identity(target, metadata, "")
        if write.applies:
            check_expected(target, {"uid": metadata.get("uid")}, {})
        metadata.pop("resourceVersion", None)
        return self.create(target, obj, write)

    def _change_locked(
        self, served: ServedResource, bucket: Bucket, old: Stored, after: dict[str, Any], write: Write
    ) -> Stored:
        """Stores a new state, or removes a marked object whose last finalizer is removed."""
        check_size(after, write)
        if write.dry_run:
            return self._storage.dry_run_locked(bucket, after)
        is_namespace, is_definition = served is self._namespaces.served, served.resource.kind == _DEFINITION
        held = after["metadata"].get("finalizers") or (is_namespace and after["spec"].get("finalizers"))
        if old.marked and not held and not is_definition:
            self._remove_locked(served, bucket, old)
            return self._storage.dry_run_locked(bucket, after)
        stored = self._storage.write_locked(bucket, after, old)
        if is_namespace:
            self._namespaces.finish_locked(stored.name)
        elif is_definition:
            self._definitions.serve_locked(stored)
            self._empty_definition_locked(stored.name)
        return stored

    def _delete_locked(
        self, served: ServedResource, bucket: Bucket, old: Stored, options: Mapping[str, Any], *, dry_run: bool = False
    ) -> tuple[Stored, bool]:
        """Marks an object if it must be marked, and removes it if nothing holds it."""
        obj = marked(served, old, options)
        is_namespace, is_definition = served is self._namespaces.served, served.resource.kind == _DEFINITION
        if dry_run:
            old = old if obj is None else self._storage.dry_run_locked(bucket, obj)
            return old, not (old.held or is_namespace or is_definition)
        if obj is not None:
            old = self._storage.write_locked(bucket, obj, old)
        if is_definition:
            self._empty_definition_locked(old.name)
        elif is_namespace:
            if self.empties_namespaces:
                self._empty_namespace_locked(old.name)
        elif not old.held:
            return self._remove_locked(served, bucket, old), True
        return old, False

    def _empty_namespace_locked(self, name: str) -> None:
        """Deletes every object in a marked namespace, then the namespace if it is empty."""
        for bucket_name, bucket in self._storage.buckets_locked():
            served = self.resources.by_bucket(bucket_name)
            if served is None:
                continue
            for each in [each for each in bucket.objects.values() if each.namespace == name]:
                is_claim = bucket_name == "persistentvolumeclaims"
                stored = self._storage.write_locked(bucket, unprotected(each.to_dict()), each) if is_claim else each
                self._delete_locked(served, bucket, stored, {"propagationPolicy": "Background"})
        self._namespaces.finish_locked(name)

    def _empty_definition_locked(self, name: str) -> None:
        """Deletes the objects of a definition that is being deleted, and the definition once it has none."""
        definitions = self.resources.existing(_DEFINITIONS)
        bucket = self.bucket_locked(definitions)
        definition, served = bucket.objects.get(name), self.resources.by_bucket(name)
        if definition is None or not definition.marked:
            return
        left = {}
        if served is not None:
            left = self.bucket_locked(served).objects
            for stored in [each for each in left.values() if not each.marked]:
                self._delete_locked(served, self.bucket_locked(served), stored, {})
        # The deletion of the last object has removed the definition already.
        if not left and not definition.held and name in bucket.objects:
            self._remove_locked(definitions, bucket, definition)

    def _remove_locked(self, served: ServedResource, bucket: Bucket, old: Stored) -> Stored:
        last = self._storage.delete_locked(bucket, old)
        if served.resource.kind == _DEFINITION:
            self._definitions.withdraw_locked(last)
        elif served.resource.namespaced:
            self._namespaces.finish_locked(last.namespace)
        if served.custom and not bucket.objects:
            self._empty_definition_locked(served.bucket)
        return last

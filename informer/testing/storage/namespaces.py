"""What a namespace's deletion does to the objects in it: the work of the namespace controller, which is not here.

A namespace that is deleted is marked, all that is in it is deleted, and when nothing is left it goes too. What has
finalizers keeps it until they are gone.

Source: kubernetes pkg/controller/namespace, and the NamespaceLifecycle admission plugin.
"""

from __future__ import annotations

from collections.abc import Callable

from informer.testing.storage.object_checks import Where
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import not_found
from informer.testing.storage.storage import Bucket, Storage
from watch.errors import ApiError

__all__ = ["Namespaces"]

INITIAL = ("default", "kube-node-lease", "kube-public", "kube-system")
_IMMORTAL = frozenset(("default", "kube-public", "kube-system"))


class Namespaces:
    """Guards them; every method is called under the storage's lock."""

    def __init__(self, storage: Storage, served: ServedResource) -> None:
        self._storage = storage
        self.served = served

    def check_create_locked(self, where: Where, name: str) -> None:
        """Raises 404 where an object's namespace is not there, 403 where it is going."""
        resource = where.served.resource
        if not resource.namespaced:
            return
        namespace = self._bucket_locked().objects.get(where.namespace)
        if namespace is None:
            raise not_found(self.served.resource, where.namespace)
        if namespace.marked:
            words = f"unable to create new content in namespace {where.namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {where.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            details = {"name": name, **({"group": resource.group} if resource.group else {}), "kind": resource.plural}
            details["causes"] = [cause]  # type: ignore[assignment]
            raise ApiError(403, "Forbidden", f'{resource.name} "{name}" is forbidden: {words}', details=details)

    def check_delete_locked(self, name: str) -> None:
        """Raises 403 for those that the cluster needs."""
        if name in _IMMORTAL:
            words = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
            raise ApiError(403, "Forbidden", words, details={"name": name, "kind": "namespaces"})

    def empty_locked(self, name: str, remove: Callable[[str, Bucket, str], object]) -> None:
        """Deletes what is in a namespace that was marked, and the namespace itself when nothing is left.

        Args:
            name: of the namespace.
            remove: deletes or marks the object of a bucket (given by name, too) that a key names.
        """
        for bucket_name, bucket in self._storage.buckets_locked():
            for stored in [each for each in bucket.objects.values() if each.namespace == name]:
                remove(bucket_name, bucket, stored.key)
        self.finish_locked(name)

    def finish_locked(self, name: str) -> None:
        """Takes a namespace away that was marked and is empty."""
        bucket = self._bucket_locked()
        namespace = bucket.objects.get(name)
        if namespace is None or not namespace.marked or namespace.held:
            return
        if not any(
            stored.namespace == name for _, each in self._storage.buckets_locked() for stored in each.objects.values()
        ):
            self._storage.delete_locked(bucket, namespace)

    def _bucket_locked(self) -> Bucket:
        return self._storage.bucket_locked(self.served.bucket, self.served.paths)

"""The rules of namespaces, with the work that a real cluster's namespace controller does.

Deleting a namespace marks it and deletes every object in it. The namespace is removed with its last object; an object
with finalizers holds it back.

Source: kubernetes pkg/controller/namespace, and the NamespaceLifecycle admission plugin.
"""

from __future__ import annotations

from informer.testing.storage.object_checks import Target
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import denied, not_found
from informer.testing.storage.storage import Bucket, Storage

__all__ = ["Namespaces"]

_IMMORTAL = frozenset(("default", "kube-public", "kube-system"))


class Namespaces:
    """Checks writes against the namespaces that exist, and empties deleted namespaces.

    Threads: any; callers hold the storage's lock.
    """

    def __init__(self, storage: Storage, served: ServedResource) -> None:
        self._storage = storage
        self.served = served

    def check_create_locked(self, target: Target, name: str) -> None:
        """Raises ApiError: 404 if an object's namespace does not exist, 403 if it is being deleted."""
        resource = target.served.resource
        if not resource.namespaced:
            return
        namespace = self._bucket_locked().objects.get(target.namespace)
        if namespace is None:
            raise not_found(self.served.resource, target.namespace)
        if namespace.marked:
            why = f"unable to create new content in namespace {target.namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {target.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise denied(resource, name, why, [cause])

    def check_delete(self, name: str) -> None:
        """Raises ApiError 403 for the namespaces that must not be deleted."""
        if name in _IMMORTAL:
            raise denied(self.served.resource, name, "this namespace may not be deleted")

    def finish_locked(self, name: str) -> None:
        """Removes a namespace if it is marked and empty."""
        bucket = self._bucket_locked()
        namespace = bucket.objects.get(name)
        if namespace is None or not namespace.marked or namespace.held:
            return
        if any(each != "kubernetes" for each in (namespace.to_dict().get("spec") or {}).get("finalizers") or ()):
            return
        if self._storage.is_empty_locked(name):
            self._storage.delete_locked(bucket, namespace)

    def _bucket_locked(self) -> Bucket:
        return self._storage.bucket_locked(self.served.bucket, self.served.paths)

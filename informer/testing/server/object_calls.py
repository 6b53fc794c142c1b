"""An API server's objects as plain calls, without HTTP."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

from informer.testing.listwatch.list_options import ListQuery
from informer.testing.listwatch.list_pages import list_page
from informer.testing.listwatch.selection import read_selection
from informer.testing.server.object_arguments import find_resource, plain_object, resource_of
from informer.testing.storage.object_checks import Where
from informer.testing.storage.patches import PatchError, json_patch, merge_patch
from informer.testing.storage.registry import Registry
from informer.testing.storage.statuses import bad_request
from informer.testing.storage.storage import Storage

__all__ = ["ObjectCalls"]

_DEFAULT_NAMESPACE = "default"


class ObjectCalls:
    """Writes and reads, through the same checks as a client's requests; what they write, every watch sees.

    An object is a dict in API form, an `informer.Object` or an official model. Its namespace, where it says none, is
    "default". Unlike a client's request, `create`, `update` and `patch` write the status together with the rest. What they
    return is the object as it is stored, a dict of one's own. A resource is named as in "pods", "deployments.apps",
    "v1/pods" or "apps/v1/Deployment".

    Raises:
        ApiError: what a client would get as an answer: 404, 409, 422 ...

    Threads: any. They do not wait for clients.
    """

    def __init__(self, storage: Storage, registry: Registry) -> None:
        self._storage = storage
        self._registry = registry

    def create(self, obj: Any, *, namespace: str | None = None) -> dict[str, Any]:
        """Adds an object; `namespace` is for one that does not say its own."""
        plain, where = self._locate(obj, namespace)
        return where.served.shown(self._registry.create(where._replace(name=""), plain, with_status=True))

    def update(self, obj: Any, *, namespace: str | None = None) -> dict[str, Any]:
        """Replaces an object; if it says its resourceVersion, that has to be the stored one's."""
        plain, where = self._locate(obj, namespace)
        stored, _ = self._registry.update(where, lambda _: plain, with_status=True)
        return where.served.shown(stored)

    def patch(self, resource: str, name: str, patch: Any, *, namespace: str | None = None) -> dict[str, Any]:
        """Changes an object by a merge patch (a dict) or a JSON patch (a list of operations)."""
        where = self._where(resource, name, namespace)

        def change(obj: dict[str, Any]) -> dict[str, Any]:
            try:
                changed: dict[str, Any] = json_patch(obj, patch) if isinstance(patch, list) else merge_patch(obj, patch)
            except PatchError as error:
                raise bad_request(str(error)) from error
            return changed

        stored, _ = self._registry.update(where, change, with_status=True)
        return where.served.shown(stored)

    def delete(self, obj: Any, name: str | None = None, *, namespace: str | None = None) -> dict[str, Any]:
        """Deletes an object, given itself or by resource and name; one with finalizers is only marked."""
        where = self._where(obj, name, namespace) if isinstance(obj, str) else self._locate(obj, namespace)[1]
        stored, _ = self._registry.delete(where, {})
        return where.served.shown(stored)

    def get(self, resource: str, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """One object."""
        where = self._where(resource, name, namespace)
        return where.served.shown(self._registry.get(where))

    def list(
        self, resource: str, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> builtins.list[dict[str, Any]]:
        """The objects of a resource in a namespace or (None) in all, in the order of their keys."""
        with self._storage.lock:
            served = find_resource(resource, self._registry.resources)
            bucket = self._registry.bucket_locked(served)
        options = ListQuery(label_selector=label_selector, field_selector=field_selector)
        selection = read_selection(options, served, "", sharding=False)
        page = list_page(self._storage, bucket, namespace or "", options, selection)
        return [served.shown(stored) for stored in page.objects]

    def define(
        self,
        kind: str,
        *,
        group: str = "example.com",
        versions: Sequence[str] = ("v1",),
        plural: str | None = None,
        namespaced: bool = True,
        status: bool = False,
        selectable: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Adds a CustomResourceDefinition that takes any fields, and returns it.

        Args:
            kind: such as "Widget".
            group: of its API.
            versions: all are served, and the first is stored.
            plural: None takes the kind in small letters with an "s".
            namespaced: whether its objects are in namespaces.
            status: whether they have a status of their own.
            selectable: fields that can be selected by, such as ".spec.color".
        """
        plural = plural or kind.lower() + "s"
        schema = {"openAPIV3Schema": _schema_of(selectable)}
        more: dict[str, Any] = {"subresources": {"status": {}}} if status else {}
        if selectable:
            more["selectableFields"] = [{"jsonPath": path} for path in selectable]
        listed = [
            {"name": name, "served": True, "storage": name == versions[0], "schema": schema, **more}
            for name in versions
        ]
        spec = {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {"plural": plural, "kind": kind},
            "versions": listed,
        }
        definition = {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1"}
        return self.create({**definition, "metadata": {"name": f"{plural}.{group}"}, "spec": spec})

    def _locate(self, obj: Any, namespace: str | None) -> tuple[dict[str, Any], Where]:
        with self._storage.lock:
            plain = plain_object(obj, self._registry.resources)
            served = resource_of(plain, self._registry.resources)
        metadata = plain.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        namespace = metadata.get("namespace") or namespace or _DEFAULT_NAMESPACE
        return plain, Where(served, namespace if served.resource.namespaced else "", metadata.get("name") or "")

    def _where(self, resource: str, name: str | None, namespace: str | None) -> Where:
        if not name:
            raise ValueError("a name is needed")
        with self._storage.lock:
            served = find_resource(resource, self._registry.resources)
        return Where(served, (namespace or _DEFAULT_NAMESPACE) if served.resource.namespaced else "", name)


def _schema_of(paths: Sequence[str]) -> dict[str, Any]:
    """A schema that takes any fields, and names those that have to be named to be selectable."""
    schema: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for path in paths:
        *parents, last = path.strip(".").split(".")
        at = schema
        for parent in parents:
            properties = at.setdefault("properties", {})
            at = properties.setdefault(parent, {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
        at.setdefault("properties", {})[last] = {"type": "string"}
    return schema

"""The embedded API server's objects as plain method calls, without HTTP."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

from informer.listwatch.resources import parse_name
from informer.objects.models import parse_model_name
from informer.objects.object import Object
from informer.testing.listwatch.list_options import ListQuery
from informer.testing.listwatch.list_pages import list_page
from informer.testing.listwatch.selection import read_selection
from informer.testing.server.pod_requests import PodLogs
from informer.testing.storage.json_values import decode_object_json
from informer.testing.storage.object_checks import Target
from informer.testing.storage.patches import PatchError, json_patch, merge_patch
from informer.testing.storage.registry import Registry
from informer.testing.storage.served_resources import ServedResource, ServedResources
from informer.testing.storage.statuses import bad_request
from informer.testing.storage.storage import Storage
from informer.testing.storage.write import Write
from watch.errors import ApiError

__all__ = ["ObjectCalls"]

_DEFAULT_NAMESPACE = "default"


class ObjectCalls:
    """Reads and writes a server's objects without HTTP.

    Every watch sees what a call writes. Names and metadata are validated as in a client's request. Unlike requests,
    `create`, `update` and `patch` write the status together with the rest, require no other fields, and may change
    immutable ones. A spec gets the defaults of its kind; an object without a spec stays without.

    Objects are dicts in API form, `informer.Object`s or models of the official client. An object without a namespace
    is in "default". The methods return the stored object as a dict that the caller may change. Resources are named
    "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment".

    Raises:
        ApiError: the server refuses the call, with the status that a client would get, such as 404, 409 or 422.

    Threads: any. A write waits for the admission webhooks that it concerns, and for nothing else.
    """

    def __init__(self, storage: Storage, registry: Registry) -> None:
        self._storage = storage
        self._registry = registry
        self._logs = PodLogs()

    def create(self, obj: Any, *, namespace: str | None = None, field_manager: str | None = None) -> dict[str, Any]:
        """Creates an object and returns it as it is stored.

        Args:
            obj: the object, with kind and apiVersion.
            namespace: the namespace of an object that does not name one; None means "default".
            field_manager: the owner of the fields in `metadata.managedFields`; None creates an object without managedFields.
        """
        converted, target = self._convert(obj, namespace)
        return target.served.shown(self._registry.create(target._replace(name=""), converted, _call(field_manager)))

    def update(self, obj: Any, *, namespace: str | None = None, field_manager: str | None = None) -> dict[str, Any]:
        """Replaces an object and returns it as it is stored.

        Args:
            obj: the new object. If it has a resourceVersion, the stored object must have the same.
            namespace: the namespace of an object that does not name one; None means "default".
            field_manager: the owner of the changed fields, if the object has managedFields.
        """
        converted, target = self._convert(obj, namespace)
        stored, _ = self._registry.update(target, lambda _: converted, _call(field_manager))
        return target.served.shown(stored)

    def patch(
        self, resource: str, name: str, patch: Any, *, namespace: str | None = None, field_manager: str | None = None
    ) -> dict[str, Any]:
        """Changes an object by a patch and returns it as it is stored.

        Args:
            resource: such as "pods" or "deployments.apps".
            name: the object's name.
            patch: a merge patch (a dict) or a JSON patch (a list of operations).
            namespace: the object's namespace; None means "default".
            field_manager: the owner of the changed fields, if the object has managedFields.

        Raises:
            ImportError: a JSON patch needs the package `jsonpatch`: `pip install 'kube-informer[testing]'`.
        """
        target = self._target(resource, name, namespace)

        def change(obj: dict[str, Any]) -> dict[str, Any]:
            try:
                changed: dict[str, Any] = json_patch(obj, patch) if isinstance(patch, list) else merge_patch(obj, patch)
            except PatchError as error:
                raise bad_request(str(error)) from error
            return changed

        stored, _ = self._registry.update(target, change, _call(field_manager))
        return target.served.shown(stored)

    def delete(self, obj: Any, name: str | None = None, *, namespace: str | None = None) -> dict[str, Any]:
        """Deletes an object and returns its last state.

        An object with finalizers is only marked: it gets a deletionTimestamp and stays until they are removed.

        Args:
            obj: the object, or its resource, such as "pods".
            name: the object's name, if `obj` is a resource.
            namespace: the namespace, unless the object names one; None means "default".
        """
        target = self._target(obj, name, namespace) if isinstance(obj, str) else self._convert(obj, namespace)[1]
        stored, _ = self._registry.delete(target, {})
        return target.served.shown(stored)

    def get(self, resource: str, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """Returns one object.

        Args:
            resource: such as "pods" or "deployments.apps".
            name: the object's name.
            namespace: the object's namespace; None means "default".
        """
        target = self._target(resource, name, namespace)
        return target.served.shown(self._registry.get(target))

    def list(
        self, resource: str, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> builtins.list[dict[str, Any]]:
        """Returns the objects of a resource, sorted by namespace and name.

        Args:
            resource: such as "pods" or "deployments.apps".
            namespace: only objects in this namespace; None means all.
            label_selector: such as "app=web"; "" selects all.
            field_selector: such as "status.phase=Running"; "" selects all.
        """
        with self._storage.lock:
            served = _find_resource(resource, self._registry.resources)
            bucket = self._registry.bucket_locked(served)
        options = ListQuery(label_selector=label_selector, field_selector=field_selector)
        selection = read_selection(options, served, "", sharding=False)
        page = list_page(self._storage, bucket, namespace or "", options, selection)
        return [served.shown(stored) for stored in page.objects]

    def set_log(self, name: str, text: str, *, namespace: str | None = None, container: str = "") -> None:
        """Sets the text that clients read as the log of a pod.

        Args:
            name: the pod's name. The pod need not exist yet.
            text: the whole log.
            namespace: the pod's namespace; None means "default".
            container: one of the pod's containers; "" means each container without a log of its own.
        """
        self._logs.set(namespace or _DEFAULT_NAMESPACE, name, container, text)

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
        schema: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Creates a CustomResourceDefinition and returns it.

        The server serves the new resource at once.

        Args:
            kind: such as "Widget".
            group: the API group.
            versions: the versions; all are served, and the first one is stored.
            plural: the resource's name; None means the kind in lower case with an "s" appended.
            namespaced: whether the objects are in namespaces.
            status: whether the objects have a status subresource.
            selectable: the fields that field selectors may use, such as ".spec.color".
            schema: the openAPIV3Schema of every version; None means that objects may have any fields.
        """
        plural = plural or kind.lower() + "s"
        given = {"openAPIV3Schema": _schema_of(selectable) if schema is None else schema}
        more: dict[str, Any] = {"subresources": {"status": {}}} if status else {}
        if selectable:
            more["selectableFields"] = [{"jsonPath": path} for path in selectable]
        listed = [
            {"name": name, "served": True, "storage": name == versions[0], "schema": given, **more} for name in versions
        ]
        spec = {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {"plural": plural, "kind": kind},
            "versions": listed,
        }
        definition = {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1"}
        return self.create({**definition, "metadata": {"name": f"{plural}.{group}"}, "spec": spec})

    def _convert(self, obj: Any, namespace: str | None) -> tuple[dict[str, Any], Target]:
        with self._storage.lock:
            plain = _plain_object(obj, self._registry.resources)
            served = _resource_of(plain, self._registry.resources)
        metadata = plain.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        namespace = metadata.get("namespace") or namespace or _DEFAULT_NAMESPACE
        return plain, Target(served, namespace if served.resource.namespaced else "", metadata.get("name") or "")

    def _target(self, resource: str, name: str | None, namespace: str | None) -> Target:
        if not name:
            raise ValueError("the object's name is missing: pass it as the second argument")
        with self._storage.lock:
            served = _find_resource(resource, self._registry.resources)
        return Target(served, (namespace or _DEFAULT_NAMESPACE) if served.resource.namespaced else "", name)


def _call(field_manager: str | None) -> Write:
    return Write(with_status=True, field_manager=field_manager)


def _schema_of(paths: Sequence[str]) -> dict[str, Any]:
    """Returns a schema that allows any fields and declares the selectable ones, as the real server requires."""
    schema: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for path in paths:
        *parents, last = path.strip(".").split(".")
        at = schema
        for parent in parents:
            properties = at.setdefault("properties", {})
            at = properties.setdefault(parent, {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
        at.setdefault("properties", {})[last] = {"type": "string"}
    return schema


def _plain_object(obj: Any, resources: ServedResources) -> dict[str, Any]:
    """Returns an object as a new dict in API form.

    Args:
        obj: a dict, an `informer.Object` or a model of the official client; a model may leave out kind and apiVersion.
        resources: the served resources, from which the apiVersion of such a model is taken.

    Raises:
        TypeError: the argument is something else.
    """
    if isinstance(obj, Object):
        return dict(decode_object_json(obj.raw))
    if isinstance(obj, Mapping):
        return dict(decode_object_json(Object.from_dict(obj).raw))
    if hasattr(obj, "openapi_types"):
        return _of_model(obj, resources)
    raise TypeError(
        f"an object must be a dict, an informer.Object or a model of the official client, not {type(obj).__name__}"
    )


def _resource_of(obj: Mapping[str, Any], resources: ServedResources) -> ServedResource:
    """Returns the resource to which an object belongs.

    Raises:
        ValueError: the object has no kind or no apiVersion.
        ApiError: 404, the server does not have this kind.
    """
    kind, api_version = obj.get("kind"), obj.get("apiVersion")
    if not kind or not api_version:
        raise ValueError("the object needs a kind and an apiVersion, such as 'Pod' and 'v1'")
    served = resources.by_kind(api_version, kind)
    if served is None:
        raise ApiError(404, "NotFound", f'no matches for kind "{kind}" in version "{api_version}"')
    return served


def _find_resource(name: str, resources: ServedResources) -> ServedResource:
    """Returns the resource that a name such as "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment" means.

    Raises:
        ApiError: 404, the server does not have this resource.
    """
    if (known := resources.by_name.get(name)) is not None:
        return known
    group, version, rest = parse_name(name)
    for served in resources:
        resource = served.resource
        if group is not None and resource.group != group:
            continue
        if version is not None and resource.version != version:
            continue
        if rest.lower() in (resource.plural, resource.kind.lower(), *resource.names):
            resources.by_name[name] = served
            return served
    raise ApiError(404, "NotFound", f"the server doesn't have a resource type {name!r}")


def _of_model(model: Any, resources: ServedResources) -> dict[str, Any]:
    from kubernetes.client import ApiClient, Configuration

    with ApiClient(Configuration()) as client:
        obj: dict[str, Any] = client.sanitize_for_serialization(model)
    name = parse_model_name(type(model).__name__)
    if name is None or (obj.get("kind") and obj.get("apiVersion")):
        return obj
    for served in resources:
        resource = served.resource
        if (resource.kind, resource.version) == (name.kind, name.version) and name.fits_group(resource.group):
            return {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
    return obj

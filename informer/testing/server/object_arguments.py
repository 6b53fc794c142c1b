"""Converts the objects and resource names that a test passes: to dicts in API form, and to served resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from informer.listwatch.resources import parse_name
from informer.objects.object import Object
from informer.testing.storage.deep_objects import decode_object_json
from informer.testing.storage.served_resources import ServedResource, ServedResources
from watch.errors import ApiError

__all__ = ["find_resource", "plain_object", "resource_of"]

_MODEL = re.compile(r"(?P<group>Core|Events|Storage|Networking)?(?P<version>V\d+(?:(?:alpha|beta)\d+)?)(?P<kind>\w+)\Z")
_GROUPS = {"Core": "", "Events": "events.k8s.io", "Storage": "storage.k8s.io", "Networking": "networking.k8s.io"}


def plain_object(obj: Any, resources: ServedResources) -> dict[str, Any]:
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


def resource_of(obj: Mapping[str, Any], resources: ServedResources) -> ServedResource:
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


def find_resource(name: str, resources: ServedResources) -> ServedResource:
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
    found = _MODEL.match(type(model).__name__)
    if found is None or (obj.get("kind") and obj.get("apiVersion")):
        return obj
    group, version, kind = found.group("group", "version", "kind")
    for served in resources:
        resource = served.resource
        if (resource.kind, resource.version) == (kind, version.lower()) and _GROUPS.get(
            group, resource.group
        ) == resource.group:
            return {"kind": kind, "apiVersion": resource.api_version, **obj}
    return obj

"""Sends the writes of a controller, and remembers them so that its caches are waited for."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from informer.api_paths import resource_path
from informer.listwatch.resources import Resource, resolve
from informer.objects.keys import metadata_of, namespaced_name
from informer.objects.object import Object
from informer.runtime.applied import AppliedObjects
from informer.runtime.errors import ConflictError
from informer.runtime.own_writes import OwnWrites
from informer.shared.shared_informer import SharedInformer
from informer.transport.transport import Transport
from watch.errors import ApiError

__all__ = ["Writer", "api_form"]

TIMEOUT = 30.0
"""Seconds until the answer to a write has begun, and again for its body."""
# An object has at most about 1.5 MiB in etcd; JSON takes more.
_MAX_ANSWER = 16 * 1024 * 1024
_APPLY, _MERGE, _JSON_PATCH = (
    "application/apply-patch+yaml",
    "application/merge-patch+json",
    "application/json-patch+json",
)
# The body of the subresource "scale" is of a kind of its own.
_SCALE = {"apiVersion": "autoscaling/v1", "kind": "Scale"}
_CONFLICT = 409
_NOT_FOUND = 404


class Writer:
    """Sends the writes of one controller.

    Args:
        transport: returns the transport to the server.
        field_manager: the name under which the server records who set a field.
        informers: the informers whose caches may show the written objects, by resource name.
        own_writes: remembers the writes.
        applied: remembers what was applied.

    Threads: any; every method blocks until the server has answered.
    """

    def __init__(
        self,
        transport: Callable[[], Transport],
        field_manager: str,
        informers: Mapping[str, SharedInformer[Any]],
        own_writes: OwnWrites,
        applied: AppliedObjects,
    ) -> None:
        self._transport = transport
        self._field_manager = field_manager
        self._informers = informers
        self._own_writes = own_writes
        self._applied = applied
        self._names: dict[str, str] = {}  # the name in `informers` of each resource that was written

    def apply(self, key: str, obj: dict[str, Any], *, force: bool, subresource: str | None) -> Object:
        """Applies an object, unless that would change nothing.

        Args:
            key: the key that is being reconciled.
            obj: the object in API form.
            force: whether to take over fields that other managers own.
            subresource: such as "status"; None for the object itself.

        Raises:
            ConflictError: other managers own some of the fields, and `force` is False.
            ApiError: the server refused.
        """
        place = resource, namespace, name = self._place_of(obj)
        where = (resource.name, namespace, name, subresource or "")
        cached = self._cached(resource, namespace, name)
        if cached is not None and self._applied.is_unchanged(where, obj, cached):
            return cached
        query = {"fieldManager": self._field_manager, "force": "true" if force else "false"}
        body = {**obj, **_SCALE} if subresource == "scale" else obj
        made = self._send(obj, place, subresource or "", query, body, _APPLY)
        self._own_writes.wrote(key, self._name_of(resource), made, namespace)
        self._applied.remember(key, where, obj, made)
        return made

    def merge(self, key: str, obj: Any, patch: dict[str, Any], *, subresource: str = "") -> Object:
        """Sends a merge patch to an object; raises as `apply`."""
        return self._patch(key, obj, patch, _MERGE, subresource)

    def json_patch(self, key: str, obj: Any, operations: list[dict[str, Any]]) -> Object:
        """Sends a JSON patch to an object; raises as `apply`."""
        return self._patch(key, obj, operations, _JSON_PATCH, "")

    def delete(self, key: str, obj: dict[str, Any]) -> None:
        """Deletes an object, if it still has this uid and resourceVersion. One that does not exist is fine.

        Raises:
            ConflictError: the object has changed since, or is another one of this name.
            ApiError: the server refused.
        """
        resource, namespace, name = self._place_of(obj)
        meta = metadata_of(obj)
        known = {"uid": meta.uid, "resourceVersion": meta.resource_version}
        body = {"preconditions": {field: value for field, value in known.items() if value}}
        try:
            self._request("DELETE", _path(resource, namespace, name, "", {}), body, "application/json")
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
        self._own_writes.deleted(key, self._name_of(resource), namespaced_name(namespace, name), meta.uid)

    def exists(self, obj: Any) -> bool | None:
        """Asks the server whether it still has an object with this name and uid; None if it does not say."""
        form = api_form(obj)
        wanted = metadata_of(form).uid
        try:
            resource, namespace, name = self._place_of(form)
            found = self._request("GET", _path(resource, namespace, name, "", {}), None, "")
            return not wanted or bool(metadata_of(found).uid == wanted)
        except ApiError as error:
            return False if error.status == _NOT_FOUND else None
        except (ConnectionError, TypeError):
            return None

    def is_namespaced(self, obj: Mapping[str, Any]) -> bool:
        """Whether objects of this kind are in namespaces; it may ask the server."""
        return self._resource_of(obj).namespaced

    def _patch(self, key: str, obj: Any, patch: Any, media_type: str, subresource: str) -> Object:
        form = api_form(obj)
        place = resource, namespace, _ = self._place_of(form)
        made = self._send(form, place, subresource, {"fieldManager": self._field_manager}, patch, media_type)
        self._own_writes.wrote(key, self._name_of(resource), made, namespace)
        return made

    def _send(
        self,
        obj: Mapping[str, Any],
        place: tuple[Resource, str, str],
        subresource: str,
        query: Mapping[str, str],
        patch: Any,
        media_type: str,
    ) -> Object:
        resource, namespace, name = place
        try:
            path = _path(resource, namespace, name, subresource, query)
            answer = self._request("PATCH", path, patch, media_type)
        except ApiError as error:
            # The server's answer is the same for an object and for a subresource that does not exist.
            if error.status == _NOT_FOUND and subresource and self.exists(obj):
                raise _missing_subresource(resource, subresource) from error
            raise
        if not isinstance(answer, dict):
            raise ConnectionError("the server's answer to a write is not an object (is a proxy in front?)")
        return Object.from_dict(answer)

    def _request(self, method: str, path: str, body: Any, media_type: str) -> Any:
        try:
            return self._transport().send_json(
                method, path, body, timeout=TIMEOUT, content_type=media_type, max_bytes=_MAX_ANSWER
            )
        except ApiError as error:
            if error.status == _CONFLICT:
                raise ConflictError.of(error) from None
            raise

    def _place_of(self, obj: Mapping[str, Any]) -> tuple[Resource, str, str]:
        resource = self._resource_of(obj)
        meta = metadata_of(obj)
        if not meta.name:
            raise ValueError(
                f"a {obj.get('kind')} needs a metadata.name to be written (generateName would make another one each time)"
            )
        if resource.namespaced and not meta.namespace:
            raise ValueError(f"{obj.get('kind')} {meta.name} needs a metadata.namespace to be written")
        return resource, meta.namespace if resource.namespaced else "", meta.name

    def _resource_of(self, obj: Mapping[str, Any]) -> Resource:
        api_version, kind = obj.get("apiVersion"), obj.get("kind")
        if not isinstance(api_version, str) or not isinstance(kind, str) or not api_version or not kind:
            raise ValueError("an object needs an apiVersion and a kind to be written")
        return resolve(f"{api_version}/{kind}", self._transport())

    def _name_of(self, resource: Resource) -> str:
        """The name under which `informers` has a resource: users may name a custom one by its version and kind."""
        name = self._names.get(resource.name)
        if name is None:
            transport = self._transport()
            spelled = (each for each in self._informers if resolve(each, transport).name == resource.name)
            name = resource.name if resource.name in self._informers else next(spelled, resource.name)
            self._names[resource.name] = name
        return name

    def _cached(self, resource: Resource, namespace: str, name: str) -> Object | None:
        informer = self._informers.get(self._name_of(resource))
        found = None if informer is None else informer.store.get_by_key(namespaced_name(namespace, name))
        return found if isinstance(found, Object) else None


def _path(resource: Resource, namespace: str, name: str, subresource: str, query: Mapping[str, str]) -> str:
    path = resource_path(resource.group, resource.version, resource.plural, namespace, name, subresource)
    return f"{path}?{urllib.parse.urlencode(query)}" if query else path


def _missing_subresource(resource: Resource, subresource: str) -> ApiError:
    message = f"{resource.name} has no subresource {subresource}"
    if "." in resource.group:
        message += " (for a custom resource, name it under subresources in the CustomResourceDefinition)"
    return ApiError(_NOT_FOUND, "NotFound", message)


def api_form(obj: Any) -> dict[str, Any]:
    """Returns an object as a dict in API form.

    Args:
        obj: a dict in API form, an `Object`, or an official model.

    Raises:
        TypeError: it is none of these, or its metadata is not a mapping.
    """
    if isinstance(obj, Object):
        return obj.to_dict()
    if isinstance(obj, Mapping):
        if not isinstance(obj.get("metadata") or {}, Mapping):
            raise TypeError(f"an object's metadata must be a mapping, not a {type(obj['metadata']).__name__}")
        return dict(obj)
    if hasattr(type(obj), "openapi_types"):
        from kubernetes import client

        converter: Any = client.ApiClient(client.Configuration())
        return converter.sanitize_for_serialization(obj)  # type: ignore[no-any-return]
    raise TypeError(
        f"an object is a dict in API form, an informer.Object or an official model, not {type(obj).__name__}"
    )

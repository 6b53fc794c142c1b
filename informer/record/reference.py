"""Object references: how an event names the object that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.errors import KeyFuncError
from informer.listwatch.resources import built_in_resources
from informer.objects.keys import Meta, metadata_of
from informer.objects.models import parse_model_name
from informer.objects.object import Object

__all__ = ["get_partial_reference", "get_reference"]

# The fields of a reference in API form, and their names in the official client.
_FIELDS = {
    "kind": "kind",
    "apiVersion": "api_version",
    "namespace": "namespace",
    "name": "name",
    "uid": "uid",
    "resourceVersion": "resource_version",
    "fieldPath": "field_path",
}


def get_reference(obj: Any) -> dict[str, str]:
    """Returns a reference to an object, in API form.

    Nothing but the fields below is read, so that no data of a Secret can get into an event.

    Args:
        obj: a plain dict in API form, an `informer.Object`, an official client model, or anything with `.metadata`. A
            reference (a dict without metadata, or a V1ObjectReference) is copied.

    Returns:
        The object's kind, apiVersion, namespace, name, uid and resourceVersion, without the empty ones. A list has only
        kind, apiVersion and resourceVersion.

    Raises:
        ValueError: `obj` is None, or has no kind or apiVersion and is not an official model whose class implies them.
        TypeError: `obj` is neither an object nor a reference. Messages quote nothing of an object but its type.

    Source: client-go tools/reference GetReference.
    """
    if obj is None:
        raise ValueError("can't reference a nil object: pass an object or a reference, not None")
    if _is_reference(obj):
        return _copy_reference(obj)
    meta = _meta(obj)
    kind, api_version = _field(obj, "kind", "kind"), _field(obj, "apiVersion", "api_version")
    if not kind or not api_version:
        class_kind, class_version = _type_of_class(type(obj))
        kind, api_version = kind or class_kind, api_version or class_version
    if not kind or not api_version:
        raise ValueError(
            f"can't reference an object of type {type(obj).__qualname__}: it has no "
            f"{'apiVersion' if kind else 'kind'}; set it, or pass a reference such as "
            '{"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web"}'
        )
    reference = {
        "kind": kind,
        "apiVersion": api_version,
        "namespace": meta.namespace,
        "name": meta.name,
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
    }
    return {field: text for field, text in reference.items() if text}


def get_partial_reference(obj: Any, field_path: str) -> dict[str, str]:
    """Returns a reference to a part of an object, in API form.

    Args:
        obj: an object or a reference, as of `get_reference`.
        field_path: the part, such as "spec.containers{web}".

    Raises:
        ValueError, TypeError: as of `get_reference`.

    Source: client-go tools/reference GetPartialReference.
    """
    return {**get_reference(obj), "fieldPath": field_path}


def _is_reference(obj: Any) -> bool:
    if isinstance(obj, Object):
        return False
    if isinstance(obj, Mapping):
        return "metadata" not in obj
    return hasattr(type(obj), "attribute_map") and not hasattr(obj, "metadata")


def _copy_reference(obj: Any) -> dict[str, str]:
    if isinstance(obj, Mapping):
        given = dict(obj)
    else:
        # A V1ObjectReference: its attributes have the official client's names.
        given = {wire: getattr(obj, attribute) for attribute, wire in type(obj).attribute_map.items()}
    given = {field: value for field, value in given.items() if value is not None}
    if not given.get("kind") or not given.keys() <= _FIELDS.keys():
        raise TypeError(
            f"a {type(obj).__qualname__} without metadata is neither an object nor a reference: a reference needs a kind, "
            f"and may have no other fields than {', '.join(_FIELDS)}"
        )
    if not all(isinstance(value, str) for value in given.values()):
        raise TypeError("the fields of a reference must be strings")
    return {field: str(given[field]) for field in _FIELDS if given.get(field)}


def _meta(obj: Any) -> Meta:
    try:
        return metadata_of(obj)
    except KeyFuncError:
        raise TypeError(
            f"can't reference a {type(obj).__qualname__}: pass a dict in API form, an informer.Object, an official model, "
            "an object with .metadata, or a reference"
        ) from None


def _field(obj: Any, wire: str, attribute: str) -> str:
    value = obj.get(wire) if isinstance(obj, Mapping) else getattr(obj, attribute, None) or getattr(obj, wire, None)
    return value if isinstance(value, str) else ""


def _type_of_class(model: type) -> tuple[str, str]:
    """Returns the kind and the apiVersion that an official model class implies; "" for each that is unknown."""
    named = parse_model_name(model.__name__) if hasattr(model, "attribute_map") else None
    if named is None:
        return "", ""
    item_kind = named.kind.removesuffix("List")
    for resource in built_in_resources():
        if resource.version == named.version and resource.kind == item_kind and named.fits_group(resource.group):
            return named.kind, resource.api_version
    return "", ""

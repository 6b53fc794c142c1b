"""References: what an event says of the object that it is about.

Comes in: an object, or a reference already. Goes out: a reference in API form. Nothing else of the object is looked at, so
that no Secret's data can get into an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.errors import KeyFuncError
from informer.listwatch.resources import built_in_resources
from informer.objects.keys import Meta, metadata_of
from informer.objects.models import parse_model_name
from informer.objects.object import Object

__all__ = ["get_partial_reference", "get_reference"]

# The fields of a reference in API form, with the official client's names for them.
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
    """A reference to an object.

    Args:
        obj: a plain dict in API form, an `informer.Object`, an official client model, anything with `.metadata`, or a
            reference already (a dict without metadata, or a V1ObjectReference), of which a copy is given back.

    Returns:
        Its kind, apiVersion, namespace, name, uid and resourceVersion, without those that it has not. Of a list it has kind,
        apiVersion and resourceVersion.

    Raises:
        ValueError: it is None, or has no kind or apiVersion and is of no official model class that tells.
        TypeError: it is neither an object nor a reference. No message quotes anything of the object but its type.

    Source: client-go tools/reference GetReference.
    """
    if obj is None:
        raise ValueError("can't reference a nil object: None was given")
    if _is_reference(obj):
        return _reference_as_it_is(obj)
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
    """A reference to a part of an object.

    Args:
        obj: as `get_reference` takes it.
        field_path: the part, such as "spec.containers{web}".

    Raises:
        ValueError, TypeError: as `get_reference` does.

    Source: client-go tools/reference GetPartialReference.
    """
    return {**get_reference(obj), "fieldPath": field_path}


def _is_reference(obj: Any) -> bool:
    if isinstance(obj, Object):
        return False
    if isinstance(obj, Mapping):
        return "metadata" not in obj
    return hasattr(type(obj), "attribute_map") and not hasattr(obj, "metadata")


def _reference_as_it_is(obj: Any) -> dict[str, str]:
    if isinstance(obj, Mapping):
        given = dict(obj)
    else:
        # An official model keeps its values under its own names.
        given = {wire: getattr(obj, attribute) for attribute, wire in type(obj).attribute_map.items()}
    given = {field: value for field, value in given.items() if value is not None}
    if not given.get("kind") or not given.keys() <= _FIELDS.keys():
        raise TypeError(
            f"a {type(obj).__qualname__} without metadata is no object, and no reference either: a reference has a kind, and "
            f"of {', '.join(_FIELDS)} what it needs"
        )
    if not all(isinstance(value, str) for value in given.values()):
        raise TypeError("the fields of a reference are texts")
    return {field: str(given[field]) for field in _FIELDS if given.get(field)}


def _meta(obj: Any) -> Meta:
    try:
        return metadata_of(obj)
    except KeyFuncError:
        raise TypeError(
            f"can't reference a {type(obj).__qualname__}: a dict in API form, an informer.Object, a model, anything with "
            ".metadata, or a reference is needed"
        ) from None


def _field(obj: Any, wire: str, attribute: str) -> str:
    value = obj.get(wire) if isinstance(obj, Mapping) else getattr(obj, attribute, None) or getattr(obj, wire, None)
    return value if isinstance(value, str) else ""


def _type_of_class(model: type) -> tuple[str, str]:
    """Kind and apiVersion that an official model class stands for; "" where it does not tell."""
    named = parse_model_name(model.__name__) if hasattr(model, "attribute_map") else None
    if named is None:
        return "", ""
    of_items = named.kind.removesuffix("List")
    for resource in built_in_resources():
        if resource.version == named.version and resource.kind == of_items and named.fits_group(resource.group):
            return named.kind, resource.api_version
    return "", ""

"""Drops the fields that an object cannot have, fills in the defaults of custom resources, and reports the dropped fields.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from informer.testing.storage.json_values import differing
from informer.testing.storage.object_checks import Target
from informer.testing.storage.schemas.built_in_fields import OBJECT_META, drop_unknown_fields, message_of, wrong_types
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import invalid, unreadable, wrong_patch
from informer.testing.storage.write import Write

__all__ = ["check_schema", "check_types", "keep_known_fields", "type_problems"]


def keep_known_fields(served: ServedResource, obj: dict[str, Any], old: Mapping[str, Any] | None, write: Write) -> None:
    """Drops the fields that an object cannot have, and fills in the defaults of a custom resource.

    Args:
        served: the object's resource.
        obj: the object, with kind and apiVersion; it is changed.
        old: the stored object; None for a new one. Fields of built-in kinds that are the same have been checked.
        write: decides whether dropped fields are an error or a warning.

    Raises:
        ApiError: 400, or 422 for a patch: there are unknown or duplicate fields, and the client wants strict validation.
    """
    resource, is_strict = served.resource, write.field_validation == "Strict"
    given = msgspec.json.encode(obj).decode() if is_strict and write.patches else ""
    if served.schema is not None and not served.schema.is_free:
        unknown = served.schema.complete(obj)
    elif served.custom:
        unknown = drop_unknown_fields(obj["metadata"], OBJECT_META, "metadata.")
    else:
        message = message_of(resource.api_version, resource.kind)
        part = obj if old is None else differing(old, obj)
        unknown = [] if message is None else drop_unknown_fields(part, message)
        for name in [name for name in unknown if name in obj]:
            obj.pop(name)
    if write.field_validation == "Ignore" or not (unknown or write.duplicates):
        return
    texts = [*write.duplicates, *(f'unknown field "{path}"' for path in unknown)]
    if not is_strict:
        write.warnings.extend(texts)
        return
    text = f"strict decoding error: {', '.join(texts)}"
    if write.patches:
        raise wrong_patch(given, text)
    raise unreadable(resource, text)


def check_types(served: ServedResource, obj: Mapping[str, Any], old: Mapping[str, Any] | None, write: Write) -> None:
    """Raises ApiError 400, or 422 for a patch, if a field of a built-in kind that a client sends has a wrong type.

    Args:
        served: the object's resource.
        obj: the object, without unknown fields.
        old: the stored object, whose fields are not checked again; None for a new one.
        write: who writes, and how.
    """
    # `metadata_of` has checked the metadata.
    content = {key: value for key, value in obj.items() if key != "metadata"}
    found = [] if write.field_manager is None else type_problems(served, content, old)
    if not found:
        return
    if write.patches:
        raise wrong_patch(obj, found[0])
    raise unreadable(served.resource, found[0])


def type_problems(served: ServedResource, obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
    """Returns the fields of an object of a built-in kind whose types are wrong, in what differs from `old`."""
    message = None if served.custom else message_of(served.resource.api_version, served.resource.kind)
    return [] if message is None else list(wrong_types(obj if old is None else differing(old, obj), message))


def check_schema(target: Target, new: dict[str, Any], old: Mapping[str, Any] | None, write: Write) -> None:
    """Validates a custom object as it is to be stored, and gives it what its stored version demands.

    Args:
        target: the object.
        new: the object, without kind and apiVersion.
        old: the stored object, likewise; None for a new one.
        write: receives warnings.

    Raises:
        ApiError: 422, the object is not valid.
    """
    served, resource = target.served, target.served.resource
    if served.schema is None or served.schema.is_free:
        return
    type_meta = {"kind": resource.kind, "apiVersion": resource.api_version}
    former = None if old is None else {**old, **type_meta}
    causes = served.schema.check({**new, **type_meta}, former, write.warnings)
    if causes:
        raise invalid(resource.group, resource.kind, new["metadata"].get("name", ""), causes)
    if served.stored_schema is not None and served.stored_schema is not served.schema:
        served.stored_schema.complete(new)

"""Validates that schemas are structural, and the keywords of Kubernetes in them.

Source: apiextensions-apiserver pkg/apiserver/schema/validation.go, and pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from informer.testing.storage.schemas.formats import FORMATS, UNCHECKED
from informer.testing.storage.schemas.object_rules import LIST_TYPE, MAP_KEYS
from informer.testing.storage.schemas.structure import EMBEDDED, INT_OR_STRING, PRESERVES, Schema, complete
from informer.testing.storage.schemas.validation import SchemaValidator, as_json, pattern_of
from informer.testing.storage.statuses import Cause

__all__ = ["schema_causes", "unknown_formats"]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_MAP_TYPE = "x-kubernetes-map-type"
_UNSUPPORTED = ("$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id")
# What a schema within allOf, anyOf, oneOf and not must leave out.
_NOT_STRUCTURAL = {
    **dict.fromkeys(("additionalProperties", "default", LIST_TYPE, _MAP_TYPE), "undefined"),
    **dict.fromkeys(("description", "title", "type", MAP_KEYS, "x-kubernetes-validations"), "empty"),
    **dict.fromkeys(("nullable", EMBEDDED, INT_OR_STRING, PRESERVES), "false"),
}
_EITHER = [{"type": "integer"}, {"type": "string"}]
_COUNTS = tuple(f"{bound}{what}" for bound in ("min", "max") for what in ("Length", "Items", "Properties"))
_NUMBER_FORMATS = ("int32", "int64", "float", "double")


def schema_causes(schema: Schema, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the schema of a version.

    Args:
        schema: the schema.
        path: where it is in its definition.
    """
    kind = schema.get("type")
    if not kind and not schema.get(PRESERVES):
        yield Cause.required(f"{path}.type", "must not be empty at the root")
    elif kind and kind != "object":
        yield Cause.bad(f"{path}.type", json.dumps(kind), "must be object at the root")
    if schema.get("additionalProperties") is not None:
        yield Cause.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if schema.get("nullable"):
        yield Cause.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    yield from _root_fields(schema.get("properties") or {}, path)
    yield from _checked(schema, path)


def unknown_formats(schema: Any) -> list[str]:
    """Returns the formats in a schema that the real server does not know, of which it warns."""
    if isinstance(schema, list):
        return [name for each in schema for name in unknown_formats(each)]
    if not isinstance(schema, Mapping):
        return []
    name = schema.get("format")
    own = [name] if isinstance(name, str) and name not in (*FORMATS, *_NUMBER_FORMATS) else []
    return own + [name for each in schema.values() for name in unknown_formats(each)]


def _root_fields(properties: Mapping[str, Schema], path: str) -> Iterator[Cause]:
    for name in ("apiVersion", "kind"):
        kind = properties.get(name, {}).get("type", "string")
        if kind != "string":
            yield Cause.bad(f"{path}.properties[{name}].type", json.dumps(kind), "must be string")
    metadata, where = properties.get("metadata"), f"{path}.properties[metadata]"
    if metadata is None:
        return
    if metadata.get("type") != "object":
        yield Cause.bad(f"{where}.type", json.dumps(metadata.get("type")), "must be object")
    elif set(metadata) - {"type", "properties"} or set(metadata.get("properties") or ()) - {"name", "generateName"}:
        message = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield Cause.forbidden(where, message)


def _checked(schema: Schema, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a schema that has types, and with what is below it."""
    yield from _type_causes(schema, path)
    yield from _keyword_causes(schema, path)
    yield from _list_causes(schema, path)
    if schema.get("default") is not None:
        yield from _default_causes(schema, path)
    for keyword in ("allOf", "anyOf", "oneOf"):
        is_either = bool(schema.get(INT_OR_STRING)) and schema.get(keyword) == _EITHER
        for i, each in enumerate(() if is_either else schema.get(keyword) or ()):
            inner = {**each, "anyOf": None} if schema.get(INT_OR_STRING) and each.get("anyOf") == _EITHER else each
            yield from _unstructured(inner, f"{path}.{keyword}[{i}]")
    if schema.get("not"):
        yield from _unstructured(schema["not"], f"{path}.not")
    for inner_path, each, what in _below(schema, path):
        if not each.get("type") and not each.get(INT_OR_STRING) and not each.get(PRESERVES):
            if each.get(EMBEDDED):
                yield Cause.required(f"{inner_path}.type", f"must be object if {EMBEDDED} is true")
            else:
                yield Cause.required(f"{inner_path}.type", f"must not be empty for specified {what}")
        yield from _checked(each, inner_path)


def _below(schema: Schema, path: str) -> Iterator[tuple[str, Schema, str]]:
    for name, each in (schema.get("properties") or {}).items():
        yield f"{path}.properties[{name}]", each, "object fields"
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield f"{path}.additionalProperties", schema["additionalProperties"], "object fields"
    if isinstance(schema.get("items"), Mapping):
        yield f"{path}.items", schema["items"], "array items"


def _unstructured(schema: Schema, path: str) -> Iterator[Cause]:
    for keyword in sorted(_NOT_STRUCTURAL):
        if schema.get(keyword) not in (None, False, "", []):
            yield Cause.forbidden(f"{path}.{keyword}", f"must be {_NOT_STRUCTURAL[keyword]} to be structural")
    schema = {**schema, "additionalProperties": None}
    yield from _keyword_causes(schema, path)
    for keyword in ("allOf", "anyOf", "oneOf"):
        for i, each in enumerate(schema.get(keyword) or ()):
            yield from _unstructured(each, f"{path}.{keyword}[{i}]")
    if schema.get("not"):
        yield from _unstructured(schema["not"], f"{path}.not")
    for inner_path, each, _ in _below(schema, path):
        yield from _unstructured(each, inner_path)


def _type_causes(schema: Schema, path: str) -> Iterator[Cause]:
    kind = schema.get("type")
    if kind and kind not in _TYPES:
        yield Cause.unsupported(f"{path}.type", kind, _TYPES)
    if kind == "null":
        yield Cause.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    others = schema.get("additionalProperties")
    if schema.get("properties") and others is not None and others is not True:
        message = "additionalProperties and properties are mutual exclusive"
        yield Cause.forbidden(f"{path}.additionalProperties", message)
    if schema.get(PRESERVES) is False:
        yield Cause.bad(f"{path}.{PRESERVES}", "false", "must be true or undefined")
    if schema.get(EMBEDDED) and not schema.get(PRESERVES) and not schema.get("properties"):
        message = f"must not be empty if {EMBEDDED} is true without {PRESERVES}"
        yield Cause.required(f"{path}.properties", message)
    if kind == "array" and schema.get("items") is None:
        yield Cause.required(f"{path}.items", "must be specified")


def _keyword_causes(schema: Schema, path: str) -> Iterator[Cause]:
    for keyword in _UNSUPPORTED:
        if schema.get(keyword) not in (None, "", {}):
            yield Cause.forbidden(f"{path}.{keyword}", f"{keyword} is not supported")
    for keyword in _COUNTS:
        if not isinstance(schema.get(keyword), int | None):
            yield Cause.bad(f"{path}.{keyword}", as_json(schema[keyword]), "must be an integer")
    if schema.get("uniqueItems"):
        message = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield Cause.forbidden(f"{path}.uniqueItems", message)
    if isinstance(schema.get("items"), list):
        yield Cause.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if schema.get("format") in UNCHECKED:
        message = f"the embedded API server does not check the format {schema['format']}; test it with ControlPlane"
        yield Cause.forbidden(f"{path}.format", message)
    if schema.get("pattern"):
        try:
            pattern_of(schema["pattern"])
        except re.error as error:
            message = f"must be a valid regular expression, but isn't: {error}"
            yield Cause.bad(f"{path}.pattern", json.dumps(schema["pattern"]), message)


def _list_causes(schema: Schema, path: str) -> Iterator[Cause]:
    kind, keys, items = schema.get(LIST_TYPE), schema.get(MAP_KEYS) or [], schema.get("items") or {}
    if kind and kind not in ("atomic", "set", "map"):
        yield Cause.unsupported(f"{path}.{LIST_TYPE}", kind, ("atomic", "set", "map"))
    if kind and schema.get("type") != "array":
        message = f"must be array if {LIST_TYPE} is specified"
        yield Cause.bad(f"{path}.type", as_json(schema.get("type", "")), message)
    elif kind == "set" and items.get("type") in ("object", "array"):
        of, wanted = (_MAP_TYPE, "atomic") if items["type"] == "object" else (LIST_TYPE, "atomic")
        if items.get(of) != wanted:
            message = f"must be atomic as item of a list with {LIST_TYPE}=set"
            yield Cause.bad(f"{path}.items.{of}", as_json(items.get(of)), message)
    if keys and kind != "map":
        yield Cause.required(f"{path}.{LIST_TYPE}", f"must be map if {MAP_KEYS} is non-empty")
    elif kind == "map":
        yield from _key_causes(keys, items, path)
    map_type = schema.get(_MAP_TYPE)
    if map_type and map_type not in ("atomic", "granular"):
        yield Cause.unsupported(f"{path}.{_MAP_TYPE}", map_type, ("atomic", "granular"))
    if map_type and schema.get("type") != "object":
        message = f"must be object if {_MAP_TYPE} is specified"
        yield Cause.bad(f"{path}.type", as_json(schema.get("type", "")), message)


def _key_causes(keys: list[str], items: Schema, path: str) -> Iterator[Cause]:
    properties, of_map = items.get("properties") or {}, f"if parent array's {LIST_TYPE} is map"
    if not keys:
        yield Cause.required(f"{path}.{MAP_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    elif items.get("type") != "object":
        yield Cause.bad(f"{path}.items.type", as_json(items.get("type", "")), f"must be object {of_map}")
    elif len(set(keys)) < len(keys):
        yield Cause.bad(f"{path}.{MAP_KEYS}", as_json(keys), "must not contain duplicate entries")
    elif any(key not in properties for key in keys):
        yield Cause.bad(f"{path}.{MAP_KEYS}", as_json(keys), "entries must all be names of item properties")
    for key in keys:
        field, where = properties.get(key), f"{path}.items.properties[{key}]"
        if field is None:
            continue
        if field.get("type") in ("object", "array"):
            yield Cause.bad(f"{where}.type", as_json(field["type"]), f"must be a scalar type {of_map}")
        if field.get("default") is None and key not in (items.get("required") or ()):
            message = f"this property is in {MAP_KEYS}, so it must have a default or be a required property"
            yield Cause.required(f"{where}.default", message)


def _default_causes(schema: Schema, path: str) -> Iterator[Cause]:
    default = schema["default"]
    filled: Any = {"default": copy.deepcopy(default)}
    if complete(filled, {"properties": {"default": schema}}):
        yield Cause.bad(f"{path}.default", as_json(default), "must not have unknown fields")
    for failure in SchemaValidator(schema).failures(default):
        _, message, field = failure.cause
        yield failure.cause._replace(field=f"{path}.default{'' if not field else '.' + field}", message=message)

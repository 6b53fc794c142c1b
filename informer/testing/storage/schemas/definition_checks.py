"""Validates CustomResourceDefinitions: names, versions, that their schemas are structural, and Kubernetes' keywords in them.

Source: apiextensions-apiserver pkg/apis/apiextensions/validation and pkg/apiserver/schema/validation.go.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from informer.testing.storage.kinds.rules import causes_of
from informer.testing.storage.schemas.custom_schema import CustomSchema
from informer.testing.storage.schemas.formats import UNCHECKED
from informer.testing.storage.schemas.structure import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_TYPE,
    MAP_KEYS,
    PRESERVES,
    Schema,
    complete,
    joined,
)
from informer.testing.storage.schemas.validation import SchemaValidator, pattern_of
from informer.testing.storage.statuses import Cause, shown
from informer.testing.tables.cells import value_at

__all__ = ["definition_causes"]

_APPROVED = "api-approved.kubernetes.io"
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


def definition_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    """Returns what is wrong with a definition, given the stored one; None for a new one.

    Raises:
        ImportError: a package that its schemas need is not installed.
    """
    causes = [*causes_of("definitions", obj), *_own_causes(obj, obj.get("spec") or {}, is_new=old is None)]
    return causes if old is None else [*causes, *_changes(old["spec"], obj.get("spec") or {})]


def _own_causes(obj: Mapping[str, Any], spec: Mapping[str, Any], *, is_new: bool) -> Iterator[Cause]:
    """Yields what the table of rules leaves out."""
    metadata, group, names = obj["metadata"], spec.get("group") or "", spec.get("names") or {}
    name, versions = metadata.get("name", ""), spec.get("versions") or []
    if is_new and name != f"{names.get('plural', '')}.{group}":
        yield Cause.bad("metadata.name", shown(name), 'must be spec.names.plural+"."+spec.group')
    is_protected = group.endswith((".k8s.io", ".kubernetes.io"))
    if is_protected and not (metadata.get("annotations") or {}).get(_APPROVED):
        see = "see https://github.com/kubernetes/enhancements/pull/1111"
        message = f'protected groups must have approval annotation "{_APPROVED}", {see}'
        yield Cause.required(f"metadata.annotations[{_APPROVED}]", message)
    if names.get("kind") and names["kind"] == names.get("listKind"):
        yield Cause.bad("spec.names.listKind", shown(names["listKind"]), "kind and listKind may not be the same")
    if spec.get("preserveUnknownFields"):
        message = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in the schema instead"
        yield Cause.bad("spec.preserveUnknownFields", "true", message)
    version_names, stored = [each.get("name") for each in versions], [each for each in versions if each.get("storage")]
    if len(set(version_names)) < len(versions):
        yield Cause.bad("spec.versions", shown(version_names), "must contain unique version names")
    if len(stored) != 1:
        message = "must have exactly one version marked as storage version"
        yield Cause.bad("spec.versions", shown(version_names), message)
    if not stored:
        yield Cause.bad("status.storedVersions", "null", "must have at least one stored version")
    yield from _causes_of_schemas([(each.get("schema") or {}).get("openAPIV3Schema") for each in versions])


def _causes_of_schemas(schemas: list[Any]) -> Iterator[Cause]:
    # The real server names a schema without its version if all versions have the same.
    is_shared = all(each == schemas[0] for each in schemas)
    for i, schema in enumerate(schemas[:1] if is_shared else schemas):
        if schema is not None:
            path = "spec.validation.openAPIV3Schema" if is_shared else f"spec.versions[{i}].schema.openAPIV3Schema"
            causes = list(_schema_causes(schema, path))
            yield from causes or CustomSchema.of(schema).rule_causes(path)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Cause]:
    """Yields the changes of an established definition that are refused."""
    for path in ("scope", "names.kind", "group", "names.plural"):
        if value_at(old, path) != value_at(new, path):
            yield Cause.bad(f"spec.{path}", shown(value_at(new, path) or ""), "field is immutable")


def _schema_causes(schema: Schema, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the schema of a version.

    Args:
        schema: the schema.
        path: where it is in its definition.
    """
    kind = schema.get("type")
    if not kind and not schema.get(PRESERVES):
        yield Cause.required(f"{path}.type", "must not be empty at the root")
    elif kind and kind != "object":
        yield Cause.bad(f"{path}.type", shown(kind), "must be object at the root")
    for keyword, message in (("additionalProperties", "must not be used"), ("nullable", "nullable cannot be true")):
        if schema.get(keyword):
            yield Cause.forbidden(f"{path}.{keyword}", f"{message} at the root")
    properties = schema.get("properties") or {}
    for name, wanted in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
        if name in properties and properties[name].get("type") != wanted:
            found = shown(properties[name].get("type") or "")
            yield Cause.bad(f"{path}.properties[{name}].type", found, f"must be {wanted}")
    metadata = properties.get("metadata") or {}
    if set(metadata) - {"type", "properties"} or set(metadata.get("properties") or ()) - {"name", "generateName"}:
        message = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield Cause.forbidden(f"{path}.properties[metadata]", message)
    yield from _checked(schema, path)


def _checked(schema: Schema, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a schema that has types, and with what is below it."""
    yield from _type_causes(schema, path)
    yield from _keyword_causes(schema, path)
    yield from _list_causes(schema, path)
    if schema.get("default") is not None:
        yield from _default_causes(schema, path)
    is_either = bool(schema.get(INT_OR_STRING)) and schema.get("anyOf") == _EITHER
    for where, each in _combined({**schema, "anyOf": None} if is_either else schema, path):
        yield from _unstructured(each, where)
    for where, each, what in _below(schema, path):
        if not any(each.get(keyword) for keyword in ("type", INT_OR_STRING, PRESERVES)):
            wanted = f"must be object if {EMBEDDED} is true" if each.get(EMBEDDED) else ""
            yield Cause.required(f"{where}.type", wanted or f"must not be empty for specified {what}")
        yield from _checked(each, where)


def _unstructured(schema: Schema, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a schema that combines with one that has types."""
    for keyword in sorted(_NOT_STRUCTURAL):
        if schema.get(keyword) not in (None, False, "", []):
            yield Cause.forbidden(f"{path}.{keyword}", f"must be {_NOT_STRUCTURAL[keyword]} to be structural")
    yield from _keyword_causes(schema, path)
    below = ((where, each) for where, each, _ in _below({**schema, "additionalProperties": None}, path))
    for where, each in (*_combined(schema, path), *below):
        yield from _unstructured(each, where)


def _below(schema: Schema, path: str) -> Iterator[tuple[str, Schema, str]]:
    for name, each in (schema.get("properties") or {}).items():
        yield f"{path}.properties[{name}]", each, "object fields"
    for keyword, what in (("additionalProperties", "object fields"), ("items", "array items")):
        if isinstance(schema.get(keyword), Mapping):
            yield f"{path}.{keyword}", schema[keyword], what


def _combined(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for keyword in ("allOf", "anyOf", "oneOf"):
        for i, each in enumerate(schema.get(keyword) or ()):
            yield f"{path}.{keyword}[{i}]", each
    if schema.get("not"):
        yield f"{path}.not", schema["not"]


def _type_causes(schema: Schema, path: str) -> Iterator[Cause]:
    kind = schema.get("type")
    if kind and kind not in _TYPES:
        yield Cause.unsupported(f"{path}.type", kind, _TYPES)
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
    if schema.get("uniqueItems"):
        message = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield Cause.forbidden(f"{path}.uniqueItems", message)
    if isinstance(schema.get("items"), list):
        yield Cause.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if schema.get("format") in UNCHECKED:
        message = f"the embedded API server does not check the format {schema['format']}; test it with ControlPlane"
        yield Cause.forbidden(f"{path}.format", message)
    try:
        pattern_of(schema.get("pattern") or "")
    except re.error as error:
        message = f"must be a valid regular expression, but isn't: {error}"
        yield Cause.bad(f"{path}.pattern", shown(schema["pattern"]), message)


def _list_causes(schema: Schema, path: str) -> Iterator[Cause]:
    for keyword, wanted, values in ((LIST_TYPE, "array", ("atomic", "set", "map")),
                                    (_MAP_TYPE, "object", ("atomic", "granular"))):  # fmt: skip
        if schema.get(keyword) and schema[keyword] not in values:
            yield Cause.unsupported(f"{path}.{keyword}", schema[keyword], values)
        if schema.get(keyword) and schema.get("type") != wanted:
            message = f"must be {wanted} if {keyword} is specified"
            yield Cause.bad(f"{path}.type", shown(schema.get("type", "")), message)
    kind, keys, items = schema.get(LIST_TYPE), schema.get(MAP_KEYS) or [], schema.get("items")
    items = items if isinstance(items, Mapping) else {}
    of = {"object": _MAP_TYPE, "array": LIST_TYPE}.get(items.get("type", ""))
    if kind == "set" and of and items.get(of) != "atomic":
        message = f"must be atomic as item of a list with {LIST_TYPE}=set"
        yield Cause.bad(f"{path}.items.{of}", shown(items.get(of)), message)
    if kind == "map":
        yield from _key_causes(keys, items, path)
    elif keys:
        yield Cause.required(f"{path}.{LIST_TYPE}", f"must be map if {MAP_KEYS} is non-empty")


def _key_causes(keys: list[str], items: Schema, path: str) -> Iterator[Cause]:
    properties, of_map = items.get("properties") or {}, f"if parent array's {LIST_TYPE} is map"
    if not keys:
        yield Cause.required(f"{path}.{MAP_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    elif items.get("type") != "object":
        yield Cause.bad(f"{path}.items.type", shown(items.get("type", "")), f"must be object {of_map}")
    elif len(set(keys)) < len(keys):
        yield Cause.bad(f"{path}.{MAP_KEYS}", shown(keys), "must not contain duplicate entries")
    elif any(key not in properties for key in keys):
        yield Cause.bad(f"{path}.{MAP_KEYS}", shown(keys), "entries must all be names of item properties")
    for key in [key for key in keys if key in properties]:
        field, where = properties[key], f"{path}.items.properties[{key}]"
        if field.get("type") in ("object", "array"):
            yield Cause.bad(f"{where}.type", shown(field["type"]), f"must be a scalar type {of_map}")
        if field.get("default") is None and key not in (items.get("required") or ()):
            message = f"this property is in {MAP_KEYS}, so it must have a default or be a required property"
            yield Cause.required(f"{where}.default", message)


def _default_causes(schema: Schema, path: str) -> Iterator[Cause]:
    default = schema["default"]
    if complete({"default": copy.deepcopy(default)}, {"properties": {"default": schema}}):
        yield Cause.bad(f"{path}.default", shown(default), "must not have unknown fields")
    for cause in SchemaValidator(schema).causes(default):
        yield cause._replace(field=joined(f"{path}.default", cause.field) if cause.field else f"{path}.default")

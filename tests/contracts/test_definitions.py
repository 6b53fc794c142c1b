"""What is wrong with a CustomResourceDefinition whose schemas have no rules."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.contracts.definitions import DEFINITIONS, definition_of

STRING = {"type": "string"}
LIST_TYPE, KEYS, MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
PRESERVES, EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
EITHER = "x-kubernetes-int-or-string"


def listed(keys: Any, items: Any) -> dict[str, Any]:
    return {"type": "array", LIST_TYPE: "map", **({KEYS: keys} if keys else {}), "items": items}


def keyed(type: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"k": {"type": type}}, **more}


# The schema of a field, and what it is refused for.
FIELDS: dict[str, tuple[Any, list[str]]] = {
    "no type": ({}, ["Required type"]),
    "items without type": ({"type": "array", "items": {}}, ["Required items.type"]),
    "values without type": ({"type": "object", "additionalProperties": {}}, ["Required additionalProperties.type"]),
    "array without items": ({"type": "array"}, ["Required items"]),
    "unknown type": ({"type": "strings"}, ["NotSupported type"]),
    "fields and values": (
        {"type": "object", "properties": {"b": STRING}, "additionalProperties": STRING},
        ["Forbidden additionalProperties"],
    ),
    "no values": ({"type": "object", "additionalProperties": False}, []),
    "any values": ({"type": "object", "additionalProperties": True}, []),
    "list of items": ({"type": "array", "items": [STRING]}, ["Forbidden items"]),
    **{
        keyword: ({"type": "object", keyword: value}, [f"Forbidden {keyword}"])
        for keyword, value in {
            "$ref": "#/x",
            "id": "x",
            "definitions": {"a": STRING},
            "dependencies": {"a": ["b"]},
            "patternProperties": {"a": STRING},
        }.items()
    },
    "unique items": ({"type": "array", "items": STRING, "uniqueItems": True}, ["Forbidden uniqueItems"]),
    "type in allOf": ({"type": "object", "allOf": [{"type": "object"}]}, ["Forbidden allOf[0].type"]),
    "structure in anyOf": (
        {"type": "object", "anyOf": [{"description": "x", "default": 1, "nullable": True, PRESERVES: True}]},
        [f"Forbidden anyOf[0].{keyword}" for keyword in ("default", "description", "nullable", PRESERVES)],
    ),
    "structure in not": (
        {"type": "object", "not": {"properties": {"b": STRING}}},
        ["Forbidden not.properties[b].type"],
    ),
    "values in anyOf": ({"type": "object", "properties": {"b": STRING}, "anyOf": [{"required": ["b"]}]}, []),
    "int or string": ({EITHER: True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, []),
    "int or bool": (
        {EITHER: True, "anyOf": [{"type": "integer"}, {"type": "boolean"}]},
        ["Forbidden anyOf[0].type", "Forbidden anyOf[1].type"],
    ),
    "embedded": ({EMBEDDED: True}, ["Required properties", "Required type"]),
    "embedded without fields": ({"type": "object", EMBEDDED: True}, ["Required properties"]),
    "does not preserve": ({"type": "object", PRESERVES: False}, [f"Invalid {PRESERVES}"]),
    "map without keys": (listed([], {"type": "object"}), [f"Required {KEYS}"]),
    "unknown key": (listed(["k"], {"type": "object"}), [f"Invalid {KEYS}"]),
    "optional key": (listed(["k"], keyed("string")), ["Required items.properties[k].default"]),
    "key that is an object": (listed(["k"], keyed("object", required=["k"])), ["Invalid items.properties[k].type"]),
    "map of strings": (listed(["k"], STRING), ["Invalid items.type"]),
    "keys of no map": ({"type": "array", KEYS: ["k"], "items": STRING}, [f"Required {LIST_TYPE}"]),
    "unknown list type": ({"type": "array", LIST_TYPE: "bag", "items": STRING}, [f"NotSupported {LIST_TYPE}"]),
    "list type of an object": ({"type": "object", LIST_TYPE: "set"}, ["Invalid type"]),
    "set of objects": ({"type": "array", LIST_TYPE: "set", "items": {"type": "object"}}, [f"Invalid items.{MAP_TYPE}"]),
    "key twice": (listed(["k", "k"], keyed("string", required=["k"])), [f"Invalid {KEYS}"]),
    "unknown map type": ({"type": "object", MAP_TYPE: "x"}, [f"NotSupported {MAP_TYPE}"]),
    "map type of a string": ({"type": "string", MAP_TYPE: "atomic"}, ["Invalid type"]),
    "default of another type": ({"type": "integer", "default": "x"}, ["TypeInvalid default"]),
    "default out of bounds": ({"type": "integer", "default": 0, "minimum": 1}, ["Invalid default"]),
    "default with unknown fields": ({"type": "object", "default": {"x": 1}}, ["Invalid default"]),
    "default without a field": (
        {"type": "object", "default": {}, "required": ["b"], "properties": {"b": STRING}},
        ["Required default.b"],
    ),
    "default with a default": (
        {"type": "object", "default": {}, "required": ["b"], "properties": {"b": {**STRING, "default": "x"}}},
        ["Required default.b"],
    ),
    "unknown keyword": ({"type": "string", "minLenght": 3}, []),
}


def ask(servers: Any, definition: Any, **how: Any) -> Any:
    # Only the real server's controllers fill in the status.
    how = {"only": ("kind", "spec", "reason", "message", "details"), **how}
    return servers.ask("POST", DEFINITIONS, definition, query={"dryRun": "All"}, unordered=True, **how)


def found_in(answer: Any) -> list[str]:
    causes = (answer.body.get("details") or {}).get("causes") or ()
    return sorted(f"{cause['reason'].removeprefix('FieldValue')} {cause['field']}" for cause in causes)


def of_schema(schema: Any) -> dict[str, Any]:
    return definition_of("wrong.example.com", "Wrong", {"v1": schema})


@pytest.mark.parametrize(("schema", "causes"), FIELDS.values(), ids=FIELDS)
def test_schema_of_a_field(servers, schema, causes):
    """A schema that is not structural is refused, with a cause for each mistake."""
    spec = {"type": "object", "properties": {"a": schema}}
    found = found_in(ask(servers, of_schema({"type": "object", "properties": {"spec": spec}})))
    path = "spec.validation.openAPIV3Schema.properties[spec].properties[a]"
    assert found == [f"{reason} {path}.{field}" for reason, field in (cause.split() for cause in causes)]


ROOTS: dict[str, tuple[Any, list[str]]] = {
    "empty": ({}, ["Required .type"]),
    "string": (STRING, ["Invalid .type"]),
    "any": ({PRESERVES: True}, []),
    "values": ({"type": "object", "additionalProperties": STRING}, ["Forbidden .additionalProperties"]),
    "nullable": ({"type": "object", "nullable": True}, ["Forbidden .nullable"]),
    "labels": (
        {
            "type": "object",
            "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
        },
        ["Forbidden .properties[metadata]"],
    ),
    "name": (
        {
            "type": "object",
            "properties": {"metadata": {"type": "object", "properties": {"name": {**STRING, "maxLength": 3}}}},
        },
        [],
    ),
    "metadata": ({"type": "object", "properties": {"metadata": STRING}}, ["Invalid .properties[metadata].type"]),
    "kind": ({"type": "object", "properties": {"kind": {"type": "integer"}}}, ["Invalid .properties[kind].type"]),
}


@pytest.mark.parametrize(("schema", "causes"), ROOTS.values(), ids=ROOTS)
def test_schema_of_an_object(servers, schema, causes):
    """The root must be an object, and says little about kind and metadata."""
    path = "spec.validation.openAPIV3Schema"
    wanted = [f"{reason} {path}{field}" for reason, field in (cause.split() for cause in causes)]
    assert found_in(ask(servers, of_schema(schema))) == wanted


def changed(path: str, value: Any) -> dict[str, Any]:
    """Returns a valid definition with one change; None removes."""
    definition = copy.deepcopy(of_schema({"type": "object"}))
    at: Any = definition
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in parents:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return definition


VERSION = {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": {"type": "object"}}}
COLUMNS = [
    {"name": "", "type": "foo", "jsonPath": "spec"},
    {"name": "y", "type": "string", "format": "z", "jsonPath": ".a"},
]
CHANGES: dict[str, tuple[dict[str, Any], int]] = {
    "nothing": (changed("spec.scope", "Cluster"), 201),
    "another name": (changed("metadata.name", "x.y.z"), 422),
    "no group": (changed("spec.group", None), 422),
    "group without a dot": (changed("spec.group", "wrong"), 422),
    "unknown scope": (changed("spec.scope", "x"), 422),
    "no names": (changed("spec.names", None), 422),
    "plural": (changed("spec.names.plural", "Wrongs"), 422),
    "kind": (changed("spec.names.kind", "wro ng"), 422),
    "same kind of list": (changed("spec.names.listKind", "Wrong"), 422),
    "no versions": (changed("spec.versions", None), 422),
    "no stored version": (changed("spec.versions.0.storage", False), 422),
    "same version twice": (changed("spec.versions", [{**VERSION, "storage": True}, VERSION]), 422),
    "version": (changed("spec.versions.0.name", "V 1"), 422),
    "not served": (changed("spec.versions.0.served", False), 201),
    "no schema": (changed("spec.versions.0.schema", None), 422),
    "preserveUnknownFields": (changed("spec.preserveUnknownFields", True), 422),
    "columns": (changed("spec.versions.0.additionalPrinterColumns", COLUMNS), 422),
    "strategy": (changed("spec.conversion", {"strategy": "x"}), 422),
    "unknown field": (changed("spec.foo", 1), 201),
    "two versions": (
        changed("spec.versions", [{**VERSION, "name": "v1", "storage": True, "schema": {}}, VERSION]),
        422,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_names_and_versions(servers, name):
    """Everything else in a definition is validated too; what is left out gets a default."""
    definition, status = CHANGES[name]
    # Where the real server names the fields of older versions of definitions, only the refusal is compared.
    how = {"only": ("reason",)} if name in ("version", "columns") else {"any_wording": True}
    assert ask(servers, definition, **how).status == status


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "(?<!a)", r"(a)\1", "a++", "[b-a]"])
def test_wrong_pattern(servers, pattern):
    """The real server adds its own compiler's message."""
    spec = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    definition = of_schema({"type": "object", "properties": {"spec": spec}})
    assert servers.ask("POST", DEFINITIONS, definition, only=("reason",)).status == 422


def test_change_of_the_stored_version(servers):
    """Both versions are in status.storedVersions, and the schema of an update is validated."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", PRESERVES: True}}}
    definition = definition_of("{ns}.example.com", "Moved", {"v1": schema, "v2": schema})
    servers.ask("POST", DEFINITIONS, definition, only=("spec",))
    path = f"{DEFINITIONS}/{definition['metadata']['name']}"
    servers.wait_for(path, lambda body: len(body["status"]["conditions"] or ()) > 1)
    moved = {"op": "replace", "path": "/spec/versions/0/storage", "value": False}
    patch = [moved, {"op": "replace", "path": "/spec/versions/1/storage", "value": True}]
    media = "application/json-patch+json"
    answer = servers.ask("PATCH", path, patch, media=media, only=("spec", "status"))
    assert answer.body["status"]["storedVersions"] == ["v1", "v2"]
    wrong = [{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/type"}]
    assert servers.ask("PATCH", path, wrong, media=media).status == 422
    servers.ask("DELETE", path, only=("kind",))  # tests of discovery compare the groups of all servers


def test_what_objects_depend_on_does_not_change(servers) -> None:
    """Scope, group and names of an established definition."""
    widgets = f"{DEFINITIONS}/widgets.contracts.example.com"
    changes: list[dict[str, Any]] = [{"scope": "Cluster"}, {"group": "other.example.com"}]
    changes += [{"names": {"kind": "Gadget"}}, {"names": {"plural": "gadgets"}}, {"scope": "Cluster", "group": "a.b"}]
    for change in changes:
        query = {"dryRun": "All"}
        media = "application/merge-patch+json"
        answer = servers.ask("PATCH", widgets, {"spec": change}, media=media, query=query, unordered=True)
        assert answer.status == 422

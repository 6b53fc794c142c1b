"""Makes the OpenAPI v3 documents of custom resources from their definitions.

Source: apiextensions-apiserver pkg/controller/openapi/builder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from informer.testing.api_documents.published import published

__all__ = ["REFERENCE", "custom_documents", "with_inner"]

REFERENCE = "#/components/schemas/"
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def custom_documents(definitions: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns the documents of CustomResourceDefinitions, by their path, such as "apis/example.com/v1"."""
    documents: dict[str, dict[str, Any]] = {}
    for definition in definitions:
        group = definition["spec"]["group"]
        for version in definition["spec"]["versions"]:
            if not version.get("served", True):
                continue
            made = _document(definition["spec"], version)
            document = documents.setdefault(f"apis/{group}/{version['name']}", made)
            document["paths"] |= made["paths"]
            document["components"]["schemas"] |= made["components"]["schemas"]
    return documents


def _schema_name(group: str, version: str, kind: str) -> str:
    """Returns the name under which a document has the schema of a kind."""
    return ".".join((*reversed(group.split(".")), version, kind))


def _document(spec: Mapping[str, Any], version: Mapping[str, Any]) -> dict[str, Any]:
    group, names, name = spec["group"], spec["names"], version["name"]
    list_kind = names.get("listKind") or names["kind"] + "List"
    camel = "".join(_capitalized(part) for part in group.replace("-", ".").split("."))
    text = bytes(published().custom[spec.get("scope") or "Namespaced"]).decode()
    for placeholder, value in (
        ("xgroup.example.com", group),
        ("com.example.xgroup", ".".join(reversed(group.split(".")))),
        ("XgroupExampleCom", camel),
        ("xgroupExampleCom", camel[:1].lower() + camel[1:]),
        ("xplurals", names["plural"]),
        ("XkindList", list_kind),
        ("Xkind", names["kind"]),
        ("Xversion", _capitalized(name)),
        ("xversion", name),
    ):
        text = text.replace(placeholder, value)
    document: dict[str, Any] = msgspec.json.decode(text)
    subresources = version.get("subresources") or {}
    for path in list(document["paths"]):
        if path.endswith(("}/status", "}/scale")) and path.rpartition("/")[2] not in subresources:
            del document["paths"][path]
    schemas = document["components"]["schemas"]
    if "scale" not in subresources:
        for each in ("Scale", "ScaleSpec", "ScaleStatus"):
            del schemas[f"io.k8s.api.autoscaling.v1.{each}"]
    kind = _schema_name(group, name, names["kind"])
    selectable = [{"fieldPath": each["jsonPath"].lstrip(".")} for each in version.get("selectableFields") or ()]
    for each in (kind, _schema_name(group, name, list_kind)) if selectable else ():
        schemas[each]["x-kubernetes-selectable-fields"] = selectable
    schemas[kind] = _schema_of_kind((version.get("schema") or {}).get("openAPIV3Schema") or {}, schemas[kind])
    return document


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _schema_of_kind(schema: Mapping[str, Any], published_schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema of a whole object: that of its definition, with the fields that every object has."""
    made = _schema(schema)
    of_objects = {key: published_schema["properties"][key] for key in ("apiVersion", "kind", "metadata")}
    made["properties"] = {**made.get("properties", {}), **of_objects}
    return made | {key: value for key, value in published_schema.items() if key.startswith("x-kubernetes-")}


def with_inner(schema: Mapping[str, Any], change: Callable[[Mapping[str, Any]], Any]) -> dict[str, Any]:
    """Returns a schema with another form of the schemas of its fields, items and values."""
    made = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = change(made[key])
    if made.get("properties"):
        made["properties"] = {name: change(each) for name, each in made["properties"].items()}
    return made


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a schema as the server publishes it."""
    made = with_inner(schema, _schema)
    if made.get("x-kubernetes-int-or-string"):
        made["anyOf"] = _INT_OR_STRING
    return made

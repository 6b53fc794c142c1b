"""Makes the OpenAPI v2 document from those of v3: the definitions of all kinds, without paths.

Source: kube-openapi pkg/schemaconv; apiextensions-apiserver pkg/controller/openapi/v2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from informer.testing.api_documents.custom_documents import REFERENCE

__all__ = ["openapi_v2"]

_KINDS = "x-kubernetes-group-version-kind"
_NOT_IN_V2 = ("allOf", "anyOf", "default", "oneOf", "not", "nullable")


def openapi_v2(
    built_in: Iterable[Mapping[str, Any]], custom: Iterable[Mapping[str, Any]], version: str
) -> dict[str, Any]:
    """Returns the OpenAPI v2 document.

    Args:
        built_in: the OpenAPI v3 documents of built-in kinds.
        custom: those of custom resources.
        version: the server's version, such as "1.37".
    """
    definitions: dict[str, Any] = {}
    for documents, is_custom in ((built_in, False), (custom, True)):
        for document in documents:
            for name, schema in document.get("components", {}).get("schemas", {}).items():
                if name not in definitions:
                    definitions[name] = _schema(schema, custom=is_custom)
                for kind in schema.get(_KINDS, ()):
                    known = definitions[name].setdefault(_KINDS, [])
                    known += [kind] if kind not in known else []
    info = {"title": "Kubernetes", "version": version}
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": dict(sorted(definitions.items()))}


def _schema(schema: Mapping[str, Any], *, custom: bool) -> dict[str, Any]:
    # The kinds are collected from all documents.
    made = {key: value for key, value in schema.items() if key not in (*_NOT_IN_V2, _KINDS)}
    if not custom and "oneOf" in schema:  # a quantity, or an integer or string
        made["type"] = "string"
    for each in schema.get("allOf", ()):
        made |= {key: value for key, value in each.items() if key == "$ref"}
    if "$ref" in made:
        made["$ref"] = made["$ref"].replace(REFERENCE, "#/definitions/")
    if custom:
        _drop_variants(made, schema)
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _schema(made[key], custom=custom)
    if made.get("properties"):
        made["properties"] = {name: _schema(each, custom=custom) for name, each in made["properties"].items()}
    return made


def _drop_variants(made: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Drops the type of what may be of another type: clients of the time of v2 cannot read both."""
    unknown = schema.get("x-kubernetes-preserve-unknown-fields")
    if unknown or schema.get("nullable"):
        made.pop("items", None)
        made.pop("properties", None)
        if schema.get("x-kubernetes-embedded-resource"):
            del made["required"]
    if schema.get("nullable") or (unknown and made.get("type") in ("array", "object")):
        made.pop("type", None)

"""Validates CustomResourceDefinitions: names, versions, and that their schemas are structural.

Source: apiextensions-apiserver pkg/apis/apiextensions/validation and pkg/apiserver/schema/validation.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from informer.testing.storage.schemas.custom_schema import CustomSchema
from informer.testing.storage.schemas.object_rules import LABEL_1035
from informer.testing.storage.schemas.schema_checks import schema_causes
from informer.testing.storage.statuses import Cause

__all__ = ["definition_causes"]

_COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"]
_COLUMN_FORMATS = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"]
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_APPROVED = "api-approved.kubernetes.io"
# Fields of a version that the real server names without the version if all versions have the same.
_SHARED = ("schema", "additionalPrinterColumns", "subresources", "selectableFields")


def definition_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    """Returns what is wrong with a definition, given the stored one; None for a new one.

    Raises:
        ImportError: a package that its schemas need is not installed.
    """
    spec = obj.get("spec") or {}
    names, versions = spec.get("names") or {}, spec.get("versions") or []
    causes = [
        *_name_causes(obj, spec, names, is_new=old is None),
        *_version_causes(spec, versions),
        *_names_causes(names),
    ]
    if spec.get("preserveUnknownFields"):
        message = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        causes.append(Cause.bad("spec.preserveUnknownFields", "true", message))
    conversion = (spec.get("conversion") or {}).get("strategy") or "None"
    if conversion not in ("None", "Webhook"):
        causes.append(Cause.unsupported("spec.conversion.strategy", conversion, ("None", "Webhook")))
    for i, version in enumerate(versions):
        is_shared = all(_of_version(each) == _of_version(version) for each in versions)
        if i and is_shared:
            break
        causes += _checked(version, f"spec.versions[{i}]", is_shared=is_shared)
    if not any(version.get("storage") for version in versions):
        causes.append(Cause.bad("status.storedVersions", "null", "must have at least one stored version"))
    return causes if old is None else [*causes, *_changes(old["spec"], spec)]


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Cause]:
    """Yields the changes of an established definition that are refused."""
    for path in (("scope",), ("names", "kind"), ("group",), ("names", "plural")):
        before, after = ((spec.get("names") or {} if path[1:] else spec).get(path[-1]) for spec in (old, new))
        if before != after:
            yield Cause.bad(".".join(("spec", *path)), json.dumps(after or ""), "field is immutable")


def _of_version(version: Mapping[str, Any]) -> dict[str, Any]:
    return {field: version.get(field) for field in _SHARED}


def _name_causes(
    obj: Mapping[str, Any], spec: Mapping[str, Any], names: Mapping[str, Any], *, is_new: bool
) -> Iterator[Cause]:
    metadata, group, scope = obj["metadata"], spec.get("group") or "", spec.get("scope") or ""
    name = metadata.get("name", "")
    if is_new and name != f"{names.get('plural', '')}.{group}":
        yield Cause.bad("metadata.name", json.dumps(name), 'must be spec.names.plural+"."+spec.group')
    is_protected = group.endswith((".k8s.io", ".kubernetes.io"))
    if is_protected and not (metadata.get("annotations") or {}).get(_APPROVED):
        message = f'protected groups must have approval annotation "{_APPROVED}", see https://github.com/kubernetes/enhancements/pull/1111'
        yield Cause.required(f"metadata.annotations[{_APPROVED}]", message)
    if not group:
        yield Cause.required("spec.group", "")
    elif "." not in group:
        yield Cause.bad("spec.group", json.dumps(group), "should be a domain with at least one dot")
    if not scope:
        yield Cause.required("spec.scope", "")
    elif scope not in ("Cluster", "Namespaced"):
        yield Cause.unsupported("spec.scope", scope, ("Cluster", "Namespaced"))


def _version_causes(spec: Mapping[str, Any], versions: list[Any]) -> Iterator[Cause]:
    for i, version in enumerate(versions):
        if not _LABEL.fullmatch(version.get("name") or ""):
            fields = (f"spec.versions[{i}].name", *(() if i else ("spec.version",)))
            yield from (Cause.bad(field, json.dumps(version.get("name")), LABEL_1035) for field in fields)
    shown = json.dumps([_dump(each) for each in versions] if "versions" in spec else None, separators=(",", ":"))
    if len({version.get("name") for version in versions}) < len(versions):
        yield Cause.bad("spec.versions", shown, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield Cause.bad("spec.versions", shown, "must have exactly one version marked as storage version")


def _dump(version: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name.capitalize(): version.get(name, False) for name in ("name", "served", "storage", "deprecated")}
    empty = "DeprecationWarning Schema Subresources AdditionalPrinterColumns SelectableFields"
    return plain | dict.fromkeys(empty.split())


def _names_causes(names: Mapping[str, Any]) -> Iterator[Cause]:
    for field in ("plural", "singular", "kind", "listKind"):
        if not names.get(field):
            yield Cause.required(f"spec.names.{field}", "")
    for field in ("plural", "singular"):
        if names.get(field) and not _LABEL.fullmatch(names[field]):
            yield Cause.bad(f"spec.names.{field}", json.dumps(names[field]), LABEL_1035)
    for field in ("kind", "listKind"):
        if names.get(field) and not _LABEL.fullmatch(names[field].lower()):
            message = f"may have mixed case, but should otherwise match: {LABEL_1035}"
            yield Cause.bad(f"spec.names.{field}", json.dumps(names[field]), message)
    if names.get("kind") and names["kind"] == names.get("listKind"):
        yield Cause.bad("spec.names.listKind", json.dumps(names["listKind"]), "kind and listKind may not be the same")


def _checked(version: Mapping[str, Any], path: str, *, is_shared: bool) -> Iterator[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        yield Cause.required(f"{path}.schema.openAPIV3Schema", "")
    else:
        where = "spec.validation.openAPIV3Schema" if is_shared else f"{path}.schema.openAPIV3Schema"
        causes = list(schema_causes(schema, where))
        yield from causes or CustomSchema.of(schema).rule_causes(where)
    at = "spec" if is_shared else path
    for i, column in enumerate(version.get("additionalPrinterColumns") or ()):
        yield from _column_causes(column, f"{at}.additionalPrinterColumns[{i}]")


def _column_causes(column: Mapping[str, Any], path: str) -> Iterator[Cause]:
    kinds, formats = ",".join(_COLUMN_TYPES), ",".join(_COLUMN_FORMATS)
    if not column.get("name"):
        yield Cause.required(f"{path}.name", "")
    if not column.get("type"):
        yield Cause.required(f"{path}.type", f"must be one of {kinds}")
    elif column["type"] not in _COLUMN_TYPES:
        yield Cause.bad(f"{path}.type", json.dumps(column["type"]), f"must be one of {kinds}")
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        yield Cause.bad(f"{path}.format", json.dumps(column["format"]), f"must be one of {formats}")
    if not column.get("jsonPath"):
        yield Cause.required(f"{path}.JSONPath", "")
    elif not column["jsonPath"].startswith("."):
        yield Cause.bad(
            f"{path}.JSONPath", json.dumps(column["jsonPath"]), "must be a simple json path starting with ."
        )

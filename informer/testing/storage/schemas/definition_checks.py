"""Validates CustomResourceDefinitions: names, versions, and that their schemas are structural.

Source: apiextensions-apiserver pkg/apis/apiextensions/validation and pkg/apiserver/schema/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from informer.testing.storage.kinds.rules import causes_of
from informer.testing.storage.schemas.custom_schema import CustomSchema
from informer.testing.storage.schemas.schema_checks import schema_causes
from informer.testing.storage.statuses import Cause, shown

__all__ = ["definition_causes"]

_APPROVED = "api-approved.kubernetes.io"


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
        yield Cause.bad(
            "spec.versions", shown(version_names), "must have exactly one version marked as storage version"
        )
    if not stored:
        yield Cause.bad("status.storedVersions", "null", "must have at least one stored version")
    yield from _schemas_causes([(each.get("schema") or {}).get("openAPIV3Schema") for each in versions])


def _schemas_causes(schemas: list[Any]) -> Iterator[Cause]:
    # The real server names a schema without its version if all versions have the same.
    is_shared = all(each == schemas[0] for each in schemas)
    for i, schema in enumerate(schemas[:1] if is_shared else schemas):
        if schema is not None:
            path = "spec.validation.openAPIV3Schema" if is_shared else f"spec.versions[{i}].schema.openAPIV3Schema"
            causes = list(schema_causes(schema, path))
            yield from causes or CustomSchema.of(schema).rule_causes(path)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Cause]:
    """Yields the changes of an established definition that are refused."""
    for path in (("scope",), ("names", "kind"), ("group",), ("names", "plural")):
        before, after = ((spec.get("names") or {} if path[1:] else spec).get(path[-1]) for spec in (old, new))
        if before != after:
            yield Cause.bad(".".join(("spec", *path)), shown(after or ""), "field is immutable")

"""The types of fields, as far as their ownership depends on them: which maps and lists belong to one owner as a whole.

Built-in kinds have them in the OpenAPI documents, custom resources in their definitions.

Source: kube-openapi pkg/schemaconv/openapi.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from informer.testing.api_documents.published import published
from informer.testing.storage.schemas.custom_schema import CustomSchema
from informer.testing.storage.schemas.structure import EMBEDDED, PRESERVES
from informer.testing.storage.served_resources import ServedResource

__all__ = ["FieldType", "type_of"]

_NUMBER: tuple[str, tuple[type, ...]] = ("numeric", (int, float))
# What the values of a field are called, and their types in Python.
_VALUES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "object": ("map", (dict,)),
    "array": ("list", (list,)),
    "string": ("string", (str,)),
    "integer": _NUMBER,
    "number": _NUMBER,
    "boolean": ("boolean", (bool,)),
}
_ANY_SCALAR = ("any scalar", (str, int, float, bool))
_ANYTHING = ("anything", (dict, list, str, int, float, bool))
_REFERENCE = "#/components/schemas/"
# Types whose JSON form their schema does not show.
_QUANTITY, _RAW = "io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.runtime.RawExtension"
_ANY: Mapping[str, Any] = {}
_META = _REFERENCE + "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_OBJECT_FIELDS = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": _META}}
_SPECIAL = {_QUANTITY: {"type": "string", "format": "quantity"}, _RAW: {"x-kubernetes-map-type": "atomic"}}


class FieldType:
    """The type of a field.

    Args:
        schema: its OpenAPI schema.
        definitions: the schemas to which references lead, by name.
        keeps_unknown: whether maps may have fields that the schema does not declare.

    Attributes:
        accepts: what its values are called, and their types.
        whole_map: whether a map has one owner, instead of one owner for each field.
        whole_list: whether a list has one owner, instead of one owner for each item.
        keys: the fields that identify an item of a list; empty if the item identifies itself.
        merge_key: the field that does so in a strategic merge patch, "" likewise; None if it replaces the list.
    """

    def __init__(
        self, schema: Mapping[str, Any], definitions: Mapping[str, Any], *, keeps_unknown: bool = False
    ) -> None:
        name = _referred(schema)
        if name:
            own = {key: value for key, value in schema.items() if key == "x-kubernetes-map-type"}
            schema = {**(_SPECIAL.get(name) or definitions.get(name) or _ANY), **own}
            keeps_unknown = False
        self._schema = schema
        self._definitions = definitions
        self._keeps_unknown = keeps_unknown or bool(schema.get(PRESERVES))
        self._fields: Mapping[str, Any] = schema.get("properties") or {}
        if schema.get(EMBEDDED):
            self._fields = {**self._fields, **_OBJECT_FIELDS}
        self._known: dict[str, FieldType | None] = {}
        kind = schema.get("type", "")
        self.accepts = _VALUES.get(kind, _ANYTHING)
        if kind == "string" and schema.get("format") not in (None, "", "byte"):
            self.accepts = _ANY_SCALAR
        self.whole_map = schema.get("x-kubernetes-map-type") == "atomic"
        merge = str(schema.get("x-kubernetes-patch-strategy", "")).startswith("merge")
        list_type = schema.get("x-kubernetes-list-type") or ("map" if merge else "atomic")
        self.whole_list = list_type == "atomic"
        self.merge_key: str | None = schema.get("x-kubernetes-patch-merge-key", "") if merge else None
        keys = schema.get("x-kubernetes-list-map-keys") or ([self.merge_key] if self.merge_key else [])
        self.keys: list[str] = [] if list_type == "set" else list(keys)

    def declares(self, element: str) -> bool:
        """Whether the schema names the field of a path's element, instead of allowing any."""
        return element[:2] == "f:" and element[2:] in self._fields

    def field(self, name: str) -> FieldType | None:
        """Returns the type of a map's field; None if there must not be such a field."""
        if name not in self._fields:
            name = ""
        if name not in self._known:
            self._known[name] = self._field_type(name)
        return self._known[name]

    def item(self) -> FieldType:
        """Returns the type of a list's items."""
        if "[]" not in self._known:
            items = self._schema.get("items")
            self._known["[]"] = self._below(items if isinstance(items, Mapping) else _ANY)
        found = self._known["[]"]
        assert found is not None
        return found

    def below(self, element: str) -> FieldType:
        """Returns the type of the part to which a path's element leads."""
        return (self.field(element[2:]) or _UNDECLARED) if element[0] == "f" else self.item()

    def default(self, name: str) -> Any:
        """Returns the default of a map's field; None if it has none."""
        return (self._fields.get(name) or _ANY).get("default")

    def always_has(self, element: str) -> Any:
        """Returns the empty struct or list that Go's type has in place of a missing field; None if the field is optional."""
        name, field = element[2:], self._fields.get(element[2:]) or _ANY
        if field.get("default") == {} and _referred(field):
            return {}
        is_list = "x-kubernetes-patch-strategy" in field and name in self._schema.get("required", ())
        return [] if is_list else None

    def _field_type(self, name: str) -> FieldType | None:
        if name:
            return self._below(self._fields[name])
        others = self._schema.get("additionalProperties")
        if isinstance(others, Mapping):
            return self._below(others)
        if others is None and not self._keeps_unknown and self._fields:
            return None
        return None if others is False else _UNDECLARED

    def _below(self, schema: Mapping[str, Any]) -> FieldType:
        return FieldType(schema, self._definitions, keeps_unknown=self._keeps_unknown)


def type_of(served: ServedResource) -> FieldType:
    """Returns the type of a resource's objects."""
    if not served.custom:
        return _built_in(served.resource.api_version, served.resource.kind)
    return _custom(served.schema)


@lru_cache(maxsize=256)
def _custom(schema: CustomSchema | None) -> FieldType:
    return FieldType({PRESERVES: True, EMBEDDED: True} if schema is None else schema.schema, _schemas_of("v1"))


@lru_cache(maxsize=256)
def _built_in(api_version: str, kind: str) -> FieldType:
    definitions = _schemas_of(api_version)
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    for schema in definitions.values():
        if wanted in schema.get("x-kubernetes-group-version-kind", ()):
            return FieldType(schema, definitions)
    return _UNDECLARED


@lru_cache(maxsize=64)
def _schemas_of(api_version: str) -> Mapping[str, Any]:
    """Returns the schemas in the OpenAPI document of a group version."""
    document = published().openapi.get(f"apis/{api_version}" if "/" in api_version else f"api/{api_version}")
    if document is None:
        return {}
    components = msgspec.json.decode(document, type=dict[str, msgspec.Raw])["components"]
    schemas: Mapping[str, Any] = msgspec.json.decode(components)["schemas"]
    return schemas


def _referred(schema: Mapping[str, Any]) -> str:
    several: list[dict[str, Any]] = schema.get("allOf") or []
    reference = schema.get("$ref") or (several[0].get("$ref", "") if len(several) == 1 else "")
    return str(reference).removeprefix(_REFERENCE)


_UNDECLARED = FieldType(_ANY, {}, keeps_unknown=True)

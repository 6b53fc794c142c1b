"""Objects in API form with every field that a server's OpenAPI document has for them."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

__all__ = ["ObjectMaker"]

_REF = "#/components/schemas/"
# How often a type may contain itself, as the schema of a CustomResourceDefinition does.
_NESTED = 2
_FORMS: dict[str, tuple[Any, ...]] = {
    "Time": ("2026-01-02T03:04:05Z", "0001-01-02T00:00:00Z", "9999-12-31T23:59:59Z"),
    "MicroTime": ("2026-01-02T03:04:05.000006Z", "1969-12-31T23:59:59.999999Z"),
    "Quantity": ("100m", "0", "1500Mi", "1e3"),
    "IntOrString": ("25%", 8080, 0),
    "FieldsV1": ({"f:spec": {"k:{\"name\":\"ü\"}": {}}},),
    "RawExtension": ({"kind": "Some", "apiVersion": "example.com/v1", "list": [1, None, {"a": "ü"}], "e": {}},),
    "JSON": ("text", 1, [1, {"a": None}], {"ü": 0.5}, False),
    "JSONSchemaPropsOrBool": (True, {"type": "string"}, False),
    "JSONSchemaPropsOrArray": ({"type": "string"}, [{"type": "string"}, {"minimum": 0.25}]),
    "JSONSchemaPropsOrStringArray": ({"type": "string"}, ["a", "b"]),
}  # fmt: skip
_SCALARS: dict[str, tuple[Any, ...]] = {
    "int32": (7, 2147483647, -2147483648),
    "int64": (9, 9223372036854775807, -1),
    "double": (0.5, 1e21, -3.0, 123456789.125),
    "byte": ("AAEC/w==",),
    "boolean": (True,),
    "string": ("text", "ü" * 70, "x" * 300, '"\\\n<&>\u2028'),
}
_ZEROS = {"int32": 0, "int64": 0, "double": 0, "boolean": False, "string": ""}


class ObjectMaker:
    """Makes objects of a server's types.

    Args:
        schemas: the schemas of an OpenAPI v3 document of the server, by name.
        random: chooses values and, except in full objects, fields.
    """

    def __init__(self, schemas: Mapping[str, Any], random: Random) -> None:
        self._schemas = schemas
        self._random = random
        self._chance = 1.0

    def schema_of(self, group: str, version: str, kind: str) -> str:
        """Returns the name of a kind's schema."""
        wanted = {"group": group, "version": version, "kind": kind}
        return next(
            name
            for name, schema in self._schemas.items()
            if wanted in schema.get("x-kubernetes-group-version-kind", ())
        )

    def make(self, schema: str, chance: float = 1.0) -> dict[str, Any]:
        """Returns an object.

        Args:
            schema: the name of its schema.
            chance: the probability of each field. Below 1, a value may be zero.
        """
        self._chance = chance
        made = self._properties(self._schemas[schema], (schema,))
        assert isinstance(made, dict)
        return made

    def _properties(self, schema: Mapping[str, Any], within: tuple[str, ...]) -> dict[str, Any]:
        made = {}
        for name, part in schema.get("properties", {}).items():
            if self._random.random() < self._chance and (value := self._value(part, within)) is not None:
                made[name] = value
        return made

    def _value(self, schema: Mapping[str, Any], within: tuple[str, ...]) -> Any:
        ref = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", ()) if "$ref" in part), "")
        if ref:
            return self._of_type(ref.removeprefix(_REF), within)
        kind = schema.get("type")
        if kind == "array":
            items = [self._value(schema["items"], within) for _ in range(self._random.choice((1, 2)))]
            return [item for item in items if item is not None] or None
        if kind == "object":
            if "additionalProperties" in schema:
                value = self._value(schema["additionalProperties"], within)
                return (
                    None if value is None else {self._random.choice(("a", "ü", "a.b/c", "")): value, "z" * 130: value}
                )
            return self._properties(schema, within)
        form = schema.get("format") or kind or "string"
        form = {"date-time": "Time", "integer": "int64", "number": "double"}.get(form, form)
        return self._scalar(form)

    def _of_type(self, name: str, within: tuple[str, ...]) -> Any:
        short = name.rpartition(".")[2]
        if short in _FORMS:
            return self._random.choice(_FORMS[short])
        if within.count(name) >= _NESTED:
            return None
        schema = self._schemas[name]
        if "properties" not in schema and schema.get("type") != "object":
            return self._value(schema, (*within, name))
        return (
            self._value(schema, (*within, name))
            if "additionalProperties" in schema
            else self._properties(schema, (*within, name))
        )

    def _scalar(self, form: str) -> Any:
        if form in _ZEROS and self._chance < 1 and self._random.random() < 0.2:
            return _ZEROS[form]
        return self._random.choice(_FORMS.get(form) or _SCALARS.get(form) or _SCALARS["string"])

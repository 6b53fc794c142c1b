"""Validates values by a structural schema, with the causes that the real server gives.

The package `jsonschema` checks each value by the keywords of JSON Schema. It is imported with the first schema.

Source: kube-openapi pkg/validation; apiextensions-apiserver pkg/apiserver/validation, pkg/apiserver/schema/listtype and
/objectmeta.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from informer.testing.storage.schemas.formats import FORMATS
from informer.testing.storage.schemas.structure import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_TYPE,
    Schema,
    children_with_old,
    item_key,
    joined,
)
from informer.testing.storage.statuses import Cause, shown

__all__ = ["SchemaValidator", "pattern_of"]

_COMBINED = ("anyOf", "oneOf", "allOf")
# The keywords about a value itself, in the order in which the real server checks them.
_PLAIN = (
    *("maxLength", "minLength", "pattern", "format", "multipleOf", "maximum", "exclusiveMaximum", "minimum"),
    *("exclusiveMinimum", "minItems", "maxItems", "minProperties", "maxProperties", "required", "enum"),
)
_BOUNDS = {"minimum": ("exclusiveMinimum", "greater than"), "maximum": ("exclusiveMaximum", "less than")}
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_LIMITS = {"int32": 2**31, "int64": 2**63}
# What Go does not have, and POSIX classes, which Python does not have.
_FOREIGN = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]|\[\^?\[:|[*+?}]\+")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


class SchemaValidator:
    """Validates values by one schema.

    Args:
        schema: a structural schema, which must not change.

    Raises:
        ImportError: the package `jsonschema` is not installed.

    Threads: any.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._make = _validator_class()
        # By the identity of the schema of a value, without that of its parts.
        self._validators: dict[int, Any] = {}

    def causes(self, value: Any, old: Any = None) -> Iterator[Cause]:
        """Yields what is wrong with a value. What has not changed below the stored value is not looked at.

        Args:
            value: the value.
            old: the stored value; None if there is none.
        """
        yield from self._causes(value, self._schema, old, "")

    def _causes(self, value: Any, schema: Schema, old: Any, field: str) -> Iterator[Cause]:
        validator = self._validators.get(id(schema))
        if validator is None:
            validator = self._validators[id(schema)] = self._make(_json_schema(schema, with_parts=False))
        for error in validator.iter_errors(value):
            yield _cause(error, functools.reduce(joined, error.absolute_path, field))
        if isinstance(value, list):
            yield from _duplicates(value, schema, field)
        elif isinstance(value, Mapping) and schema.get(EMBEDDED) and field:
            yield from _embedded_causes(value, f"{field}.")
        for key, each, below, former in children_with_old(value, schema, old):
            if below is not None and (former is None or each != former):
                yield from self._causes(each, below, former, joined(field, key))


def _json_schema(schema: Schema, *, with_parts: bool) -> dict[str, Any]:
    """Returns a structural schema as a JSON schema, on request with the schemas of a value's parts."""
    made: dict[str, Any] = {}
    types = ["integer", "string"] if schema.get(INT_OR_STRING) else [schema["type"]] if schema.get("type") else []
    if types:
        made["type"] = [*types, *(["null"] if schema.get("nullable") else [])]
    for keyword in _COMBINED:
        if schema.get(keyword):
            made[keyword] = [_json_schema(each, with_parts=True) for each in schema[keyword]]
    made |= {keyword: schema[keyword] for keyword in _PLAIN if schema.get(keyword) not in (None, [])}
    for keyword in ("not", *(("items", "additionalProperties") if with_parts else ())):
        if isinstance(schema.get(keyword), Mapping):
            made[keyword] = _json_schema(schema[keyword], with_parts=True)
    if with_parts and schema.get("properties"):
        made["properties"] = {name: _json_schema(each, with_parts=True) for name, each in schema["properties"].items()}
    return made


@functools.cache
def _validator_class() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise ImportError(
            "schemas of custom resources need the package jsonschema: pip install 'kube-informer[testing]'"
        ) from error
    own: dict[str, Any] = {"format": _format, "required": _required, "pattern": _pattern}
    own |= {keyword: functools.partial(_combined, keyword) for keyword in (*_COMBINED, "not")}

    def failing(check: Any) -> Any:
        """Returns a check that yields texts as one that yields errors, as jsonschema wants it."""
        return lambda validator, limit, value, _schema: (
            each if isinstance(each, jsonschema.ValidationError) else jsonschema.ValidationError(each)
            for each in check(validator, limit, value)
        )

    return jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        jsonschema.Draft4Validator, {keyword: failing(check) for keyword, check in own.items()}
    )


def _format(validator: Any, name: str, value: Any) -> Iterator[str]:
    check, limit = FORMATS.get(name), _LIMITS.get(name)
    is_wrong_text = isinstance(value, str) and check is not None and not check(value)
    if is_wrong_text or (limit and isinstance(value, int) and not -limit <= value < limit):
        yield name


def _pattern(validator: Any, pattern: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and not pattern_of(pattern).search(value):
        yield pattern


def _required(validator: Any, names: Sequence[str], value: Any) -> Iterator[str]:
    yield from (name for name in names if isinstance(value, Mapping) and name not in value)


def _combined(keyword: str, validator: Any, schemas: Any, value: Any) -> Iterator[Any]:
    found = [list(validator.descend(value, each)) for each in (schemas if isinstance(schemas, list) else [schemas])]
    valid = sum(not errors for errors in found)
    if keyword == "not" and valid:
        yield "must not validate the schema (not)"
    elif keyword == "anyOf" and not valid:
        yield from ("must validate at least one schema (anyOf)", *min(found, key=len))
    elif keyword == "oneOf" and valid != 1:
        alternatives = f"Found {valid} valid alternatives" if valid else "Found none valid"
        yield from (f"must validate one and only one schema (oneOf). {alternatives}", *min(found, key=len))
    elif keyword == "allOf" and valid < len(found):
        yield "must validate all the schemas (allOf)" + ("" if valid else ". None validated")
        yield from (error for errors in found for error in errors)


def _cause(error: Any, field: str) -> Cause:
    keyword, limit, value = error.validator, error.validator_value, error.instance
    text = shown(value)
    match keyword:
        case "required":
            return Cause.required(joined(field, error.message), "")
        case "type":
            found = _TYPES.get(type(value), "null")
            types = ",".join(each for each in limit if each != "null")
            message = f'Invalid value: "{found}": {field} in body must be of type {types}: "{found}"'
            return Cause("FieldValueTypeInvalid", message, field)
        case "anyOf" | "oneOf" | "allOf" | "not":
            return Cause.bad("<nil>", '""', f'"{field}" {error.message}')
        case "enum":
            values = ", ".join(f'"{each if isinstance(each, str) else shown(each)}"' for each in limit)
            return Cause("FieldValueNotSupported", f"Unsupported value: {text}: supported values: {values}", field)
        case "maxLength":
            return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", field)
        case "maxItems" | "maxProperties":
            return Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {limit} items", field)
        case "minItems" | "minProperties":
            noun = keyword.removeprefix("min").lower()
            return Cause.bad(field, str(len(value)), f"{field} in body should have at least {limit} {noun}")
        case "format" if isinstance(value, str):
            message = f"Invalid value: {text}: {field} in body must be of type {limit}: {text}"
            return Cause("FieldValueTypeInvalid", message, field)
        case "format":
            message = f"Checked value must be of type integer with format {limit} in {field}"
            return Cause.bad("<nil>", '""', message)
    return Cause.bad(field, text, f"{field} in body should {_expectation(keyword, limit, error.schema)}")


def _expectation(keyword: str, limit: Any, schema: Any) -> str:
    if keyword == "minLength":
        return f"be at least {limit} chars long"
    if keyword == "pattern":
        return f"match '{limit}'"
    if keyword == "multipleOf":
        return f"be a multiple of {shown(limit)}"
    exclusive, than = _BOUNDS[keyword]
    return f"be {than}{'' if schema.get(exclusive) else ' or equal to'} {shown(limit)}"


def _duplicates(value: list[Any], schema: Schema, field: str) -> Iterator[Cause]:
    """Yields the items of a set or map that are there twice."""
    seen: dict[str, bool] = {}
    for i, item in enumerate(value):
        key = shown(item) if schema.get(LIST_TYPE) == "set" else item_key(item, schema)
        if key is None:
            continue
        if seen.get(key) is False:
            yield Cause.duplicate(joined(field, i), key)
        seen[key] = key in seen


def _embedded_causes(value: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Yields what is missing in an object within another, or has another type."""
    for name in ("apiVersion", "kind"):
        if name not in value:
            yield Cause.required(path + name, "")
        elif not isinstance(value[name], str):
            yield Cause("FieldValueTypeInvalid", f"{path}{name} in body must be of type string", path + name)


@functools.lru_cache(maxsize=1024)
def pattern_of(pattern: str) -> re.Pattern[str]:
    """Returns a pattern of Go as one of Python.

    Raises:
        re.error: Go or Python cannot compile it.
    """
    if _FOREIGN.search(pattern.replace(r"\\", "")):
        raise re.error("lookaround, back references, possessive quantifiers and POSIX classes are not supported")
    # In Go, "$" is only the end of the text, and \d, \s and \w are of ASCII.
    return re.compile(_TOKEN.sub(lambda found: r"\Z" if found[0] in ("$", r"\z") else found[0], pattern), re.ASCII)

"""Validates values by a structural schema, with the causes that the real server gives.

The package `jsonschema` finds what is wrong; it is imported with the first schema.

Source: kube-openapi pkg/validation; apiextensions-apiserver pkg/apiserver/validation.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from informer.testing.storage.schemas.formats import FORMATS
from informer.testing.storage.schemas.structure import EMBEDDED, INT_OR_STRING, Schema
from informer.testing.storage.statuses import Cause

__all__ = ["Failure", "SchemaValidator", "as_json", "path_text", "pattern_of"]

Path = tuple[str | int, ...]

_LIMITS = {"int32": 2**31, "int64": 2**63}
# The keywords, in the order in which the real server checks them.
_PLAIN = (
    *(
        "maxLength",
        "minLength",
        "pattern",
        "format",
        "multipleOf",
        "maximum",
        "minimum",
        "minItems",
        "maxItems",
        "enum",
    ),
    *("minProperties", "maxProperties", "required"),
)
_BOUNDS = {"minimum": ("exclusiveMinimum", "greater than"), "maximum": ("exclusiveMaximum", "less than")}
# What Go does not have, and POSIX classes, which Python does not have.
_FOREIGN = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]|\[\^?\[:|[*+?}]\+")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


class Failure(NamedTuple):
    """What is wrong with a value."""

    path: Path
    """Where the value is."""
    cause: Cause


class SchemaValidator:
    """Validates values by one schema.

    Args:
        schema: a structural schema.

    Threads: any.

    Raises:
        ImportError: the package `jsonschema` is not installed.
    """

    def __init__(self, schema: Schema) -> None:
        self._validator = _validator_class()(_json_schema(schema))

    def failures(self, value: Any) -> Iterator[Failure]:
        """Yields what is wrong with a value."""
        for error in self._validator.iter_errors(value):
            yield Failure(tuple(error.absolute_path), _cause(error))


def path_text(path: Iterable[str | int]) -> str:
    """Returns a path as messages show it, such as "spec.items[0].name"."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def as_json(value: Any) -> str:
    """Returns a value as messages show it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        value = int(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)


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


def _json_schema(schema: Schema) -> dict[str, Any]:
    """Returns a structural schema as a JSON schema, whose keywords are in the real server's order."""
    made: dict[str, Any] = {}
    types = ["integer", "string"] if schema.get(INT_OR_STRING) else [schema["type"]] if schema.get("type") else []
    if types:
        made["type"] = [*types, *(["null"] if schema.get("nullable") else [])]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            made[keyword] = [_json_schema(each) for each in schema[keyword]]
    for keyword in _PLAIN:
        if schema.get(keyword) is not None and schema[keyword] != []:
            made[keyword] = schema[keyword]
    # Both are read with the bounds that they are about.
    made |= {exclusive: True for exclusive, _ in _BOUNDS.values() if schema.get(exclusive)}
    for keyword in ("not", "items", "additionalProperties"):
        if isinstance(schema.get(keyword), Mapping):
            made[keyword] = _json_schema(schema[keyword])
    if schema.get("properties"):
        made["properties"] = {name: _json_schema(each) for name, each in schema["properties"].items()}
    if schema.get(EMBEDDED):
        _add_object_fields(made)
    return made


def _add_object_fields(made: dict[str, Any]) -> None:
    for name in ("apiVersion", "kind"):
        properties = made.setdefault("properties", {})
        properties[name] = {"type": ["string"], **properties.get(name, {})}
    made["required"] = list(dict.fromkeys((*made.get("required", ()), "apiVersion", "kind")))


@functools.cache
def _validator_class() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise ImportError(
            "schemas of custom resources need the package jsonschema: pip install 'kube-informer[testing]'"
        ) from error
    known = jsonschema.Draft4Validator.VALIDATORS
    taken = {name: known[name] for name in (*_PLAIN, "items", "properties", "additionalProperties")}
    failed = jsonschema.ValidationError
    own = {"type": _type, "format": _format, "required": _required, "pattern": _pattern, "enum": _enum}
    bound = {name: functools.partial(function, failed) for name, function in own.items()}
    for name in _BOUNDS:
        bound[name] = functools.partial(_bound, failed, name)
    for name in ("anyOf", "oneOf", "allOf", "not"):
        bound[name] = functools.partial(_combined, failed, name)
    return jsonschema.validators.create(meta_schema={}, validators={**taken, **bound})


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    for python_type, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, python_type):
            return name
    return "object"


def _type(failed: Any, validator: Any, types: Sequence[str], value: Any, schema: Any) -> Iterator[Any]:
    found = _type_of(value)
    if found not in types and not (found == "integer" and "number" in types):
        yield failed(found)
    limit = _LIMITS["int64"]
    is_whole = found == "number" and value.is_integer() and -limit <= value < limit
    if types[0] == "integer" and len(types) == 1 and found == "number" and not is_whole:
        yield failed("integer (default format)", validator="range")


def _format(failed: Any, validator: Any, name: str, value: Any, schema: Any) -> Iterator[Any]:
    check = FORMATS.get(name)
    if isinstance(value, str) and check is not None and not check(value):
        yield failed(name)
    limit = _LIMITS.get(name)
    if limit and isinstance(value, int) and not -limit <= value < limit:
        yield failed(f"integer with format {name}", validator="range")


def _bound(failed: Any, keyword: str, validator: Any, limit: Any, value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    # Go compares an integer with the integer part of the bound.
    past = value - (int(limit) if isinstance(value, int) else limit)
    past = past if keyword == "maximum" else -past
    if past > 0 or (past == 0 and schema.get(_BOUNDS[keyword][0])):
        yield failed(keyword)


def _pattern(failed: Any, validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, str) and not pattern_of(pattern).search(value):
        yield failed(pattern)


def _required(failed: Any, validator: Any, names: Sequence[str], value: Any, schema: Any) -> Iterator[Any]:
    for name in names:
        if isinstance(value, dict) and name not in value:
            yield failed(name)


def _enum(failed: Any, validator: Any, values: Sequence[Any], value: Any, schema: Any) -> Iterator[Any]:
    if not any(each == value and isinstance(each, bool) == isinstance(value, bool) for each in values):
        yield failed("enum")


def _combined(failed: Any, keyword: str, validator: Any, schemas: Any, value: Any, schema: Any) -> Iterator[Any]:
    each = [list(validator.descend(value, one)) for one in (schemas if isinstance(schemas, list) else [schemas])]
    valid = sum(not errors for errors in each)
    nearest = min(each, key=len)
    if keyword == "not" and valid:
        yield failed("must not validate the schema (not)")
    elif keyword == "anyOf" and not valid:
        yield failed("must validate at least one schema (anyOf)")
        yield from nearest
    elif keyword == "oneOf" and valid != 1:
        found = f"Found {valid} valid alternatives" if valid else "Found none valid"
        yield failed(f"must validate one and only one schema (oneOf). {found}")
        yield from nearest
    elif keyword == "allOf" and valid < len(each):
        yield from (error for errors in each for error in errors)
        yield failed("must validate all the schemas (allOf)" + ("" if valid else ". None validated"))


def _cause(error: Any) -> Cause:
    keyword, limit, value, text = error.validator, error.validator_value, error.instance, error.message
    field = path_text(error.absolute_path)
    match keyword:
        case "required":
            return Cause.required(f"{field}.{text}".removeprefix("."), "")
        case "type":
            types = ",".join(each for each in limit if each != "null")
            message = f'{field} in body must be of type {types}: "{text}"'
            return Cause("FieldValueTypeInvalid", f'Invalid value: "{text}": {message}', field)
        case "range":
            return Cause.bad("<nil>", '""', f"Checked value must be of type {text} in {field}")
        case "anyOf" | "oneOf" | "allOf" | "not":
            return Cause.bad("<nil>", '""', f'"{field}" {text}')
        case "enum":
            values = ", ".join(f'"{each if isinstance(each, str) else as_json(each)}"' for each in limit)
            message = f"Unsupported value: {as_json(value)}: supported values: {values}"
            return Cause("FieldValueNotSupported", message, field)
        case "maxLength":
            return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", field)
        case "maxItems" | "maxProperties":
            return Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {limit} items", field)
        case "minItems" | "minProperties":
            noun = keyword.removeprefix("min").lower()
            return Cause.bad(field, str(len(value)), f"{field} in body should have at least {limit} {noun}")
        case "format":
            message = f"{field} in body must be of type {text}: {as_json(value)}"
            return Cause("FieldValueTypeInvalid", f"Invalid value: {as_json(value)}: {message}", field)
    return Cause.bad(field, as_json(value), f"{field} in body should {_expectation(keyword, limit, error.schema)}")


def _expectation(keyword: str, limit: Any, schema: Any) -> str:
    if keyword == "minLength":
        return f"be at least {limit} chars long"
    if keyword == "pattern":
        return f"match '{limit}'"
    if keyword == "multipleOf":
        return f"be a multiple of {as_json(limit)}"
    exclusive, than = _BOUNDS[keyword]
    return f"be {than}{'' if schema.get(exclusive) else ' or equal to'} {as_json(limit)}"

"""Validates values by a structural schema, with the causes that the real server gives.

Source: kube-openapi pkg/validation; apiextensions-apiserver pkg/apiserver/validation, pkg/apiserver/schema/listtype and
/objectmeta.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from informer.testing.storage.name_rules import annotation_causes, kind_error, label_causes, name_causes
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

__all__ = ["failures", "pattern_of"]

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_SIZES: Mapping[type, str] = {str: "Length", list: "Items", dict: "Properties"}
_BOUNDS = (("minimum", "exclusiveMinimum", "greater than"), ("maximum", "exclusiveMaximum", "less than"))
_LIMITS = {"int32": 2**31, "int64": 2**63}
# What Go does not have, and POSIX classes, which Python does not have.
_FOREIGN = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]|\[\^?\[:|[*+?}]\+")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


def failures(value: Any, schema: Schema, old: Any = None, field: str = "") -> Iterator[Cause]:
    """Yields what is wrong with a value. What has not changed below the stored value is not looked at.

    Args:
        value: the value.
        schema: its structural schema.
        old: the stored value; None if there is none.
        field: where the value is, such as "spec.items[0]".
    """
    for check in (_type_causes, _combined_causes, *_CHECKS.get(type(value), ()), _enum_causes):
        yield from check(value, schema, field)
    for key, each, below, former in children_with_old(value, schema, old):
        if below is not None and (former is None or each != former):
            yield from failures(each, below, former, joined(field, key))


def _type_causes(value: Any, schema: Schema, field: str) -> Iterator[Cause]:
    types = ["integer", "string"] if schema.get(INT_OR_STRING) else [schema["type"]] if schema.get("type") else []
    found = _TYPES.get(type(value), "null")
    is_good = not types or found in types or (found, types) == ("integer", ["number"])
    if not is_good and not (value is None and schema.get("nullable")):
        message = f'Invalid value: "{found}": {field} in body must be of type {",".join(types)}: "{found}"'
        yield Cause("FieldValueTypeInvalid", message, field)


def _enum_causes(value: Any, schema: Schema, field: str) -> Iterator[Cause]:
    values, is_bool = schema.get("enum"), isinstance(value, bool)
    if values and not any(each == value and isinstance(each, bool) == is_bool for each in values):
        supported = ", ".join(f'"{each if isinstance(each, str) else shown(each)}"' for each in values)
        message = f"Unsupported value: {shown(value)}: supported values: {supported}"
        yield Cause("FieldValueNotSupported", message, field)


def _size_causes(value: Any, schema: Schema, field: str) -> Iterator[Cause]:
    what, size = _SIZES[type(value)], len(value)
    most, least = schema.get(f"max{what}"), schema.get(f"min{what}")
    if most is not None and size > most:
        if what == "Length":
            yield Cause("FieldValueTooLong", f"Too long: may not be more than {most} bytes", field)
        else:
            yield Cause("FieldValueTooMany", f"Too many: {size}: must have at most {most} items", field)
    if least is not None and size < least:
        if what == "Length":
            yield Cause.bad(field, shown(value), f"{field} in body should be at least {least} chars long")
        else:
            yield Cause.bad(field, str(size), f"{field} in body should have at least {least} {what.lower()}")


def _text_causes(value: str, schema: Schema, field: str) -> Iterator[Cause]:
    pattern, name = schema.get("pattern"), schema.get("format")
    if pattern and not pattern_of(pattern).search(value):
        yield Cause.bad(field, shown(value), f"{field} in body should match '{pattern}'")
    if name in FORMATS and not FORMATS[name](value):
        message = f"{field} in body must be of type {name}: {shown(value)}"
        yield Cause("FieldValueTypeInvalid", f"Invalid value: {shown(value)}: {message}", field)


def _number_causes(value: float, schema: Schema, field: str) -> Iterator[Cause]:
    limit, factor = _LIMITS.get(schema.get("format", "")), schema.get("multipleOf")
    if limit and not -limit <= value < limit:
        message = f"Checked value must be of type integer with format {schema['format']} in {field}"
        yield Cause.bad("<nil>", '""', message)
    if factor and Decimal(str(value)) % Decimal(str(factor)):
        yield Cause.bad(field, shown(value), f"{field} in body should be a multiple of {shown(factor)}")
    for bound, exclusive, than in _BOUNDS:
        if schema.get(bound) is None:
            continue
        # Go compares an integer with the integer part of the bound.
        past = value - (int(schema[bound]) if isinstance(value, int) else schema[bound])
        past = past if bound == "maximum" else -past
        if past > 0 or (past == 0 and schema.get(exclusive)):
            than += "" if schema.get(exclusive) else " or equal to"  # noqa: PLW2901
            yield Cause.bad(field, shown(value), f"{field} in body should be {than} {shown(schema[bound])}")


def _combined_causes(value: Any, schema: Schema, field: str) -> Iterator[Cause]:
    for keyword in ("anyOf", "oneOf", "allOf"):
        found = [list(failures(value, each, field=field)) for each in schema.get(keyword) or ()]
        valid = sum(not causes for causes in found)
        problem, more = "", min(found, key=len, default=[])
        if keyword == "anyOf" and found and not valid:
            problem = "must validate at least one schema (anyOf)"
        elif keyword == "oneOf" and found and valid != 1:
            found_valid = f"Found {valid} valid alternatives" if valid else "Found none valid"
            problem = f"must validate one and only one schema (oneOf). {found_valid}"
        elif keyword == "allOf" and valid < len(found):
            problem = "must validate all the schemas (allOf)" + ("" if valid else ". None validated")
            more = [cause for causes in found for cause in causes]
        if problem:
            yield from (Cause.bad("<nil>", '""', f'"{field}" {problem}'), *more)
    if schema.get("not") and not any(failures(value, schema["not"])):
        yield Cause.bad("<nil>", '""', f'"{field}" must not validate the schema (not)')


def _object_causes(value: Mapping[str, Any], schema: Schema, field: str) -> Iterator[Cause]:
    for name in schema.get("required") or ():
        if name not in value:
            yield Cause.required(joined(field, name), "")
    if schema.get(EMBEDDED) and field:
        yield from _embedded_causes(value, f"{field}.")


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
    """Yields what is wrong with the kind and the metadata of an object within another."""
    version, kind, metadata = value.get("apiVersion"), value.get("kind"), value.get("metadata") or {}
    for name, text in (("apiVersion", version), ("kind", kind)):
        if text is None:
            yield Cause.required(path + name, "")
        elif not isinstance(text, str):
            yield Cause("FieldValueTypeInvalid", f"{path}{name} in body must be of type string", path + name)
    if isinstance(version, str) and version.count("/") > 1:
        yield Cause.bad(f"{path}apiVersion", shown(version), f"unexpected GroupVersion string: {version}")
    if isinstance(kind, str) and (error := kind_error(kind)):
        yield Cause.bad(f"{path}kind", shown(kind), error)
    texts = [metadata.get(name) or {} for name in ("labels", "annotations")] if isinstance(metadata, Mapping) else [0]
    if not all(isinstance(each, Mapping) and all(isinstance(text, str) for text in each.values()) for each in texts):
        yield Cause.bad(f"{path}metadata", shown(metadata), "it is not that of an object")
        return
    causes = [*label_causes(metadata.get("labels") or {}), *annotation_causes(metadata.get("annotations") or {})]
    if metadata.get("namespace"):
        causes += name_causes("metadata.namespace", metadata["namespace"], metadata["namespace"], "Namespace")
    yield from (cause._replace(field=path + cause.field) for cause in causes)


_CHECKS: Mapping[type, tuple[Callable[[Any, Schema, str], Iterator[Cause]], ...]] = {
    str: (_size_causes, _text_causes),
    int: (_number_causes,),
    float: (_number_causes,),
    list: (_size_causes, _duplicates),
    dict: (_size_causes, _object_causes),
}


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

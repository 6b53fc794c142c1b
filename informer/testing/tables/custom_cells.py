"""The columns and cells of a custom resource, as its definition describes them.

Source: apiextensions-apiserver pkg/registry/customresource/tableconvertor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from informer.testing.tables.cells import human_duration, seconds_since

__all__ = ["custom_cells", "custom_columns"]

_Column = Mapping[str, Any]
_DESCRIPTION = "Custom resource definition column (in JSONPath format): "
_COLUMN = {"name": "", "type": "", "format": "", "description": "", "priority": 0}
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
# A step of a JSON path: .name, ['name'], [0], [*] or [?(@.type=="Ready")].
_STEP = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\\])+) | \['(?P<quoted>[^']*)'\] | \[(?P<index>-?\d+)\] | (?P<all>\[\*\])
    | \[\?\(\s*@(?P<path>[^=!<>\s]+)\s*==\s*(?P<value>"[^"]*"|'[^']*'|[^)\s]+)\s*\)\]""",
    re.VERBOSE,
)


def custom_columns(columns: Sequence[_Column], name: _Column, created: str) -> list[dict[str, Any]]:
    """Returns the columns of a table.

    Args:
        columns: the definition's additionalPrinterColumns.
        name: the column of the name.
        created: the description of the time of creation, for a definition without columns.
    """
    given = columns or ({**_AGE, "description": created},)
    described = [{key: each.get(key, default) for key, default in _COLUMN.items()} for each in given]
    for each, column in zip(given, described, strict=True):
        column["description"] = column["description"] or _DESCRIPTION + each["jsonPath"]
    return [dict(name), *described]


def custom_cells(columns: Sequence[_Column], obj: Mapping[str, Any]) -> list[Any]:
    """Returns the cells of an object; one whose value is missing or of another type is None."""
    cells = [_cell(each.get("type", ""), next(_values(obj, each["jsonPath"]), None)) for each in columns or (_AGE,)]
    return [obj["metadata"]["name"], *cells]


def _cell(type: str, value: Any) -> Any:
    if value is None:
        return None
    if type == "string":
        if isinstance(value, str):
            return value
        return msgspec.json.encode(value).decode() if not isinstance(value, float) else f"{value:g}"
    if type == "date":
        return _date(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if type in ("integer", "number"):
        return (int(value) if type == "integer" else value) if number else None
    return value if type == "boolean" and isinstance(value, bool) else None


def _date(value: Any) -> Any:
    if not isinstance(value, str):
        return None
    try:
        return human_duration(seconds_since(value))
    except (TypeError, ValueError):
        return "<invalid>"


def _values(value: Any, path: str) -> Iterator[Any]:
    """Yields the values at a JSON path."""
    if not path.strip():
        yield value
        return
    step = _STEP.match(path)
    if step is None:
        return
    name = step["quoted"] if step["name"] is None else re.sub(r"\\(.)", r"\1", step["name"])
    for each in _children(value, step, name):
        yield from _values(each, path[step.end() :])


def _children(value: Any, step: re.Match[str], name: str | None) -> Iterator[Any]:
    if isinstance(value, Mapping):
        if step["all"]:
            yield from value.values()
        elif name is not None and name in value:
            yield value[name]
    elif isinstance(value, list):
        if step["index"] and -len(value) <= int(step["index"]) < len(value):
            yield value[int(step["index"])]
        elif step["all"]:
            yield from value
        elif step["path"]:
            wanted = step["value"].strip("\"'")
            yield from (each for each in value if str(next(_values(each, step["path"]), None)) == wanted)

"""Formats objects as lines: JSON, YAML, names, chosen fields, JSONPath, or the cells of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from informer.cli.errors import CommandError
from informer.objects.object import Object
from watch.printable import printable

__all__ = [
    "Format",
    "age",
    "cells_of",
    "field_cells",
    "fields_of",
    "json_line",
    "jsonpath_format",
    "name_line",
    "utc_now",
    "yaml_document",
]

Format = Callable[[str, Object], str]
"""Takes the type of an event ("ADDED", "MODIFIED", "DELETED") and the object, and returns a line without its end."""

MAX_CELL = 253
"""The longest cell, in characters: the longest name."""
_PATH = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z0-9_][\w-]*)*")
_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_STEP = re.compile(r"\.([\w-]+)|\.?\[(\d+)\]|\.?\['([^']*)'\]")


def json_line(event: str, obj: Object) -> str:
    """Formats a change as a watch event in JSON, as the server sends it."""
    return json.dumps({"type": event, "object": obj.to_dict()}, separators=(",", ":"))


def yaml_document(event: str, obj: Object) -> str:
    """Formats a change as a YAML document."""
    import yaml

    text: str = yaml.safe_dump({"type": event, "object": obj.to_dict()}, sort_keys=False, allow_unicode=False)
    return "---\n" + text.rstrip("\n")


def name_line(event: str, obj: Object) -> str:
    """Formats a change as its type and the object's kind and name, as kubectl names it."""
    group = (obj.api_version or "").rpartition("/")[0]
    kind = (obj.kind or "").lower() + (f".{group}" if group else "")
    return f"{event:<8} {printable(f'{kind}/{obj.name}', 2 * MAX_CELL)}"


def fields_of(text: str) -> list[str]:
    """Splits the option `--fields`.

    Raises:
        CommandError: a path is malformed.
    """
    paths = [each.strip() for each in text.split(",")]
    for path in paths:
        if not _PATH.fullmatch(path):
            raise CommandError(f"--fields: {path!r} is not a path such as spec.nodeName")
    return paths


def field_cells(paths: Sequence[str], obj: Object) -> list[str]:
    """Returns the values at paths, as text; "<none>" for one that is missing."""
    return [_text(obj.at(path)) for path in paths]


def jsonpath_format(template: str) -> Format:
    """Returns the format of a template such as "{.metadata.name} {.spec.containers[0].image}".

    It has paths, indices and quoted keys, and quoted text in braces. Ranges and filters are for kubectl.

    Raises:
        CommandError: the template is malformed.
    """
    text = template if "{" in template else "{" + template + "}"
    parts: list[str | tuple[str | int, ...]] = []
    end = 0
    for found in _EXPRESSION.finditer(text):
        parts += [text[end : found.start()], _steps(found[1].strip())]
        end = found.end()
    parts.append(text[end:])
    if len(parts) == 1 or "{" in text[end:]:
        raise CommandError(f"jsonpath={template!r} is malformed: an expression looks like {{.metadata.name}}")

    def line(event: str, obj: Object) -> str:
        return "".join(part if isinstance(part, str) else _text(obj.at(part), missing="") for part in parts)

    return line


def _steps(expression: str) -> str | tuple[str | int, ...]:
    if len(expression) >= 2 and expression[0] == expression[-1] == '"':
        try:
            text: str = json.loads(expression)
        except ValueError as error:
            raise CommandError(f"jsonpath: {expression} is not a quoted text: {error}") from error
        return text
    steps: list[str | int] = []
    at = 0
    expression = expression.removeprefix("$")
    if not expression:
        raise CommandError("jsonpath: an expression is empty: write a path such as {.metadata.name}")
    while at < len(expression):
        step = _STEP.match(expression, at)
        if step is None:
            raise CommandError(
                f"jsonpath: {{{expression}}} is not supported: use paths such as {{.spec.containers[0].image}}"
            )
        key, index, quoted = step.groups()
        steps.append(int(index) if index is not None else key if key is not None else quoted)
        at = step.end()
    return tuple(steps)


def _text(value: Any, missing: str = "<none>") -> str:
    if value is None:
        return missing
    if isinstance(value, str):
        return printable(value, MAX_CELL)
    plain = json.dumps(value, default=_plain, separators=(",", ":"))
    return printable(plain, 4 * MAX_CELL)


def _plain(value: Any) -> Any:
    """Returns the plain form of a frozen mapping or sequence."""
    return dict(value) if hasattr(value, "keys") else list(value)


def cells_of(row: Object, columns: Sequence[str], now: datetime) -> list[str]:
    """Returns the cells of a row of `TableListWatch`, with the age as of now.

    Args:
        row: the row.
        columns: the headings of the cells, in capitals.
        now: the present time.
    """
    cells = [printable(str(cell), MAX_CELL) for cell in row["cells"]]
    if "AGE" in columns and row.creation_timestamp is not None:
        cells[columns.index("AGE")] = age(row.creation_timestamp, now)
    return cells


def age(since: datetime, now: datetime) -> str:
    """Returns the time since a moment in kubectl's short form, such as "5m30s" or "2d3h".

    Source: apimachinery util/duration HumanDuration.
    """
    seconds = max(0, int((now - since).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    for limit, whole, unit, rest, rest_unit in (
        (minutes < 10, minutes, "m", seconds % 60, "s"),
        (minutes < 180, minutes, "m", 0, ""),
        (hours < 8, hours, "h", minutes % 60, "m"),
        (hours < 48, hours, "h", 0, ""),
        (days < 8, days, "d", hours % 24, "h"),
        (days < 730, days, "d", 0, ""),
        (days < 2920, days // 365, "y", days % 365, "d"),
    ):
        if limit:
            return f"{whole}{unit}{rest}{rest_unit}" if rest else f"{whole}{unit}"
    return f"{days // 365}y"


def utc_now() -> datetime:
    """Returns the present time, which can be compared with an object's timestamps."""
    return datetime.now(UTC)

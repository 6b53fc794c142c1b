"""How one cell of a table is computed from an object in API form.

Source: kubernetes pkg/printers/internalversion/printers.go; apimachinery pkg/util/duration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "Cell",
    "age",
    "at",
    "count",
    "first_few",
    "human_duration",
    "joined",
    "labels",
    "seconds_since",
    "selector",
    "selector_text",
    "since",
    "value_at",
]

Cell = Callable[[Mapping[str, Any]], Any]
"""Returns a cell of an object."""

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400
# Below a limit, a duration is shown in a unit, and below a second limit with the rest in another unit.
_UNITS = (
    (3 * _HOUR, _MINUTE, "m", 10 * _MINUTE, 1, "s"),
    (2 * _DAY, _HOUR, "h", 8 * _HOUR, _MINUTE, "m"),
    (2 * _YEAR, _DAY, "d", 8 * _DAY, _HOUR, "h"),
    (math.inf, _YEAR, "y", 8 * _YEAR, _DAY, "d"),
)
_SHOWN = 3  # of a long list


def value_at(obj: Any, path: str) -> Any:
    """Returns the value at a path such as "spec.replicas"; None if there is none."""
    for key in path.split("."):
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj


def at(path: str, default: Any = "") -> Cell:
    """Shows the value at a path, or the default if it is missing or empty."""

    def cell(obj: Mapping[str, Any]) -> Any:
        value = value_at(obj, path)
        return default if value in (None, "") else value

    return cell


def count(*paths: str) -> Cell:
    """Shows how many items the lists or maps at some paths have together."""
    return lambda obj: sum(len(value_at(obj, path) or ()) for path in paths)


def joined(path: str, key: str = "") -> Cell:
    """Shows the items of a list, or a field of each."""
    return lambda obj: ",".join(str(each.get(key, "") if key else each) for each in value_at(obj, path) or ())


def labels(path: str) -> Cell:
    """Shows labels, such as "a=b,c=d"."""
    return lambda obj: (
        ",".join(f"{key}={value}" for key, value in sorted((value_at(obj, path) or {}).items())) or "<none>"
    )


def selector(path: str, default: str = "<none>") -> Cell:
    """Shows a label selector."""
    return lambda obj: selector_text(value_at(obj, path) or {}) or default


def selector_text(selector: Mapping[str, Any]) -> str:
    """Returns a LabelSelector as text, such as "a=b,c in (d,e)"."""
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    terms += [(str(each.get("key", "")), _term(each)) for each in selector.get("matchExpressions") or ()]
    return ",".join(text for _, text in sorted(terms, key=lambda term: term[0]))


def first_few(items: Iterable[str], default: str) -> str:
    """Returns the first items of a list, and how many more there are."""
    items = list(items)
    shown = ",".join(items[:_SHOWN])
    return f"{shown} + {len(items) - _SHOWN} more..." if len(items) > _SHOWN else shown or default


def since(path: str, default: str = "<unknown>") -> Cell:
    """Shows the time since the time at a path."""

    def cell(obj: Mapping[str, Any]) -> str:
        time = value_at(obj, path)
        return human_duration(seconds_since(time)) if time else default

    return cell


age = since("metadata.creationTimestamp")
"""Shows an object's age."""


def seconds_since(time: str, until: str | None = None) -> float:
    """Returns the seconds from a time in API form to another; None means now.

    Raises:
        ValueError: the text is not a time.
    """
    end = datetime.now(UTC) if until is None else datetime.fromisoformat(until)
    return (end - datetime.fromisoformat(time)).total_seconds()


def human_duration(seconds: float) -> str:
    """Returns a duration with one or two units, such as "3d4h"."""
    if seconds <= -2:
        return "<invalid>"
    total = max(0, int(seconds))
    if total < 2 * _MINUTE:
        return f"{total}s"
    _, unit, name, rest_limit, rest_unit, rest_name = next(each for each in _UNITS if total < each[0])
    rest = total % unit // rest_unit if total < rest_limit else 0
    return f"{total // unit}{name}" + (f"{rest}{rest_name}" if rest else "")


def _term(expression: Mapping[str, Any]) -> str:
    key, operator = str(expression.get("key", "")), expression.get("operator", "")
    values = ",".join(sorted(expression.get("values") or ()))
    terms: dict[str, str] = {
        "In": f"{key} in ({values})",
        "NotIn": f"{key} notin ({values})",
        "Exists": key,
        "DoesNotExist": f"!{key}",
    }
    return terms.get(operator, key)

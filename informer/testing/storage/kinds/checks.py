"""Checks of single fields, which the table of rules names. Each returns what is wrong with a value.

Source: apimachinery pkg/util/validation, kubernetes pkg/apis/core/validation. The messages are those of kube-apiserver 1.37.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from informer.objects.label_selector import LabelSelector, Requirement
from informer.testing.storage.name_rules import (
    finalizer_error,
    key_error,
    kind_error,
    label_error,
    name_1035_error,
    subdomain_error,
)
from informer.testing.storage.statuses import Cause, shown

__all__ = ["FIELD_CHECKS", "check_named", "required", "selector_causes", "selector_of", "selects"]

Check = Callable[[Any, str], list[Cause]]
_PERCENT_ERROR = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
_IP_ERROR = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR_ERROR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_PORT_NAME_ERROR = "must have at most 15 characters of a-z, 0-9 and hyphens (-), and at least one letter (a-z)"


def required(value: Any, path: str, message: str = "") -> list[Cause]:
    """The field is missing or empty."""
    return [] if value or value is False else [Cause.required(path, message)]


def label_keys(value: Any, path: str) -> list[Cause]:
    """A key of a mapping is not valid as that of a label."""
    return [cause for key in value or () for cause in _bad(path, key, key_error(key))]


def check_named(text: str, functions: Mapping[str, Callable[..., list[Cause]]]) -> Check:
    """Returns the check that a cell of the table describes, such as "required | between 1 65535"."""
    steps: list[Check] = []
    for part in text.split(" | "):
        name, colon, message = part.partition(": ")
        word, *arguments = name.split()
        more = [int(each) if each.isdigit() else each for each in (*arguments, *([message] if colon else ()))]
        function = functions[word]
        steps.append(lambda value, path, function=function, more=more: function(value, path, *more))  # type: ignore[misc]
    if len(steps) == 1:
        return steps[0]
    return lambda value, path: next((found for step in steps if (found := step(value, path))), [])


def _bad(path: str, value: Any, error: str | None) -> list[Cause]:
    return [] if error is None else [Cause.bad(path, shown(value), error)]


def _of_text(error_of: Callable[[str], str | None]) -> Check:
    def check(value: Any, path: str) -> list[Cause]:
        if not isinstance(value or "", str):
            raise TypeError(f"{path} is not a string")
        return _bad(path, value or "", error_of(value or ""))

    return check


def _in_range(value: Any, path: str, is_good: Callable[[int], bool], message: str) -> list[Cause]:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return _bad(path, value, message) if is_number and not is_good(value) else []


def _between(value: Any, path: str, lowest: int, highest: int) -> list[Cause]:
    message = f"must be between {max(lowest, 1)} and {highest}, inclusive"
    return _in_range(value, path, lambda number: lowest <= number <= highest, message)


def _at_least(value: Any, path: str, lowest: int) -> list[Cause]:
    return _in_range(value, path, lambda number: number >= lowest, f"must be greater than or equal to {lowest}")


def _one_of(value: Any, path: str, *supported: str) -> list[Cause]:
    return [] if (value or "") in supported else [Cause.unsupported(path, str(value or ""), supported)]


def _port_name(value: Any, path: str) -> list[Cause]:
    return _matches(str(value), path, "(?=.*[a-z])[-a-z0-9]{1,15}", _PORT_NAME_ERROR)


def _port(value: Any, path: str) -> list[Cause]:
    return _port_name(value, path) if isinstance(value, str) else _between(value or 0, path, 1, 65535)


def _ip_address(value: Any, path: str) -> list[Cause]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return _bad(path, value or "", _IP_ERROR)
    return []


def _cidr(value: Any, path: str) -> list[Cause]:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return _bad(path, value or "", _CIDR_ERROR)
    return [] if "/" in value else _bad(path, value, _CIDR_ERROR)


def _local_path_error(text: str) -> str | None:
    if text.startswith("/"):
        return "must be a relative path"
    return "must not contain '..'" if ".." in text.split("/") else None


def _percent(value: Any, path: str) -> list[Cause]:
    if not isinstance(value, str):
        return _at_least(value, path, 0)
    found = _matches(value, path, "[0-9]+%", _PERCENT_ERROR)
    return found or ([] if int(value[:-1]) <= 100 else _bad(path, value, "must not be greater than 100%"))


def _schedule_error(text: str) -> str | None:
    words = text.split()
    is_good = text.startswith("@") or len(words) == 5
    return None if is_good else f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]"


def _matches(value: Any, path: str, pattern: str, message: str) -> list[Cause]:
    return _of_text(lambda text: None if re.fullmatch(pattern, text) else message)(value, path)


def _keys_match(value: Any, path: str, pattern: str, message: str) -> list[Cause]:
    return [cause for key in sorted(value or ()) for cause in _matches(key, f"{path}[{key}]", pattern, message)]


FIELD_CHECKS: dict[str, Callable[..., list[Cause]]] = {
    "at_least": _at_least,
    "between": _between,
    "cidr": _cidr,
    "equal": lambda value, path, wanted: [] if value == wanted else _bad(path, value, f"must be {wanted}"),
    "finalizer": _of_text(finalizer_error),
    "ip_address": _ip_address,
    "keys_match": _keys_match,
    "kind": _of_text(kind_error),
    "label": _of_text(label_error),
    "label_keys": label_keys,
    "local_path": _of_text(_local_path_error),
    "matches": _matches,
    "name_1035": _of_text(name_1035_error),
    "one_of": _one_of,
    "percent": _percent,
    "port": _port,
    "port_name": _port_name,
    "positive": functools.partial(_in_range, is_good=lambda number: number > 0, message="must be greater than 0"),
    "present": lambda value, path, message="": [Cause.required(path, message)] if value is None else [],
    "required": required,
    "schedule": _of_text(_schedule_error),
    "subdomain": _of_text(subdomain_error),
    "wildcard_subdomain": _of_text(lambda text: subdomain_error(text.removeprefix("*."))),
}
"""Checks by the names by which the table calls them."""

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!exists"}


def selector_of(selector: Mapping[str, Any]) -> LabelSelector:
    """Returns a valid selector in API form, with matchLabels and matchExpressions; an empty one matches all labels."""
    equal = [Requirement(key, "in", frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()]
    terms = [
        Requirement(each["key"], _OPERATORS[each["operator"]], frozenset(each.get("values") or ()))
        for each in selector.get("matchExpressions") or ()
    ]
    return LabelSelector((*equal, *terms))


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Returns whether a valid selector in API form matches labels."""
    return selector_of(selector).matches(labels)


def selector_causes(selector: Mapping[str, Any], path: str) -> list[Cause]:
    """Returns what is not valid in a selector."""
    causes = label_keys(selector.get("matchLabels"), f"{path}.matchLabels")
    for i, each in enumerate(selector.get("matchExpressions") or ()):
        at, operator, values = f"{path}.matchExpressions[{i}]", each.get("operator") or "", each.get("values")
        if operator not in _OPERATORS:
            causes.append(Cause.bad(f"{at}.operator", shown(operator), "not a valid selector operator"))
        elif operator in ("In", "NotIn") and not values:
            causes.append(Cause.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator not in ("In", "NotIn") and values:
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(Cause.forbidden(f"{at}.values", message))
        causes += label_keys((each.get("key") or "",), f"{at}.key")
    return causes

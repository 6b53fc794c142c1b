"""The label selectors of objects, which have the fields matchLabels and matchExpressions.

Source: apimachinery pkg/apis/meta/v1/helpers.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.objects.label_selector import LabelSelector, Requirement
from informer.testing.storage.kinds.checks import label_keys, shown
from informer.testing.storage.statuses import Cause

__all__ = ["selector_causes", "selects"]

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!exists"}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Returns whether a valid selector matches labels; an empty one matches all."""
    equal = [Requirement(key, "in", frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()]
    terms = [
        Requirement(each["key"], _OPERATORS[each["operator"]], frozenset(each.get("values") or ()))
        for each in selector.get("matchExpressions") or ()
    ]
    return LabelSelector((*equal, *terms)).matches(labels)


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

"""The matchConditions of webhooks: CEL expressions that all have to be true. No I/O.

Source: apiserver pkg/admission/plugin/webhook/matchconditions.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from informer.testing.storage.schemas.cel import CelError, Expression, compile_condition
from informer.testing.storage.statuses import Cause
from watch.errors import ApiError

__all__ = ["condition_causes", "conditions_match"]

_VARIABLES = ("object", "oldObject", "request")


def condition_causes(conditions: Sequence[Mapping[str, Any]], at: str) -> Iterator[Cause]:
    """Yields why conditions are not valid.

    Raises:
        ApiError: 501, the CEL engine is not installed.
    """
    names: set[str] = set()
    for i, condition in enumerate(conditions):
        name, text = condition.get("name") or "", condition.get("expression") or ""
        if not name:
            yield Cause.required(f"{at}[{i}].name", "")
        elif name in names:
            yield Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{at}[{i}].name")
        names.add(name)
        where = f"{at}[{i}].expression"
        if not text.strip():
            yield Cause.required(where, "")
            continue
        try:
            _compiled(text)
        except CelError as error:
            yield Cause.bad(where, json.dumps(text), f"compilation failed: {error}")
        except TypeError:
            yield Cause.bad(where, json.dumps(text), "must evaluate to bool")
        except ImportError as error:
            raise ApiError(501, "NotImplemented", str(error)) from error


def conditions_match(conditions: Sequence[Mapping[str, Any]], request: Mapping[str, Any], *, may_fail: bool) -> bool:
    """Returns whether a webhook is called for a request.

    Args:
        conditions: the webhook's conditions.
        request: the request of the AdmissionReview.
        may_fail: whether the webhook is not called if an expression fails.

    Raises:
        CelError: an expression fails, none is false, and `may_fail` is false.
    """
    variables = {"object": request["object"], "oldObject": request["oldObject"], "request": request}
    failed = None
    for condition in conditions:
        try:
            if not _compiled(condition["expression"])(variables):
                return False
        except CelError as error:
            failed = failed or CelError(f"condition {json.dumps(condition['name'])}: {error}")
    if failed is not None and not may_fail:
        raise failed
    return failed is None


@functools.lru_cache(maxsize=256)
def _compiled(text: str) -> Expression:
    return compile_condition(text, _VARIABLES)

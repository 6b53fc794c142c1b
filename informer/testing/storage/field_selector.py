"""Field selectors such as "status.phase!=Running": parsing and evaluation.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/, and pkg/apis of kubernetes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from informer.testing.storage.statuses import bad_request

__all__ = ["FieldSelector", "fields_of", "parse_field_selector"]

# The values of fields that an object does not have.
_ABSENT = {
    "spec.restartPolicy": "Always",
    "spec.schedulerName": "default-scheduler",
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.successful": "0",
}
_ALWAYS = ("metadata.name", "metadata.namespace")
_TERM = re.compile(r"(?P<field>[^=!]*?)(?P<operator>==|=|!=)(?P<value>.*)\Z", re.DOTALL)
_SEPARATOR = re.compile(r"(?<!\\),")
_ESCAPE = re.compile(r"\\(.)")


class FieldSelector(tuple[tuple[str, str, bool], ...]):
    """A parsed field selector: of each term the field, the value, and whether the field must have this value."""

    __slots__ = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Returns whether fields match every term; a missing field counts as empty."""
        return all((fields.get(field, "") == value) == equal for field, value, equal in self)


def fields_of(obj: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, str]:
    """Returns the values at these paths as text."""
    fields = {path: _text(obj, path) or _ABSENT.get(path, "") for path in paths}
    if not fields.get("reportingComponent", "?"):
        fields["reportingComponent"] = _text(obj, "source.component")
    if "source" in fields:
        fields["source"] = _text(obj, "source.component") or fields["reportingComponent"]
    if "status.successful" in fields:
        fields["status.successful"] = _text(obj, "status.succeeded") or "0"
    return fields


def parse_field_selector(text: str, paths: tuple[str, ...], stored: Callable[[str], str]) -> FieldSelector:
    """Parses a field selector.

    Args:
        text: as in the query; "" selects everything.
        paths: the selectable fields, besides name and namespace.
        stored: returns the path at which a field is stored.

    Raises:
        ApiError: 400, the selector cannot be parsed, or it names a field that is not selectable.
    """
    terms = []
    for part in filter(None, _SEPARATOR.split(text)):
        found = _TERM.match(part)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        field, operator, value = found.group("field", "operator", "value")
        if field not in _ALWAYS and field not in paths:
            raise bad_request(f"field label not supported: {field}")
        terms.append((stored(field), _ESCAPE.sub(r"\1", value), operator != "!="))
    return FieldSelector(terms)


def _text(obj: Any, path: str) -> str:
    """Returns the value of a field as text; "" for none, and for a map or list."""
    for key in _keys(path):
        obj = obj.get(key) if type(obj) is dict else None
    if type(obj) is str:
        return obj
    if isinstance(obj, bool):
        return "true" if obj else "false"
    return "" if obj is None or isinstance(obj, (dict, list)) else str(obj)


@functools.cache
def _keys(path: str) -> list[str]:
    return path.split(".")

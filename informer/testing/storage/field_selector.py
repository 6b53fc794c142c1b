"""Field selectors: which fields of which kinds can be selected by, and how.

Comes in: "status.phase!=Running,spec.nodeName=worker-1". Goes out: a test of the fields that were taken from an object.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/, and pkg/apis of kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from informer.testing.storage.statuses import bad_request

__all__ = ["FieldSelector", "fields_of", "parse_field_selector", "paths_for"]

_PODS = (
    "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork status.phase "
    "status.podIP status.nominatedNodeName"
)
_EVENTS = (
    "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid involvedObject.apiVersion "
    "involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent source type"
)
# Of events.k8s.io, whose selectors speak of the new fields.
_NEW_EVENTS = (
    "regarding.kind regarding.namespace regarding.name regarding.uid regarding.apiVersion regarding.resourceVersion "
    "regarding.fieldPath reason reportingController type"
)
_BY_RESOURCE = {
    "pods": _PODS,
    "events": _EVENTS,
    "events.events.k8s.io": _NEW_EVENTS,
    "nodes": "spec.unschedulable",
    "secrets": "type",
    "services": "spec.clusterIP spec.type",
    "namespaces": "status.phase",
    "replicationcontrollers": "status.replicas",
    "jobs.batch": "status.successful",
    "certificatesigningrequests.certificates.k8s.io": "spec.signerName",
}
# What a field counts as where the object does not have it.
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


class _Term(NamedTuple):
    field: str
    value: str
    equal: bool


class FieldSelector:
    """A test of fields."""

    def __init__(self, terms: tuple[_Term, ...] = ()) -> None:
        self._terms = terms

    def __bool__(self) -> bool:
        """Whether it asks anything at all."""
        return bool(self._terms)

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether fields meet every term; one that is missing counts as empty."""
        return all((fields.get(field, "") == value) == equal for field, value, equal in self._terms)


def paths_for(resource: str) -> tuple[str, ...]:
    """The fields of a built-in resource ("pods", "jobs.batch") that can be selected by, name and namespace aside."""
    return tuple(_BY_RESOURCE.get(resource, "").split())


def fields_of(obj: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, str]:
    """What stands at these paths, as text."""
    fields = {path: _text(_at(obj, path), _ABSENT.get(path, "")) for path in paths}
    if not fields.get("reportingComponent", "?"):
        fields["reportingComponent"] = _text(_at(obj, "source.component"), "")
    if "source" in fields:
        fields["source"] = _text(_at(obj, "source.component"), "") or fields["reportingComponent"]
    if "status.successful" in fields:
        fields["status.successful"] = _text(_at(obj, "status.succeeded"), "0")
    return fields


def parse_field_selector(
    text: str, paths: tuple[str, ...], kind: str, *, custom: bool, stored: Callable[[str], str] = str
) -> FieldSelector:
    """Reads a field selector.

    Args:
        text: as in the query; "" selects everything.
        paths: the fields that can be selected by, beside name and namespace.
        kind: of the objects, for the words of a refusal.
        custom: whether it is a custom resource's.
        stored: under which path a field is stored.

    Raises:
        ApiError: 400, it cannot be read, or names another field.
    """
    terms = []
    for part in _SEPARATOR.split(text) if text else ():
        if not part:
            continue
        found = _TERM.match(part)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        field, operator, value = found.group("field", "operator", "value")
        if field not in _ALWAYS and field not in paths:
            raise bad_request(_unknown(field, paths, kind, custom=custom))
        terms.append(_Term(stored(field), _ESCAPE.sub(r"\1", value), operator != "!="))
    return FieldSelector(tuple(terms))


def _unknown(field: str, paths: tuple[str, ...], kind: str, *, custom: bool) -> str:
    if kind == "Job":
        return f'field label "{field}" not supported for Job'
    if paths or custom:
        return f"field label not supported: {field}"
    known = ", ".join(f'"{each}"' for each in _ALWAYS)
    return f'"{field}" is not a known field selector: only {known}'


def _at(obj: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(key)
    return obj


def _text(value: Any, absent: str) -> str:
    if value is None or isinstance(value, (dict, list)):
        return absent
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

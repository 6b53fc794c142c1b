"""Validates configurations of webhooks. No I/O.

Source: kubernetes pkg/apis/admissionregistration/validation, apiserver pkg/util/webhook/validation.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from informer.listwatch.resources import Resource
from informer.testing.storage.statuses import Cause, invalid

__all__ = ["check_configuration"]

_SEGMENT = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_NAME = re.compile(rf"{_SEGMENT}(\.{_SEGMENT}){{2,}}")
_URL_FORM = "; desired format: https://host[/path]"
_CHOICES = {
    "failurePolicy": ("Fail", "Ignore"),
    "matchPolicy": ("Equivalent", "Exact"),
    "sideEffects": ("None", "NoneOnDryRun"),
    "reinvocationPolicy": ("IfNeeded", "Never"),
}
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_SELECTOR_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_VERSIONS = ("v1", "v1beta1")


def check_configuration(resource: Resource, obj: Mapping[str, Any]) -> None:
    """Raises ApiError 422 if a configuration of webhooks is not valid. Its defaults must be set."""
    causes: list[Cause] = []
    names: set[str] = set()
    for i, hook in enumerate(obj.get("webhooks") or ()):
        at = f"webhooks[{i}]"
        causes += _webhook_causes(hook, at)
        name = hook.get("name") or ""
        if name in names:
            causes.append(Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{at}.name"))
        names.add(name)
    if causes:
        raise invalid(resource.group, resource.kind, obj["metadata"]["name"], causes)


def _webhook_causes(hook: Mapping[str, Any], at: str) -> Iterator[Cause]:
    name = hook.get("name") or ""
    if not name:
        yield Cause.required(f"{at}.name", "")
    elif not _QUALIFIED_NAME.fullmatch(name):
        message = "should be a domain with at least three segments separated by dots"
        yield Cause.bad(f"{at}.name", json.dumps(name), message)
    for j, rule in enumerate(hook.get("rules") or ()):
        yield from _rule_causes(rule, f"{at}.rules[{j}]")
    yield from _choice_causes(hook, at)
    timeout = hook["timeoutSeconds"]
    if not 1 <= timeout <= 30:
        yield Cause.bad(f"{at}.timeoutSeconds", str(timeout), "the timeout value must be between 1 and 30 seconds")
    for field in ("namespaceSelector", "objectSelector"):
        yield from _selector_causes(hook[field], f"{at}.{field}")
    yield from _client_causes(hook.get("clientConfig") or {}, f"{at}.clientConfig")
    if hook.get("matchConditions"):
        from informer.testing.admission.match_conditions import condition_causes  # it loads CEL

        yield from condition_causes(hook["matchConditions"], f"{at}.matchConditions")
    versions = hook.get("admissionReviewVersions") or ()
    if not versions:
        yield Cause.required(f"{at}.admissionReviewVersions", f"must specify one of {', '.join(_VERSIONS)}")
    elif not set(versions) & set(_VERSIONS):
        message = f"must include at least one of {', '.join(_VERSIONS)}"
        yield Cause.bad(f"{at}.admissionReviewVersions", _go_list(versions), message)


def _choice_causes(hook: Mapping[str, Any], at: str) -> Iterator[Cause]:
    for field, choices in _CHOICES.items():
        value = hook.get(field)
        if value is None and field == "sideEffects":
            yield Cause.required(f"{at}.{field}", f"must specify one of {', '.join(choices)}")
        elif value is not None and value not in choices:
            yield Cause.unsupported(f"{at}.{field}", str(value), choices)


def _rule_causes(rule: Mapping[str, Any], at: str) -> Iterator[Cause]:
    operations = rule.get("operations") or ()
    if not operations:
        yield Cause.required(f"{at}.operations", "")
    if len(operations) > 1 and "*" in operations:
        message = "if '*' is present, must not specify other operations"
        yield Cause.bad(f"{at}.operations", _go_list(operations), message)
    for i, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            yield Cause.unsupported(f"{at}.operations[{i}]", operation, _OPERATIONS)
    for field, called in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(field) or ()
        if not values:
            yield Cause.required(f"{at}.{field}", "")
        if len(values) > 1 and "*" in values:
            message = f"if '*' is present, must not specify other {called}"
            yield Cause.bad(f"{at}.{field}", _go_list(values), message)
    yield from _resource_causes(rule.get("resources") or (), f"{at}.resources")
    if rule["scope"] not in _SCOPES:
        yield Cause.unsupported(f"{at}.scope", rule["scope"], _SCOPES)


def _resource_causes(resources: Sequence[str], at: str) -> Iterator[Cause]:
    if not resources:
        yield Cause.required(at, "")
    if len(resources) > 1 and "*/*" in resources:
        yield Cause.bad(at, _go_list(resources), "if '*/*' is present, must not specify other resources")
    if "*" in resources and any("/" not in each and each != "*" for each in resources):
        message = "if '*' is present, must not specify other resources without subresources"
        yield Cause.bad(at, _go_list(resources), message)


def _selector_causes(selector: Mapping[str, Any], at: str) -> Iterator[Cause]:
    for i, term in enumerate(selector.get("matchExpressions") or ()):
        operator, values = term.get("operator") or "", term.get("values") or ()
        where = f"{at}.matchExpressions[{i}]"
        if operator not in _SELECTOR_OPERATORS:
            yield Cause.bad(f"{where}.operator", json.dumps(operator), "not a valid selector operator")
        elif operator in ("In", "NotIn") and not values:
            yield Cause.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield Cause.forbidden(f"{where}.values", message)


def _client_causes(config: Mapping[str, Any], at: str) -> Iterator[Cause]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield Cause.required(at, "exactly one of url or service is required")
    elif url is not None:
        yield from _url_causes(urlsplit(url), f"{at}.url")
    elif service is not None:
        # The real server confuses the two.
        for field, named in (("namespace", "name"), ("name", "namespace")):
            if not service.get(field):
                yield Cause.required(f"{at}.service.{named}", "")


def _url_causes(parts: SplitResult, at: str) -> Iterator[Cause]:
    if parts.scheme != "https":
        message = f"'https' is the only allowed URL scheme{_URL_FORM}"
        yield Cause.bad(at, json.dumps(parts.scheme), message)
    if not parts.netloc:
        yield Cause.bad(at, '""', f"host must be specified{_URL_FORM}")
    if parts.username is not None:
        user = parts.netloc.rpartition("@")[0]
        yield Cause.bad(at, json.dumps(user), "user information is not permitted in the URL")
    if parts.fragment:
        yield Cause.bad(at, json.dumps(parts.fragment), "fragments are not permitted in the URL")
    if parts.query:
        yield Cause.bad(at, json.dumps(parts.query), "query parameters are not permitted in the URL")


def _go_list(values: Sequence[str]) -> str:
    return json.dumps(list(values), separators=(",", ":"))

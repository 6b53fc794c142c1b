"""Decides whether a webhook is called for a write: its rules, selectors and match policy. No I/O.

Source: apiserver pkg/admission/plugin/webhook/generic/webhook.go and predicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from informer.testing.admission.configurations import GROUP, Webhook
from informer.testing.storage.admission import Review
from informer.testing.storage.served_resources import ServedResource

__all__ = ["is_exempt", "matching_resource", "namespace_of"]

_EXEMPT = frozenset(
    f"{kind}{end}"
    for kind in ("Validating", "Mutating")
    for end in ("WebhookConfiguration", "AdmissionPolicy", "AdmissionPolicyBinding")
)


def is_exempt(served: ServedResource) -> bool:
    """Returns whether webhooks are never called for a resource: it configures admission itself."""
    return served.resource.group == GROUP and served.resource.kind in _EXEMPT


def namespace_of(review: Review, name: str) -> str:
    """Returns the namespace that a request is about: for a namespace, its own name."""
    return name if _is_namespace(review.target.served) else review.target.namespace


def matching_resource(
    webhook: Webhook, review: Review, namespace: str, equivalents: Iterable[ServedResource]
) -> ServedResource | None:
    """Returns the version of the resource in which the webhook is to see the object; None if no rule matches.

    Args:
        webhook: the webhook.
        review: the write.
        namespace: the namespace that the request is about.
        equivalents: the other versions of the resource.
    """
    served = review.target.served
    candidates = [served, *(equivalents if webhook.spec["matchPolicy"] == "Equivalent" else ())]
    rules = webhook.spec.get("rules") or ()
    if any(_matches(rule, review, served, namespace) for rule in rules):
        return served
    for rule in rules:
        for candidate in candidates[1:]:
            if _matches(rule, review, candidate, namespace):
                return candidate
    return None


def _is_namespace(served: ServedResource) -> bool:
    return served.path == ("", "v1", "namespaces")


def _matches(rule: Mapping[str, Any], review: Review, served: ServedResource, namespace: str) -> bool:
    group, version, plural = served.path
    return (
        _has(rule.get("operations"), review.operation)
        and _has(rule.get("apiGroups"), group)
        and _has(rule.get("apiVersions"), version)
        and _in_scope(rule.get("scope") or "*", namespaced=bool(namespace) and not _is_namespace(served))
        and any(_is_resource(each, plural, review.target.subresource) for each in rule.get("resources") or ())
    )


def _has(items: Iterable[str] | None, wanted: str) -> bool:
    return any(item in ("*", wanted) for item in items or ())


def _in_scope(scope: str, *, namespaced: bool) -> bool:
    return scope == "*" or namespaced == (scope == "Namespaced")


def _is_resource(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, sub = pattern.partition("/")
    return resource in ("*", plural) and sub in ("*", subresource)

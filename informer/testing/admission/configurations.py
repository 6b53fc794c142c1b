"""Webhook configurations as they are stored: the webhooks in the order in which they are called, and which a write concerns.

No I/O. Source: apiserver pkg/admission/plugin/webhook/generic/webhook.go and predicates/rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from informer.objects.label_selector import LabelSelector
from informer.testing.storage.kinds.checks import selector_of
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.storage import Bucket
from informer.testing.storage.write import Review

__all__ = ["GROUP", "MUTATING", "VALIDATING", "Webhook", "webhooks_in"]

GROUP = "admissionregistration.k8s.io"
MUTATING, VALIDATING = f"mutatingwebhookconfigurations.{GROUP}", f"validatingwebhookconfigurations.{GROUP}"


class Webhook(NamedTuple):
    """One webhook of a configuration."""

    key: tuple[str, int]
    """The configuration's name and the webhook's place in it."""
    spec: Mapping[str, Any]
    namespaces: LabelSelector
    objects: LabelSelector

    def version_seen(self, review: Review, versions: Sequence[ServedResource]) -> ServedResource | None:
        """Returns the version of the resource in which the webhook sees the object; None if no rule matches.

        Args:
            review: the write.
            versions: the versions of the resource, the requested one first.
        """
        candidates = versions if self.spec["matchPolicy"] == "Equivalent" else versions[:1]
        rules = self.spec.get("rules") or ()
        return next((each for each in candidates for rule in rules if _matches(rule, review, each)), None)


def webhooks_in(bucket: Bucket) -> list[Webhook]:
    """Returns the webhooks of all configurations in a bucket, sorted by the configuration's name."""
    return [
        Webhook((key, place), spec, selector_of(spec["namespaceSelector"]), selector_of(spec["objectSelector"]))
        for key in bucket.keys
        for place, spec in enumerate(bucket.objects[key].to_dict().get("webhooks") or ())
    ]


def _matches(rule: Mapping[str, Any], review: Review, served: ServedResource) -> bool:
    group, version, plural = served.path
    scope = "Namespaced" if served.resource.namespaced else "Cluster"
    return (
        _has(rule.get("operations"), review.operation)
        and _has(rule.get("apiGroups"), group)
        and _has(rule.get("apiVersions"), version)
        and rule["scope"] in ("*", scope)
        and any(_is_resource(each, plural, review.target.subresource) for each in rule.get("resources") or ())
    )


def _has(items: Iterable[str] | None, wanted: str) -> bool:
    return any(item in ("*", wanted) for item in items or ())


def _is_resource(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, sub = pattern.partition("/")
    return resource in ("*", plural) and sub in ("*", subresource)

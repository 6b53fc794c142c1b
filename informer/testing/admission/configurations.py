"""Reads webhook configurations as they are stored: the webhooks in the order in which they are called. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from informer.objects.label_selector import LabelSelector, Requirement
from informer.testing.storage.storage import Bucket

__all__ = ["GROUP", "MUTATING", "POLICIES", "VALIDATING", "Webhook", "set_defaults", "webhooks_in"]

GROUP = "admissionregistration.k8s.io"
MUTATING, VALIDATING = f"mutatingwebhookconfigurations.{GROUP}", f"validatingwebhookconfigurations.{GROUP}"
POLICIES = frozenset(
    f"{kind}admissionpolic{end}.{GROUP}" for kind in ("validating", "mutating") for end in ("ies", "ybindings")
)
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!exists"}
_DEFAULTS: dict[str, Any] = {
    "failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "timeoutSeconds": 10
}  # fmt: skip


class Webhook(NamedTuple):
    """One webhook of a configuration."""

    key: tuple[str, int]
    """The configuration's name and the webhook's place in it."""
    spec: Mapping[str, Any]
    namespaces: LabelSelector
    objects: LabelSelector

    @property
    def name(self) -> str:
        """Its name, for messages."""
        return str(self.spec["name"])

    @property
    def may_fail(self) -> bool:
        """Whether a write is admitted when the webhook cannot be asked."""
        return bool(self.spec["failurePolicy"] == "Ignore")


def webhooks_in(bucket: Bucket) -> list[Webhook]:
    """Returns the webhooks of all configurations in a bucket, sorted by the configuration's name."""
    found = []
    for key in bucket.keys:
        for place, spec in enumerate(bucket.objects[key].to_dict().get("webhooks") or ()):
            found.append(
                Webhook((key, place), spec, selector_of(spec["namespaceSelector"]), selector_of(spec["objectSelector"]))
            )
    return found


def selector_of(selector: Mapping[str, Any]) -> LabelSelector:
    """Returns a label selector in API form (matchLabels, matchExpressions) as one that matches labels."""
    labels = selector.get("matchLabels") or {}
    requirements = [Requirement(key, "in", frozenset((value,))) for key, value in labels.items()]
    requirements += [
        Requirement(each["key"], _OPERATORS[each["operator"]], frozenset(each.get("values") or ()))
        for each in selector.get("matchExpressions") or ()
    ]
    return LabelSelector(tuple(requirements))


def set_defaults(obj: dict[str, Any], *, mutating: bool) -> dict[str, Any]:
    """Returns a webhook configuration with the defaults of the real server."""
    defaults = {**_DEFAULTS, "reinvocationPolicy": "Never"} if mutating else _DEFAULTS
    hooks = []
    for given in obj.get("webhooks") or ():
        hook = {**defaults, **{key: value for key, value in given.items() if value is not None}}
        hook["rules"] = [{"scope": "*", **rule} for rule in hook.get("rules") or ()]
        if not hook["rules"]:
            del hook["rules"]
        config = hook.get("clientConfig") or {}
        if config.get("service"):
            hook["clientConfig"] = {**config, "service": {"port": 443, **config["service"]}}
        hooks.append(hook)
    return {**obj, "webhooks": hooks} if hooks else obj

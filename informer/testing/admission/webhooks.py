"""Admits writes as the real server's admission webhooks do.

Source: apiserver pkg/admission/plugin/webhook/mutating/dispatcher.go, validating/dispatcher.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from informer.listwatch.resources import Resource
from informer.testing.admission.calls import WebhookCalls
from informer.testing.admission.configurations import GROUP, MUTATING, VALIDATING, Webhook, webhooks_in
from informer.testing.admission.reviews import internal_error
from informer.testing.admission.writing import Writing
from informer.testing.storage.field_validation import type_problems
from informer.testing.storage.kinds.rules import causes_of
from informer.testing.storage.object_checks import metadata_of, set_namespace
from informer.testing.storage.scale import with_scale
from informer.testing.storage.served_resources import ServedResources
from informer.testing.storage.statuses import Cause, bad_request, invalid
from informer.testing.storage.storage import Storage
from informer.testing.storage.write import Admission, Review

__all__ = ["Webhooks"]


class Webhooks(Admission):
    """Calls the webhooks of the stored configurations, one after another, until one denies the write.

    Args:
        storage: has the configurations and the namespaces.
        resources: the served resources, guarded by the storage's lock.

    Threads: any. No lock is held while a webhook is called.
    """

    def __init__(self, storage: Storage, resources: ServedResources) -> None:
        self._storage = storage
        self._resources = resources
        self._calls = WebhookCalls()

    def close(self) -> None:
        """Interrupts the calls under way; every later one fails. Idempotent."""
        self._calls.close()

    def mutate(self, review: Review) -> dict[str, Any]:
        """Returns the new object as the mutating webhooks want it.

        Raises:
            ApiError: a webhook denies the write, or fails.
        """
        hooks = self._hooks(MUTATING, review)
        if not hooks:
            return review.obj or {}
        writing = Writing(review, self._storage, self._resources, self._calls)
        asked: set[tuple[str, int]] = set()  # the webhooks that are asked again if another one changes the object
        again: set[tuple[str, int]] = set()
        for hook in hooks:
            changed = writing.ask(hook, mutating=True)
            if changed:
                again |= asked
                asked.clear()
            if changed is not None and hook.spec["reinvocationPolicy"] == "IfNeeded":
                asked.add(hook.key)
        for hook in hooks:
            if hook.key in again:
                writing.ask(hook, mutating=True)
        return _checked(review, writing.obj)

    def validate(self, review: Review) -> None:
        """Raises ApiError if a webhook denies the write or fails, or if a new configuration of webhooks is not valid."""
        obj, served = review.obj, review.target.served
        if obj is not None and served.resource.group == GROUP:
            _check_configuration(served.resource, obj)
        hooks = self._hooks(VALIDATING, review)
        if hooks:
            shown = None if obj is None else served.from_stored(obj)
            writing = Writing(review._replace(obj=shown), self._storage, self._resources, self._calls)
            for hook in hooks:
                writing.ask(hook, mutating=False)

    def _hooks(self, configurations: str, review: Review) -> list[Webhook]:
        if review.target.served.resource.group == GROUP:
            return []  # webhooks are not asked about what configures them
        with self._storage.lock:
            return webhooks_in(self._storage.bucket_locked(configurations))


def _check_configuration(resource: Resource, obj: Mapping[str, Any]) -> None:
    hooks = obj.get("webhooks") or ()
    unknown = resource.kind if resource.name not in (MUTATING, VALIDATING) else ""
    unknown = unknown or ("matchConditions" if any(each.get("matchConditions") for each in hooks) else "")
    if unknown:
        raise bad_request(
            f"the embedded API server does not evaluate {unknown}: test it with ControlPlane, "
            "which runs a real kube-apiserver"
        )
    # What a method call of the test's writes is checked as well, since it is carried out.
    causes = causes_of(resource.name, obj)
    if causes:
        raise invalid(resource.group, resource.kind, obj["metadata"]["name"], causes)


def _checked(review: Review, obj: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the object that webhooks have changed; raises ApiError if it cannot be used."""
    if obj is None or review.obj is None:
        return {}
    target = review.target
    if target.subresource == "scale":
        return with_scale(target.served, review.obj, obj)
    resource = target.served.resource
    if problems := type_problems(target.served, obj, review.obj):
        raise internal_error(problems[0])
    metadata = metadata_of(obj, resource)
    set_namespace(target, metadata)
    if review.operation == "UPDATE" and metadata.get("name") != target.name:
        cause = Cause.bad("metadata.name", json.dumps(metadata.get("name")), "field is immutable")
        raise invalid(resource.group, resource.kind, target.name, [cause])
    return obj

"""Admits writes as the real server's admission webhooks do.

Source: apiserver pkg/admission/plugin/webhook/mutating/dispatcher.go, validating/dispatcher.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from informer.listwatch.resources import Resource
from informer.testing.admission.calls import WebhookCalls
from informer.testing.admission.configuration_checks import check_configuration
from informer.testing.admission.configurations import (
    GROUP,
    MUTATING,
    POLICIES,
    VALIDATING,
    Webhook,
    set_defaults,
    webhooks_in,
)
from informer.testing.admission.matching import is_exempt
from informer.testing.admission.reviews import internal_error, rejection
from informer.testing.admission.writing import Writing
from informer.testing.storage.admission import Review
from informer.testing.storage.field_validation import type_problems
from informer.testing.storage.object_checks import metadata_of, set_namespace
from informer.testing.storage.patches import PatchError, json_patch
from informer.testing.storage.scale import with_scale
from informer.testing.storage.served_resources import ServedResources
from informer.testing.storage.statuses import Cause, bad_request, invalid
from informer.testing.storage.storage import Storage
from watch.errors import ApiError

__all__ = ["Webhooks"]


class Webhooks:
    """Calls the webhooks of the stored configurations, and validates these configurations.

    Validating webhooks are called one after another, where the real server calls them at the same time.

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
        resource, obj = review.target.served.resource, review.obj or {}
        if resource.group == GROUP and resource.name in (MUTATING, VALIDATING):
            return set_defaults(obj, mutating=resource.name == MUTATING)
        hooks = self._hooks(MUTATING, review)
        if not hooks:
            return obj
        writing = Writing(review, self._storage, self._resources)
        reinvocations = _Reinvocations()
        for hook in hooks:
            _mutate(hook, writing, reinvocations, self._calls)
        for hook in hooks:
            if hook.key in reinvocations.wanted:
                _mutate(hook, writing, reinvocations, self._calls)
        return _checked(review, writing.obj)

    def validate(self, review: Review) -> None:
        """Raises ApiError if a webhook denies the write or fails, or if a new configuration of webhooks is not valid."""
        resource, obj = review.target.served.resource, review.obj
        if obj is not None and resource.group == GROUP:
            _check_admission_object(resource, obj)
        hooks = self._hooks(VALIDATING, review)
        if not hooks:
            return
        shown = None if obj is None else review.target.served.from_stored(obj)
        writing = Writing(review._replace(obj=shown), self._storage, self._resources)
        errors = []
        for hook in hooks:
            try:
                _validate(hook, writing, self._calls)
            except ApiError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _hooks(self, configurations: str, review: Review) -> list[Webhook]:
        with self._storage.lock:
            bucket = self._storage.bucket_locked(configurations)
            return webhooks_in(bucket) if bucket.objects and not is_exempt(review.target.served) else []


def _check_admission_object(resource: Resource, obj: Mapping[str, Any]) -> None:
    if resource.name in POLICIES:
        raise bad_request(
            f"the embedded API server does not evaluate a {resource.kind}: test it with ControlPlane, "
            "which runs a real kube-apiserver"
        )
    if resource.name in (MUTATING, VALIDATING):
        check_configuration(resource, obj)


class _Reinvocations:
    """Which mutating webhooks are called a second time, because another one has changed the object after them."""

    def __init__(self) -> None:
        self._called: set[tuple[str, int]] = set()
        self.wanted: set[tuple[str, int]] = set()

    def add(self, hook: Webhook, *, changed: bool) -> None:
        """Records a call of a webhook, and whether it has changed the object."""
        if changed:
            self.wanted |= self._called
            self._called.clear()
        if hook.spec["reinvocationPolicy"] == "IfNeeded":
            self._called.add(hook.key)


def _mutate(hook: Webhook, writing: Writing, reinvocations: _Reinvocations, calls: WebhookCalls) -> None:
    seen = writing.seen_by(hook)
    if seen is None:
        return
    answer = writing.ask(hook, seen, calls, mutating=True)
    if answer is not None and not answer.allowed:
        raise rejection(hook.name, answer.result)
    changed = answer is not None and bool(answer.patch)
    if answer is not None and changed:
        before = writing.in_version(seen, writing.obj)
        if before is None:
            raise internal_error(
                f"admission webhook {json.dumps(hook.name)} attempted to modify the object, which is not supported for "
                "this operation"
            )
        patched = _patched(before, answer.patch)
        # The real server takes any patch of a built-in kind for a change.
        changed = patched != before or not seen.custom
        writing.take(seen, patched)
    reinvocations.add(hook, changed=changed)


def _validate(hook: Webhook, writing: Writing, calls: WebhookCalls) -> None:
    seen = writing.seen_by(hook)
    answer = None if seen is None else writing.ask(hook, seen, calls, mutating=False)
    if answer is not None and not answer.allowed:
        raise rejection(hook.name, answer.result)


def _patched(obj: dict[str, Any], patch: list[Any]) -> dict[str, Any]:
    try:
        patched = json_patch(obj, patch)
    except (PatchError, ImportError) as error:
        raise internal_error(str(error)) from error
    if not isinstance(patched, dict):
        raise internal_error("the patched object is not a JSON object")
    return patched


def _checked(review: Review, obj: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the object that webhooks have changed; raises ApiError if its metadata cannot be used."""
    if obj is None or review.obj is None:
        return {}
    if review.target.subresource == "scale":
        return with_scale(review.target.served, review.obj, obj)
    resource, name = review.target.served.resource, review.target.name
    try:
        metadata = metadata_of(obj, resource)
    except ApiError as error:
        raise internal_error(error.message) from error
    problems = type_problems(review.target.served, obj, review.obj)
    if problems:
        raise internal_error(problems[0])
    set_namespace(review.target, metadata)
    if review.operation == "UPDATE" and metadata.get("name") != name:
        cause = Cause.bad("metadata.name", json.dumps(metadata.get("name")), "field is immutable")
        raise invalid(resource.group, resource.kind, name, [cause])
    return obj

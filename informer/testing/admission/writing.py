"""A write while webhooks are asked about it: which of them it concerns, and how each sees the object."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from informer.objects.label_selector import LabelSelector
from informer.testing.admission.calls import WebhookCalls
from informer.testing.admission.configurations import Webhook
from informer.testing.admission.matching import matching_resource, namespace_of
from informer.testing.admission.reviews import AdmissionAnswer, CallError, internal_error, read_answer, review_for
from informer.testing.storage.admission import Review
from informer.testing.storage.scale import scale_of
from informer.testing.storage.served_resources import ServedResource, ServedResources
from informer.testing.storage.statuses import not_found
from informer.testing.storage.storage import Storage
from watch.errors import ApiError
from watch.logs import get_logger

__all__ = ["Writing"]

_log = get_logger(__name__)


class Writing:
    """A write that webhooks are asked about.

    Args:
        review: the write; its object is as the client sees it.
        storage: has the namespaces.
        resources: the served resources, guarded by the storage's lock.

    Threads: one.
    """

    def __init__(self, review: Review, storage: Storage, resources: ServedResources) -> None:
        self.review = review
        served = review.target.served
        old = None if review.old is None else served.shown(review.old)
        self.obj = self._part(copy.deepcopy(review.obj))
        """The new object as the last webhook left it."""
        self._old = self._part(old)
        name = review.target.name or str(((self.obj or {}).get("metadata") or {}).get("name") or "")
        self._name = name
        self._namespace = namespace_of(review, self._name)
        with storage.lock:
            self._equivalents = [each for each in resources if each.bucket == served.bucket and each is not served]
            stored = storage.bucket_locked("namespaces").objects.get(self._namespace)
            namespaces = resources.find("", "v1", "namespaces")
        assert namespaces is not None
        self._namespaces = namespaces
        self._namespace_labels: Mapping[str, str] | None = None if stored is None else stored.labels

    def seen_by(self, hook: Webhook) -> ServedResource | None:
        """Returns the version of the resource in which a webhook sees the object; None if the webhook is not called.

        Raises:
            ApiError: 404, the webhook selects by a namespace that does not exist.
        """
        if not _selects(hook.objects, (self.obj, self._old)):
            return None
        selected = self._is_namespace_selected(hook)
        if selected is False:
            return None
        seen = matching_resource(hook, self.review, self._namespace, self._equivalents)
        if seen is not None and selected is None:
            raise not_found(self._namespaces.resource, self._namespace)
        return seen

    def ask(
        self, hook: Webhook, seen: ServedResource, calls: WebhookCalls, *, mutating: bool
    ) -> AdmissionAnswer | None:
        """Calls a webhook and returns its answer.

        None means that its conditions do not match, or that it fails and its failurePolicy ignores that.

        Raises:
            ApiError: the webhook or one of its conditions fails.
        """
        asked = review_for(
            self.review,
            seen,
            self.in_version(seen, self.obj),
            self.in_version(seen, self._old),
            "" if self.review.write.collection else self._name,
            self._namespace,
            hook.spec["admissionReviewVersions"],
        )
        if hook.spec.get("matchConditions") and not self._is_matched(hook, asked["request"]):
            return None
        try:
            body = calls.call(hook.spec["clientConfig"], hook.spec["timeoutSeconds"], asked)
            answer = read_answer(body, asked, mutating=mutating)
        except CallError as error:
            message = f'failed calling webhook "{hook.name}": {error}'
            if not hook.may_fail:
                raise internal_error(message) from error
            _log.warning("the embedded API server ignores a webhook's failure: %s", message)
            return None
        self.review.write.warnings.extend(answer.warnings)
        return answer

    def in_version(self, seen: ServedResource, obj: dict[str, Any] | None) -> dict[str, Any] | None:
        """Returns an object in a version of the resource."""
        if obj is None or self.review.target.subresource == "scale":
            return obj
        return _converted(obj, self.review.target.served, seen)

    def take(self, seen: ServedResource, obj: dict[str, Any]) -> None:
        """Replaces the new object by one in a version of the resource."""
        is_scale = self.review.target.subresource == "scale"
        self.obj = obj if is_scale else _converted(obj, seen, self.review.target.served)

    def _is_matched(self, hook: Webhook, request: Mapping[str, Any]) -> bool:
        from informer.testing.admission.match_conditions import conditions_match

        try:
            return conditions_match(hook.spec["matchConditions"], request, may_fail=hook.may_fail)
        except ValueError as error:
            resource = self.review.target.served.resource
            text = f'{resource.name} "{self._name}" is forbidden: {error}'
            details = {
                "name": self._name,
                **({"group": resource.group} if resource.group else {}),
                "kind": resource.plural,
            }
            raise ApiError(403, "Forbidden", text, details=details) from error

    def _part(self, obj: dict[str, Any] | None) -> dict[str, Any] | None:
        """Returns the part of an object that the subresource shows."""
        target = self.review.target
        return obj if obj is None or target.subresource != "scale" else scale_of(target.served, obj)

    def _is_namespace_selected(self, hook: Webhook) -> bool | None:
        """Returns whether the namespaceSelector matches; None if the namespace does not exist."""
        if not self._namespace or hook.namespaces.everything:
            return True
        labels = self._namespace_labels
        writes_namespace = self.review.target.served is self._namespaces and not self.review.target.subresource
        if writes_namespace and self.obj is not None:
            labels = self.obj["metadata"].get("labels") or {}
        return None if labels is None else hook.namespaces.matches(labels)


def _converted(obj: dict[str, Any], old: ServedResource, new: ServedResource) -> dict[str, Any]:
    """Returns an object of one version of a resource in another: fields have other names at most."""
    return {**new.from_stored(old.to_stored(obj)), "kind": new.resource.kind, "apiVersion": new.resource.api_version}


def _selects(selector: LabelSelector, objects: tuple[Mapping[str, Any] | None, ...]) -> bool:
    return selector.everything or any(
        obj is not None and selector.matches(obj["metadata"].get("labels") or {}) for obj in objects
    )

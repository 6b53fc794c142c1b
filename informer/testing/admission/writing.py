"""A write while webhooks are asked about it: which of them it concerns, how each sees the object, and what each makes of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from informer.objects.label_selector import LabelSelector
from informer.testing.admission.calls import WebhookCalls
from informer.testing.admission.configurations import Webhook
from informer.testing.admission.reviews import (
    AdmissionAnswer,
    CallError,
    internal_error,
    read_answer,
    rejection,
    review_for,
)
from informer.testing.storage.patches import PatchError, json_patch
from informer.testing.storage.scale import scale_of
from informer.testing.storage.served_resources import ServedResource, ServedResources
from informer.testing.storage.storage import Storage
from informer.testing.storage.write import Review
from watch.logs import get_logger

__all__ = ["Writing"]

_log = get_logger(__name__)


class Writing:
    """A write that webhooks are asked about.

    Args:
        review: the write; its object is as the client sees it.
        storage: has the namespaces.
        resources: the served resources, guarded by the storage's lock.
        calls: sends the questions.

    Threads: one.
    """

    def __init__(self, review: Review, storage: Storage, resources: ServedResources, calls: WebhookCalls) -> None:
        target, served = review.target, review.target.served
        self._review = review
        self._calls = calls
        self.obj = self._part(copy.deepcopy(review.obj))
        """The new object as the last webhook left it."""
        self._old = None if review.old is None else self._part(served.shown(review.old))
        self._name = target.name or str(((self.obj or {}).get("metadata") or {}).get("name") or "")
        self._is_about_namespace = served.path == ("", "v1", "namespaces")
        self._namespace = self._name if self._is_about_namespace else target.namespace
        with storage.lock:
            others = [each for each in resources if each.bucket == served.bucket and each is not served]
            stored = storage.bucket_locked("namespaces").objects.get(self._namespace)
        self._versions = [served, *others]
        self._namespace_labels: Mapping[str, str] = {} if stored is None else stored.labels

    def ask(self, hook: Webhook, *, mutating: bool) -> bool | None:
        """Asks a webhook, if the write concerns it.

        Returns:
            Whether the webhook has changed the object; None if it was not asked.

        Raises:
            ApiError: the webhook denies the write, or it fails and its failurePolicy does not ignore that.
        """
        seen = self._version_seen(hook)
        if seen is None:
            return None
        answer = self._answer_of(hook, seen, mutating=mutating)
        if answer is None:
            return False
        self._review.write.warnings.extend(answer.warnings)
        if not answer.allowed:
            raise rejection(hook.spec["name"], answer.result)
        return bool(answer.patch) and self._patch(hook, seen, answer.patch)

    def _version_seen(self, hook: Webhook) -> ServedResource | None:
        """Returns the version of the resource in which a webhook sees the object; None if the write does not concern it."""
        objects = [each for each in (self.obj, self._old) if each is not None]
        if not any(_selects(hook.objects, each) for each in objects):
            return None
        is_whole_namespace = self._is_about_namespace and not self._review.target.subresource
        if is_whole_namespace and self.obj is not None:
            is_selected = _selects(hook.namespaces, self.obj)
        else:
            is_selected = not self._namespace or hook.namespaces.matches(self._namespace_labels)
        return hook.version_seen(self._review, self._versions) if is_selected else None

    def _answer_of(self, hook: Webhook, seen: ServedResource, *, mutating: bool) -> AdmissionAnswer | None:
        """Calls a webhook; returns None if it fails and its failurePolicy ignores that."""
        obj, old = (self._converted(each, self._versions[0], seen) for each in (self.obj, self._old))
        versions = hook.spec["admissionReviewVersions"]
        asked = review_for(self._review, seen.resource, obj, old, self._name, self._namespace, versions)
        try:
            body = self._calls.call(hook.spec["clientConfig"], hook.spec["timeoutSeconds"], asked)
            return read_answer(body, asked, mutating=mutating)
        except CallError as error:
            message = f'failed calling webhook "{hook.spec["name"]}": {error}'
            if hook.spec["failurePolicy"] != "Ignore":
                raise internal_error(message) from error
            _log.warning("the embedded API server ignores a webhook's failure: %s", message)
            return None

    def _patch(self, hook: Webhook, seen: ServedResource, patch: list[Any]) -> bool:
        """Applies a webhook's patch; returns whether that is a change."""
        before = self._converted(self.obj, self._versions[0], seen)
        if before is None:
            name = json.dumps(hook.spec["name"])
            raise internal_error(
                f"admission webhook {name} attempted to modify the object, which is not supported for this operation"
            )
        try:
            patched = json_patch(before, patch)
        except (PatchError, ImportError) as error:
            raise internal_error(str(error)) from error
        self.obj = self._converted(patched, seen, self._versions[0])
        # The real server takes any patch of a built-in kind for a change.
        return patched != before or not seen.custom

    def _converted(self, obj: dict[str, Any] | None, old: ServedResource, new: ServedResource) -> dict[str, Any] | None:
        """Returns an object of one version of the resource in another: fields have other names at most."""
        if obj is None or self._review.target.subresource == "scale":
            return obj
        return {
            **new.from_stored(old.to_stored(obj)),
            "kind": new.resource.kind,
            "apiVersion": new.resource.api_version,
        }

    def _part(self, obj: dict[str, Any] | None) -> dict[str, Any] | None:
        """Returns the part of an object that the subresource shows."""
        target = self._review.target
        return obj if obj is None or target.subresource != "scale" else scale_of(target.served, obj)


def _selects(selector: LabelSelector, obj: Mapping[str, Any]) -> bool:
    return selector.matches(obj["metadata"].get("labels") or {})

"""Brings a write of a built-in kind through the steps of the real server: defaults, validation, and what only the server sets.

Objects that a method call writes are the test's own: nothing is required of them, and only a spec that is there gets defaults.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from informer.listwatch.resources import Resource
from informer.testing.storage.kinds.defaults import set_defaults, tolerate_lost_nodes
from informer.testing.storage.kinds.immutable_fields import immutability_causes
from informer.testing.storage.kinds.new_objects import complete_new, protect
from informer.testing.storage.kinds.rules import causes_of
from informer.testing.storage.kinds.service_addresses import carry_over, complete_service_locked
from informer.testing.storage.statuses import Cause, bad_request, invalid
from informer.testing.storage.storage import Storage
from informer.testing.storage.write import Review, Write
from watch.errors import ApiError

__all__ = ["BuiltInKinds", "check_size"]

_PRIORITIES = "priorityclasses.scheduling.k8s.io"
_MOST_ANNOTATIONS = 256 << 10
_MOST_BYTES = int(1.5 * 2**20)  # of a request to etcd


class BuiltInKinds:
    """What the registry asks about built-in kinds. Custom resources pass unchanged.

    Threads: any.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def set_defaults(self, review: Review) -> None:
        """Sets the missing fields of an object that is to be written.

        Raises:
            ApiError: 400, a field has another type.
        """
        target, obj = review.target, review.obj
        if target.served.custom or target.subresource == "status" or obj is None or _is_bare(review):
            return
        resource = target.served.resource
        if resource.name != "namespaces" and review.keeps_content:
            return
        with _wrong_types_as_bad_requests(resource):
            set_defaults(resource.name, obj)
            if resource.name == "services" and review.old is not None:
                carry_over(obj["spec"], (review.before or {}).get("spec") or {})

    def admit(self, review: Review) -> None:
        """Adds to an object what admission plugins of every cluster add, after its owners are known.

        Raises:
            ApiError: 403, the pod's priority class does not exist.
        """
        target, obj = review.target, review.obj
        if review.operation == "CREATE" and obj and not review.write.with_status:
            protect(target.served.resource.name, obj["metadata"])
        if target.served.path == ("", "v1", "pods") and target.subresource != "status" and obj and not _is_bare(review):
            tolerate_lost_nodes(obj["spec"])
            self._set_priority(obj, review.write)

    def causes(self, review: Review) -> list[Cause]:
        """Returns what is not valid in an object that is to be written, besides its metadata.

        An update is refused only for what it makes worse, since a method call may have stored an object that is not valid.
        """
        target, obj, before = review.target, review.obj, review.before
        if review.write.with_status or obj is None:
            return []
        causes = _annotation_causes(obj["metadata"])
        if target.served.custom or target.subresource == "status" or review.keeps_content:
            return causes
        if before is not None and _is_bare(review):
            return causes
        resource = target.served.resource
        with _wrong_types_as_bad_requests(resource):
            found = causes_of(resource.name, obj)
            if before is None:
                return causes + found
            if found:
                known = causes_of(resource.name, before)
                found = [cause for cause in found if cause not in known]
            return causes + found + ([] if target.subresource else immutability_causes(resource.name, before, obj))

    def complete(self, review: Review) -> None:
        """Sets what only the server sets in an object that is to be stored.

        Raises:
            ApiError: 422, a service wants an address that it cannot have.
        """
        served, obj, old = review.target.served, review.obj, review.old
        if served.custom or obj is None or _is_bare(review):
            return
        if served.resource.name == "services":
            before = None if review.before is None else review.before.get("spec")
            with self._storage.lock:
                bucket = self._storage.bucket_locked(served.bucket, served.paths, served.form)
                causes = complete_service_locked(bucket, obj["spec"], before)
            if causes:
                raise invalid("", "Service", obj["metadata"]["name"], causes)
        if old is None:
            complete_new(served.resource.name, obj, is_request=not review.write.with_status)

    def _set_priority(self, pod: dict[str, Any], write: Write) -> None:
        name = pod["spec"].get("priorityClassName")
        pod["spec"].setdefault("priority", 0)
        pod["spec"].setdefault("preemptionPolicy", "PreemptLowerPriority")
        if not name or not isinstance(name, str):
            return
        with self._storage.lock:
            found = self._storage.bucket_locked(_PRIORITIES).objects.get(name)
        if found is not None:
            chosen = found.to_dict()
            pod["spec"]["priority"] = chosen.get("value", 0)
            pod["spec"]["preemptionPolicy"] = chosen.get("preemptionPolicy", "PreemptLowerPriority")
        elif not write.with_status:
            pod_name = pod["metadata"].get("name") or ""
            message = f'pods "{pod_name}" is forbidden: no PriorityClass with name {name} was found'
            raise ApiError(403, "Forbidden", message, details={"name": pod_name, "kind": "pods"})


def check_size(obj: Mapping[str, Any], write: Write) -> None:
    """Raises ApiError 500 if etcd would refuse an object that a client sent for its size."""
    if not write.with_status and len(msgspec.json.encode(obj)) > _MOST_BYTES:
        raise ApiError(500, "", "etcdserver: request is too large")


def _is_bare(review: Review) -> bool:
    """Returns whether a test has left out the spec of an object with a status; such objects stay as they are."""
    assert review.obj is not None
    if not review.target.served.has_status or review.obj.get("spec") is not None:
        return False
    return review.write.with_status or (review.old is not None and "spec" not in review.old.to_dict())


def _annotation_causes(metadata: Mapping[str, Any]) -> list[Cause]:
    annotations = metadata.get("annotations") or {}
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) <= _MOST_ANNOTATIONS:
        return []
    message = f"Too long: may not be more than {_MOST_ANNOTATIONS} bytes"
    return [Cause("FieldValueTooLong", message, "metadata.annotations")]


@contextlib.contextmanager
def _wrong_types_as_bad_requests(resource: Resource) -> Iterator[None]:
    """Answers with 400 where a field has another type than the tables expect."""
    try:
        yield
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        if isinstance(error, ApiError):
            raise
        kind = resource.kind
        message = f'{kind} in version "{resource.version}" cannot be handled as a {kind}: a field has a wrong type'
        raise bad_request(f"{message}: {error}") from error

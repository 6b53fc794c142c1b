"""`Request`: what a reconcile function is called with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec

from informer.objects.keys import split_meta_namespace_key
from informer.objects.object import Object
from informer.record.event_recorder import EventRecorder
from informer.runtime.owners import CONTROLLER_INDEX, with_owner
from informer.runtime.writer import Writer, api_form
from informer.shared.shared_informer import SharedInformer

__all__ = ["AsyncRequest", "Request", "Surroundings"]

T = TypeVar("T")


class Surroundings(Protocol):
    """What a request uses of its controller."""

    writer: Writer
    recorder: EventRecorder
    log: logging.Logger
    cluster: str

    def informer_of(self, resource: str) -> SharedInformer[Any]:
        """Returns the informer of a resource that the controller owns; raises ValueError for any other."""
        ...


class _KeyLog(logging.LoggerAdapter[logging.Logger]):
    """Puts the key before each message."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return f"{(self.extra or {}).get('key')}: {msg}", kwargs


class _Request:
    """What both forms of a request have.

    Args:
        key: the key to reconcile.
        obj: the object in the cache; None if there is none.
        attempt: how many attempts have failed since the last success.
        surroundings: the controller's.
    """

    def __init__(self, key: str, obj: Object | None, attempt: int, surroundings: Surroundings) -> None:
        self.key = key
        """The key, "namespace/name", or the name alone for cluster-scoped objects."""
        self.cluster = surroundings.cluster
        """The name of the cluster that the object is in; "" without `Manager(clusters=...)`."""
        self.namespace, self.name = split_meta_namespace_key(key)
        self.object = obj
        """The object as the cache has it, after a write as the server returned it; None when it does not exist any more."""
        self.attempt = attempt
        """How many attempts have failed since the last one that succeeded: 0 at first."""
        self.log = _KeyLog(surroundings.log, {"key": key})
        """Logs with the key before each message."""
        self._surroundings = surroundings

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key}, attempt {self.attempt}>"

    def event(self, type: str, reason: str, message: str, *, action: str | None = None) -> None:
        """Records a Kubernetes event about the object. It never blocks and never raises.

        Args:
            type: "Normal" or "Warning".
            reason: why, in one word in upper camel case, such as "Created".
            message: for people.
            action: what was done; None takes the reason.
        """
        if self.object is not None:
            self._surroundings.recorder.event(self.object, type, reason, message, action=action)

    def children(self, resource: str) -> list[Object]:
        """Returns the objects of an owned resource that this object controls, from the cache: none once it is deleted.

        Args:
            resource: as named in `owns=`.

        Raises:
            ValueError: the controller does not own this resource.
        """
        informer = self._surroundings.informer_of(resource)
        return [] if self.object is None else list(informer.lister.by_index(CONTROLLER_INDEX, self.object.uid))

    def _apply(self, obj: Any, *, owned: bool, force: bool, subresource: str | None) -> Object:
        # A deep copy with the keys that JSON has: the caller may change the original later.
        form: dict[str, Any] = msgspec.to_builtins(api_form(obj), str_keys=True)
        metadata = {name: value for name, value in (form.get("metadata") or {}).items() if name != "managedFields"}
        writer = self._surroundings.writer
        is_namespaced = writer.is_namespaced(form)
        if is_namespaced and self.namespace and not metadata.get("namespace"):
            metadata["namespace"] = self.namespace
        form = {**form, "metadata": metadata}
        if owned and subresource is None:
            owner = self._existing("apply an owned object: pass owned=False")
            namespace = metadata.get("namespace") if is_namespaced else None
            if self.namespace and namespace != self.namespace:
                where = f"an object in namespace {namespace!r}" if namespace else "a cluster-scoped object"
                raise ValueError(
                    f"{self.key} cannot own {where}: owners are in the namespace of what they own; pass owned=False"
                )
            form = with_owner(form, owner)
        made = writer.apply(self.key, form, force=force, subresource=subresource)
        self._see(made)
        return made

    def _update_status(self, changes: Mapping[str, Any]) -> Object:
        obj = self._existing("update its status")
        if not isinstance(changes, Mapping):
            raise TypeError(f"the changes of a status must be a mapping, not a {type(changes).__name__}")
        status = obj.to_dict().get("status") or {}
        if _has(status, changes):
            return obj
        body = {"metadata": {"resourceVersion": obj.resource_version}, "status": dict(changes)}
        made = self._surroundings.writer.merge(self.key, obj, body, subresource="status")
        self._see(made)
        return made

    def _set_condition(self, type: str, status: str, reason: str, message: str) -> Object:
        if status not in ("True", "False", "Unknown"):
            raise ValueError(f'the status of a condition is "True", "False" or "Unknown", not {status!r}')
        obj = self._existing("set a condition")
        conditions = [dict(each) for each in obj.at("status.conditions") or []]
        wanted = {"type": type, "status": status, "reason": reason, "message": message}
        if obj.generation is not None:
            wanted["observedGeneration"] = obj.generation  # type: ignore[assignment]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for at, each in enumerate(conditions):
            if each.get("type") == type:
                since = each.get("lastTransitionTime") if each.get("status") == status else None
                conditions[at] = {**each, **wanted, "lastTransitionTime": since or now}
                break
        else:
            conditions.append({**wanted, "lastTransitionTime": now})
        return self._update_status({"conditions": conditions})

    def _delete(self, obj: Any) -> None:
        self._surroundings.writer.delete(self.key, api_form(obj))

    def _existing(self, what: str) -> Object:
        if self.object is None:
            raise ValueError(f"{self.key} does not exist any more, so this request cannot {what}")
        return self.object

    def _see(self, made: Object) -> None:
        """Replaces the object by the answer to a write, so that the next write builds on it."""
        # The answer of a subresource may be of another kind, such as a Scale.
        if self.object is not None and (made.uid, made.kind) == (self.object.uid, self.object.kind):
            self.object = made


class Request(_Request):
    """What a reconcile function is called with: a key, its object, and everything to act on it.

    Every write is remembered: the key is not reconciled again before the caches show it. A write that the server refuses with
    409 raises `ConflictError`; the reconcile function need not catch it.

    Threads: used by one thread at a time, the worker's.
    """

    def apply(self, obj: Any, *, owned: bool = True, force: bool = True, subresource: str | None = None) -> Object:
        """Creates or changes an object by server-side apply: it then has the given fields, and others' fields stay.

        Nothing is sent if this process has applied the same before and the cache shows that its fields are as they were. So
        call it in each reconcile.

        Args:
            obj: the object with the fields that the controller decides: a dict in API form, an `Object` or an official model.
                Fields that an earlier apply had and this one lacks are removed. Without a namespace it gets the request's.
            owned: whether the request's object becomes its controller, so that it is deleted with it.
            force: whether to take over fields that other field managers own.
            subresource: "status" or "scale", for example; None for the object itself. `owned` then does not matter.

        Returns:
            The object as the server returned it, or from the cache.

        Raises:
            ConflictError: `force` is False, and other managers own some of the fields; `managers` says which.
            TypeError: the object cannot be written as JSON.
            ValueError: it has no kind, apiVersion or name, or the request's object cannot own it.
            ApiError: the server refused.

        Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
        """
        return self._apply(obj, owned=owned, force=force, subresource=subresource)

    def update_status(self, changes: Mapping[str, Any]) -> Object:
        """Merges changes into the object's status. Nothing is sent if the status has them already.

        Args:
            changes: fields of the status; nested dicts are merged, None removes a field, lists are replaced.

        Returns:
            The object with its new status.

        Raises:
            ConflictError: the object has changed since the cache saw it.
            ApiError: the server refused. The message of a 404 says whether the resource has no status subresource.
        """
        return self._update_status(changes)

    def set_condition(self, type: str, status: str, reason: str, message: str = "") -> Object:
        """Sets a condition in the object's `status.conditions`, with its generation. Raises as `update_status`.

        Args:
            type: such as "Ready".
            status: "True", "False" or "Unknown".
            reason: why, in one word in upper camel case.
            message: for people.

        Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
        """
        return self._set_condition(type, status, reason, message)

    def delete(self, obj: Any) -> None:
        """Deletes an object, if it still is what the caller has seen. One that does not exist is fine.

        Args:
            obj: the object, with its uid and resourceVersion.

        Raises:
            ConflictError: it has changed since, or another object has its name.
            ApiError: the server refused.
        """
        self._delete(obj)


class AsyncRequest(_Request):
    """A `Request` for an async reconcile function: its writes are awaited, and run on threads of the loop's executor.

    Threads: used by one task at a time.
    """

    async def apply(
        self, obj: Any, *, owned: bool = True, force: bool = True, subresource: str | None = None
    ) -> Object:
        """See `Request.apply`."""
        return await _off_the_loop(lambda: self._apply(obj, owned=owned, force=force, subresource=subresource))

    async def update_status(self, changes: Mapping[str, Any]) -> Object:
        """See `Request.update_status`."""
        return await _off_the_loop(lambda: self._update_status(changes))

    async def set_condition(self, type: str, status: str, reason: str, message: str = "") -> Object:
        """See `Request.set_condition`."""
        return await _off_the_loop(lambda: self._set_condition(type, status, reason, message))

    async def delete(self, obj: Any) -> None:
        """See `Request.delete`."""
        await _off_the_loop(lambda: self._delete(obj))


async def _off_the_loop(function: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, function)


def _has(value: Any, changes: Any) -> bool:
    """Returns whether a JSON merge patch would change nothing. Source: RFC 7396."""
    if not isinstance(changes, Mapping):
        return bool(value == changes)
    return isinstance(value, Mapping) and all(
        name not in value if change is None else name in value and _has(value[name], change)
        for name, change in changes.items()
    )

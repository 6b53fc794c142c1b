"""Ready event handlers that add the keys of changed objects, or of their owners, to a work queue.

They are inline: an informer calls them on its reader's thread, since they only take a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from informer.api_paths import is_path_segment
from informer.cache.change import Change
from informer.cache.store import Store
from informer.handlers.handler import ResourceEventHandler
from informer.objects.keys import (
    deletion_handling_meta_namespace_key,
    last_state_of,
    namespace_of,
    namespaced_name,
    uid_of,
    version_of,
)
from informer.queues.delta import DeltaType
from informer.rate_limited_log import rate_limited
from informer.workqueue.priority import LOW_PRIORITY, PriorityQueue
from informer.workqueue.queue import WorkQueue
from watch.logs import get_logger

__all__ = ["Enqueuer", "KeyEnqueuer", "controller_reference", "enqueue_key", "enqueue_owner", "field_of", "has_owner"]

_limited = rate_limited(get_logger("informer.workqueue"))


def enqueue_key(queue: WorkQueue[str]) -> ResourceEventHandler[Any]:
    """Makes a handler that enqueues the key, "namespace/name", of each added, updated or deleted object.

    In a `PriorityQueue`, objects that have not changed get `LOW_PRIORITY`: those of the initial list, and those that a resync
    or a relist reports with the same resourceVersion.

    Args:
        queue: where the handler adds the keys.

    Returns:
        A handler for `add_event_handler`.

    Raises:
        TypeError: queue is not a work queue.

    Example:
        >>> from informer.workqueue import RateLimitingQueue
        >>> queue = RateLimitingQueue()
        >>> handler = enqueue_key(queue)
        >>> handler.on_add({"metadata": {"namespace": "shop", "name": "web"}}, is_in_initial_list=True)
        >>> queue.get()
        'shop/web'

    Source: sigs.k8s.io/controller-runtime pkg/handler EnqueueRequestForObject.
    """
    return KeyEnqueuer(queue)


def enqueue_owner(
    queue: WorkQueue[str],
    kind: str | tuple[str, str],
    *,
    namespaced: bool = True,
    owners: Store[Any] | None = None,
) -> ResourceEventHandler[Any]:
    """Makes a handler that enqueues the key of the owner that controls each added, updated or deleted object.

    The owner is the one whose owner reference says `controller: true`, if it is of `kind`; an object without such an owner is
    ignored. When an update changes the owner, the old and the new owner are both enqueued. Priorities are those of
    `enqueue_key`.

    A tenant who creates an object chooses its owner references, and the API server checks neither that an owner exists nor its
    uid. So the key of a namespaced owner always has the object's own namespace, and a reference with a "/" in its name is
    dropped and logged. A reference can still name any owner there: pass `owners=`, or compare uids in your reconcile function.

    Args:
        queue: where the handler adds the keys.
        kind: the kind of the owners. "Foo.samplecontroller.k8s.io" and ("samplecontroller.k8s.io/v1", "Foo") match that API
            group, in any version; "Foo" matches any group, also one that a tenant made up.
        namespaced: whether the owners live in the namespace of the objects they own. False: they are cluster-scoped, and
            their key is the name alone.
        owners: the cache of the owners, such as `foos.store`. A key is enqueued only if the owner in this cache has the uid
            of the reference. An owner that is not cached yet is enqueued by its own add event. None checks nothing.

    Returns:
        A handler for `add_event_handler`.

    Raises:
        TypeError: queue is not a work queue, or owners is not a cache.
        ValueError: kind has another form, for example that of a resource's plural name.

    Source: sigs.k8s.io/controller-runtime pkg/handler EnqueueRequestForOwner with OnlyControllerOwner.
    """
    if owners is not None and not isinstance(owners, Store):
        raise TypeError(
            f"owners must be the cache of an informer, such as foos.store, not a {type(owners).__qualname__}"
        )
    return _OwnerEnqueuer(queue, _OwnerKind.parse(kind), namespaced=namespaced, owners=owners)


class Enqueuer(ResourceEventHandler[Any]):
    """Enqueues the keys that a subclass derives from each object."""

    inline = True

    def __init__(self, queue: WorkQueue[str]) -> None:
        if not isinstance(queue, WorkQueue):
            raise TypeError(f"queue must be a WorkQueue of informer.workqueue, not a {type(queue).__qualname__}")
        self._queue = queue
        self._by_priority = queue if isinstance(queue, PriorityQueue) else None

    def on_add(self, obj: Any, /, *, is_in_initial_list: bool = False) -> None:
        """Enqueues the keys of an added object."""
        self._add(self._keys(obj), changed=not is_in_initial_list)

    def on_update(self, old: Any, new: Any, /) -> None:
        """Enqueues the keys of an updated object."""
        self._add(self._keys_of_update(old, new), changed=not _same_version(old, new))

    def on_delete(self, obj: Any, /, *, final_state_unknown: bool = False) -> None:
        """Enqueues the keys of a deleted object."""
        self._add(self._keys(obj), changed=True)

    def on_batch(self, changes: Sequence[Change[Any]]) -> None:
        """Enqueues the keys of a batch of changes, with one call of the queue."""
        changed: list[str] = []
        unchanged: list[str] = []
        for change in changes:
            # A malformed object must not cost the batch its other keys.
            try:
                keys = self._keys_of_change(change)
                (changed if self._by_priority is None or _is_changed(change) else unchanged).extend(keys)
            except Exception as error:
                _limited.error("failed to enqueue a change of %r: %r", change.key, error, exc_info=error)
        self._add(changed, changed=True)
        self._add(unchanged, changed=False)

    def _add(self, keys: Sequence[str], *, changed: bool) -> None:
        if not keys:
            return
        if self._by_priority is not None and not changed:
            self._by_priority.add_all(keys, priority=LOW_PRIORITY)
        else:
            self._queue.add_all(keys)

    def _keys_of_change(self, change: Change[Any]) -> Sequence[str]:
        if change.type is DeltaType.UPDATED:
            return self._keys_of_update(change.old, change.object)
        return self._keys(change.object)

    def _keys_of_update(self, old: Any, new: Any) -> Sequence[str]:
        return list(dict.fromkeys((*self._keys(old), *self._keys(new))))

    def _keys(self, obj: Any) -> Sequence[str]:
        raise NotImplementedError


class KeyEnqueuer(Enqueuer):
    """Enqueues the key of each object."""

    def _keys_of_change(self, change: Change[Any]) -> Sequence[str]:
        # The cache knows the key even of a model without metadata.
        return (change.key,) if change.key else self._keys(change.object)

    def _keys_of_update(self, old: Any, new: Any) -> Sequence[str]:
        return self._keys(new)

    def _keys(self, obj: Any) -> Sequence[str]:
        return (deletion_handling_meta_namespace_key(obj),)


class _OwnerEnqueuer(Enqueuer):
    def __init__(self, queue: WorkQueue[str], kind: _OwnerKind, *, namespaced: bool, owners: Store[Any] | None) -> None:
        super().__init__(queue)
        self._kind = kind
        self._namespaced = namespaced
        self._owners = owners

    def _keys(self, obj: Any) -> Sequence[str]:
        obj = last_state_of(obj)
        reference = _controller_of(obj, self._kind)
        if reference is None:
            return ()
        name = field_of(reference, "name")
        namespace = namespace_of(obj) if self._namespaced else ""
        # A name such as "kube-system/victim" would be the key of an object of another namespace.
        if not is_path_segment(name):
            _limited.warning("the owner of an object in namespace %r has the malformed name %r", namespace, name)
            return ()
        key = namespaced_name(namespace, name)
        return (key,) if self._owners is None or has_owner(self._owners, key, reference) else ()


def _is_changed(change: Change[Any]) -> bool:
    if change.type is DeltaType.UPDATED:
        return not change.is_sync and not _same_version(change.old, change.object)
    return not change.is_in_initial_list


def _same_version(old: Any, new: Any) -> bool:
    version = version_of(new)
    return version != "" and version_of(old) == version


class _OwnerKind(NamedTuple):
    """The kind that an owner must have; a `group` of None matches every API group."""

    kind: str
    group: str | None

    @classmethod
    def parse(cls, kind: str | tuple[str, str]) -> _OwnerKind:
        """Parses the forms that `enqueue_owner` accepts.

        Raises:
            ValueError: kind has another form.
        """
        if isinstance(kind, str):
            name, dot, group = kind.partition(".")
            parsed = cls(name, group if dot else None)
        else:
            try:
                api_version, name = kind
                parsed = cls(name.strip(), api_version.rpartition("/")[0])
            except (AttributeError, TypeError, ValueError):
                parsed = cls("", None)
        if parsed.kind[:1].islower() and "/" not in parsed.kind:
            raise ValueError(
                f'kind must be the Kind form, such as "Foo" or "Foo.samplecontroller.k8s.io", but {kind!r} begins with a small '
                "letter, as the plural names of resources do: no owner reference would ever match (kubectl api-resources lists "
                "the kinds)"
            )
        if not parsed.kind or "/" in parsed.kind:
            raise ValueError(
                f'kind must be like "Foo", "Foo.samplecontroller.k8s.io" or ("samplecontroller.k8s.io/v1", "Foo"), not {kind!r}'
            )
        return parsed


def has_owner(owners: Store[Any], key: str, reference: Any) -> bool:
    """Returns whether a cache has, with this key, the owner of the reference's uid."""
    # The stored object has a uid even if users see a model without metadata.
    owner = owners.records.items.get(key)
    return owner is not None and uid_of(owner) == field_of(reference, "uid")


def controller_reference(obj: Any) -> Any:
    """Returns the reference to the object's controlling owner; None where it has none.

    Source: apimachinery meta/v1 GetControllerOf.
    """
    return next((each for each in _owner_references(obj) if field_of(each, "controller") is True), None)


def _controller_of(obj: Any, kind: _OwnerKind) -> Any:
    """The reference to the object's controlling owner; None where it has none or one of another kind."""
    reference = controller_reference(obj)
    matches = field_of(reference, "kind") == kind.kind and kind.group in (None, _group(reference))
    return reference if matches else None


def _owner_references(obj: Any) -> Iterable[Any]:
    metadata = field_of(obj, "metadata")
    found = field_of(obj if metadata is None else metadata, "ownerReferences", "owner_references")
    return found if isinstance(found, Iterable) and not isinstance(found, str | Mapping) else ()


def _group(reference: Any) -> str:
    api_version = field_of(reference, "apiVersion", "api_version")
    return api_version.rpartition("/")[0] if isinstance(api_version, str) else ""


def field_of(of: Any, *names: str) -> Any:
    """Returns the first of the named fields that a mapping or a model has; None where it has none of them."""
    for name in names:
        found = of.get(name) if isinstance(of, Mapping) else getattr(of, name, None)
        if found is not None:
            return found
    return None

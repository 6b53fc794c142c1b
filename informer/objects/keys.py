"""Keys and metadata of objects in every form that users have them.

An object is a plain `dict` in API form, an `informer.Object`, an official client model such as `V1Pod`, or any other value
with a `.metadata` attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from informer.errors import KeyFuncError
from informer.objects.entry import Entry, Undecodable
from informer.objects.namespaced_name import namespaced_name
from informer.objects.object import Object
from informer.objects.protobuf_object import ProtobufObject
from watch.printable import printable

__all__ = [
    "DeletedFinalStateUnknown",
    "ExplicitKey",
    "Meta",
    "NoLongerDecodes",
    "annotations_of",
    "deletion_handling_meta_namespace_key",
    "key_by",
    "labels_of",
    "last_state_of",
    "meta_namespace_key",
    "metadata_of",
    "name_of",
    "namespace_of",
    "namespaced_name",
    "resource_version_of",
    "split_meta_namespace_key",
    "uid_of",
    "version_of",
]

EAGER = (Object, Entry, Undecodable, ProtobufObject)
"""The types whose name, namespace, uid and resource_version are plain attributes."""

_EMPTY: Mapping[str, str] = {}


class ExplicitKey(str):
    """A key that can be passed where an object is expected: `meta_namespace_key` returns it unchanged.

    Example:
        >>> meta_namespace_key(ExplicitKey("shop/web"))
        'shop/web'
    """

    __slots__ = ()


class DeletedFinalStateUnknown(NamedTuple):
    """A tombstone: stands for a deleted object whose DELETED event was missed.

    An informer notices such a deletion only when a relist does not contain the object any more.

    Attributes:
        key: the object's key.
        obj: the last known state of the object, which may be stale.
    """

    key: str
    obj: Any


class NoLongerDecodes(DeletedFinalStateUnknown):
    """A tombstone of an object that still exists, but whose new state the model or the transform refuses."""

    __slots__ = ()


def last_state_of(obj: Any) -> Any:
    """Returns the object of a tombstone, or any other object as it is."""
    return obj.obj if isinstance(obj, DeletedFinalStateUnknown) else obj


class Meta(NamedTuple):
    """The four metadata fields that an informer needs of every object; a missing field is ""."""

    name: str
    namespace: str
    uid: str
    resource_version: str


def meta_namespace_key(obj: Any) -> str:
    """Returns an object's key: "namespace/name", or "name" for an object without a namespace.

    This is the default key function of stores, queues and informers. An API server refuses names that contain "/"; here, as in
    client-go, they are not checked. For a name from an owner reference or another field, see `enqueue_owner`.

    Args:
        obj: a dict in API form, an `Object`, an official client model, any value with `.metadata`, or an `ExplicitKey`.
            For a `DeletedFinalStateUnknown` use `deletion_handling_meta_namespace_key`.

    Raises:
        KeyFuncError: the object has no metadata, or its metadata has no name. The message names the object's type and
            quotes none of its data.

    Example:
        >>> meta_namespace_key({"metadata": {"namespace": "shop", "name": "web"}})
        'shop/web'

    Source: client-go tools/cache MetaNamespaceKeyFunc.
    """
    kind = type(obj)
    if kind is Object or kind is Entry or kind is ProtobufObject:
        name, namespace = obj.name, obj.namespace
    elif kind is ExplicitKey:
        return str(obj)
    else:
        meta = metadata_of(obj)
        name, namespace = meta.name, meta.namespace
    if not name:
        raise KeyFuncError(f"couldn't create key for object of type {kind.__qualname__}: its metadata has no name")
    # As `namespaced_name`, without a call: this runs once per event.
    return f"{namespace}/{name}" if namespace else name


def deletion_handling_meta_namespace_key(obj: Any) -> str:
    """Returns an object's key as `meta_namespace_key` does, and the key in a `DeletedFinalStateUnknown`.

    Use it in delete handlers, which can receive either.

    Raises:
        KeyFuncError: as `meta_namespace_key`.

    Source: client-go tools/cache DeletionHandlingMetaNamespaceKeyFunc.
    """
    if isinstance(obj, DeletedFinalStateUnknown):
        return obj.key
    return meta_namespace_key(obj)


def key_by(key_func: Callable[[Any], str], obj: Any) -> str:
    """Calls a user's key function and checks what it returns.

    Raises:
        KeyFuncError: the function raised (its exception is the cause), or did not return a str.
    """
    try:
        key = key_func(obj)
    except KeyFuncError:
        raise
    except Exception as error:
        raise KeyFuncError(f"couldn't create key for object of type {type(obj).__qualname__}: {error}") from error
    if isinstance(key, str):
        return key
    raise KeyFuncError(
        f"couldn't create key for object of type {type(obj).__qualname__}: "
        f"the key function returned a {type(key).__qualname__}, not a str"
    )


def split_meta_namespace_key(key: str) -> tuple[str, str]:
    """Splits a key into namespace and name; the namespace is "" for an object without one.

    Raises:
        ValueError: the key has more than one "/".

    Example:
        >>> split_meta_namespace_key("shop/web")
        ('shop', 'web')

    Source: client-go tools/cache SplitMetaNamespaceKey.
    """
    parts = key.split("/")
    if len(parts) == 1:
        return "", parts[0]
    if len(parts) == 2:
        return parts[0], parts[1]
    raise ValueError(f'unexpected key format: "{printable(key, 512)}" (expected "name" or "namespace/name")')


def metadata_of(obj: Any) -> Meta:
    """Returns name, namespace, uid and resourceVersion of an object in any form.

    Raises:
        KeyFuncError: the object has no metadata. The message names the object's type and quotes none of its data.
    """
    if type(obj) in EAGER:
        return Meta(obj.name, obj.namespace, obj.uid, obj.resource_version)
    metadata = _metadata(obj)
    if isinstance(metadata, Mapping):
        return Meta(
            _text(metadata.get("name")),
            _text(metadata.get("namespace")),
            _text(metadata.get("uid")),
            _text(metadata.get("resourceVersion")),
        )
    version = getattr(metadata, "resource_version", None)
    if version is None:
        version = getattr(metadata, "resourceVersion", None)
    return Meta(
        _text(getattr(metadata, "name", None)),
        _text(getattr(metadata, "namespace", None)),
        _text(getattr(metadata, "uid", None)),
        _text(version),
    )


def name_of(obj: Any) -> str:
    """Returns an object's name, or "" when it has none; raises as `metadata_of`."""
    return metadata_of(obj).name


def namespace_of(obj: Any) -> str:
    """Returns an object's namespace, or "" when it has none; raises as `metadata_of`."""
    return obj.namespace if type(obj) in EAGER else metadata_of(obj).namespace


def uid_of(obj: Any) -> str:
    """Returns an object's uid, or "" when it has none; raises as `metadata_of`."""
    return obj.uid if type(obj) in EAGER else metadata_of(obj).uid


def resource_version_of(obj: Any) -> str:
    """Returns an object's resourceVersion, or "" when it has none; raises as `metadata_of`."""
    return obj.resource_version if type(obj) in EAGER else metadata_of(obj).resource_version


def version_of(obj: Any) -> str:
    """Returns the resourceVersion of any value, or "" when the value is not an object.

    Never raises: for values that come from a server or a user's function.
    """
    kind = type(obj)
    if kind is Object or kind is Entry or kind is ProtobufObject:
        return obj.resource_version  # type: ignore[no-any-return]
    try:
        return resource_version_of(obj)
    except Exception:
        return ""


def labels_of(obj: Any) -> Mapping[str, str]:
    """Returns an object's labels, read-only; an empty mapping when it has none.

    Raises:
        KeyFuncError: the object has no metadata.
    """
    return _mapping_of(obj, "labels")


def annotations_of(obj: Any) -> Mapping[str, str]:
    """Returns an object's annotations, read-only; an empty mapping when it has none.

    Raises:
        KeyFuncError: the object has no metadata.
    """
    return _mapping_of(obj, "annotations")


def _mapping_of(obj: Any, field: str) -> Mapping[str, str]:
    if type(obj) is Entry:
        obj = obj.object
    if isinstance(obj, Object):
        return getattr(obj, field)  # type: ignore[no-any-return]
    try:
        metadata = _metadata(obj)
    except KeyFuncError:
        raise KeyFuncError(
            f"object of type {type(obj).__qualname__} has no metadata and so no {field}: add a metadata field to its type"
        ) from None
    found = metadata.get(field) if isinstance(metadata, Mapping) else getattr(metadata, field, None)
    return found if isinstance(found, Mapping) else _EMPTY


def _metadata(obj: Any) -> Any:
    metadata = obj.get("metadata") if isinstance(obj, Mapping) else getattr(obj, "metadata", None)
    if metadata is None:
        raise KeyFuncError(
            f"couldn't create key for object of type {type(obj).__qualname__}: object has no meta "
            "(pass a dict in API form, an informer.Object, an official model or another value with .metadata)"
        )
    return metadata


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

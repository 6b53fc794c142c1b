"""Keys, and the few metadata that an informer needs, of any kind of object.

An object is a plain `dict` in API form, an `informer.Object`, an official client model, or anything with `.metadata`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from informer.errors import KeyFuncError
from informer.objects.entry import Entry, Undecodable
from informer.objects.object import Object

__all__ = [
    "DeletedFinalStateUnknown",
    "ExplicitKey",
    "Meta",
    "annotations_of",
    "deletion_handling_meta_namespace_key",
    "key_by",
    "labels_of",
    "meta_namespace_key",
    "metadata_of",
    "name_of",
    "namespace_of",
    "resource_version_of",
    "split_meta_namespace_key",
    "uid_of",
    "version_of",
]

EAGER = (Object, Entry, Undecodable)
_NOTHING: Mapping[str, str] = {}


class ExplicitKey(str):
    """A key to be used as it is, where an object is expected."""

    __slots__ = ()


class DeletedFinalStateUnknown(NamedTuple):
    """Stands for an object whose delete was missed: its key, and the last state that was known (which may be stale)."""

    key: str
    obj: Any


class Meta(NamedTuple):
    """The metadata that an informer needs of every object; "" where there is none."""

    name: str
    namespace: str
    uid: str
    resource_version: str


def meta_namespace_key(obj: Any) -> str:
    """The key of an object: "namespace/name", or "name" where it has no namespace.

    Args:
        obj: an object (see the module) or an `ExplicitKey`, which is its own key.

    Raises:
        KeyFuncError: it has no metadata with a name; the message names its type, never its data.

    Source: client-go tools/cache MetaNamespaceKeyFunc.
    """
    kind = type(obj)
    if kind is Object or kind is Entry:
        name, namespace = obj.name, obj.namespace
    elif kind is ExplicitKey:
        return str(obj)
    else:
        meta = metadata_of(obj)
        name, namespace = meta.name, meta.namespace
    if not name:
        raise KeyFuncError(f"couldn't create key for object of type {kind.__qualname__}: its metadata has no name")
    return f"{namespace}/{name}" if namespace else name


def deletion_handling_meta_namespace_key(obj: Any) -> str:
    """As `meta_namespace_key`, and takes a `DeletedFinalStateUnknown`, which knows its key.

    Source: client-go tools/cache DeletionHandlingMetaNamespaceKeyFunc.
    """
    if isinstance(obj, DeletedFinalStateUnknown):
        return obj.key
    return meta_namespace_key(obj)


def key_by(key_func: Callable[[Any], str], obj: Any) -> str:
    """The key that a user's function makes of an object.

    Raises:
        KeyFuncError: the function raised, which is the cause, or made no text.
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
    """The namespace ("" for none) and the name of a key.

    Raises:
        ValueError: it has more than one "/".

    Source: client-go tools/cache SplitMetaNamespaceKey.
    """
    parts = key.split("/")
    if len(parts) == 1:
        return "", parts[0]
    if len(parts) == 2:
        return parts[0], parts[1]
    raise ValueError(f'unexpected key format: "{key}" (name or namespace/name is needed)')


def metadata_of(obj: Any) -> Meta:
    """Name, namespace, uid and resourceVersion of an object.

    Raises:
        KeyFuncError: it has no metadata; the message names its type, never its data.
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
    """An object's name, "" for none."""
    return metadata_of(obj).name


def namespace_of(obj: Any) -> str:
    """An object's namespace, "" for none."""
    return obj.namespace if type(obj) in EAGER else metadata_of(obj).namespace


def uid_of(obj: Any) -> str:
    """An object's uid, "" for none."""
    return obj.uid if type(obj) in EAGER else metadata_of(obj).uid


def resource_version_of(obj: Any) -> str:
    """An object's resourceVersion, "" for none."""
    return obj.resource_version if type(obj) in EAGER else metadata_of(obj).resource_version


def version_of(obj: Any) -> str:
    """As `resource_version_of`, and "" for what is no object at all: for what a server or a user's function gave."""
    kind = type(obj)
    if kind is Object or kind is Entry:
        return obj.resource_version  # type: ignore[no-any-return]
    try:
        return resource_version_of(obj)
    except Exception:
        return ""


def labels_of(obj: Any) -> Mapping[str, str]:
    """An object's labels, empty for none."""
    return _mapping_of(obj, "labels")


def annotations_of(obj: Any) -> Mapping[str, str]:
    """An object's annotations, empty for none."""
    return _mapping_of(obj, "annotations")


def _mapping_of(obj: Any, field: str) -> Mapping[str, str]:
    if type(obj) is Entry:
        obj = obj.object
    if type(obj) is Object:
        return getattr(obj, field)  # type: ignore[no-any-return]
    try:
        metadata = _metadata(obj)
    except KeyFuncError:
        raise KeyFuncError(
            f"object of type {type(obj).__qualname__} has no metadata and so no {field}: let its type name metadata"
        ) from None
    found = metadata.get(field) if isinstance(metadata, Mapping) else getattr(metadata, field, None)
    return found if isinstance(found, Mapping) else _NOTHING


def _metadata(obj: Any) -> Any:
    metadata = obj.get("metadata") if isinstance(obj, Mapping) else getattr(obj, "metadata", None)
    if metadata is None:
        raise KeyFuncError(
            f"couldn't create key for object of type {type(obj).__qualname__}: object has no meta "
            "(a dict in API form, an informer.Object, a model or anything with .metadata is needed)"
        )
    return metadata


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

"""`Object`: a Kubernetes object as an informer keeps it, with four fields decoded and the rest as the JSON that arrived."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from datetime import datetime
from typing import Any

import msgspec
from typing_extensions import TypeVar, override

from informer.objects.form import Form, code_in, code_of, form_in
from informer.objects.hints import add_hints
from informer.objects.json_edit import parts_of, tree_of, with_type, without
from informer.objects.namespaced_name import namespaced_name
from informer.objects.object_fields import (
    IDENTITY_FIELDS,
    OwnerReference,
    annotations_in,
    check_utf8,
    copied,
    creation_timestamp_in,
    decode_head,
    decode_odd_identity,
    decode_whole,
    deletion_timestamp_in,
    find_metadata,
    generation_in,
    labels_in,
    owner_references_in,
    reason_of,
    share_namespace,
    shared_namespace,
    too_deep,
    type_in,
)
from informer.objects.paths import MISSING, JSONFields, Path, find_in_json, parse_path
from informer.objects.type_decoders import decoder_for
from watch.printable import printable

__all__ = ["Object", "strip_managed_fields"]

S = TypeVar("S")
V = TypeVar("V")

_encode = msgspec.json.encode
_set = msgspec.structs.force_setattr


class Object(JSONFields, msgspec.Struct, gc=False, frozen=True, eq=False):
    """A Kubernetes object: read-only, and decoded only as far as it is read.

    `name`, `namespace`, `uid` and `resource_version` are decoded when the object arrives ("" when the server sent none).
    `raw` is the object's JSON. Every other field is decoded from `raw` each time that it is read: keep in a variable what
    you use often.

    An object may be nested as deeply as an API server accepts, 10,000 levels. If it has more levels than Python can decode,
    about a thousand, its values can be read one by one, but `to_dict` and `view` raise ValueError.

    An object is a mapping of its top-level fields. The dicts and lists in it raise TypeError on changes; `to_dict` returns
    a copy that you can change. Two objects are equal when uid and resourceVersion are equal (without a uid: when `raw` is).
    Objects are hashable and can be pickled. The repr shows kind, name and resourceVersion, never data.

    The garbage collector does not trace objects, so even a cache of a million of them does not slow it down.

    Threads: any.

    Example:
        >>> pod = Object.from_bytes(b'{"metadata":{"name":"web","namespace":"shop"},"spec":{"nodeName":"worker-1"}}')
        >>> pod.name, pod["spec"]["nodeName"], pod.at("status.phase", "Unknown")
        ('web', 'worker-1', 'Unknown')
    """

    name: str
    namespace: str
    uid: str
    resource_version: str
    raw: bytes
    # Where the metadata are in raw, as start << 32 | length. Until the first read of a field in them it is -1, or the code of
    # the object's form, which is below -1. A relist compares codes: it need not touch raw, which has left the CPU's cache.
    _metadata_span: int = -1

    @classmethod
    def from_bytes(cls, raw: bytes) -> Object:
        """Decodes an object from its JSON.

        Args:
            raw: one JSON object, in UTF-8. Bytes are kept without a copy; any other buffer is copied.

        Raises:
            ValueError: `raw` is not one JSON object; the message quotes nothing of it.
            TypeError: `raw` is not a buffer of bytes.
        """
        if type(raw) is not bytes:
            raw = copied(raw)
        try:
            identity = decode_head(raw).metadata
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            identity = decode_odd_identity(raw, error)
        if not raw.isascii():
            check_utf8(raw)
        namespace = identity.namespace
        namespace = shared_namespace(namespace) or share_namespace(namespace)
        return cls(identity.name, namespace, identity.uid, identity.resourceVersion, raw)

    @classmethod
    def from_list_item(cls, raw: bytes, api_version: str, kind: str) -> Object:
        """Decodes an object from an item of a list. Servers leave out kind and apiVersion in items; they are added here.

        Args:
            raw: the item's JSON.
            api_version: the apiVersion of the items.
            kind: the kind of the items; "" adds neither.

        Raises:
            ValueError: `raw` is not one JSON object.
        """
        if type(raw) is not bytes:
            raw = copied(raw)
        try:
            typed = with_type(raw, api_version, kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"not a JSON object: {reason_of(error)}") from None
        obj = cls.from_bytes(typed)
        if typed is not raw and raw.startswith(b'{"metadata":'):
            _set(obj, "_metadata_span", code_of(api_version, kind) or -1)
        return obj

    @classmethod
    def from_dict(cls, obj: Mapping[str, Any]) -> Object:
        """Converts a dict in API form to an object; an `Object` is returned unchanged.

        Raises:
            TypeError: `obj` is not a mapping, or contains a value that JSON cannot express.
            ValueError: `obj` contains itself, is nested too deeply, or contains text that UTF-8 cannot express.
        """
        if isinstance(obj, Object):
            return obj
        if not isinstance(obj, Mapping):
            raise TypeError(f"an object in API form is a dict, not {type(obj).__name__}")
        try:
            return cls.from_bytes(_encode(obj))
        except RecursionError:
            raise ValueError("the object is nested too deeply, or contains itself") from None

    def to_dict(self) -> dict[str, Any]:
        """Returns the whole object in API form: a copy that you can change. Raises ValueError if it is too deep to decode."""
        return decode_whole(self.raw)  # type: ignore[no-any-return]

    def to_json(self) -> bytes:
        """Returns the whole object as JSON: `raw`, unless the server sent the object in protobuf."""
        return self.raw

    def at(self, path: Path, default: Any = None) -> Any:
        """Returns the value at a path, read-only.

        Args:
            path: a dotted string such as "spec.nodeName", or a tuple of keys and list indices such as
                ("spec", "containers", 0, "image") or ("metadata", "labels", "app.kubernetes.io/name").
            default: returned when the object has nothing at the path.

        Raises:
            TypeError, ValueError: `path` is not a path.
        """
        found = self.find(parse_path(path))
        return default if found is MISSING else found

    def view(self, type: type[S]) -> S:
        """Decodes the object to a type that names only the fields of interest; the others are skipped.

        Args:
            type: a `msgspec.Struct`, TypedDict, dataclass, pydantic `BaseModel`, or an official model class such as `V1Pod`. A
                dataclass's `node_name` is read from the API's nodeName; a pydantic model names its fields or aliases as the
                API does.

        Raises:
            msgspec.ValidationError: the object lacks a required field, or a field has another type. For a pydantic model it
                is a `pydantic.ValidationError`, for an official one a ValueError.
            TypeError: `type` is another kind of type, or msgspec cannot decode to it.

        Example:
            >>> class Pod(msgspec.Struct):
            ...     spec: dict[str, str]
            >>> Object.from_dict({"spec": {"nodeName": "worker-1"}}).view(Pod).spec
            {'nodeName': 'worker-1'}
        """
        kind: Any = type
        try:
            found: S = decoder_for(kind)(self.raw)
        except RecursionError:
            raise too_deep() from None
        return found

    def without(self, *paths: Path) -> Object:
        """Returns the object without the values at some paths; paths that the object does not have are ignored.

        Use it in a transform, to keep less in memory.

        Args:
            paths: as `at` takes them.

        Returns:
            A new object, or this one when there was nothing to remove.

        Raises:
            TypeError, ValueError: a path is not a path.

        Example:
            >>> secret = Object.from_dict({"metadata": {"name": "token"}, "data": {"key": "dmFsdWU="}})
            >>> secret.without("data").to_dict()
            {'metadata': {'name': 'token'}}
        """
        tree = tree_of(tuple(parse_path(path) for path in paths))
        raw = without(self.raw, tree)
        if raw is self.raw:
            return self
        if "metadata" in tree:
            below = tree["metadata"]
            if below is None or not below.keys().isdisjoint(IDENTITY_FIELDS):
                return Object.from_bytes(raw)
        code = self._metadata_span if "kind" not in tree and "apiVersion" not in tree else -1
        return Object(self.name, self.namespace, self.uid, self.resource_version, raw, min(code, -1))

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels, read-only; empty when there are none."""
        return labels_in(self._metadata())

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations, read-only; empty when there are none."""
        return annotations_in(self._metadata())

    @property
    def owner_references(self) -> list[OwnerReference]:
        """The owner references in API form, read-only; empty when there are none."""
        return owner_references_in(self._metadata())

    @property
    def creation_timestamp(self) -> datetime | None:
        """When the server created the object."""
        return creation_timestamp_in(self._metadata())

    @property
    def deletion_timestamp(self) -> datetime | None:
        """When the object's grace period for deletion ends; None as long as no client has requested its deletion."""
        return deletion_timestamp_in(self._metadata())

    @property
    def generation(self) -> int | None:
        """The number of the current version of the spec; None for kinds without one."""
        return generation_in(self._metadata())

    @property
    def kind(self) -> str:
        """The kind, such as "Pod"; "" when the server sent none."""
        return type_in(self.raw).kind

    @property
    def api_version(self) -> str:
        """The API version, such as "apps/v1"; "" when the server sent none."""
        return type_in(self.raw).apiVersion

    @property
    def form(self) -> Form:
        """The (apiVersion, kind); "" for each that the server did not send. For the rest of the library."""
        return form_in(self.raw)

    def form_code(self) -> int:
        """Returns a number that is equal for objects of the same form; 0 if it is not known. For the rest of the library."""
        code = self._metadata_span
        if code < -1:
            return code
        found = code_in(self.raw)
        if found and code == -1:
            _set(self, "_metadata_span", found)
        return found

    @override
    def find(self, keys: tuple[str | int, ...]) -> Any:
        if self._metadata_span >= 0 and len(keys) > 1 and keys[0] == "metadata":
            return find_in_json(self._metadata(), keys[1:])
        return find_in_json(self.raw, keys)

    def get(self, key: str, default: Any = None) -> Any:
        """Returns a top-level field such as "spec", read-only, or the default."""
        found = self._part(key)
        return default if found is MISSING else found

    def keys(self) -> KeysView[str]:
        """The names of the top-level fields."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:
        """The values of the top-level fields, read-only."""
        return ValuesView(self)

    def items(self) -> ItemsView[str, Any]:
        """The names and values of the top-level fields, read-only."""
        return ItemsView(self)

    def __getitem__(self, key: str) -> Any:
        found = self._part(key)
        if found is MISSING:
            raise KeyError(key)
        return found

    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError("read-only: use to_dict()")

    def __delitem__(self, key: str) -> None:
        raise TypeError("read-only: use to_dict()")

    def __contains__(self, key: object) -> bool:
        return key in parts_of(self.raw)

    def __iter__(self) -> Iterator[str]:
        return iter(parts_of(self.raw))

    def __len__(self) -> int:
        return len(parts_of(self.raw))

    def __bool__(self) -> bool:
        return True

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Object):
            return NotImplemented
        if self.uid and other.uid:
            return self.uid == other.uid and self.resource_version == other.resource_version
        return self.raw == other.raw

    @override
    def __hash__(self) -> int:
        return hash((self.uid, self.resource_version) if self.uid else self.raw)

    @override
    def __repr__(self) -> str:
        where = printable(namespaced_name(self.namespace, self.name), 512)
        return (
            f"<{printable(self.kind or 'Object')} {where} resourceVersion={printable(self.resource_version) or None}>"
        )

    @override
    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("name", self.name), ("namespace", self.namespace), ("resource_version", self.resource_version)]

    def __copy__(self) -> Object:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Object:
        return self

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return Object, (self.name, self.namespace, self.uid, self.resource_version, self.raw)

    def _part(self, key: Any) -> Any:
        return find_in_json(self.raw, (key,)) if isinstance(key, str) else MISSING

    def _metadata(self) -> bytes:
        """The JSON of the metadata. The first call remembers where they are in `raw`, so that later calls only slice."""
        raw, span = self.raw, self._metadata_span
        if span >= 0:
            start = span >> 32
            return raw[start : start + (span & 0xFFFFFFFF)]
        metadata = find_metadata(raw)
        if metadata == b"{}":  # perhaps in place of metadata that are not a JSON object
            return metadata
        # find() may meet the same bytes earlier in raw: a copy serves as well.
        start = raw.find(metadata)
        if start >= 0:
            _set(self, "_metadata_span", start << 32 | len(metadata))
        return metadata


Mapping.register(Object)


add_hints(Object, "metadata", "spec", "status", "data")


def strip_managed_fields(obj: V) -> V:
    """A ready transform that removes `metadata.managedFields`, which is about a third of most objects.

    Pass it as `SharedInformer(..., transform=strip_managed_fields)` to save memory.

    Args:
        obj: an `Object`, of which a smaller copy is returned; or a dict in API form or an official model, which is changed
            in place.

    Example:
        >>> pod = Object.from_dict({"metadata": {"name": "web", "managedFields": [{"manager": "kubectl"}]}})
        >>> strip_managed_fields(pod).to_dict()
        {'metadata': {'name': 'web'}}
    """
    if isinstance(obj, Object):
        return obj.without(("metadata", "managedFields"))  # type: ignore[return-value]
    metadata = obj.get("metadata") if isinstance(obj, dict) else getattr(obj, "metadata", None)
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    elif getattr(metadata, "managed_fields", None) is not None:
        metadata.managed_fields = None  # type: ignore[union-attr]
    return obj

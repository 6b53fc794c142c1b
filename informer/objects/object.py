"""Kubernetes objects as an informer keeps them: four fields decoded, the rest as the bytes that came.

Comes in: an object's JSON. Goes out: a read-only object that decodes what is asked for, when it is asked for. The cycle
collector does not trace these objects: a cache of a million of them costs it nothing.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from datetime import datetime
from typing import Any

import msgspec
from typing_extensions import TypeVar, override

from informer.objects.frozen import FrozenDict, FrozenList, freeze
from informer.objects.json_edit import parts_of, tree_of, with_type, without
from informer.objects.paths import MISSING, JSONFields, Path, find_in_json, parse_path
from informer.objects.type_decoders import decoder_for

__all__ = ["Object", "strip_managed_fields"]

S = TypeVar("S")
V = TypeVar("V")

_EMPTY = FrozenDict()
_IDENTITY = ("name", "namespace", "uid", "resourceVersion")


class _Meta(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815


class _Head(msgspec.Struct, gc=False):
    metadata: _Meta = _Meta()


class _Type(msgspec.Struct, gc=False):
    kind: str = ""
    apiVersion: str = ""  # noqa: N815


class _MetadataOnly(msgspec.Struct, gc=False):
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


# One struct for each, so that an odd value of one hides no other.
class _Labels(msgspec.Struct, gc=False):
    labels: dict[str, str] | None = None


class _Annotations(msgspec.Struct, gc=False):
    annotations: dict[str, str] | None = None


class _Owners(msgspec.Struct, gc=False):
    ownerReferences: list[Any] | None = None  # noqa: N815


class _Created(msgspec.Struct, gc=False):
    creationTimestamp: datetime | None = None  # noqa: N815


class _Deleted(msgspec.Struct, gc=False):
    deletionTimestamp: datetime | None = None  # noqa: N815


class _Generation(msgspec.Struct, gc=False):
    generation: int | None = None


def _metadata_decoder(type: type[S]) -> Callable[[bytes], S | None]:
    """Decodes one field of the metadata; None where its value is odd."""
    decode = msgspec.json.Decoder(type).decode

    def tolerant(metadata: bytes) -> S | None:
        try:
            return decode(metadata)
        except msgspec.ValidationError:
            return None

    return tolerant


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_type = msgspec.json.Decoder(_Type).decode
_decode_metadata_only = msgspec.json.Decoder(_MetadataOnly).decode
_decode_labels = _metadata_decoder(_Labels)
_decode_annotations = _metadata_decoder(_Annotations)
_decode_owners = _metadata_decoder(_Owners)
_decode_created = _metadata_decoder(_Created)
_decode_deleted = _metadata_decoder(_Deleted)
_decode_generation = _metadata_decoder(_Generation)
_encode = msgspec.json.encode
_set = msgspec.structs.force_setattr

# A cluster has few namespaces and many objects in each. Bounded, since names come from a server.
_namespaces: dict[str, str] = {}
_MAX_NAMESPACES = 65536


class Object(JSONFields, msgspec.Struct, gc=False, frozen=True, eq=False):
    """A Kubernetes object: read-only, compared by uid and resourceVersion, decoded as far as it is asked.

    `name`, `namespace`, `uid` and `resource_version` are there from the start ("" where the server gave none); `raw` is
    the object's JSON. Everything else is decoded on each use: keep what you use often. It is a mapping of its top-level
    parts, whose dicts and lists raise TypeError when they are to be changed; `to_dict` gives a copy to change.

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
    _span: int = -1  # where the metadata stand in raw, as start << 32 | length; -1 before anybody asked

    @classmethod
    def from_bytes(cls, raw: bytes) -> Object:
        """Reads an object's JSON.

        Args:
            raw: one JSON object, in UTF-8; bytes are kept as they are, any other buffer is copied.

        Raises:
            ValueError: it is not one JSON object; the message quotes nothing of it.
            TypeError: it is no buffer of bytes.
        """
        if type(raw) is not bytes:
            raw = _copied(raw)
        try:
            meta = _decode_head(raw).metadata
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            meta = _odd_metadata(raw, error)
        # The decoder looks at the bytes of no text that it does not return.
        if not raw.isascii():
            _check_utf8(raw)
        namespace = meta.namespace
        return cls(meta.name, _namespaces.get(namespace) or _intern(namespace), meta.uid, meta.resourceVersion, raw)

    @classmethod
    def from_list_item(cls, raw: bytes, api_version: str, kind: str) -> Object:
        """Reads an item of a list, which leaves out what the list's own kind says already.

        Args:
            raw: the item's JSON.
            api_version: the items' apiVersion.
            kind: the items' kind; "" adds neither.

        Raises:
            ValueError: it is not one JSON object.
        """
        if type(raw) is not bytes:
            raw = _copied(raw)
        try:
            typed = with_type(raw, api_version, kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"not a JSON object: {_reason(error)}") from None
        return cls.from_bytes(typed)

    @classmethod
    def from_dict(cls, obj: Mapping[str, Any]) -> Object:
        """Makes one of an object in API form.

        Raises:
            TypeError: it is no mapping, or holds what JSON has no form for.
            ValueError: it holds itself, or text that UTF-8 has no form for.
        """
        if isinstance(obj, Object):
            return obj
        if not isinstance(obj, Mapping):
            raise TypeError(f"an object in API form is a dict, not {type(obj).__name__}")
        try:
            return cls.from_bytes(_encode(obj))
        except RecursionError:
            raise ValueError("the object is nested too deeply, or holds itself") from None

    def to_dict(self) -> dict[str, Any]:
        """The whole object in API form, a copy that is yours to change."""
        return _decode_whole(self.raw)  # type: ignore[no-any-return]

    def at(self, path: Path, default: Any = None) -> Any:
        """What a path leads to, read-only.

        Args:
            path: "spec.nodeName", or a tuple of keys and list indices ("spec", "containers", 0, "image").
            default: given back where the path leads nowhere.
        """
        found = self.find(parse_path(path))
        return default if found is MISSING else found

    def view(self, type: type[S]) -> S:
        """The object decoded to a type that names only the fields of interest.

        Args:
            type: a `msgspec.Struct`, TypedDict or dataclass; a dataclass's `node_name` is the API's nodeName.

        Raises:
            msgspec.ValidationError: a field is missing or has another type than it names.
            TypeError: it is no such type, or one that cannot be decoded to.
        """
        kind: Any = type
        found: S = decoder_for(kind)(self.raw)
        return found

    def without(self, *paths: Path) -> Object:
        """The object without what some paths lead to; a path that leads nowhere takes nothing away.

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
            if below is None or not below.keys().isdisjoint(_IDENTITY):
                return Object.from_bytes(raw)
        return Object(self.name, self.namespace, self.uid, self.resource_version, raw)

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels, read-only; empty for none."""
        metadata = self._metadata()
        found = _decode_labels(metadata)
        labels = _texts(parts_of(metadata)["labels"]) if found is None else found.labels
        return FrozenDict(labels) if labels else _EMPTY

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations, read-only; empty for none."""
        metadata = self._metadata()
        found = _decode_annotations(metadata)
        annotations = _texts(parts_of(metadata)["annotations"]) if found is None else found.annotations
        return FrozenDict(annotations) if annotations else _EMPTY

    @property
    def owner_references(self) -> list[Any]:
        """The owner references in API form, read-only; empty for none."""
        found = _decode_owners(self._metadata())
        return freeze(found.ownerReferences or []) if found else FrozenList()

    @property
    def creation_timestamp(self) -> datetime | None:
        """When it was created."""
        found = _decode_created(self._metadata())
        return found.creationTimestamp if found else None

    @property
    def deletion_timestamp(self) -> datetime | None:
        """When its deletion was asked for, or, with a grace period, when that ends; None when nobody asked."""
        found = _decode_deleted(self._metadata())
        return found.deletionTimestamp if found else None

    @property
    def generation(self) -> int | None:
        """The number of the desired state, where its kind counts these."""
        found = _decode_generation(self._metadata())
        return found.generation if found else None

    @property
    def kind(self) -> str:
        """Its kind, such as "Pod"; "" where the server gave none."""
        return self._type().kind

    @property
    def api_version(self) -> str:
        """Its API version, such as "apps/v1"; "" where the server gave none."""
        return self._type().apiVersion

    @override
    def find(self, keys: tuple[str | int, ...]) -> Any:
        if self._span >= 0 and len(keys) > 1 and keys[0] == "metadata":
            return find_in_json(self._metadata(), keys[1:])
        return find_in_json(self.raw, keys)

    def get(self, key: str, default: Any = None) -> Any:
        """A top-level part such as "spec", read-only, or the default."""
        found = self._part(key)
        return default if found is MISSING else found

    def keys(self) -> KeysView[str]:
        """The names of its top-level parts."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:
        """Its top-level parts, read-only."""
        return ValuesView(self)

    def items(self) -> ItemsView[str, Any]:
        """The names of its top-level parts, and these, read-only."""
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
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"<{self.kind or 'Object'} {where} resourceVersion={self.resource_version or None}>"

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
        """The metadata's own bytes; found once, then remembered by their place."""
        raw, span = self.raw, self._span
        if span >= 0:
            start = span >> 32
            return raw[start : start + (span & 0xFFFFFFFF)]
        metadata = bytes(_decode_metadata_only(raw).metadata).strip()
        if not metadata.startswith(b"{"):
            return b"{}"
        # Should the same bytes stand somewhere else before, they are as good.
        start = raw.find(metadata)
        if start >= 0:
            _set(self, "_span", start << 32 | len(metadata))
        return metadata

    def _type(self) -> _Type:
        try:
            return _decode_type(self.raw)
        except msgspec.ValidationError:
            return _Type()


Mapping.register(Object)


def strip_managed_fields(obj: V) -> V:
    """A transform: the object without `metadata.managedFields`, a third of most objects.

    Args:
        obj: an `Object` (a copy is returned), a dict in API form or an official model (changed in place).
    """
    if isinstance(obj, Object):
        return obj.without(("metadata", "managedFields"))  # type: ignore[return-value]
    metadata = obj.get("metadata") if isinstance(obj, dict) else getattr(obj, "metadata", None)
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    elif getattr(metadata, "managed_fields", None) is not None:
        metadata.managed_fields = None  # type: ignore[union-attr]
    return obj


def _copied(raw: Any) -> bytes:
    try:
        return bytes(memoryview(raw))
    except TypeError:
        raise TypeError(f"an object's JSON is bytes, not {type(raw).__name__}") from None


def _texts(raw: bytes | msgspec.Raw) -> dict[str, str]:
    """What is text among the parts of a JSON object; nothing where it is no object."""
    try:
        parts = parts_of(raw)
    except msgspec.ValidationError:
        return {}
    return {key: msgspec.json.decode(part) for key, part in parts.items() if bytes(part).startswith(b'"')}


def _odd_metadata(raw: bytes, error: Exception) -> _Meta:
    """The four fields of an object whose metadata are null, missing or of other types than they should be."""
    if not isinstance(error, msgspec.ValidationError):
        raise ValueError(f"not a JSON object: {_reason(error)}") from None
    try:
        metadata = parts_of(raw).get("metadata", b"{}")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as no_object:
        raise ValueError(f"not a JSON object: {_reason(no_object)}") from None
    fields = _texts(metadata)
    return _Meta(*(fields.get(name, "") for name in _IDENTITY))


def _decode_whole(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not a JSON object: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _check_utf8(raw: bytes) -> None:
    bad = -1
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        bad = error.start
    # Not from within: the decoder's error holds the bytes, and would stay behind this one.
    if bad >= 0:
        raise ValueError(f"not a JSON object: invalid UTF-8 at byte {bad}")


def _intern(namespace: str) -> str:
    if len(_namespaces) >= _MAX_NAMESPACES:
        _namespaces.clear()
    return _namespaces.setdefault(namespace, namespace)

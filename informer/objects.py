"""Kubernetes objects as an informer keeps them: four fields decoded, the rest as the bytes that came.

Comes in: an object's JSON. Goes out: a read-only object that decodes what is asked for, when it is asked for. The cycle
collector does not trace these objects: a cache of a million of them costs it nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from typing_extensions import TypeVar

from informer.frozen import FrozenDict, FrozenList, freeze
from informer.paths import MISSING, Path, find_in_json, parse_path

__all__ = ["Object", "strip_managed_fields"]

S = TypeVar("S")

_EMPTY = FrozenDict()


class _Meta(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815


class _Head(msgspec.Struct, gc=False):
    metadata: _Meta = _Meta()


class _KindHead(msgspec.Struct, gc=False):
    metadata: _Meta = _Meta()
    kind: str = ""
    apiVersion: str = ""  # noqa: N815


class _MetadataOnly(msgspec.Struct, gc=False):
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


class _Details(msgspec.Struct, gc=False):
    """What is decoded of the metadata on demand."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Owners(msgspec.Struct, gc=False):
    ownerReferences: list[Any] | None = None  # noqa: N815


class _Life(msgspec.Struct, gc=False):
    creationTimestamp: datetime | None = None  # noqa: N815
    deletionTimestamp: datetime | None = None  # noqa: N815
    generation: int | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_kind_head = msgspec.json.Decoder(_KindHead).decode
_decode_metadata_only = msgspec.json.Decoder(_MetadataOnly).decode
_decode_details = msgspec.json.Decoder(_Details).decode
_decode_owners = msgspec.json.Decoder(_Owners).decode
_decode_life = msgspec.json.Decoder(_Life).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.encode
_set = msgspec.structs.force_setattr

_KIND_FIRST = re.compile(rb'\{"kind":"([^"\\]+)","apiVersion":"([^"\\]+)"')
_API_VERSION_FIRST = re.compile(rb'\{"apiVersion":"([^"\\]+)","kind":"([^"\\]+)"')

# A cluster has few namespaces and many objects in each. Bounded, since names come from a server.
_namespaces: dict[str, str] = {}
_MAX_NAMESPACES = 65536


class Object(msgspec.Struct, gc=False, frozen=True, eq=False):
    """A Kubernetes object: read-only, compared by uid and resourceVersion, decoded as far as it is asked.

    `name`, `namespace`, `uid` and `resource_version` are there from the start ("" where the server gave none); `raw` is
    the object's JSON. Everything else is decoded on each use: keep what you use often.

    Threads: any.
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
            raw: one JSON object, in UTF-8; bytes are kept as they are, anything else is copied.

        Raises:
            ValueError: it is not one JSON object; the message quotes nothing of it.
        """
        if type(raw) is not bytes:
            raw = bytes(raw)
        try:
            meta = _decode_head(raw).metadata
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            meta = _odd_metadata(raw, error)
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
            kind: the items' kind.

        Raises:
            ValueError: it is not one JSON object.
        """
        if raw.startswith(b'{"metadata":'):
            return cls.from_bytes(_type_prefix(api_version, kind) + raw[1:])
        if _KIND_FIRST.match(raw) or _API_VERSION_FIRST.match(raw):
            return cls.from_bytes(raw)
        parts = _parts_of(raw)
        if "kind" in parts and "apiVersion" in parts:
            return cls.from_bytes(raw)
        parts.pop("kind", None)
        parts.pop("apiVersion", None)
        body = _encode(parts)
        prefix = _type_prefix(api_version, kind)
        return cls.from_bytes(prefix + body[1:] if parts else prefix[:-1] + b"}")

    @classmethod
    def from_dict(cls, obj: Mapping[str, Any]) -> Object:
        """Makes one of an object in API form.

        Raises:
            TypeError: it is no mapping, or holds what JSON has no form for.
        """
        if not isinstance(obj, Mapping):
            raise TypeError(f"an object in API form is a dict, not {type(obj).__name__}")
        return cls.from_bytes(_encode(obj))

    def to_dict(self) -> dict[str, Any]:
        """The whole object in API form, a copy that is yours to change."""
        return _decode_whole(self.raw)  # type: ignore[no-any-return]

    def at(self, path: Path, default: Any = None) -> Any:
        """What a path leads to, read-only.

        Args:
            path: "spec.nodeName", or a tuple of keys and list indices ("spec", "containers", 0, "image").
            default: given back where the path leads nowhere.
        """
        found = find_in_json(self.raw, parse_path(path))
        return default if found is MISSING else found

    def view(self, type: type[S]) -> S:
        """The object decoded to a type that names only the fields of interest.

        Args:
            type: a `msgspec.Struct`, dataclass or TypedDict.

        Raises:
            msgspec.ValidationError: a field has another type than it names.
        """
        return _decoder_of(type).decode(self.raw)  # type: ignore[no-any-return]

    def without(self, *paths: Path) -> Object:
        """The object without what some paths lead to; a path that leads nowhere takes nothing away."""
        tree: dict[str | int, Any] = {}
        for path in paths:
            *way, last = parse_path(path)
            branch = tree
            for key in way:
                branch = branch.setdefault(key, {})
                if branch is None:
                    break
            else:
                branch[last] = None
        raw = _without(self.raw, tree)
        if raw is self.raw:
            return self
        if "metadata" in tree:
            return Object.from_bytes(raw) if tree["metadata"] is None or _touches_identity(tree) else self._with(raw)
        return self._with(raw)

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels, read-only; empty for none."""
        labels = self._details().labels
        return FrozenDict(labels) if labels else _EMPTY

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations, read-only; empty for none."""
        annotations = self._details().annotations
        return FrozenDict(annotations) if annotations else _EMPTY

    @property
    def owner_references(self) -> list[Any]:
        """The owner references in API form, read-only; empty for none."""
        try:
            owners = _decode_owners(self._metadata()).ownerReferences
        except msgspec.ValidationError:
            owners = None
        return FrozenList(freeze(owner) for owner in owners or ())

    @property
    def creation_timestamp(self) -> datetime | None:
        """When it was created."""
        return self._life().creationTimestamp

    @property
    def deletion_timestamp(self) -> datetime | None:
        """When its deletion was asked for, or, with a grace period, when that ends; None when nobody asked."""
        return self._life().deletionTimestamp

    @property
    def generation(self) -> int | None:
        """The number of the desired state, where its kind counts these."""
        return self._life().generation

    @property
    def kind(self) -> str:
        """Its kind, such as "Pod"; "" where the server gave none."""
        return self._type()[1]

    @property
    def api_version(self) -> str:
        """Its API version, such as "apps/v1"; "" where the server gave none."""
        return self._type()[0]

    def get(self, key: str, default: Any = None) -> Any:
        """A top-level part such as "spec", read-only, or the default."""
        return self.at((key,), default)

    def keys(self) -> list[str]:
        """The names of its top-level parts."""
        return list(_parts_of(self.raw))

    def __getitem__(self, key: str) -> Any:
        found = find_in_json(self.raw, (key,))
        if found is MISSING:
            raise KeyError(key)
        return found

    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError("read-only: use to_dict()")

    def __delitem__(self, key: str) -> None:
        raise TypeError("read-only: use to_dict()")

    def __contains__(self, key: object) -> bool:
        return key in _parts_of(self.raw)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(_parts_of(self.raw))

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Object):
            return NotImplemented
        if self.uid and other.uid:
            return self.uid == other.uid and self.resource_version == other.resource_version
        return self.raw == other.raw

    def __hash__(self) -> int:
        return hash((self.uid, self.resource_version) if self.uid else self.raw)

    def __repr__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"<{self.kind or 'Object'} {where} resourceVersion={self.resource_version or None}>"

    def __copy__(self) -> Object:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Object:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Object, (self.name, self.namespace, self.uid, self.resource_version, self.raw)

    def _with(self, raw: bytes) -> Object:
        return Object(self.name, self.namespace, self.uid, self.resource_version, raw)

    def _metadata(self) -> bytes:
        """The metadata's own bytes; found once, then remembered by their place."""
        raw, span = self.raw, self._span
        if span >= 0:
            start = span >> 32
            return raw[start : start + (span & 0xFFFFFFFF)]
        metadata = bytes(_decode_metadata_only(raw).metadata)
        start = raw.find(metadata)
        if start < 0 or not metadata.startswith(b"{"):
            return b"{}"
        _set(self, "_span", start << 32 | len(metadata))
        return metadata

    def _details(self) -> _Details:
        try:
            return _decode_details(self._metadata())
        except msgspec.ValidationError:
            return _Details()

    def _life(self) -> _Life:
        try:
            return _decode_life(self._metadata())
        except msgspec.ValidationError:
            return _Life()

    def _type(self) -> tuple[str, str]:
        if found := _KIND_FIRST.match(self.raw):
            return found[2].decode(), found[1].decode()
        if found := _API_VERSION_FIRST.match(self.raw):
            return found[1].decode(), found[2].decode()
        try:
            head = _decode_kind_head(self.raw)
        except msgspec.ValidationError:
            return "", ""
        return head.apiVersion, head.kind


def strip_managed_fields(obj: Any) -> Any:
    """A transform: the object without `metadata.managedFields`, a third of most objects.

    Args:
        obj: an `Object` (a copy is returned), a dict in API form or an official model (changed in place).
    """
    if type(obj) is Object:
        return obj.without(("metadata", "managedFields"))
    metadata = obj.get("metadata") if isinstance(obj, dict) else getattr(obj, "metadata", None)
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    elif getattr(metadata, "managed_fields", None) is not None:
        metadata.managed_fields = None  # type: ignore[union-attr]
    return obj


def _odd_metadata(raw: bytes, error: Exception) -> _Meta:
    """The four fields of an object whose metadata are null, missing or of other types than they should be."""
    if not isinstance(error, msgspec.ValidationError):
        raise ValueError(f"not a JSON object: {_reason(error)}") from None
    whole = _decode_whole(raw)
    if not isinstance(whole, dict):
        raise ValueError(f"not a JSON object but a {type(whole).__name__}")
    metadata = whole.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    texts = (fields.get(name) for name in ("name", "namespace", "uid", "resourceVersion"))
    return _Meta(*(text if isinstance(text, str) else "" for text in texts))


def _decode_whole(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not a JSON object: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _check_utf8(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not a JSON object: invalid UTF-8 at byte {error.start}") from None


def _parts_of(raw: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_parts(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not a JSON object: {_reason(error)}") from None


def _intern(namespace: str) -> str:
    if len(_namespaces) >= _MAX_NAMESPACES:
        _namespaces.clear()
    return _namespaces.setdefault(namespace, namespace)


@lru_cache(maxsize=256)
def _type_prefix(api_version: str, kind: str) -> bytes:
    return b'{"kind":%s,"apiVersion":%s,' % (_encode(kind), _encode(api_version))


@lru_cache(maxsize=256)
def _decoder_of(type: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type)


def _touches_identity(tree: dict[str | int, Any]) -> bool:
    return not {"name", "namespace", "uid", "resourceVersion"}.isdisjoint(tree["metadata"])


def _without(raw: bytes, tree: dict[str | int, Any]) -> bytes:
    """JSON without the leaves of a tree of keys; the very same bytes when none of them is there."""
    parts: Any
    try:
        parts = dict(_decode_parts(raw))
    except msgspec.ValidationError:
        try:
            parts = dict(enumerate(_decode_items(raw)))
        except msgspec.ValidationError:
            return raw
    is_list = not raw.lstrip()[:1] == b"{"
    changed = False
    for key, branch in tree.items():
        at = len(parts) + key if is_list and isinstance(key, int) and key < 0 else key
        if at not in parts:
            continue
        if branch is None:
            del parts[at]
            changed = True
        else:
            before = bytes(parts[at])
            after = _without(before, branch)
            if after is not before:
                parts[at] = msgspec.Raw(after)
                changed = True
    if not changed:
        return raw
    return _encode(list(parts.values()) if is_list else parts)

"""Decoders of single fields of an object's JSON: each builds only the values that it returns.

`Object` uses them: the four identity fields when an object arrives, any other field when a user reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Required, TypedDict

import msgspec

from informer.objects.decode_errors import ModelError
from informer.objects.frozen import FrozenDict, FrozenList, freeze
from informer.objects.json_edit import checked_parts_of, parts_of
from watch.deep_json import TOO_DEEP

__all__ = [
    "IDENTITY_FIELDS",
    "Identity",
    "OwnerReference",
    "TypeMeta",
    "annotations_in",
    "check_utf8",
    "copied",
    "creation_timestamp_in",
    "decode_head",
    "decode_odd_identity",
    "decode_whole",
    "deletion_timestamp_in",
    "find_metadata",
    "generation_in",
    "labels_in",
    "owner_references_in",
    "reason_of",
    "share_namespace",
    "shared_namespace",
    "too_deep",
    "type_in",
]

IDENTITY_FIELDS = ("name", "namespace", "uid", "resourceVersion")

_EMPTY = FrozenDict()


class Identity(msgspec.Struct, gc=False, frozen=True):
    """The four metadata fields that every object is read for; "" when the server sent none."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815


class OwnerReference(TypedDict, total=False):
    """A reference to an object's owner, in API form: what `Object.owner_references` contains."""

    apiVersion: Required[str]
    kind: Required[str]
    name: Required[str]
    uid: Required[str]
    controller: bool
    blockOwnerDeletion: bool


class TypeMeta(msgspec.Struct, gc=False):
    """An object's kind and apiVersion; "" when the server sent none."""

    kind: str = ""
    apiVersion: str = ""  # noqa: N815


class _Head(msgspec.Struct, gc=False):
    metadata: Identity = Identity()


class _Metadata(msgspec.Struct, gc=False):
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


# One struct per field, so that a malformed value of one field does not hide the others.
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


decode_head = msgspec.json.Decoder(_Head).decode
"""Reads `.metadata`, an `Identity`, of an object's JSON. Raises what msgspec raises; see `decode_odd_identity`."""

_decode_type = msgspec.json.Decoder(TypeMeta).decode
_decode_metadata = msgspec.json.Decoder(_Metadata).decode
_decode_labels = msgspec.json.Decoder(_Labels).decode
_decode_annotations = msgspec.json.Decoder(_Annotations).decode
_decode_owners = msgspec.json.Decoder(_Owners).decode
_decode_created = msgspec.json.Decoder(_Created).decode
_decode_deleted = msgspec.json.Decoder(_Deleted).decode
_decode_generation = msgspec.json.Decoder(_Generation).decode

# One str per namespace, shared by all its objects: a cluster has few namespaces with many objects each.
_namespaces: dict[str, str] = {}
_MAX_NAMESPACES = 65536  # a bound, since the names come from a server


shared_namespace = _namespaces.get
"""Returns the shared str of a namespace, or None when there is none yet; see `share_namespace`."""


def share_namespace(namespace: str) -> str:
    """Makes a namespace's str the shared one, and returns it."""
    if len(_namespaces) >= _MAX_NAMESPACES:
        _namespaces.clear()
    return _namespaces.setdefault(namespace, namespace)


def decode_odd_identity(raw: bytes, error: Exception) -> Identity:
    """Reads the identity of an object that `decode_head` refused.

    Its metadata is null or has fields of unexpected types, or it is nested too deeply to decode.

    Args:
        raw: the object's JSON.
        error: what `decode_head` raised.

    Raises:
        ValueError: `raw` is not one JSON object.
    """
    if not isinstance(error, (msgspec.ValidationError, RecursionError)):
        raise ValueError(f"not a JSON object: {reason_of(error)}") from None
    try:
        metadata = checked_parts_of(raw).get("metadata", b"{}")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as broken:
        raise ValueError(f"not a JSON object: {reason_of(broken)}") from None
    fields = _strings_in(metadata)
    return Identity(*(fields.get(name, "") for name in IDENTITY_FIELDS))


def decode_whole(raw: bytes) -> Any:
    """Decodes all of an object's JSON.

    Raises:
        ValueError: `raw` is not JSON, or is nested too deeply.
    """
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise too_deep() from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a JSON object: {reason_of(error)}") from None


def reason_of(error: Exception) -> str:
    """A decoder's error as text; it quotes nothing of the JSON."""
    return TOO_DEEP if isinstance(error, RecursionError) else str(error)


def too_deep() -> ModelError:
    """Returns the error for an object that is nested too deeply for a recursive decoder."""
    return ModelError("the object is nested too deeply to decode: its attribute raw has the JSON")


def check_utf8(raw: bytes) -> None:
    """Raises ValueError when `raw` is not UTF-8. The decoders check only the strings that they return."""
    bad = -1
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        bad = error.start
    # Raised outside of the handler: the UnicodeDecodeError holds the object's bytes and would become this error's context.
    if bad >= 0:
        raise ValueError(f"not a JSON object: invalid UTF-8 at byte {bad}")


def copied(raw: Any) -> bytes:
    """Returns the content of a bytes-like object as bytes; raises TypeError for any other value."""
    try:
        return bytes(memoryview(raw))
    except TypeError:
        raise TypeError(f"an object's JSON is bytes, not {type(raw).__name__}") from None


def find_metadata(raw: bytes) -> bytes:
    """The JSON of an object's metadata; b"{}" when it has none."""
    try:
        metadata = bytes(_decode_metadata(raw).metadata).strip()
    except RecursionError:
        metadata = bytes(parts_of(raw).get("metadata", b"{}")).strip()
    return metadata if metadata.startswith(b"{") else b"{}"


def type_in(raw: bytes) -> TypeMeta:
    """The kind and apiVersion of an object's JSON."""
    try:
        return _decode_type(raw)
    except msgspec.ValidationError:
        return TypeMeta()
    except RecursionError:
        fields = _strings_in(raw)
        return TypeMeta(fields.get("kind", ""), fields.get("apiVersion", ""))


# The functions below take the JSON of the metadata, as `find_metadata` returns it.


def labels_in(metadata: bytes) -> Mapping[str, str]:
    """The labels; values that are not strings are left out."""
    try:
        labels = _decode_labels(metadata).labels
    except (msgspec.ValidationError, RecursionError):
        labels = _strings_in(parts_of(metadata).get("labels", b"{}"))
    return FrozenDict(labels) if labels else _EMPTY


def annotations_in(metadata: bytes) -> Mapping[str, str]:
    """The annotations; values that are not strings are left out."""
    try:
        annotations = _decode_annotations(metadata).annotations
    except (msgspec.ValidationError, RecursionError):
        annotations = _strings_in(parts_of(metadata).get("annotations", b"{}"))
    return FrozenDict(annotations) if annotations else _EMPTY


def owner_references_in(metadata: bytes) -> list[OwnerReference]:
    """The owner references in API form; an empty list when the field is missing or malformed."""
    try:
        return freeze(_decoded(_decode_owners, metadata, "ownerReferences") or [])  # type: ignore[no-any-return]
    except (msgspec.ValidationError, RecursionError):
        return FrozenList()


def creation_timestamp_in(metadata: bytes) -> datetime | None:
    """The creationTimestamp; None when it is missing or malformed."""
    try:
        return _decoded(_decode_created, metadata, "creationTimestamp")  # type: ignore[no-any-return]
    except (msgspec.ValidationError, RecursionError):
        return None


def deletion_timestamp_in(metadata: bytes) -> datetime | None:
    """The deletionTimestamp; None when it is missing or malformed."""
    try:
        return _decoded(_decode_deleted, metadata, "deletionTimestamp")  # type: ignore[no-any-return]
    except (msgspec.ValidationError, RecursionError):
        return None


def generation_in(metadata: bytes) -> int | None:
    """The generation; None when it is missing or malformed."""
    try:
        return _decoded(_decode_generation, metadata, "generation")  # type: ignore[no-any-return]
    except (msgspec.ValidationError, RecursionError):
        return None


def _decoded(decode: Callable[[bytes], Any], metadata: bytes, field: str) -> Any:
    """Decodes one field of the metadata, alone if the other fields are nested too deeply."""
    try:
        return getattr(decode(metadata), field)
    except RecursionError:
        return getattr(decode(b'{"%b":%b}' % (field.encode(), parts_of(metadata).get(field, b"null"))), field)


def _strings_in(raw: bytes | msgspec.Raw) -> dict[str, str]:
    """The fields of a JSON object whose values are strings; empty when `raw` is another JSON value."""
    try:
        parts = parts_of(raw)
    except msgspec.ValidationError:
        return {}
    return {key: msgspec.json.decode(part) for key, part in parts.items() if bytes(part).startswith(b'"')}

"""`ProtobufObject`: an `Object` whose bytes are protobuf."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from typing_extensions import override

from informer.objects.form import Form, code_of
from informer.objects.frozen import freeze
from informer.objects.json_edit import tree_of
from informer.objects.object import Object
from informer.objects.object_fields import OwnerReference, share_namespace, shared_namespace
from informer.objects.paths import MISSING, Path, parse_path, walk
from informer.objects.type_decoders import decoder_for, wanted_fields
from informer.protobuf.edit import without_fields, without_managed_fields
from informer.protobuf.identity import identity_in
from informer.protobuf.kinds import PARTIAL_METADATA, Kind
from informer.protobuf.plan import Mask, Plan, frozen_mask, plan_for
from informer.protobuf.values import deep_values

__all__ = ["ProtobufObject"]

S = TypeVar("S")

_encode = msgspec.json.encode
_PARTIAL = Kind("", "", PARTIAL_METADATA)
_TYPE_FIELDS = ("kind", "apiVersion")
_MANAGED_FIELDS = (("metadata", "managedFields"),)


class ProtobufObject(Object, gc=False, frozen=True, eq=False):
    """An `Object` that the server sent in protobuf, because of `wire="protobuf"` or `metadata_only=True`.

    It is used like any `Object`. `raw` is the protobuf message; `to_json` returns the object as JSON. Reading a field walks the
    message and decodes no other field.

    Threads: any.
    """

    protobuf_kind: Kind = _PARTIAL

    @classmethod
    def of(cls, raw: bytes, kind: Kind) -> ProtobufObject:
        """Makes an object from its message, of which only name, namespace, uid and resourceVersion are decoded.

        Args:
            raw: the object's message, without the envelope of an answer.
            kind: the object's kind, and so the type of the message.

        Raises:
            ValueError: the bytes are not a protobuf message.
        """
        name, namespace, uid, version = identity_in(raw)
        namespace = shared_namespace(namespace) or share_namespace(namespace)
        return cls(name, namespace, uid, version, raw, -1, kind)

    @override
    def to_json(self) -> bytes:
        return _encode(self.to_dict())

    @override
    def to_dict(self) -> dict[str, Any]:
        """Returns the whole object in API form: a copy that you can change.

        Raises:
            UnknownFieldError: the object has a field that this version of the library does not know.
            ValueError: the bytes are not a message of this kind.
        """
        return self._typed(self._read(plan_for(self.protobuf_kind.message)))

    @override
    def view(self, type: type[S]) -> S:
        plan = _plan_of(self.protobuf_kind.message, type)  # type: ignore[arg-type]
        found: S = decoder_for(type)(_encode(self._typed(self._read(plan))))  # type: ignore[arg-type]
        return found

    @override
    def without(self, *paths: Path) -> Object:
        kind = self.protobuf_kind
        if paths == _MANAGED_FIELDS:
            raw = without_managed_fields(self.raw, kind.message)
            if raw is self.raw:
                return self
            return ProtobufObject(self.name, self.namespace, self.uid, self.resource_version, raw, -1, kind)
        tree = tree_of(tuple(parse_path(path) for path in paths))
        if not tree.keys().isdisjoint(_TYPE_FIELDS):
            return Object.from_bytes(self.to_json()).without(*paths)
        raw = without_fields(self.raw, kind.message, tree)
        return self if raw is self.raw else ProtobufObject.of(raw, kind)

    @property
    @override
    def labels(self) -> Any:
        return self._metadata_field("labels", {})

    @property
    @override
    def annotations(self) -> Any:
        return self._metadata_field("annotations", {})

    @property
    @override
    def owner_references(self) -> list[OwnerReference]:
        return self._metadata_field("ownerReferences", [])  # type: ignore[no-any-return]

    @property
    @override
    def creation_timestamp(self) -> datetime | None:
        return _moment(self._metadata_field("creationTimestamp", None))

    @property
    @override
    def deletion_timestamp(self) -> datetime | None:
        return _moment(self._metadata_field("deletionTimestamp", None))

    @property
    @override
    def generation(self) -> int | None:
        return self._metadata_field("generation", None)  # type: ignore[no-any-return]

    @property
    @override
    def kind(self) -> str:
        return self.protobuf_kind.kind

    @property
    @override
    def api_version(self) -> str:
        return self.protobuf_kind.api_version

    @property
    @override
    def form(self) -> Form:
        return self.protobuf_kind.api_version, self.protobuf_kind.kind

    @override
    def form_code(self) -> int:
        return code_of(self.protobuf_kind.api_version, self.protobuf_kind.kind)

    @override
    def find(self, keys: tuple[str | int, ...]) -> Any:
        if keys[0] in _TYPE_FIELDS:
            return walk(self._typed({}), keys)
        return self._read_frozen(_plan_to(self.protobuf_kind.message, keys), keys)

    @override
    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._part(key) is not MISSING

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    @override
    def __len__(self) -> int:
        return len(self._fields())

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.name, self.namespace, self.uid, self.resource_version, self.raw, -1, self.protobuf_kind)
        return ProtobufObject, fields

    @override
    def _part(self, key: Any) -> Any:
        return self.find((key,)) if isinstance(key, str) else MISSING

    def _metadata_field(self, name: str, default: Any) -> Any:
        found = self.find(("metadata", name))
        return freeze(default) if found is MISSING or found is None else found

    def _read(self, plan: Plan) -> dict[str, Any]:
        try:
            return plan.read(self.raw, 0, len(self.raw))
        except RecursionError:
            raise ValueError("the object is nested too deeply to be decoded; raw has its bytes") from None

    def _read_frozen(self, plan: Plan, keys: tuple[str | int, ...]) -> Any:
        """Reads what is not to be changed. JSON in it, such as managedFields, may be as deep as an API server accepts."""
        # From Python 3.12, the decoder takes more levels than `freeze`.
        try:
            return freeze(walk(plan.read(self.raw, 0, len(self.raw)), keys))
        except RecursionError:
            with deep_values(freeze):
                return freeze(walk(self._read(plan), keys))

    def _fields(self) -> dict[str, Any]:
        return self._typed(self._read_frozen(plan_for(self.protobuf_kind.message), ()))

    def _typed(self, read: dict[str, Any]) -> dict[str, Any]:
        kind = self.protobuf_kind
        return {"kind": kind.kind, "apiVersion": kind.api_version, **read} if kind.kind else read


@lru_cache(maxsize=4096)
def _plan_to(message: str, keys: tuple[str | int, ...]) -> Plan:
    """Returns a plan that reads the fields on the way to a path. It reads all items of a list, whatever the path's index."""
    mask: Mask = None
    for key in reversed(keys):
        if isinstance(key, str):
            mask = ((key, mask),)
    return plan_for(message, mask)


@lru_cache(maxsize=1024)
def _plan_of(message: str, kind: Any) -> Plan:
    """Returns a plan that reads the fields that a user's type names."""
    return plan_for(message, frozen_mask(wanted_fields(kind)))


def _moment(text: Any) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

"""The table of the built-in kinds: which message a kind is written as, and how the message's fields are named in JSON.

The table comes from the Go types (tools/protobuf_kinds), for one version of Kubernetes. It is read when the first object in
protobuf is decoded.
"""

from __future__ import annotations

import gzip
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

import msgspec

__all__ = [
    "PARTIAL_METADATA",
    "FieldType",
    "Kind",
    "kind_named",
    "kubernetes_version",
    "message_fields",
    "metadata_kind",
]

PARTIAL_METADATA = "k8s.io/apimachinery/pkg/apis/meta/v1.PartialObjectMetadata"
"""The message of an object of which only the metadata were requested."""


class FieldType(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A field of a message.

    Attributes:
        number: its number on the wire.
        name: its name in JSON; "" for a message whose fields stand in JSON beside those of the message around it.
        shape: "one", "list" or "map"; the keys of a map are strings.
        flags: "pointer", "omitempty" and "omitzero", as the Go type has them.
        value: the type of a value: a scalar such as "string", a special form such as "quantity", or the name of a message.
    """

    number: int
    name: str
    shape: str
    flags: tuple[str, ...]
    value: str


class _Table(msgspec.Struct, frozen=True):
    kubernetes: str
    kinds: dict[str, str]
    types: dict[str, msgspec.Raw]  # each is decoded when it is first needed: a program needs a few of them


class Kind(NamedTuple):
    """What an object in protobuf is: its apiVersion and kind, and the message that its bytes are."""

    api_version: str
    kind: str
    message: str


@cache
def _table() -> _Table:
    packed = files("informer.protobuf").joinpath("kinds.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(packed), type=_Table)


def kubernetes_version() -> tuple[int, int]:
    """Returns the version of Kubernetes that the table is from, as (major, minor)."""
    major, minor, *_ = _table().kubernetes.split(".")
    return int(major), int(minor)


@lru_cache(maxsize=1024)
def kind_named(api_version: str, kind: str) -> Kind | None:
    """Returns a built-in kind; None for one that the table does not have, such as a custom resource."""
    message = _table().kinds.get(f"{api_version}/{kind}")
    return None if message is None else Kind(api_version, kind, message)


def metadata_kind(api_version: str, kind: str) -> Kind:
    """Returns the kind of an object of which only the metadata were requested; it may be a custom resource's."""
    return Kind(api_version, kind, PARTIAL_METADATA)


@lru_cache(maxsize=2048)
def message_fields(message: str) -> tuple[FieldType, ...]:
    """Returns the fields of a message of the table, by ascending numbers.

    Raises:
        KeyError: the table does not have the message.
    """
    return msgspec.json.decode(_table().types[message], type=tuple[FieldType, ...])

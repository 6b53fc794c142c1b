"""The table of the built-in kinds: the message of each kind, and the name and type in JSON of each of its fields.

tools/protobuf_kinds makes the table from the Go types of one version of Kubernetes. It is loaded when it is first needed.
"""

from __future__ import annotations

import gzip
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

import msgspec

__all__ = [
    "DELETE_OPTIONS",
    "PARTIAL_METADATA",
    "FieldType",
    "Kind",
    "kind_named",
    "kubernetes_version",
    "message_fields",
    "metadata_kind",
]

PARTIAL_METADATA = "k8s.io/apimachinery/pkg/apis/meta/v1.PartialObjectMetadata"
"""The message of an object if only its metadata was requested."""

DELETE_OPTIONS = "k8s.io/apimachinery/pkg/apis/meta/v1.DeleteOptions"
"""The message of the options of a deletion."""


class FieldType(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A field of a message.

    Attributes:
        number: its number on the wire.
        name: its name in JSON; "" for an inlined message, whose fields are in JSON fields of the outer message.
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
    """The type of an object in protobuf: its apiVersion and kind, and the name of its message in the table."""

    api_version: str
    kind: str
    message: str


@cache
def _table() -> _Table:
    packed = files("informer.protobuf").joinpath("kinds.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(packed), type=_Table)


def kubernetes_version() -> tuple[int, int]:
    """Returns the version of Kubernetes for which the table was made, as (major, minor)."""
    major, minor, *_ = _table().kubernetes.split(".")
    return int(major), int(minor)


@lru_cache(maxsize=1024)
def kind_named(api_version: str, kind: str) -> Kind | None:
    """Returns a built-in kind; None if the table does not have it, as for a custom resource."""
    message = _table().kinds.get(f"{api_version}/{kind}")
    return None if message is None else Kind(api_version, kind, message)


def metadata_kind(api_version: str, kind: str) -> Kind:
    """Returns the kind of an object of which only the metadata was requested. It may be a custom resource."""
    return Kind(api_version, kind, PARTIAL_METADATA)


@lru_cache(maxsize=2048)
def message_fields(message: str) -> tuple[FieldType, ...]:
    """Returns the fields of a message, ordered by number.

    Raises:
        KeyError: the table does not have the message.
    """
    return msgspec.json.decode(_table().types[message], type=tuple[FieldType, ...])

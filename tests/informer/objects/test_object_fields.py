"""Decoders of single fields: what each returns for missing and malformed values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from informer.objects import object_fields
from informer.objects.object_fields import (
    TypeMeta,
    annotations_in,
    check_utf8,
    creation_timestamp_in,
    deletion_timestamp_in,
    find_metadata,
    generation_in,
    labels_in,
    owner_references_in,
    share_namespace,
    shared_namespace,
    type_in,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"kind":"Pod","metadata": {"name":"web"} ,"spec":{}}', b'{"name":"web"}'),
        (b'{"kind":"Pod"}', b"{}"),
        (b'{"metadata":null}', b"{}"),
        (b'{"metadata":[1]}', b"{}"),
    ],
)
def test_find_metadata_returns_json_of_an_object(raw: bytes, expected: bytes) -> None:
    """Missing metadata, and metadata of another JSON type, give "{}"."""
    assert find_metadata(raw) == expected


@pytest.mark.parametrize(
    ("read", "field", "empty"),
    [
        (labels_in, "labels", {}),
        (annotations_in, "annotations", {}),
        (owner_references_in, "ownerReferences", []),
        (creation_timestamp_in, "creationTimestamp", None),
        (deletion_timestamp_in, "deletionTimestamp", None),
        (generation_in, "generation", None),
    ],
)
@pytest.mark.parametrize("value", ["", "null", "true", '"text"'])
def test_missing_and_malformed_fields_are_empty(
    read: Callable[[bytes], Any], field: str, empty: Any, value: str
) -> None:
    """A server can send any JSON: reading a field never raises because of its type."""
    assert read(f'{{"{field}":{value}}}'.encode() if value else b"{}") == empty


def test_a_malformed_type_is_empty() -> None:
    """Kind and apiVersion are read together."""
    assert type_in(b'{"kind":"Pod","apiVersion":"v1"}') == TypeMeta("Pod", "v1")
    assert type_in(b'{"kind":1,"apiVersion":"v1"}') == TypeMeta()


def test_invalid_utf8_is_reported_by_its_place() -> None:
    """The error and its context quote nothing of the bytes."""
    with pytest.raises(ValueError, match="invalid UTF-8 at byte 2") as caught:
        check_utf8(b"ab\xffcd")
    assert caught.value.__context__ is None


def test_the_shared_namespaces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come from a server: when there are too many, the shared strings are forgotten."""
    monkeypatch.setattr(object_fields, "_MAX_NAMESPACES", 2)
    monkeypatch.setattr(object_fields, "_namespaces", {})
    for name in ("one", "two", "three"):
        assert share_namespace(name) == name
    assert object_fields._namespaces == {"three": "three"}


def test_a_shared_namespace_is_returned_again() -> None:
    """Objects of one namespace hold the same string."""
    name = share_namespace("".join(["shared-", "namespace"]))
    assert shared_namespace("".join(["shared", "-namespace"])) is name

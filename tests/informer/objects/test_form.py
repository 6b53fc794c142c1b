"""The form of an object: its apiVersion and kind, whichever way it is stored."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import V1ObjectMeta, V1Pod

from informer import Object
from informer.cache.relist import is_same_state
from informer.objects.entry import Entry
from informer.objects.form import code_in, code_of, form_in, form_of, have_same_form

META = b'"metadata":{"name":"a","uid":"u","resourceVersion":"5"}'


def of(api_version: str, kind: str = "Widget") -> Object:
    return Object.from_list_item(b"{%s}" % META, api_version, kind)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"kind":"Widget","apiVersion":"a/v1",%s}' % META,
        b'{"apiVersion":"a/v1","kind":"Widget",%s}' % META,
        b'{ "apiVersion": "a/v1", "kind": "Widget", %s}' % META,
        b'{%s,"kind":"Widget","apiVersion":"a/v1"}' % META,
        b'{"apiVersion":"a/v1",%s,"kind":"Widget"}' % META,
        b'{"apiVersion":"a\\/v1","kind":"Widget",%s}' % META,
    ],
    ids=["built-in", "custom", "spaces", "at the end", "apart", "escaped"],
)
def test_the_form_is_read_wherever_it_stands(raw: bytes) -> None:
    """Equal forms compare as equal, and as different from another version, however the JSON is laid out."""
    obj = Object.from_bytes(raw)
    assert form_in(raw) == form_of(obj) == obj.form == ("a/v1", "Widget")
    for other in (of("a/v1"), Object.from_bytes(raw)):
        assert is_same_state(obj, other)
        assert is_same_state(other, obj)
    for other in (of("a/v1beta1"), of("a/v1", "Gadget")):
        assert not is_same_state(obj, other)
        assert not is_same_state(other, obj)


def test_reading_metadata_changes_nothing() -> None:
    """An object remembers either where its metadata are or the number of its form."""
    old, same, new = of("a/v1beta1"), of("a/v1beta1"), of("a/v1")
    for obj in (old, same, new):
        assert obj.form_code() == code_in(obj.raw) == code_of(*obj.form)
        assert obj.labels == {}
        assert obj.form_code() == code_in(obj.raw)
    assert is_same_state(old, same)
    assert not is_same_state(old, new)


def test_an_object_without_parts_keeps_its_form_unless_that_is_removed() -> None:
    """`without` copies the number only where it still applies."""
    obj = of("a/v1")
    assert obj.without("metadata.labels", "metadata.name").form == ("a/v1", "Widget")
    smaller = Object.from_bytes(b'{"kind":"Widget","apiVersion":"a/v1",%s,"spec":{}}' % META)
    assert smaller.form_code() < -1
    assert smaller.without("spec").form_code() == smaller.form_code()
    assert smaller.without("apiVersion").form == ("", "Widget")
    assert smaller.without("apiVersion").form_code() == 0


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ({"apiVersion": "a/v1", "kind": "W"}, {"apiVersion": "a/v1", "kind": "W"}, True),
        ({"apiVersion": "a/v1beta1", "kind": "W"}, {"apiVersion": "a/v1", "kind": "W"}, False),
        ({"apiVersion": "a/v1", "kind": "W"}, {"apiVersion": "a/v1", "kind": "X"}, False),
        ({"apiVersion": "a/v1", "kind": "W"}, {}, True),
        ({}, {}, True),
        ({"apiVersion": 5}, {"apiVersion": "a/v1"}, True),
    ],
)
def test_other_objects_have_a_form_if_they_say_so(old: dict[str, Any], new: dict[str, Any], same: bool) -> None:
    """Items of a list may not say their type, as in the official client's lists."""
    metadata = {"name": "a", "uid": "u", "resourceVersion": "5"}
    assert is_same_state(old | {"metadata": metadata}, new | {"metadata": metadata}) is same
    meta = V1ObjectMeta(name="a", uid="u", resource_version="5")
    models = [
        V1Pod(api_version=each.get("apiVersion"), kind=each.get("kind"), metadata=meta)
        for each in (old, new)
        if each.get("apiVersion") != 5
    ]
    if len(models) == 2:
        assert is_same_state(*models) is same
    entries = [Entry("a", "", "u", "5", None, form_of(each)) for each in (old, new)]
    assert is_same_state(*entries) is same


def test_an_object_that_cannot_be_read_has_any_form() -> None:
    """Objects of users may have attributes that raise."""

    class Raising:
        @property
        def kind(self) -> str:
            raise RuntimeError("no")

    assert have_same_form(Raising(), Raising())

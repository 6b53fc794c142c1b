"""An `Object` that is nested as deeply as an API server accepts: what can be read of it, and what raises."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from kubernetes.client import V1ControllerRevision

from informer import Object, index_by, strip_managed_fields
from informer.listwatch.list_parser import ListParser
from informer.objects.models import model_for

LEVELS = pytest.mark.parametrize("levels", [1_200, 9_000])
TOO_DEEP = "the object is nested too deeply to decode: its attribute raw has the JSON"
META = (
    b'"name":"web","namespace":"shop","uid":"u","resourceVersion":"5","labels":{"app":"web","n":1},"annotations":{"k":"v"},'
    b'"generation":3,"creationTimestamp":"2026-11-28T10:00:00Z","deletionTimestamp":null,'
    b'"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"o"}]'
)


def deep(levels: int, brackets: int = 0) -> bytes:
    opening, closing = ((b'{"metadata":{"name":"no"},"a":', b"}"), (b"[", b"]"))[brackets]
    return opening * levels + b'"\\"}{"' + closing * levels


def forms(levels: int) -> dict[str, bytes]:
    one, other = deep(levels), deep(levels, 1)
    head = b'{"kind":"Widget","apiVersion":"example.com/v1",'
    return {
        "behind": head + b'"metadata":{%b},"spec":{"n":"1","items":[7]},"deep":%b}' % (META, one),
        "before": b'{"deep":%b,"metadata":{%b},"spec":{"n":"1","items":[7]},"kind":"Widget","apiVersion":"example.com/v1"}'
        % (other, META),
        "in the metadata": head + b'"metadata":{"managedFields":[%b],%b},"spec":{"n":"1","items":[7]}}' % (one, META),
        "in the metadata, with space": b'{ "metadata" : {%b, "x\\"" : %b },"spec":{"n":"1","items":[7]},'
        b'"kind":"Widget","apiVersion":"example.com/v1"}' % (META, other),
        "escaped keys": head + b'"deep":%b,"met\\u0061data":{%b},"spec":{"n":"1","items":[7]}}' % (one, META),
        "beside what is read": head + b'"metadata":{%b},"spec":{"deep":%b,"n":"1","items":[7]}}' % (META, other),
    }


@LEVELS
@pytest.mark.parametrize("form", forms(1))
def test_what_is_beside_the_deep_value_is_read(levels: int, form: str) -> None:
    """Identity, metadata, values at paths and copies without fields are those of the JSON."""
    raw = forms(levels)[form]
    obj = Object.from_bytes(raw)
    assert (obj.name, obj.namespace, obj.uid, obj.resource_version) == ("web", "shop", "u", "5")
    assert (obj.kind, obj.api_version, obj.raw) == ("Widget", "example.com/v1", raw)
    for _ in range(2):  # the second time the place of the metadata is known
        assert dict(obj.labels) == {"app": "web"}
        assert dict(obj.annotations) == {"k": "v"}
        assert (obj.generation, obj.deletion_timestamp) == (3, None)
        assert obj.creation_timestamp == datetime.fromisoformat("2026-11-28T10:00:00Z")
        assert [owner["uid"] for owner in obj.owner_references] == ["o"]
        assert obj.at("metadata.labels.app") == "web"
    assert (obj.at("spec.n"), obj.at("spec.items"), obj.at(("spec", "items", -1)), obj.at("spec.n.x")) == (
        "1",
        [7],
        7,
        None,
    )
    assert (obj.at("spec.none"), obj.at(("spec", "items", 1)), obj.get("none"), "spec" in obj) == (
        None,
        None,
        None,
        True,
    )
    assert index_by("spec.n")(obj) == ["1"]
    assert len(obj) == len(list(obj.keys()))
    smaller = obj.without("spec.items", "kind")
    assert (smaller.at("spec.items"), smaller.at("spec.n"), smaller.kind, smaller.name) == (None, "1", "", "web")
    assert strip_managed_fields(obj).at("metadata.labels.app") == "web"
    assert repr(obj) == "<Widget shop/web resourceVersion=5>"
    assert pickle.loads(pickle.dumps(obj)) == obj == copy.deepcopy(obj)
    assert hash(obj) == hash(Object.from_bytes(raw))
    item = Object.from_list_item(raw, "example.com/v1", "Widget")
    assert (item.name, item.kind) == ("web", "Widget")
    flat = obj.without("deep", "spec.deep", "metadata.managedFields", ("metadata", 'x"'))
    assert flat.to_dict()["metadata"]["name"] == "web"


@dataclasses.dataclass
class Whole:
    deep: Any = None


class Struct(msgspec.Struct):
    deep: Any = None


@LEVELS
@pytest.mark.parametrize("brackets", [0, 1])
def test_a_deep_value_is_read_without_recursion(levels: int, brackets: int) -> None:
    """A deep value can be read by key or path, and is read-only at every level."""
    obj = Object.from_bytes(b'{"metadata":{"name":"web","deep":%b}}' % deep(levels, brackets))
    metadata = obj["metadata"]
    assert metadata["name"] == "web"
    for found in (metadata["deep"], obj.at("metadata.deep"), *[value["deep"] for value in obj.values()]):
        reached = 0
        while isinstance(found, (dict, list)):
            with pytest.raises(TypeError, match="read-only"):
                found.clear()
            found = found[0] if brackets else found["a"]
            reached += 1
        assert (reached, found) == (levels, '"}{')


@LEVELS
def test_what_decodes_the_whole_object_succeeds_or_raises_one_clear_error(levels: int) -> None:
    """The error is a ValueError, never a RecursionError; `raw` still has the bytes."""
    obj = Object.from_bytes(forms(levels)["behind"])
    reads: list[Any] = [
        obj.to_dict,
        lambda: obj.view(Struct),
        lambda: obj.view(Whole),
        lambda: model_for(dict).wrap(obj),
        lambda: model_for(Struct).wrap(obj),
        lambda: model_for(Whole).wrap(obj),
    ]
    for read in reads:
        with refused_before_3_12(TOO_DEEP):
            read()
    revision = Object.from_bytes(b'{"metadata":{"name":"r"},"revision":1,"data":%b}' % deep(levels))
    with refused_before_3_12("does not decode to V1ControllerRevision"):
        model_for(V1ControllerRevision).wrap(revision)


@contextmanager
def refused_before_3_12(message: str) -> Iterator[None]:
    """Expects a short ValueError. From Python 3.12, the decoder takes as many levels as an API server."""
    shown = None
    try:
        yield
    except ValueError as error:
        shown = str(error)
    if shown is None:
        assert sys.version_info >= (3, 12)
    else:
        assert message in shown
        assert len(shown) < 500


@LEVELS
@pytest.mark.parametrize("form", forms(1))
@pytest.mark.parametrize("size", [700, 1 << 20])
def test_a_list_with_a_deep_item(levels: int, form: str, size: int) -> None:
    """A deep item, and the items after it, are read from pieces of any size."""
    raw = forms(levels)[form]
    body = (
        b'{"kind":"WidgetList","apiVersion":"example.com/v1","metadata":{},"items":[{"metadata":{"name":"a"}},%b,%b]}'
    )
    body %= (raw, b'{"metadata":{"name":"c"}}')
    parser = ListParser(Object.from_list_item, 1 << 20, on_bad_item=lambda raw, error: pytest.fail(str(error)))
    items = [item for at in range(0, len(body), size) for item in parser.feed(body[at : at + size])]
    items += parser.last_items()
    assert [item.name for item in items] == ["a", "web", "c"]


def test_a_list_that_is_deep_outside_its_items_is_an_error() -> None:
    """The error is short, and not a RecursionError."""
    for head, tail in ((b'"x":%b,' % deep(2_000), b""), (b"", b',"x":%b' % deep(2_000))):
        parser = ListParser(Object.from_list_item, 1 << 20, on_bad_item=lambda raw, error: None)
        with refused_before_3_12("list"):
            list(parser.feed(b'{%b"items":[]%b}' % (head, tail)))
            list(parser.last_items())


def test_near_the_end_of_the_stack_nothing_is_damaged() -> None:
    """A thread that has little stack left gets the value or an error, and the object is what it was."""
    obj = Object.from_bytes(forms(1_200)["in the metadata"])
    seen: list[str] = []
    limit = sys.getrecursionlimit()

    def descend(depth: int = 0) -> None:
        # Each level near the end, and some of the many before it, which take the most time.
        if depth % 10 == 0 or depth > limit * 3 // 4:
            read()
        descend(depth + 1)

    def read() -> None:
        try:
            assert obj.labels["app"] == "web"
            assert obj.at("spec.n") == "1"
            Object.from_bytes(obj.raw)
            seen.append("read")
        except (ValueError, RecursionError) as error:
            seen.append(type(error).__name__)

    with pytest.raises(RecursionError):
        descend()
    assert seen.count("read") > limit // 40
    assert obj.labels["app"] == "web"


VALUES = st.recursive(
    st.none()
    | st.integers(-9, 9)
    | st.sampled_from(["", "web", '"},{"metadata":{"name":"x"}}', "\\", '\\"', "[[", "}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["metadata", "name", "kind", 'a"', "b\\"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["name", "namespace", "uid", "resourceVersion", "labels", "x"]), VALUES),
    st.dictionaries(st.sampled_from(["kind", "apiVersion", "spec", "data", "items"]), VALUES),
    st.integers(1_000, 9_900),
    st.sampled_from([0, 1]),
    st.sampled_from(["first", "last", "in the metadata"]),
    st.booleans(),
)
def test_a_deep_object_says_what_it_says_without_the_deep_value(
    metadata: dict[str, Any], fields: dict[str, Any], levels: int, brackets: int, where: str, escaped: bool
) -> None:
    """Fields of any shape are read the same beside a deep value, also with lookalikes, escapes and brackets in strings."""
    flat = Object.from_dict({"metadata": metadata, **fields})
    value = deep(levels, brackets)
    marked = {**metadata, "zz": 0} if where == "in the metadata" else metadata
    raw = json.dumps({"metadata": marked, **fields}).encode()
    if where == "first":
        raw = b'{"zz":%b,' % value + raw[1:]
    elif where == "last":
        raw = raw[:-1] + b',"zz":%b}' % value
    else:
        raw = raw.replace(b'"zz": 0', b'"zz": ' + value, 1)
    if escaped:
        raw = raw.replace(b'"metadata": {', b'"m\\u0065tadata": {', 1)
    obj = Object.from_bytes(raw)
    for name in (
        "name",
        "namespace",
        "uid",
        "resource_version",
        "labels",
        "annotations",
        "kind",
        "api_version",
        "form",
    ):
        assert getattr(obj, name) == getattr(flat, name), name
    for key in fields:
        assert obj[key] == flat[key]
    path = ("metadata", "zz") if where == "in the metadata" else ("zz",)
    assert obj.without(path).to_dict() == flat.to_dict()

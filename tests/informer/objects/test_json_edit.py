"""Edits of undecoded JSON, compared with the same edit of the decoded dict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from informer.objects.json_edit import parts_of, tree_of, with_type, without

KEYS = ["metadata", "name", "labels", "a", "b", "app.kubernetes.io/name", 'q"uote', "é", "kind", "apiVersion", ""]

scalars = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", '"', "é", "\\", "}", '"metadata":'])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
paths = st.lists(st.sampled_from(KEYS[:-1]) | st.integers(-3, 3), min_size=1, max_size=4).map(tuple)
layouts = st.sampled_from([{"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])


def removed(value: Any, path: Sequence[str | int]) -> None:
    """Removes the value at a path from a decoded value, leaving a hole in a list so that indices stay."""
    *way, last = path
    for key in way:
        if not holds(value, key):
            return
        value = value[key]
    if not holds(value, last):
        return
    if isinstance(value, dict):
        del value[last]
    else:
        value[last] = HOLE


def holds(value: Any, key: str | int) -> bool:
    if isinstance(key, str):
        return isinstance(value, dict) and key in value
    return isinstance(value, list) and -len(value) <= key < len(value)


HOLE = {"a hole": "left by a list's item"}


def closed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: closed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [closed(item) for item in value if item is not HOLE]
    return value


@given(objects, st.lists(paths, max_size=4), layouts)
@example({"metadata": {"a": 1, "b": 2}}, [("metadata", "a")], {"separators": (",", ":")})
@example({"a": [1, 2, 3]}, [("a", 0), ("a", -1), ("a", 2)], {"separators": (",", ":")})
@example({"a": [[1], [2]]}, [("a", 1, 0), ("a", -1)], {"separators": (",", ":")})
@example(
    {"metadata": {"name": "x"}, "a": {"metadata": {"name": 1}}}, [("metadata", "name")], {"separators": (",", ":")}
)
def test_without_equals_deleting_from_the_dict(
    value: dict[str, Any], ways: list[tuple[str | int, ...]], layout: dict[str, Any]
) -> None:
    """For any object, layout and paths, the result decodes to the dict without the values at the paths."""
    raw = json.dumps(value, **layout).encode()
    expected = json.loads(raw)
    for way in ways:
        removed(expected, way)
    expected = closed(expected)
    result = without(raw, tree_of(tuple(ways)))
    assert json.loads(result) == expected
    assert list(json.loads(result)) == list(expected)
    if expected == value:
        assert result is raw


@given(objects, st.lists(paths, max_size=3))
def test_a_path_covers_the_paths_below_it(value: dict[str, Any], ways: list[tuple[str | int, ...]]) -> None:
    """When one path lies below another, the shorter one decides, in either order."""
    both = [*ways, *((*way, "b") for way in ways)]
    raw = json.dumps(value).encode()
    expected = without(raw, tree_of(tuple(ways)))
    assert without(raw, tree_of(tuple(both))) == without(raw, tree_of(tuple(reversed(both)))) == expected


SERVER = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","managedFields":[{"x":1}]},"spec":{"n":1}}'
STRIP = tree_of((("metadata", "managedFields"),))


@pytest.mark.parametrize(
    "raw",
    [
        SERVER,
        SERVER.replace(b'"kind":"Pod","apiVersion":"v1",', b""),
        SERVER.replace(b'"kind":"Pod","apiVersion":"v1"', b'"apiVersion":"v1","kind":"Pod"'),
        SERVER.replace(b":", b" : "),
        SERVER.replace(b'"spec"', b'"metadata":{"name":"b","managedFields":[]},"spec"'),
        SERVER.replace(b"}}", b'},"metadata":{"name":"a","managedFields":[{"x":1}]}}'),
        SERVER.replace(b'"spec":{"n":1}', b'"spec":{"template":{"metadata":{"managedFields":1}}}'),
        SERVER.replace(b'"name":"a"', b'"name":"a","name":"b"'),
        SERVER.replace(b'"metadata"', b'"meta\\u0064ata"'),
        SERVER.replace(b'"managedFields"', b'"managed\\u0046ields"'),
        SERVER.replace(b'"name":"a",', b""),
        SERVER.replace(b'"a"', b'"\xc3\xa9"'),
        b'{"spec":{"n":1},"metadata":{"name":"a","managedFields":[{"x":1}]}}',
    ],
    ids=[
        "as servers write it",
        "without its kind",
        "apiVersion first",
        "spaces",
        "metadata twice",
        "the same metadata twice",
        "metadata inside",
        "a name twice",
        "escaped metadata",
        "escaped field",
        "alone in its metadata",
        "not ASCII",
        "metadata last",
    ],
)
def test_removing_metadata_fields_works_for_every_layout(raw: bytes) -> None:
    """The fast way for the usual layout notices when it does not apply."""
    expected = json.loads(raw)
    del expected["metadata"]["managedFields"]
    assert json.loads(without(raw, STRIP)) == expected


@pytest.mark.parametrize(
    "raw",
    [b"{}", b'{"metadata":null}', b'{"metadata":[]}', b'{"metadata":{}}', b'{"metadata":{"name":"a"}}', b'{"a":1}'],
    ids=lambda raw: raw.decode(),
)
def test_without_returns_the_same_bytes_when_there_is_nothing_to_remove(raw: bytes) -> None:
    """An object without the paths is not encoded again."""
    assert without(raw, STRIP) is raw


def test_the_remaining_bytes_are_unchanged() -> None:
    """Numbers, escapes and spaces of the remaining fields are not encoded again."""
    raw = b'{"metadata":{"name":"\\u0061","managedFields":1},"spec":{ "big":1.000e2, "n":12345678901234567890123 }}'
    expected = raw.replace(b',"managedFields":1', b"")
    assert without(raw, STRIP) == expected
    assert without(b" " + raw, STRIP) == expected


@given(objects, st.sampled_from(["Pod", 'K"ind', "é"]), st.sampled_from(["v1", "apps/v1"]), layouts)
@example({"kind": "Node"}, "Pod", "v1", {"indent": 1})
@example({"kind": "Node", "apiVersion": ""}, "Pod", "v1", {"indent": 1})
@example({}, "Pod", "v1", {"indent": 1})
def test_with_type_adds_what_an_object_lacks(
    value: dict[str, Any], kind: str, api_version: str, layout: dict[str, Any]
) -> None:
    """An object's own kind and apiVersion stay; missing ones are added; nothing else changes."""
    if next(iter(value), "") == "metadata":
        # As servers leave them out: the rest of the object is not searched for them.
        value = {key: item for key, item in value.items() if key not in ("kind", "apiVersion")}
    expected = dict(value)
    for name, given_text in (("kind", kind), ("apiVersion", api_version)):
        if not (isinstance(value.get(name), str) and value[name]):
            expected[name] = given_text
    raw = json.dumps(value, **layout).encode()
    result = with_type(raw, api_version, kind)
    assert json.loads(result) == expected
    if expected == value:
        assert result is raw


def test_a_type_after_the_metadata_counts() -> None:
    """An object that begins with its metadata and has a kind after them keeps it: decoders use the last of equal keys."""
    raw = b'{"metadata":{"name":"a"},"kind":"Node","apiVersion":"v2"}'
    result = json.loads(with_type(raw, "v1", "Pod"))
    assert (result["kind"], result["apiVersion"]) == ("Node", "v2")


def test_with_type_without_a_kind_adds_nothing() -> None:
    """A list that does not say the kind of its items changes no item."""
    raw = b'{"metadata":{"name":"a"}}'
    assert with_type(raw, "v1", "") is raw


def test_parts_of_decodes_only_the_top_level() -> None:
    """The values stay undecoded bytes."""
    assert {key: bytes(part) for key, part in parts_of(b'{"a": {"b":1} , "c":[ ]}').items()} == {
        "a": b'{"b":1}',
        "c": b"[ ]",
    }

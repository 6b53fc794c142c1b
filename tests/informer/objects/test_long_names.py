"""Objects whose names are megabytes long, which only `max_line_bytes` bounds: no text about them is as long."""

from __future__ import annotations

import json
from typing import Any

import pytest

from informer import Delta, DeltaType, Object, split_meta_namespace_key
from informer.objects.entry import Entry, Undecodable
from watch import Event

LONG = "n" * 10_000_000
METADATA = {"name": LONG, "namespace": LONG, "uid": LONG, "resourceVersion": LONG}
OBJECT = Object.from_bytes(json.dumps({"kind": "Pod", "metadata": METADATA}).encode())


@pytest.mark.parametrize(
    "value",
    [
        OBJECT,
        Entry(LONG, LONG, LONG, LONG, {}),
        Undecodable(LONG, LONG, LONG, LONG, b"{}", ValueError("bad")),
        Delta(DeltaType.ADDED, OBJECT),
        Event("ADDED", OBJECT),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_repr_is_bounded(value: Any) -> None:
    """Whatever the length of the name."""
    assert len(repr(value)) < 2000
    assert OBJECT.name == LONG


def test_a_name_in_a_repr_is_on_one_line() -> None:
    """Without control characters."""
    shown = repr(Object.from_bytes(b'{"kind":"a\\nb","metadata":{"name":"c\\u001b[31m\\nd\\u202e"}}'))
    assert shown.isprintable()


def test_the_error_of_a_long_key_is_bounded() -> None:
    """The beginning of the key is enough to find it."""
    with pytest.raises(ValueError, match="unexpected key format") as caught:
        split_meta_namespace_key(f"{LONG}/a/b")
    assert len(str(caught.value)) < 1000

"""What queues and caches store in place of an `Object`: `Entry` and `Undecodable`."""

from __future__ import annotations

import gc

from informer import Object
from informer.objects.entry import Entry, Undecodable, unwrap


def test_unwrap_returns_the_value_of_an_entry() -> None:
    """Any other item is returned itself."""
    obj = {"a": 1}
    assert unwrap(Entry("n", "", "", "", obj)) is obj
    for other in (obj, None, "text", Object.from_bytes(b"{}")):
        assert unwrap(other) is other


def test_repr_shows_no_data() -> None:
    """A log line with an `Entry` or an `Undecodable` shows nothing of a Secret."""
    entry = Entry("token", "shop", "u", "1", {"data": "hunter2"})
    failed = Undecodable("token", "", "u", "1", b'{"data":"hunter2"}', ValueError("hunter2"))
    assert repr(entry) == "Entry('shop/token', dict)"
    assert repr(failed) == "Undecodable('token', ValueError)"
    assert "hunter2" not in f"{[entry, failed]}"


def test_the_garbage_collector_does_not_trace_entries() -> None:
    """A cache of entries does not slow the garbage collector down."""
    assert not gc.is_tracked(Entry("n", "", "", "", {"a": []}))
    assert not gc.is_tracked(Undecodable("n", "", "", "", b"", ValueError()))

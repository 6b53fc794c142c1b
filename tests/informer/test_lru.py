"""The bounded map that evicts the least recently used key."""

from __future__ import annotations

import pytest

from informer.lru import LruMap


@pytest.fixture
def full() -> LruMap[str, int]:
    """A map of two keys that is full; "a" was used before "b"."""
    made: LruMap[str, int] = LruMap(2)
    made.put("a", 1)
    made.put("b", 2)
    return made


def test_the_least_recently_used_key_is_evicted(full: LruMap[str, int]) -> None:
    """`put` returns the evicted value, and None while there is room."""
    assert full.put("c", 3) == 1
    assert full.items() == [("b", 2), ("c", 3)]
    full.pop("b")
    assert full.put("d", 4) is None


def test_get_and_put_use_a_key(full: LruMap[str, int]) -> None:
    """A key that was read or written last is evicted last."""
    assert full.get("a") == 1
    assert full.keys() == ["b", "a"]
    assert full.put("b", 5) is None
    assert full.values() == [1, 5]


def test_peek_does_not_use_a_key(full: LruMap[str, int]) -> None:
    """It stays the next to be evicted."""
    assert full.peek("a") == 1
    assert full.keys() == ["a", "b"]


def test_a_missing_key_is_none(full: LruMap[str, int]) -> None:
    """No method raises for it."""
    assert full.get("x") is full.peek("x") is full.pop("x") is None


def test_clear_removes_every_key(full: LruMap[str, int]) -> None:
    """The map may be used afterwards."""
    full.clear()
    assert len(full) == 0
    assert full.put("a", 1) is None


def test_a_size_below_one_is_refused() -> None:
    """The constructor raises ValueError."""
    with pytest.raises(ValueError, match="at least 1"):
        LruMap(0)

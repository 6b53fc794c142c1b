"""Ranges, selectors and hashes of shards: those of the API server."""

from __future__ import annotations

import uuid
from itertools import pairwise

import pytest

from informer.sharding import shard_of, shard_ranges, shard_selector
from informer.sharding.ranges import fnv1a_64, same_shard


@pytest.mark.parametrize(
    ("text", "value"), [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)]
)
def test_the_hash_is_fnv_1a(text: str, value: int) -> None:
    """The values of the algorithm's authors."""
    assert fnv1a_64(text) == value


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 1000])
def test_the_ranges_cover_all_hashes_once(n: int) -> None:
    """Each begins where the one before ends; no two differ by more than one hash."""
    ranges = shard_ranges(n)
    assert [ranges[0][0], ranges[-1][1]] == [0, 2**64]
    assert all(end == start for (_, end), (start, _) in pairwise(ranges))
    sizes = {end - start for start, end in ranges}
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 1000])
def test_the_shard_of_a_value_is_the_one_whose_range_has_its_hash(n: int) -> None:
    for value in ["", "default", *(str(uuid.uuid4()) for _ in range(100))]:
        start, end = shard_ranges(n)[shard_of(value, n)]
        assert start <= fnv1a_64(value) < end


def test_the_shard_of_a_hash_at_the_edge_of_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hash of a range, and the one before it."""
    for n in (3, 7, 10):
        for i, (start, _) in enumerate(shard_ranges(n)):
            for value, expected in ((start, i), (start - 1, i - 1)):
                monkeypatch.setattr("informer.sharding.ranges.shard_hash", lambda _, value=value: value)
                assert value < 0 or shard_of("x", n) == expected


def test_selectors_have_sixteen_digits() -> None:
    """The end of the last range has seventeen."""
    assert shard_selector(0, 3) == "shardRange(object.metadata.uid, '0x0000000000000000', '0x5555555555555555')"
    assert shard_selector(2, 3, "metadata.namespace") == (
        "shardRange(object.metadata.namespace, '0xaaaaaaaaaaaaaaaa', '0x10000000000000000')"
    )


def test_selectors_are_compared_without_spaces() -> None:
    """A text that is not a selector equals none."""
    assert same_shard(shard_selector(0, 2), shard_selector(0, 2).replace(" ", ""))
    assert not same_shard(shard_selector(0, 2), shard_selector(1, 2))
    assert not same_shard("nonsense", "nonsense")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((0, 0), "the number of shards must be at least 1, not 0"),
        ((2, 2), "shard 2 of 2 does not exist: shards are counted from 0"),
        ((-1, 2), "shard -1 of 2 does not exist: shards are counted from 0"),
        ((0, 2, "spec"), 'objects are sharded by "metadata.uid" or "metadata.namespace", not by \'spec\''),
    ],
)
def test_what_is_not_a_shard_is_refused(args: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match="shard") as caught:
        shard_selector(*args)  # type: ignore[arg-type]
    assert str(caught.value) == message

"""The keys of a list: taken from the cache for stored objects, and right in whatever order they come."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from informer.cache.prepared import Preparer
from informer.objects.keys import meta_namespace_key
from informer.queues.delta import REPLACED_ALL, Delta, ReplacedAll
from tests.support.objects import stored_pod as pod


def keys_of(items: list[Any], stored: dict[str, Any]) -> list[str]:
    deltas = [Delta(REPLACED_ALL, ReplacedAll(items, "9"))]
    keys: list[str] = Preparer(meta_namespace_key, None, None).prepare(deltas, object(), (), stored, 1).keys[0]
    return keys


def test_an_unchanged_list_makes_no_new_keys() -> None:
    """Also around objects that were added to the cache later, changed, deleted or are new in the list."""
    objects = [pod(f"p{number:02}", "1") for number in range(40)]
    stored = {meta_namespace_key(obj): obj for obj in [*objects[:10], *objects[11:], objects[10]]}
    stored_keys = {id(key) for key in stored}
    listed = [*objects[:20], pod("p20", "2"), *objects[21:30], pod("p29a", "1"), *objects[33:]]
    keys = keys_of(listed, stored)
    assert keys == [meta_namespace_key(obj) for obj in listed]
    new = {key for key in keys if id(key) not in stored_keys}
    assert new == {"ns/p10", "ns/p29a"}


@pytest.mark.parametrize("seed", range(30))
def test_every_key_is_that_of_its_object(seed: int) -> None:
    """The list has stored, changed, new and repeated objects, in any order."""
    random = Random(seed)
    objects = [pod(f"p{number:02}", "1") for number in range(30)]
    stored = {meta_namespace_key(obj): obj for obj in random.sample(objects, 20)}
    chosen = random.choices(range(30), k=40)
    listed = [objects[number] if random.random() < 0.8 else pod(f"p{number:02}", "2") for number in chosen]
    if seed % 2:
        listed.sort(key=meta_namespace_key)
    assert keys_of(listed, stored) == [meta_namespace_key(obj) for obj in listed]

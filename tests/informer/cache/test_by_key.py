"""A store's objects as a read-only mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from informer import SharedInformer, Store
from informer.cache.by_key import ByKey
from informer.testing import FakeControllerSource
from tests.support.objects import stored_pod
from tests.support.waiting import DEADLINE


def test_it_is_a_mapping_of_what_the_store_has() -> None:
    """Everything that a dict's readers use works, and nothing changes it."""
    store: Store[Any] = Store()
    view: Any = ByKey(store)
    assert (dict(view), len(view), "ns/a" in view) == ({}, 0, False)
    one, two = stored_pod("a", 1), stored_pod("b", 2)
    store.add(one)
    store.add(two)
    assert isinstance(view, Mapping)
    assert view["ns/a"] is one
    assert dict(view) == {"ns/a": one, "ns/b": two} == view
    assert list(view) == ["ns/a", "ns/b"]
    assert list(view.values()) == [one, two]
    assert list(view.items()) == [("ns/a", one), ("ns/b", two)]
    assert (view.get("ns/c"), view.get("ns/c", 5), len(view), "ns/b" in view) == (None, 5, 2, True)
    with pytest.raises(KeyError, match="ns/c"):
        view["ns/c"]
    with pytest.raises(TypeError):
        view["ns/c"] = one
    assert repr(view) == "<ByKey of 2 objects>"


def test_an_informers_cache_by_key() -> None:
    """It shows what users see: what the transform returned."""
    source = FakeControllerSource()
    source.add(stored_pod("a"))
    with SharedInformer(source, transform=lambda obj: obj["metadata"]["name"]) as informer:
        assert informer.wait_for_sync(DEADLINE)
        assert dict(informer.by_key) == {"ns/a": "a"}

"""A user's watch function that gives no watch, asked for a watch list."""

from __future__ import annotations

from typing import Any

import pytest

from informer import ListWatch, ObjectList, SharedInformer
from watch import ListOptions


def nothing(options: ListOptions) -> None:
    """Gives no watcher."""


def cut(options: ListOptions) -> None:
    """Breaks off."""
    raise ConnectionError("reset by peer")


@pytest.mark.parametrize("watch_func", [nothing, cut])
def test_a_watch_list_that_breaks_off_at_once_makes_way_for_a_list(watch_func: Any) -> None:
    """client-go source. Only a refused connection is waited for; after any other failure the list function is asked."""
    page = ObjectList([{"metadata": {"name": "a", "resourceVersion": "1"}}], "5")
    with SharedInformer(ListWatch(lambda options: page, watch_func)) as informer:
        assert informer.wait_for_sync(10)
        assert informer.lister.get("a") == page.items[0]

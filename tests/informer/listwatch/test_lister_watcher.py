"""The pages that list functions return."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from informer import ObjectList
from informer.listwatch.lister_watcher import as_object_list


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(ObjectList([1, 2], "7", "C", 3, "shards"), id="object-list"),
        pytest.param(
            {
                "metadata": {
                    "resourceVersion": "7",
                    "continue": "C",
                    "remainingItemCount": 3,
                    "shardInfo": {"selector": "shards"},
                },
                "items": [1, 2],
            },
            id="api-form",
        ),
        pytest.param(
            SimpleNamespace(
                items=[1, 2], resource_version="7", continue_="C", remaining_item_count=3, shard_selector="shards"
            ),
            id="attributes",
        ),
    ],
)
def test_pages_come_in_many_forms(page: Any) -> None:
    """A list function may return any object or dict with items and a version."""
    made = as_object_list(page)
    assert made.items == [1, 2]
    assert (made.resource_version, made.continue_, made.remaining_item_count, made.shard_selector) == (
        "7",
        "C",
        3,
        "shards",
    )


def test_a_list_of_the_official_client_is_a_page() -> None:
    """The official client calls the continue token `_continue`."""
    from kubernetes.client import V1ListMeta, V1Pod, V1PodList

    metadata = V1ListMeta(resource_version="7", _continue="C", remaining_item_count=3)
    page = as_object_list(V1PodList(items=[V1Pod()], metadata=metadata))
    assert (len(page.items), page.resource_version, page.continue_, page.remaining_item_count) == (1, "7", "C", 3)


@pytest.mark.parametrize(
    ("page", "items", "version"),
    [
        ({}, [], ""),
        ({"items": None, "metadata": None}, [], ""),
        ({"metadata": {"resourceVersion": 7}}, [], ""),
        (SimpleNamespace(items=None, resource_version="7"), [], "7"),
        (SimpleNamespace(items=(1,), resource_version=None), [1], ""),
    ],
)
def test_pages_may_be_incomplete(page: Any, items: list[Any], version: str) -> None:
    """Missing items are an empty list, and a missing version is ""."""
    made = as_object_list(page)
    assert (made.items, made.resource_version) == (items, version)


@pytest.mark.parametrize("page", [None, 5, "x", object()], ids=lambda page: type(page).__name__)
def test_a_page_of_another_type_is_refused(page: Any) -> None:
    """The message names the type that the function returned."""
    with pytest.raises(TypeError, match=f"the list function returned a {type(page).__name__}, not an ObjectList"):
        as_object_list(page)


def test_the_repr_of_a_page_shows_no_objects() -> None:
    """The data of a Secret must not be logged."""
    assert repr(ObjectList([{"data": "secret"}], "7")) == "ObjectList(1 items, resource_version='7')"

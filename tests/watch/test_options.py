"""The options of a list or watch request."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

import informer
from watch import ListOptions


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({}, {}),
        ({"label_selector": "app=web"}, {"labelSelector": "app=web"}),
        ({"field_selector": "spec.nodeName=n"}, {"fieldSelector": "spec.nodeName=n"}),
        ({"resource_version": "0"}, {"resourceVersion": "0"}),
        (
            {"resource_version": "5", "resource_version_match": "Exact"},
            {"resourceVersion": "5", "resourceVersionMatch": "Exact"},
        ),
        ({"limit": 500, "continue_": "token"}, {"limit": "500", "continue": "token"}),
        ({"timeout_seconds": 300}, {"timeoutSeconds": "300"}),
        ({"timeout_seconds": 0}, {"timeoutSeconds": "0"}),
        ({"allow_watch_bookmarks": True}, {"allowWatchBookmarks": "true"}),
        ({"send_initial_events": True}, {"sendInitialEvents": "true"}),
        ({"send_initial_events": False}, {"sendInitialEvents": "false"}),
        ({"shard_selector": "shardRange(...)"}, {"shardSelector": "shardRange(...)"}),
    ],
    ids=lambda value: ",".join(value) or "none",
)
def test_options_become_query_parameters(options: dict[str, Any], query: dict[str, str]) -> None:
    """Each option that is set becomes a parameter under its wire name."""
    assert ListOptions(**options).to_query() == query


def test_options_are_frozen() -> None:
    """Options cannot be changed; `with_` makes a changed copy and refuses unknown names."""
    options = ListOptions(limit=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.limit = 6  # type: ignore[misc]
    changed = options.with_(limit=6, resource_version="1")
    assert (options.limit, changed.limit, changed.resource_version) == (5, 6, "1")
    assert changed.with_(limit=5, resource_version="") == options
    assert hash(changed.with_(limit=5, resource_version="")) == hash(options)
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(TypeError):
        options.with_(limits=6)


def test_options_come_from_either_package() -> None:
    """Both packages export the same class."""
    assert informer.ListOptions is ListOptions

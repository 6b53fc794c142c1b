"""An informer of a custom resource that is defined, withdrawn and defined again, on both servers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from informer import ApiError
from tests.support.waiting import DEADLINE

BOTH_WAYS = pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])


def check_absent(error: Any, name: str) -> None:
    assert isinstance(error, ApiError)
    assert (error.status, error.reason) == (404, "NotFound")
    assert f"list {name}" in str(error)
    assert re.search(r"\((is the CRD installed\?|it does not serve this resource, perhaps not yet)\)$", str(error))


@BOTH_WAYS
def test_resource_is_followed_whenever_it_is_defined(backend: Any, widgets: Any, follow: Any, watch_list: bool) -> None:
    """The informer reports a missing resource, follows it while it is defined, and deletes its objects when it is withdrawn."""
    follower = follow(widgets.name, watch_list=watch_list)
    informer = follower.informer
    follower.failures.get(DEADLINE)
    check_absent(informer.sync_error(), widgets.name)
    assert (informer.has_synced(), informer.is_watching) == (False, False)

    widgets.define()
    assert informer.wait_for_sync(DEADLINE)
    assert informer.sync_error() is None
    for name in ("one", "two"):
        widgets.add(name)
        assert follower.received.get(DEADLINE) == ("add", name)

    widgets.withdraw()
    assert {follower.received.get(DEADLINE) for _ in range(2)} == {("delete", "one"), ("delete", "two")}
    assert follower.cached() == {}
    backend.until(lambda: "list " in str(informer.sync_error()), "a list was refused")
    check_absent(informer.sync_error(), widgets.name)
    assert (informer.has_synced(), informer.is_watching) == (True, False)

    widgets.define()
    widgets.add("three")
    assert follower.received.get(DEADLINE) == ("add", "three")
    assert list(follower.cached()) == ["three"]
    backend.until(lambda: informer.is_watching, "it watches again")
    assert informer.sync_error() is None
    assert len(follower.received) == 0

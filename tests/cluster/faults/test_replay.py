"""The checks of a handler's calls find calls that contradict each other."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.cluster.faults.replay import Replay


@pytest.fixture
def call_handler():
    """Calls the handler with (what, name, version) or ("update", name, old version, version); returns the replay."""
    handlers = {}
    replay = Replay(SimpleNamespace(add_event_handler=lambda **functions: handlers.update(functions)))

    def call_handler(*calls):
        for what, name, *versions in calls:
            handlers[f"on_{what}"](*(SimpleNamespace(name=name, resource_version=str(version)) for version in versions))
        return replay

    return call_handler


def test_valid_calls_result_in_a_state(call_handler):
    """Adds, updates, deletes and repeated adds result in the versions of the remaining objects."""
    replay = call_handler(
        ("add", "a", 1), ("add", "b", 2), ("update", "a", 1, 3), ("delete", "b", 4), ("add", "b", 5), ("delete", "a", 3)
    )
    assert replay.state() == {"b": 5}


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        pytest.param([("add", "a", 1), ("add", "a", 2)], "there already", id="add-of-a-known-key"),
        pytest.param([("update", "a", 1, 2)], "not there", id="update-of-an-unknown-key"),
        pytest.param([("delete", "a", 1)], "not there", id="delete-of-an-unknown-key"),
        pytest.param([("add", "a", 2), ("update", "a", 1, 3)], "another version than 2", id="update-from-elsewhere"),
        pytest.param([("add", "a", 2), ("update", "a", 2, 1)], "back in time to 1", id="update-back-in-time"),
        pytest.param([("add", "a", 2), ("update", "a", 2, 2)], "back in time to 2", id="update-to-the-same-state"),
        pytest.param([("add", "a", 2), ("delete", "a", 1)], "back in time to 1", id="delete-back-in-time"),
        pytest.param(
            [("add", "a", 1), ("delete", "a", 3), ("add", "a", 2)], "back in time to 2", id="add-back-in-time"
        ),
    ],
)
def test_contradicting_calls_are_found(call_handler, calls, why):
    """After such calls `state` raises, whatever calls follow."""
    replay = call_handler(*calls, ("add", "other", 9))
    with pytest.raises(AssertionError, match=why):
        replay.state()

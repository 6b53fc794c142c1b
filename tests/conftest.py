"""Shared by all tests: no test may leave a thread behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from informer.testing.control_plane import ControlPlane

# How long one example takes says more about the machine's other work than about the code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.fixture(autouse=True)
def no_leftover_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a thread running, unless it is marked `leaves_threads`."""
    before = set(threading.enumerate())
    yield
    if request.node.get_closest_marker("leaves_threads"):
        return
    deadline = time.monotonic() + 5
    left = [t for t in threading.enumerate() if t not in before and t.is_alive()]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [t.name for t in left if t.is_alive()]
    assert not left, f"threads left running: {left}"


@pytest.fixture(scope="session")
def control_plane_options() -> dict[str, Any]:
    """The real control plane has what is tested here and is not on by default."""
    return {"feature_gates": {"ShardedListAndWatch": True}}


@pytest.fixture(scope="session")
def unsteady_plane(control_plane: ControlPlane, control_plane_options: dict[str, Any]) -> Iterator[ControlPlane]:
    """A second real control plane, for tests that kill, freeze, restart or compact it; each leaves it running."""
    with type(control_plane)(**control_plane_options) as plane:
        yield plane

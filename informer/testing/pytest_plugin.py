"""Pytest fixtures: an API server in the test's process, and a real control plane.

Registered as a plugin by the distribution, so that `embedded_apiserver` and `control_plane` are there in every test run;
nothing is imported before one of them is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from informer.testing.api_server import EmbeddedAPIServer
    from informer.testing.control_plane import ControlPlane


@pytest.fixture
def embedded_apiserver() -> Iterator[EmbeddedAPIServer]:
    """A started `EmbeddedAPIServer`, a new one for each test."""
    from informer.testing.api_server import EmbeddedAPIServer

    with EmbeddedAPIServer() as server:
        yield server


@pytest.fixture(scope="session")
def control_plane_options() -> dict[str, Any]:
    """The arguments of the `ControlPlane` that `control_plane` gives; redefine it in a conftest.py to have others."""
    return {}


@pytest.fixture(scope="session")
def control_plane(control_plane_options: dict[str, Any]) -> Iterator[ControlPlane]:
    """A started `ControlPlane`, one for the session; skips where KUBEBUILDER_ASSETS names no folder."""
    if not os.environ.get("KUBEBUILDER_ASSETS") and not control_plane_options.get("assets"):
        pytest.skip("KUBEBUILDER_ASSETS is not set: it should name a folder with etcd and kube-apiserver")
    from informer.testing.control_plane import ControlPlane

    with ControlPlane(**control_plane_options) as plane:
        yield plane

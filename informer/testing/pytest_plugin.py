"""Pytest fixtures: `embedded_apiserver` and `control_plane`.

Installing the package registers this plugin, so that every test can use the fixtures. A server's modules are imported
when its fixture is used.

    def test_my_controller(embedded_apiserver):
        embedded_apiserver.create({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}})
        run_my_controller(embedded_apiserver.api_client())
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
    """A started `EmbeddedAPIServer`: an API server in the test's process. Each test gets a new one."""
    from informer.testing.api_server import EmbeddedAPIServer

    with EmbeddedAPIServer() as server:
        yield server


@pytest.fixture(scope="session")
def control_plane_options() -> dict[str, Any]:
    """The arguments of the `ControlPlane` behind `control_plane`; override this fixture in a conftest.py."""
    return {}


@pytest.fixture(scope="session")
def control_plane(control_plane_options: dict[str, Any]) -> Iterator[ControlPlane]:
    """A started `ControlPlane`: a real etcd and kube-apiserver, one for the whole session.

    Skips the test if the environment variable KUBEBUILDER_ASSETS, which names the programs' folder, is not set.
    """
    if not os.environ.get("KUBEBUILDER_ASSETS") and not control_plane_options.get("assets"):
        pytest.skip("KUBEBUILDER_ASSETS is not set: it should name a folder with etcd and kube-apiserver")
    from informer.testing.control_plane import ControlPlane

    with ControlPlane(**control_plane_options) as plane:
        yield plane

"""Servers for clients of other projects: the embedded one, and a real kube-apiserver, each with a namespace for a test."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from informer.testing.api_server import EmbeddedAPIServer
from informer.testing.control_plane import ControlPlane

BOTH = [pytest.param("embedded", id="embedded"), pytest.param("real", id="real", marks=pytest.mark.cluster)]


class Server(NamedTuple):
    """How a client reaches a server: a kubeconfig of the user "admin", and a namespace of the test's own."""

    kubeconfig: Path
    namespace: str


@pytest.fixture(scope="session")
def embedded_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig of the embedded server that these tests share."""
    with EmbeddedAPIServer(tls=True, tokens={"admin-token": "admin"}) as server:
        yield server.kubeconfig(tmp_path_factory.mktemp("embedded") / "config")


@pytest.fixture(scope="session")
def real_kubeconfig(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the real server that the tests share."""
    return control_plane.kubeconfig(tmp_path_factory.mktemp("real") / "config")


@pytest.fixture(params=BOTH)
def server(request: pytest.FixtureRequest) -> Server:
    """Each server, with a new namespace."""
    from kubernetes import client, config

    path = request.getfixturevalue(f"{request.param}_kubeconfig")
    namespace = f"foreign-{uuid.uuid4().hex[:8]}"
    with config.new_client_from_config(str(path)) as api_client:
        client.CoreV1Api(api_client).create_namespace({"metadata": {"name": namespace}})
    return Server(path, namespace)


@pytest.fixture(scope="session")
def kubectl_program() -> Path:
    """The path of kubectl."""
    found = shutil.which("kubectl", path=f"{os.environ.get('KUBEBUILDER_ASSETS', '')}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("kubectl is not installed, neither in KUBEBUILDER_ASSETS nor on PATH")
    return Path(found)

"""client-go, unconfigured, works on the embedded server as on a real one. Go builds the program at the first test."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.foreign.conftest import Server

pytestmark = [pytest.mark.timeout(600), pytest.mark.leaves_threads]

SOURCE = Path(__file__).with_name("client_go")
CHECKS = [
    "typed client",
    "workloads",
    "watches",
    "informers",
    "server-side apply",
    "custom resources",
    "leader election",
    "events",
]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built from client_go."""
    if not os.environ.get("FOREIGN_CLIENTS"):
        pytest.skip("only the nox session runs it: nox -s foreign")
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    path = tmp_path_factory.mktemp("client_go") / "client_go"
    subprocess.run([go, "build", "-o", path, "."], cwd=SOURCE, check=True)
    return path


def test_client_go(program: Path, server: Server) -> None:
    """Protobuf bodies, informers, WatchList, server-side apply, dynamic and metadata clients, leader election, events."""
    command = [program, server.kubeconfig, server.namespace]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=180)
    assert done.stdout.splitlines() == CHECKS, done.stdout

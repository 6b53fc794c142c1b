"""The page "Your first controller": its program, its test and its manifests do what the page says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from informer import ApiError
from informer.testing import EmbeddedAPIServer
from tests.support.waiting import DEADLINE, eventually

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "first-controller.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


PROGRAM, TEST, MANIFESTS = blocks("python")


def folder_with_program(tmp_path: Path, program: str = PROGRAM) -> Path:
    (tmp_path / "controller.py").write_text(program, encoding="utf-8")
    return tmp_path


def environment(tmp_path: Path, server: EmbeddedAPIServer) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(server.kubeconfig(tmp_path / "kubeconfig")), "PYTHONPATH": str(tmp_path)}


def test_the_program_runs_until_it_is_told_to_stop(embedded_apiserver: EmbeddedAPIServer, tmp_path: Path) -> None:
    server = embedded_apiserver
    server.create(yaml.safe_load(blocks("yaml")[0]))
    folder = folder_with_program(tmp_path, PROGRAM.replace("serve=8080", "serve=0"))
    program = subprocess.Popen(
        [sys.executable, "controller.py"],
        cwd=folder,
        env=environment(tmp_path, server),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        metadata = {"name": "shop", "namespace": "default"}
        server.create({"apiVersion": "example.com/v1", "kind": "Site", "metadata": metadata, "spec": {"text": "hello"}})
        assert eventually(lambda: read(server).get("data") == {"index.html": "hello"})
        server.delete("configmaps", "site-shop", namespace="default")
        assert eventually(lambda: read(server).get("data") == {"index.html": "hello"})
    finally:
        program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=DEADLINE)
    assert program.returncode == 0, errors


def read(server: EmbeddedAPIServer) -> dict[str, Any]:
    try:
        return server.get("configmaps", "site-shop", namespace="default")
    except ApiError:
        return {}


def test_the_test_passes(embedded_apiserver: EmbeddedAPIServer, tmp_path: Path) -> None:
    folder = folder_with_program(tmp_path)
    (folder / "test_controller.py").write_text(TEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_controller.py"]
    done = subprocess.run(
        command, cwd=folder, env=environment(tmp_path, embedded_apiserver), capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifests_are_yaml(tmp_path: Path) -> None:
    folder = folder_with_program(tmp_path)
    (folder / "manifests.py").write_text(MANIFESTS, encoding="utf-8")
    # Without a cluster.
    done = subprocess.run(
        [sys.executable, "manifests.py"],
        cwd=folder,
        env={**os.environ, "KUBECONFIG": str(tmp_path / "missing"), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    kinds = [each["kind"] for each in yaml.safe_load_all(done.stdout)]
    assert kinds == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Deployment"]

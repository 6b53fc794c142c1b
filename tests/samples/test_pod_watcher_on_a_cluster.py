"""The pod watcher, run as a program against a real kube-apiserver."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from informer.testing import ControlPlane
from tests.support.objects import pod
from tests.support.waiting import PROMPT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

SAMPLE = "pod_watcher.py"


@pytest.fixture
def kubeconfig(control_plane: ControlPlane, tmp_path: Path) -> str:
    """The path of a kubeconfig for the real server."""
    path = tmp_path / "kubeconfig"
    control_plane.kubeconfig(path)
    return str(path)


@pytest.fixture
def core(control_plane: ControlPlane) -> Iterator[client.CoreV1Api]:
    """The core API of the real server."""
    with control_plane.api_client() as api_client:
        yield client.CoreV1Api(api_client)


@pytest.fixture
def namespace(core: client.CoreV1Api) -> str:
    """A new namespace."""
    made = core.create_namespace({"metadata": {"generateName": "pod-watcher-"}})
    return str(made.metadata.name)


def test_changes_are_shown_across_a_restart(
    control_plane: ControlPlane,
    core: client.CoreV1Api,
    namespace: str,
    kubeconfig: str,
    run_sample: Callable[..., Any],
) -> None:
    """Each write to the real server is a line, before and after kube-apiserver was killed and restarted."""
    core.create_namespaced_pod(namespace, pod("first", namespace))
    program = run_sample(SAMPLE, "--kubeconfig", kubeconfig, "-n", namespace, "-o", "name")
    assert program.wait_for("first")[1] == "ADDED    pod/first"
    core.create_namespaced_pod(namespace, pod("second", namespace))
    core.patch_namespaced_pod("second", namespace, {"metadata": {"labels": {"changed": "yes"}}})
    core.delete_namespaced_pod("second", namespace, grace_period_seconds=0)
    types = [program.wait_for("second")[1].split()[0]]
    while types[-1] != "DELETED":
        types.append(program.wait_for("second")[1].split()[0])
    # The server marks a pod for deletion (MODIFIED) before it deletes it.
    assert (types[:2], set(types[2:-1])) == (["ADDED", "MODIFIED"], {"MODIFIED"})
    control_plane.restart()
    core.patch_namespaced_pod("first", namespace, {"metadata": {"labels": {"changed": "yes"}}})
    # Unchanged pods have no line.
    assert program.wait_for(lambda line: True, 60)[1] == "MODIFIED pod/first"
    core.delete_namespaced_pod("first", namespace, grace_period_seconds=0)
    program.wait_for("DELETED  pod/first", 60)
    assert program.interrupt() < PROMPT
    assert program.end()[0] == 0


def test_change_is_written_within_100_ms(
    core: client.CoreV1Api,
    namespace: str,
    kubeconfig: str,
    run_sample: Callable[..., Any],
) -> None:
    """99 of a hundred writes are in the pipe within 100 ms of the server's response."""
    core.create_namespaced_pod(namespace, pod("probe", namespace))
    program = run_sample(SAMPLE, "--kubeconfig", kubeconfig, "-n", namespace, "-o", "json")
    program.wait_for("probe")
    waits = []
    for number in range(100):
        core.patch_namespaced_pod("probe", namespace, {"metadata": {"labels": {"number": f"n{number}"}}})
        answered = time.monotonic()
        waits.append(program.wait_for(f'"n{number}"')[0] - answered)
    assert sorted(waits)[98] < 0.1, f"the slowest: {sorted(waits)[-5:]}"


def test_missing_right_is_named(control_plane: ControlPlane, tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """A 403 ends the program with one line that names verb, resource and namespace."""
    path = tmp_path / "kubeconfig"
    control_plane.kubeconfig(path, user="nobody")
    code, lines, errors = run_sample(SAMPLE, "--kubeconfig", str(path), "-n", "kube-system").end()
    assert (code, lines, len(errors)) == (2, [], 1)
    assert 'cannot list resource "pods"' in errors[0]
    assert 'in the namespace "kube-system"' in errors[0]

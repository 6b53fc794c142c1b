"""The pods as a DataFrame, run as a program on both servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.support.objects import pod
from tests.support.waiting import DEADLINE

pytest.importorskip("pandas", reason="the table needs pandas, which the extra dev installs")

SAMPLE = "pods_table.py"


@pytest.fixture(
    params=["embedded_apiserver", pytest.param("control_plane", marks=[pytest.mark.cluster, pytest.mark.timeout(120)])]
)
def server(request: pytest.FixtureRequest) -> Any:
    """Each of the two servers."""
    return request.getfixturevalue(request.param)


def with_memory(name: str, memory: list[str], **options: Any) -> dict[str, Any]:
    """Returns a pod whose containers request memory."""
    made = pod(name, None, **options)
    made["spec"]["containers"] = [
        {"name": f"c{at}", "image": "example.com/app:1", "resources": {"requests": {"memory": each}} if each else {}}
        for at, each in enumerate(memory)
    ]
    return made


def test_tables_and_changes(server: Any, tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """Each pod is a row; they are grouped by node and phase; what changes while it waits is in the next table."""
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    with server.api_client() as api_client:
        core = client.CoreV1Api(api_client)
        namespace = core.create_namespace({"metadata": {"generateName": "table-"}}).metadata.name
        for made in (
            with_memory("a", ["1Gi", "512Mi"], node="node-1"),
            with_memory("b", ["1M", ""], node="node-1"),
            with_memory("c", [""]),
        ):
            core.create_namespaced_pod(namespace, made)
        core.patch_namespaced_pod_status("a", namespace, {"status": {"phase": "Running"}})
        env = {
            "KUBECONFIG": str(kubeconfig),
            "TABLE_NAMESPACE": namespace,
            "TABLE_SECONDS": "3",
            "PYTHONUNBUFFERED": "1",
        }
        program = run_sample(SAMPLE, env=env)
        program.wait_for("3 pods", DEADLINE)
        assert program.wait_for(" a ")[1].split()[-5:-2] == ["node-1", "Running", "1536.000000"]
        program.wait_for("phase")
        assert program.wait_for("node-1")[1].split() == ["node-1", "1", "1"]
        assert program.wait_for("node-1")[1].split() == ["node-1", "2", "1536.953674", "1536.0"]
        assert program.wait_for(namespace)[1].split() == [namespace, "1536.953674"]
        core.patch_namespaced_pod_status("b", namespace, {"status": {"phase": "Failed"}})
        core.delete_namespaced_pod("c", namespace, grace_period_seconds=0)
        core.create_namespaced_pod(namespace, with_memory("d", [], node="node-2") | {"spec": pod("d")["spec"]})
        program.wait_for("within 3 s: 1 came, 1 went, 1 changed")
        assert program.wait_for(" b ")[1].split()[-2:] == ["node-1", "Failed"]
        program.wait_for("pods by node")
        code, _, errors = program.end()
    assert (code, errors) == (0, [])


def test_demo_without_a_cluster(tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """Without a configured cluster the tables show the demo's pods."""
    program = run_sample(SAMPLE, env={"HOME": str(tmp_path), "KUBECONFIG": "", "TABLE_SECONDS": "0"})
    program.wait_for("7 pods", DEADLINE)
    code, lines, errors = program.end()
    assert (code, len(errors)) == (0, 1)
    assert {"node", "phase", "created"} <= set(lines[1].split())


@pytest.mark.thorough
def test_no_pods(embedded_apiserver: Any, tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """A cluster without pods gives empty tables."""
    kubeconfig = embedded_apiserver.kubeconfig(tmp_path / "kubeconfig")
    code, lines, errors = run_sample(SAMPLE, env={"KUBECONFIG": str(kubeconfig), "TABLE_SECONDS": "0"}).end()
    assert (code, lines[0], errors) == (0, "0 pods", [])

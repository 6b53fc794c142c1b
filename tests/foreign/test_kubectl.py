"""kubectl works on the embedded server as on a real one: the same exit codes, and the same text."""

from __future__ import annotations

import difflib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.foreign.kubectl_runner import Kubectl, Outcome
from tests.foreign.kubectl_steps import IN_SUITE, SCENARIOS

pytestmark = [pytest.mark.timeout(180), pytest.mark.cluster, pytest.mark.thorough]


def difference(step: str, embedded: Outcome, real: Outcome) -> str:
    """Describes how the outcomes of a command differ."""
    lines = [f"kubectl {step}: exit code {embedded.code}, of the real server {real.code}"]
    for ours, theirs in ((embedded.output, real.output), (embedded.errors, real.errors)):
        found = difflib.unified_diff(theirs.splitlines(), ours.splitlines(), "real", "embedded", lineterm="", n=1)
        lines += list(found)[:40]
    return "\n".join(lines)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_kubectl_does_the_same_on_both_servers(
    scenario: str, kubectl_program: Path, embedded_kubeconfig: Path, real_kubeconfig: Path, tmp_path: Path
) -> None:
    if scenario not in IN_SUITE and not os.environ.get("FOREIGN_CLIENTS"):
        pytest.skip("only the nox session runs it: nox -s foreign")
    namespace = f"kubectl-{uuid.uuid4().hex[:8]}"
    clients = []
    for name, kubeconfig in (("embedded", embedded_kubeconfig), ("real", real_kubeconfig)):
        folder = tmp_path / name
        folder.mkdir()
        clients.append(Kubectl(kubectl_program, kubeconfig, namespace, folder))
    steps = [f"create namespace {namespace}", *SCENARIOS[scenario].strip().splitlines()]
    with ThreadPoolExecutor(len(clients)) as pool:
        embedded, real = pool.map(lambda kubectl: kubectl.run(steps), clients)
    found = [difference(*each) for each in zip(steps, embedded, real, strict=True) if each[1] != each[2]]
    assert not found, "\n\n".join(found)

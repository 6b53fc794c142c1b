"""CI's look-up of known vulnerabilities: it fails for one, and says why it was left out."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLDEST = (ROOT / ".ci/oldest.txt").read_text()


@pytest.fixture(scope="module")
def audit() -> Any:
    """The program, as a module."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(*dependencies: dict[str, Any]) -> str:
    own = {"name": "kube-informer", "skip_reason": "Dependency not found on PyPI"}
    return json.dumps({"dependencies": [own, *dependencies], "fixes": []})


SAFE = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
BAD = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"], "aliases": [], "description": ""}]}


@pytest.mark.parametrize(
    ("output", "errors", "state", "text"),
    [
        (printed(SAFE), "", "passed", "1 packages without known vulnerabilities"),
        (printed(SAFE, UNKNOWN), "", "passed", "no answer about b"),
        (printed(SAFE, UNKNOWN, BAD), "", "failed", "c 2: CVE-1 (fixed in 3)"),
        (printed(UNKNOWN), "", "left out", "the index knows none of 1 packages"),
        (
            "",
            "Traceback\nNameResolutionError: no name\n",
            "left out",
            "cannot be reached: NameResolutionError: no name",
        ),
        ("", "", "left out", "it printed nothing"),
        ("[]", "", "left out", "cannot be reached"),
    ],
)
def test_outcomes(output: str, errors: str, state: str, text: str, audit: Any) -> None:
    """A missing answer of the service does not count as safe."""
    outcome = audit.outcome_of(output, errors)
    assert outcome.state == state
    assert text in outcome.text


@pytest.mark.thorough
@pytest.mark.parametrize("required", [False, True])
def test_without_a_network(required: bool, tmp_path: Path) -> None:
    """The check is skipped with the reason; it fails only if it is required."""
    pytest.importorskip("pip_audit")
    nowhere = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:1")
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        **nowhere,
        **({"AUDIT_REQUIRED": "1"} if required else {}),
    }
    done = subprocess.run(
        [sys.executable, ".ci/audit.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == required, done.stderr
    assert re.findall(
        r"^[a-z ]+: left out: the vulnerability service cannot be reached: ", done.stdout, re.MULTILINE
    ), done.stdout


def test_the_oldest_versions_are_those_of_the_project() -> None:
    """Each floor of the package and of its extras for tests is pinned, so that it is looked up, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(line.split("==") for line in OLDEST.splitlines() if "==" in line)
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["testing"]]:
        name, floor = requirement.split(">=")
        assert (pins[name] + ".").startswith(floor + "."), requirement

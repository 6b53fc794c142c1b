"""What type checkers report about users' code: nothing in right code, and each wrong line in wrong code."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RIGHT, WRONG = HERE / "right_code.py", HERE / "wrong_code.py"

# Seconds. Without a warm cache a checker reads the whole official client.
SECONDS = 300

Errors = dict[Path, dict[int, set[str]]]
"""Rules by line, by file."""


def _models_are_typed() -> bool:
    spec = importlib.util.find_spec("kubernetes")
    return spec is not None and spec.origin is not None and Path(spec.origin).with_name("py.typed").exists()


pytestmark = [
    pytest.mark.thorough,
    pytest.mark.timeout(2 * SECONDS),
    pytest.mark.skipif(
        not _models_are_typed(), reason="the models of this version of the official client have no types"
    ),
]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS
    )


def _mypy() -> Errors:
    done = _run("mypy", "--strict", "--output=json", str(RIGHT), str(WRONG))
    assert done.returncode == 1, done.stdout + done.stderr
    found: Errors = {RIGHT: {}, WRONG: {}}
    for line in done.stdout.splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            found.setdefault(ROOT / error["file"], {}).setdefault(error["line"], set()).add(error["code"])
    return found


def _pyright() -> Errors:
    try:
        # The first run may download pyright and node.
        ready = _run("pyright", "--version")
    except subprocess.TimeoutExpired:
        pytest.skip("pyright does not run here: it was not ready in time")
    if ready.returncode != 0:
        pytest.skip(f"pyright does not run here: {(ready.stderr or ready.stdout).strip()[-300:]}")
    done = _run("pyright", "--pythonpath", sys.executable, "--outputjson", str(RIGHT), str(WRONG))
    assert done.returncode == 1, done.stdout + done.stderr
    found: Errors = {RIGHT: {}, WRONG: {}}
    for error in json.loads(done.stdout)["generalDiagnostics"]:
        # Unknown types follow from the error on the same line.
        if not error.get("rule", "").startswith("reportUnknown") or Path(error["file"]) != WRONG:
            line = error["range"]["start"]["line"] + 1
            found.setdefault(Path(error["file"]), {}).setdefault(line, set()).add(error.get("rule", error["message"]))
    return found


CHECKERS: dict[str, Callable[[], Errors]] = {"mypy": _mypy, "pyright": _pyright}


@pytest.fixture(scope="module", params=CHECKERS)
def checker(request: pytest.FixtureRequest) -> str:
    """The name of a type checker."""
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(scope="module")
def errors(checker: str) -> Errors:
    """The errors that the checker reports in the two files, in one run."""
    return CHECKERS[checker]()


def test_right_code_passes(errors: Errors) -> None:
    """Checkers report nothing in right code, and infer the types that it states."""
    assert errors[RIGHT] == {}


def test_wrong_code_is_refused(checker: str, errors: Errors) -> None:
    """Checkers report each marked line with the rule that its mark names, and no other line."""
    marks = re.compile(r"# wrong: (?P<mypy>[a-z-]+) (?P<pyright>[A-Za-z]+)$")
    lines = enumerate(WRONG.read_text().splitlines(), 1)
    expected = {number: mark[checker] for number, line in lines if (mark := marks.search(line))}
    assert len(expected) > 40
    found = errors[WRONG]
    assert sorted(found) == sorted(expected)
    # A call that fits no overload causes further errors about its arguments.
    assert {number: rule for number, rule in expected.items() if rule not in found[number]} == {}

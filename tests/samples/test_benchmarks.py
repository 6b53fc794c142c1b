"""Each benchmark runs with small parameters; its figures are not checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PROGRAMS = sorted(path.stem for path in BENCHMARKS.glob("[!_]*.py"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("command", "row"),
    [
        ("micro.py --quick --only watch", "| watch: object decoded |"),
        ("memory.py --quick", "| list, in order |"),
        ("lookup.py --quick", "| the writer, lock held |"),
        ("wire.py --quick queue", "| delta |"),
        ("workqueue.py --keys 50", "PriorityQueue"),
        ("manager.py --pods 50 --seconds 0.3 --rounds 1", "| manager |"),
        ("load.py --pods 50 --rate 200 --seconds 0.5 --every 0.5", "PASS"),
    ],
    ids=lambda value: value.partition(".")[0] if ".py" in value else "",
)
def test_benchmark_runs(command: str, row: str) -> None:
    """The program succeeds, and its output has the expected row."""
    done = run(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert row in done.stdout, done.stdout


def test_every_benchmark_can_be_imported() -> None:
    """Benchmarks that need a real API server, root or minutes can be imported too."""
    done = run("-c", f"import {', '.join(PROGRAMS)}")
    assert done.returncode == 0, done.stderr


def test_slower_stage_is_reported(tmp_path: Path) -> None:
    """With a baseline a thousand times cheaper the comparison names the stage and exits with 1."""
    baseline = tmp_path / "baseline.json"
    stage = "watch: deltas"
    command = ["micro.py", "--quick", "--only", stage, "--baseline", str(baseline)]
    assert run(*command, "--save").returncode == 0
    assert run(*command, "--compare", "--allowed", "100000").returncode == 0
    saved = json.loads(baseline.read_text())
    saved["stages"][stage]["units"] /= 1000
    baseline.write_text(json.dumps(saved))
    done = run(*command, "--compare")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{stage}: ")

"""docs/reliability.md claims nothing without a test: each line of guarantees and bounds names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from informer import Backoff
from informer.reflector.config import ReflectorConfig

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Returns the cells of the table that begins with a heading, line by line."""
    lines = PAGE.partition(f"| {heading} |")[2].splitlines()[2:]
    table = lines[: next((at for at, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def paths(cell: str) -> list[str]:
    return re.findall(r"`(tests/[\w/.]+)`", cell)


@pytest.mark.parametrize("row", [*rows("guarantee"), *rows("bound")], ids=lambda row: row[0][:40])
def test_a_claim_names_tests_that_exist(row: list[str]) -> None:
    """A guarantee or bound names at least one file or folder of tests, and each of them exists."""
    named = paths(row[-1])
    assert named or "the same suite" in row[-1]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_tables_are_read() -> None:
    """The check above sees the whole tables."""
    assert len(rows("guarantee")) > 12
    assert len(rows("bound")) > 10


def test_the_defaults_of_the_bounds_are_those_of_the_code() -> None:
    """The numbers in the table of bounds are the arguments' defaults."""
    defaults = {row[1]: row[2] for row in rows("what is bounded") if len(row) == 3}
    config, backoff = ReflectorConfig(), Backoff()
    assert defaults["`max_line_bytes`"] == f"{config.max_line_bytes >> 20} MiB"
    assert defaults["`max_objects`"] == f"{config.max_objects:,}"
    assert defaults["`page_size`"] == str(config.page_size)
    assert defaults["`silence_timeout`"].startswith(f"{config.silence_timeout:g}")
    assert defaults["`Backoff(max_retry_after=)`, `RetryWatcher(max_retry_after=)`"] == f"{backoff.max_retry_after:g}"
    assert f"one per {backoff.initial:g} s, doubling to {backoff.maximum:g} s" in defaults["`Backoff(...)`"]

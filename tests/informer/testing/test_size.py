"""The test kit does not outgrow the library: docs/decisions/size-of-the-test-kit.md says why."""

from __future__ import annotations

from pathlib import Path

import informer
import watch

INFORMER, WATCH = (Path(package.__path__[0]) for package in (informer, watch))


def lines_in(folder: Path) -> int:
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in folder.rglob("*.py"))


def test_the_test_kit_is_less_than_a_quarter_of_the_code() -> None:
    kit = lines_in(INFORMER / "testing")
    assert 0 < kit < (lines_in(INFORMER) + lines_in(WATCH)) / 4

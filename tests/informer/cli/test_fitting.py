"""A table fits into the width of a terminal."""

from __future__ import annotations

import pytest

from informer.cli.fitting import fit, line_of

HEADINGS = ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "IMAGES"]
ROW = ["kube-system", "coredns-7db6d8ff4d-x2b9k", "1/1", "CrashLoopBackOff", "12", "5d23h", "10.244.0.12"]
ROW += ["worker-1.example.com", "registry.example.com/coredns:v1.12.0"]


@pytest.mark.parametrize("width", range(79, 200, 7))
def test_a_row_is_never_wider_than_the_terminal(width: int) -> None:
    """Whatever the width, from the one that the identifying columns need."""
    widths = fit(HEADINGS, [ROW], width)
    assert len(line_of(ROW, widths)) <= width
    assert len(line_of(HEADINGS, widths)) <= width


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_columns_that_identify_a_row_are_never_cut(width: int) -> None:
    """Namespace, name, ready, status, restarts and age keep their whole text."""
    line = line_of(ROW, fit(HEADINGS, [ROW], width))
    assert [cell for cell in ROW[:6] if cell not in line.split()] == []


def test_the_last_columns_are_left_out_first() -> None:
    """Before a column is left out, the widest one is cut."""
    cut = line_of(ROW, fit(HEADINGS, [ROW], 130))
    assert ("worker-1.example" in cut, "registry" in cut, "…" in cut) == (True, True, True)
    headings = line_of(HEADINGS, fit(HEADINGS, [ROW], 90))
    assert ("IP" in headings.split(), "IMAGES" in headings) == (True, False)


def test_a_wide_terminal_shows_everything() -> None:
    """Nothing is cut where there is room."""
    assert line_of(ROW, fit(HEADINGS, [ROW], 500)).split() == ROW

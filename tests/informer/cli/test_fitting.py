"""A table fits into the width of a terminal."""

from __future__ import annotations

import pytest

from informer.cli.fitting import fit, lines_of
from informer.cli.live_table import View, _drawing

HEADINGS = ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "IMAGES"]
ROW = ["kube-system", "coredns-7db6d8ff4d-x2b9k", "1/1", "CrashLoopBackOff", "12", "5d23h", "10.244.0.12"]
ROW += ["worker-1.example.com", "registry.example.com/coredns:v1.12.0"]


def shown(cells: list[str], width: int, headings: list[str] = HEADINGS, row: list[str] = ROW) -> list[str]:
    """Returns the lines of a row, or of the headings, in a terminal of this width."""
    return lines_of(cells, fit(headings, [row], width), width)


@pytest.mark.parametrize("width", range(79, 200, 7))
def test_a_row_is_one_line_of_the_terminal(width: int) -> None:
    """Whatever the width, from the one that the identifying columns need."""
    for cells in (ROW, HEADINGS):
        (line,) = shown(cells, width)
        assert len(line) <= width


@pytest.mark.parametrize("width", range(28, 200, 7))
def test_columns_that_identify_a_row_are_never_cut(width: int) -> None:
    """Namespace, name, ready, status, restarts and age keep their whole text: a narrow terminal has them in several lines."""
    lines = shown(ROW, width)
    assert [cell for cell in ROW[:6] if cell not in " ".join(lines).split()] == []
    assert max(map(len, lines)) <= width
    assert [line for line in lines[1:] if not line.startswith("    ")] == []


def test_lines_break_between_columns() -> None:
    """A cell with spaces stays in one piece, and headings are above their cells."""
    headings, row = ["NAME", "READY", "RESTARTS", "AGE"], ["web-7db6d8ff4d-x2b90", "1/1", "3 (77m ago)", "5d"]
    assert shown(row, 36, headings, row) == ["web-7db6d8ff4d-x2b90  1/1", "    3 (77m ago)  5d"]
    assert shown(headings, 36, headings, row) == ["NAME                  READY", "    RESTARTS     AGE"]


def test_what_a_column_leaves_is_for_the_others() -> None:
    """A column that is left out gives its room to those that were cut beside it."""
    headings = ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    row = [
        "payment-service",
        "0/3",
        "0",
        "0",
        "6s",
        "payment-service",
        "registry.example.com/payment:v1",
        "app=payment",
    ]
    assert shown(headings, 56, headings, row) == ["NAME             READY  UP-TO-DATE  AVAILABLE  AGE"]


def test_the_last_columns_are_left_out_first() -> None:
    """Before a column is left out, the widest one is cut."""
    (cut,) = shown(ROW, 130)
    assert ("worker-1.example" in cut, "registry" in cut, "…" in cut) == (True, True, True)
    (headings,) = shown(HEADINGS, 90)
    assert ("IP" in headings.split(), "IMAGES" in headings) == (True, False)


def test_a_wide_terminal_shows_everything() -> None:
    """Nothing is cut where there is room."""
    (line,) = shown(ROW, 500)
    assert line.split() == ROW


def test_the_caption_names_columns_that_are_left_out() -> None:
    """Otherwise a wide table seems to lack them."""
    drawn = [str(each) for each in _drawing(View(HEADINGS, [ROW], "1 pods"), 80, 24).renderables]
    assert drawn[-1].startswith("1 pods, no room for ")
    left_out = drawn[-1].removeprefix("1 pods, no room for ").split(", ")
    assert [heading for heading in HEADINGS if heading not in drawn[0].split()] == left_out

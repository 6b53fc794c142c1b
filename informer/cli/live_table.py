"""A table that is redrawn in place in a terminal."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from informer.cli.fitting import fit, lines_of

__all__ = ["View", "show_in_place"]

# Seconds between two drawings: at least, after changes; and at most, for the ages.
_SHORTEST, _LONGEST = 0.25, 1.0
# Lines that are not rows: the headings, the caption, and the line of the cursor.
_OTHER_LINES = 3
_GOOD = frozenset(("Running", "Ready", "Active", "Bound", "Available", "True", "Complete", "synced"))
_DONE = frozenset(("Completed", "Succeeded", "Terminating", "Released"))
_WAITING = frozenset(
    ("Pending", "ContainerCreating", "PodInitializing", "Unknown", "NotReady", "SchedulingDisabled", "syncing")
)


class View(NamedTuple):
    """What is shown at a moment.

    Attributes:
        headings: in capitals.
        rows: the cells of each row, sorted.
        caption: the line below.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


def show_in_place(
    view: Callable[[], View], changed: threading.Event, stop: threading.Event, deadline: float | None
) -> None:
    """Draws a view until `stop` is set or the deadline is over.

    Args:
        view: returns what is to be shown now.
        changed: set by the caller when the view may have changed; cleared here.
        stop: ends the function.
        deadline: a moment of `time.monotonic()`, or None.
    """
    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        drawn_at = 0.0
        while not stop.is_set() and (deadline is None or time.monotonic() < deadline):
            if changed.is_set() or time.monotonic() - drawn_at >= _LONGEST:
                changed.clear()
                live.update(_drawing(view(), console.width, console.height), refresh=True)
                drawn_at = time.monotonic()
            stop.wait(_SHORTEST)
        live.update(_drawing(view(), console.width, console.height), refresh=True)


def _drawing(view: View, width: int, height: int) -> Group:
    room = max(1, height - _OTHER_LINES)
    widths = fit(view.headings, view.rows[:room], width)
    # Where even the columns that identify a row do not fit, a row takes several lines.
    whole = lines_of(["x" * each for each in widths], widths, width)
    lines_of_a_row = max(1, sum(math.ceil(len(line) / width) for line in whole))
    # The headings have as many lines as a row; one is counted already.
    rows = view.rows[: max(1, (room + 1) // lines_of_a_row - 1)]
    hidden = len(view.rows) - len(rows)
    left_out = ", ".join(heading for heading, each in zip(view.headings, widths, strict=True) if not each)
    caption = view.caption + (f", {hidden} more than fit here" if hidden else "")
    caption += f", no room for {left_out}" if left_out else ""
    lines = [Text("\n".join(lines_of(view.headings, widths, width)), style="bold", overflow="fold")]
    lines += [_row(row, view.headings, widths, width) for row in rows]
    return Group(*lines, Text(caption, style="dim", no_wrap=True, overflow="ellipsis"))


def _row(cells: Sequence[str], headings: Sequence[str], widths: Sequence[int], width: int) -> Text:
    # Text, not markup: an image named "nginx[/foo]" is not markup.
    text = Text("\n".join(lines_of(cells, widths, width)), overflow="fold")
    for heading, cell in zip(headings, cells, strict=True):
        if heading in ("STATUS", "READY", "PHASE", "TYPE"):
            text.highlight_words([cell], style=_style(cell)) if cell and _style(cell) else None
    return text


def _style(cell: str) -> str:
    """Returns the colour of a status: green is good, yellow waits, dim has ended, red needs a look."""
    if cell in _GOOD:
        return "green"
    if cell in _DONE:
        return "dim"
    if cell in _WAITING or cell.startswith("Init:"):
        return "yellow"
    return (
        "red"
        if cell.endswith(("Error", "BackOff", "Failed", "OOMKilled", "Evicted", "Pull", "Lost", "failing", "dead"))
        else ""
    )

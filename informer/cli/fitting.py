"""Fits a table into the width of a terminal. No I/O."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["fit", "line_of", "lines_of"]

# The columns that identify a row: they are never cut or left out.
_IDENTIFYING = frozenset(("TYPE", "NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"))
_GAP = "  "
# A column that is cut keeps at least this many characters; below that it is left out.
_LEAST = 8
# Before the columns that do not fit beside the first ones.
_INDENT = "    "


def fit(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Returns the width of each column in characters, 0 for a column that is left out.

    Columns that do not identify a row are cut, the widest most. If they would become too narrow, the last ones are left out,
    and the others have their room.

    Args:
        headings: the headings, in capitals.
        rows: the cells that are shown.
        width: of the terminal, in characters.
    """
    widths = [max([len(heading), *(len(row[at]) for row in rows)]) for at, heading in enumerate(headings)]
    free = [at for at, heading in enumerate(headings) if heading not in _IDENTIFYING]
    while free and _total([min(each, _LEAST) if at in free else each for at, each in enumerate(widths)]) > width:
        widths[free.pop()] = 0
    while _total(widths) > width and free:
        widest = max(free, key=lambda at: (widths[at], at))
        others = max((widths[at] for at in free if widths[at] < widths[widest]), default=_LEAST)
        excess = _total(widths) - width
        widths[widest] -= max(1, min(excess, widths[widest] - max(others, _LEAST)))
    return widths


def lines_of(cells: Sequence[str], widths: Sequence[int], width: int) -> list[str]:
    """Returns a row as one line, or as several if its columns are wider than the terminal: it breaks between columns.

    Args:
        cells: the cells; one that is longer than its column is cut, and ends with an ellipsis.
        widths: of the columns, 0 for one that is left out.
        width: of the terminal, in characters.
    """
    lines: list[list[str]] = [[]]
    used = 0
    for cell, each in zip(cells, widths, strict=True):
        if not each:
            continue
        if lines[-1] and used + len(_GAP) + each > width:
            lines.append([])
            used = len(_INDENT)
        used += each + (len(_GAP) if lines[-1] else 0)
        lines[-1].append(_cut(cell, each).ljust(each))
    return [(_INDENT if at else "") + _GAP.join(line).rstrip() for at, line in enumerate(lines)]


def line_of(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Returns a row as one line, however wide it is. See `lines_of`."""
    (line,) = lines_of(cells, widths, sys.maxsize)
    return line


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"

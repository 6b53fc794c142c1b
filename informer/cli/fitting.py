"""Fits a table into the width of a terminal. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["fit", "line_of"]

# The columns that identify a row: they are never cut or left out.
_IDENTIFYING = frozenset(("TYPE", "NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"))
_GAP = "  "
# A column that is cut keeps at least this many characters; below that it is left out.
_LEAST = 8


def fit(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Returns the width of each column in characters, 0 for a column that is left out.

    Columns that do not identify a row are cut first, the widest most. Then they are left out, the last one first.

    Args:
        headings: the headings, in capitals.
        rows: the cells that are shown.
        width: of the terminal, in characters.
    """
    widths = [max([len(heading), *(len(row[at]) for row in rows)]) for at, heading in enumerate(headings)]
    free = [at for at, heading in enumerate(headings) if heading not in _IDENTIFYING]
    while _total(widths) > width and free:
        widest = max(free, key=lambda at: (widths[at], at))
        if widths[widest] > _LEAST:
            others = max((widths[at] for at in free if widths[at] < widths[widest]), default=_LEAST)
            excess = _total(widths) - width
            widths[widest] -= max(1, min(excess, widths[widest] - max(others, _LEAST)))
        else:
            widths[free.pop()] = 0
    return widths


def line_of(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Returns one line: each cell in its width, a cut one with an ellipsis."""
    shown = (_cut(cell, width).ljust(width) for cell, width in zip(cells, widths, strict=True) if width)
    return _GAP.join(shown).rstrip()


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"

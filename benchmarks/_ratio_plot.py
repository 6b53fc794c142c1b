"""A plot, as SVG, of what each of n replicas costs in relation to one replica alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

_COLOURS = ("#1b6ca8", "#c4472b", "#2e7d4f")
_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 20, 420, 260


def ratio_plot(rows: Mapping[int, Mapping[str, float]], names: Mapping[str, str]) -> str:
    """Returns the plot. Both axes are logarithmic, so that 1/n is a straight line.

    Args:
        rows: the figures by number of replicas; the first row is that of one.
        names: what to show, with its name in the legend.
    """
    doublings = math.log2(max(rows))

    def place(n: float, ratio: float) -> str:
        down = min(1.0, max(0.0, -math.log2(ratio) / doublings))
        return f"{_LEFT + _WIDTH * math.log2(n) / doublings:.0f},{_TOP + _HEIGHT * down:.0f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 20} {_TOP + _HEIGHT + 50}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="100%" height="100%" fill="white"/><rect x="{_LEFT}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" '
        'fill="none" stroke="#999"/>',
    ]
    for n in rows:
        x = place(n, 1).partition(",")[0]
        y = place(1, 1 / n).partition(",")[2]
        parts.append(f'<text x="{x}" y="{_TOP + _HEIGHT + 20}" text-anchor="middle">{n}</text>')
        parts.append(f'<text x="{_LEFT - 8}" y="{int(y) + 4}" text-anchor="end">{"1" if n == 1 else f"1/{n}"}</text>')
    parts.append(f'<text x="{_LEFT + _WIDTH / 2}" y="{_TOP + _HEIGHT + 42}" text-anchor="middle">replicas</text>')
    ideal = " ".join(place(n, 1 / n) for n in rows)
    parts.append(f'<polyline points="{ideal}" fill="none" stroke="#999" stroke-dasharray="5 4"/>')
    first = next(iter(rows.values()))
    for number, (key, name) in enumerate(names.items()):
        points = [place(n, row[key] / first[key]) for n, row in rows.items()]
        colour = _COLOURS[number]
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in (each.split(",") for each in points)]
        parts.append(
            f'<text x="{_LEFT + _WIDTH - 10}" y="{_TOP + 20 + 18 * number}" text-anchor="end" fill="{colour}">{name}</text>'
        )
    parts.append(
        f'<text x="{_LEFT + _WIDTH - 10}" y="{_TOP + 74}" text-anchor="end" fill="#777">1/n (dashed)</text></svg>\n'
    )
    return "\n".join(parts)

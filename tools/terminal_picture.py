"""Draws the picture of the README: `informer watch pods -A` on the pods of the embedded API server, as SVG.

    python tools/terminal_picture.py            # writes docs/terminal.svg

The same pods and ages each time, so that the file changes only with the command's look.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from informer import SharedInformer
from informer.cli.cluster import Cluster
from informer.cli.live_table import View, _drawing
from informer.cli.serve import DemoPods
from informer.cli.watch import WatchOptions, _Columns
from informer.testing import EmbeddedAPIServer

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "terminal.svg"
WIDTH, HEIGHT = 80, 15
SEED, PODS, CHANGES = 13, 11, 75
AGES = ("3d4h", "47m", "5m12s", "22s", "9h", "118m", "41s")


def view() -> View:
    """Returns the table of seeded pods. The ages depend on the row only: the real ones are those of the last second."""
    with EmbeddedAPIServer() as server, server.api_client() as api_client:
        demo = DemoPods(server, SEED)
        demo.fill(PODS)
        for _ in range(CHANGES):
            demo._step()  # noqa: SLF001
        cluster = Cluster(api_client, None, is_explicit=False, address=server.url)
        columns = _Columns(cluster, WatchOptions(resource="pods"), with_namespace=True)
        informer = SharedInformer(columns.source, name="pods")
        with informer:
            informer.wait_for_sync(30, raise_on_error=True)
            made = columns.view(informer)
    age = made.headings.index("AGE")
    rows = [[*row[:age], AGES[at % len(AGES)], *row[age + 1 :]] for at, row in enumerate(made.rows)]
    return View(made.headings, rows, made.caption)


def draw() -> str:
    """Returns the picture."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text("$ informer watch pods -A"))
    console.print(_drawing(view(), WIDTH, HEIGHT))
    return console.export_svg(title="kube-informer", unique_id="informer")


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE}: {PICTURE.stat().st_size} bytes\n")

"""Writes HTML whose text is always escaped, and free of control characters and credentials."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from itertools import pairwise
from urllib.parse import urlencode

from informer.metrics.live_page.state import Sample
from watch.printable import printable

__all__ = ["Html", "Table", "document", "element", "join", "link_to", "plot", "preformatted", "rates"]

_MAX_TEXT = 600
_WIDTH, _HEIGHT = 90, 22


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def element(name: str, /, *content: object, **attributes: str | bool | None) -> Html:
    """Returns an element.

    Args:
        name: its name.
        content: `Html` as it is; anything else is shown as text.
        attributes: by name, with "_" for "-" and at the end of a reserved word. None and False leave one out.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_attribute(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    inner = join(content)
    return Html(f"<{name}{written}>" if name in ("input", "link", "meta") else f"<{name}{written}>{inner}</{name}>")


def join(content: Iterable[object]) -> Html:
    """Returns content, escaped where it is not HTML, one after another."""
    return Html("".join(each if isinstance(each, Html) else _text(each) for each in content))


def preformatted(lines: Iterable[str], label: str) -> Html:
    """Returns lines of text that are fit to be shown, with their indentation, in a region that scrolls."""
    text = Html("\n".join(map(html.escape, lines)))
    return element("pre", text, tabindex="0", role="region", aria_label=label)


def link_to(page: str, /, **query: object) -> str:
    """Returns the relative address of a page; a value that is empty is left out."""
    given = {name: str(value) for name, value in query.items() if value}
    return f"{page}?{urlencode(given, errors='surrogatepass')}" if given else page


class Table:
    """A table with a caption, whose rows are kept up to date by the page's script.

    Args:
        id: begins the ids of its rows.
        caption: what the table shows.
        headings: of the columns; one that begins with "#" is of numbers.
    """

    def __init__(self, id: str, caption: str, headings: Sequence[str]) -> None:
        self._id = id
        self._caption = caption
        self._headings = headings
        self._rows: list[Html] = []

    def add(self, name: object, *cells: object, state: str | None = None) -> None:
        """Adds a row. `name` is its heading; `state` a class for its colour."""
        shown = [
            element("td", cell, class_="number" if heading.startswith("#") else None)
            for cell, heading in zip(cells, self._headings[1:], strict=True)
        ]
        row = element("th", name, scope="row")
        self._rows.append(element("tr", row, *shown, id=f"{self._id}-{len(self._rows)}", class_=state))

    def html(self, empty: str) -> Html:
        """Returns the table in a region that scrolls, or a sentence if it has no rows."""
        if not self._rows:
            return element("p", empty, id=self._id, data_live=True)
        heads = [
            element("th", each.lstrip("#"), scope="col", class_="number" if each.startswith("#") else None)
            for each in self._headings
        ]
        caption = element("caption", self._caption, id=f"{self._id}-caption")
        body = element("tbody", *self._rows)
        table = element("table", caption, element("thead", element("tr", *heads)), body, id=self._id, data_live=True)
        # A region that scrolls must be reachable by keyboard.
        return element(
            "div", table, class_="scroll", role="region", aria_labelledby=f"{self._id}-caption", tabindex="0"
        )


def plot(values: Sequence[float], what: str, unit: str) -> Html:
    """Returns a small line of values over time, oldest first, which a screen reader reads as a sentence."""
    if len(values) < 2:
        return Html("")
    highest = max(values)
    step = _WIDTH / (len(values) - 1)
    # The full height is at least 1, so that tiny values look tiny.
    heights = (value / max(1, highest) * (_HEIGHT - 2) for value in values)
    points = " ".join(f"{at * step:.0f},{_HEIGHT - 1 - height:.0f}" for at, height in enumerate(heights))
    label = f"{what}: now {values[-1]:.3g} {unit}, at most {highest:.3g}"
    size = {"width": str(_WIDTH), "height": str(_HEIGHT), "viewBox": f"0 0 {_WIDTH} {_HEIGHT}"}
    return element("svg", element("polyline", points=points), role="img", aria_label=label, **size)


def rates(history: Sequence[Sample]) -> list[float]:
    """Returns the events per second between samples."""
    return [
        max(0.0, (after.events - before.events) / max(0.001, after.at - before.at))
        for before, after in pairwise(history)
    ]


def document(title: str, *content: object) -> bytes:
    """Returns a whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("link", rel="stylesheet", href="page.css"),
        element("script", src="page.js", defer=True),
    )
    skip = element("a", "Skip to content", href="#main", class_="skip")
    main = element("main", *content, id="main", tabindex="-1")
    page = element("html", head, element("body", skip, main), lang="en")
    return f"<!doctype html>\n{page}\n".encode(errors="replace")


def _attribute(value: str | bool) -> str:
    # As it is, since a form sends it back; but without bytes that control the terminal of a program such as curl.
    return "".join(each if each.isprintable() else f"&#{ord(each)};" for each in html.escape(str(value)))


def _text(value: object) -> str:
    return html.escape(printable(str(value), _MAX_TEXT))

"""Opens the pages of a WSGI application, and parses their HTML strictly."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from tests.informer.metrics.conftest import Answer

__all__ = ["Browser", "Element", "Parsed"]

# Elements without an end tag.
_VOID = {"meta", "link", "input"}


@dataclass(eq=False)
class Element:
    """An element, with the text and the elements in it."""

    name: str
    attributes: dict[str, str | None]
    words: list[str] = field(default_factory=list)
    inside: list[Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text, with single spaces and one between elements."""
        return " ".join(" ".join(self.words).split())


class Parsed(HTMLParser):
    """A page. Fails if an element is not closed in order, or has an attribute twice."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, dict(attrs))
        assert len(made.attributes) == len(attrs)
        self.elements.append(made)
        for each in self._open:
            each.inside.append(made)
        if tag not in _VOID:
            self._open.append(made)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag

    def handle_data(self, data: str) -> None:
        for each in self._open:
            each.words.append(data)

    @property
    def text(self) -> str:
        """The text of the whole page."""
        return self.all("html")[0].text

    def all(self, name: str, /, **attributes: str) -> list[Element]:
        """The elements of a name that have all of these attributes."""
        return [each for each in self.elements if each.name == name and attributes.items() <= each.attributes.items()]

    def rows(self, table: str) -> list[list[str]]:
        """The texts of the cells of each row of a table."""
        rows = [each for each in self.all("tr") if str(each.attributes.get("id")).startswith(f"{table}-")]
        return [[cell.text for cell in row.inside if cell.name in ("th", "td")] for row in rows]

    def link(self, text: str) -> str | None:
        """The address of the link of a text; None if there is none."""
        return next((each.attributes["href"] for each in self.all("a") if each.text == text), None)

    def json(self) -> Any:
        """The JSON that the page shows."""
        return json.loads("".join(self.all("pre")[0].words))


class Browser:
    """Opens pages of an application."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def ask(self, address: str = "/", method: str = "GET", **environ: str) -> Answer:
        """Sends a request."""
        parts = urlsplit(address if address.startswith("/") else f"/{address}")
        return Answer(self._app, parts.path, method, QUERY_STRING=parts.query, **environ)

    def open(self, address: str = "/") -> Parsed:
        """Opens a page, which must be there."""
        answer = self.ask(address)
        assert answer.status == 200
        return Parsed(answer.text)

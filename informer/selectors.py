"""Label selectors, as kubectl and the API server read them.

Comes in: "app=web,tier!=db,env in (dev,test),!legacy". Goes out: a test of labels.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

__all__ = ["NOTHING", "LabelSelector", "Requirement", "parse_selector"]

_TOKEN = re.compile(r"\s*(==|!=|=|!|,|\(|\)|[^\s,()=!]+)\s*")
_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")


class Requirement(NamedTuple):
    """One condition on one label."""

    key: str
    operator: str  # "in", "notin", "exists" or "!exists"
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it; a label that is missing meets "notin"."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        return (value is not None) == (self.operator == "exists")


class LabelSelector:
    """A test of labels.

    Args:
        requirements: all of which have to be met.
        nothing: matches no object at all.
    """

    def __init__(self, requirements: tuple[Requirement, ...] = (), *, nothing: bool = False) -> None:
        self.requirements = requirements
        self.nothing = nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet every requirement."""
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def everything(self) -> bool:
        """Whether it matches every object."""
        return not self.nothing and not self.requirements


NOTHING = LabelSelector(nothing=True)
"""Matches no object."""


def parse_selector(selector: str | Mapping[str, str] | LabelSelector | None) -> LabelSelector:
    """Reads a label selector.

    Args:
        selector: in the server's syntax; or a mapping of labels that must be equal; None or "" match everything.

    Raises:
        ValueError: it cannot be read; the message says where.
        TypeError: it is none of these.
    """
    if selector is None:
        return LabelSelector()
    if isinstance(selector, LabelSelector):
        return selector
    if isinstance(selector, str):
        return _parse(selector)
    if isinstance(selector, Mapping):
        return LabelSelector(tuple(Requirement(key, "in", frozenset({value})) for key, value in selector.items()))
    raise TypeError(f"a label selector is a string or a mapping of labels, not {type(selector).__name__}")


@lru_cache(maxsize=256)
def _parse(text: str) -> LabelSelector:
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    if tokens.peek() is None:
        return LabelSelector()
    while True:
        requirements.append(_requirement(tokens))
        token = tokens.take()
        if token is None:
            return LabelSelector(tuple(requirements))
        if token != ",":
            raise tokens.error(f"',' or the end expected, not {token!r}")


def _requirement(tokens: _Tokens) -> Requirement:
    token = tokens.take()
    if token == "!":
        return Requirement(tokens.word("a label's key", _KEY), "!exists")
    key = tokens.check(token, "a label's key", _KEY)
    operator = tokens.peek()
    if operator is None or operator == ",":
        return Requirement(key, "exists")
    tokens.take()
    if operator in ("=", "=="):
        return Requirement(key, "in", frozenset({tokens.value()}))
    if operator == "!=":
        return Requirement(key, "notin", frozenset({tokens.value()}))
    if operator in ("in", "notin"):
        return Requirement(key, operator, frozenset(tokens.values()))
    raise tokens.error(f"an operator expected, not {operator!r}")


class _Tokens:
    """The words of a selector, one after another."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = list(self._split(text))
        self._at = 0

    def error(self, what: str) -> ValueError:
        return ValueError(f"cannot read the label selector {self._text!r}: {what}")

    def peek(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def take(self) -> str | None:
        word = self.peek()
        self._at += 1
        return word

    def check(self, word: str | None, what: str, pattern: re.Pattern[str]) -> str:
        if word is None or not pattern.match(word):
            raise self.error(f"{what} expected, not {word!r}" if word is not None else f"{what} expected at its end")
        return word

    def word(self, what: str, pattern: re.Pattern[str]) -> str:
        return self.check(self.take(), what, pattern)

    def value(self) -> str:
        """A value; an empty one stands between an operator and a comma or the end."""
        if self.peek() in (None, ","):
            return ""
        return self.word("a label's value", _VALUE)

    def values(self) -> Iterator[str]:
        if self.take() != "(":
            raise self.error("'(' expected after in or notin")
        while True:
            yield "" if self.peek() in (",", ")") else self.word("a label's value", _VALUE)
            token = self.take()
            if token == ")":
                return
            if token != ",":
                raise self.error("',' or ')' expected in a list of values")

    def _split(self, text: str) -> Iterator[str]:
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                if text[at:].strip():
                    raise self.error(f"{text[at:]!r} is no part of one")
                return
            yield found[1]
            at = found.end()

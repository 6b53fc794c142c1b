"""Label selectors such as "app=web,tier!=db,env in (dev,test),!legacy,generation>3", parsed as the API server parses them.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors, apimachinery pkg/labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "NOTHING",
    "LabelSelector",
    "Requirement",
    "Selector",
    "field_selector_text",
    "parse_selector",
    "selector_text",
]

_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!,()<>]|[^ \t\r\n=!,()<>]+)")
_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_DOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
_LONGEST_DOMAIN = 253
_INTEGER = re.compile(r"[-+]?[0-9]{1,63}\Z")
_SPECIAL = re.compile(r"[\\,=]")
_BACKSLASH = r"\\\g<0>"
_WORD = re.compile(r"[^=!,()<>]")


class Requirement(NamedTuple):
    """One condition on one label.

    Attributes:
        key: the label's key.
        operator: "in", "notin", "exists", "!exists", ">" or "<".
        values: the values of "in" and "notin".
        bound: the number of ">" and "<".
    """

    key: str
    operator: str
    values: frozenset[str] = frozenset()
    bound: int = 0

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet the condition. A missing label meets only "notin" and "!exists"."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!exists":
                return value is None
        number = None if value is None else _integer(value)
        if number is None:
            return False
        return number > self.bound if self.operator == ">" else number < self.bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!exists":
                return f"!{self.key}"
            case "in" | "notin" if len(self.values) == 1:
                return f"{self.key}{'=' if self.operator == 'in' else '!='}{next(iter(self.values))}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
        return f"{self.key}{self.operator}{self.bound}"


class LabelSelector:
    """A parsed label selector.

    Args:
        requirements: conditions that an object's labels must all meet. None at all match every object.
        nothing: True matches no object.
    """

    def __init__(self, requirements: tuple[Requirement, ...] = (), *, nothing: bool = False) -> None:
        self.requirements = requirements
        self.nothing = nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet every requirement."""
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def everything(self) -> bool:
        """Whether the selector matches every object."""
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        return "<nothing>" if self.nothing else ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return f"<LabelSelector {self}>"


NOTHING = LabelSelector(nothing=True)
"""A selector that matches no object."""


Selector: TypeAlias = str | Mapping[str, str] | LabelSelector | None
"""A label selector as users give it: see `parse_selector`."""


def selector_text(selector: Selector) -> str:
    """Returns a label selector in the API server's syntax, for a request; "" for one that matches every object.

    Args:
        selector: text, which is left for the server to check; a mapping of labels to values; or a parsed selector. None
            matches every object.

    Raises:
        ValueError: the mapping is not of valid labels, or the selector matches nothing, which a request cannot say.
        TypeError: the selector is of another type.
    """
    if isinstance(selector, str):
        return selector
    parsed = parse_selector(selector)
    if parsed.nothing:
        raise ValueError("a label selector that matches nothing cannot be sent to a server")
    return str(parsed)


def field_selector_text(selector: str | Mapping[str, str] | None) -> str:
    """Returns a field selector in the API server's syntax, for a request; "" for one that matches every object.

    Args:
        selector: text, which is left for the server to check; or a mapping such as {"spec.nodeName": "node-1"}. None matches
            every object.

    Raises:
        TypeError: the selector is of another type.

    Source: apimachinery pkg/fields EscapeValue.
    """
    if selector is None or isinstance(selector, str):
        return selector or ""
    given: Any = selector
    if not isinstance(given, Mapping) or not all(isinstance(each, str) for pair in given.items() for each in pair):
        raise TypeError(f"a field selector is a string or a mapping of strings, not {type(given).__name__}")
    return ",".join(f"{field}={_SPECIAL.sub(_BACKSLASH, value)}" for field, value in selector.items())


def parse_selector(selector: Selector) -> LabelSelector:
    """Parses a label selector.

    Args:
        selector: text in the API server's syntax, a mapping from label keys to the values that they must have, or a parsed
            selector. None and "" match every object.

    Raises:
        ValueError: the selector is malformed; the message says where and why.
        TypeError: the selector is of another type.
    """
    if selector is None:
        return LabelSelector()
    if isinstance(selector, LabelSelector):
        return selector
    if isinstance(selector, str):
        return _parse(selector)
    if isinstance(selector, Mapping):
        return LabelSelector(tuple(_equals(key, value) for key, value in selector.items()))
    raise TypeError(f"a label selector is a string or a mapping of labels, not {type(selector).__name__}")


def _equals(key: object, value: object) -> Requirement:
    if not isinstance(key, str) or not isinstance(value, str):
        raise TypeError(f"a mapping of labels must have strings as keys and values, not {key!r}: {value!r}")
    if not _is_key(key) or not _is_value(value):
        raise ValueError(
            f"{key!r}: {value!r} is not a valid label (check the characters, and that neither is over 63 characters long)"
        )
    return Requirement(key, "in", frozenset({value}))


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
    if tokens.peek() == "!":
        tokens.take()
        return Requirement(tokens.key(), "!exists")
    key = tokens.key()
    operator = tokens.peek()
    if operator is None or operator == ",":
        return Requirement(key, "exists")
    tokens.take()
    match operator:
        case "=" | "==":
            return Requirement(key, "in", frozenset({tokens.value()}))
        case "!=":
            return Requirement(key, "notin", frozenset({tokens.value()}))
        case "in" | "notin":
            return Requirement(key, operator, frozenset(tokens.values()))
        case ">" | "<":
            return Requirement(key, operator, bound=tokens.number(operator))
    raise tokens.error(f"an operator (=, ==, !=, in, notin, > or <) expected after {key!r}, not {operator!r}")


class _Tokens:
    """The words and operators of a selector, read one by one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def error(self, what: str) -> ValueError:
        return ValueError(f"cannot read the label selector {self._text!r}: {what}")

    def peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self) -> str | None:
        token = self.peek()
        self._at += 1
        return token

    def key(self) -> str:
        word = self._word("a label key")
        if not _is_key(word):
            raise self.error(
                f"{word!r} is not a label key: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a "
                "letter or digit, optionally after a DNS name and '/'"
            )
        return word

    def value(self) -> str:
        """Takes a value, which is empty before a comma or at the end."""
        if self.peek() in (None, ","):
            return ""
        word = self._word("a label value")
        if not _is_value(word):
            raise self.error(
                f"{word!r} is not a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a "
                "letter or digit"
            )
        return word

    def values(self) -> Iterator[str]:
        if self.take() != "(":
            raise self.error("'(' expected after in or notin")
        while True:
            yield "" if self.peek() == ")" else self.value()
            token = self.take()
            if token == ")":
                return
            if token != ",":
                raise self.error(f"',' or ')' expected in a list of values, not {token or 'the end'!r}")

    def number(self, operator: str) -> int:
        word = self.value()
        number = _integer(word)
        if number is None:
            raise self.error(f"an integer expected after {operator!r}, not {word!r}")
        return number

    def _word(self, what: str) -> str:
        word = self.take()
        if word is None:
            raise self.error(f"{what} expected at its end")
        if not _WORD.match(word):
            raise self.error(f"{what} expected, not {word!r}")
        return word


def _is_key(text: str) -> bool:
    domain, slash, name = text.rpartition("/")
    if slash and (len(domain) > _LONGEST_DOMAIN or not _DOMAIN.match(domain)):
        return False
    return _NAME.match(name) is not None


def _is_value(text: str) -> bool:
    return not text or _NAME.match(text) is not None


def _integer(text: str) -> int | None:
    """A signed 64-bit number as Go's strconv.ParseInt reads it; None for other text."""
    if not _INTEGER.match(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None

"""The formats of strings that schemas may demand.

Source: kube-openapi pkg/validation/strfmt.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from email.utils import parseaddr
from urllib.parse import urlsplit

__all__ = ["FORMATS", "UNCHECKED", "parse_duration", "parse_time"]

_PARTS = re.compile(r"(\d+(?:\.\d*)?)\s*([a-zµμ]+)")
# By the beginnings of the units' names, such as "ms" and "milli".
_UNITS = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "mic": 1e-6, "ms": 1e-3, "mil": 1e-3, "s": 1.0, "m": 60.0}
_UNITS |= {"h": 3600.0, "d": 86400.0, "w": 604800.0}
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HEX = "[0-9a-f]"


def parse_duration(text: str) -> timedelta:
    """Returns a duration such as "1h30m" or "3 days".

    Raises:
        ValueError: it is not a duration.
    """
    parts = _PARTS.findall(text.lower())
    if not (parts or text == "0") or any(unit[0] not in _UNITS for _, unit in parts):
        raise ValueError(f"unable to parse {text} as duration")
    seconds = sum(float(number) * _unit(unit) for number, unit in parts)
    return timedelta(seconds=-seconds if text[0] == "-" else seconds)


def _unit(name: str) -> float:
    return next(_UNITS[name[:n]] for n in (3, 2, 1) if name[:n] in _UNITS)


def parse_time(text: str) -> datetime:
    """Returns a time such as "2026-01-31T00:00:00Z", or a date.

    Raises:
        ValueError: it is neither.
    """
    if len(text) == len("2026-01-31"):
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[-+]\d\d:\d\d)", text):
        raise ValueError(f"{text} is not a time")
    return datetime.fromisoformat(text.upper())


def _is_date(text: str) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text) and date.fromisoformat(text))


def _is_time(text: str) -> bool:
    return "T" in text.upper() and bool(parse_time(text))


def _is_uri(text: str) -> bool:
    if re.search(r"[\s<>\"{}|\\^`]", text):
        return False
    return text.startswith("/") or bool(urlsplit(text).scheme)


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: bool(re.fullmatch(pattern, text, re.IGNORECASE | re.ASCII))


def _uuid(version: str) -> Callable[[str], bool]:
    variant = "[89ab]" if version in "45" else _HEX
    return _matches(rf"{_HEX}{{8}}-?{_HEX}{{4}}-?{version}{_HEX}{{3}}-?{variant}{_HEX}{{3}}-?{_HEX}{{12}}")


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return parse(text) is not False
        except ValueError:
            return False

    return check


FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "cidr": _parses(lambda text: "/" in text and ipaddress.ip_network(text, strict=False)),
    "date": _parses(_is_date),
    "date-time": _parses(_is_time),
    "duration": _parses(parse_duration),
    "email": lambda text: bool(re.fullmatch(r"[^@\s]+@[^@\s]+", parseaddr(text)[1])),
    "hostname": _matches(rf"{_LABEL}|({_LABEL}\.)+[a-z]{{2,63}}"),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "k8s-long-name": lambda text: len(text) < 254 and bool(re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", text)),
    "k8s-short-name": lambda text: bool(re.fullmatch(_LABEL, text)),
    "mac": _matches(rf"{_HEX}{{2}}([:-]{_HEX}{{2}}){{5,7}}|{_HEX}{{4}}(\.{_HEX}{{4}}){{2}}"),
    "password": _matches(".*"),
    "uri": _is_uri,
    "uuid": _uuid(_HEX),
    **{f"uuid{version}": _uuid(version) for version in "345"},
}
"""Checks of a string, by format."""

UNCHECKED = {
    "bsonobjectid", "creditcard", "datetime", "hexcolor", "isbn", "isbn10", "isbn13", "rgbcolor", "ssn",
}  # fmt: skip
"""Formats that the real server checks, and that this one refuses in definitions."""

"""The functions that Kubernetes adds to the Common Expression Language (CEL).

Values of Kubernetes' own types (quantities and addresses) are maps with one entry, from the type's name to a form that
is equal for equal values.

Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-cel-libraries
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from informer.testing.storage.kinds.quantities import value_of
from informer.testing.storage.schemas.validation import pattern_of

__all__ = ["FUNCTIONS", "KNOWN_MISSING"]

KNOWN_MISSING = {
    "format", "validate", "named", "transformList", "transformMap", "transformMapEntry", "sortBy", "sort", "reverse",
    "distinct", "flatten", "slice", "first", "last", "range", "includes", "url", "isURL", "semver", "isSemver", "masked",
    "prefixLength", "add", "sub", "asApproximateFloat", "lastIndexOf", "sets",
    "isUnspecified", "isLoopback", "isLinkLocalMulticast", "isLinkLocalUnicast", "isGlobalUnicast",
}  # fmt: skip
"""Functions of Kubernetes that this server does not have."""


_PARSERS: dict[str, Callable[[str], Any]] = {
    "quantity": Decimal,
    "ip": ipaddress.ip_address,
    "cidr": ipaddress.ip_interface,
}


def _quantity(value: Decimal) -> dict[str, str]:
    return {"quantity": format(value.normalize(), "f")}


def _cidr(text: Any) -> dict[str, str]:
    if "/" not in text:
        raise ValueError(f"network address parse error during conversion from string: {text}")
    return {"cidr": str(ipaddress.ip_interface(text))}


def _of(kind: str, value: Any) -> Any:
    """Returns the Python value of a value of one of Kubernetes' own types."""
    if not isinstance(value, Mapping) or kind not in value:
        raise ValueError("no such overload")
    return _PARSERS[kind](value[kind])


def _compare(one: Any, other: Any) -> Any:
    first, second = (_of(next(iter(each)), each) if isinstance(each, Mapping) else each for each in (one, other))
    return (first > second) - (first < second)


def _integer(value: Any) -> int:
    number = _of("quantity", value)
    if number != number.to_integral_value():
        raise ValueError("cannot convert value to integer")
    return int(number)


def _succeeds(parse: Callable[[Any], object]) -> Callable[[Any], bool]:
    def check(text: Any) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _holds(cidr: Any, other: Any) -> bool:
    outer = _of("cidr", cidr).network
    inner = ipaddress.ip_interface(other if isinstance(other, str) else next(iter(other.values()))).network
    return inner.version == outer.version and inner.subnet_of(outer)


def _found(text: Any, pattern: Any) -> list[str]:
    return [found[0] for found in pattern_of(pattern).finditer(text)]


def _functions() -> Iterator[tuple[str, str, str, Callable[..., Any]]]:
    parsers = {
        "Quantity": lambda text: _quantity(value_of(text)),
        "CIDR": _cidr,
        "IP": lambda text: {"ip": str(ipaddress.ip_address(text))},
    }
    for name, parse in parsers.items():
        yield name.lower(), "s", "?", parse
        yield f"is{name}", "s", "b", _succeeds(parse)
    yield from (
        ("isLessThan", ".??", "b", lambda one, other: _compare(one, other) < 0),
        ("isGreaterThan", ".??", "b", lambda one, other: _compare(one, other) > 0),
        ("compareTo", ".??", "i", _compare),
        ("sign", "?", "i", lambda value: _compare(value, {"quantity": "0"})),
        ("isInteger", ".?", "b", _succeeds(_integer)),
        ("asInteger", ".?", "i", _integer),
        ("family", ".?", "i", lambda value: _of("ip", value).version),
        ("ip.isCanonical", "s", "b", lambda text: str(ipaddress.ip_address(text)) == text),
        ("ip", ".?", "?", lambda value: {"ip": str(_of("cidr", value).ip)}),
        ("containsIP", ".??", "b", _holds),
        ("containsCIDR", ".??", "b", _holds),
        ("find", ".ss", "s", lambda text, pattern: (_found(text, pattern) or [""])[0]),
        ("findAll", ".ss", "l", _found),
        ("isSorted", ".l", "b", lambda items: all(_compare(*pair) <= 0 for pair in itertools.pairwise(items))),
        ("sum", ".l", "?", lambda items: sum(items[1:], items[0]) if items else 0),
        ("min", ".l", "?", min),
        ("max", ".l", "?", max),
        ("indexOf", ".l?", "i", lambda items, wanted: items.index(wanted) if wanted in items else -1),
    )


FUNCTIONS = tuple(_functions())
"""Name, types of the arguments, type of the result, and function of each.

The types are letters: s string, i int, b bool, f double, l list, ? any. A dot before those of the arguments marks a method.
"""

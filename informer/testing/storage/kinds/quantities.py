"""Quantities, such as "500m" or "1Gi": their values, and the form in which the real server stores them.

Source: apimachinery pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from informer.testing.storage.statuses import bad_request

__all__ = ["canonical", "canonical_values", "value_of"]

_QUANTITY = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+|)\Z")
_DECIMAL = {suffix: 3 * i - 9 for i, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"))}
_BINARY = {suffix: 1024**i for i, suffix in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_MALFORMED = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def value_of(quantity: Any) -> Decimal:
    """Returns a quantity's value.

    Raises:
        ValueError: it is not a quantity.
    """
    return _parse(quantity)[0]


def canonical(quantity: Any) -> str:
    """Returns a quantity as the real server writes it: without fractions, with the largest suffix that fits.

    Raises:
        ValueError: it is not a quantity.
    """
    value, suffix = _parse(quantity)
    value = (value * 10**9).to_integral_value(ROUND_CEILING) / 10**9
    if value == 0:
        return "0"
    if suffix in _BINARY and suffix and value == value.to_integral_value() and abs(value) >= 1024:
        fits = next(name for name in reversed(_BINARY) if value % _BINARY[name] == 0)
        return f"{value / _BINARY[fits]:f}{fits}"
    if suffix[:1] in ("e", "E") and suffix != "E":
        exponent = next(power for power in range(18, -12, -3) if value % Decimal(10) ** power == 0)
        return f"{value / Decimal(10) ** exponent:f}{f'{suffix[0]}{exponent}' if exponent else ''}"
    fits = next(name for name in reversed(_DECIMAL) if value % Decimal(10) ** _DECIMAL[name] == 0)
    return f"{value / Decimal(10) ** _DECIMAL[fits]:f}{fits}"


def canonical_values(quantities: dict[str, Any]) -> None:
    """Rewrites the quantities of a mapping such as the limits of a container.

    Raises:
        ApiError: 400, one of them is not a quantity.
    """
    for name, quantity in quantities.items():
        try:
            quantities[name] = canonical(quantity)
        except ValueError as error:
            raise bad_request(str(error)) from error


def _parse(quantity: Any) -> tuple[Decimal, str]:
    found = _QUANTITY.match(str(quantity))
    if found is None or isinstance(quantity, (bool, Mapping, list)):
        raise ValueError(_MALFORMED)
    number, suffix = Decimal(found["number"]), found["suffix"]
    if suffix in _BINARY:
        return number * _BINARY[suffix], suffix
    if suffix in _DECIMAL:
        return number * Decimal(10) ** _DECIMAL[suffix], suffix
    return number * Decimal(10) ** int(suffix[1:]), suffix

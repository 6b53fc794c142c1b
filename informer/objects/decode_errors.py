"""Describes why an object does not decode: by the path of the field, and never by its value, which may be of a Secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

__all__ = ["ModelError", "describe_decode_error"]

# The forms of msgspec's messages that quote types and names of the model only.
_SAFE = re.compile(r"Expected `[^`]*`(?:, got `[^`]*`)?\Z")
_MISSING = re.compile(r"Object missing required field `([^`]*)`\Z")
_AT = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>(?:key in )?\$[^`]*)`)?\Z", re.DOTALL)
_REQUIRED = re.compile(r"Invalid value for `(\w+)`, must not be `None`")


class ModelError(ValueError):
    """An object does not decode to a model, or its transform returned no object. The message quotes no value of the object."""


def describe_decode_error(error: BaseException) -> str:
    """Returns the error's type and, if it is known, the path of the field and what was expected there.

    Args:
        error: what a model or a transform raised.

    Example:
        >>> class Pod(msgspec.Struct):
        ...     spec: dict[str, str]
        >>> try:
        ...     msgspec.json.decode(b'{"spec": 5}', type=Pod)
        ... except msgspec.ValidationError as error:
        ...     describe_decode_error(error)
        'ValidationError at spec: Expected `object`, got `int`'
    """
    name = type(error).__name__
    if isinstance(error, ModelError):
        return str(error)
    if isinstance(error, msgspec.ValidationError):
        return _of_msgspec(name, str(error))
    places = _places(error)
    if places is not None:
        return name + (f" at {places}" if places else "")
    required = _REQUIRED.match(str(error)) if isinstance(error, ValueError) else None
    return f"{name} at {required[1]}: must not be null" if required else name


def _of_msgspec(name: str, message: str) -> str:
    found = _AT.match(message)
    what, path = (found["what"], found["path"] or "") if found else ("", "")
    field = path.removeprefix("key in ").removeprefix("$").removeprefix(".")
    missing = _MISSING.match(what)
    if missing is not None:
        return f"{name} at {field + '.' if field else ''}{missing[1]}: the required field is missing"
    where = f" at {field}" if field else ""
    return f"{name}{where}: {what}" if _SAFE.match(what) else f"{name}{where}"


def _places(error: BaseException) -> str | None:
    """The paths and kinds of a pydantic ValidationError's problems, which its text quotes values beside; None for others."""
    errors = getattr(error, "errors", None)
    if not type(error).__module__.startswith("pydantic") or not callable(errors):
        return None
    try:
        problems: Iterable[Any] = errors(include_url=False, include_context=False, include_input=False)
        return ", ".join(f"{_path(problem['loc'])} ({problem['type']})" for problem in list(problems)[:3])
    except Exception:
        return ""


def _path(location: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in location) or "the object"

"""Finds keys that occur twice in an object of a request's body: a JSON decoder takes the last one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["duplicate_fields"]


def duplicate_fields(body: bytes, media: str) -> list[str]:
    """Returns what the real server says about each key that occurs twice.

    Args:
        body: the body of a request; one that is not JSON has no such keys.
        media: its media type.
    """
    with contextlib.suppress(ValueError, RecursionError):
        # A key that is dropped takes its quotes with it. Only then is it worth it to look for the key.
        if msgspec.json.encode(msgspec.json.decode(body)).count(b'"') == body.count(b'"'):
            return []
        prefix = "json patch " if "json-patch" in media else ""
        return [
            f'{prefix}duplicate field "{path}"' for path in _in_json(json.loads(body, object_pairs_hook=_Pairs), "")
        ]
    return []


class _Pairs(list[Any]):
    """The keys and values of a JSON object, as they come."""


def _in_json(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen = set()
        for key, each in value:
            inner = f"{path}.{key}" if path else key
            if key in seen:
                yield inner
            seen.add(key)
            yield from _in_json(each, inner)
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from _in_json(each, f"{path}[{i}]")

"""Objects that are nested more deeply than Python can work on: what is deep in them stays undecoded.

The server copies, compares and merges objects with functions that call themselves. So they work on the upper levels only, in
which each deeper container is a `msgspec.Raw`, which is stored and sent as it came.

Source: Go encoding/json decodes 10,000 levels.
"""

from __future__ import annotations

from typing import Any

import msgspec

from watch.deep_json import check_json, decode_levels

__all__ = ["DEEP", "decode_object_json"]

# Each of these takes up to three calls in the functions that merge and copy objects.
_LEVELS = 64

DEEP = "the object is nested too deeply for this server to change it there"


def decode_object_json(raw: bytes) -> Any:
    """Decodes JSON; the containers below some levels are `msgspec.Raw`.

    Raises:
        msgspec.DecodeError: `raw` is not JSON, or is nested more deeply than an API server accepts.
    """
    try:
        value = msgspec.json.decode(raw)
    except RecursionError:
        pass
    else:
        if raw.count(b"[") + raw.count(b"{") <= _LEVELS or not _is_deep(value):
            return value
    check_json(raw)
    return decode_levels(raw, _LEVELS)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_LEVELS):
        level = [
            each
            for one in level
            if isinstance(one, (dict, list))
            for each in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(each, (dict, list)) for each in level)

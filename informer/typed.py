"""Decoders of users' types, made once each."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

__all__ = ["decoder_for"]


@lru_cache(maxsize=256)
def decoder_for(type: Any) -> msgspec.json.Decoder[Any]:
    """The decoder of a msgspec.Struct, dataclass or TypedDict."""
    return msgspec.json.Decoder(type)

"""Collects the pages of a list until it is complete."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["PagedList"]


@dataclass(slots=True)
class PagedList:
    """A list whose pages are being requested.

    Attributes:
        begun: when the first page was requested, by the reflector's clock.
        version: the resourceVersion of the first page, which is that of the whole list.
        items: the objects of the pages that have arrived.
        undecodable: the keys of the objects that have arrived and do not decode.
    """

    begun: float = 0.0
    version: str = ""
    items: list[Any] = field(default_factory=list)
    undecodable: set[str] = field(default_factory=set)

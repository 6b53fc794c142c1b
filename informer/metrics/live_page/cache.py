"""Reads an informer's cache a page at a time. Neither sorts nor copies the whole cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from informer.cache.records import Records
from informer.objects.keys import labels_of
from informer.objects.label_selector import parse_selector

__all__ = ["PAGE_SIZE", "Found", "Search", "find"]

PAGE_SIZE = 50
"""The most objects or index values of a page."""

# Objects that are copied at a time while the cache's lock is held, and the seconds after which a search pauses.
_WINDOW = 5000
_MAX_SECONDS = 0.25


class Search(msgspec.Struct, frozen=True):
    """What is looked for.

    Attributes:
        key: a part of the key; "" for any.
        selector: a label selector; "" for any labels.
        index: the index to look in; "" for the whole cache.
        value: the index value to look under.
        start: the position at which the search begins.
    """

    key: str = ""
    selector: str = ""
    index: str = ""
    value: str = ""
    start: int = 0


class Found(NamedTuple):
    """The objects of one page.

    Attributes:
        objects: keys and stored objects.
        following: the position at which the next page begins; None if the search has reached the end.
        is_paused: whether the search took too long, so that the next page goes on with it.
    """

    objects: list[tuple[str, Any]]
    following: int | None
    is_paused: bool


def find(records: Records, search: Search) -> Found:
    """Returns the next objects that match, in the cache's order.

    A key that is given in full is found at once. Otherwise the search pauses after a quarter of a second.

    Raises:
        IndexNotFoundError: the index does not exist.
        ValueError: the selector is malformed.
    """
    matches = _matcher(search)
    if search.key and not search.index and not search.start and (stored := records.get(search.key)) is not None:
        return Found([(search.key, stored)] if matches(search.key, stored) else [], None, is_paused=False)
    size = _WINDOW if search.key or search.selector else PAGE_SIZE + 1
    deadline = time.monotonic() + _MAX_SECONDS
    objects: list[tuple[str, Any]] = []
    at = search.start
    while True:
        window = records.window(at, size, search.index, search.value)
        for key, stored in window:
            if len(objects) == PAGE_SIZE:
                return Found(objects, at, is_paused=False)
            if at > search.start and not at & 63 and time.monotonic() > deadline:
                return Found(objects, at, is_paused=True)
            at += 1
            if matches(key, stored):
                objects.append((key, stored))
        if len(window) < size:
            return Found(objects, None, is_paused=False)


def _matcher(search: Search) -> Callable[[str, Any], bool]:
    part, selector = search.key, parse_selector(search.selector)

    def has_labels(stored: Any) -> bool:
        try:
            return selector.matches(labels_of(stored))
        # A user's type may raise anything, and labels that no server has checked may not be texts.
        except Exception:
            return False

    return lambda key, stored: part in key and (selector.everything or has_labels(stored))

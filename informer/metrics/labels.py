"""Label values: short, few, and no two things under the same name.

Comes in: what is shown, and what it is called. Goes out: a name for each, "pods" and "pods#2" where two are called the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["Names", "short"]

T = TypeVar("T")

_LONGEST = 120


class Names:
    """The names of things of one kind. A thing keeps its name from one `assign` to the next; one that is gone frees it.

    Threads: one at a time.
    """

    def __init__(self) -> None:
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def assign(self, things: Iterable[tuple[T, str]]) -> list[tuple[T, str]]:
        """A name for each thing.

        Args:
            things: all that there are, with what they are called, the oldest first.
        """
        present = list(things)
        kept: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        for thing, _ in present:
            if thing in self._names:
                kept[thing] = self._names[thing]
        taken = set(kept.values())
        for thing, called in present:
            if thing not in kept:
                kept[thing] = _free(short(called), taken)
                taken.add(kept[thing])
        self._names = kept
        return [(thing, kept[thing]) for thing, _ in present]


def short(value: Any) -> str:
    """A label's value from whatever text there is."""
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}#{number}" in taken:
        number += 1
    return f"{name}#{number}"

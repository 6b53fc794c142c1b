"""Hints for attributes that official models have and an `Object` lacks: `pod.metadata.name`."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["add_hints"]


class _Hint:
    """A property that raises AttributeError, as for an attribute that does not exist; its message says what to write."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, obj: object, owner: type) -> NoReturn:
        name = self._name
        raise AttributeError(
            f'an informer.Object has no attribute {name!r}: read obj["{name}"] or obj.at("{name}.FIELD"), '
            "or give the list-watch a model= such as V1Pod",
            name=name,
            obj=None,
        )


def add_hints(kind: type, *names: str) -> None:
    """Makes the AttributeErrors of a class say how a field is read. `hasattr` still returns False."""
    for name in names:
        setattr(kind, name, _Hint(name))

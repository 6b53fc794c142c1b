"""Read-only dicts and lists, in which an `Object` returns its fields.

They are subclasses of dict and list, so `json.dumps`, `==`, pattern matching and `isinstance` work as usual.
"""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["FrozenDict", "FrozenList", "freeze", "thaw"]


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError("read-only: use to_dict()")


class FrozenDict(dict[str, Any]):
    """A dict that raises TypeError on every change. `copy`, `copy.deepcopy` and `|` return plain dicts."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return thaw(self)  # type: ignore[no-any-return]

    def copy(self) -> dict[str, Any]:
        """Returns a plain dict with the same values; nested dicts and lists stay read-only."""
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return freeze, (thaw(self),)


class FrozenList(list[Any]):
    """A list that raises TypeError on every change. Slices, `copy` and `copy.deepcopy` return plain lists."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return thaw(self)  # type: ignore[no-any-return]

    def copy(self) -> list[Any]:
        """Returns a plain list with the same items; nested dicts and lists stay read-only."""
        return list(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return freeze, (thaw(self),)


def freeze(value: Any) -> Any:
    """Returns a decoded JSON value with read-only dicts and lists at every depth.

    Args:
        value: a value that the caller owns, fresh from a decoder: its dicts and lists are changed in place.
    """
    kind = type(value)
    if kind is dict:
        # Recurse only into containers: most values of an object are strings, and a call for each would dominate.
        for key, item in value.items():
            if type(item) is dict or type(item) is list:
                value[key] = freeze(item)
        return FrozenDict(value)
    if kind is list:
        for index, item in enumerate(value):
            if type(item) is dict or type(item) is list:
                value[index] = freeze(item)
        return FrozenList(value)
    return value


def thaw(value: Any) -> Any:
    """Returns a deep copy of a decoded JSON value, with plain dicts and lists."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value

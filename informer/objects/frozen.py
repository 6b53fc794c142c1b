"""Dicts and lists that cannot be changed: what the cache shows of an object's body.

They are real dicts and lists, so that `json.dumps`, `==`, pattern matching and `isinstance` work as for any other.
"""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["FrozenDict", "FrozenList", "freeze", "thaw"]


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError("read-only: use to_dict()")


class FrozenDict(dict[str, Any]):
    """A dict that raises TypeError when it is to be changed; `copy`, `copy.deepcopy` and `|` give dicts that can be."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return thaw(self)  # type: ignore[no-any-return]

    def copy(self) -> dict[str, Any]:
        """A shallow copy, whose own keys can be changed."""
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return freeze, (thaw(self),)


class FrozenList(list[Any]):
    """A list that raises TypeError when it is to be changed; slices, `copy` and `copy.deepcopy` give lists that can be."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return thaw(self)  # type: ignore[no-any-return]

    def copy(self) -> list[Any]:
        """A shallow copy, which can be changed."""
        return list(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return freeze, (thaw(self),)


def freeze(value: Any) -> Any:
    """A decoded JSON value with every dict and list in it made read-only.

    Args:
        value: fresh from a decoder; its own dicts and lists are used up.
    """
    kind = type(value)
    if kind is dict:
        # Only what holds something more costs a call, and most of what an object holds is text.
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
    """A deep copy of a decoded JSON value, in plain dicts and lists."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value

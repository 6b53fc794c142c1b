"""One index of a store: the objects under each index value.

Index values are computed before the store takes its lock. They are kept by key, so that an index function is never called for
an old object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from informer.errors import IndexFuncError
from informer.objects.keys import EAGER, namespace_of
from informer.objects.paths import IndexBy
from watch.printable import printable

__all__ = ["NAMESPACE_INDEX", "Index", "IndexErrorHandler", "meta_namespace_index"]

NAMESPACE_INDEX = "namespace"
"""The usual name of an index by namespace. Listers use the index of this name."""

IndexErrorHandler = Callable[[str, str, Exception], object]
"""Called with (index name, key, exception)."""

_NONE: tuple[Any, ...] = ()


def meta_namespace_index(obj: Any) -> list[str]:
    """An index function that returns the object's namespace.

    Source: client-go tools/cache MetaNamespaceIndexFunc.
    """
    return [namespace_of(obj)]


class Index:
    """The stored objects by index value.

    Args:
        name: the index's name, for messages.
        function: returns an object's index values.
        ready: whether readers may use the index; False while the objects stored before it are being added.

    Attributes:
        buckets: the objects by value, each a dict by key. A bucket is never empty.

    Threads: the store's locks guard everything except `values_of`, which only calls the function.
    """

    def __init__(self, name: str, function: Callable[[Any], Iterable[str]], *, ready: bool = True) -> None:
        self.name = name
        self.function = function
        self.ready = ready
        # This library's own functions read the stored object: the user's need not be decoded, or have metadata, for them.
        self._is_namespace = function is meta_namespace_index
        self._reads_stored = self._is_namespace or isinstance(function, IndexBy)
        # A bucket holds the objects themselves, so that listing one copies its values in a single C call.
        self.buckets: dict[Any, dict[str, Any]] = {}
        self._values: dict[str, tuple[Any, ...]] = {}
        self._singles: dict[Any, tuple[Any, ...]] = {}  # one shared tuple for all objects that have only this value

    def values_of(
        self, obj: Any, key: str, on_error: IndexErrorHandler | None, seen: Callable[[], Any] | None = None
    ) -> tuple[Any, ...]:
        """Returns an object's index values, each once.

        Args:
            obj: the stored object.
            key: its key, for messages.
            on_error: called when the function fails; the object then has no values. None raises `IndexFuncError`.
            seen: returns what users see of the object; None if that is the stored object itself.

        Raises:
            IndexFuncError: the function raised or did not return a list of strings, and there is no `on_error`.
        """
        if self._is_namespace and type(obj) in EAGER:
            namespace = obj.namespace
            return self._singles.get(namespace) or (namespace,)
        try:
            values = self.function(obj if seen is None or self._reads_stored else seen())
            if type(values) is list and len(values) == 1:
                value = values[0]
                return self._singles.get(value) or _checked((value,))
            return _checked(tuple(dict.fromkeys(_as_values(values))))
        except Exception as error:
            if on_error is not None:
                on_error(self.name, key, error)
                return _NONE
            raise IndexFuncError(
                f'unable to calculate an index entry for key "{printable(key, 400)}" on index "{self.name}": {error}'
            ) from error

    def set(self, key: str, obj: Any, values: tuple[Any, ...]) -> None:
        """Puts an object under its values, and removes it from its former ones."""
        old = self._values.get(key, _NONE)
        if old is not values and old != values:
            values = self._move(key, old, values)
        buckets = self.buckets
        for value in values:
            bucket = buckets.get(value)
            if bucket is None:
                buckets[value] = {key: obj}
            else:
                bucket[key] = obj

    def remove(self, key: str) -> None:
        """Removes the object of a key."""
        for value in self._values.pop(key, _NONE):
            self._remove_from(value, key)

    def known_values(self, key: str) -> tuple[Any, ...]:
        """Returns the values that the object of a key is under."""
        return self._values.get(key, _NONE)

    def empty_copy(self) -> Index:
        """Returns the same index without objects. A relist fills it while readers still use this one."""
        return Index(self.name, self.function, ready=self.ready)

    def _move(self, key: str, old: tuple[Any, ...], values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Records the new values of a key and removes it from its former ones. Returns the values, shared if possible."""
        for value in old:
            if value not in values:
                self._remove_from(value, key)
        if not values:
            self._values.pop(key, None)
            return values
        if len(values) == 1:
            values = self._singles.setdefault(values[0], values)
        self._values[key] = values
        return values

    def _remove_from(self, value: Any, key: str) -> None:
        bucket = self.buckets[value]
        del bucket[key]
        if not bucket:
            del self.buckets[value]
            self._singles.pop(value, None)


def _as_values(values: Any) -> Iterable[Any]:
    """Returns what an index function returned. Raises TypeError: it is not a list of values."""
    if values is None:
        raise TypeError("the index function returned None, a list is needed: return [] for an object without values")
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(
            f"the index function returned a value of type {type(values).__name__}, a list of strings is needed"
        )
    return values


def _checked(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns index values. Raises TypeError: one of them is not a string."""
    for value in values:
        if not isinstance(value, str):
            raise TypeError(
                f"the index function returned a value of type {type(value).__name__}, all values must be strings: "
                "leave out what an object does not have"
            )
    return values

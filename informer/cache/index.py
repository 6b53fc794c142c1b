"""One index of a store: which objects have which value.

Values are computed before a store takes its lock, and kept per key, so that an old object is never asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from informer.errors import IndexFuncError
from informer.objects.keys import EAGER, namespace_of
from informer.objects.paths import IndexBy

__all__ = ["NAMESPACE_INDEX", "Index", "IndexErrorHandler", "meta_namespace_index"]

NAMESPACE_INDEX = "namespace"
"""The usual name of an index by namespace; listers look for it."""

IndexErrorHandler = Callable[[str, str, Exception], object]
"""Called with (index name, key, exception)."""

_NONE: tuple[Any, ...] = ()


def meta_namespace_index(obj: Any) -> list[str]:
    """An index function: the object's namespace.

    Source: client-go tools/cache MetaNamespaceIndexFunc.
    """
    return [namespace_of(obj)]


class Index:
    """Buckets of objects by value.

    Args:
        name: for messages.
        function: gives an object's values.
        ready: whether readers may look; False while what is stored already is being put in.

    Threads: its store's lock guards it, but for `values_of`, which only calls the function.
    """

    def __init__(self, name: str, function: Callable[[Any], Iterable[str]], *, ready: bool = True) -> None:
        self.name = name
        self.function = function
        self.ready = ready
        # Our own functions read what is stored, so that an object need not be decoded, or carry metadata, for them.
        self._is_namespace = function is meta_namespace_index
        self._reads_stored = self._is_namespace or isinstance(function, IndexBy)
        # A bucket is never empty. It holds the objects too, so that listing one is a single copy of its values.
        self.buckets: dict[Any, dict[str, Any]] = {}
        self._values: dict[str, tuple[Any, ...]] = {}
        self._singles: dict[Any, tuple[Any, ...]] = {}  # one tuple for all objects that have just this value

    def values_of(
        self, obj: Any, key: str, on_error: IndexErrorHandler | None, seen: Callable[[], Any] | None = None
    ) -> tuple[Any, ...]:
        """An object's values, each once.

        Args:
            obj: the object.
            key: its key, for messages.
            on_error: called instead of raising.
            seen: gives the form of the object that users see; None where it is that itself.

        Raises:
            IndexFuncError: the function raised or gave no list of values, and there is no `on_error`.
        """
        if self._is_namespace and type(obj) in EAGER:
            namespace = obj.namespace
            return self._singles.get(namespace) or (namespace,)
        try:
            values = self.function(obj if seen is None or self._reads_stored else seen())
            if type(values) is list and len(values) == 1:
                value = values[0]
                return self._singles.get(value) or (value,)
            if isinstance(values, str):
                raise TypeError(f"an index function returns a list of values, not the str {values!r}")
            return tuple(dict.fromkeys(values))
        except Exception as error:
            if on_error is not None:
                on_error(self.name, key, error)
                return _NONE
            raise IndexFuncError(
                f'unable to calculate an index entry for key "{key}" on index "{self.name}": {error}'
            ) from error

    def set(self, key: str, obj: Any, values: tuple[Any, ...]) -> None:
        """Puts an object under its values, and takes it away from those it no longer has."""
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
        """Takes an object out."""
        for value in self._values.pop(key, _NONE):
            self._take_out(value, key)

    def known_values(self, key: str) -> tuple[Any, ...]:
        """The values that a key's object was put under."""
        return self._values.get(key, _NONE)

    def empty_copy(self) -> Index:
        """The same index without any object, to be filled beside this one."""
        return Index(self.name, self.function, ready=self.ready)

    def _move(self, key: str, old: tuple[Any, ...], values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Notes a key's new values, and takes it away from those it no longer has."""
        for value in old:
            if value not in values:
                self._take_out(value, key)
        if not values:
            self._values.pop(key, None)
            return values
        if len(values) == 1:
            values = self._singles.setdefault(values[0], values)
        self._values[key] = values
        return values

    def _take_out(self, value: Any, key: str) -> None:
        bucket = self.buckets[value]
        del bucket[key]
        if not bucket:
            del self.buckets[value]
            self._singles.pop(value, None)

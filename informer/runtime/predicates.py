"""Predicates: which updates of an object lead to a reconcile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from informer.objects.keys import annotations_of, labels_of
from informer.objects.paths import MISSING, get_path

__all__ = ["Predicate", "annotations_changed", "generation_changed", "labels_changed"]


class Predicate:
    """A function of the old and the new object, for `Manager.controller(predicate=)`; True lets the update pass.

    Predicates are joined with `&` (both), `|` (one of them) and `~` (not). Adds, deletes, and an update with which an object
    begins to be deleted, always pass.

    Args:
        test: called with the old and the new object.
        name: for the repr.

    Example:
        >>> has_changed = generation_changed | labels_changed
        >>> has_changed({"metadata": {"generation": 1}}, {"metadata": {"generation": 2}})
        True
    """

    def __init__(self, test: Callable[[Any, Any], bool], name: str = "") -> None:
        self._test = test
        self._name = name or getattr(test, "__name__", "predicate")

    def __call__(self, old: Any, new: Any) -> bool:
        """Returns whether the update passes."""
        return bool(self._test(old, new))

    def __and__(self, other: Callable[[Any, Any], bool]) -> Predicate:
        return Predicate(lambda old, new: self(old, new) and bool(other(old, new)), f"({self._name} & {_name(other)})")

    def __or__(self, other: Callable[[Any, Any], bool]) -> Predicate:
        return Predicate(lambda old, new: self(old, new) or bool(other(old, new)), f"({self._name} | {_name(other)})")

    def __invert__(self) -> Predicate:
        return Predicate(lambda old, new: not self(old, new), f"~{self._name}")

    def __repr__(self) -> str:
        return self._name


def _name(test: Any) -> str:
    return repr(test) if isinstance(test, Predicate) else getattr(test, "__name__", "predicate")


def _has_new_generation(old: Any, new: Any) -> bool:
    before, after = _generation(old), _generation(new)
    # Kinds without a generation, such as ConfigMaps, have no other sign of a change.
    return before is MISSING or after is MISSING or before != after


def _generation(obj: Any) -> Any:
    return get_path(obj, ("metadata", "generation"))


def _differs(read: Callable[[Any], Mapping[str, str]]) -> Callable[[Any, Any], bool]:
    return lambda old, new: read(old) != read(new)


generation_changed = Predicate(_has_new_generation, "generation_changed")
"""The spec has changed: servers count `metadata.generation` up for it, not for status, labels or annotations."""
labels_changed = Predicate(_differs(labels_of), "labels_changed")
"""The labels have changed."""
annotations_changed = Predicate(_differs(annotations_of), "annotations_changed")
"""The annotations have changed."""

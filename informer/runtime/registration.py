"""What a user registers with a manager: a controller's resource, what it owns and watches, and its functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from informer.arguments import check_function, is_async
from informer.listwatch.resources import known, parse_name
from informer.runtime.request import AsyncRequest, Request
from informer.workqueue.limiters import RateLimiter

__all__ = ["AsyncReconcile", "Indexers", "Reconcile", "Registration", "by_resource", "resource_key", "several"]

Reconcile = Callable[[Request], float | None]
"""A reconcile function: returns None, or seconds after which it is called again."""
AsyncReconcile = Callable[[AsyncRequest], Awaitable[float | None]]
"""The same as an async function."""
Indexers = Mapping[str, Callable[[Any], Iterable[str]]]
"""Index functions by name."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """The arguments of `Manager.controller`, checked; that method documents them."""

    resource: str
    reconcile: Callable[[Any], Any]
    name: str
    owns: tuple[str, ...] = ()
    watches: Mapping[str, Callable[[Any], Iterable[str]]] = field(default_factory=dict)
    workers: int = 1
    predicate: Callable[[Any, Any], bool] | None = None
    finalizer: str | None = None
    cleanup: Callable[[Any], Any] | None = None
    indexers: Indexers | None = None
    limiter: RateLimiter[Any] | None = None
    writes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        check_function("the reconcile function", self.reconcile, 1, may_be_async=True)
        for resource in (
            self.resource,
            *self.owns,
            *self.watches,
            *(each.partition("/")[0] for each in self.writes),
        ):
            parse_name(resource)
        for resource, keys_of in self.watches.items():
            check_function(f"the function of watches[{resource!r}]", keys_of, 1)
        if self.predicate is not None:
            check_function("predicate", self.predicate, 2)
        if (self.finalizer is None) != (self.cleanup is None):
            raise ValueError("finalizer= and cleanup= belong together: give both, or neither")
        if self.finalizer is not None and "/" not in self.finalizer:
            raise ValueError(
                f'a finalizer is a qualified name such as "example.com/cleanup", not {self.finalizer!r}: the API server warns '
                "about others"
            )
        if self.cleanup is not None:
            check_function("cleanup", self.cleanup, 1, may_be_async=True)
            if is_async(self.cleanup) != self.is_async:
                raise TypeError("the reconcile function and cleanup must both be async, or both not")

    @property
    def is_async(self) -> bool:
        """Whether the functions are async."""
        return is_async(self.reconcile)


def resource_key(resource: str) -> str:
    """Returns one name for a built-in resource however it is spelled, and any other name as it is."""
    found = known(resource)
    return resource if found is None else found.name


def several(what: str, names: Any) -> tuple[str, ...]:
    """Returns the resources of an argument as a tuple; raises TypeError for a single str."""
    if isinstance(names, str):
        raise TypeError(f"{what}= is a list of resources, not the str {names!r}")
    return tuple(names)


def by_resource(watches: Any) -> dict[str, Any]:
    """Returns the functions of `watches=` by resource; raises TypeError if it is not a mapping."""
    if watches is not None and not isinstance(watches, Mapping):
        raise TypeError(f"watches= is a mapping of resources to functions, not a {type(watches).__name__}")
    return dict(watches or {})

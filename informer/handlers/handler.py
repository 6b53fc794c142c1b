"""Event handlers: the base class, handlers from functions, and the filter before a handler."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence, Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias

from typing_extensions import TypeVar

from informer.arguments import check_callable, check_function, function_name, names_keyword
from informer.cache.change import Change
from informer.queues.delta import ADDED, DELETED, UPDATED

__all__ = ["Handler", "HandlerFunctions", "OnAdd", "OnDelete", "ResourceEventHandler", "filter_change"]

# Per function: the number of positional arguments, and the attributes of the change that are passed as keywords if its
# signature names them.
_ARGUMENTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "on_add": (1, ("is_in_initial_list",)),
    "on_update": (2, ()),
    "on_delete": (1, ("final_state_unknown", "reason")),
    "on_batch": (1, ()),
}

T = TypeVar("T", default=Any)
T_contra = TypeVar("T_contra", contravariant=True, default=Any)


class ResourceEventHandler(Generic[T_contra]):
    """The base class of event handlers: override the methods of interest, and pass an instance to `add_event_handler`.

        class PrintNames(ResourceEventHandler[Object]):
            def on_add(self, obj: Object, *, is_in_initial_list: bool) -> None:
                print("added", obj.name)

        informer.add_event_handler(PrintNames())

    An object's changes arrive in order: an add, updates, a delete. The handler's calls come one after another, on a thread of
    its own unless it is inline. An exception is logged, counted and passed to `on_error`; the calls go on. Any object with
    some of the methods will do: this class is a convenience.

    Objects are shared with the cache: do not change them.

    Attributes:
        inline: whether a `SharedInformer` calls the handler on its reader's thread, as `add_event_handler(inline=True)` does.
    """

    inline: ClassVar[bool] = False

    # Results are ignored: `object` lets async functions override the methods. `/` leaves the names to subclasses.

    def on_add(self, obj: T_contra, /, *, is_in_initial_list: bool) -> object:
        """Called when an object was added to the cache.

        Args:
            obj: its state.
            is_in_initial_list: whether the object was listed by the first list, or cached when this handler was added.
        """

    def on_update(self, old: T_contra, new: T_contra, /) -> object:
        """Called when an object has changed, and at each resync, where both states have the same resourceVersion.

        An object that was deleted and created again under its name while the watch was away is one update, as in client-go:
        `old` and `new` then have different uids. (A handler with `backlog="coalesce"` gets a delete and an add.) When the
        server begins to serve the resource in another version, each object is one update from its old apiVersion to the
        new one, with the same resourceVersion.

        Args:
            old: the state that the handler saw last.
            new: the present state.
        """

    def on_delete(self, obj: T_contra, /, *, final_state_unknown: bool) -> object:
        """Called when an object was deleted, or when it still exists but the model or the transform refuses its new state.

        To distinguish the two, name one more keyword: `def on_delete(self, obj, *, final_state_unknown, reason="")`. It is
        `Change.reason`: "no longer decodes" for an object that may still exist, else "".

        Args:
            obj: its last known state.
            final_state_unknown: whether the DELETED event was missed, so that the object may have changed before its end.
                It is also True for an object that the model or the transform refuses.
        """


class _TakesInitial(Protocol[T_contra]):
    def __call__(self, obj: T_contra, /, *, is_in_initial_list: bool) -> object: ...


class _TakesUnknown(Protocol[T_contra]):
    def __call__(self, obj: T_contra, /, *, final_state_unknown: bool) -> object: ...


class _TakesReason(Protocol[T_contra]):
    def __call__(self, obj: T_contra, /, *, reason: str) -> object: ...


class _TakesBoth(Protocol[T_contra]):
    def __call__(self, obj: T_contra, /, *, final_state_unknown: bool, reason: str) -> object: ...


OnAdd: TypeAlias = Callable[[T], object] | _TakesInitial[T]
"""A function that is called for an add."""

OnDelete: TypeAlias = Callable[[T], object] | _TakesUnknown[T] | _TakesReason[T] | _TakesBoth[T]
"""A function that is called for a delete."""


if TYPE_CHECKING:
    from concurrent.futures import Future

    from msgspec import Struct

    class _Model(Protocol):
        def to_dict(self) -> Any: ...

    Ignored: TypeAlias = (
        bool
        | int
        | float
        | str
        | bytes
        | Sequence[Any]
        | Mapping[Any, Any]
        | AbstractSet[Any]
        | _Model
        | Struct
        | Future[Any]
        | None
    )
else:
    Ignored = object
"""What a function that a thread calls may return; it is ignored. A coroutine is not among it, since nothing would await it."""


class _TakesInitialNow(Protocol[T_contra]):
    def __call__(self, obj: T_contra, /, *, is_in_initial_list: bool) -> Ignored: ...


class _TakesUnknownNow(Protocol[T_contra]):
    def __call__(self, obj: T_contra, /, *, final_state_unknown: bool) -> Ignored: ...


class _TakesReasonNow(Protocol[T_contra]):
    def __call__(self, obj: T_contra, /, *, reason: str) -> Ignored: ...


class _TakesBothNow(Protocol[T_contra]):
    def __call__(self, obj: T_contra, /, *, final_state_unknown: bool, reason: str) -> Ignored: ...


SyncOnAdd: TypeAlias = Callable[[T], Ignored] | _TakesInitialNow[T]
"""A function that a thread calls for an add."""

SyncOnDelete: TypeAlias = Callable[[T], Ignored] | _TakesUnknownNow[T] | _TakesReasonNow[T] | _TakesBothNow[T]
"""A function that a thread calls for a delete."""


class _HasOnAdd(Protocol[T_contra]):
    @property
    def on_add(self) -> OnAdd[T_contra]: ...


class _HasOnUpdate(Protocol[T_contra]):
    @property
    def on_update(self) -> Callable[[T_contra, T_contra], object]: ...


class _HasOnDelete(Protocol[T_contra]):
    @property
    def on_delete(self) -> OnDelete[T_contra]: ...


class _HasOnBatch(Protocol[T]):
    @property
    def on_batch(self) -> Callable[[list[Change[T]]], object]: ...


Handler: TypeAlias = ResourceEventHandler[T] | _HasOnAdd[T] | _HasOnUpdate[T] | _HasOnDelete[T] | _HasOnBatch[T]
"""A handler: any object with some of the methods."""


class HandlerFunctions:
    """One handler, as a function of a change: calls the right function with the arguments that it takes.

    Args:
        handler: an object with some of `on_add`, `on_update`, `on_delete`.
        on_add: takes (obj) or (obj, *, is_in_initial_list).
        on_update: takes (old, new).
        on_delete: takes (obj), (obj, *, final_state_unknown), or also `reason`.
        on_batch: takes a list of changes, instead of the other three.
        may_be_async: whether the caller awaits what a call returns; otherwise async functions are refused.

    Attributes:
        name: the handler's name for logs and metrics.
        on_batch: the function for whole batches; None where single changes are passed.
        inline: whether the handler asks to be called on the reader's thread.

    Raises:
        TypeError: no function is given or too many are, or one cannot be called with the arguments above.
    """

    def __init__(
        self,
        handler: Any = None,
        *,
        on_add: Callable[..., object] | None = None,
        on_update: Callable[..., object] | None = None,
        on_delete: Callable[..., object] | None = None,
        on_batch: Callable[..., object] | None = None,
        may_be_async: bool = False,
    ) -> None:
        functions = {"on_add": on_add, "on_update": on_update, "on_delete": on_delete, "on_batch": on_batch}
        given = [name for name, function in functions.items() if function is not None]
        if handler is not None:
            if given:
                raise TypeError(f"pass either a handler or functions, not a handler and {', '.join(given)}")
            names = ("on_add", "on_update", "on_delete", "on_batch")
            functions = {name: getattr(handler, name, None) for name in names}
            if not any(callable(function) for function in functions.values()):
                raise TypeError(
                    f"{type(handler).__name__} is not a handler: it has none of on_add, on_update, on_delete, on_batch"
                )
        elif not given:
            raise TypeError("nothing to call: pass a handler or some of on_add, on_update, on_delete, on_batch")
        for name, function in functions.items():
            if function is not None:
                _check_function(name, function, handler, may_be_async=may_be_async)
        if functions["on_batch"] is not None and handler is None and len(given) > 1:
            raise TypeError(f"on_batch gets every change: {', '.join(given[:-1])} would never be called")
        self.on_batch = functions["on_batch"]
        # Not just true: a mock has every attribute.
        self.inline = getattr(handler, "inline", False) is True
        self._on_add = functions["on_add"]
        self._on_update = functions["on_update"]
        self._on_delete = functions["on_delete"]
        self._add_keywords = _keywords("on_add", self._on_add)
        self._delete_keywords = _keywords("on_delete", self._on_delete)
        self.name = _name_of(handler, [f for f in functions.values() if f is not None])

    def __call__(self, change: Change[Any]) -> object:
        """Calls the function for a change, and returns what it returns; None if the handler lacks it."""
        kind = change.type
        if kind is UPDATED:
            return self._on_update(change.old, change.object) if self._on_update is not None else None
        if kind is ADDED:
            if self._on_add is None:
                return None
            if self._add_keywords:
                return self._on_add(change.object, is_in_initial_list=change.is_in_initial_list)
            return self._on_add(change.object)
        if self._on_delete is None:
            return None
        return self._on_delete(change.object, **{name: getattr(change, name) for name in self._delete_keywords})


def filter_change(change: Change[Any], keep: Callable[[Any], object]) -> Change[Any] | None:
    """Returns the change that a handler behind a filter sees; None for nothing.

    An object that begins to pass the filter becomes an add. One that stops passing becomes a delete of its last state that
    passed.

    Source: client-go tools/cache FilteringResourceEventHandler.
    """
    kind = change.type
    if kind is ADDED:
        return change if keep(change.object) else None
    if kind is DELETED:
        # A DELETED event may bring a new state; what counts is whether the handler has seen the object before.
        return change if keep(change.object if change.last_known is None else change.last_known) else None
    before, after = bool(keep(change.old)), bool(keep(change.object))
    if before and after:
        return change
    if after:
        return Change(ADDED, change.object, key=change.key)
    if before:
        return Change(DELETED, change.old, key=change.key)
    return None


def _check_function(name: str, function: Any, handler: Any, *, may_be_async: bool) -> None:
    check_callable(name, function)
    if isinstance(handler, type) and inspect.isfunction(inspect.getattr_static(handler, name)):
        raise TypeError(f"a handler is an object, not a class: pass {handler.__name__}()")
    count, optional = _ARGUMENTS[name]
    remedy = "use informer.aio.add_event_handler"
    check_function(name, function, count, optional=optional, may_be_async=may_be_async, remedy=remedy)


def _keywords(name: str, function: Callable[..., object] | None) -> list[str]:
    return [] if function is None else [each for each in _ARGUMENTS[name][1] if names_keyword(function, each)]


def _name_of(handler: Any, functions: list[Callable[..., object]]) -> str:
    """Returns a name for logs: the handler's class, the class whose methods its functions are, or the functions' names.

    Source: client-go tools/cache nameForHandler.
    """
    if handler is not None:
        return f"{type(handler).__module__}.{type(handler).__qualname__}"
    names = [function_name(function) for function in functions]
    owners = {name.rpartition(".")[0] for name in names}
    if len(owners) > 1:
        return "+".join(names)
    owner = owners.pop()
    if len(names) > 1 and all(inspect.ismethod(function) for function in functions):
        return owner
    return f"{owner}.{'+'.join(name.rpartition('.')[2] for name in names)}".lstrip(".")

"""What requests made on a thread belong to: one owner that can abort them all, and its limits.

`ListerWatcher.list` and `.watch` take only the options of the request. Whoever calls them and may be stopped meanwhile
(a reflector, a retrying watcher) enters a scope around the call; the transport underneath registers its sockets with
the scope it finds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self

from typing_extensions import TypeVar

from watch.concurrency import Latch, Lock, ThreadLocal, Worker
from watch.errors import RequestCancelledError

__all__ = ["DEFAULT_MAX_LINE_BYTES", "DEFAULT_MAX_OBJECTS", "RequestScope", "current_scope", "unless_cancelled"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

DEFAULT_MAX_LINE_BYTES = 16 * 1024 * 1024
# More than an etcd of the largest size that is supported (8 GiB) has room for, at some 800 bytes an object.
DEFAULT_MAX_OBJECTS = 10_000_000


class RequestScope:
    """An owner of requests.

    Args:
        max_line_bytes: the longest event or list item, in bytes, that a server may make us hold.
        max_objects: so many objects a server may list in one answer; None for any number.

    Threads: entered on one thread at a time; `cancel` comes from any.
    """

    def __init__(self, *, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES, max_objects: int | None = None) -> None:
        self.max_line_bytes = max_line_bytes
        self.max_objects = max_objects
        self._lock = Lock()
        self._closers: dict[object, Callable[[], object]] = {}  # guarded by _lock
        self._cancelled = False  # guarded by _lock
        self._outer: list[RequestScope | None] = []  # what each entering found; the entering thread's

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def on_cancel(self, close: Callable[[], object]) -> Callable[[], None]:
        """Has `close` called when the scope is cancelled; returns a function that withdraws it.

        Raises:
            RequestCancelledError: it is cancelled already; `close` was not called.
        """
        token = object()
        with self._lock:
            if self._cancelled:
                raise RequestCancelledError("the request was given up: its owner has stopped")
            self._closers[token] = close
        return lambda: self._withdraw(token)

    def cancel(self) -> None:
        """Closes what is in flight, and refuses what comes later. Again is harmless."""
        with self._lock:
            self._cancelled = True
            closers = list(self._closers.values())
            self._closers.clear()
        for close in closers:
            try:
                close()
            # The others have to be closed all the same.
            except Exception:
                _log.warning("closing what was in flight failed", exc_info=True)

    def _withdraw(self, token: object) -> None:
        with self._lock:
            self._closers.pop(token, None)

    def __enter__(self) -> Self:
        self._outer.append(current_scope())
        _current.scope = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.scope = self._outer.pop()


_current = ThreadLocal()


def current_scope() -> RequestScope | None:
    """The scope entered on this thread, or None."""
    scope: RequestScope | None = getattr(_current, "scope", None)
    return scope


def unless_cancelled(function: Callable[[], T], name: str, *, discard: Callable[[T], object] | None = None) -> T:
    """Calls a function that nothing can interrupt, such as a name lookup, but does not wait for it past a cancelled scope.

    Within a scope it runs on a thread of its own, which is left to itself when the scope is cancelled; outside of any it
    runs on the calling thread. That costs a tenth of a millisecond: not for what every request does.

    Args:
        function: called without arguments.
        name: the thread's.
        discard: called with what came too late.

    Returns:
        What the function returned.

    Raises:
        RequestCancelledError: the scope was cancelled before the function returned.
        BaseException: what the function raised.

    Threads: blocks until the function has returned or the scope is cancelled.
    """
    scope = current_scope()
    if scope is None:
        return function()
    call = _Call(function, discard)
    withdraw = scope.on_cancel(call.abandon)
    try:
        Worker(call.run, name).start()
        call.over.wait()
    finally:
        withdraw()
        # Still under way only where something else, such as Ctrl-C, has interrupted the waiting.
        call.abandon()
    return call.outcome()


class _Call(Generic[T]):
    """A call on another thread, of which the first of two things counts: its return, or that nobody wants it any more."""

    def __init__(self, function: Callable[[], T], discard: Callable[[T], object] | None) -> None:
        self.over = Latch()
        self._function = function
        self._discard = discard
        self._lock = Lock()
        self._values: list[T] = []  # what was returned in time; guarded by _lock, as are the next two
        self._error: BaseException | None = None
        self._abandoned = False

    def run(self) -> None:
        try:
            value = self._function()
        # Whatever it is, it is raised on the thread that waits.
        except BaseException as error:
            with self._lock:
                self._error = error
        else:
            with self._lock:
                late = self._abandoned
                if not late:
                    self._values.append(value)
            if late and self._discard is not None:
                self._discard(value)
        self.over.open()

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = not self._values and self._error is None
        self.over.open()

    def outcome(self) -> T:
        if self._error is not None:
            error, self._error = self._error, None  # the error's frames know this call
            raise error
        if not self._values:
            raise RequestCancelledError("the request was given up: its owner has stopped")
        return self._values[0]

"""Cancels requests in flight: a scope around a call collects everything that has to be closed to end it.

`ListerWatcher.list` and `.watch` take only the options of the request. A caller that may be stopped during the call, such as
a reflector, enters a scope around it. The transport finds the scope of its thread and registers its sockets there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Self

from typing_extensions import TypeVar

from watch.concurrency import Latch, Lock, ThreadLocal, Worker
from watch.errors import RequestCancelledError
from watch.logs import get_logger

__all__ = ["RequestScope", "check_cancelled", "current_scope", "time_limit", "unless_cancelled"]

T = TypeVar("T")

_log = get_logger(__name__)


class RequestScope:
    """The requests that one owner makes, for cancelling them from another thread.

        with scope:
            page = lister_watcher.list(options)  # ends with RequestCancelledError when the scope is cancelled

    Threads: entered by one thread at a time; `cancel` may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._closers: dict[object, Callable[[], object]] = {}  # guarded by _lock
        self._cancelled = False  # guarded by _lock
        self._outer: list[RequestScope | None] = []  # the scopes around each entry; the entering thread alone uses it

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def on_cancel(self, close: Callable[[], object]) -> Callable[[], None]:
        """Registers a function to be called when the scope is cancelled.

        Args:
            close: called without arguments, on the thread that cancels. An exception is logged.

        Returns:
            A function that withdraws it.

        Raises:
            RequestCancelledError: the scope was cancelled before; `close` is not called.
        """
        token = object()
        with self._lock:
            if self._cancelled:
                raise RequestCancelledError("the request was cancelled: its owner has stopped")
            self._closers[token] = close
        return lambda: self._withdraw(token)

    def cancel(self) -> None:
        """Calls every registered function, and refuses later ones. A second call does nothing more."""
        with self._lock:
            self._cancelled = True
            closers = list(self._closers.values())
            self._closers.clear()
        for close in closers:
            try:
                close()
            except Exception:
                _log.warning("closing a cancelled request failed", exc_info=True)

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
    """Returns the innermost scope entered on this thread, or None."""
    scope: RequestScope | None = getattr(_current, "scope", None)
    return scope


def check_cancelled() -> None:
    """Raises RequestCancelledError if this thread's current scope was cancelled.

    Code that processes an answer for long calls it now and then.
    """
    scope = current_scope()
    if scope is not None and scope.cancelled:
        raise RequestCancelledError("the request was cancelled: its owner has stopped")


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Returns a context that cancels this thread's requests when it has lasted for too long.

    A socket's time-out limits each wait for bytes, so a peer that sends single bytes could make a request last for ever.

    Args:
        seconds: how long the context may last.

    Raises:
        TimeoutError: a request was cancelled because the time was up.
        RequestCancelledError: the scope around this context was cancelled first.

    Threads: one thread runs while the context is entered; starting it takes about 0.1 ms.
    """
    outer, scope, over, expired = current_scope(), RequestScope(), Latch(), Latch()

    def watch() -> None:
        if not over.wait(seconds):
            expired.open()
            scope.cancel()

    withdraw = None if outer is None else outer.on_cancel(scope.cancel)
    try:
        # At the process's exit, threads cannot be started any more; then the context has no limit.
        with contextlib.suppress(RuntimeError):
            Worker(watch, "request-time-limit").start()
        with scope:
            yield
    except Exception as error:
        if expired.is_open and not (outer is not None and outer.cancelled):
            raise TimeoutError(f"no answer within {seconds:g} s") from error
        raise
    finally:
        over.open()
        if withdraw is not None:
            withdraw()


def unless_cancelled(function: Callable[[], T], name: str, *, discard: Callable[[T], object] | None = None) -> T:
    """Calls a function that cannot be interrupted, such as a name lookup, and waits for it until the scope is cancelled.

    Within a scope the function runs on a thread of its own, which is abandoned when the scope is cancelled. Outside of a
    scope it runs on the calling thread. The thread costs 0.1 ms, too much for something that every request does.

    Args:
        function: called without arguments.
        name: the thread's name.
        discard: called with a result that comes after the cancellation; None drops it.

    Returns:
        The function's result.

    Raises:
        RequestCancelledError: the scope was cancelled before the function returned.
        BaseException: an exception of the function.

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
        # Only an interrupted wait, as by Ctrl-C, gets here before the call has returned.
        call.abandon()
    return call.outcome()


class _Call(Generic[T]):
    """A call on another thread that either returns or is abandoned, whichever comes first."""

    def __init__(self, function: Callable[[], T], discard: Callable[[T], object] | None) -> None:
        self.over = Latch()
        self._function = function
        self._discard = discard
        self._lock = Lock()
        self._values: list[T] = []  # the result, if it came in time; guarded by _lock, as are the next two
        self._error: BaseException | None = None
        self._abandoned = False

    def run(self) -> None:
        try:
            value = self._function()
        # Raised again on the waiting thread.
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
            error, self._error = self._error, None  # the error's frames refer to this call: no cycle
            raise error
        if not self._values:
            raise RequestCancelledError("the request was cancelled: its owner has stopped")
        return self._values[0]

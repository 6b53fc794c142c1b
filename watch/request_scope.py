"""What requests made on a thread belong to: one owner that can abort them all, and its limits.

`ListerWatcher.list` and `.watch` take only the options of the request. Whoever calls them and may be stopped meanwhile
(a reflector, a retrying watcher) enters a scope around the call; the transport underneath registers its sockets with
the scope it finds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

from typing_extensions import Self

from watch.concurrency import Lock, ThreadLocal
from watch.errors import RequestCancelledError

__all__ = ["DEFAULT_MAX_LINE_BYTES", "RequestScope", "current_scope"]

_log = logging.getLogger(__name__)

DEFAULT_MAX_LINE_BYTES = 16 * 1024 * 1024


class RequestScope:
    """An owner of requests.

    Args:
        max_line_bytes: the longest event or list item, in bytes, that a server may make us hold.

    Threads: entered on one thread at a time; `cancel` comes from any.
    """

    def __init__(self, *, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES) -> None:
        self.max_line_bytes = max_line_bytes
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

"""A value for the whole process that the first who sets it decides."""

from __future__ import annotations

from typing import Generic, TypeVar

from watch.concurrency import Lock

__all__ = ["SetOnce"]

T = TypeVar("T")


class SetOnce(Generic[T]):
    """See the module.

    Attributes:
        value: what was set; None before.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.value: T | None = None  # set once; guarded by _lock

    def set(self, value: T) -> None:
        """Sets the value, unless there is one."""
        with self._lock:
            if self.value is None:
                self.value = value

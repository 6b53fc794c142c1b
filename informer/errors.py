"""The errors of the `informer` package."""

from __future__ import annotations

from watch.errors import ApiError, RequestCancelledError

__all__ = [
    "ApiError",
    "IndexConflictError",
    "IndexFuncError",
    "IndexNotFoundError",
    "InformerError",
    "InformerForkedError",
    "KeyFuncError",
    "NotFoundError",
    "QueueClosedError",
    "RequestCancelledError",
    "TooManyObjectsError",
]


class InformerError(Exception):
    """Base of all errors that the `informer` package raises of its own."""


class KeyFuncError(InformerError):
    """No key could be made for an object; the message names the object's type."""


class IndexNotFoundError(InformerError, LookupError):
    """An index was asked for that nobody added."""


class IndexConflictError(InformerError, ValueError):
    """An index was added under a name that is taken."""


class IndexFuncError(InformerError):
    """An index function raised; its exception is the cause, the message names the index and the key."""


class QueueClosedError(InformerError):
    """A queue is closed and empty."""


class TooManyObjectsError(InformerError):
    """A server has more objects than it may make us hold; the message names the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the server has more than {limit} objects: raise max_objects to accept them")


class NotFoundError(InformerError, LookupError):
    """The cache has no object of that name."""


class InformerForkedError(InformerError, RuntimeError):
    """An informer was used in a process forked after it started: its threads exist only in the parent."""

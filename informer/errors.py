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
    "KubeconfigError",
    "NotFoundError",
    "NotLeadingError",
    "QueueClosedError",
    "RequestCancelledError",
    "TooManyObjectsError",
]


class InformerError(Exception):
    """Base of the errors that the `informer` package defines: `except InformerError` catches them all."""


class KeyFuncError(InformerError):
    """The key of an object could not be made, usually because it has no metadata or no name.

    The message names the object's type and quotes none of its data. When a user's key function raised, its exception is
    the cause.
    """


class IndexNotFoundError(InformerError, LookupError):
    """An index was read that does not exist: pass it as `indexers=`, or call `add_indexers` first."""


class IndexConflictError(InformerError, ValueError):
    """An index was added under the name of an existing index."""


class IndexFuncError(InformerError):
    """An index function raised. Its exception is the cause; the message names the index and the object's key."""


class QueueClosedError(InformerError):
    """A queue is closed and all of its items were taken: there will be no more."""


class TooManyObjectsError(InformerError):
    """The server has more objects than `max_objects` allows an informer to hold.

    Args:
        limit: the limit that was exceeded.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"the server has more than {limit} objects: raise max_objects to accept them")


class NotFoundError(InformerError, LookupError):
    """The cache has no object with the requested name."""


class InformerForkedError(InformerError, RuntimeError):
    """An informer was used in a process that was forked after the informer started.

    Its threads exist only in the parent process: make a new informer in the child.
    """


class KubeconfigError(InformerError):
    """No cluster is configured, or its kubeconfig is malformed.

    The message names the file, the entry and the key. It quotes no value of a cluster or user.
    """


class NotLeadingError(InformerError):
    """A write was refused because this process does not lead an election. It was not sent."""

"""Errors of single objects, which must not stop an informer: decode errors and errors of index functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.objects.decode_errors import describe_decode_error
from informer.objects.entry import Undecodable
from informer.objects.keys import namespaced_name
from informer.rate_limited_log import rate_limited
from watch.logs import get_logger

__all__ = ["ObjectErrors"]

_log = get_logger(__name__)


class ObjectErrors:
    """Counts the errors of an informer's objects, logs them at a bounded rate, and calls the user's function.

    Args:
        name: the informer's name, for logs.
        on_decode_error: the user's function, called with (metadata, raw_bytes, error); None calls nothing.

    Attributes:
        decode_errors: how many objects were left out because they, or their transform, failed.
        index_errors: how many times an index function raised.
        limited: the log with a bounded rate.

    Threads: the reader threads.
    """

    def __init__(self, name: str, on_decode_error: Callable[[Any, bytes, Exception], object] | None) -> None:
        self.decode_errors = 0
        self.index_errors = 0
        self.limited = rate_limited(_log)
        self._name = name
        self._on_decode_error = on_decode_error

    def undecodable(self, item: Undecodable) -> None:
        """Reports an object that was left out because it, or its transform, failed."""
        self.decode_errors += 1
        where = namespaced_name(item.namespace, item.name)
        # Not the error's text: it may quote the object, which may be a Secret.
        self.limited.error(
            "informer %s left out %s: it does not decode (%s)",
            self._name,
            where or "an object",
            describe_decode_error(item.error),
        )
        if self._on_decode_error is None:
            return
        try:
            self._on_decode_error(item, item.raw, item.error)
        # SystemExit too: a user's function must not end the reader thread.
        except BaseException as error:
            self.limited.error("on_decode_error of informer %s failed", self._name, exc_info=error)

    def index_failed(self, index_name: str, key: str, error: Exception) -> None:
        """Reports an index function that raised; its object is left out of that index."""
        self.index_errors += 1
        self.limited.error("informer %s: index %s failed for %s", self._name, index_name, key, exc_info=error)

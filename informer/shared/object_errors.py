"""What goes wrong with single objects: counted, logged at a bounded rate, and given to the user's function.

Comes in: objects that do not decode, index functions that raise. Nothing goes out: neither may stop an informer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from informer.objects.entry import Undecodable
from informer.rate_limited_log import LimitedLog

__all__ = ["ObjectErrors"]

_log = logging.getLogger(__name__)


class ObjectErrors:
    """See the module.

    Args:
        name: the informer's, for logs.
        on_decode_error: the user's; called with (metadata, raw_bytes, error).

    Threads: those that read and apply.
    """

    def __init__(self, name: str, on_decode_error: Callable[[Any, bytes, Exception], object] | None) -> None:
        self.decode_errors = 0
        self.index_errors = 0
        self.limited = LimitedLog(_log)
        self._name = name
        self._on_decode_error = on_decode_error

    def undecodable(self, item: Undecodable) -> None:
        """An object was left out because it, or its transform, failed."""
        self.decode_errors += 1
        where = f"{item.namespace}/{item.name}" if item.namespace else item.name
        # The error's text may quote the object; its type says enough for a log.
        self.limited.log(
            logging.ERROR,
            "informer %s left out %s: it does not decode (%s)",
            self._name,
            where or "an object",
            type(item.error).__name__,
        )
        if self._on_decode_error is None:
            return
        try:
            self._on_decode_error(item, item.raw, item.error)
        # Not even SystemExit of a user's function may end the thread that reads.
        except BaseException as error:
            self.limited.log(logging.ERROR, "on_decode_error of informer %s failed", self._name, exc_info=error)

    def index_failed(self, index_name: str, key: str, error: Exception) -> None:
        """An index function raised, and its object is left out of that index."""
        self.index_errors += 1
        self.limited.log(
            logging.ERROR, "informer %s: index %s failed for %s", self._name, index_name, key, exc_info=error
        )

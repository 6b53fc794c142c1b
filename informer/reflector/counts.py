"""Counters of what a reflector has done, for metrics."""

from __future__ import annotations

import ssl
from typing import Literal

from watch.errors import ApiError, as_api_error

__all__ = ["ReflectorCounts", "Summary", "Verb", "error_kind"]

Verb = Literal["list", "watch", "follow", "store"]
"""What failed: a list, the call that opens a watch, an open watch, or storing a list."""

# Bounds the walk along an error's causes, which may form a circle.
_MAX_CAUSES = 10


class Summary:
    """The number and the sum of observed values, from which an average over any time span can be computed."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0

    def add(self, value: float) -> None:
        """Adds an observed value."""
        self.count += 1
        self.total += value


class ReflectorCounts:
    """Counts the lists, watches and errors of one reflector.

    Threads: written on the reflector's thread once per request or batch, never per event; read on any thread. There is no
    lock: a reader may see one of two related numbers before the other.
    """

    __slots__ = (
        "_is_open",
        "_watch_due",
        "errors",
        "list_items",
        "list_seconds",
        "lists",
        "reconnects",
        "relists",
        "watch_events",
        "watch_seconds",
    )

    def __init__(self) -> None:
        self.lists = 0
        """Paged lists that were requested and watch lists that were opened."""
        self.list_seconds = Summary()
        """The seconds from the first request of each stored list to its last object, waits for retries of a page included."""
        self.list_items = Summary()
        """The number of objects in each stored list."""
        self.relists = 0
        """Lists stored after the first."""
        self.reconnects = 0
        """Watches opened after another watch, with no list in between."""
        self.watch_seconds = Summary()
        """The seconds for which each watch that has ended was open."""
        self.watch_events = Summary()
        """The number of events of each watch that has ended, bookmarks included."""
        self.errors: dict[tuple[Verb, str], int] = {}
        """The number of errors by verb and `error_kind`."""
        self._is_open = False
        self._watch_due = False  # a list was stored, and its watch is not open yet

    def list_complete(self, seconds: float, items: int) -> None:
        """Counts a list that was stored."""
        self.relists += self.list_seconds.count > 0
        self.list_seconds.add(seconds)
        self.list_items.add(items)
        # An open watch here is a watch list, which continues as the list's watch.
        self._watch_due = not self._is_open

    def watch_opened(self, *, with_list: bool) -> None:
        """Counts a watch that was opened.

        Args:
            with_list: whether it is a watch list, which begins with the present state.
        """
        self._is_open = True
        if with_list:
            self.lists += 1
        else:
            self.reconnects += not self._watch_due
            self._watch_due = False

    def watch_ended(self, seconds: float, events: int) -> None:
        """Counts the end of a watch; does nothing if no watch was open."""
        if self._is_open:
            self._is_open = False
            self.watch_seconds.add(seconds)
            self.watch_events.add(events)

    def failed(self, verb: Verb, kind: str) -> None:
        """Counts an error.

        Args:
            verb: what failed.
            kind: the error's `error_kind`, or "silence" for a watch that was abandoned as silent.
        """
        key = (verb, kind)
        self.errors[key] = self.errors.get(key, 0) + 1


def error_kind(error: BaseException) -> str:
    """Returns a label for an error. The set of labels is small, whatever a server answers.

    Returns:
        The status of a server's answer, such as "410", or else "decode", "refused", "tls", "timeout", "connection" or "other".
    """
    answer = as_api_error(error)
    if answer is not None:
        return _answer_kind(answer)
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        if isinstance(cause, ssl.SSLError):
            return "tls"
        cause = cause.__cause__ or cause.__context__
    for kind, label in ((ConnectionRefusedError, "refused"), (TimeoutError, "timeout"), (OSError, "connection")):
        if isinstance(error, kind):
            return label
    return "other"


def _answer_kind(answer: ApiError) -> str:
    if answer.is_expired:
        return "410"
    if answer.is_too_many_requests:
        return "429"
    if any(cause.get("reason") == "ClientWatchDecoding" for cause in answer.causes):
        return "decode"
    # A status outside of this range is arbitrary input, and must not add labels without bound.
    return str(answer.status) if 400 <= answer.status <= 599 else "other"

"""What a reflector and the reading thread have done so far, counted for whoever shows it.

Comes in: outcomes, on the thread that has them: once a request or a batch, never an event. Goes out: the counts, on any
thread. Plain numbers without a lock: a reader may see one of two that belong together before the other.
"""

from __future__ import annotations

import ssl
from typing import Literal

from watch.errors import ApiError, as_api_error

__all__ = ["ReflectorCounts", "Tally", "Verb", "kind_of"]

Verb = Literal["list", "watch", "follow", "store"]
"""What failed: a list, a watch call, a watch that was open, or the cache's taking of a list."""

# An error's causes; no chain of them is so long.
_DEEPEST = 10


class Tally:
    """How many there were and their sum, of which an average over any span can be made."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0

    def add(self, value: float) -> None:
        """There is one more."""
        self.count += 1
        self.total += value


class ReflectorCounts:
    """See the module."""

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
        """Lists asked for in pages, or begun as a stream."""
        self.list_seconds = Tally()
        """How long those took that were complete, waits between tries of a page included."""
        self.list_items = Tally()
        """How many objects these brought."""
        self.relists = 0
        """Lists stored after the first."""
        self.reconnects = 0
        """Watches opened where another was open before, with no list between them."""
        self.watch_seconds = Tally()
        """How long watches were open that have ended."""
        self.watch_events = Tally()
        """How many events these brought, bookmarks included."""
        self.errors: dict[tuple[Verb, str], int] = {}
        """How often each kind of thing went wrong; see `kind_of`."""
        self._is_open = False
        self._watch_due = False  # a list was stored, whose watch is still to come

    def list_complete(self, seconds: float, items: int) -> None:
        """A list was stored."""
        self.relists += self.list_seconds.count > 0
        self.list_seconds.add(seconds)
        self.list_items.add(items)
        # One that was streamed goes on as its own watch.
        self._watch_due = not self._is_open

    def watch_opened(self, *, with_list: bool) -> None:
        """A watch call was answered.

        Args:
            with_list: it begins with the present state.
        """
        self._is_open = True
        if with_list:
            self.lists += 1
        else:
            self.reconnects += not self._watch_due
            self._watch_due = False

    def watch_ended(self, seconds: float, events: int) -> None:
        """A watch has ended; nothing is counted where none was open."""
        if self._is_open:
            self._is_open = False
            self.watch_seconds.add(seconds)
            self.watch_events.add(events)

    def failed(self, verb: Verb, kind: str) -> None:
        """Something went wrong."""
        key = (verb, kind)
        self.errors[key] = self.errors.get(key, 0) + 1


def kind_of(error: BaseException) -> str:
    """One of few words for an error: the status of a server's answer, or what kept the answer from coming.

    Returns:
        "410" and the like, "decode", "refused", "tls", "timeout", "connection", or "other".
    """
    answer = as_api_error(error)
    if answer is not None:
        return _kind_of_answer(answer)
    cause: BaseException | None = error
    for _ in range(_DEEPEST):
        if cause is None:
            break
        if isinstance(cause, ssl.SSLError):
            return "tls"
        cause = cause.__cause__ or cause.__context__
    for kind, word in ((ConnectionRefusedError, "refused"), (TimeoutError, "timeout"), (OSError, "connection")):
        if isinstance(error, kind):
            return word
    return "other"


def _kind_of_answer(answer: ApiError) -> str:
    if answer.is_expired:
        return "410"
    if answer.is_too_many_requests:
        return "429"
    if any(cause.get("reason") == "ClientWatchDecoding" for cause in answer.causes):
        return "decode"
    # A server may answer with any number: there are only so many kinds.
    return str(answer.status) if 400 <= answer.status <= 599 else "other"

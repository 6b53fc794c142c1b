"""What a reflector asks next, after which outcome. Pure: no I/O, no clock, no randomness.

States, and the request of each:

    LIST        a page of a list, at `resource_version`, with `limit` and `continue_`
    WATCH_LIST  a watch that begins with the present state (KEP-3157)
    WATCH       a watch from `last_resource_version`

Rules (client-go tools/cache reflector.go, unless another source is named):

 1. The first list asks for "0" (any state), every later one for the last resourceVersion seen, so that a server that lags
    behind cannot take the cache back in time.
 2. A list or a watch list whose version is expired (410) or ahead of the server is asked again at once for the newest
    state (""); a success ends that.
 3. A page whose continue token is expired: the whole list without a limit, at the version first asked for.
 4. Pages have a limit when the version is "0" or "", or once a list at "0" came in pages (a server without watch cache).
 5. A complete list is followed by a watch from its version; that goes on from the last version seen for as long as it ends
    normally, without another list.
 6. A watch list that the server refuses, or whose end bookmark does not come in time, is not tried again: lists and
    watches take its place. One that ends before the bookmark is asked again, twice. 429 and a broken connection: wait,
    again. Any other failure: a list takes its place in this round, as soon as the server wishes.
 7. A watch call that fails with 429 or because nobody is there: wait, and the same again. Any other failure of the call,
    and any other error within the stream, ends the round: wait, and list again at the last version.
 8. A watch that ends within a second without an event has failed: it may be refused politely for ever. From the third
    in a row that brought nothing, or ended within a second, a short pause comes before the next; it grows with each
    that ends so soon.
 9. Silence is neither: the watch is given up and asked again from the last version.
10. The beginning of a round, a watch after a watch and whatever comes after a wait is paced where many ask the same server;
    what follows at once on another answer is not: a list's pages, the watch after a list, a list in place of a watch list.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from informer.reflector.config import DEFAULT_PAGE_SIZE
from watch.errors import ApiError
from watch.options import ListOptions

__all__ = ["Next", "ReflectorState", "Step", "is_paced"]


class Step(Enum):
    """What to do next."""

    LIST = auto()
    WATCH_LIST = auto()
    WATCH = auto()
    FAILED = auto()
    """The round has ended with an error: tell it, wait, and begin a new round."""
    ENDED = auto()
    """The round has ended without one: wait, and begin a new round."""


@dataclass(frozen=True)
class Next:
    """What to do next, and whether to wait before.

    Args:
        step: what.
        wait: whether the backoff's next wait comes first.
        pause: seconds to wait first where the backoff is not asked.
        at_least: the server's wish: the wait, or the pause, is at least so many seconds.
    """

    step: Step
    wait: bool = False
    pause: float = 0.0
    at_least: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether there is anything to wait for."""
        return self.wait or self.pause > 0 or self.at_least > 0


def is_paced(before: Step | None, following: Next) -> bool:
    """Whether a request takes its turn among those of other informers (rule 10).

    Args:
        before: the round's last request, None at its beginning.
        following: what comes now.
    """
    if before is None or following.waits:
        return True
    return following.step is Step.WATCH and before is not Step.LIST


# Source: client-go VeryShortWatchError.
_SHORT_WATCH = 1.0
_LEAST_PAUSE = 0.1
_MOST_PAUSE = 5.0
_PAUSE_FROM = 3
# So many watch lists in a row may end before their bookmark; one that lasted so long will not do better the next time.
_UNFINISHED = 3
_LONG_WATCH_LIST = 60.0
# The server does not know watch lists, or not for this resource: asking again leads nowhere.
_REFUSALS = frozenset({400, 405, 406, 415, 422, 501})


class ReflectorState:
    """See the module.

    Args:
        watch_list: whether to begin with a watch list.
        page_size: objects a page; 0 asks for no pages. Any but the default is kept to always, not only as rule 4 says.
    """

    def __init__(self, *, watch_list: bool, page_size: int) -> None:
        self.last_resource_version = ""
        """The version up to which everything was seen; "" before the first list."""
        self._watch_list = watch_list
        self._page_size = page_size
        self._newest = False  # rule 2: the last version is not to be had
        self._paginated = page_size != DEFAULT_PAGE_SIZE  # rule 4
        self._continue = ""
        self._full = False  # rule 3
        self._unfinished = 0  # rule 6
        self._poor_watches = 0  # in a row; rule 8

    def begin(self) -> Next:
        """The first step of a round."""
        self._continue, self._full = "", False
        return Next(Step.WATCH_LIST if self._watch_list else Step.LIST)

    # Requests

    def list_options(self) -> ListOptions:
        """The options of the next page."""
        if self._continue:
            return ListOptions(limit=self._page_size, continue_=self._continue)
        version = self._list_version()
        paged = not self._full and (version in ("", "0") or self._paginated)
        limit = self._page_size if paged else 0
        # A limit alone would make a version an exact one, which no watch may be able to begin at any more: list after list.
        match = "NotOlderThan" if limit and version not in ("", "0") else ""
        return ListOptions(resource_version=version, resource_version_match=match, limit=limit)

    def watch_list_options(self, timeout_seconds: int) -> ListOptions:
        """The options of a watch list."""
        return ListOptions(
            resource_version="" if self._newest else self.last_resource_version,
            resource_version_match="NotOlderThan",
            send_initial_events=True,
            allow_watch_bookmarks=True,
            timeout_seconds=timeout_seconds,
        )

    def watch_options(self, timeout_seconds: int) -> ListOptions:
        """The options of a watch."""
        return ListOptions(
            resource_version=self.last_resource_version, allow_watch_bookmarks=True, timeout_seconds=timeout_seconds
        )

    # Outcomes of a list

    def page_came(self, continue_: str | None) -> Next | None:
        """A page came; returns what to do next, or None when the list is complete."""
        if not continue_:
            return None
        if continue_ == self._continue:
            # A server that ignores the token gives its first page for ever.
            return self.broke()
        if not self._continue and self._list_version() == "0":
            self._paginated = True
        self._continue = continue_
        return Next(Step.LIST)

    def list_complete(self, resource_version: str) -> Next:
        """The list was stored; `resource_version` is that of its first page."""
        self.last_resource_version = resource_version
        self._newest = False
        self._continue, self._full = "", False
        self._poor_watches = 0
        return Next(Step.WATCH)

    def list_failed(self, error: Exception) -> Next:
        """A page was refused or did not come."""
        continued, self._continue = self._continue, ""
        if isinstance(error, ApiError) and (error.is_expired or error.is_too_large_resource_version):
            if continued and error.is_expired and not self._full:
                self._full = True
                return Next(Step.LIST)
            if not self._newest:
                self._newest, self._full = True, False
                return Next(Step.LIST)
        self._full = False
        return _failed(error)

    def broke(self) -> Next:
        """Something came that nobody can go on from."""
        self._continue, self._full = "", False
        return Next(Step.FAILED, wait=True)

    # Outcomes of a watch list

    def watch_list_complete(self, resource_version: str) -> None:
        """The end bookmark came and everything before it was stored; the same watch goes on."""
        self._unfinished = 0
        self.list_complete(resource_version)

    def watch_list_timed_out(self) -> Next:
        """The end bookmark did not come in time."""
        self._watch_list = False
        return Next(Step.LIST)

    def watch_list_ended(self, seconds: float) -> Next:
        """A watch list ended without an error before its bookmark, after so many seconds."""
        self._unfinished += 1
        if self._unfinished >= _UNFINISHED or seconds >= _LONG_WATCH_LIST:
            return self.watch_list_timed_out()
        return Next(Step.WATCH_LIST, wait=True)

    def watch_list_failed(self, error: Exception) -> Next:
        """A watch list was refused, nobody was there, or an ERROR event came before its bookmark."""
        if isinstance(error, ApiError):
            again = Next(Step.WATCH_LIST, wait=True, at_least=error.retry_after or 0.0)
            if error.is_expired or error.is_too_large_resource_version:
                if self._newest:
                    return again
                self._newest = True
                return Next(Step.WATCH_LIST)
            if error.is_too_many_requests:
                return again
            self._watch_list = error.status not in _REFUSALS
            return Next(Step.LIST, at_least=error.retry_after or 0.0)
        if isinstance(error, ConnectionRefusedError):
            return Next(Step.WATCH_LIST, wait=True)
        if not isinstance(error, OSError):
            # A watch function of a user's that cannot do this.
            self._watch_list = False
        return Next(Step.LIST)

    # Outcomes of a watch

    def saw(self, resource_version: str) -> None:
        """Everything up to a version was stored."""
        if resource_version:
            self.last_resource_version = resource_version

    def watch_call_failed(self, error: Exception) -> Next:
        """A watch was refused, or nobody was there."""
        if isinstance(error, ApiError):
            if error.is_too_many_requests:
                return Next(Step.WATCH, wait=True, at_least=error.retry_after or 0.0)
            return _failed(error)
        if isinstance(error, OSError):
            return Next(Step.WATCH, wait=True)
        return _failed(error)

    def watch_ended(self, *, events: int, seconds: float) -> Next:
        """A watch ended without an error, after so many events (bookmarks count) and seconds."""
        if events == 0 and seconds < _SHORT_WATCH:
            return Next(Step.ENDED, wait=True)
        if events and seconds >= _SHORT_WATCH:
            self._poor_watches = 0
            return Next(Step.WATCH)
        self._poor_watches += 1
        more = self._poor_watches - _PAUSE_FROM
        if more < 0:
            return Next(Step.WATCH)
        growth = 2 ** min(more, 10) if seconds < _SHORT_WATCH else 1
        return Next(Step.WATCH, pause=min(_LEAST_PAUSE * growth, _MOST_PAUSE))

    def watch_was_silent(self) -> Next:
        """A watch was given up because nothing came for too long."""
        return Next(Step.WATCH)

    def watch_error(self, error: ApiError) -> Next:
        """An ERROR event came within a watch."""
        if error.is_too_many_requests:
            return Next(Step.WATCH, wait=True, at_least=error.retry_after or 0.0)
        return Next(Step.ENDED, wait=True, at_least=error.retry_after or 0.0)

    def _list_version(self) -> str:
        if self._newest:
            return ""
        return self.last_resource_version or "0"


def _failed(error: Exception) -> Next:
    retry_after = error.retry_after if isinstance(error, ApiError) else None
    return Next(Step.FAILED, wait=True, at_least=retry_after or 0.0)

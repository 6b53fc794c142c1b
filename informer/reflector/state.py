"""Decides what a reflector requests next, after each outcome of a request. Pure: no I/O, no clock, no randomness.

A reflector works in rounds: list, then watch until something ends the round. Each state (`Step`) stands for one request,
or for the end of the round:

    LIST        a page of a list
    WATCH_LIST  a watch that begins with the present state (KEP-3157)
    WATCH       a watch from the last version seen
    CONFIRM     a list of one object, which tells whether the server's history still reaches the last version seen
    FAILED      end of the round with an error: report it, back off, begin a new round
    ENDED       end of the round without an error: back off, begin a new round

The next state after an error, by the state in which it came. WATCH has two columns: the call that opens the watch, and an
ERROR event of an open watch. "again" is the same request after the backoff's next wait. CONFIRM is below the table (rule 11).

    error                LIST               WATCH_LIST                      WATCH, call            WATCH, event
    decided in           `list_failed`      `watch_list_failed`             `watch_call_failed`    `watch_error`

    410 Expired          LIST at once;      WATCH_LIST at once; rule 2      FAILED                 ENDED
                         rules 2 and 3
    version is ahead     LIST at once;      WATCH_LIST at once; rule 2      FAILED                 ENDED
                         rule 2
    429                  FAILED             again                           again                  again
    refused connection   FAILED             again                           CONFIRM                -
    broken connection    FAILED             LIST                            CONFIRM                -
    400, 405, 406, 415,  FAILED             LIST, never WATCH_LIST again    FAILED; 405: LIST,     ENDED
    422, 501                                                                rule 12
    another status       FAILED             LIST                            FAILED                 ENDED
    another exception    FAILED             LIST, never WATCH_LIST again    FAILED                 -

So after a 410 of a watch, the new round lists at the last version. If that has expired too, rule 2 asks for the newest
state. The server's Retry-After is the least wait before the next request, unless that is made "at once".

Rules (from client-go tools/cache reflector.go, unless another source is named):

 1. The first list asks for version "0" (any state that the server has cached), every later one for the last version seen.
    So a server that lags behind cannot take the cache back in time. If a list or watch list is older nevertheless, it is not
    stored, and its request counts as ahead (rule 2). Older events do not change the last version. Versions that are not numbers
    are not compared.
 2. A list or watch list whose version is expired (410) or ahead of the server is requested again at once, for the newest
    state (""). Every list asks for that until one is stored. If the newest state is refused in the same way, a list fails
    the round, and an expired watch list backs off. A watch list that is ahead of the newest state cannot begin, and its
    error does not say why: the resource is listed in the same round, whose error does (controller-runtime#1085).
 3. If a continue token is expired (410), the whole list is requested in one page, at the version first asked for.
 4. A list is paged if it asks for "0" or "", or once a list at "0" came in several pages (a server without a watch cache).
    A page size other than the default pages every list, and a page size of 0 none.
 5. A stored list is followed by a watch from its version. After a watch that ends normally, the next one resumes from the
    last version seen, without a list.
 6. The reflector changes from watch lists to lists for good if the server does not support them, if the end bookmark does
    not come in time, or if watch lists end before it: three in a row, or one that lasted 60 seconds. Until then, such a
    watch list is requested again after the backoff's wait.
 7. A watch whose call fails with 429 or by a failed connection is requested again from the same version, after the
    backoff's wait; rule 11 comes before it. Any other failure of the call ends the round, as does any ERROR event but 429.
 8. A watch that ends within a second without an event ends the round: the server may refuse to watch in this way for ever.
    A watch that brought nothing, or ended within a second, is unproductive. From the third of these in a row, a pause
    comes before the next watch. After a short one the pause is 0.1 s doubled for each unproductive watch since the third, up
    to 5 s; after a longer one it is 0.1 s.
 9. A silent watch is abandoned and, after rule 11, requested again from the last version at once. It is not a failure.
10. A request is paced among those of other informers of the same server (`Pacer`) if it begins a round, follows a wait, or
    is a watch after a watch. A request that another answer leads to at once is not: a list's next page, the watch after a
    list, a list in place of a watch list, the watch or list after a CONFIRM.
11. After a failed connection or a silent watch, a CONFIRM comes before the watch: one object, not older than the last
    version. A server that was restored from a backup accepts a watch from a version that it has yet to reach, and stays
    silent. It refuses the CONFIRM as ahead: the newest state is listed, by a new round. An expired version (410) has the same
    effect. A failed connection or 429 repeats the CONFIRM after the backoff's wait. If the server refuses such a list (see
    400 in the table), it is not requested again, and the watch follows. Any other failure ends the round. A watch that the
    server has ended is resumed without a CONFIRM. Source: kubernetes#107457; client-go does not do it.
12. A resource that can be listed only (the call of a watch is answered with 405) is listed again after 30 to 60 seconds.
13. A saved state is a round without a list: CONFIRM, then a watch from the state's version. If the server refuses either, or
    ends the watch before the state has caught up, a list follows at once. A failed connection or 429 is retried as in rules
    7 and 11.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus

from informer.reflector.config import DEFAULT_PAGE_SIZE
from informer.reflector.paged_list import ContinueTokens, older_list
from watch.errors import ApiError
from watch.options import ListOptions
from watch.versions import is_older

__all__ = ["Next", "ReflectorState", "Step", "is_paced"]


class Step(Enum):
    """What a reflector does next: a request, or the end of the round."""

    LIST = auto()
    """Request a page of a list."""
    WATCH_LIST = auto()
    """Request a watch that begins with the present state (KEP-3157)."""
    WATCH = auto()
    """Request a watch from the last version seen."""
    CONFIRM = auto()
    """Request a list of one object at the last version seen: a watch may be resumed if the server's history reaches it."""
    FAILED = auto()
    """The round has ended with an error: report it, back off, begin a new round."""
    ENDED = auto()
    """The round has ended without an error: back off, begin a new round."""


@dataclass(frozen=True)
class Next:
    """The next step, and the wait before it.

    Args:
        step: what to do.
        wait: whether to wait first as the backoff says, which makes its next wait longer.
        pause: seconds to wait first without the backoff.
        at_least: the server's Retry-After in seconds, the least that `wait` or `pause` amounts to.
    """

    step: Step
    wait: bool = False
    pause: float = 0.0
    at_least: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether a wait comes before the step."""
        return self.wait or self.pause > 0 or self.at_least > 0


def is_paced(before: Step | None, following: Next) -> bool:
    """Returns whether a request is paced among those of other informers of the same server (rule 10).

    Args:
        before: the round's last request; None if there was none yet.
        following: the request.
    """
    if before is None or following.waits:
        return True
    if following.step is Step.WATCH:
        return before not in (Step.LIST, Step.CONFIRM)
    return following.step is Step.CONFIRM


# Rule 8; seconds. Source: client-go VeryShortWatchError.
_SHORT_WATCH = 1.0
_MIN_PAUSE = 0.1
_MAX_PAUSE = 5.0
_PAUSE_FROM = 3  # unproductive watches in a row
# Rule 6. A watch list that lasted this many seconds without its end bookmark will not do better the next time.
_MAX_UNFINISHED = 3
_LONG_WATCH_LIST = 60.0
# Rule 12; seconds, to which the backoff's jitter is added.
_RELIST_PAUSE = 30.0
# The server does not support watch lists, or not for this resource.
_REFUSALS = frozenset({400, 405, 406, 415, 422, 501})


class ReflectorState:
    """The state of a reflector: what it has seen, and what it may still ask for.

    `begin` gives the first step of a round. The caller then makes the request of that step with the options returned by
    `list_options`, `watch_list_options` or `watch_options`, and reports the outcome, which returns the next step. The
    module's docstring states the rules.

    Args:
        watch_list: whether to begin with a watch list.
        page_size: objects per page; 0 asks for everything in one page. The default is used only where rule 4 says.

    Threads: one at a time; `last_resource_version` may be read on any.
    """

    def __init__(self, *, watch_list: bool, page_size: int) -> None:
        self.last_resource_version = ""
        """The version up to which everything was seen; "" before the first list."""
        self.is_resuming = False  # rule 13
        """Whether the cache has a saved state, or may get one, and has not caught up with the server."""
        self._watch_list = watch_list
        self._page_size = page_size
        self._asks_newest = False  # rule 2: lists ask for the newest state
        self._pages_all = page_size != DEFAULT_PAGE_SIZE  # rule 4: every list is paged, not only those at "0" and ""
        self._continue = ""  # the token of the next page
        self._tokens = ContinueTokens()
        self._in_one_page = False  # rule 3
        self._unfinished = 0  # rule 6: watch lists in a row that ended before their bookmark
        self._unproductive = 0  # rule 8: watches in a row
        self._confirms = True  # rule 11: the server has not refused such a list

    def begin(self) -> Next:
        """Returns the first step of a round."""
        self._continue, self._in_one_page = "", False
        if self.is_resuming:
            return Next(Step.CONFIRM)
        return Next(Step.WATCH_LIST if self._watch_list else Step.LIST)

    def resume(self, resource_version: str) -> None:
        """Has the first round continue from a saved state at a version (rule 13)."""
        self.last_resource_version = resource_version
        self.is_resuming = True

    def _list_instead(self) -> Next:
        self.is_resuming = False
        return self.begin()

    # Requests

    def list_options(self) -> ListOptions:
        """Returns the options of the next page."""
        if self._continue:
            return ListOptions(limit=self._page_size, continue_=self._continue)
        version = self._list_version()
        paged = not self._in_one_page and (version in ("", "0") or self._pages_all)
        limit = self._page_size if paged else 0
        # With a limit but no match, the server lists exactly this version. If it is too old for a watch, relists never end.
        match = "NotOlderThan" if limit and version not in ("", "0") else ""
        return ListOptions(resource_version=version, resource_version_match=match, limit=limit)

    def watch_list_options(self, timeout_seconds: int) -> ListOptions:
        """Returns the options of a watch list, which the server ends after `timeout_seconds`."""
        return ListOptions(
            resource_version="" if self._asks_newest else self.last_resource_version,
            resource_version_match="NotOlderThan",
            send_initial_events=True,
            allow_watch_bookmarks=True,
            timeout_seconds=timeout_seconds,
        )

    def watch_options(self, timeout_seconds: int) -> ListOptions:
        """Returns the options of a watch, which the server ends after `timeout_seconds`."""
        return ListOptions(
            resource_version=self.last_resource_version, allow_watch_bookmarks=True, timeout_seconds=timeout_seconds
        )

    def confirm_options(self) -> ListOptions:
        """Returns the options of the list of one object that confirms the last version."""
        return ListOptions(resource_version=self.last_resource_version, resource_version_match="NotOlderThan", limit=1)

    # Outcomes of a list

    def page_received(self, continue_: str | None) -> Next | None:
        """Reports a page with its continue token; returns the next step, or None if the list is complete and can be stored."""
        if not continue_:
            return None
        if self._tokens.repeats(continue_, is_first=not self._continue):
            return self.round_failed()
        if not self._continue and self._list_version() == "0":
            self._pages_all = True
        self._continue = continue_
        return Next(Step.LIST)

    def is_behind(self, resource_version: str) -> ApiError | None:
        """Returns an error if a list or watch list is older than what was seen and not of the newest state (rule 2)."""
        behind = not self._asks_newest and is_older(resource_version, self.last_resource_version)
        return older_list(resource_version, self.last_resource_version) if behind else None

    def list_complete(self, resource_version: str) -> Next:
        """Reports that a list was stored; `resource_version` is that of its first page."""
        self.last_resource_version = resource_version
        self.is_resuming = self._asks_newest = False
        self._continue, self._in_one_page = "", False
        self._unproductive = 0
        return Next(Step.WATCH)

    def list_failed(self, error: Exception) -> Next:
        """Reports a page that the server refused, or that did not arrive. A 410 on a list is decided here."""
        continued, self._continue = self._continue, ""
        if isinstance(error, ApiError) and (error.is_expired or error.is_too_large_resource_version):
            if continued and error.is_expired and not self._in_one_page:
                self._in_one_page = True
                return Next(Step.LIST)
            if not self._asks_newest:
                self._asks_newest, self._in_one_page = True, False
                return Next(Step.LIST)
        self._in_one_page = False
        return _failed(error)

    def round_failed(self) -> Next:
        """Reports any other failure: an unusable response, too many objects, or a target that refused a list."""
        self._continue, self._in_one_page = "", False
        return Next(Step.FAILED, wait=True)

    # Outcomes of a watch list

    def watch_list_complete(self, resource_version: str) -> None:
        """Reports that the end bookmark came and that the list was stored; the same watch continues."""
        self._unfinished = 0
        self.list_complete(resource_version)

    def watch_list_timed_out(self) -> Next:
        """Reports that the end bookmark of a watch list did not come in time."""
        self.use_lists()
        return Next(Step.LIST)

    def use_lists(self) -> None:
        """Makes every later round list: the server does not send end bookmarks."""
        self._watch_list = False

    def watch_list_ended(self, seconds: float) -> Next:
        """Reports a watch list that ended, after `seconds` and without an error, before its end bookmark."""
        self._unfinished += 1
        if self._unfinished >= _MAX_UNFINISHED or seconds >= _LONG_WATCH_LIST:
            return self.watch_list_timed_out()
        return Next(Step.WATCH_LIST, wait=True)

    def watch_list_failed(self, error: Exception) -> Next:
        """Reports a watch list whose call failed, or that brought an ERROR event before its end bookmark.

        A 410 on a watch list is decided here.
        """
        if isinstance(error, ApiError):
            again = Next(Step.WATCH_LIST, wait=True, at_least=error.retry_after or 0.0)
            if error.is_expired or error.is_too_large_resource_version:
                if self._asks_newest:
                    return again if error.is_expired else Next(Step.LIST, at_least=error.retry_after or 0.0)
                self._asks_newest = True
                return Next(Step.WATCH_LIST)
            if error.is_too_many_requests:
                return again
            self._watch_list = error.status not in _REFUSALS
            return Next(Step.LIST, at_least=error.retry_after or 0.0)
        if isinstance(error, ConnectionRefusedError):
            return Next(Step.WATCH_LIST, wait=True)
        if not isinstance(error, OSError):
            # The watch function of a user does not support watch lists.
            self._watch_list = False
        return Next(Step.LIST)

    # Outcomes of a watch

    def stored(self, resource_version: str) -> None:
        """Reports that everything up to a version was stored; "" is ignored."""
        if resource_version:
            self.last_resource_version = resource_version

    def watch_call_failed(self, error: Exception) -> Next:
        """Reports a call that failed to open a watch. A 410 there fails the round; a 405 is not a failure (rule 12)."""
        if isinstance(error, ApiError):
            if error.is_too_many_requests:
                return Next(Step.WATCH, wait=True, at_least=error.retry_after or 0.0)
            if self.is_resuming:
                return self._list_instead()
            if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
                return Next(Step.LIST, pause=_RELIST_PAUSE, at_least=error.retry_after or 0.0)
            return _failed(error)
        if isinstance(error, OSError):
            return Next(self._resume(), wait=True)
        return _failed(error)

    def watch_ended(self, *, events: int, seconds: float) -> Next:
        """Reports a watch that ended without an error.

        Args:
            events: the number of events that it brought, bookmarks included.
            seconds: how long it lasted, from before the call.
        """
        if self.is_resuming:
            return self._list_instead()
        if events == 0 and seconds < _SHORT_WATCH:
            return Next(Step.ENDED, wait=True)
        if events and seconds >= _SHORT_WATCH:
            self._unproductive = 0
            return Next(Step.WATCH)
        self._unproductive += 1
        more = self._unproductive - _PAUSE_FROM
        if more < 0:
            return Next(Step.WATCH)
        growth = 2 ** min(more, 10) if seconds < _SHORT_WATCH else 1
        return Next(Step.WATCH, pause=min(_MIN_PAUSE * growth, _MAX_PAUSE))

    def watch_went_silent(self) -> Next:
        """Reports a watch that was abandoned because nothing arrived for too long."""
        return Next(self._resume())

    def watch_error(self, error: ApiError) -> Next:
        """Reports an ERROR event of an open watch, which ends it. A 410 ends the round without an error."""
        if error.is_too_many_requests:
            return Next(Step.WATCH, wait=True, at_least=error.retry_after or 0.0)
        if self.is_resuming:
            return self._list_instead()
        return Next(Step.ENDED, wait=True, at_least=error.retry_after or 0.0)

    # Outcomes of a confirmation

    def confirmed(self) -> Next:
        """Reports that the server's history reaches the last version: the watch is resumed."""
        return Next(Step.WATCH)

    def confirm_failed(self, error: Exception) -> Next:
        """Reports that the server refused to confirm the last version, or did not answer (rule 11)."""
        if isinstance(error, ApiError):
            if error.is_expired or error.is_too_large_resource_version:
                self._asks_newest = True
                return self._list_instead()
            if error.is_too_many_requests:
                return Next(Step.CONFIRM, wait=True, at_least=error.retry_after or 0.0)
            if error.status in _REFUSALS:
                self._confirms = False
                return self._list_instead() if self.is_resuming else Next(Step.WATCH)
        if isinstance(error, OSError):
            return Next(Step.CONFIRM, wait=True)
        return _failed(error)

    def _resume(self) -> Step:
        """Returns how a watch is resumed after an outage. A watch from "" or "0" has no history that could go back."""
        confirms = self._confirms and self.last_resource_version not in ("", "0")
        return Step.CONFIRM if confirms else Step.WATCH

    def _list_version(self) -> str:
        if self._asks_newest:
            return ""
        return self.last_resource_version or "0"


def _failed(error: Exception) -> Next:
    retry_after = error.retry_after if isinstance(error, ApiError) else None
    return Next(Step.FAILED, wait=True, at_least=retry_after or 0.0)

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
    watches take its place. One that ends before the bookmark is asked again. 429 and a broken connection: wait, again.
 7. A watch call that fails with 429 or because nobody is there: wait, and the same again. Any other failure of the call,
    and any other error within the stream, ends the round: wait, and list again at the last version.
 8. A watch that ends within a second without an event has failed: it may be refused politely for ever. From the third
    in a row that ends normally but brought nothing, a short pause comes before the next.
 9. Silence is neither: the watch is given up and asked again from the last version.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from watch.errors import ApiError
from watch.options import ListOptions

__all__ = ["DEFAULT_PAGE_SIZE", "Next", "ReflectorState", "Step"]


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
        pause: seconds to wait first in any case.
        at_least: the server's wish: wait at least so many seconds.
    """

    step: Step
    wait: bool = False
    pause: float = 0.0
    at_least: float = 0.0


DEFAULT_PAGE_SIZE = 500
_SHORT_PAUSE = 0.1
_QUIET_ENDS = 3


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
        self._quiet_ends = 0  # rule 8

    @property
    def uses_watch_list(self) -> bool:
        """Whether rounds begin with a watch list."""
        return self._watch_list

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
        return ListOptions(resource_version=version, limit=self._page_size if paged else 0)

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
        if not self._continue and self._list_version() == "0":
            self._paginated = True
        self._continue = continue_
        return Next(Step.LIST)

    def list_complete(self, resource_version: str) -> Next:
        """The list was stored; `resource_version` is that of its first page."""
        self.last_resource_version = resource_version
        self._newest = False
        self._continue, self._full = "", False
        self._quiet_ends = 0
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

    # Outcomes of a watch list

    def watch_list_complete(self, resource_version: str) -> None:
        """The end bookmark came and everything before it was stored; the same watch goes on."""
        self.list_complete(resource_version)

    def watch_list_ended(self, error: Exception | None, *, timed_out: bool = False) -> Next:
        """A watch list was refused, or ended before its bookmark (None: without an error)."""
        if timed_out:
            self._watch_list = False
            return Next(Step.LIST)
        if error is None:
            return Next(Step.WATCH_LIST, wait=True)
        if isinstance(error, ApiError):
            if error.is_expired or error.is_too_large_resource_version:
                if self._newest:
                    return Next(Step.WATCH_LIST, wait=True, at_least=error.retry_after or 0.0)
                self._newest = True
                return Next(Step.WATCH_LIST)
            if error.is_too_many_requests:
                return Next(Step.WATCH_LIST, wait=True, at_least=error.retry_after or 0.0)
        elif isinstance(error, OSError):
            return Next(Step.WATCH_LIST, wait=True)
        if not _is_answer_to_credentials(error):
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

    def watch_ended(self, *, events: int, seconds: float, silent: bool = False) -> Next:
        """A watch ended without an error, after so many events (bookmarks count) and seconds."""
        if silent:
            return Next(Step.WATCH)
        if events == 0 and seconds < 1.0:
            return Next(Step.ENDED, wait=True)
        self._quiet_ends = 0 if events else self._quiet_ends + 1
        return Next(Step.WATCH, pause=_SHORT_PAUSE if self._quiet_ends >= _QUIET_ENDS else 0.0)

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


def _is_answer_to_credentials(error: Exception) -> bool:
    """401, 403 and 404 say nothing of whether the server knows watch lists."""
    return isinstance(error, ApiError) and error.status in (401, 403, 404)

"""The leader's work: the user's function on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from informer.leaderelection.term import Term
from watch.concurrency import Signal, Worker

__all__ = ["LeadersWork"]

_log = logging.getLogger(__name__)


class LeadersWork:
    """See the module.

    Args:
        function: called with the term's stop event. When it raises, the term ends.
        term: the time of leading that it is for.

    Attributes:
        over: set when the function has returned or raised.
        failure: what it has raised, None if it did not.

    Threads: any.
    """

    def __init__(self, function: Callable[[threading.Event], object], term: Term) -> None:
        self.over = Signal()
        self.failure: BaseException | None = None  # set before `over` is
        self._function = function
        self._term = term

    def start(self) -> LeadersWork:
        """Starts the thread and returns the work itself."""
        try:
            Worker(self._run, "leader-election-work").start()
        except BaseException:
            self.over.set()
            raise
        return self

    def goes_on_since(self, moment: float) -> bool:
        """Whether it still goes on though its lease had run out at some moment, by the clock."""
        return not self.over.is_set() and not self._term.is_current and self._term.lease_end < moment

    def _run(self) -> None:
        try:
            self._function(self._term.stop)
        # Whatever it is, SystemExit too: it is raised on the thread of `run`, or only logged when that has returned.
        except BaseException as error:
            self.failure = error
            _log.exception("on_started_leading failed")
        finally:
            self.over.set()
        if self.failure is not None:
            self._term.end("on_started_leading has failed")

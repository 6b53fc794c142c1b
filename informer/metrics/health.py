"""Health checks: reports what keeps this process from being alive or ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from informer.process import informers
from informer.rate_limited_log import rate_limited
from informer.shared.shared_informer import SharedInformer
from watch.logs import get_logger
from watch.printable import printable

__all__ = ["Check", "Health"]

Check = Callable[[], object]
"""A health check of the user's. It fails if it raises, or if it returns False or an exception."""

_log = get_logger(__name__)

_MAX_LINE_LENGTH = 500


class Health:
    """Checks informers and the user's checks, and reports each problem as one line of text.

    Args:
        watched: the informers to check. None: all informers that were started in this process and not stopped.
        live_checks: checks by name; a failing one means that the process needs a restart.
        ready_checks: checks by name; a failing one means that the process should not get requests for now.

    Threads: any. Checks run on the calling thread.
    """

    def __init__(
        self,
        watched: Iterable[SharedInformer[Any]] | None,
        live_checks: Mapping[str, Check] | None,
        ready_checks: Mapping[str, Check] | None,
    ) -> None:
        self._watched = None if watched is None else list(watched)
        self._live_checks = dict(live_checks or {})
        self._ready_checks = dict(ready_checks or {})
        self._limited = rate_limited(_log)

    def liveness_problems(self) -> list[str]:
        """One line for each informer whose reader thread has ended with an error, and for each live check that fails."""
        dead = (f"informer {each.name}: {_describe_death(each)}" for each in self._informers() if each.has_died)
        return [_to_line(problem) for problem in (*dead, *self._failing(self._live_checks))]

    def readiness_problems(self) -> list[str]:
        """One line for each informer that has not synced, with the reason, and for each ready check that fails."""
        unsynced = (f"informer {each.name}: {why}" for each in self._informers() if (why := self._not_ready(each)))
        return [_to_line(problem) for problem in (*unsynced, *self._failing(self._ready_checks))]

    def _informers(self) -> Iterable[SharedInformer[Any]]:
        if self._watched is not None:
            return self._watched
        return [each for each in informers() if each.has_died or not each.is_stopped()]

    def _not_ready(self, informer: SharedInformer[Any]) -> str:
        """Why an informer is not ready; "" if it is."""
        if informer.has_died:
            return _describe_death(informer)
        try:
            if informer.is_stopped():
                return "stopped"
            if not informer.is_started():
                return "not started"
            if informer.has_synced():
                return ""
            error = informer.sync_error()
        # The informer was started in the parent process and cannot be used in this forked child.
        except Exception as unusable:
            error = unusable
        return "not synced: " + ("the first list is under way" if error is None else str(error) or type(error).__name__)

    def _failing(self, checks: Mapping[str, Check]) -> Iterator[str]:
        for name, check in checks.items():
            try:
                result = check()
            except Exception as error:
                result = error
            # The text of the error goes to the log only: every client that reaches the port can read this page.
            if isinstance(result, BaseException):
                self._limited.warning("health check %s failed: %r", name, result, exc_info=result)
                yield f"check {name}: failed with {type(result).__name__}"
            elif result is False:
                yield f"check {name}: failed"


def _describe_death(informer: SharedInformer[Any]) -> str:
    return f"its reader thread ended with {type(informer.failure).__name__}"


def _to_line(text: str) -> str:
    """The text as one line of printable characters, cut to a bounded length."""
    return printable(text, _MAX_LINE_LENGTH)

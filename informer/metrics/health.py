"""Whether this process is alive and ready, in words.

Comes in: informers, and checks of the user's. Goes out: what is wrong, a line each; nothing where all is well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from informer.process import informers
from informer.rate_limited_log import LimitedLog
from informer.shared.shared_informer import SharedInformer

__all__ = ["Check", "Health"]

Check = Callable[[], object]
"""A check of the user's: it fails by raising, or by returning False or an exception."""

_log = logging.getLogger(__name__)

_LONGEST = 500


class Health:
    """See the module.

    Args:
        watched: the informers that have to be in order; None for all that were started in this process and not stopped.
        live_checks: by name; what fails here wants a restart.
        ready_checks: by name; what fails here wants no requests for now.

    Threads: any. Checks run on the thread that asks.
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
        self._limited = LimitedLog(_log)

    def what_is_dead(self) -> list[str]:
        """Informers whose reading has ended with an error, and checks that fail."""
        dead = (f"informer {each.name}: {_end_of(each)}" for each in self._informers() if each.has_died)
        return [_line(words) for words in (*dead, *self._failing(self._live_checks))]

    def what_is_not_ready(self) -> list[str]:
        """Informers without their first list, and checks that fail."""
        waited_for = (f"informer {each.name}: {word}" for each in self._informers() if (word := self._missing(each)))
        return [_line(words) for words in (*waited_for, *self._failing(self._ready_checks))]

    def _informers(self) -> Iterable[SharedInformer[Any]]:
        if self._watched is not None:
            return self._watched
        return [each for each in informers() if each.has_died or not each.is_stopped()]

    def _missing(self, informer: SharedInformer[Any]) -> str:
        """What an informer lacks, "" for nothing."""
        if informer.has_died:
            return _end_of(informer)
        try:
            if informer.is_stopped():
                return "stopped"
            if not informer.is_started():
                return "not started"
            if informer.has_synced():
                return ""
            error = informer.sync_error()
        # It belongs to the process that this one was forked from.
        except Exception as unusable:
            error = unusable
        return "not synced: " + ("its first list is under way" if error is None else str(error) or type(error).__name__)

    def _failing(self, checks: Mapping[str, Check]) -> Iterator[str]:
        for name, check in checks.items():
            try:
                result = check()
            # Whatever a user's check raises, it has failed; what it says is for the log, which is not for everybody.
            except Exception as error:
                result = error
            if isinstance(result, BaseException):
                self._limited.log(logging.WARNING, "check %s failed", name, exc_info=result)
                yield f"check {name}: failed with {type(result).__name__}"
            elif result is False:
                yield f"check {name}: failed"


def _end_of(informer: SharedInformer[Any]) -> str:
    return f"its reading has ended with {type(informer.failure).__name__}"


def _line(words: str) -> str:
    """Words as one line that no terminal trips over."""
    text = "".join(char if char.isprintable() else "?" for char in " ".join(words.split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

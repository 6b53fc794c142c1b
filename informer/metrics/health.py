"""Health checks: finds the reasons why this process is not alive or not ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from informer.process import informers
from informer.rate_limited_log import rate_limited
from informer.shared.shared_informer import SharedInformer
from watch.concurrency import Worker
from watch.logs import get_logger
from watch.printable import printable

__all__ = ["CHECK_TIMEOUT", "Check", "Health"]

Check = Callable[[], object]
"""A health check of the user's. It fails if it raises, returns False or an exception, or does not return in time."""

CHECK_TIMEOUT = 0.75
"""Seconds after which a check that still runs has failed. A kubelet waits one second, unless a probe has `timeoutSeconds`."""

_log = get_logger(__name__)

_MAX_LINE_LENGTH = 500


class Health:
    """Checks informers and the user's checks, and reports each problem as one line of text.

    Args:
        watched: the informers to check. None: all informers that were started in this process and not stopped.
        live_checks: checks by name; a failing one means that the process needs a restart.
        ready_checks: checks by name; a failing one means that the process should not get requests for now.
        check_timeout: seconds after which a check that still runs has failed.

    Raises:
        ValueError: `check_timeout` is not positive.

    Threads: one thread at a time for each method. A check runs on a thread of its own, and never on two.
    """

    def __init__(
        self,
        watched: Iterable[SharedInformer[Any]] | None,
        live_checks: Mapping[str, Check] | None,
        ready_checks: Mapping[str, Check] | None,
        check_timeout: float = CHECK_TIMEOUT,
    ) -> None:
        if not check_timeout > 0:
            raise ValueError(f"check_timeout must be greater than 0, not {check_timeout}")
        self._watched = None if watched is None else list(watched)
        self._live_checks = {name: _CheckThread(check) for name, check in (live_checks or {}).items()}
        self._ready_checks = {name: _CheckThread(check) for name, check in (ready_checks or {}).items()}
        self._check_timeout = check_timeout
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

    def _failing(self, checks: Mapping[str, _CheckThread]) -> Iterator[str]:
        runs = {name: check.begin() for name, check in checks.items()}
        for name, run in runs.items():
            if not run.wait_until(run.started + self._check_timeout):
                seconds = time.monotonic() - run.started
                self._limited.warning("health check %s still runs after %.1f s", name, seconds)
                yield f"check {name}: still running after {seconds:.1f} s"
                continue
            result, run.result = run.result, None
            # The text of the error goes to the log only: every client that reaches the port can read this page.
            if isinstance(result, BaseException):
                self._limited.warning("health check %s failed: %r", name, result, exc_info=result)
                yield f"check {name}: failed with {type(result).__name__}"
            elif result is False:
                yield f"check {name}: failed"

    def workers(self) -> Iterator[Worker]:
        """Yields the threads of the checks that run."""
        for check in (*self._live_checks.values(), *self._ready_checks.values()):
            yield from check.workers()


class _CheckThread:
    """Runs a check on a thread of its own, one call at a time."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._run: _Run | None = None

    def begin(self) -> _Run:
        """Returns the run that is under way, or begins one."""
        run = self._run
        if run is None or run.has_ended:
            run = self._run = _Run(self._check)
        return run

    def workers(self) -> Iterable[Worker]:
        run = self._run
        return () if run is None or run.worker is None else (run.worker,)


class _Run:
    """One call of a check, on a new thread."""

    def __init__(self, check: Check) -> None:
        self.started = time.monotonic()
        self.result: object = None  # what the check returned or raised
        self._check = check
        self.worker: Worker | None = Worker(self._call, "informer-metrics-check")
        try:
            self.worker.start()
        # The system has no more threads.
        except RuntimeError as error:
            self.result, self.worker = error, None

    @property
    def has_ended(self) -> bool:
        return self.worker is None or self.worker.has_ended

    def wait_until(self, deadline: float) -> bool:
        """Waits until a time of the monotonic clock; returns whether the check has returned."""
        return self.worker is None or self.worker.join(max(0.0, deadline - time.monotonic()))

    def _call(self) -> None:
        try:
            self.result = self._check()
        # SystemExit is a failure too: raised on this thread, it would not end the process.
        except BaseException as error:
            self.result = error


def _describe_death(informer: SharedInformer[Any]) -> str:
    return f"its reader thread ended with {type(informer.failure).__name__}"


def _to_line(text: str) -> str:
    """The text as one line of printable characters, cut to a bounded length."""
    return printable(text, _MAX_LINE_LENGTH)

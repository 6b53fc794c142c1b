"""The waits before a reflector's requests and rounds: backoff, pauses and pacing."""

from __future__ import annotations

import threading
import time
from random import Random

from informer.reflector.backoff import Backoff, BackoffState
from informer.reflector.config import ReflectorConfig
from informer.reflector.health import Health
from informer.reflector.pacing import pacer_for
from informer.reflector.state import Next, Step, is_paced
from watch.clock import SYSTEM_CLOCK, Clock
from watch.concurrency import Signal, on_set
from watch.errors import as_api_error

__all__ = ["Waits"]

# The least time between two attempts, in seconds, when other informers reach the server: it may answer only some of them.
_LEAST_WAIT = 0.5
# What a proxy answers while the server behind it is down.
_GATEWAY_ERRORS = frozenset({502, 503, 504})


class Waits:
    """Waits as a `ReflectorState` has decided. Rounds and watches back off independently.

    Waits within a round are measured by the config's clock. Waits between rounds, and those of the pacer, are measured by the
    system's clock even if another is configured: they protect a server.

    A wait after a failed connection ends early when another informer reaches the same server. So all informers of a server that
    was down return at once, in the turns of the pacer. The server's Retry-After is never cut short.

    Args:
        config: has the backoff and the clock.
        random: the source of jitter.
        server: identifies the server whose informers share a pacer; None if it is unknown.
        health: logs a warning if the first sync is overdue during a wait.

    Threads: the reflector's.
    """

    def __init__(self, config: ReflectorConfig, random: Random, server: str | None, health: Health) -> None:
        backoff = config.backoff or Backoff()
        self._clock = config.clock
        self._round_backoff = BackoffState(backoff, random)
        self._watch_backoff = BackoffState(backoff, random)
        self._pacer = pacer_for(server)
        self._health = health
        self._is_cut_off = False  # the last request did not reach the server

    @property
    def lacks_bookmarks(self) -> bool:
        """Whether an informer of this server has found that it does not send the end bookmarks of watch lists."""
        return self._pacer is not None and self._pacer.lacks_bookmarks

    def record_missing_bookmark(self) -> None:
        """Records that the server did not send the end bookmark of a watch list in time, for its other informers."""
        if self._pacer is not None:
            self._pacer.lacks_bookmarks = True

    def record_failure(self, error: Exception) -> None:
        """Records that a request has failed; an answer of the server itself counts as one that it was reached."""
        answer = as_api_error(error)
        if answer is None:
            self._is_cut_off = isinstance(error, OSError)
        elif answer.status in _GATEWAY_ERRORS and not answer.is_too_large_resource_version:
            self._is_cut_off = True
        else:
            self.record_answer()

    def record_answer(self) -> None:
        """Records that the server has answered a request; if it could not be reached before, others that wait try at once."""
        if self._is_cut_off:
            self._is_cut_off = False
            if self._pacer is not None:
                self._pacer.reached()

    def before_round(self, ended: Next, stop: threading.Event) -> None:
        """Waits after a round.

        Args:
            ended: the step that ended it.
            stop: ends the wait.
        """
        wait = self._round_backoff.next(time.monotonic(), ended.at_least)
        self._wait(SYSTEM_CLOCK, stop, wait, ended)

    def before_request(self, step: Next, before: Step | None, stop: threading.Event) -> bool:
        """Waits within a round; returns False if `stop` is set.

        Args:
            step: the request to come.
            before: the round's last request; None if there was none yet.
            stop: ends the wait.
        """
        if step.waits:
            backoff = self._watch_backoff
            wait = (
                backoff.next(self._clock.monotonic(), step.at_least)
                if step.wait
                else backoff.pause(step.pause, step.at_least)
            )
            self._wait(self._clock, stop, wait, step)
        if self._pacer is not None and is_paced(before, step) and not stop.is_set():
            self._health.wait(SYSTEM_CLOCK, stop, self._pacer.reserve(time.monotonic()))
        return not stop.is_set()

    def _wait(self, clock: Clock, stop: threading.Event, seconds: float, step: Next) -> None:
        if self._pacer is None or not self._is_cut_off or step.at_least > 0:
            self._health.wait(clock, stop, seconds)
            return
        begun, wake = clock.monotonic(), Signal()
        withdraw = [on_set(stop, wake.set), self._pacer.on_reached(wake.set)]
        try:
            self._health.wait(clock, wake, seconds)
        finally:
            for each in withdraw:
                each()
        left = min(seconds, _LEAST_WAIT) - (clock.monotonic() - begun)
        if left > 0:
            self._health.wait(clock, stop, left)

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
from watch.clock import SYSTEM_CLOCK

__all__ = ["Waits"]


class Waits:
    """Waits as a `ReflectorState` has decided. Rounds and watches back off independently.

    Waits within a round are measured by the config's clock. Waits between rounds, and those of the pacer, are measured by the
    system's clock even if another is configured: they protect a server.

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

    def before_round(self, ended: Next, stop: threading.Event) -> None:
        """Waits after a round.

        Args:
            ended: the step that ended it.
            stop: ends the wait.
        """
        wait = self._round_backoff.next(time.monotonic(), ended.at_least)
        self._health.wait(SYSTEM_CLOCK, stop, wait)

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
            self._health.wait(self._clock, stop, wait)
        if self._pacer is not None and is_paced(before, step) and not stop.is_set():
            self._health.wait(SYSTEM_CLOCK, stop, self._pacer.reserve(time.monotonic()))
        return not stop.is_set()

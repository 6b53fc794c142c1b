"""Waiting with a deadline: for a condition, or for a call that runs on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

# Seconds that a test waits for something that should happen soon. Only a failing test waits this long; two such waits
# still end before pytest's time-out for the test.
DEADLINE = 25.0
# Seconds within which a call must have ended that should wait for nothing, such as a stop. What it would wait for by mistake
# takes longer, or never comes; a busy machine may still need a second or two for what usually takes some milliseconds.
PROMPT = 5.0


def eventually(condition: Callable[[], Any], within: float = DEADLINE) -> bool:
    """Returns whether the condition becomes true within `within` seconds, calling it every few milliseconds."""
    deadline, pause = time.monotonic() + within, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.005)
    return True


class Task:
    """A call that runs on its own thread."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._function, self._args = function, args
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function(*self._args)
        except BaseException as error:
            self._error = error

    def ends_within(self, seconds: float = DEADLINE) -> bool:
        """Waits at most `seconds` seconds and returns whether the call has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> Any:
        """Returns what the call returned or raises what it raised; fails the test if the call does not end."""
        assert self.ends_within(), f"{self._function} did not return"
        if self._error is not None:
            raise self._error
        return self._value

"""Waiting for a state that nobody tells of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def eventually(condition: Callable[[], Any], within: float = 10.0) -> bool:
    """Whether a condition comes true within so many seconds; it is looked at every few milliseconds."""
    deadline, pause = time.monotonic() + within, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.005)
    return True

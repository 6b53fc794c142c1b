"""Checks the calls of a handler, one by one."""

from __future__ import annotations

import time
from typing import Any

from watch.concurrency import Lock


class Replay:
    """Adds a handler to an informer, and records each call that contradicts the calls before it.

    Args:
        informer: the informer whose calls are checked.
    """

    def __init__(self, informer: Any) -> None:
        self._lock = Lock()
        self._state: dict[str, int] = {}  # resourceVersions by name; guarded by _lock, like the next three
        self._last: dict[str, int] = {}  # the last version of each name, deleted ones too
        self._contradictions: list[str] = []
        self._last_call_at = 0.0
        self._registration = informer.add_event_handler(
            on_add=self._add, on_update=self._update, on_delete=self._delete
        )

    def state(self) -> dict[str, int]:
        """Returns the resourceVersions by name that result from the calls so far.

        Raises:
            AssertionError: a call contradicts the calls before it.
        """
        with self._lock:
            assert not self._contradictions, self._contradictions[:5]
            return dict(self._state)

    def last_call_at(self) -> float:
        """Returns the monotonic time of the last call."""
        with self._lock:
            return self._last_call_at

    def _add(self, obj: Any) -> None:
        name, version = obj.name, int(obj.resource_version)
        with self._lock:
            self._check(name not in self._state, f"add of {name} at {version}, which is there already")
            self._check(version > self._last.get(name, 0), f"add of {name} goes back in time to {version}")
            self._state[name] = self._last[name] = version
            self._last_call_at = time.monotonic()

    def _update(self, old: Any, new: Any) -> None:
        name, version = new.name, int(new.resource_version)
        with self._lock:
            known = self._state.get(name)
            self._check(known is not None, f"update of {name} to {version}, which is not there")
            self._check(int(old.resource_version) == known, f"update of {name} from another version than {known}")
            self._check(version > self._last.get(name, 0), f"update of {name} goes back in time to {version}")
            self._state[name] = self._last[name] = version
            self._last_call_at = time.monotonic()

    def _delete(self, obj: Any) -> None:
        name, version = obj.name, int(obj.resource_version)
        with self._lock:
            self._check(name in self._state, f"delete of {name} at {version}, which is not there")
            self._check(version >= self._last.get(name, 0), f"delete of {name} goes back in time to {version}")
            self._state.pop(name, None)
            self._last[name] = version
            self._last_call_at = time.monotonic()

    def _check(self, is_valid: bool, otherwise: str) -> None:
        if not is_valid:
            self._contradictions.append(otherwise)

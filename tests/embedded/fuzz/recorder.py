"""Records and checks, call by call, what one handler or event stream of an informer gets."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any, NamedTuple

from informer import Change, DeltaType
from tests.support.waiting import DEADLINE
from watch.concurrency import Monitor

# Seconds between two checks of a condition without a notification.
_PAUSE = 0.05


class State(NamedTuple):
    """One state of one object."""

    uid: str
    version: int
    form: str  # the apiVersion, which changes without a write when another version is served


def state_of(obj: Any) -> State:
    metadata = obj["metadata"]
    return State(metadata["uid"], int(metadata["resourceVersion"]), obj["apiVersion"])


def key_of(obj: Any) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


class Progress:
    """Wakes a thread that waits for a condition, whenever something has made progress."""

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._notified = 0

    def notify(self) -> None:
        with self._monitor:
            self._notified += 1
            self._monitor.notify_all()

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Waits at most `seconds` for a condition; returns whether it holds.

        It is checked after each notification, and from time to time: no informer notifies that it watches again.
        """
        deadline = time.monotonic() + seconds
        while True:
            with self._monitor:
                seen = self._notified
            # Not under the monitor: a notifying thread may hold a lock that the condition needs.
            if condition():
                return True
            with self._monitor:
                left = deadline - time.monotonic()
                self._monitor.wait_for(lambda: self._notified != seen, min(left, _PAUSE))  # noqa: B023
            if left <= 0:
                return condition()


class Recorder:
    """Records the calls of one handler or event stream.

    Args:
        name: used in its reports.
        progress: notified at each call.
        keep: the filter of the handler; None for no filter.
        coalesced: whether a recreated object has to arrive as a delete and an add.
        resyncs: whether the same state may arrive again.
        sees_initial: whether it gets the objects that existed before it was added.
        fails: whether each call raises after it was recorded.
        gate: each call waits until this is set; None never waits.
    """

    def __init__(
        self,
        name: str,
        progress: Progress,
        *,
        keep: Callable[[Any], bool] | None = None,
        coalesced: bool = False,
        resyncs: bool = False,
        sees_initial: bool = True,
        fails: bool = False,
        gate: Event | None = None,
    ) -> None:
        self.name = name
        self.keep = keep
        self.sees_initial = sees_initial
        self.known: dict[str, State] = {}
        self.wrong: list[str] = []
        self.closed = False  # no call may come any more
        self.goes_back = False  # the server's history goes back, so older states may follow newer ones
        self._progress = progress
        self._coalesced = coalesced
        self._resyncs = resyncs
        self._fails = fails
        self._gate = gate
        self._newest: dict[str, int] = {}  # by key: the newest version that has arrived

    # As a handler

    def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        self._called([lambda: self._add(obj)])

    def on_update(self, old: Any, new: Any) -> None:
        self._called([lambda: self._update(old, new)])

    def on_delete(self, obj: Any, *, final_state_unknown: bool) -> None:
        self._called([lambda: self._delete(obj)])

    def on_batch(self, changes: list[Change[Any]]) -> None:
        self._called([lambda change=change: self.take(change) for change in changes])

    def take(self, change: Change[Any]) -> None:
        if change.type is DeltaType.ADDED:
            self._add(change.object)
        elif change.type is DeltaType.UPDATED:
            self._update(change.old, change.object)
        else:
            self._delete(change.object, change.last_known)

    def drain(self, stream: Any) -> None:
        """Reads an event stream to its end."""
        for change in stream:
            self._called([lambda change=change: self.take(change)])

    def _called(self, calls: list[Callable[[], object]]) -> None:
        if self._gate is not None:
            self._gate.wait(DEADLINE)
        if self.closed:
            self.wrong.append(f"{self.name} was called after its end")
        for call in calls:
            call()
        self._progress.notify()
        if self._fails:
            raise RuntimeError("a handler that fails")

    # Checks of each call

    def _add(self, obj: Any) -> None:
        key, state = key_of(obj), state_of(obj)
        self._expect(key not in self.known, f"add of {key} {state}, which it knows as {self.known.get(key)}")
        newest = self._newest.get(key, 0)
        self._expect(state.version > newest or self.goes_back, f"add of {key} {state}, though it has seen {newest}")
        self._know(key, state)

    def _update(self, old: Any, new: Any) -> None:
        key, before, after = key_of(new), state_of(old), state_of(new)
        known = self.known.get(key)
        if known is None and not self.sees_initial and key not in self._newest:
            known = before
        call = f"update of {key} {before} to {after}"
        self._expect(known is not None, f"{call}, which it does not know")
        self._expect(before == known, f"{call}, though it knows {known}")
        self._expect(self._may_follow(before, after), f"{call} changes nothing")
        self._expect(after.uid == before.uid or not self._coalesced, f"{call} is another object")
        self._know(key, after)

    def _may_follow(self, before: State, after: State) -> bool:
        if after == before:
            # After the history has gone back, another state may have the same version.
            return self._resyncs or self.goes_back
        return self.goes_back or after.version > before.version or after.form != before.form

    def _delete(self, obj: Any, last_known: Any = None) -> None:
        key, state = key_of(obj), state_of(obj)
        known = self.known.pop(key, None)
        if known is None and not self.sees_initial and key not in self._newest:
            known = state_of(obj if last_known is None else last_known)
        call = f"delete of {key} {state}"
        self._expect(known is not None, f"{call}, which it does not know")
        if known is not None:
            older = state.version < known.version and not self.goes_back
            self._expect(state.uid == known.uid and not older, f"{call}, though it knows {known}")
            self._expect(last_known is None or state_of(last_known) == known, f"{call} with another last known state")
        self._newest[key] = max(state.version, self._newest.get(key, 0))

    def _know(self, key: str, state: State) -> None:
        self.known[key] = state
        self._newest[key] = max(state.version, self._newest.get(key, 0))

    def _expect(self, condition: bool, otherwise: str) -> None:
        if not condition:
            self.wrong.append(f"{self.name}: {otherwise}")

    def history_goes_on(self) -> None:
        """Checks the order of versions again, from what it knows now."""
        self.goes_back = False
        self._newest = {key: self.known[key].version if key in self.known else 0 for key in self._newest}

    def differs_from(self, states: dict[str, State]) -> str | None:
        """Returns how its known states differ from `states`, or None."""
        known = dict(self.known)
        if not self.sees_initial:
            # It gets no object that has not changed since it was added, so only the keys it has seen are compared.
            states = {key: state for key, state in states.items() if key in self._newest}
        return None if known == states else f"{self.name} knows {known} of {states}"

"""Continues from a saved state instead of a first list, once the server has confirmed that it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from informer.cache.snapshot_file import SavedState
from informer.listwatch.lister_watcher import ObjectList
from informer.objects.entry import Undecodable
from informer.objects.form import have_same_form
from informer.objects.keys import metadata_of
from informer.reflector.health import Health
from informer.reflector.held_objects import HeldObjects
from informer.reflector.paged_list import contradiction
from informer.reflector.state import ReflectorState
from informer.reflector.target import ReflectorTarget
from watch.logs import get_logger
from watch.versions import is_older, shown_version

__all__ = ["Resumption"]

_log = get_logger(__name__)

# Seconds in which a watch brings nothing, so that it has no event left from before it was opened. kube-apiserver sends these
# and a refusal (an ERROR event) at once after the head of its answer.
_QUIET = 0.25


class Resumption:
    """Continues from a saved state instead of a first list (rule 13 of `ReflectorState`).

    The state is stored in the target only after the server has confirmed it. The target counts as synced when it has caught
    up: the watch has brought a version that the server had at the confirmation, or the watch was quiet.

    Args:
        load: returns the saved state, or None; it does not raise. None if there is never one.
        name: the reflector's, for logs.
        state, target, held, health: the reflector's.

    Threads: the reflector's.
    """

    def __init__(
        self,
        load: Callable[[], SavedState | None] | None,
        name: str,
        state: ReflectorState,
        target: ReflectorTarget,
        held: HeldObjects,
        health: Health,
    ) -> None:
        self._load = load
        self._name = name
        self._state = state
        self._target = target
        self._held = held
        self._health = health
        self._saved: SavedState | None = None
        self._present = ""  # the server's version when it confirmed the saved state

    def begin(self) -> None:
        """Loads the saved state. Called once, before the first round."""
        self._saved = None if self._load is None else self._load()
        if self._saved is not None:
            self._state.resume(self._saved.resource_version)

    def confirmed(self, page: ObjectList[Any]) -> Exception | None:
        """Stores the saved state in the target, if a list of one object does not contradict it.

        Returns:
            Why the saved state is not used; None if it is, or if there is none.
        """
        saved, self._saved = self._saved, None
        if saved is None or not self._state.is_resuming:
            return None
        found = next(iter(page.items), None)
        reason = _contradiction(saved, found, is_last=not page.continue_)
        if reason:
            _log.warning(
                "%s: the snapshot does not fit the server (%s), as after a restore of etcd or in another cluster: listing",
                self._name,
                reason,
            )
            return contradiction(reason)
        self._target.restore(saved.items, saved.resource_version)
        self._held.listed(saved.items)
        self._present = str(page.resource_version or "")
        _log.info(
            "%s: %d objects of a snapshot at resourceVersion %s: watching from there",
            self._name,
            len(saved.items),
            shown_version(saved.resource_version),
        )
        # Nothing has changed in the meantime.
        self.stored(saved.resource_version)
        return None

    def discard(self) -> None:
        """Called when a complete list is stored: there is nothing left to resume."""
        self._saved = None

    def patience(self, seconds: float) -> float:
        """Returns how long to wait for the next events of a watch, instead of `seconds`."""
        return min(seconds, _QUIET) if self._state.is_resuming else seconds

    def was_quiet(self) -> bool:
        """Reports that nothing came within `patience`; returns whether that has ended the resumption."""
        return self._state.is_resuming and self._catch_up()

    def stored(self, version: str) -> None:
        """Reports that events of the watch were stored, up to a version."""
        if self._state.is_resuming and version and self._present and not is_older(version, self._present):
            self._catch_up()

    def _catch_up(self) -> bool:
        self._state.is_resuming = False
        self._target.caught_up(self._state.last_resource_version)
        self._health.record_sync()
        return True


def _contradiction(saved: SavedState, found: Any, *, is_last: bool) -> str:
    """Returns why a saved state cannot be an earlier state of what the server lists; "" if it can.

    Args:
        saved: the state.
        found: the first object of the server's list, in stored form; None for an empty list.
        is_last: whether the list has no more objects.
    """
    if found is None:
        return "it lists no object" if is_last and saved.items else ""
    if type(found) is Undecodable:
        return ""
    try:
        now = metadata_of(found)
        known = _named(saved.items, now.name, now.namespace)
        if saved.items and not have_same_form(known or saved.items[0], found):
            return "it lists another apiVersion or kind"
        if is_older(saved.resource_version, now.resource_version):
            return ""
        if known is None:
            return "it lists an older object that the snapshot lacks"
        then = metadata_of(known)
    # A user's own object may lack all of that.
    except Exception as error:
        return f"an object cannot be compared: {type(error).__name__}"
    same = (then.uid, then.resource_version) == (now.uid, now.resource_version)
    return "" if same else "it lists an older object with another uid or resourceVersion"


def _named(items: Sequence[Any], name: str, namespace: str) -> Any:
    return next((item for item in items if item.name == name and item.namespace == namespace), None)

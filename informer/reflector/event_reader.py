"""From a watch's events to a queue's deltas, a batch at a time.

Comes in: events as a watcher gave them, however odd. Goes out: deltas, the version that they lead to, and the error that
ends the watch if there is one. No I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from informer.objects.entry import Undecodable
from informer.objects.keys import DeletedFinalStateUnknown, annotations_of, version_of
from informer.queues.delta import Delta, DeltaType
from informer.rate_limited_log import LimitedLog
from watch.errors import ApiError
from watch.event import Event, EventType

__all__ = [
    "Batch",
    "EventReader",
    "expectation",
    "growth",
    "is_initial_events_end",
    "status_error",
    "version_after",
]

_log = logging.getLogger(__name__)

_DELTA_TYPES: dict[EventType | str, DeltaType] = {
    EventType.ADDED: DeltaType.ADDED,
    EventType.MODIFIED: DeltaType.UPDATED,
    EventType.DELETED: DeltaType.DELETED,
}
# Source: apimachinery meta/v1 InitialEventsAnnotationKey.
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Batch:
    """What a batch of events comes to."""

    __slots__ = ("deltas", "error", "resource_version")

    def __init__(self, deltas: list[Delta], resource_version: str, error: ApiError | None) -> None:
        self.deltas = deltas
        self.resource_version = resource_version  # "" where the events tell none
        self.error = error


def growth(deltas: Sequence[Delta]) -> int:
    """By how many objects there are more after these."""
    more = 0
    for delta in deltas:
        if delta.type is DeltaType.ADDED:
            more += 1
        elif delta.type is DeltaType.DELETED:
            more -= 1
    return more


class EventReader:
    """Reads the events of one watch.

    Args:
        begun_at: the version the watch was asked to begin at. From "" or "0" it begins with the present state as ADDED
            events in no order of versions, so that none of these tells up to where everything was seen.
        is_expected: tells objects that do not belong here; None expects everything.
        on_undecodable: told of each object that did not decode.
    """

    def __init__(
        self,
        begun_at: str,
        *,
        is_expected: Callable[[Any], bool] | None = None,
        on_undecodable: Callable[[Undecodable], object],
    ) -> None:
        self._in_order = begun_at not in ("", "0")
        self._is_expected = is_expected
        self._on_undecodable = on_undecodable
        self._limited = LimitedLog(_log)
        self.skipped = 0
        """How many objects did not belong here."""

    def read(self, events: Sequence[Event[Any]]) -> Batch:
        """Reads a batch."""
        deltas: list[Delta] = []
        append = deltas.append
        is_expected = self._is_expected
        error: ApiError | None = None
        # The version is that of the last delta, from here on, that has one.
        first = 0 if self._in_order else -1
        for kind, obj in events:
            delta_type = _DELTA_TYPES.get(kind)
            if first < 0 and delta_type is not DeltaType.ADDED:
                first = len(deltas)
            if delta_type is None:
                if kind != EventType.BOOKMARK:
                    error = status_error(obj) if kind == EventType.ERROR else _unknown_type(kind)
                    break
                deltas += _bookmark(version_of(obj))
            elif type(obj) is Undecodable:
                deltas += self._left_out(obj, in_order=first >= 0)
            elif is_expected is None or is_expected(obj):
                append(Delta(delta_type, obj))
            else:
                self._skip(obj)
        self._in_order = first >= 0
        return Batch(deltas, self._last_version(deltas, first) if first >= 0 else "", error)

    def _left_out(self, obj: Undecodable, *, in_order: bool) -> list[Delta]:
        """It is gone from the cache, if it was there, and its version has been seen."""
        self._on_undecodable(obj)
        gone = [Delta(DeltaType.DELETED, DeletedFinalStateUnknown(_key_of(obj), None))] if obj.name else []
        return gone + _bookmark(obj.resource_version) if in_order else gone

    def _last_version(self, deltas: Sequence[Delta], first: int) -> str:
        for at in range(len(deltas) - 1, first - 1, -1):
            version = version_after(deltas[at])
            if version:
                return version
        return ""

    def _skip(self, obj: Any) -> None:
        self.skipped += 1
        self._limited.log(logging.WARNING, "skipped an object of another type than was asked for: %s", _described(obj))


def version_after(delta: Delta) -> str:
    """The resourceVersion that a delta leads to, "" for none."""
    return delta.object if delta.type is DeltaType.BOOKMARK else version_of(delta.object)


def is_initial_events_end(event: Event[Any]) -> bool:
    """Whether a bookmark says that the initial events are complete."""
    if event.type != EventType.BOOKMARK:
        return False
    try:
        return annotations_of(event.object).get(_INITIAL_EVENTS_END) == "true"
    except Exception:
        return False


def status_error(obj: Any) -> ApiError:
    """The error that an ERROR event's object tells, whatever its shape."""
    if isinstance(obj, ApiError):
        return obj
    if isinstance(obj, Mapping):
        return ApiError.from_status(obj)
    fields = {name: getattr(obj, name, None) for name in ("code", "reason", "message", "details")}
    if any(value is not None for value in fields.values()):
        # The official client's V1Status.
        retry_after = getattr(fields["details"], "retry_after_seconds", None)
        return ApiError.from_status(fields, retry_after=float(retry_after) if isinstance(retry_after, int) else None)
    return ApiError(500, "InternalError", f"the watch reported an error as a {type(obj).__name__}, which is no Status")


def _bookmark(resource_version: str) -> list[Delta]:
    return [Delta(DeltaType.BOOKMARK, resource_version)] if resource_version else []


def _unknown_type(kind: Any) -> ApiError:
    return ApiError(500, "InternalError", f"got invalid watch event type: {str(kind)[:100]!r}")


def _key_of(obj: Undecodable) -> str:
    return f"{obj.namespace}/{obj.name}" if obj.namespace else obj.name


def expectation(expected: type | tuple[str, str] | None) -> Callable[[Any], bool] | None:
    """What tells whether an object is of a type, or of an (apiVersion, kind); None where everything is expected."""
    if expected is None:
        return None
    if isinstance(expected, type):
        return lambda obj: isinstance(obj, expected)
    return lambda obj: _kind_of(obj) == expected


def _kind_of(obj: Any) -> tuple[Any, Any]:
    if isinstance(obj, dict):
        return obj.get("apiVersion"), obj.get("kind")
    return getattr(obj, "api_version", None), getattr(obj, "kind", None)


def _described(obj: Any) -> str:
    api_version, kind = _kind_of(obj)
    return f"{api_version}, Kind={kind}" if kind else type(obj).__name__

"""From a watch's events to a queue's deltas, a batch at a time.

Comes in: events as a watcher gave them, however odd. Goes out: deltas, the version that they lead to, and the error that
ends the watch if there is one. No I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from informer.deltas import Delta, DeltaType
from informer.entries import Undecodable
from informer.keys import DeletedFinalStateUnknown, annotations_of, resource_version_of
from watch.errors import ApiError
from watch.event import Event, EventType

__all__ = ["Batch", "EventReader", "is_initial_events_end", "status_error"]

_log = logging.getLogger(__name__)

_DELTA_TYPES = {
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
        self.skipped = 0
        """How many objects did not belong here."""

    @staticmethod
    def version_of(delta: Delta) -> str:
        """The resourceVersion that a delta leads to, "" for none."""
        return delta.object if delta.type is DeltaType.BOOKMARK else _version_of(delta.object)

    def read(self, events: Sequence[Event[Any]]) -> Batch:
        """Reads a batch."""
        deltas: list[Delta] = []
        append = deltas.append
        error: ApiError | None = None
        version = ""
        for event in events:
            kind, obj = event
            delta_type = _DELTA_TYPES.get(kind)  # type: ignore[call-overload]
            if delta_type is None:
                if kind == EventType.BOOKMARK:
                    mark = _version_of(obj)
                    self._in_order = True
                    if mark:
                        version = mark
                        append(Delta(DeltaType.BOOKMARK, mark))
                    continue
                error = status_error(obj) if kind == EventType.ERROR else _unknown_type(kind)
                break
            if type(obj) is Undecodable:
                self._on_undecodable(obj)
                if obj.name:
                    append(Delta(DeltaType.DELETED, DeletedFinalStateUnknown(_key_of(obj), None)))
            elif self._is_expected is not None and not self._is_expected(obj):
                self.skipped += 1
                _log.warning("skipped an object of another type than was asked for: %s", type(obj).__name__)
                continue
            else:
                append(Delta(delta_type, obj))
            if self._in_order or delta_type is not DeltaType.ADDED:
                self._in_order = True
                version = _version_of(obj) or version
        return Batch(deltas, version, error)


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
    body = getattr(obj, "to_dict", None)
    fields = {name: getattr(obj, name, None) for name in ("code", "reason", "message", "details")}
    if any(value is not None for value in fields.values()):
        return ApiError.from_status(fields)
    if callable(body):
        decoded = body()
        if isinstance(decoded, Mapping):
            return ApiError.from_status(decoded)
    return ApiError(500, "InternalError", f"the watch reported an error as a {type(obj).__name__}, which is no Status")


def _unknown_type(kind: Any) -> ApiError:
    return ApiError(500, "InternalError", f"got invalid watch event type: {str(kind)[:100]!r}")


def _key_of(obj: Undecodable) -> str:
    return f"{obj.namespace}/{obj.name}" if obj.namespace else obj.name


def _version_of(obj: Any) -> str:
    try:
        return resource_version_of(obj)
    except Exception:
        return ""

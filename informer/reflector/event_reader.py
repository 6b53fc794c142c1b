"""Turns the events of a watch into deltas, one batch at a time. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from informer.objects.entry import Undecodable
from informer.objects.keys import DeletedFinalStateUnknown, NoLongerDecodes, annotations_of, namespaced_name, version_of
from informer.queues.delta import ADDED, BOOKMARK, DELETED, UPDATED, Delta, DeltaType
from informer.rate_limited_log import rate_limited
from watch.errors import ApiError, error_in
from watch.event import Event, EventType
from watch.logs import get_logger
from watch.printable import printable
from watch.versions import is_older, length_problem, shown_version

__all__ = [
    "Batch",
    "EventReader",
    "checked_version",
    "is_initial_events_end",
    "status_error",
    "type_check",
    "version_after",
]

_log = get_logger(__name__)

_DELTA_TYPES: dict[EventType | str, DeltaType] = {
    EventType.ADDED: ADDED,
    EventType.MODIFIED: UPDATED,
    EventType.DELETED: DELETED,
}
# Source: apimachinery meta/v1 InitialEventsAnnotationKey.
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Batch:
    """The result of reading a batch of events.

    Attributes:
        deltas: the changes, in order.
        resource_version: the version up to which everything was seen; "" if the events do not tell.
        error: the error that ends the watch; None if it continues.
    """

    __slots__ = ("deltas", "error", "resource_version")

    def __init__(self, deltas: list[Delta], resource_version: str, error: ApiError | None) -> None:
        self.deltas = deltas
        self.resource_version = resource_version
        self.error = error


class EventReader:
    """Reads the events of one watch.

    Args:
        begun_at: the version from which the watch was requested. From "" or "0" a watch begins with the present state, as ADDED
            events in arbitrary order. Their versions do not tell up to which version everything was seen.
        is_expected: returns whether an object is of the requested type; others are skipped. None accepts all.
        on_undecodable: called with each object that did not decode.
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
        self._limited = rate_limited(_log)
        self.skipped = 0
        """The number of skipped objects, which are of another type than requested."""

    def read(self, events: Sequence[Event[Any]]) -> Batch:
        """Reads a batch, up to the first event that ends the watch: an ERROR event, or an event of an unknown type."""
        deltas: list[Delta] = []
        append = deltas.append
        is_expected = self._is_expected
        error: ApiError | None = None
        # The index of the first delta whose version counts; -1 as long as none does.
        first = 0 if self._in_order else -1
        for kind, obj in events:
            delta_type = _DELTA_TYPES.get(kind)
            if first < 0 and delta_type is not ADDED:
                first = len(deltas)
            if delta_type is None:
                if kind != EventType.BOOKMARK:
                    error = status_error(obj) if kind == EventType.ERROR else _unknown_type(kind)
                    break
                deltas += _bookmark(version_of(obj))
            elif type(obj) is Undecodable:
                deltas += self._left_out(obj, is_deleted=delta_type is DELETED, in_order=first >= 0)
            elif is_expected is None or is_expected(obj):
                append(Delta(delta_type, obj))
            else:
                self._skip(obj)
        self._in_order = first >= 0
        return Batch(deltas, _last_version(deltas, first) if first >= 0 else "", error)

    def _left_out(self, obj: Undecodable, *, is_deleted: bool, in_order: bool) -> list[Delta]:
        """Reports an object that did not decode. The deltas remove it from the cache, and its version counts as seen.

        The end of an object is not reported: it would be left out either way.
        """
        if not is_deleted or not obj.name:
            self._on_undecodable(obj)
        tombstone = DeletedFinalStateUnknown if is_deleted else NoLongerDecodes
        deletes = [Delta(DELETED, tombstone(namespaced_name(obj.namespace, obj.name), None))] if obj.name else []
        return deletes + _bookmark(obj.resource_version) if in_order else deletes

    def _skip(self, obj: Any) -> None:
        self.skipped += 1
        self._limited.warning("skipped an object of another type than requested: %s", _describe(obj))


def checked_version(batch: Batch, last: str, limited: logging.Logger) -> Batch:
    """Returns the batch with a version that may become the last one.

    If the batch's version is older than the last one, its objects count, but its bookmarks and its version do not: the last
    version never goes back. A version that is too long becomes an error, which ends the watch.
    """
    version = batch.resource_version
    error, wrong = batch.error, length_problem("the resourceVersion of an event", version)
    if wrong:
        error = error or ApiError(500, "InternalError", wrong)
    elif is_older(version, last):
        limited.warning(
            "ignored resourceVersion %s of an event: it is older than %s", shown_version(version), shown_version(last)
        )
    else:
        return batch
    return Batch([delta for delta in batch.deltas if delta.type is not BOOKMARK], "", error)


def _last_version(deltas: Sequence[Delta], first: int) -> str:
    for at in range(len(deltas) - 1, first - 1, -1):
        version = version_after(deltas[at])
        if version:
            return version
    return ""


def version_after(delta: Delta) -> str:
    """Returns the resourceVersion that a delta leads to, "" if it has none."""
    return delta.object if delta.type is BOOKMARK else version_of(delta.object)


def is_initial_events_end(event: Event[Any]) -> bool:
    """Returns whether an event is the end bookmark of a watch list's initial events."""
    if event.type != EventType.BOOKMARK:
        return False
    try:
        return annotations_of(event.object).get(_INITIAL_EVENTS_END) == "true"
    except Exception:
        return False


def status_error(obj: Any) -> ApiError:
    """Returns the error that an ERROR event's object describes, whatever its shape."""
    unknown = f"the watch reported an error as a {type(obj).__name__}, not as a Status"
    return error_in(obj) or ApiError(500, "InternalError", unknown)


def _bookmark(resource_version: str) -> list[Delta]:
    return [Delta(BOOKMARK, resource_version)] if resource_version else []


def _unknown_type(kind: Any) -> ApiError:
    return ApiError(500, "InternalError", f"got invalid watch event type: {str(kind)[:100]!r}")


def type_check(expected: type | tuple[str, str] | None) -> Callable[[Any], bool] | None:
    """Returns a function that checks an object's type.

    Args:
        expected: a class, or an (apiVersion, kind). If it is None, so is the result: every object is accepted.
    """
    if expected is None:
        return None
    if isinstance(expected, type):
        return lambda obj: isinstance(obj, expected)
    return lambda obj: _kind_of(obj) == expected


def _kind_of(obj: Any) -> tuple[Any, Any]:
    if isinstance(obj, dict):
        return obj.get("apiVersion"), obj.get("kind")
    return getattr(obj, "api_version", None), getattr(obj, "kind", None)


def _describe(obj: Any) -> str:
    api_version, kind = _kind_of(obj)
    return f"{printable(str(api_version))}, Kind={printable(str(kind))}" if kind else type(obj).__name__

"""The options of a list or watch: parsed from the query and validated as in the real server.

Source: apimachinery pkg/apis/meta/internalversion, defaults.go and validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from informer.testing.storage.statuses import Cause, bad_request, invalid, too_large_resource_version
from watch.errors import ApiError
from watch.options import ListOptions

__all__ = ["ListQuery", "is_true", "read_list_query"]

_MATCH = "resourceVersionMatch"


@dataclass(frozen=True)
class ListQuery(ListOptions):
    """The options of a list or watch, validated."""

    watch: bool = False

    @property
    def is_watch_list(self) -> bool:
        """Whether it is a watch that sets sendInitialEvents, to get the initial state first."""
        return self.watch and self.send_initial_events is True

    @property
    def version(self) -> int:
        """The resourceVersion as a number; 0 if there is none."""
        return int(self.resource_version or 0)


def read_list_query(query: Mapping[str, str], *, watch_list_enabled: bool) -> ListQuery:
    """Parses and validates the query of a list or watch.

    Args:
        query: the query's parameters.
        watch_list_enabled: whether the server allows sendInitialEvents.

    Raises:
        ApiError: 400, 422 or 500, as from the real server.
    """
    options = ListQuery(
        watch=is_true(query.get("watch", "0")),
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        shard_selector=query.get("shardSelector", ""),
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get(_MATCH, ""),
        limit=max(0, _integer(query, "limit") or 0),
        continue_=query.get("continue", ""),
        timeout_seconds=_integer(query, "timeoutSeconds"),
        allow_watch_bookmarks=is_true(query.get("allowWatchBookmarks", "0")),
        send_initial_events=is_true(query["sendInitialEvents"]) if "sendInitialEvents" in query else None,
    )
    causes = _watch_causes(options, watch_list_enabled) if options.watch else _list_causes(options)
    if causes:
        raise invalid("meta.k8s.io", "ListOptions", "", causes)
    _check_version(options)
    return options


def _list_causes(options: ListQuery) -> list[Cause]:
    match, version = options.resource_version_match, options.resource_version
    causes = _forbidden(
        _MATCH,
        {
            "resourceVersionMatch is forbidden unless resourceVersion is provided": match and not version,
            "resourceVersionMatch is forbidden when continue is provided": match and options.continue_,
            'resourceVersionMatch "exact" is forbidden for resourceVersion "0"': match == "Exact" and version == "0",
        },
    )
    if match not in ("", "Exact", "NotOlderThan"):
        causes.append(Cause.unsupported(_MATCH, match, ("Exact", "NotOlderThan", "")))
    has_events = options.send_initial_events is not None
    return causes + _forbidden("sendInitialEvents", {"sendInitialEvents is forbidden for list": has_events})


def _watch_causes(options: ListQuery, watch_list_enabled: bool) -> list[Cause]:
    match, has_events = options.resource_version_match, options.send_initial_events is not None
    if has_events and not watch_list_enabled:
        message = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        return [Cause.forbidden("sendInitialEvents", message)]
    # The real server sets resourceVersionMatch itself for a watch that begins with the state, then rejects it.
    continues = options.continue_ and (match or options.resource_version in ("", "0"))
    causes = _forbidden(
        _MATCH,
        {
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan": has_events
            and match != "NotOlderThan",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided": match
            and not has_events,
            "resourceVersionMatch is forbidden when continue is provided": continues,
        },
    )
    if match not in ("", "NotOlderThan"):
        causes.append(Cause.unsupported(_MATCH, match, ("NotOlderThan",)))
    return causes


def _forbidden(field: str, messages: Mapping[str, object]) -> list[Cause]:
    """Returns a cause for each message whose condition is true."""
    return [Cause.forbidden(field, message) for message, is_wrong in messages.items() if is_wrong]


def _check_version(options: ListQuery) -> None:
    version = options.resource_version
    if (version.isascii() and version.isdigit()) or not version:
        return
    message = f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
    if options.watch:
        raise ApiError(500, "", message)
    raise bad_request(f"invalid resource version: {message}")


def check_minimum(version: str, current: int) -> None:
    """Raises ApiError if a get asks for a resourceVersion that is malformed (500), or does not exist yet (504)."""
    _check_version(ListQuery(resource_version=version, watch=True))
    if version and int(version) > current:
        raise too_large_resource_version(int(version), current)


def is_true(text: str) -> bool:
    """Parses a flag as the real server does: anything but "false" and "0" is true, even the empty string."""
    return text.lower() not in ("false", "0")


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    try:
        return int(text) if text else None
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

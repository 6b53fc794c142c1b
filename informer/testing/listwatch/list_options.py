"""The options of a list or watch: parsed from the query and validated as in the real server.

Source: apimachinery pkg/apis/meta/internalversion, defaults.go and validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from informer.testing.storage.statuses import Cause, bad_request, invalid, too_large_resource_version
from watch.errors import ApiError

__all__ = ["ListQuery", "is_true", "read_list_query"]


@dataclass(frozen=True)
class ListQuery:
    """The options of a list or watch, validated."""

    watch: bool = False
    label_selector: str = ""
    field_selector: str = ""
    shard_selector: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    limit: int = 0
    continue_: str = ""
    timeout_seconds: int | None = None
    bookmarks: bool = False
    send_initial_events: bool | None = None

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
        watch=_boolean(query, "watch") or False,
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        shard_selector=query.get("shardSelector", ""),
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
        limit=max(0, _integer(query, "limit") or 0),
        continue_=query.get("continue", ""),
        timeout_seconds=_integer(query, "timeoutSeconds"),
        bookmarks=_boolean(query, "allowWatchBookmarks") or False,
        send_initial_events=_boolean(query, "sendInitialEvents"),
    )
    causes = _watch_causes(options, watch_list_enabled) if options.watch else _list_causes(options)
    if causes:
        raise invalid("meta.k8s.io", "ListOptions", "", causes)
    _check_version(options)
    return options


def _list_causes(options: ListQuery) -> list[Cause]:
    match, version = options.resource_version_match, options.resource_version
    causes = []
    if match:
        field = "resourceVersionMatch"
        if not version:
            causes.append(
                Cause.forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided")
            )
        if options.continue_:
            causes.append(Cause.forbidden(field, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            causes.append(Cause.unsupported(field, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and version == "0":
            causes.append(Cause.forbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        causes.append(Cause.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return causes


def _watch_causes(options: ListQuery, watch_list_enabled: bool) -> list[Cause]:
    match = options.resource_version_match
    field = "resourceVersionMatch"
    causes = []
    if options.send_initial_events is not None and not watch_list_enabled:
        message = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        return [Cause.forbidden("sendInitialEvents", message)]
    if options.send_initial_events is not None and match != "NotOlderThan":
        message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(Cause.forbidden(field, message))
    if match:
        if options.send_initial_events is None:
            message = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            causes.append(Cause.forbidden(field, message))
        if match != "NotOlderThan":
            causes.append(Cause.unsupported(field, match, ("NotOlderThan",)))
    if options.continue_ and (match or not options.resource_version or options.resource_version == "0"):
        # The real server sets resourceVersionMatch itself for a watch that begins with the state, then rejects it.
        causes.append(Cause.forbidden(field, "resourceVersionMatch is forbidden when continue is provided"))
    return causes


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
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _boolean(query: Mapping[str, str], name: str) -> bool | None:
    text = query.get(name)
    return None if text is None else is_true(text)

"""The options of a list or watch request, as client-go's `metav1.ListOptions` has them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["ListOptions"]


@dataclass(frozen=True)
class ListOptions:
    """What to ask a list or watch for; None or "" leaves a parameter out of the request.

    Args:
        label_selector: label selector in the server's syntax, such as "app=web,tier!=db".
        field_selector: field selector, such as "spec.nodeName=node-1".
        resource_version: "" asks for the most recent state, "0" for any state, else a version the server gave.
        resource_version_match: "NotOlderThan" or "Exact"; only with `resource_version` or `send_initial_events`.
        limit: items a page, 0 for no limit.
        continue_: the token for the next page, from the page before.
        timeout_seconds: whole seconds after which the server ends a watch; None leaves it to the server.
        allow_watch_bookmarks: whether the server may send BOOKMARK events.
        send_initial_events: True makes the watch begin with the present state (WatchList, KEP-3157).
        shard_selector: the part of the objects to send (KEP-5866), "" for all.

    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/
    """

    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    limit: int = 0
    continue_: str = ""
    timeout_seconds: int | None = None
    allow_watch_bookmarks: bool = False
    send_initial_events: bool | None = None
    shard_selector: str = ""

    def with_(self, **changes: Any) -> ListOptions:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def to_query(self) -> dict[str, str]:
        """The request's query parameters under their wire names, without those that are unset."""
        query: dict[str, str] = {}
        for wire_name, value in (
            ("labelSelector", self.label_selector),
            ("fieldSelector", self.field_selector),
            ("resourceVersion", self.resource_version),
            ("resourceVersionMatch", self.resource_version_match),
            ("limit", self.limit),
            ("continue", self.continue_),
            ("shardSelector", self.shard_selector),
        ):
            if value:
                query[wire_name] = str(value)
        if self.timeout_seconds is not None:
            query["timeoutSeconds"] = str(self.timeout_seconds)
        if self.allow_watch_bookmarks:
            query["allowWatchBookmarks"] = "true"
        if self.send_initial_events is not None:
            query["sendInitialEvents"] = "true" if self.send_initial_events else "false"
        return query

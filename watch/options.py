"""The options of a list or watch request, like client-go's `metav1.ListOptions`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["ListOptions"]


@dataclass(frozen=True)
class ListOptions:
    """The options of a list or watch request. None, "" and 0 leave a parameter out of the request.

    Args:
        label_selector: a label selector in the server's syntax, such as "app=web,tier!=db".
        field_selector: a field selector, such as "spec.nodeName=node-1".
        resource_version: "" asks for the most recent state, "0" for any state; or a version that the server returned.
        resource_version_match: "NotOlderThan" or "Exact"; only with `resource_version` or `send_initial_events`.
        limit: the most items per page; 0 sets no limit.
        continue_: the token of the page before, to get the next page.
        timeout_seconds: seconds after which the server ends a watch; None leaves that to the server.
        allow_watch_bookmarks: whether the server may send BOOKMARK events.
        send_initial_events: whether the watch begins with the present objects (WatchList, KEP-3157).
        shard_selector: selects a part of the objects (KEP-5866); "" selects all.

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
        """Returns a copy with some fields changed."""
        return replace(self, **changes)

    def to_query(self) -> dict[str, str]:
        """Returns the query parameters of the request under their wire names, without unset ones."""
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

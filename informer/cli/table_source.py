"""Lists and watches a resource as the rows of a table, with the columns that `kubectl get` shows.

The server computes the cells, so that custom resources have their own columns. An object of the cache has the
metadata of the row's object, and the row's cells as `obj["cells"]`.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from informer.listwatch.list_watch import ListWatch
from informer.listwatch.lister_watcher import ObjectList
from informer.listwatch.targets import NamedTarget
from informer.objects.object import Object
from watch.json_decoder import JSONDecoder
from watch.options import ListOptions
from watch.stream_watcher import StreamWatcher

__all__ = ["Column", "TableListWatch"]

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_MAX_BODY = 512 * 1024 * 1024


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        name: the heading.
        priority: 0 for columns that are always shown; others are shown in wide tables.
    """

    name: str
    priority: int


class TableListWatch(ListWatch[Any]):
    """Lists and watches the rows of a resource.

    Args:
        api_client: an `ApiClient`.
        resource: such as "pods" or "deployments.apps".
        namespace: one namespace; None for all.
        label_selector: "" for all objects.
        field_selector: "" for all objects.

    Attributes:
        columns: those of the last answer; empty before the first one.

    Threads: any.
    """

    def __init__(
        self, api_client: Any, resource: str, *, namespace: str | None, label_selector: str, field_selector: str
    ) -> None:
        super().__init__(self._list_rows, self._watch_rows, supports_watch_list=False)
        self.columns: tuple[Column, ...] = ()
        self._target = NamedTarget(resource, api_client)
        self._namespace = namespace
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._selectors = {name: value for name, value in selectors.items() if value}

    @property
    def resource_name(self) -> str | None:
        """The resource's name."""
        return self._target.name

    @property
    def server(self) -> str:
        """Identifies the API server."""
        return self._target.server

    def _list_rows(self, options: ListOptions) -> ObjectList[Any]:
        response = self._open(options)
        try:
            answer = json.loads(response.read(_MAX_BODY, decode_content=True))
        finally:
            response.release_conn()
        metadata = answer.get("metadata") or {}
        return ObjectList(self._rows(answer), metadata.get("resourceVersion", ""), metadata.get("continue") or None)

    def _watch_rows(self, options: ListOptions) -> StreamWatcher[Any]:
        return StreamWatcher(JSONDecoder(self._open(options, watch="true"), decode_object=self._object_of_event))

    def _open(self, options: ListOptions, **more: str) -> Any:
        """Sends a request and returns the response, whose body has not been read."""
        query = {**self._selectors, **options.to_query(), **more}
        return self._target.transport().open(self._target.path(self._namespace), query, accept=_TABLE)

    def _object_of_event(self, raw: bytes) -> Any:
        obj = json.loads(raw)
        rows = self._rows(obj) if obj.get("kind") == "Table" else []
        # A Status, or a bookmark of the resource's own kind, is not a table.
        return rows[0] if rows else obj

    def _rows(self, table: Mapping[str, Any]) -> list[Object]:
        definitions = table.get("columnDefinitions") or ()
        if definitions:  # in a watch, only the first event has them
            self.columns = tuple(Column(each["name"], each.get("priority", 0)) for each in definitions)
        api_version, kind = self._target.item_type
        return [
            Object.from_dict({**row["object"], "kind": kind, "apiVersion": api_version, "cells": row["cells"]})
            for row in table.get("rows") or ()
        ]

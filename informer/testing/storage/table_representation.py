"""Writes objects as the tables that kubectl prints, in JSON.

Source: apiserver pkg/endpoints/handlers/response.go; kubernetes pkg/printers/storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from typing_extensions import override

from informer.objects.json_edit import parts_of
from informer.testing.api_documents.published import published
from informer.testing.storage.representation import PARTIAL, JsonRepresentation, bookmark_metadata
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import bad_request
from informer.testing.storage.storage import Stored
from informer.testing.tables.built_in_cells import built_in_cells
from informer.testing.tables.custom_cells import custom_cells, custom_columns
from informer.testing.tables.pod_cells import pod_conditions

__all__ = ["TableJson"]

_encode = msgspec.json.encode
_LIMIT_RANGES = "/api/v1/limitranges"  # its columns are those of every kind without cells of its own


class TableJson(JsonRepresentation):
    """Writes objects of a resource as tables. In a stream only the first event has the columns.

    Args:
        whole: writes the whole object of a row.
        served: the resource.
        version: that of meta.k8s.io, such as "v1".
        include: what a row has of its object: "Metadata" (or ""), "Object" or "None".

    Raises:
        ApiError: 400, `include` is something else.

    Threads: one at a time.
    """

    def __init__(self, whole: JsonRepresentation, served: ServedResource, version: str, include: str) -> None:
        if include not in ("", "Metadata", "Object", "None"):
            known = "must be 'Metadata', 'Object', 'None', or empty"
            raise bad_request(
                f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": {known}'
            )
        self._whole = whole
        self._served = served
        super().__init__("Table", f"meta.k8s.io/{version}", "Table")
        self._include = include or "Metadata"
        self._columns_sent = False

    @override
    def single(self, stored: Stored) -> bytes:
        return b"".join(self.list({"resourceVersion": str(stored.resource_version)}, [stored]))

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        rows = [self._row(stored) for stored in objects]
        return [self._table(metadata, self._columns(), rows)]

    @override
    def event(self, type: str, stored: Stored) -> bytes:
        metadata = {"resourceVersion": str(stored.resource_version)}
        return self._event(type, metadata, self._row(stored))

    @override
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        version = {"resourceVersion": str(resource_version)}
        metadata = bookmark_metadata(resource_version, initial_events_end=initial_events_end)
        shown: dict[str, Any] = {"kind": PARTIAL[0], "apiVersion": self.api_version, "metadata": metadata}
        return self._event("BOOKMARK", version, {"cells": self._empty_cells(), "object": shown})

    def _event(self, type: str, metadata: Mapping[str, Any], row: dict[str, Any]) -> bytes:
        columns = None if self._columns_sent else self._columns()
        self._columns_sent = True
        return b'{"type":"%s","object":%s}\n' % (type.encode(), self._table(metadata, columns, [row]))

    def _table(self, metadata: Mapping[str, Any], columns: Any, rows: Any) -> bytes:
        table = {"kind": "Table", "apiVersion": self.api_version, "metadata": metadata}
        return _encode({**table, "columnDefinitions": columns, "rows": rows})

    def _row(self, stored: Stored) -> dict[str, Any]:
        stored = self.wanted(stored)
        obj = self._served.read(stored)
        row: dict[str, Any] = {"cells": self._cells(obj)}
        conditions = pod_conditions(obj) if self._served.bucket == "pods" else []
        if conditions:
            row["conditions"] = conditions
        shown: Any = None
        if self._include == "Object":
            shown = msgspec.Raw(self._whole.single(stored))
        elif self._include == "Metadata":
            metadata = msgspec.Raw(bytes(parts_of(stored.body)["metadata"]))
            shown = {"kind": PARTIAL[0], "apiVersion": self.api_version, "metadata": metadata}
        return {**row, "object": shown}

    def _cells(self, obj: Mapping[str, Any]) -> Any:
        if self._served.custom:
            return custom_cells(self._served.columns, obj)
        cells = built_in_cells(self._served.resource.kind, obj)
        return [obj["metadata"].get("name", ""), obj["metadata"].get("creationTimestamp")] if cells is None else cells

    def _empty_cells(self) -> Any:
        """Returns the cells of a bookmark."""
        return self._cells({"metadata": {"name": "", "creationTimestamp": None}})

    def _columns(self) -> Any:
        known = published().columns
        if self._served.custom:
            name, created = known[_LIMIT_RANGES]
            return custom_columns(self._served.columns, name, created["description"])
        resource = self._served.resource
        root = f"/apis/{resource.group}" if resource.group else "/api"
        has_cells = built_in_cells(resource.kind, {"metadata": {}}) is not None
        return known.get(f"{root}/{resource.version}/{resource.plural}" if has_cells else _LIMIT_RANGES)

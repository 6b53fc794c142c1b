"""`informer watch`: a live view of the objects of any resource."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from informer.cache.change import Change
from informer.cli.cluster import Cluster, is_namespaced, wait_for_first_list
from informer.cli.errors import CommandError, note, warn
from informer.cli.formats import (
    Format,
    cells_of,
    field_cells,
    fields_of,
    json_line,
    jsonpath_format,
    name_line,
    utc_now,
    yaml_document,
)
from informer.cli.live_table import View, show_in_place
from informer.cli.output import write_text
from informer.cli.table_source import TableListWatch
from informer.listwatch.list_watch import ListWatch
from informer.objects.object import Object
from informer.shared.shared_informer import SharedInformer

__all__ = ["WatchOptions", "watch_objects"]

_LINES: dict[str, Format] = {"json": json_line, "yaml": yaml_document, "name": name_line}
OUTPUTS = ("table", "wide", *_LINES, "jsonpath=TEMPLATE")


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """What is shown, and how.

    Attributes:
        resource: such as "pods" or "deployments.apps".
        output: "table", "wide", "json", "yaml", "name" or "jsonpath=TEMPLATE".
        fields: paths that replace the columns of the table, joined by commas; "" keeps the server's columns.
        label_selector: "" for all objects.
        field_selector: "" for all objects.
        seconds: how long to watch; None watches until `stop` is set.
    """

    resource: str
    output: str = "table"
    fields: str = ""
    label_selector: str = ""
    field_selector: str = ""
    seconds: float | None = None


def watch_objects(cluster: Cluster, options: WatchOptions, stop: threading.Event, out: TextIO = sys.stdout) -> None:
    """Shows objects: in place in a terminal, otherwise one line for each event.

    Raises:
        CommandError: an option is malformed, the resource cannot be listed, or the output cannot be written.
    """
    namespaced = is_namespaced(cluster, options.resource)
    # A namespace that the user has named is not left out: the list then fails and says why.
    if not namespaced and not cluster.is_explicit:
        cluster = cluster._replace(namespace=None)
    is_table = options.output in ("table", "wide")
    if not is_table and options.fields:
        raise CommandError("--fields replaces the columns of a table: it cannot be used with another output")
    columns = _Columns(cluster, options, with_namespace=namespaced and cluster.namespace is None) if is_table else None
    lines = columns.lines if columns is not None else _one_by_one(_format(options.output))
    informer: SharedInformer[Any] = SharedInformer(
        columns.source if columns is not None else _source(cluster, options),
        name=options.resource,
        watch_error_handler=lambda informer, error: warn(error) if informer.has_synced() else None,
    )
    deadline = None if options.seconds is None else time.monotonic() + options.seconds
    in_place = columns is not None and out.isatty()
    writer = _LineWriter(out, lines, stop)
    if not in_place:
        informer.add_event_handler(on_batch=writer)
    with informer:
        wait_for_first_list(informer, cluster.address, stop, deadline)
        if not informer.has_synced():
            pass  # stopped: a table without rows would say that there are no objects
        elif columns is not None and in_place:
            changed = threading.Event()
            informer.add_event_handler(on_batch=lambda _: changed.set(), backlog="coalesce")
            show_in_place(lambda: columns.view(informer), changed, stop, deadline)
        else:
            if not len(informer.store):
                where = f" in namespace {cluster.namespace}" if cluster.namespace else ""
                note(f"no {options.resource}{where}: waiting for changes")
            stop.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    if writer.error is not None:
        raise writer.error


def _source(cluster: Cluster, options: WatchOptions) -> ListWatch[Any]:
    try:
        return ListWatch.for_resource(
            cluster.api_client,
            options.resource,
            namespace=cluster.namespace,
            label_selector=options.label_selector or None,
            field_selector=options.field_selector or None,
        )
    except ValueError as error:
        raise CommandError(str(error)) from error


def _format(output: str) -> Format:
    if output.startswith("jsonpath="):
        return jsonpath_format(output.removeprefix("jsonpath="))
    if output not in _LINES:
        raise CommandError(f"-o {output}: the outputs are {', '.join(OUTPUTS)}")
    return _LINES[output]


def _one_by_one(line: Format) -> Callable[[Sequence[Change[Any]]], list[str]]:
    return lambda changes: [line(change.watch_type, change.object) for change in changes]


class _Columns:
    """The columns of a table: the server's, or the fields that the user names.

    Args:
        cluster: the cluster.
        options: what is shown.
        with_namespace: whether the first column is the namespace.

    Attributes:
        source: the list-watch whose objects have the cells.
    """

    def __init__(self, cluster: Cluster, options: WatchOptions, *, with_namespace: bool) -> None:
        self._fields = fields_of(options.fields) if options.fields else []
        self._wide = options.output == "wide"
        self._with_namespace = with_namespace
        self._widths: list[int] = []
        self._table: TableListWatch | None = None
        self.source: ListWatch[Any]
        if self._fields:
            self.source = _source(cluster, options)
            return
        try:
            self.source = self._table = TableListWatch(
                cluster.api_client,
                options.resource,
                namespace=cluster.namespace,
                label_selector=options.label_selector,
                field_selector=options.field_selector,
            )
        except ValueError as error:
            raise CommandError(str(error)) from error

    def view(self, informer: SharedInformer[Any]) -> View:
        """Returns what is shown of the cache now."""
        objects = sorted(informer.store.list(), key=lambda obj: (obj.namespace, obj.name))
        state = "" if informer.failing_since is None else "   (connection lost: retrying)"
        rows = [self._cells(obj) for obj in objects]
        return View(self._headings(), rows, f"{len(rows)} {informer.name}{state}")

    def lines(self, changes: Sequence[Change[Any]]) -> list[str]:
        """Formats changes as lines, whose columns keep the width of the widest cell so far."""
        rows = [self._cells(change.object) for change in changes]
        if not self._widths:
            self._widths = [len(heading) for heading in self._headings()]
        self._widths = [
            max(width, *map(len, column)) for width, column in zip(self._widths, zip(*rows, strict=True), strict=True)
        ]
        return [
            f"{change.watch_type:<8} " + "  ".join(map(str.ljust, cells, self._widths)).rstrip()
            for change, cells in zip(changes, rows, strict=True)
        ]

    def _headings(self) -> list[str]:
        own = ["NAME", *(path.rpartition(".")[2].upper() for path in self._fields)]
        named = [name for name, _ in self._shown()] if self._table is not None else own
        return ["NAMESPACE", *named] if self._with_namespace else named

    def _shown(self) -> list[tuple[str, int]]:
        """Returns the headings and positions of the server's columns that are shown."""
        assert self._table is not None
        return [
            (column.name.upper(), at)
            for at, column in enumerate(self._table.columns)
            if self._wide or column.priority == 0
        ]

    def _cells(self, obj: Object) -> list[str]:
        if self._table is None:
            cells = [obj.name, *field_cells(self._fields, obj)]
        else:
            every = cells_of(obj, [column.name.upper() for column in self._table.columns], utc_now())
            cells = [every[at] for _, at in self._shown()]
        return [obj.namespace or "", *cells] if self._with_namespace else cells


class _LineWriter:
    """Writes one line for each change, and flushes after each batch, so that a reader of the pipe sees changes at once.

    Attributes:
        error: why the output could not be written, if so.
    """

    def __init__(self, out: TextIO, lines: Callable[[Sequence[Change[Any]]], list[str]], stop: threading.Event) -> None:
        self.error: CommandError | None = None
        self._out = out
        self._lines = lines
        self._stop = stop

    def __call__(self, changes: list[Change[Any]]) -> None:
        """Writes a batch of changes."""
        text = "".join(f"{line}\n" for line in self._lines(changes))
        try:
            if not write_text(self._out, text):
                self._stop.set()
        except CommandError as error:
            self.error = error
            self._stop.set()

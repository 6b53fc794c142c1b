#!/usr/bin/env python3
"""A live view of a cluster's pods.

In a terminal it shows a table that updates in place. In a pipe it prints one line per event, beginning with the event's type.
If no cluster is configured, it starts an API server of its own, with pods that appear, change and disappear.

    python samples/pod_watcher.py -A -o wide
    python samples/pod_watcher.py -n kube-system -l k8s-app=kube-dns | tee pods.log
"""

from __future__ import annotations

import signal

# Ctrl-C during the imports below exits without a traceback; `stop_on_signals` replaces this.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TextIO

from _configured import cluster_is_configured
from _pod_rows import HEADINGS, MAX_CELL, WIDE_HEADINGS, row, utc_now
from kubernetes import client

from informer import (
    ApiError,
    Change,
    DeltaType,
    KubeconfigError,
    ListWatch,
    Object,
    SharedInformer,
    current_namespace,
    load_client,
    stop_on_signals,
    wait_for_cache_sync,
)
from watch.printable import printable

EVENT_NAMES = {DeltaType.ADDED: "ADDED", DeltaType.UPDATED: "MODIFIED", DeltaType.DELETED: "DELETED"}
WIDTHS = (16, 40, 7, 20, 9, 8, 16, 16, 1)
# Before the first list has succeeded, the program gives up after this many seconds of errors.
PATIENCE_SECONDS = 5.0
MAX_MESSAGE = 1024  # characters
# Answers of the server that a retry would not change.
FINAL_STATUSES = (400, 401, 403, 404, 422)


class FatalError(Exception):
    """Ends the program with a one-line message and exit code 2."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    options = parse(arguments)
    stop = stop_on_signals()
    try:
        with ExitStack() as stack:
            api_client, namespace, where = connect(options, stack)
            watch_pods(options, api_client, namespace, where, stop)
    except FatalError as error:
        print(f"error: {printable(str(error), MAX_MESSAGE)}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description="A live view of a cluster's pods.")
    parser.add_argument("-n", "--namespace", help="the namespace (default: the context's)")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="pods of all namespaces")
    parser.add_argument("-l", "--selector", default="", help="label selector, such as app=web,tier!=db")
    parser.add_argument("--field-selector", default="", help="field selector, such as spec.nodeName=node-1")
    parser.add_argument("--kubeconfig", help="path of the kubeconfig file (default: as kubectl)")
    parser.add_argument("--context", help="context of the kubeconfig file (default: the current one)")
    parser.add_argument("--duration", type=seconds, metavar="SECONDS", help="exit after this many seconds")
    parser.add_argument("-o", "--output", choices=("table", "wide", "json", "name"), default="table")
    return parser.parse_args(arguments)


def seconds(text: str) -> float:
    """Parses a duration in seconds."""
    value = float(text)
    if not 0 <= value < threading.TIMEOUT_MAX:
        raise ValueError(text)
    return value


def connect(options: argparse.Namespace, stack: ExitStack) -> tuple[client.ApiClient, str | None, str]:
    """Returns an API client, the namespace to watch (None for all) and a name for the cluster."""
    namespace = None if options.all_namespaces else options.namespace
    if not options.kubeconfig and not options.context and not cluster_is_configured():
        from _demo_cluster import demo_cluster

        server = stack.enter_context(demo_cluster())
        print(f"no cluster is configured: showing a demo cluster at {server.url}", file=sys.stderr, flush=True)
        return stack.enter_context(server.api_client()), namespace, "demo cluster"
    try:
        api_client = stack.enter_context(load_client(options.kubeconfig, options.context))
        if not options.all_namespaces and not namespace:
            namespace = current_namespace(options.kubeconfig, options.context)
    except KubeconfigError as error:
        raise FatalError(str(error)) from error
    return api_client, namespace, api_client.configuration.host


def watch_pods(
    options: argparse.Namespace, api_client: client.ApiClient, namespace: str | None, where: str, stop: threading.Event
) -> None:
    """Shows pods until `stop` is set or the duration is over."""
    informer: SharedInformer[Object] = SharedInformer(
        ListWatch.for_resource(
            api_client,
            "pods",
            namespace=namespace,
            label_selector=options.selector or None,
            field_selector=options.field_selector or None,
        ),
        watch_error_handler=lambda informer, error: warn(error) if informer.has_synced() else None,
    )
    deadline = None if options.duration is None else time.monotonic() + options.duration
    in_place = sys.stdout.isatty() and options.output in ("table", "wide")
    if not in_place:
        informer.add_event_handler(on_batch=LineWriter(sys.stdout, options.output, stop))
    with informer:
        wait_for_first_list(informer, where, stop, deadline)
        if in_place:
            show_table(informer, stop, deadline, wide=options.output == "wide")
        else:
            stop.wait(seconds_until(deadline))


def warn(error: Exception) -> None:
    """Prints why the view is not current. The informer keeps retrying."""
    print(f"warning: {printable(str(error), MAX_MESSAGE)}", file=sys.stderr, flush=True)


def seconds_until(deadline: float | None) -> float | None:
    """Returns the seconds left until a deadline, or None if there is none."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def wait_for_first_list(
    informer: SharedInformer[Object], where: str, stop: threading.Event, deadline: float | None
) -> None:
    """Waits for the first list. Shows progress while it takes long; raises `FatalError` if it fails for good."""
    begun = time.monotonic()
    progress = Progress(f"loading pods from {where}")
    while not wait_for_cache_sync(informer, timeout=0.1, stop=stop) and not stop.is_set():
        waited = time.monotonic() - begun
        timed_out = deadline is not None and time.monotonic() >= deadline
        error = informer.sync_error()
        if error is not None:
            final = isinstance(error, ConnectionRefusedError) or getattr(error, "status", 0) in FINAL_STATUSES
            if final or timed_out or waited >= PATIENCE_SECONDS:
                raise FatalError(explain(error, where))
        elif timed_out:
            raise FatalError(f"{where} has not sent its pods within {waited:.0f} seconds")
        progress.show(waited)
    progress.clear()


class Progress:
    """Shows on stderr that something takes long: in place in a terminal, otherwise as one line."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._in_place = sys.stderr.isatty()
        self._shown = False

    def show(self, seconds: float) -> None:
        """Shows the elapsed seconds, from half a second on."""
        if seconds < 0.5 or (self._shown and not self._in_place):
            return
        self._shown = True
        text = f"\r{self._what} ... {seconds:.0f}s" if self._in_place else f"{self._what} ...\n"
        print(text, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes what was shown in place."""
        if self._shown and self._in_place:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def explain(error: Exception, where: str) -> str:
    """Returns one line about a failed list."""
    if isinstance(error, ApiError) and error.status == 401:
        return f"{where} does not accept these credentials (401 Unauthorized): cannot list pods"
    if isinstance(error, ApiError) and error.status == 403:
        return f"not allowed to list pods (403 Forbidden): {error.message}"
    return str(error)


class LineWriter:
    """Writes one line per event and flushes after each batch, so that a reader of the pipe sees changes at once."""

    def __init__(self, out: TextIO, output: str, stop: threading.Event) -> None:
        self._out = out
        self._line = {"json": json_line, "name": name_line}.get(output, table_line(wide=output == "wide"))
        self._stop = stop

    def __call__(self, changes: list[Change[Object]]) -> None:
        """Writes one line for each change."""
        try:
            self._out.write("".join(f"{self._line(EVENT_NAMES[change.type], change.object)}\n" for change in changes))
            self._out.flush()
        except BrokenPipeError:
            # The reader of the pipe has exited (`| head`). Discard what is still buffered, too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            self._stop.set()


def json_line(event: str, pod: Object) -> str:
    """Formats a change as a watch event in JSON."""
    return json.dumps({"type": event, "object": pod.to_dict()}, separators=(",", ":"))


def name_line(event: str, pod: Object) -> str:
    """Formats a change as its type and the pod's name."""
    return f"{event:<8} pod/{printable(pod.name, MAX_CELL)}"


def table_line(*, wide: bool) -> Callable[[str, Object], str]:
    """Returns a function that formats a change as its type and the cells of the table."""
    count = len(WIDE_HEADINGS if wide else HEADINGS)

    def line(event: str, pod: Object) -> str:
        cells = zip(row(pod, utc_now())[:count], WIDTHS, strict=False)
        return f"{event:<8} " + " ".join(f"{cell:<{width}}" for cell, width in cells).rstrip()

    return line


def show_table(informer: SharedInformer[Object], stop: threading.Event, deadline: float | None, *, wide: bool) -> None:
    """Redraws the table after changes, at most four times per second, and every second to update the ages."""
    try:
        from rich.live import Live
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        raise FatalError("the table needs rich: pip install 'kube-informer[cli]', or pipe the output") from None
    headings = WIDE_HEADINGS if wide else HEADINGS
    changed = threading.Event()
    informer.add_event_handler(on_batch=lambda _: changed.set(), backlog="coalesce")

    def table() -> Table:
        drawn = Table(box=None, pad_edge=False)
        for heading in headings:
            drawn.add_column(heading, no_wrap=True)
        pods = sorted(informer.store.list(), key=lambda pod: (pod.namespace, pod.name))
        now = utc_now()
        for pod in pods[: max(1, live.console.height - 3)]:
            # Text, not str: an image named "nginx[/foo]" is not markup.
            drawn.add_row(*map(Text, row(pod, now)[: len(headings)]))
        state = "" if informer.is_watching else "   (connection lost: retrying)"
        drawn.caption = f"{len(pods)} pods{state}"
        return drawn

    live = Live(auto_refresh=False, screen=False)
    drawn_at = 0.0
    with live:
        while not stop.is_set() and (deadline is None or time.monotonic() < deadline):
            if changed.is_set() or time.monotonic() - drawn_at >= 1.0:
                changed.clear()
                live.update(table(), refresh=True)
                drawn_at = time.monotonic()
            stop.wait(0.25)


if __name__ == "__main__":
    sys.exit(main())

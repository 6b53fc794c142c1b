#!/usr/bin/env python3
"""A web page of a cluster's pods that changes as they do: FastAPI, server-sent events, and one informer for all browsers.

    pip install 'kube-informer[cli,testing]' fastapi uvicorn
    python samples/live_pods_page.py -A          # then open http://127.0.0.1:8000

It shows `informer.aio` in a web application. The page has a row for each pod, and a line with the number of pods. If no
cluster is configured, the program starts an API server of its own, with pods that appear, change and disappear.

- A browser that connects, or connects again, gets all pods and then the changes.
- A browser that reads slowly costs at most one waiting change for each pod: the informer keeps only the net change.
- Ctrl-C and SIGTERM end the program at once, also while browsers are connected.

Anyone who can open the page sees the names of the pods: it listens on this machine only, except with --host.
"""

from __future__ import annotations

import signal

# Ctrl-C during the imports below exits without a traceback; `async_stop_on_signals` replaces this.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import uvicorn
from _demo_pods import client_or_demo
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from informer import (
    ApiError,
    AsyncEventStream,
    KubeconfigError,
    ListWatch,
    Object,
    SharedInformer,
    async_stop_on_signals,
)

# Seconds without a change after which a line is sent all the same. A proxy does not close the connection then.
QUIET_SECONDS = 10.0
# Seconds that a stop waits for browsers that do not read.
STOP_SECONDS = 1

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Live pods</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
  table { border-collapse: collapse; }
  th, td { padding: .2rem 1.5rem .2rem 0; text-align: left; }
  .changed td { background: #fff3bf; }
  td { transition: background 1s; }
</style>
<h1>Live pods</h1>
<p id="state">connecting ...</p>
<table><thead><tr><th>Namespace<th>Name<th>Phase<th>Node<th>Restarts</thead><tbody></tbody></table>
<script>
const body = document.querySelector("tbody"), state = document.querySelector("#state"), rows = new Map();
const events = new EventSource("events");
const say = () => state.textContent = rows.size + " pods";

function show(key, cells) {
  let row = rows.get(key);
  if (!row) {
    row = document.createElement("tr");
    row.dataset.key = key;
    row.append(...cells.map(() => document.createElement("td")));
    rows.set(key, row);
    body.insertBefore(row, [...body.children].find(other => other.dataset.key > key) || null);
  }
  // Text, not HTML: the cells come from other people's objects.
  cells.forEach((cell, at) => row.children[at].textContent = cell);
  row.className = "changed";
  setTimeout(() => row.className = "", 300);
}

events.addEventListener("reset", () => { rows.clear(); body.replaceChildren(); say(); });
events.addEventListener("pod", event => {
  const {key, cells} = JSON.parse(event.data);
  if (cells) show(key, cells);
  else if (rows.has(key)) { rows.get(key).remove(); rows.delete(key); }
  say();
});
events.addEventListener("trouble", event => {
  if (event.data) state.textContent = rows.size + " pods, not up to date: " + event.data;
  else say();
});
events.onerror = () => state.textContent = "connection lost: trying again ...";
</script>
"""


def create_app(pods: SharedInformer[Object]) -> FastAPI:
    """Returns the web application.

    Args:
        pods: an informer of pods, which runs as long as the application.
    """
    app = FastAPI(title="Live pods", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @app.get("/events")
    async def events() -> Response:
        if pods.is_stopped():
            return Response(status_code=503)
        return StreamingResponse(
            messages(pods, pods.aio.events(backlog="coalesce")),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return app


async def messages(pods: SharedInformer[Object], changes: AsyncEventStream[Object]) -> AsyncIterator[str]:
    """Yields the messages for one browser: all pods, then each change, until the informer stops.

    While the browser does not read, the server does not ask for the next message, and the stream joins the changes of each pod.

    Args:
        pods: the informer.
        changes: its changes, beginning with all pods; closed here.
    """
    async with changes:
        yield message("reset", "")
        while True:
            try:
                change = await asyncio.wait_for(anext(changes), QUIET_SECONDS)
            except StopAsyncIteration:
                return
            except TimeoutError:
                error = pods.sync_error() if pods.failing_since is not None else None
                yield message("trouble", "" if error is None else str(error))
                continue
            pod = change.object
            cells = None if change.watch_type == "DELETED" else cells_of(pod)
            yield message("pod", json.dumps({"key": f"{pod.namespace}/{pod.name}", "cells": cells}))


def message(event: str, data: str) -> str:
    """Formats a server-sent event. Line breaks in the data would end it."""
    return f"event: {event}\ndata: {' '.join(data.splitlines())}\n\n"


def cells_of(pod: Object) -> list[str]:
    """Returns a row of the page."""
    restarts = sum(each["restartCount"] for each in pod.at("status.containerStatuses", ()))
    phase = "Terminating" if pod.deletion_timestamp else pod.at("status.phase", "Pending")
    return [pod.namespace or "", pod.name, phase, pod.at("spec.nodeName", ""), str(restarts)]


class Server(uvicorn.Server):
    """A web server whose signals are handled by `serve`: by itself it would wait for browsers, whose streams do not end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


async def serve(pods: SharedInformer[Object], host: str, port: int) -> None:
    """Serves the page until SIGTERM or SIGINT.

    Args:
        pods: an informer of pods that has not been started.
        host: the address to listen on.
        port: 0 takes a free one.

    Raises:
        Exception: what keeps the informer from its first list.
        OSError: the port is in use, for example.
    """
    stop = async_stop_on_signals()
    with socket.create_server((host, port)) as listening:
        async with pods.aio:
            await pods.aio.wait_for_sync(30, raise_on_error=True)
            server = Server(
                uvicorn.Config(create_app(pods), log_level="warning", timeout_graceful_shutdown=STOP_SECONDS)
            )
            serving = asyncio.create_task(server.serve([listening]))
            print(f"open http://{host}:{listening.getsockname()[1]}", flush=True)
            await stop.wait()
        # The informer has stopped, so the streams have ended.
        server.should_exit = True
        await serving


def main() -> int:
    """Runs the program; returns its exit code."""
    options = parse()
    try:
        with client_or_demo(options.kubeconfig, options.context) as api_client:
            namespace = options.namespace or (None if options.all_namespaces else "default")
            list_watch = ListWatch.for_resource(api_client, "pods", namespace=namespace)
            asyncio.run(serve(SharedInformer(list_watch), options.host, options.port))
    except (KubeconfigError, ApiError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parse() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description="A web page of a cluster's pods, which changes as they do.")
    parser.add_argument("-n", "--namespace", help='the namespace (default: "default")')
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="pods of all namespaces")
    parser.add_argument("--kubeconfig", help="path of the kubeconfig file (default: as kubectl)")
    parser.add_argument("--context", help="context of the kubeconfig file (default: the current one)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="the port; 0 takes a free one (default: 8000)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

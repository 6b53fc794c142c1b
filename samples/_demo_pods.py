"""A cluster for a sample that shows pods: the user's, or an API server in this process with pods that change."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from _configured import cluster_is_configured

from informer import load_client
from informer.cli.serve import DemoPods
from informer.testing import EmbeddedAPIServer
from watch.concurrency import Worker


@contextmanager
def client_or_demo(kubeconfig: str | None = None, context: str | None = None) -> Iterator[Any]:
    """Yields a client of the configured cluster, or of a demo cluster if there is none.

    Args:
        kubeconfig: the path of a file; None takes what kubectl takes.
        context: None takes the current one.
    """
    if kubeconfig or context or cluster_is_configured():
        with load_client(kubeconfig, context) as api_client:
            yield api_client
    else:
        with demo_pods() as server, server.api_client() as api_client:
            yield api_client


@contextmanager
def demo_pods(pods: int = 7, rate: float = 5) -> Iterator[EmbeddedAPIServer]:
    """Yields a started server whose pods appear, change and disappear until the block ends.

    Args:
        pods: how many there are.
        rate: changes per second.
    """
    with EmbeddedAPIServer() as server:
        demo = DemoPods(server)
        demo.fill(pods)
        stop = threading.Event()
        changing = Worker(lambda: demo.change(rate, stop), "demo-pods").start()
        print(f"no cluster is configured: showing a demo cluster at {server.url}", file=sys.stderr, flush=True)
        try:
            yield server
        finally:
            stop.set()
            changing.join()

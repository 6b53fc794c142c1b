#!/usr/bin/env python3
"""A live view of a cluster's pods: what `informer watch pods` does, made of the same parts.

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
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from _configured import cluster_is_configured
from _demo_pods import demo_pods

from informer import stop_on_signals
from informer.cli.cluster import Cluster, connect
from informer.cli.errors import CommandError
from informer.cli.watch import WatchOptions, watch_objects


def main(arguments: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    options = parse(arguments)
    stop = stop_on_signals()
    try:
        with cluster_of(options) as cluster:
            watch_objects(
                cluster,
                WatchOptions(
                    resource="pods",
                    output=options.output,
                    label_selector=options.selector,
                    field_selector=options.field_selector,
                    seconds=options.duration,
                ),
                stop,
            )
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
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


@contextmanager
def cluster_of(options: argparse.Namespace) -> Iterator[Cluster]:
    """Yields the configured cluster, or a demo cluster if there is none."""
    if options.kubeconfig or options.context or cluster_is_configured():
        yield connect(options.kubeconfig, options.context, options.namespace, all_namespaces=options.all_namespaces)
        return
    with demo_pods() as server, server.api_client() as api_client:
        namespace = None if options.all_namespaces else options.namespace
        yield Cluster(api_client, namespace, namespace is not None, "demo cluster")


if __name__ == "__main__":
    sys.exit(main())

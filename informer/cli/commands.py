"""The commands of the program `informer`, and their options."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

import informer
from informer.cli.bench import bench_clients
from informer.cli.bench_server import MAX_EVENTS
from informer.cli.cluster import connect
from informer.cli.errors import CommandError
from informer.cli.serve import serve as serve_pods
from informer.cli.top import TOKEN_VARIABLE, show_top
from informer.cli.watch import WatchOptions, watch_objects
from informer.process import stop_on_signals

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Watches Kubernetes resources from the command line, and runs an API server for tests.",
)

Kubeconfig = Annotated[
    str | None, typer.Option(metavar="PATH", help="The kubeconfig file; as kubectl if it is left out.")
]
Context = Annotated[str | None, typer.Option(metavar="NAME", help="A context of the kubeconfig file.")]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", metavar="NAME", help="The namespace; default: the context's.")
]
AllNamespaces = Annotated[bool, typer.Option("-A", "--all-namespaces", help="Objects of all namespaces.")]
Selector = Annotated[str, typer.Option("-l", "--selector", metavar="TEXT", help="Labels, such as app=web,tier!=db.")]
Duration = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Exit after this time; default: at Ctrl-C.")
]


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Prints an expected error as one line and exits with code 2."""
    try:
        yield
    except CommandError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(2) from None


def _version(value: bool) -> None:
    if value:
        typer.echo(f"informer {informer.__version__}")
        raise typer.Exit


@app.callback()
def options_of_the_program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Takes the options before a command."""


@app.command()
def watch(
    resource: Annotated[str, typer.Argument(help='Such as "pods", "deployments.apps" or "sites.example.com".')],
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    selector: Selector = "",
    field_selector: Annotated[str, typer.Option(metavar="TEXT", help="Such as spec.nodeName=node-1.")] = "",
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="FORMAT", help="table, wide, json, yaml, name or jsonpath=TEMPLATE."),
    ] = "table",
    fields: Annotated[
        str, typer.Option(metavar="PATHS", help="Columns of your own, such as spec.nodeName,status.phase.")
    ] = "",
    duration: Duration = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show the objects of a resource, and every change.

    In a terminal, a table is updated in place. In a pipe, each event is a line that begins with ADDED, MODIFIED or DELETED.
    """
    with _one_line_errors():
        cluster = connect(kubeconfig, context, namespace, all_namespaces=all_namespaces)
        stop = stop_on_signals()
        watch_objects(
            cluster,
            WatchOptions(
                resource=resource,
                output=output,
                fields=fields,
                label_selector=selector,
                field_selector=field_selector,
                seconds=duration,
            ),
            stop,
        )


@app.command()
def serve(
    kubeconfig: Annotated[
        Path, typer.Option(metavar="PATH", help="Where to write the kubeconfig file for kubectl and other clients.")
    ] = Path("informer-kubeconfig"),
    pods: Annotated[int, typer.Option(min=0, help="The number of pods.")] = 20,
    churn: Annotated[float, typer.Option(min=0, help="Changes of pods per second.")] = 5.0,
) -> None:
    """Run an API server with pods that change: a cluster on a laptop in a second.

    It is the embedded API server of informer.testing. Nothing runs the pods.
    """
    stop = stop_on_signals()
    with _one_line_errors():
        serve_pods(kubeconfig.resolve(), pods, churn, stop)


@app.command()
def top(
    url: Annotated[str, typer.Option(metavar="URL", help="The live page of the process.")] = "http://127.0.0.1:8081",
    token_file: Annotated[
        Path | None, typer.Option(metavar="PATH", help=f"A file with its token; default: {TOKEN_VARIABLE}.")
    ] = None,
    duration: Duration = None,
) -> None:
    """Show the informers of a running process, as its live page does: objects, rate, age, backlog, lag, errors.

    In a terminal, a table is updated in place. In a pipe, it is printed once.
    """
    stop = stop_on_signals()
    with _one_line_errors():
        show_top(url, token_file, stop, duration)


@app.command()
def bench(
    pods: Annotated[int, typer.Option(min=1, help="Pods of the embedded server.")] = 2000,
    events: Annotated[int, typer.Option(min=1, max=MAX_EVENTS, help="Events of the embedded server.")] = 5_000,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Measure against your cluster's pods: lists only.")
    ] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Measure first sync, events per second and bytes per object, beside watch.Watch of the official client.

    Each client runs in a process of its own. Without --cluster, the server is the embedded one, in a third process.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    # Nothing is printed for an interrupt: the other processes are ended on the way.
    with _one_line_errors(), suppress(KeyboardInterrupt):
        target = connect(kubeconfig, context, None, all_namespaces=True) if cluster or kubeconfig or context else None
        bench_clients(target is not None, kubeconfig, context, pods, events)

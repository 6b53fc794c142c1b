"""A measured client of `informer bench`: `python -m informer.cli.bench_client JSON`.

It prints its result as JSON, or exits with 1 and prints one line about the error to stderr.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from http import HTTPStatus
from typing import Any

from kubernetes import client, watch

from informer.listwatch.list_watch import ListWatch
from informer.listwatch.lister_watcher import ObjectList
from informer.shared.shared_informer import SharedInformer
from informer.transport.client_loader import load_client
from watch.concurrency import Signal
from watch.errors import ApiError, as_api_error

_SECONDS = 120.0


def main(settings: dict[str, Any]) -> None:
    """Measures one client."""
    with load_client(settings["kubeconfig"], settings["context"]) as api_client:
        first, replayed = (_informer_sync, _informer_events) if settings["client"] == "informer" else (_sync, _events)
        first(api_client, warm_up=True)
        before = _resident_bytes()
        begun = time.perf_counter()
        kept = first(api_client, warm_up=False)
        seconds = time.perf_counter() - begun
        grown = _resident_bytes() - before
        rate = 0.0
        if settings["events"]:
            begun = time.perf_counter()
            replayed(api_client, settings["version"], settings["events"])
            rate = settings["events"] / (time.perf_counter() - begun)
    result = {
        "objects": len(kept),
        "seconds": seconds,
        "bytes_per_object": grown / max(1, len(kept)),
        "events_per_second": rate,
    }
    sys.stdout.write(json.dumps(result) + "\n")


def _resident_bytes() -> int:
    """Returns the memory of this process: what it has now, or on systems that do not say so, what it had at most."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _informer_sync(api_client: Any, *, warm_up: bool) -> Any:
    namespace = "kube-system" if warm_up else None
    informer = SharedInformer(ListWatch.for_resource(api_client, "pods", namespace=namespace))
    informer.start()
    informer.wait_for_sync(_SECONDS, raise_on_error=True)
    return informer.store


def _informer_events(api_client: Any, version: str, events: int) -> None:
    source = ListWatch.for_resource(api_client, "pods")
    done, seen = Signal(), 0

    def count(changes: list[Any]) -> None:
        nonlocal seen
        seen += len(changes)
        if seen >= events:
            done.set()

    expired = False

    def empty(_: Any) -> ObjectList[Any]:
        # The second list follows an answer of 410: the server does not have the events any more.
        nonlocal expired
        if listed:
            expired = True
            done.set()
        listed.append(version)
        return ObjectList([], version)

    listed: list[str] = []
    # The cache is empty at the version before the events, so that the server sends all of them.
    informer = SharedInformer(ListWatch(empty, source.watch, supports_watch_list=False))
    informer.add_event_handler(on_batch=count)
    with informer:
        if not done.wait(_SECONDS):
            raise TimeoutError(f"{seen} of {events} events within {_SECONDS:g} s")
    if expired:
        raise ApiError(410, "Expired", f"too old resource version: {version}")


def _sync(api_client: Any, *, warm_up: bool) -> dict[str, Any]:
    core: Any = client.CoreV1Api(api_client)
    listed = core.list_namespaced_pod("kube-system") if warm_up else core.list_pod_for_all_namespaces()
    return {f"{pod.metadata.namespace}/{pod.metadata.name}": pod for pod in listed.items}


def _events(api_client: Any, version: str, events: int) -> None:
    core = client.CoreV1Api(api_client)
    kept = {}
    stream = watch.Watch().stream(  # type: ignore[no-untyped-call]
        core.list_pod_for_all_namespaces, resource_version=version
    )
    for number, event in enumerate(stream, 1):
        pod = event["object"]
        kept[f"{pod.metadata.namespace}/{pod.metadata.name}"] = pod
        if number == events:
            break


def explain(error: Exception) -> str:
    """Returns one line about an error that ended the measuring."""
    answer = as_api_error(error)
    if answer is not None and answer.status == HTTPStatus.GONE:
        return f"{answer}: the server has dropped the events before they were read: try fewer --events"
    return str(answer or error) or type(error).__name__


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except Exception as error:
        sys.exit(explain(error))

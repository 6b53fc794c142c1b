"""The server of `informer bench`: `python -m informer.cli.bench_server KUBECONFIG PODS EVENTS`.

It prints the resourceVersion before the events, and serves until its standard input ends.
"""

from __future__ import annotations

import sys
from typing import Any

from informer.testing.api_server import EmbeddedAPIServer

# A server keeps 32 MiB of changes of a resource: more events than this would be compacted before they are read.
MAX_EVENTS = 8000
_PADDING = "x" * 3000  # with it, a pod has about the size of a real one


def main(kubeconfig: str, pods: int, events: int) -> None:
    """Serves pods whose last changes are still in the history."""
    with EmbeddedAPIServer(history_limit=pods + events + 1) as server:
        made = [server.create(_pod(number)) for number in range(pods)]
        version = made[-1]["metadata"]["resourceVersion"]
        for number in range(events):
            name = made[number % pods]["metadata"]["name"]
            server.patch("pods", name, {"metadata": {"labels": {"round": str(number)}}}, namespace="default")
        server.kubeconfig(kubeconfig)
        sys.stdout.write(f"{version}\n")
        sys.stdout.flush()
        sys.stdin.read()


def _pod(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"web-{number}", "namespace": "default", "annotations": {"padding": _PADDING}},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1.0"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""Connects a command to a cluster, and waits for its first list."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, NamedTuple

from informer.cli.errors import CommandError, explain
from informer.errors import ApiError, KubeconfigError
from informer.listwatch.targets import NamedTarget
from informer.shared.shared_informer import SharedInformer
from informer.shared.waiting import wait_for_cache_sync
from informer.transport.client_loader import current_namespace, load_client

__all__ = ["Cluster", "connect", "is_namespaced", "wait_for_first_list"]

# Before the first list has succeeded, a command gives up after this many seconds of errors.
_PATIENCE = 5.0
# Answers of the server that a retry would not change.
_FINAL_STATUSES = (400, 401, 403, 404, 405, 422)


class Cluster(NamedTuple):
    """The cluster of a command.

    Attributes:
        api_client: an official `ApiClient`.
        namespace: None for all namespaces.
        is_explicit: whether the user has named the namespace.
        address: for messages.
    """

    api_client: Any
    namespace: str | None
    is_explicit: bool
    address: str


def connect(kubeconfig: str | None, context: str | None, namespace: str | None, *, all_namespaces: bool) -> Cluster:
    """Connects as kubectl does.

    Args:
        kubeconfig: the path of a file; None takes KUBECONFIG, the default file, or the pod's service account.
        context: None takes the current one.
        namespace: None takes the context's.
        all_namespaces: whether to leave the namespace out.

    Raises:
        CommandError: no cluster is configured, or the configuration is wrong.
    """
    is_explicit = bool(namespace)
    try:
        api_client = load_client(kubeconfig, context)
        if all_namespaces:
            namespace = None
        elif not namespace:
            namespace = current_namespace(kubeconfig, context)
    except KubeconfigError as error:
        raise CommandError(str(error)) from error
    return Cluster(api_client, namespace, is_explicit, api_client.configuration.host)


def is_namespaced(cluster: Cluster, resource: str) -> bool:
    """Returns whether the objects of a resource are in namespaces; True if that cannot be found out."""
    try:
        NamedTarget(resource, cluster.api_client).path("default")
    except ValueError:
        return False
    except (ApiError, OSError):
        pass  # the list meets it again, and reports it
    return True


def wait_for_first_list(
    informer: SharedInformer[Any], address: str, stop: threading.Event, deadline: float | None = None
) -> None:
    """Waits for the first list, and shows progress while it takes long.

    Args:
        informer: a started informer.
        address: the server's, for messages.
        stop: ends the wait.
        deadline: a moment of `time.monotonic()`; None waits without limit.

    Raises:
        CommandError: the list failed for good, or for too long.
    """
    begun = time.monotonic()
    progress = _Progress(f"loading {informer.name} from {address}")
    while not wait_for_cache_sync(informer, timeout=0.1, stop=stop) and not stop.is_set():
        waited = time.monotonic() - begun
        timed_out = deadline is not None and time.monotonic() >= deadline
        error = informer.sync_error()
        if error is not None:
            is_final = isinstance(error, ConnectionRefusedError) or getattr(error, "status", 0) in _FINAL_STATUSES
            if is_final or timed_out or waited >= _PATIENCE:
                raise CommandError(explain(error, address, informer.name))
        elif timed_out:
            raise CommandError(f"{address} has not sent its {informer.name} within {waited:.0f} seconds")
        progress.show(waited)
    progress.clear()


class _Progress:
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
        sys.stderr.write(text)
        sys.stderr.flush()

    def clear(self) -> None:
        """Removes what was shown in place."""
        if self._shown and self._in_place:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

"""The clusters of a manager: a run of the controllers for each, in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from informer.runtime.controller import Controller
from informer.runtime.errors import ManagerError
from informer.runtime.parts import Parts
from informer.runtime.registration import Registration
from informer.runtime.run import ManagerRun, RunOptions, Served
from informer.workqueue.limiters import RateLimiter
from watch.concurrency import Lock, Signal, Worker, on_set
from watch.logs import get_logger

__all__ = ["Clusters", "ClustersRun"]

_log = get_logger("informer.runtime")

# Seconds until the controllers begin again in a cluster where their run has failed.
_PAUSE = 5.0


class Clusters:
    """The clusters that a `Manager` works in. Clusters may be added and removed at any time.

        clusters = Clusters({"eu": load_client(context="eu"), "us": load_client(context="us")})
        manager = Manager(name="site-controller", clusters=clusters)

    Each cluster has informers, queues, workers and events of its own. A cluster that cannot be reached does not delay the
    others. If its caches do not sync in time, or its workers end, the controllers begin again in this cluster only.

    Args:
        clients: an `ApiClient` of each cluster, by a name of your choice.

    Raises:
        ValueError: a name is empty, or a client is missing.

    Threads: any. One manager at a time runs with the same `Clusters`.
    """

    def __init__(self, clients: Mapping[str, Any] | None = None) -> None:
        self._lock = Lock()
        self._clients: dict[str, Any] = {}  # guarded by _lock, as are the next three
        self._runs: dict[str, _Cluster] = {}
        # Those that were asked to end. A later run in a cluster of the same name waits for them, and so does the manager's end.
        self._ending: dict[str, _Cluster] = {}
        self._start: Callable[[str, Any, _Cluster | None], _Cluster] | None = None  # None while no manager runs
        for cluster, api_client in (clients or {}).items():
            self.add(cluster, api_client)

    def __repr__(self) -> str:
        return f"<Clusters: {', '.join(f'{name} {state}' for name, state in self.states().items()) or 'none'}>"

    def add(self, cluster: str, api_client: Any) -> None:
        """Adds a cluster. Its controllers begin at once if the manager runs.

        If a cluster of this name was removed and a reconcile there has not ended yet, they begin after its end.

        Args:
            cluster: the name that `Request.cluster` gives.
            api_client: an `ApiClient` of the cluster.

        Raises:
            ValueError: the name is empty, there is a cluster of that name, or the client is None.
        """
        if not cluster:
            raise ValueError(f"a cluster needs a name, not {cluster!r}")
        # Elsewhere None means the cluster of the kubeconfig's current context, which would be reconciled under this name.
        if api_client is None:
            raise ValueError(f"cluster {cluster!r} has no client: give one, such as load_client(context=...)")
        with self._lock:
            if cluster in self._clients:
                raise ValueError(f"cluster {cluster!r} exists already: remove it first, or use another name")
            self._clients[cluster] = api_client
            if self._start is not None:
                self._runs[cluster] = self._start(cluster, api_client, self._ending.get(cluster))

    def remove(self, cluster: str, timeout: float | None = 15.0) -> bool:
        """Removes a cluster. Reconciles under way end; nothing in the cluster is deleted.

        Args:
            cluster: the name.
            timeout: seconds to wait at most; None waits without limit.

        Returns:
            Whether the controllers have ended in this cluster. False, at once, if a reconcile function of the cluster calls it.

        Raises:
            ValueError: the cluster does not exist.
        """
        with self._lock:
            if cluster not in self._clients:
                raise ValueError(
                    f"cluster {cluster!r} does not exist (there are: {', '.join(self._clients) or 'none'})"
                )
            del self._clients[cluster]
            run = self._runs.pop(cluster, None)
            if run is None:
                return True
            self._ending = {name: each for name, each in self._ending.items() if each.is_alive} | {cluster: run}
        run.halt.set()
        return run.join(timeout)

    def states(self) -> dict[str, str]:
        """Returns what the manager does in each cluster, for people, such as "running" or "syncing"."""
        with self._lock:
            return {name: self._runs[name].state if name in self._runs else "not started" for name in self._clients}

    # Called by the run of the manager.

    def start(self, start: Callable[[str, Any, _Cluster | None], _Cluster]) -> None:
        """Internal: begins in all clusters, and in those that are added later.

        Raises:
            ManagerError: another manager runs with these clusters.
        """
        with self._lock:
            if self._start is not None:
                raise ManagerError("another manager runs with the same Clusters: make one for each manager")
            self._start = start
            self._runs = {name: start(name, client, self._ending.get(name)) for name, client in self._clients.items()}

    def runs(self) -> list[_Cluster]:
        """Internal: the runs of the present clusters, and those that have not ended yet."""
        with self._lock:
            return [*self._runs.values(), *(each for each in self._ending.values() if each.is_alive)]

    def stop(self) -> None:
        """Internal: ends in all clusters, and waits for the end."""
        with self._lock:
            self._start = None
            self._ending |= self._runs
            self._runs = {}
            ending = list(self._ending.values())
        for run in ending:
            run.halt.set()
        for run in ending:
            run.join(None)


class ClustersRun(ManagerRun):
    """One run of a manager in several clusters.

    Args:
        parts: as of `ManagerRun`: those of the cluster with the Lease.
        options: as of `ManagerRun`.
        clusters: the clusters to work in.
        parts_of: makes the parts of a cluster with its client.
    """

    def __init__(self, parts: Parts, options: RunOptions, clusters: Clusters, parts_of: Callable[[Any], Parts]) -> None:
        super().__init__(parts, options)
        self._clusters = clusters
        self._parts_of = parts_of
        self._may_work = Signal()
        # An unreachable cluster must not make the process unready for the others.
        self._probed = list(options.read.values())

    def controllers(self) -> list[Controller]:
        """Returns the controllers of all clusters."""
        return [controller for cluster in self._clusters.runs() for controller in cluster.controllers()]

    def owns_current(self) -> bool:
        """Whether the calling thread is a worker's."""
        return any(cluster.owns_current() for cluster in self._clusters.runs())

    def _make_controllers(self, stack: ExitStack) -> None:
        # Before this process leads, so that the caches are ready then.
        self._clusters.start(self._start)
        stack.callback(self._clusters.stop)

    def _work(self, over: threading.Event) -> None:
        self._may_work.set()
        self._begin_work()
        over.wait()
        # The last reconcile ends before the Lease is released.
        self._clusters.stop()

    def _start(self, cluster: str, api_client: Any, before: _Cluster | None) -> _Cluster:
        return _Cluster(cluster, lambda: self._run_of(cluster, api_client), before).start()

    def _run_of(self, cluster: str, api_client: Any) -> _OneCluster:
        parts = self._parts_of(api_client)
        elector = self._parts.elector
        if elector is not None:
            parts.api_client = elector.gate(api_client)
        parts.cluster = cluster
        registrations = [_in_cluster(each, cluster) for each in self._options.registrations]
        options = self._options._replace(registrations=registrations, read={}, served=Served())
        return _OneCluster(parts, options, self._may_work)


class _OneCluster(ManagerRun):
    """One run of the controllers in one cluster; it reconciles once a signal is set."""

    def __init__(self, parts: Parts, options: RunOptions, may_work: Signal) -> None:
        super().__init__(parts, options)
        self._may_work = may_work

    def _work(self, over: threading.Event) -> None:
        self.state = "waiting for the lease"
        go_on = Signal()
        withdraws = [on_set(each, go_on.set) for each in (self._may_work, over)]
        go_on.wait()
        for withdraw in withdraws:
            withdraw()
        super()._work(over)


class _Cluster:
    """Runs the controllers in one cluster, on a thread of its own, again and again until it is halted.

    Args:
        name: the cluster's.
        make: makes a run.
        before: what has to end first, so that two runs never reconcile the same key at once; None for nothing.
    """

    def __init__(self, name: str, make: Callable[[], _OneCluster], before: _Cluster | None) -> None:
        self.halt = Signal()
        self._name = name
        self._make = make
        self._before = before
        self._run: _OneCluster | None = None
        self._worker = Worker(self._run_on, f"cluster-{name}")

    def start(self) -> _Cluster:
        self._worker.start()
        return self

    @property
    def state(self) -> str:
        run = self._run
        return "starting" if run is None else run.state

    def controllers(self) -> list[Controller]:
        run = self._run
        return [] if run is None else run.controllers()

    @property
    def is_alive(self) -> bool:
        return self._worker.is_alive

    def owns_current(self) -> bool:
        return any(run is not None and run.owns_current() for run in (self._run, self._before))

    def join(self, timeout: float | None) -> bool:
        return not self.owns_current() and self._worker.join(timeout)

    def _run_on(self) -> None:
        if self._before is not None:
            self._before.join(None)
            self._before = None
        while not self.halt.is_set():
            try:
                self._run = self._make()
                self._run.run(self.halt)
            except Exception as error:
                _log.warning(
                    "the controllers in cluster %s have ended and begin again in %g s: %s", self._name, _PAUSE, error
                )
                self.halt.wait(_PAUSE)


def _in_cluster(registration: Registration, cluster: str) -> Registration:
    """Returns a registration whose logs and metrics name the cluster, and whose retries are those of the cluster."""
    limiter = registration.limiter
    return replace(
        registration,
        name=f"{cluster}/{registration.name}",
        limiter=None if limiter is None else _ClusterLimiter(limiter, cluster),
    )


class _ClusterLimiter:
    """A rate limiter that counts the retries of equal keys in several clusters separately."""

    def __init__(self, limiter: RateLimiter[Any], cluster: str) -> None:
        self._limiter = limiter
        self._cluster = cluster

    def when(self, item: Any) -> float:
        return self._limiter.when((self._cluster, item))

    def forget(self, item: Any) -> None:
        self._limiter.forget((self._cluster, item))

    def num_requeues(self, item: Any) -> int:
        return self._limiter.num_requeues((self._cluster, item))

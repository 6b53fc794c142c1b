"""`Manager`: a program of controllers, without wiring."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from informer.leaderelection.elector import LeaderElector
from informer.listwatch.resource_request import namespaces_of
from informer.objects.object import strip_managed_fields
from informer.process import stop_on_signals
from informer.record.event_recorder import EventRecorder, check_component
from informer.runtime.clusters import Clusters, ClustersRun
from informer.runtime.errors import ManagerError
from informer.runtime.manifests import manifests_for
from informer.runtime.parts import Lease, Parts
from informer.runtime.registration import AsyncReconcile, Reconcile, Registration, by_resource, resource_key, several
from informer.runtime.run import ManagerRun, RunOptions, Served
from informer.runtime.shard_informers import ShardInformers
from informer.runtime.sharded_run import ShardedManagerRun
from informer.sharding.ranges import Field, check_shard
from informer.sharding.shard_elector import ShardElector
from informer.shared.factory import SharedInformerFactory
from informer.shared.shared_informer import SharedInformer
from informer.workqueue.limiters import RateLimiter
from watch.concurrency import Lock, Worker

if TYPE_CHECKING:
    from informer.metrics.server import MetricsServer

__all__ = ["Manager"]

# The options of an informer that give it selected objects only.
_SELECTING = {"namespace", "label_selector", "field_selector"}

F = TypeVar("F", bound=Reconcile | AsyncReconcile)


class Manager:
    """Runs controllers, with the informers, work queues, workers, leader election, events, metrics and probes that they need.

        manager = Manager(name="site-controller", leader_election=True, serve=8080)

        @manager.controller("sites.example.com", owns=["deployments.apps"], workers=4)
        def reconcile(request):
            if request.object is not None:
                request.apply(deployment_for(request.object))

        manager.run()

    Reconciling begins when every cache has its first list and every handler has seen it, and, with `leader_election`, while
    this process leads. A key is reconciled by one worker at a time, and not before the caches show the writes of its last
    reconcile.

    Args:
        api_client: an `ApiClient` of the official client; None connects as kubectl does.
        name: the manager's: the field manager of its writes, the name of its Lease, the source of its events.
        namespace: one namespace, a list of them, or None for the whole cluster.
        leader_election: whether only one of several processes reconciles, by a Lease.
        lease_namespace: the namespace of the Lease; None is the manager's if it has one, or else the one of the process's
            service account or kubeconfig.
        lease_duration: seconds after the last renewal of the Lease until another process may lead.
        renew_deadline: seconds within which a renewal must succeed, or this process stops leading.
        retry_period: seconds between two renewals, and between two attempts to acquire the Lease.
        serve: the port of `/healthz`, `/livez`, `/readyz` and `/metrics`; 0 takes a free one, None serves nothing. It needs
            the extra `metrics`.
        host: the address to serve on.
        live_page: the port of the live page, on 127.0.0.1 only; None shows none. It needs the extra `metrics`, and asks for
            the bearer token in the environment variable INFORMER_TOKEN if that is set.
        transform: applied to every object before it is stored; None keeps objects as they come.
        shards: the number of shards. Every process reconciles the objects of some of them; see `ShardElector`. Each one lists
            and caches its own objects only, and those that they own. None: no shards.
        shard_field: the field whose hash decides on the shard, "metadata.uid" or "metadata.namespace". By namespace, the API
            server can shard owned objects, too; by uid, it sends all of them, and this process drops those of other shards.
        clusters: the clusters to work in; see `Clusters`. The cluster of `api_client` then has the Lease, and the informers of
            `informer`. None: the cluster of `api_client` only.
        sync_timeout: seconds within which every cache must have its first list.

    Attributes:
        server: the `MetricsServer`; None before the start, or without `serve`.
        live_page_server: that of the live page; None before the start, or without `live_page`.

    Threads: any. Controllers are registered before the start.

    Source: sigs.k8s.io/controller-runtime pkg/manager.
    """

    def __init__(
        self,
        api_client: Any = None,
        *,
        name: str,
        namespace: str | Sequence[str] | None = None,
        leader_election: bool = False,
        lease_namespace: str | None = None,
        lease_duration: float = 15,
        renew_deadline: float = 10,
        retry_period: float = 2,
        serve: int | None = None,
        host: str = "0.0.0.0",  # noqa: S104 - a kubelet and a Prometheus come from other hosts
        live_page: int | None = None,
        transform: Callable[[Any], Any] | None = strip_managed_fields,
        shards: int | None = None,
        shard_field: Field = "metadata.uid",
        clusters: Clusters | None = None,
        sync_timeout: float = 120,
    ) -> None:
        if shards is not None:
            check_shard(0, shards, shard_field)
            if leader_election:
                raise ValueError("with shards= leave leader_election out: each shard has one owner")
            if clusters is not None:
                raise ValueError("shards= and clusters= exclude each other: leave one of them out")
        check_component(name)
        if not sync_timeout > 0:
            raise ValueError(f"sync_timeout must be more than 0 seconds, not {sync_timeout}")
        self.name = name
        self.server: MetricsServer | None = None
        self.live_page_server: MetricsServer | None = None
        self._namespace = namespace
        self._served, self._sync_timeout = Served(serve, host, live_page), sync_timeout
        self._transform = transform
        self._given_client = api_client
        self._shards, self._shard_field = shards, shard_field
        self._clusters = clusters
        lease = Lease(name, lease_namespace, lease_duration, renew_deadline, retry_period, shards)
        self._lease = lease if leader_election or shards is not None else None
        self._registrations: list[Registration] = []
        # The informers that `informer` has made, by resource; None if it holds selected objects only.
        self._read: dict[str, SharedInformer[Any] | None] = {}
        self._lock = Lock()
        self._parts: Parts | None = None  # made when the server is first needed; guarded by _lock
        self._run: ManagerRun | None = None
        self._worker: Worker | None = None

    def __repr__(self) -> str:
        state = "not started" if self._run is None else self._run.state
        return f"<Manager {self.name}: {state}, controllers: {', '.join(each.name for each in self._registrations)}>"

    @property
    def api_client(self) -> Any:
        """The client; with `leader_election` a view of it whose writes need leadership."""
        return self._made().api_client

    @property
    def factory(self) -> SharedInformerFactory:
        """Makes the informers."""
        return self._made().factory

    @property
    def recorder(self) -> EventRecorder:
        """Records events under the manager's name."""
        return self._made().recorder

    @property
    def shard_elector(self) -> ShardElector | None:
        """The elector of the shards; None without `shards`."""
        return self._made().shard_elector

    @property
    def elector(self) -> LeaderElector | None:
        """The elector; None without `leader_election`."""
        return self._made().elector

    def controller(
        self,
        resource: str,
        *,
        owns: Sequence[str] = (),
        watches: Mapping[str, Callable[[Any], Iterable[str]]] | None = None,
        workers: int = 1,
        predicate: Callable[[Any, Any], bool] | None = None,
        finalizer: str | None = None,
        cleanup: Callable[[Any], Any] | None = None,
        indexers: Mapping[str, Callable[[Any], Iterable[str]]] | None = None,
        limiter: RateLimiter[Any] | None = None,
        writes: Sequence[str] = (),
        name: str | None = None,
    ) -> Callable[[F], F]:
        """Returns a decorator that registers a reconcile function, and leaves the function as it is.

        The function is called for each object when the manager starts, and for each change. Its argument is a `Request`, or an
        `AsyncRequest` if it is async. It returns None, or the seconds after which it is called again. If it raises, the error
        is logged, and the key is retried with backoff. A conflict (409), and a 404 because the object was deleted meanwhile,
        are retried without an error in the log.

        Args:
            resource: the resource to reconcile, such as "sites.example.com".
            owns: resources of objects that the function applies. A change of one enqueues the key of the object that controls
                it, in the same namespace or cluster-scoped.
            watches: functions by resource: each is called with a changed object (of an update with the old and the new one),
                and returns the keys to reconcile.
            workers: how many keys are reconciled at the same time.
            predicate: called with (old, new) for each update of an object of `resource`; False leaves it out. Adds, deletes,
                and an update with which an object begins to be deleted, always pass. If it raises, the update passes.
            finalizer: added to each object before it is first reconciled, such as "example.com/cleanup".
            cleanup: called in place of the function when an object with the finalizer is being deleted. When it returns None,
                the finalizer is taken off; seconds have it called again.
            indexers: index functions of the resource's cache, by name.
            limiter: gives the waits after failures; None: per key, from 5 ms to 5 minutes.
            writes: further resources that the function writes, such as "secrets" or "pods/eviction", for `manifests`.
            name: the controller's, for logs and metrics; None takes the resource's.

        Raises:
            RuntimeError: the manager has started.
            TypeError, ValueError: an argument is not valid; the message says why.
        """
        if not isinstance(resource, str):
            raise TypeError(
                f'a controller needs the resource that it reconciles, as in @manager.controller("pods"), not {resource!r}'
            )

        def register(function: F) -> F:
            self._register(
                Registration(
                    resource=resource,
                    reconcile=function,
                    name=name or resource_key(resource),
                    owns=several("owns", owns),
                    watches=by_resource(watches),
                    workers=workers,
                    predicate=predicate,
                    finalizer=finalizer,
                    cleanup=cleanup,
                    indexers=indexers,
                    limiter=limiter,
                    writes=several("writes", writes),
                )
            )
            return function

        return register

    def informer(self, resource: str, **options: Any) -> SharedInformer[Any]:
        """Returns the informer of a resource; controllers of that resource use the same one.

        The manager starts the informer when it starts itself, or at once if it runs already. If the informer exists when the
        manager starts, reconciling begins only after its first list. If it holds all objects of its resource, the next
        reconcile of a key waits until the informer shows the writes of the last one.

        Args:
            resource: such as "nodes".
            options: of `SharedInformerFactory.informer`.

        Raises:
            RuntimeError: the manager has stopped.
        """
        factory = self._made().factory
        made: SharedInformer[Any] = factory.informer(resource, **options)
        is_selected = bool(_SELECTING & options.keys())
        self._read[resource_key(resource)] = self._read.get(resource_key(resource)) if is_selected else made
        if self._run is not None:
            factory.start()
        return made

    def run(self, stop: threading.Event | None = None) -> None:
        """Runs the controllers until `stop` is set; then reconciles under way end, and events are sent.

        Args:
            stop: None: SIGTERM and SIGINT.

        Raises:
            ManagerError: the lease was lost, a cache did not sync in time, or a thread died; its cause says why.
            RuntimeError: the manager has started before.

        Threads: blocks.
        """
        self._begin().run(stop_on_signals() if stop is None else stop)

    def start(self) -> None:
        """Runs the controllers on a thread of their own, for tests.

        Raises:
            RuntimeError: the manager has started before.
        """
        run = self._begin()
        self._worker = Worker(run.run_in_background, f"manager-{self.name}")
        self._worker.start()

    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """Waits until reconciling has begun: every cache has synced and, with `leader_election`, this process leads.

        Args:
            timeout: seconds to wait at most; None waits without limit.

        Returns:
            Whether it has begun. False also if the manager ended before.
        """
        return self._run is not None and self._run.wait_until_ready(timeout)

    def stop(self, timeout: float | None = 15.0) -> bool:
        """Ends what `start` or `run` began. A manager that has not started gives back what it has made.

        Args:
            timeout: seconds to wait at most; None waits without limit.

        Returns:
            Whether everything has ended. False, at once, if a reconcile function calls it.

        Raises:
            ManagerError: what `run` would have raised.
        """
        run, worker = self._run, self._worker
        if run is None:
            parts = self._parts
            if parts is not None:
                parts.broadcaster.shutdown()
            return True
        run.halt.set()
        if run.owns_current():
            return False
        ended = run.ended.wait(timeout) and (worker is None or worker.join(timeout))
        if run.failure is not None:
            raise run.failure
        return ended

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except ManagerError:
            if error is None:
                raise

    def manifests(self, *, namespace: str, image: str | None = None) -> list[dict[str, Any]]:
        """Returns the manifests that this program needs in a cluster. No request is sent.

        Args:
            namespace: where the program runs.
            image: its container image; None leaves the Deployment out.

        Returns:
            A ServiceAccount, the least roles that the registrations need with their bindings, and a Deployment with probes.
            Reading is allowed for what is reconciled, owned, watched or read by `informer`; writing for what is owned, for
            the status of what is reconciled, and for `writes=`.

        Raises:
            ValueError: a custom resource is named by its kind, so that its plural is not known; or a namespace is malformed.
        """
        return manifests_for(
            self.name,
            self._registrations,
            list(self._read),
            namespace=namespace,
            watched=namespaces_of(self._namespace),
            lease=self._lease,
            port=self._served.port,
            image=image,
        )

    def _register(self, registration: Registration) -> None:
        with self._lock:
            if self._run is not None:
                raise RuntimeError(f"manager {self.name} has started: register controllers before")
            if any(each.name == registration.name for each in self._registrations):
                raise ValueError(f"there is a controller {registration.name!r} already: give this one another name=")
            self._registrations.append(registration)

    def _made(self) -> Parts:
        with self._lock:
            if self._parts is None:
                if self._served.is_any:
                    from informer.runtime.metrics import install_providers

                    install_providers()
                self._parts = Parts.make(self.name, self._given_client, self._namespace, self._transform, self._lease)
            return self._parts

    def _begin(self) -> ManagerRun:
        if not self._registrations:
            raise RuntimeError(f"manager {self.name} has no controllers: register one with @manager.controller(...)")
        parts = self._made()
        with self._lock:
            if self._run is not None:
                raise RuntimeError(f"manager {self.name} was started before: make a new one")
            read = {name: informer for name, informer in self._read.items() if informer is not None}
            registrations = list(self._registrations)
            options = RunOptions(self.name, registrations, self._sync_timeout, read, self._served, self._set_server)
            if self._shards is not None:
                self._run = ShardedManagerRun(parts, options, self._informers_of)
            elif self._clusters is not None:
                self._run = ClustersRun(parts, options, self._clusters, self._parts_of)
            else:
                self._run = ManagerRun(parts, options)
            return self._run

    def _parts_of(self, api_client: Any) -> Parts:
        return Parts.make(self.name, api_client, self._namespace, self._transform, None)

    def _informers_of(self, shard: int) -> ShardInformers:
        client = self._made().client
        return ShardInformers(client, self._namespace, self._transform, shard, self._shards or 1, self._shard_field)

    def _set_server(self, server: MetricsServer, *, shows_live_page: bool) -> None:
        if shows_live_page:
            self.live_page_server = server
        else:
            self.server = server

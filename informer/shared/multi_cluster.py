"""One resource in several clusters: an informer each, with one set of handlers and merged reads."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NamedTuple, Self

from typing_extensions import TypeVar

from informer.arguments import check_function
from informer.handlers.registration import HandlerRegistration
from informer.handlers.subscription import BacklogPolicy
from informer.objects.label_selector import Selector
from informer.shared.factory import SharedInformerFactory
from informer.shared.shared_informer import SharedInformer
from informer.shared.waiting import seconds_left, wait_for_cache_sync
from watch.concurrency import Lock
from watch.watcher import StopsOnExit

__all__ = ["ClusterKey", "ClusterObject", "MultiClusterHandler", "MultiClusterInformer"]

T = TypeVar("T", default=Any)


class ClusterKey(NamedTuple):
    """The key of an object among several clusters; `str` gives "cluster/namespace/name"."""

    cluster: str
    key: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.key}"


class ClusterObject(NamedTuple, Generic[T]):
    """An object, and the cluster that it is in."""

    cluster: str
    object: T


class MultiClusterInformer(StopsOnExit, Generic[T]):
    """Informers of one resource in several clusters, with one set of handlers and merged reads.

        fleet = MultiClusterInformer("pods", indexers={"node": index_by("spec.nodeName")})
        fleet.add_event_handler(on_add=lambda cluster, pod: print("added", cluster, pod.name))
        fleet.add("eu", load_client(context="eu"))
        with fleet:
            fleet.add("us", load_client(context="us"))
            print(fleet.wait_for_sync(30), len(fleet.list(namespace="shop")))

    Each cluster has a `SharedInformer` with a connection and threads of its own. One that cannot be reached delays and changes
    nothing in the others.

    Args:
        resource: the resource's name, such as "pods" or "deployments.apps", or an official model class.
        options: options of each informer; see `SharedInformerFactory.informer`. `add` may change them for a cluster.

    Threads: any.
    """

    def __init__(self, resource: str | type[T], **options: Any) -> None:
        if not isinstance(resource, (str, type)):
            raise TypeError(
                f"a resource of several clusters is a name such as 'pods' or an official model class, not {resource!r}: a "
                "list method belongs to one cluster"
            )
        self._resource = resource
        self._options = options
        self._lock = Lock()
        self._informers: dict[
            str, SharedInformer[T]
        ] = {}  # replaced as a whole; guarded by _lock, as are the next three
        self._handlers: tuple[MultiClusterHandler, ...] = ()
        self._started = False
        self._stopped = False

    # Clusters

    def add(self, cluster: str, api_client: Any, **options: Any) -> SharedInformer[T]:
        """Adds a cluster. Its informer has the handlers, and starts at once if the others have started.

        Args:
            cluster: a name of your choice, which keys and handlers show.
            api_client: a client of the cluster.
            options: options of this informer in place of those of all, such as `snapshot` or `namespace`.

        Returns:
            The cluster's informer. Do not stop it: call `remove`.

        Raises:
            ValueError: there is a cluster of that name, or an option has a value that is not allowed.
            RuntimeError: this has stopped.
            TypeError: an option does not exist, or has a type that is not allowed.
        """
        if not cluster:
            raise ValueError(f"a cluster needs a name, not {cluster!r}")
        given = {"name": f"{cluster}/{self._resource_name}", **self._options, **options}
        informer: SharedInformer[T] = SharedInformerFactory(api_client).informer(self._resource, **given)
        with self._lock:
            if self._stopped:
                raise RuntimeError("the informer of several clusters has stopped: make a new one")
            if cluster in self._informers:
                raise ValueError(f"cluster {cluster!r} exists already: remove it first, or use another name")
            if self._started:
                informer.start()
            for handler in self._handlers:
                handler.follow(cluster, informer)
            self._informers = {**self._informers, cluster: informer}
        return informer

    def remove(self, cluster: str, timeout: float | None = 1.0) -> bool:
        """Removes a cluster: its objects are gone from reads, and its informer stops. Handlers get no deletes for them.

        Args:
            cluster: the name.
            timeout: seconds to wait at most for its threads to end; None waits without limit.

        Returns:
            Whether its threads have ended, so that no handler is called for it any more.

        Raises:
            ValueError: the cluster does not exist.
        """
        with self._lock:
            remaining = dict(self._informers)
            informer = remaining.pop(cluster, None)
            self._informers = remaining
            handlers = self._handlers
        if informer is None:
            raise _unknown(cluster, remaining)
        for handler in handlers:
            handler.leave(cluster)
        return informer.stop(timeout)

    @property
    def informers(self) -> dict[str, SharedInformer[T]]:
        """The informers by cluster; a copy."""
        return dict(self._informers)

    # Handlers

    def add_event_handler(
        self,
        *,
        on_add: Callable[..., object] | None = None,
        on_update: Callable[[str, T, T], object] | None = None,
        on_delete: Callable[..., object] | None = None,
        backlog: BacklogPolicy = "all",
        inline: bool = False,
    ) -> MultiClusterHandler:
        """Adds a handler for all clusters, present and future.

        The calls for one cluster come in order, one after another. Calls for several clusters may come at the same time.

        Args:
            on_add: takes (cluster, obj), or (cluster, obj, *, is_in_initial_list).
            on_update: takes (cluster, old, new).
            on_delete: takes (cluster, obj), or (cluster, obj, *, final_state_unknown).
            backlog: "all" keeps every change for a slow handler, "coalesce" the net change per key.
            inline: call the handler on the thread that reads from the cluster; see `SharedInformer.add_event_handler`.

        Returns:
            A handle, which shows the progress and removes the handler.

        Raises:
            TypeError, ValueError: the arguments do not fit together; the message says how.
            RuntimeError: this has stopped.
        """
        check_function("on_add", on_add, 2, optional=("is_in_initial_list",), or_none=True)
        check_function("on_update", on_update, 3, or_none=True)
        check_function("on_delete", on_delete, 2, optional=("final_state_unknown", "reason"), or_none=True)
        functions = {"on_add": on_add, "on_update": on_update, "on_delete": on_delete}
        given = {name: function for name, function in functions.items() if function is not None}
        if not given:
            raise TypeError("nothing to call: pass some of on_add, on_update, on_delete")
        handler = MultiClusterHandler(given, {"backlog": backlog, "inline": inline}, self._forget)
        with self._lock:
            if self._stopped:
                raise RuntimeError("the informer of several clusters has stopped: make a new one")
            for cluster, informer in self._informers.items():
                handler.follow(cluster, informer)
            self._handlers += (handler,)
        return handler

    def _forget(self, handler: MultiClusterHandler) -> None:
        with self._lock:
            self._handlers = tuple(each for each in self._handlers if each is not handler)

    # Reads

    def list(self, label_selector: Selector = None, namespace: str | None = None) -> builtins.list[ClusterObject[T]]:
        """Returns the objects of all clusters that match; see `Lister.list`.

        Raises:
            ValueError: the selector is malformed.
        """
        return [
            ClusterObject(cluster, obj)
            for cluster, informer in self._informers.items()
            for obj in informer.lister.list(label_selector, namespace)
        ]

    def by_index(self, name: str, value: str) -> builtins.list[ClusterObject[T]]:
        """Returns the objects of all clusters under a value of an index.

        Raises:
            IndexNotFoundError: the index does not exist.
        """
        return [
            ClusterObject(cluster, obj)
            for cluster, informer in self._informers.items()
            for obj in informer.indexer.by_index(name, value)
        ]

    def get(self, key: ClusterKey | tuple[str, str]) -> T | None:
        """Returns the object of a key; None if the cluster's cache does not have it, or the cluster is not there any more."""
        cluster, in_cluster = key
        informer = self._informers.get(cluster)
        return None if informer is None else informer.indexer.get_by_key(in_cluster)

    def key_of(self, cluster: str, obj: T) -> ClusterKey:
        """Returns the key of an object, for a work queue and for `get`.

        Raises:
            ValueError: the cluster does not exist.
            KeyFuncError: the object has no key.
        """
        informer = self._informers.get(cluster)
        if informer is None:
            raise _unknown(cluster, self._informers)
        return ClusterKey(cluster, informer.indexer.records.key_of(obj))

    # Starting, stopping, status

    def start(self) -> None:
        """Starts the informers of all clusters, and returns at once.

        Raises:
            RuntimeError: this was started or stopped before.
        """
        with self._lock:
            if self._started or self._stopped:
                raise RuntimeError("the informer of several clusters has started or stopped already")
            self._started = True
            for informer in self._informers.values():
                informer.start()

    def stop(self, timeout: float | None = 1.0) -> bool:
        """Stops the informers of all clusters. Idempotent.

        Args:
            timeout: seconds to wait at most for all threads to end; None waits without limit.

        Returns:
            Whether every thread has ended.
        """
        with self._lock:
            self._stopped = True
            informers = [*self._informers.values()]
        for informer in informers:
            informer.begin_stop()
        deadline = None if timeout is None else time.monotonic() + timeout
        ended = [informer.stop(seconds_left(deadline)) for informer in informers]
        return all(ended)

    def __enter__(self) -> Self:
        self.start()
        return self

    def wait_for_sync(self, timeout: float | None = None) -> dict[str, bool]:
        """Waits until the first list of each present cluster is in its cache.

        Args:
            timeout: seconds to wait at most, for all together; None waits without limit.

        Returns:
            Whether it has synced, by cluster. `sync_errors` says why one has not.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return {
            cluster: wait_for_cache_sync(informer, timeout=seconds_left(deadline))
            for cluster, informer in self._informers.items()
        }

    def sync_errors(self) -> dict[str, Exception]:
        """Returns what keeps a cluster's cache from following, by cluster; those without an error are left out."""
        errors = {cluster: informer.sync_error() for cluster, informer in self._informers.items()}
        return {cluster: error for cluster, error in errors.items() if error is not None}

    @property
    def _resource_name(self) -> str:
        return self._resource if isinstance(self._resource, str) else self._resource.__name__


class MultiClusterHandler:
    """The handle for a handler of several clusters; `MultiClusterInformer.add_event_handler` returns it.

    Args:
        functions: the user's functions by name.
        options: arguments of `SharedInformer.add_event_handler`.
        forget: called when the handler is removed.

    Threads: any.
    """

    def __init__(
        self,
        functions: dict[str, Callable[..., object]],
        options: dict[str, Any],
        forget: Callable[[MultiClusterHandler], object],
    ) -> None:
        self._functions = functions
        self._options = options
        self._forget = forget
        self._lock = Lock()
        self._registrations: dict[str, HandlerRegistration] = {}  # guarded by _lock

    def follow(self, cluster: str, informer: SharedInformer[Any]) -> None:
        """Internal: adds the handler to a cluster's informer."""
        functions: dict[str, Any] = {name: _of_cluster(each, cluster) for name, each in self._functions.items()}
        registration = informer.add_event_handler(**functions, **self._options)
        with self._lock:
            self._registrations[cluster] = registration

    def leave(self, cluster: str) -> None:
        """Internal: forgets a cluster."""
        with self._lock:
            self._registrations.pop(cluster, None)

    @property
    def registrations(self) -> dict[str, HandlerRegistration]:
        """The handler's registrations by cluster; a copy."""
        with self._lock:
            return dict(self._registrations)

    def has_synced(self) -> bool:
        """Returns whether each present cluster has synced, and the handler has had its initial adds."""
        return all(registration.has_synced() for registration in self.registrations.values())

    def remove(self) -> None:
        """Removes the handler from all clusters, without waiting for calls under way."""
        self._forget(self)
        for registration in self.registrations.values():
            registration.remove()


def _of_cluster(function: Callable[..., object], cluster: str) -> Callable[..., object]:
    """Returns the function with the cluster as its first argument, under its own name."""
    bound: Any = partial(function, cluster)
    for name in ("__module__", "__qualname__"):
        if hasattr(function, name):
            setattr(bound, name, getattr(function, name))
    return bound  # type: ignore[no-any-return]


def _unknown(cluster: str, known: dict[str, Any]) -> ValueError:
    return ValueError(f"cluster {cluster!r} does not exist (there are: {', '.join(known) or 'none'})")

"""The factory of shared informers: one informer per resource and selection."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload
from weakref import WeakKeyDictionary

from typing_extensions import Unpack

from informer.arguments import check_function
from informer.listwatch.resource_request import namespaces_of
from informer.objects.label_selector import Selector
from informer.objects.object import Object
from informer.shared.factory_request import FactoryRequest
from informer.shared.options import InformerOptions, ListMethod
from informer.shared.shared_informer import SharedInformer
from informer.shared.waiting import seconds_left, wait_for_cache_sync
from watch.concurrency import Lock
from watch.logs import get_logger
from watch.options import ListOptions

__all__ = ["SharedInformerFactory"]

_log = get_logger(__name__)

M = TypeVar("M")

_OPTIONS = frozenset(inspect.signature(SharedInformer).parameters) - {"lister_watcher", "transform"}


class SharedInformerFactory:
    """Makes shared informers, one per resource and selection, and starts and stops them together.

    Requesting the same resource again returns the existing informer, so that a program has one cache and one watch of it:

        factory = SharedInformerFactory(api_client)
        pods = factory.informer("pods")
        deployments = factory.informer("deployments.apps", namespace="shop")
        with factory:
            factory.wait_for_cache_sync(30)
            print(len(pods.lister.list(namespace="shop")))

    Args:
        api_client: an `ApiClient` of `kubernetes` or `kubernetes_asyncio`, of which only the configuration, default headers and
            cookie are used; None connects as kubectl does (see `load_client`).
        resync_period: the informers' default, in seconds; 0 for none.
        namespace: the informers' default: one, several, or None for all.
        tweak_list_options: called with the `ListOptions` of each request; what it returns is requested instead.
        transform: the informers' default.

    With asyncio, `async with factory:` does the same without blocking the loop.

    Threads: every method may be called from any thread.
    """

    def __init__(
        self,
        api_client: Any = None,
        *,
        resync_period: float = 0,
        namespace: str | Sequence[str] | None = None,
        tweak_list_options: Callable[[ListOptions], ListOptions | None] | None = None,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self._api_client = api_client
        self._resync_period = resync_period
        namespaces_of(namespace)  # checks the names now, not with the first informer
        self._namespace = namespace
        self._tweak = tweak_list_options
        check_function("transform", transform, 1, or_none=True)
        check_function("tweak_list_options", tweak_list_options, 1, or_none=True)
        self._transform = transform
        self._lock = Lock()
        self._informers: dict[Any, SharedInformer[Any]] = {}  # guarded by _lock
        # The options with which each informer was made; guarded by _lock.
        self._options: WeakKeyDictionary[SharedInformer[Any], Mapping[str, Any]] = WeakKeyDictionary()
        self._shut_down = False  # guarded by _lock

    @overload
    def informer(
        self, resource: type[M], *, model: None = None, **options: Unpack[InformerOptions[M]]
    ) -> SharedInformer[M]: ...

    @overload
    def informer(
        self, resource: str | ListMethod, *, model: None = None, **options: Unpack[InformerOptions[Object]]
    ) -> SharedInformer[Object]: ...

    # Without this overload the objects would be a bare `dict`, although their keys are strings.
    @overload
    def informer(
        self,
        resource: str | ListMethod | type[Any],
        *,
        model: type[dict[Any, Any]],
        **options: Unpack[InformerOptions[dict[str, Any]]],
    ) -> SharedInformer[dict[str, Any]]: ...

    @overload
    def informer(
        self, resource: str | ListMethod | type[Any], *, model: type[M], **options: Unpack[InformerOptions[M]]
    ) -> SharedInformer[M]: ...

    def informer(
        self,
        resource: Any,
        *,
        namespace: str | Sequence[str] | None = None,
        label_selector: Selector = None,
        field_selector: str | Mapping[str, str] | None = None,
        model: Any = None,
        metadata_only: bool = False,
        wire: Literal["json", "protobuf"] = "json",
        drop_managed_fields: bool = False,
        transform: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> SharedInformer[Any]:
        """Returns the informer for a resource; makes it if there is none yet.

        Informers are shared by resource, namespaces, selectors, model, transform, `metadata_only`, `wire` and
        `drop_managed_fields`. Requesting the same
        again returns the existing informer: `indexers` that it lacks are added, other differing options are logged and
        ignored. A stopped informer is replaced. A new one is started by the next `start`.

        Args:
            resource: "pods", "deployments.apps", "apps/v1/Deployment"; a list method of the official client; or an
                official model class, which is then the model too.
            namespace: one, several, "" for all, or None for the factory's.
            label_selector: such as "app=web" or {"app": "web"}; None selects all.
            field_selector: such as "spec.nodeName=node-1" or a mapping; None selects all.
            model: the type of the objects, see `ListWatch.for_resource`; None is `informer.Object`.
            metadata_only: request only the objects' metadata.
            wire: "protobuf" requests the objects of built-in kinds in protobuf; see `ListWatch.for_resource`.
            drop_managed_fields: whether to leave out `metadata.managedFields`; see `ListWatch.for_resource`.
            transform: called once with each object before it is stored; None for the factory's.
            options: further arguments of `SharedInformer`.

        Raises:
            RuntimeError: the factory was shut down.
            TypeError, ValueError: the resource or an option is not valid; the message says why.
            IndexConflictError: an index of that name has another function.
        """
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            raise TypeError(f"an informer has no option {', '.join(unknown)}")
        transform = self._transform if transform is None else transform
        request = FactoryRequest(
            self._api_client,
            resource,
            namespace=namespace,
            of_factory=self._namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            model=model,
            metadata_only=metadata_only,
            wire=wire,
            drop_managed_fields=drop_managed_fields,
        )
        key = (request.key, id(transform) if getattr(transform, "__hash__", None) is None else transform)
        with self._lock:
            self._check_open()
            known = self._informers.get(key)
            if known is None or known.is_stopped():
                return self._make_locked(key, request, transform, options)
            first = self._options.get(known, {})
        _complete(known, options, first)
        return known

    def _make_locked(
        self, key: Hashable, request: FactoryRequest, transform: Callable[[Any], Any] | None, options: dict[str, Any]
    ) -> SharedInformer[Any]:
        source = request.list_watch()
        options.setdefault("resync_period", self._resync_period)
        if self._tweak is not None:
            source = source.tweaked(self._tweak)
        made: SharedInformer[Any] = SharedInformer(source, transform=transform, **options)
        self._informers[key] = made
        self._options[made] = options
        return made

    def start(self) -> None:
        """Starts every informer that is not started yet. Call it again after adding informers.

        Raises:
            RuntimeError: the factory was shut down.
        """
        with self._lock:
            self._check_open()
            for informer in self._informers.values():
                if not informer.is_started() and not informer.is_stopped():
                    informer.start()

    def wait_for_cache_sync(
        self, timeout: float | None = None, *, stop: threading.Event | None = None
    ) -> dict[SharedInformer[Any], bool]:
        """Waits until every informer has its first list. One that is not started is not waited for.

        Args:
            timeout: seconds to wait at most, for all of them together; None waits without limit, 0 does not wait.
            stop: ends the wait when it is set; the informers not checked yet then count as not synced.

        Returns:
            Whether it has synced, by informer: False for one that is not started. `informer.sync_error()` says why one has not.
        """
        with self._lock:
            informers = list(self._informers.values())
        deadline = None if timeout is None else time.monotonic() + timeout
        # Each on its own: a stopped informer must not end the wait for the others.
        return {
            informer: informer.is_started() and wait_for_cache_sync(informer, timeout=seconds_left(deadline), stop=stop)
            for informer in informers
        }

    def remove_informer(self, informer: SharedInformer[Any]) -> None:
        """Stops an informer and forgets it: the next request for the same resource makes a new one."""
        with self._lock:
            for key, known in list(self._informers.items()):
                if known is informer:
                    del self._informers[key]
        informer.stop()

    def shutdown(self, timeout: float | None = 1.0) -> bool:
        """Stops every informer. The factory makes and starts no more informers.

        Args:
            timeout: seconds to wait at most for the threads of all informers to end; None waits without limit.

        Returns:
            Whether every thread has ended.
        """
        informers = self._begin_stop()
        deadline = None if timeout is None else time.monotonic() + timeout
        ended = [informer.stop(seconds_left(deadline)) for informer in informers]
        return all(ended)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(informer.aio.stop() for informer in self._begin_stop()))

    def _begin_stop(self) -> list[SharedInformer[Any]]:
        """Stops every informer without waiting; returns them."""
        with self._lock:
            self._shut_down = True
            informers = list(self._informers.values())
        for informer in informers:
            informer.begin_stop()
        return informers

    def _check_open(self) -> None:
        if self._shut_down:
            raise RuntimeError("the factory has stopped: make a new one")


def _complete(informer: SharedInformer[Any], options: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    """Adds the indexers that an existing informer lacks, and logs the options that differ from those it was made with.

    The informer refuses an indexer of a known name with another function.
    """
    ignored = sorted(name for name, value in options.items() if name != "indexers" and first.get(name) != value)
    if ignored:
        _log.warning(
            "informer %s exists already with other options: %s has no effect", informer.name, ", ".join(ignored)
        )
    present = informer.indexer.indexers
    missing = {
        name: function for name, function in (options.get("indexers") or {}).items() if present.get(name) != function
    }
    if missing:
        informer.add_indexers(missing)

"""One informer for each resource and set of options, shared by everybody in the process who asks for it.

Comes in: what somebody wants to see. Goes out: the informer that shows it, new or already there.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload
from weakref import WeakKeyDictionary

from typing_extensions import Unpack

from informer.objects.object import Object
from informer.shared.factory_request import FactoryRequest
from informer.shared.options import InformerOptions, ListMethod
from informer.shared.shared_informer import SharedInformer
from informer.shared.waiting import wait_for_cache_sync
from watch.concurrency import Lock
from watch.options import ListOptions

__all__ = ["SharedInformerFactory"]

_log = logging.getLogger(__name__)

M = TypeVar("M")

_OPTIONS = frozenset(inspect.signature(SharedInformer).parameters) - {"lister_watcher", "transform"}


class SharedInformerFactory:
    """See the module.

    Args:
        api_client: the official client's `ApiClient`; None reads the in-cluster configuration or the kubeconfig.
        resync_period: of the informers that do not say otherwise, in seconds; 0 for none.
        namespace: of the informers that do not say otherwise: one, several, or None for all.
        tweak_list_options: called with the `ListOptions` of each request; what it returns is asked instead.
        transform: of the informers that do not say otherwise.

    Threads: any.
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
        self._namespace = namespace
        self._tweak = tweak_list_options
        self._transform = transform
        self._lock = Lock()
        self._informers: dict[Any, SharedInformer[Any]] = {}  # guarded by _lock
        # What each of them was made with; guarded by _lock.
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

    # A bare `dict` says nothing of keys and values, which are known.
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
        label_selector: str | None = None,
        field_selector: str | None = None,
        model: Any = None,
        metadata_only: bool = False,
        transform: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> SharedInformer[Any]:
        """The informer for a resource and these options; the same one each time it is asked for.

        Args:
            resource: "pods", "deployments.apps", "apps/v1/Deployment"; a list method of the official client; or an
                official model class, in which the objects are then read.
            namespace: one, several, or None for the factory's.
            label_selector: such as "app=web".
            field_selector: such as "spec.nodeName=node-1".
            model: see `ListWatch.for_resource`.
            metadata_only: ask for metadata alone.
            transform: called once with each object; None for the factory's.
            options: further arguments of `SharedInformer`, which take effect when the informer is made: others that are asked
                for later are logged, and change nothing. Of `indexers` an informer that is there is given those that it
                lacks.

        Raises:
            RuntimeError: the factory was shut down.
            TypeError, ValueError: the resource or an option cannot be understood.
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
        )
        key = (request.key, id(transform) if getattr(transform, "__hash__", None) is None else transform)
        with self._lock:
            self._check_open()
            known = self._informers.get(key)
            if known is None or known.is_stopped():
                source = request.list_watch()
                options.setdefault("resync_period", self._resync_period)
                made: SharedInformer[Any] = SharedInformer(
                    source if self._tweak is None else source.tweaked(self._tweak), transform=transform, **options
                )
                self._informers[key] = made
                self._options[made] = options
                return made
            first = self._options.get(known, {})
        ignored = sorted(name for name, value in options.items() if name != "indexers" and first.get(name) != value)
        if ignored:
            _log.warning(
                "informer %s is there already, made without this: %s has no effect", known.name, ", ".join(ignored)
            )
        _add_missing(known, options.get("indexers") or {})
        return known

    def start(self) -> None:
        """Starts every informer that was not started yet; call it again for those that were added since.

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
        """Waits for the started informers' first lists.

        Args:
            timeout: at most so many seconds; None waits without limit, 0 does not wait.
            stop: ends the wait when it is set; then no informer counts as synced.

        Returns:
            Each started informer, and whether it has synced; `sync_error()` of one that has not says why.
        """
        with self._lock:
            started = [informer for informer in self._informers.values() if informer.is_started()]
        deadline = None if timeout is None else time.monotonic() + timeout
        # One after another: one that was stopped must not end the wait for the others.
        return {informer: wait_for_cache_sync(informer, timeout=_left(deadline), stop=stop) for informer in started}

    def remove_informer(self, informer: SharedInformer[Any]) -> None:
        """Stops an informer and forgets it; the next who asks for it gets a new one."""
        with self._lock:
            for key, known in list(self._informers.items()):
                if known is informer:
                    del self._informers[key]
        informer.stop()

    def shutdown(self, timeout: float | None = 1.0) -> bool:
        """Stops every informer and waits at most `timeout` seconds; returns whether all threads have ended.

        Args:
            timeout: for all of them together; None waits without limit.
        """
        with self._lock:
            self._shut_down = True
            informers = list(self._informers.values())
        for informer in informers:
            informer.begin_stop()
        deadline = None if timeout is None else time.monotonic() + timeout
        ended = [informer.stop(_left(deadline)) for informer in informers]
        return all(ended)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _check_open(self) -> None:
        if self._shut_down:
            raise RuntimeError("the factory has stopped: make a new one")


def _add_missing(informer: SharedInformer[Any], indexers: Mapping[str, Callable[[Any], Any]]) -> None:
    """Adds those indexers that an informer does not have; one with another function is for it to refuse."""
    there = informer.indexer.indexers
    missing = {name: function for name, function in indexers.items() if there.get(name) != function}
    if missing:
        informer.add_indexers(missing)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())

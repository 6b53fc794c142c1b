"""One informer for each resource and set of options, shared by everybody in the process who asks for it.

Comes in: what somebody wants to see. Goes out: the informer that shows it, new or already there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload

from typing_extensions import Self

from informer.discovery import find_built_in
from informer.list_watch import ListWatch, ResourceListWatch
from informer.objects import Object
from informer.shared_informer import SharedInformer
from informer.waiting import wait_for_cache_sync
from watch.concurrency import Lock
from watch.options import ListOptions

__all__ = ["SharedInformerFactory"]

M = TypeVar("M")

_MODEL_NAME = re.compile(
    r"(?:Core|Events|Authentication|Discovery|Storage|Flowcontrol)?(V\d+(?:(?:alpha|beta)\d+)?)(\w+)\Z"
)


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
        self._shut_down = False  # guarded by _lock

    @overload
    def informer(self, resource: type[M], **options: Any) -> SharedInformer[M]: ...

    @overload
    def informer(self, resource: str, *, model: type[M], **options: Any) -> SharedInformer[M]: ...

    @overload
    def informer(self, resource: Callable[..., Any], *, model: type[M], **options: Any) -> SharedInformer[M]: ...

    @overload
    def informer(self, resource: str | Callable[..., Any], **options: Any) -> SharedInformer[Object]: ...

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
            options: further arguments of `SharedInformer`, which take effect when the informer is made.

        Raises:
            RuntimeError: the factory was shut down.
            TypeError, ValueError: the resource or an option cannot be understood.
        """
        where = self._namespace if namespace is None else namespace
        transform = self._transform if transform is None else transform
        key = (
            getattr(resource, "__self__", None).__class__ if callable(resource) else None,
            resource if isinstance(resource, (str, type)) else getattr(resource, "__name__", resource),
            where if where is None or isinstance(where, str) else tuple(where),
            label_selector or "",
            field_selector or "",
            model,
            metadata_only,
            transform,
        )
        with self._lock:
            if self._shut_down:
                raise RuntimeError("the factory has stopped: make a new one")
            known = self._informers.get(key)
            if known is not None:
                return known
            source = self._list_watch(
                resource, where, label_selector, field_selector, model, metadata_only=metadata_only
            )
            options.setdefault("resync_period", self._resync_period)
            made: SharedInformer[Any] = SharedInformer(source, transform=transform, **options)
            self._informers[key] = made
            return made

    def start(self) -> None:
        """Starts every informer that was not started yet; call it again for those that were added since."""
        with self._lock:
            if self._shut_down:
                raise RuntimeError("the factory has stopped: make a new one")
            for informer in self._informers.values():
                if not informer.is_started() and not informer.is_stopped():
                    informer.start()

    def wait_for_cache_sync(self, timeout: float | None = None) -> dict[SharedInformer[Any], bool]:
        """Waits at most `timeout` seconds (None: without limit) for the started informers' first lists.

        Returns:
            Each started informer, and whether it has synced; `sync_error()` of one that has not says why.
        """
        with self._lock:
            started = [informer for informer in self._informers.values() if informer.is_started()]
        wait_for_cache_sync(*started, timeout=timeout)
        return {informer: informer.has_synced() for informer in started}

    def remove_informer(self, informer: SharedInformer[Any]) -> None:
        """Stops an informer and forgets it; the next who asks for it gets a new one."""
        with self._lock:
            for key, known in list(self._informers.items()):
                if known is informer:
                    del self._informers[key]
        informer.stop()

    def shutdown(self, timeout: float = 1.0) -> bool:
        """Stops every informer and waits at most `timeout` seconds; returns whether all threads have ended."""
        with self._lock:
            self._shut_down = True
            informers = list(self._informers.values())
        for informer in informers:
            informer.begin_stop()
        ended = [informer.stop(timeout) for informer in informers]
        return all(ended)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _list_watch(
        self,
        resource: Any,
        namespace: str | Sequence[str] | None,
        label_selector: str | None,
        field_selector: str | None,
        model: Any,
        *,
        metadata_only: bool,
    ) -> ResourceListWatch[Any]:
        if isinstance(resource, type):
            model = resource if model is None else model
            resource = _resource_of(resource)
        if isinstance(resource, str):
            made = ListWatch.for_resource(
                self._api_client,
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                model=model,
                metadata_only=metadata_only,
            )
        else:
            arguments: dict[str, Any] = {}
            if namespace is not None and "_namespaced_" in getattr(resource, "__name__", ""):
                arguments["namespace"] = namespace
            if label_selector:
                arguments["label_selector"] = label_selector
            if field_selector:
                arguments["field_selector"] = field_selector
            made = ListWatch.from_api(resource, model=model, **arguments)
        return made if self._tweak is None else made.tweaked(self._tweak)


def _resource_of(model: type) -> str:
    """The resource of an official model class, such as V1Deployment."""
    found = _MODEL_NAME.match(model.__name__)
    if found is None or not hasattr(model, "openapi_types"):
        raise TypeError(f"{model.__name__} is no official model class of a resource: name the resource and pass model=")
    version, kind = found[1].lower(), found[2]
    built_in = find_built_in(version, kind)
    return kind if built_in is None else f"{built_in.api_version}/{built_in.kind}"

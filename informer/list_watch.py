"""What to list and watch, and how: from functions, from an official list method, or from the name of a resource.

Comes in: the options of one request. Goes out: one page of a list, or an open watch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol

import urllib3
from typing_extensions import Self, TypeVar

from informer.discovery import Resource, known, parse_name, resolve
from informer.entries import Undecodable
from informer.keys import metadata_of
from informer.list_framing import ListFraming
from informer.log_limit import LimitedLog
from informer.models import Codec, model_for
from informer.objects import Object
from informer.transport import Transport, transport_for
from watch.byte_source import byte_source
from watch.errors import ApiError
from watch.event import Event, EventType
from watch.framing import Gunzip
from watch.options import ListOptions
from watch.request_scope import DEFAULT_MAX_LINE_BYTES, current_scope
from watch.stream_watcher import JSONDecoder, StreamWatcher
from watch.watcher import Watcher

__all__ = ["ListWatch", "ListerWatcher", "ObjectList"]

T = TypeVar("T", default=Any)
T_co = TypeVar("T_co", covariant=True, default=Any)

_log = logging.getLogger(__name__)

_JSON = "application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class ObjectList(Generic[T]):
    """One page of a list.

    Args:
        items: the objects.
        resource_version: of the list.
        continue_: token of the next page, None or "" on the last one.
        remaining_item_count: how many objects the following pages have, None if the server does not say.
        shard_selector: the part of the objects that the server says these are (KEP-5866), None for all.
    """

    __slots__ = ("continue_", "items", "remaining_item_count", "resource_version", "shard_selector")

    def __init__(
        self,
        items: Sequence[T],
        resource_version: str,
        continue_: str | None = None,
        remaining_item_count: int | None = None,
        shard_selector: str | None = None,
    ) -> None:
        self.items = list(items)
        self.resource_version = resource_version
        self.continue_ = continue_
        self.remaining_item_count = remaining_item_count
        self.shard_selector = shard_selector

    def __repr__(self) -> str:
        return f"ObjectList({len(self.items)} items, resource_version={self.resource_version!r})"


class ListerWatcher(Protocol[T_co]):
    """Lists and watches; it may set `supports_watch_list = False`."""

    def list(self, options: ListOptions) -> ObjectList[T_co]:
        """Fetches one page.

        Raises:
            ApiError: the server refused.
            Exception: anything else counts as a broken connection.
        """
        ...

    def watch(self, options: ListOptions) -> Watcher[T_co] | None:
        """Opens a watch; None counts as a broken connection. Raises as `list` does."""
        ...


class ListWatch(Generic[T]):
    """A `ListerWatcher` of two functions; see `for_resource` and `from_api` for the usual ones.

    Args:
        list_func: takes `ListOptions` and returns an `ObjectList`, or anything with `items` and `resource_version`.
        watch_func: takes `ListOptions` and returns a `Watcher`.
        supports_watch_list: whether a watch may be asked to begin with the present state (KEP-3157).

    Objects are stored as they come.
    """

    namespaces: tuple[str, ...] | None = None
    """The namespaces, where there are several; `for_namespace` gives the list-watch of each."""
    resource_name: str | None = None
    """For messages, such as "deployments.apps"."""

    def __init__(
        self,
        list_func: Callable[[ListOptions], Any],
        watch_func: Callable[[ListOptions], Any],
        *,
        supports_watch_list: bool = True,
    ) -> None:
        for name, function in (("list_func", list_func), ("watch_func", watch_func)):
            if not callable(function):
                raise TypeError(f"{name} must be callable, not {type(function).__name__}")
        self._list = list_func
        self._watch = watch_func
        self.supports_watch_list = supports_watch_list

    def list(self, options: ListOptions) -> ObjectList[T]:
        """See `ListerWatcher.list`."""
        page = self._list(options)
        return page if isinstance(page, ObjectList) else _as_object_list(page)

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """See `ListerWatcher.watch`."""
        return self._watch(options)  # type: ignore[no-any-return]

    @staticmethod
    def for_resource(
        api_client: Any,
        resource: str,
        *,
        namespace: str | Sequence[str] | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        model: Any = None,
        metadata_only: bool = False,
        gzip: bool = False,
    ) -> ResourceListWatch[Any]:
        """Lists and watches a resource by its name.

        Args:
            api_client: the official client's `ApiClient`; None reads the in-cluster configuration or the kubeconfig.
            resource: "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment"; any custom resource too.
            namespace: one, several, or None for all over the cluster.
            label_selector: such as "app=web,tier!=db".
            field_selector: such as "spec.nodeName=node-1".
            model: None for `Object`; dict; a msgspec.Struct, dataclass or TypedDict; an official model class.
            metadata_only: ask for the objects' metadata alone.
            gzip: have answers compressed, which pays on slow links only.

        Raises:
            ValueError: the name has none of the forms, or no namespace is given where a list of them is.
            TypeError: the model is none of these, or names a field that the API does not have.
        """
        parse_name(resource)
        built_in = known(resource)
        codec = model_for(model, None if metadata_only else _schema_of(model, built_in))
        target = _NamedTarget(resource, api_client)
        return ResourceListWatch(
            target,
            _namespaces(namespace),
            label_selector,
            field_selector,
            codec,
            metadata_only=metadata_only,
            gzip=gzip,
        )

    @staticmethod
    def from_api(list_method: Callable[..., Any], *, model: Any = None, **kwargs: Any) -> ResourceListWatch[Any]:
        """Lists and watches what a list method of the official client lists.

        Args:
            list_method: such as `core_v1.list_pod_for_all_namespaces`; it is asked for its path and never sent.
            model: see `for_resource`.
            kwargs: the method's own, such as `namespace` and `label_selector`.

        Raises:
            TypeError: it is no list method of the official client, or it refuses the arguments.
        """
        api_client, path, query = _recorded(list_method, kwargs)
        codec = model_for(model)
        target = _PathTarget(path, query, api_client)
        return ResourceListWatch(target, None, query.get("labelSelector"), query.get("fieldSelector"), codec)


class Target(Protocol):
    """Where a list's path comes from."""

    name: str
    query: Mapping[str, str]

    def transport(self) -> Transport: ...

    def path(self, namespace: str | None) -> str: ...


class _NamedTarget:
    """A resource's name, which the server is asked about when it is first needed."""

    query: Mapping[str, str] = {}

    def __init__(self, name: str, api_client: Any) -> None:
        self._wanted = name
        self._api_client = api_client
        self._resource: Resource | None = known(name)
        self.name = name if self._resource is None else self._resource.name

    def transport(self) -> Transport:
        return transport_for(self._api_client)

    def path(self, namespace: str | None) -> str:
        resource = self._resource or resolve(self._wanted, self.transport())
        if namespace and not resource.namespaced:
            raise ValueError(f"{resource.name} has no namespaces: leave out namespace={namespace!r}")
        if resource is not self._resource:
            self._resource = resource
            self.name = resource.name
        return resource.path(namespace)

    def forget(self) -> None:
        """After a 404: the next use asks the server again, unless the resource is a built-in one."""
        if known(self._wanted) is None:
            self._resource = None


class _PathTarget:
    """A path as an official list method has it."""

    def __init__(self, path: str, query: Mapping[str, str], api_client: Any) -> None:
        self._path = path
        self._api_client = api_client
        self.query = {k: v for k, v in query.items() if k not in ("labelSelector", "fieldSelector")}
        self.name = path.rpartition("/")[2]

    def transport(self) -> Transport:
        return transport_for(self._api_client)

    def path(self, namespace: str | None) -> str:
        return self._path


class ResourceListWatch(ListWatch[T]):
    """Lists and watches over HTTP; made by `ListWatch.for_resource` and `ListWatch.from_api`."""

    def __init__(
        self,
        target: Target,
        namespaces: tuple[str, ...] | None,
        label_selector: str | None,
        field_selector: str | None,
        codec: Codec,
        *,
        metadata_only: bool = False,
        gzip: bool = False,
        stored: bool = False,
        tweak: Callable[[ListOptions], ListOptions | None] | None = None,
    ) -> None:
        self._target = target
        self._tweak = tweak
        self._label_selector = label_selector or ""
        self._field_selector = field_selector or ""
        self._metadata_only = metadata_only
        self._gzip = gzip
        self._stored = stored
        self._limited = LimitedLog(_log)
        self._namespace = namespaces[0] if namespaces and len(namespaces) == 1 else None
        self.namespaces = namespaces if namespaces and len(namespaces) > 1 else None
        self.codec = codec
        self.supports_watch_list = True

    @property
    def resource_name(self) -> str:  # type: ignore[override]
        """For messages, such as "deployments.apps"."""
        return str(self._target.name)

    def entries(self) -> Self:
        """The same in the form in which an informer stores objects; one that does not decode is an `Undecodable`."""
        return self._like(self.namespaces or ((self._namespace,) if self._namespace else None), stored=True)

    def for_namespace(self, namespace: str) -> Self:
        """The same in one namespace only."""
        return self._like((namespace,), stored=self._stored)

    def tweaked(self, tweak: Callable[[ListOptions], ListOptions | None]) -> Self:
        """The same, with a function that may change the options of each request."""
        made = self._like(self.namespaces or ((self._namespace,) if self._namespace else None), stored=self._stored)
        made._tweak = tweak
        return made

    def list(self, options: ListOptions) -> ObjectList[T]:
        """See `ListerWatcher.list`."""
        self._check_one_namespace()
        scope = current_scope()
        limit = DEFAULT_MAX_LINE_BYTES if scope is None else scope.max_line_bytes
        framing = ListFraming(self._list_item, limit)
        response = self._open(options, watch=False)
        source = byte_source(response)
        withdraw = None if scope is None else scope.on_cancel(source.close)
        items: list[Any] = []
        try:
            gunzip = Gunzip() if source.gzipped else None
            while pieces := source.read(_LIST_SILENCE):
                for piece in pieces if gunzip is None else gunzip.feed(pieces):
                    items.extend(framing.feed(piece))
            items.extend(framing.finish())
        except (EOFError, OSError, urllib3.exceptions.HTTPError) as error:
            raise ConnectionError(f"the list of {self.resource_name} broke off") from error
        finally:
            if withdraw is not None:
                withdraw()
            source.close()
        return self._page(framing, items)

    def watch(self, options: ListOptions) -> Watcher[T]:
        """See `ListerWatcher.watch`."""
        self._check_one_namespace()
        scope = current_scope()
        limit = DEFAULT_MAX_LINE_BYTES if scope is None else scope.max_line_bytes
        decoder = JSONDecoder(
            self._open(options, watch=True),
            decode_object=Object.from_bytes if self._plain else self._decode_stored,
            decode_bookmark=Object.from_bytes,
            max_line_bytes=limit,
        )
        watcher: StreamWatcher[Any] = StreamWatcher(decoder)
        if self._stored or self.codec.identity:
            return watcher
        return _UnwrappedWatcher(watcher, self)  # type: ignore[return-value]

    def unwrapped(self, item: Any) -> Any:
        """What users see of an item, None for one that does not decode (which is logged)."""
        if type(item) is Undecodable:
            self._limited.log(
                logging.ERROR, "%s left out: %s/%s does not decode", self.resource_name, item.namespace, item.name
            )
            return None
        return self.codec.unwrap(item)

    @property
    def _plain(self) -> bool:
        return self.codec.identity

    def _like(self, namespaces: tuple[str, ...] | None, *, stored: bool) -> Self:
        return type(self)(
            self._target,
            namespaces,
            self._label_selector,
            self._field_selector,
            self.codec,
            metadata_only=self._metadata_only,
            gzip=self._gzip,
            stored=stored,
            tweak=self._tweak,
        )

    def _check_one_namespace(self) -> None:
        if self.namespaces:
            raise ValueError(
                f"{len(self.namespaces)} namespaces are several lists: use a SharedInformer, or for_namespace() for each"
            )

    def _open(self, options: ListOptions, *, watch: bool) -> Any:
        if self._tweak is not None:
            options = self._tweak(options) or options
        query = {**self._target.query, **options.to_query()}
        for wire_name, own in (("labelSelector", self._label_selector), ("fieldSelector", self._field_selector)):
            if own:
                query[wire_name] = f"{own},{query[wire_name]}" if query.get(wire_name) else own
        if watch:
            query["watch"] = "true"
        accept = _JSON
        if self._metadata_only:
            accept = _METADATA if watch else _METADATA_LIST
        try:
            path = self._target.path(self._namespace)
            return self._target.transport().open(path, query, accept=accept, gzip=self._gzip)
        except ApiError as error:
            if error.status == 404 and hasattr(self._target, "forget"):
                self._target.forget()
            raise

    def _list_item(self, raw: bytes, api_version: str, kind: str) -> Any:
        obj = Object.from_list_item(raw, api_version, kind)
        return obj if self._plain else self._wrap(obj)

    def _decode_stored(self, raw: bytes) -> Any:
        return self._wrap(Object.from_bytes(raw))

    def _wrap(self, obj: Object) -> Any:
        try:
            return self.codec.wrap(obj)
        # Whatever a user's type raises concerns this one object.
        except Exception as error:
            return Undecodable(obj.name, obj.namespace, obj.uid, obj.resource_version, obj.raw, error)

    def _page(self, framing: ListFraming, items: Any) -> ObjectList[T]:
        metadata = framing.metadata
        remaining = metadata.get("remainingItemCount")
        shard = metadata.get("shardInfo")
        if not self._stored and not self._plain:
            items = [seen for item in items if (seen := self.unwrapped(item)) is not None]
        return ObjectList(
            items,
            _text(metadata.get("resourceVersion")),
            _text(metadata.get("continue")) or None,
            remaining if isinstance(remaining, int) else None,
            _text(shard.get("selector")) or None if isinstance(shard, dict) else None,
        )


# A list that stands still for so many seconds has lost its server.
_LIST_SILENCE = 60.0


class _UnwrappedWatcher(StreamWatcher[Any]):
    """A watcher of stored items that shows users their own type."""

    def __init__(self, source: StreamWatcher[Any], list_watch: ResourceListWatch[Any]) -> None:
        super().__init__(_UnwrappingDecoder(source, list_watch))


class _UnwrappingDecoder:
    takes_timeout = True

    def __init__(self, source: StreamWatcher[Any], list_watch: ResourceListWatch[Any]) -> None:
        self._source = source
        self._list_watch = list_watch

    def decode(self) -> Event[Any]:
        raise NotImplementedError

    def decode_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        from watch.byte_source import NotReadyError
        from watch.errors import WatchClosedError

        while True:
            try:
                batch = self._source.next_batch(timeout)
            except WatchClosedError as error:
                raise EOFError(str(error)) from error
            except TimeoutError as error:
                raise NotReadyError(str(error), progress=getattr(error, "progress", False)) from error
            events = []
            for event in batch:
                if event.type in (EventType.BOOKMARK, EventType.ERROR):
                    events.append(event)
                    continue
                seen = self._list_watch.unwrapped(event.object)
                if seen is not None:
                    events.append(Event(event.type, seen))
            if events:
                return events

    def close(self) -> None:
        self._source.stop()


def _namespaces(namespace: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if namespace is None or namespace == "":
        return None
    if isinstance(namespace, str):
        return (namespace,)
    several = tuple(dict.fromkeys(namespace))
    if not several or not all(isinstance(each, str) and each for each in several):
        raise ValueError(f"namespace must be a name, a list of at least one name, or None, not {namespace!r}")
    return several


def _schema_of(model: Any, resource: Resource | None) -> Any:
    """The official model class of a built-in resource, when there are fields to check against it."""
    if model is None or model is dict or resource is None or hasattr(model, "openapi_types"):
        return None
    from kubernetes.client import models

    version = resource.version[:1].upper() + resource.version[1:]
    prefix = resource.group.partition(".")[0].capitalize()
    for name in (f"{version}{resource.kind}", f"{prefix or 'Core'}{version}{resource.kind}"):
        found = getattr(models, name, None)
        if hasattr(found, "attribute_map"):
            return found
    return None


class _Recorded(Exception):  # noqa: N818 - it carries an answer
    """What an official list method was about to send."""

    def __init__(self, path: str, path_params: Any, query_params: Any) -> None:
        super().__init__(path)
        self.path = path
        self.path_params = path_params
        self.query_params = query_params


class _Recorder:
    """Stands in for an `ApiClient` and stops a request where it would be sent."""

    def __init__(self, api_client: Any) -> None:
        self._api_client = api_client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api_client, name)

    def param_serialize(
        self, *, resource_path: str, path_params: Any = None, query_params: Any = None, **_: Any
    ) -> Any:
        """Versions from 36 on."""
        raise _Recorded(resource_path, path_params, query_params)

    def call_api(
        self, resource_path: str, method: str, path_params: Any = None, query_params: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Earlier versions."""
        raise _Recorded(resource_path, path_params, query_params)


def _recorded(list_method: Callable[..., Any], kwargs: Mapping[str, Any]) -> tuple[Any, str, dict[str, str]]:
    from urllib.parse import quote

    owner = getattr(list_method, "__self__", None)
    api_client = getattr(owner, "api_client", None)
    name = getattr(list_method, "__name__", "")
    if api_client is None or not name.startswith("list_"):
        raise TypeError(
            f"{list_method!r} is no list method of the official client, such as core_v1.list_pod_for_all_namespaces"
        )
    stand_in = type(owner)(api_client=_Recorder(api_client))
    try:
        getattr(stand_in, name.removesuffix("_with_http_info"))(**kwargs)
    except _Recorded as found:
        path = found.path
        parameters = dict(
            found.path_params.items() if isinstance(found.path_params, Mapping) else found.path_params or ()
        )
        for parameter, value in parameters.items():
            path = path.replace("{" + parameter + "}", quote(str(value), safe=""))
        query = {key: _query_text(value) for key, value in found.query_params or ()}
        return api_client, path, query
    except Exception as error:
        raise TypeError(f"{name} refused its arguments: {error}") from error
    raise TypeError(f"{name} sent no request: this version of the official client is not supported")


def _query_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _as_object_list(page: Any) -> ObjectList[Any]:
    """A list of the official client, in API form, or of anything with `items` and `resource_version`."""
    if isinstance(page, Mapping):
        metadata = page.get("metadata") or {}
        return ObjectList(
            page.get("items") or [],
            _text(metadata.get("resourceVersion")),
            metadata.get("continue"),
            metadata.get("remainingItemCount"),
        )
    items = getattr(page, "items", None)
    metadata = getattr(page, "metadata", None)
    version = getattr(page, "resource_version", None)
    if version is None and metadata is not None:
        version = metadata_of(page).resource_version
    if items is None and version is None:
        raise TypeError(f"list_func returned a {type(page).__name__}: an ObjectList is needed")
    return ObjectList(
        items or [],
        _text(version),
        getattr(page, "continue_", None) or getattr(metadata, "_continue", None),
        getattr(page, "remaining_item_count", None) or getattr(metadata, "remaining_item_count", None),
        getattr(page, "shard_selector", None),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

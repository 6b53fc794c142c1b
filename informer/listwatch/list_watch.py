"""What to list and watch, and how: from functions, from an official list method, or from the name of a resource.

Comes in: the options of one request. Goes out: one page of a list, or an open watch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Self, overload

from typing_extensions import TypedDict, TypeVar, Unpack

from informer.arguments import check_callable
from informer.listwatch.list_parser import ListFraming, read_items
from informer.listwatch.lister_watcher import ListerWatcher, ObjectList, as_object_list, list_of
from informer.listwatch.resources import Resource, known, parse_name
from informer.listwatch.source import Source
from informer.listwatch.targets import NamedTarget, PathTarget, Target
from informer.listwatch.watch_decoding import heads_of, only_of, unwrapped_watch
from informer.objects.entry import Undecodable
from informer.objects.models import Codec, model_for
from informer.objects.object import Object
from informer.rate_limited_log import LimitedLog
from watch.errors import ApiError
from watch.json_decoder import JSONDecoder
from watch.options import ListOptions
from watch.request_scope import DEFAULT_MAX_LINE_BYTES, current_scope
from watch.stream_watcher import StreamWatcher
from watch.watcher import Watcher

__all__ = ["ListWatch", "ListerWatcher", "ObjectList", "ResourceListWatch", "ResourceOptions"]

T = TypeVar("T", default=Any)
M = TypeVar("M")

_log = logging.getLogger(__name__)

_JSON = "application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class ResourceOptions(TypedDict, total=False):
    """What `ListWatch.for_resource` takes beside the model."""

    namespace: str | Sequence[str] | None
    label_selector: str | None
    field_selector: str | None
    metadata_only: bool
    gzip: bool


class ListWatch(Source[T]):
    """A `ListerWatcher` of two functions; see `for_resource` and `from_api` for the usual ones.

    Args:
        list_func: takes `ListOptions` and returns an `ObjectList`, or anything with `items` and `resource_version`.
        watch_func: takes `ListOptions` and returns a `Watcher`.
        supports_watch_list: whether a watch may be asked to begin with the present state (KEP-3157).

    Objects are stored as they come.
    """

    def __init__(
        self,
        list_func: Callable[[ListOptions], Any],
        watch_func: Callable[[ListOptions], Any],
        *,
        supports_watch_list: bool = True,
    ) -> None:
        for name, function in (("list_func", list_func), ("watch_func", watch_func)):
            check_callable(name, function)
        self._list = list_func
        self._watch = watch_func
        self.supports_watch_list = supports_watch_list

    def list(self, options: ListOptions) -> ObjectList[T]:
        """See `ListerWatcher.list`."""
        return as_object_list(self._list(options))

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """See `ListerWatcher.watch`."""
        return self._watch(options)  # type: ignore[no-any-return]

    @overload
    @staticmethod
    def for_resource(
        api_client: Any, resource: str, *, model: None = None, **options: Unpack[ResourceOptions]
    ) -> ResourceListWatch[Object]: ...

    # A bare `dict` says nothing of keys and values, which are known.
    @overload
    @staticmethod
    def for_resource(
        api_client: Any, resource: str, *, model: type[dict[Any, Any]], **options: Unpack[ResourceOptions]
    ) -> ResourceListWatch[dict[str, Any]]: ...

    @overload
    @staticmethod
    def for_resource(
        api_client: Any, resource: str, *, model: type[M], **options: Unpack[ResourceOptions]
    ) -> ResourceListWatch[M]: ...

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
        codec = model_for(model, None if metadata_only else _schema_of(model, known(resource)))
        return ResourceListWatch(
            NamedTarget(resource, api_client),
            _namespaces(namespace),
            label_selector,
            field_selector,
            codec,
            metadata_only=metadata_only,
            gzip=gzip,
        )

    @overload
    @staticmethod
    def from_api(
        list_method: Callable[..., Any], *, model: None = None, **kwargs: Any
    ) -> ResourceListWatch[Object]: ...

    @overload
    @staticmethod
    def from_api(
        list_method: Callable[..., Any], *, model: type[dict[Any, Any]], **kwargs: Any
    ) -> ResourceListWatch[dict[str, Any]]: ...

    @overload
    @staticmethod
    def from_api(list_method: Callable[..., Any], *, model: type[M], **kwargs: Any) -> ResourceListWatch[M]: ...

    @staticmethod
    def from_api(list_method: Callable[..., Any], *, model: Any = None, **kwargs: Any) -> ResourceListWatch[Any]:
        """Lists and watches what a list method of the official client lists.

        Args:
            list_method: such as `core_v1.list_pod_for_all_namespaces`; it is asked for its path and never sent.
            model: see `for_resource`.
            kwargs: the method's own, such as `namespace`, `label_selector` and `limit` (objects a page).

        Raises:
            TypeError: it is no list method of the official client, or it refuses the arguments.
        """
        return ResourceListWatch(PathTarget.of_method(list_method, kwargs), None, None, None, model_for(model))


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
        listed: Callable[[Any], Any] | None = None,
        tweak: Callable[[ListOptions], ListOptions | None] | None = None,
    ) -> None:
        self._target = target
        self._tweak = tweak
        self._label_selector = label_selector or ""
        self._field_selector = field_selector or ""
        self._metadata_only = metadata_only
        self._gzip = gzip
        self._stored = stored
        self._listed = listed
        self._limited = LimitedLog(_log)
        self._all_namespaces = namespaces
        self._namespace = namespaces[0] if namespaces and len(namespaces) == 1 else None
        self.namespaces = namespaces if namespaces and len(namespaces) > 1 else None
        self._codec = codec

    @property
    def resource_name(self) -> str | None:
        """For messages, such as "deployments.apps"."""
        return self._target.name

    @property
    def server(self) -> str:
        """Tells its server from others, without asking anybody."""
        return self._target.server

    @property
    def unwrap(self) -> Callable[[Any], Any] | None:
        """See `Source.unwrap`."""
        return None if self._codec.identity else self._codec.unwrap

    def entries(self, listed: Callable[[Any], Any] | None = None) -> Self:
        """The same in the form in which an informer stores objects; one that does not decode is an `Undecodable`.

        Args:
            listed: called with each item of a list as soon as it has come, and gives what stands there instead; None changes
                nothing.
        """
        return self._like(self._all_namespaces, stored=True, listed=listed, tweak=self._tweak)

    def for_namespace(self, namespace: str) -> Self:
        """The same in one namespace only."""
        return self._like((namespace,), stored=self._stored, listed=self._listed, tweak=self._tweak)

    def tweaked(self, tweak: Callable[[ListOptions], ListOptions | None]) -> Self:
        """The same, with a function that may change the options of each request."""
        return self._like(self._all_namespaces, stored=self._stored, listed=self._listed, tweak=tweak)

    def list(self, options: ListOptions) -> ObjectList[T]:
        """See `ListerWatcher.list`."""
        response = self._open(options, watch=False)
        item_type = ("", "") if self._metadata_only else self._target.item_type
        framing = ListFraming(self._list_item, _max_line_bytes(), on_bad_item=_undecodable, item_type=item_type)
        items = read_items(response, framing, self._target.name)
        self._check_kind(item_type[1], framing.kind)
        if not self._stored:
            items = [seen for item in items if (seen := self.unwrapped(item)) is not None]
        return list_of(items, framing.metadata)

    def watch(self, options: ListOptions) -> Watcher[T]:
        """See `ListerWatcher.watch`."""
        response = self._open(options, watch=True)
        decode = Object.from_bytes if self._codec.identity else self._decode_stored
        expected = self._expected_type()
        decoder = JSONDecoder(
            response,
            decode_object=decode,
            decode_bookmark=Object.from_bytes,
            max_line_bytes=_max_line_bytes(),
            heads=() if expected is None else heads_of(*expected),
            decode_unusual=None if expected is None else only_of(*expected, decode),
        )
        watcher: StreamWatcher[Any] = StreamWatcher(decoder)
        return watcher if self._stored or self._codec.identity else unwrapped_watch(watcher, self.unwrapped)

    def unwrapped(self, item: Any) -> Any:
        """What users see of an item, None for one that does not decode (which is logged)."""
        if type(item) is Undecodable:
            self._limited.log(
                logging.ERROR, "%s left out: %s/%s does not decode", self.resource_name, item.namespace, item.name
            )
            return None
        return self._codec.unwrap(item)

    def _like(
        self,
        namespaces: tuple[str, ...] | None,
        *,
        stored: bool,
        listed: Callable[[Any], Any] | None,
        tweak: Callable[[ListOptions], ListOptions | None] | None,
    ) -> Self:
        return type(self)(
            self._target,
            namespaces,
            self._label_selector,
            self._field_selector,
            self._codec,
            metadata_only=self._metadata_only,
            gzip=self._gzip,
            stored=stored,
            listed=listed,
            tweak=tweak,
        )

    def _open(self, options: ListOptions, *, watch: bool) -> Any:
        if self.namespaces:
            raise ValueError(
                f"{len(self.namespaces)} namespaces are several lists: use a SharedInformer, or for_namespace() for each"
            )
        if self._tweak is not None:
            options = self._tweak(options) or options
        query = self._query(options)
        accept = _JSON
        if watch:
            query["watch"] = "true"
        if self._metadata_only:
            accept = _METADATA if watch else _METADATA_LIST
        try:
            path = self._target.path(self._namespace)
            return self._target.transport().open(path, query, accept=accept, gzip=self._gzip)
        except ApiError as error:
            if error.status == 404:
                self._target.forget()
            raise

    def _query(self, options: ListOptions) -> dict[str, str]:
        asked = options.to_query()
        own = dict(self._target.query)
        for name, selector in (("labelSelector", self._label_selector), ("fieldSelector", self._field_selector)):
            both = [part for part in (own.pop(name, ""), selector, asked.pop(name, "")) if part]
            if both:
                own[name] = ",".join(both)
        # Where there is a limit at all, the user's comes first.
        limit = own.pop("limit", None)
        if limit is not None and "limit" in asked:
            asked["limit"] = limit
        return {**own, **asked}

    def _expected_type(self) -> tuple[str, str] | None:
        """The apiVersion and kind of what a watch brings, where that is certain; None also where nobody would be told.

        A custom resource may be defined anew with another kind, and its name be known from before.
        """
        if not self._stored or self._metadata_only:
            return None
        resource = self._target.built_in
        return None if resource is None else (resource.api_version, resource.kind)

    def _check_kind(self, asked: str, came: str) -> None:
        """Refuses a list of other objects; how the list of a custom resource is called is its author's choice."""
        if asked and came and came != asked and known(self._target.name) is not None:
            raise ValueError(f"the server answered with a list of {came[:100]!r}, not of {asked!r}")

    def _list_item(self, raw: bytes, api_version: str, kind: str) -> Any:
        obj = Object.from_list_item(raw, api_version, kind)
        item = obj if self._codec.identity else self._wrap(obj)
        return item if self._listed is None else self._listed(item)

    def _decode_stored(self, raw: bytes) -> Any:
        return self._wrap(Object.from_bytes(raw))

    def _wrap(self, obj: Object) -> Any:
        try:
            return self._codec.wrap(obj)
        # Whatever a user's type raises concerns this one object.
        except Exception as error:
            return Undecodable(obj.name, obj.namespace, obj.uid, obj.resource_version, obj.raw, error)


def _undecodable(raw: bytes, error: Exception) -> Undecodable:
    return Undecodable("", "", "", "", raw, error)


def _max_line_bytes() -> int:
    scope = current_scope()
    return DEFAULT_MAX_LINE_BYTES if scope is None else scope.max_line_bytes


def _namespaces(namespace: Any) -> tuple[str, ...] | None:
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

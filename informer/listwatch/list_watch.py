"""`ListWatch`: lists and watches through two functions, an official list method, or a resource's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self, overload

from typing_extensions import TypeVar, Unpack

from informer.arguments import check_callable
from informer.listwatch.encoding import Encoding
from informer.listwatch.list_parser import read_items
from informer.listwatch.lister_watcher import ListerWatcher, ObjectList, as_object_list, list_of
from informer.listwatch.model_checks import check_kind, check_model_kind, schema_of
from informer.listwatch.object_reader import ObjectReader, Reading, WantedItems
from informer.listwatch.resource_request import ResourceOptions, ResourceRequest, namespaces_of
from informer.listwatch.resources import known, parse_name
from informer.listwatch.source import Source
from informer.listwatch.targets import NamedTarget, PathTarget
from informer.listwatch.watch_decoding import unwrapped_watch
from informer.objects.decode_errors import describe_decode_error
from informer.objects.entry import Skipped, Undecodable
from informer.objects.label_selector import Selector, field_selector_text, selector_text
from informer.objects.models import model_for
from informer.objects.namespaced_name import namespaced_name
from informer.objects.object import Object
from informer.protobuf.plan import UnknownFieldError
from informer.rate_limited_log import rate_limited
from watch.logs import get_logger
from watch.options import ListOptions
from watch.stream_watcher import StreamWatcher
from watch.watcher import Watcher

__all__ = ["ListWatch", "ListerWatcher", "ObjectList", "Reading", "ResourceListWatch", "ResourceOptions"]

T = TypeVar("T", default=Any)
M = TypeVar("M")

_log = get_logger(__name__)


class ListWatch(Source[T]):
    """A lister-watcher: what a `Reflector` or informer uses to list and watch one kind of object.

    Most programs make one from a resource's name or from a list method of the official client:

        ListWatch.for_resource(api_client, "deployments.apps", namespace="web")
        ListWatch.from_api(core_v1.list_namespaced_pod, namespace="web")

    The constructor takes any two functions, for objects that come from elsewhere. They raise `ApiError` (or the official
    `ApiException`) for an error answer; any other exception counts as a broken connection.

    Args:
        list_func: takes `ListOptions` and returns one page: an `ObjectList`, a list of the official client, a dict in API
            form, or any object with `items` and `resource_version`. An informer stores the items as they are.
        watch_func: takes `ListOptions` and returns a `Watcher`; None counts as a broken connection.
        supports_watch_list: whether a watch may begin with the present state (KEP-3157).

    Raises:
        TypeError: one of the functions is not callable.

    Threads: an informer calls both functions on its reader thread, or on several if it has several namespaces.

    Source: client-go tools/cache ListWatch.
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
        """Fetches one page; see `ListerWatcher.list`.

        Raises:
            TypeError: the list function did not return a page.
            Exception: what the list function raised.
        """
        return as_object_list(self._list(options))

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """Opens a watch; see `ListerWatcher.watch`. Raises what the watch function raises."""
        return self._watch(options)  # type: ignore[no-any-return]

    @overload
    @staticmethod
    def for_resource(
        api_client: Any, resource: str, *, model: None = None, **options: Unpack[ResourceOptions]
    ) -> ResourceListWatch[Object]: ...

    # The type `dict` alone does not tell mypy the types of keys and values.
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
        label_selector: Selector = None,
        field_selector: str | Mapping[str, str] | None = None,
        model: Any = None,
        metadata_only: bool = False,
        gzip: bool = False,
        wire: Literal["json", "protobuf"] = "json",
        drop_managed_fields: bool = False,
    ) -> ResourceListWatch[Any]:
        """Lists and watches a resource by its name, over HTTP.

        An informer of a resource that can be listed only, such as "pods.metrics.k8s.io", lists it every 30 to 60 seconds.

        Args:
            api_client: an `ApiClient` of `kubernetes` or `kubernetes_asyncio`, of which only the configuration, default headers
                and cookie are used; None connects as kubectl does (see `load_client`).
            resource: "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment"; custom resources work the same way.
            namespace: one namespace, a list of them, or None for the whole cluster. "" means the whole cluster too: check a
                namespace that comes from an object's field.
            label_selector: a label selector such as "app=web,tier!=db", or a mapping such as {"app": "web"}; None for all
                objects.
            field_selector: a field selector such as "spec.nodeName=node-1", or a mapping such as
                {"spec.nodeName": "node-1"}; None for all objects.
            model: the type of the objects: None for `Object`; `dict`; a msgspec.Struct, dataclass, TypedDict or pydantic
                `BaseModel` that names only the fields of interest; or an official model class such as `V1Pod`. A dict takes
                about five times the memory of an `Object`, whose `to_dict()` gives the same dict when it is needed. Handlers
                and readers share the objects with the cache: a handler that changes a dict, or a struct that is not
                frozen, changes the cache. `MutationDetector` finds such handlers in tests.
            metadata_only: whether to request the objects' metadata only. They come in protobuf where the server can, for
                custom resources, too.
            gzip: whether to request compressed answers, which is faster on slow links only.
            wire: "protobuf" requests the objects of built-in kinds in protobuf, which costs the server less, and less memory
                here: `raw` is then protobuf, `to_json()` and `to_dict()` still give the API's JSON. Kinds, servers and
                objects for which that does not work are read as JSON.
            drop_managed_fields: whether to do without `metadata.managedFields`, about a third of most objects. The server is
                asked to leave them out (KEP-5958); what it sends all the same is removed.

        Raises:
            ValueError: the name of the resource or of a namespace is malformed, the list of namespaces is empty, or `wire` has
                another value.
            TypeError: the model is not one of these types, is an official one of another kind, or has a field that the API
                does not have.
        """
        parse_name(resource)
        if wire not in ("json", "protobuf"):
            raise ValueError(f'wire must be "json" or "protobuf", not {wire!r}')
        built_in = known(resource)
        check_model_kind(model, resource, ("", "") if built_in is None else (built_in.api_version, built_in.kind))
        codec = model_for(model, None if metadata_only else schema_of(model, built_in))
        request = ResourceRequest(
            target=NamedTarget(resource, api_client),
            namespaces=namespaces_of(namespace),
            label_selector=selector_text(label_selector),
            field_selector=field_selector_text(field_selector),
            metadata_only=metadata_only,
            gzip=gzip,
            drop_managed_fields=drop_managed_fields,
            encoding=Encoding(protobuf=wire == "protobuf" or metadata_only),
        )
        return ResourceListWatch(request, Reading(codec))

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
        """Lists and watches what a list method of the official client lists, over HTTP.

        Args:
            list_method: a bound list method such as `core_v1.list_pod_for_all_namespaces`. It is called once, to learn its
                path and parameters, and sends no request.
            model: the type of the objects; see `for_resource`.
            kwargs: the method's own arguments, such as `namespace`, `label_selector` and `limit` (objects per page).

        Raises:
            TypeError: `list_method` is not a list method of the official client, or it refuses the arguments; or the model
                is an official one of another kind.
            ValueError: the namespace, or another argument that becomes a part of the path, is malformed.
        """
        for name, text in (("label_selector", selector_text), ("field_selector", field_selector_text)):
            if kwargs.get(name) is not None:
                kwargs[name] = text(kwargs[name])
        target = PathTarget.of_method(list_method, kwargs)
        built_in = target.built_in
        check_model_kind(model, target.name, ("", "") if built_in is None else (built_in.api_version, built_in.kind))
        return ResourceListWatch(ResourceRequest(target=target), Reading(model_for(model)))


class ResourceListWatch(ListWatch[T]):
    """A lister-watcher over HTTP; `ListWatch.for_resource` and `ListWatch.from_api` make it.

    Several namespaces are several lists: an informer lists and watches each by itself, and `list` and `watch` here refuse.

    Args:
        request: what is requested from the server.
        reading: how its answers are read.

    Threads: any; a call blocks until the server has answered. A cancelled `RequestScope` interrupts it.
    """

    def __init__(self, request: ResourceRequest, reading: Reading) -> None:
        self._request = request
        self._reading = reading
        self._codec = reading.codec
        self._reader = ObjectReader(request, reading)
        self._limited = rate_limited(_log)
        namespaces = request.namespaces
        self.namespaces = namespaces if namespaces and len(namespaces) > 1 else None
        # Nothing tells what a function does that changes requests or leaves out objects.
        self.can_be_bound = request.tweak is None and reading.keep is None

    @property
    def resource_name(self) -> str | None:
        """See `Source.resource_name`."""
        return self._request.target.name

    @property
    def server(self) -> str:
        """See `Source.server`."""
        return self._request.target.server

    @property
    def unwrap(self) -> Callable[[Any], Any] | None:
        """See `Source.unwrap`."""
        return None if self._codec.identity else self._codec.unwrap

    def binding(self) -> Mapping[str, str]:
        """See `Source.binding`."""
        return self._request.binding()

    @property
    def model(self) -> Any:
        """See `Source.model`."""
        return self._codec.model

    @property
    def prefers_watch_list(self) -> bool:
        """See `Source.prefers_watch_list`.

        Since Kubernetes 1.33 a server writes a list piece by piece, as it does a watch list, without holding all of it
        (KEP-5116). It takes half of the CPU time in JSON, two thirds in protobuf, a third for metadata.
        """
        return False

    def close_idle(self) -> None:
        """See `Source.close_idle`."""
        self._request.target.transport().close_idle()

    def entries(self, listed: Callable[[Any], Any] | None = None) -> Self:
        """See `Source.entries`. An object that does not decode becomes an `Undecodable`."""
        return type(self)(self._request, replace(self._reading, stored=True, listed=listed))

    def for_namespace(self, namespace: str) -> Self:
        """Returns the same list-watch for one namespace only.

        It has a target of its own. With a shared one, a namespace that lists the resource in another version would move the
        watches of the others there, and their objects would keep the old form.
        """
        request = replace(self._request, target=self._request.target.copy(), namespaces=namespaces_of(namespace))
        return type(self)(request, self._reading)

    def tweaked(self, tweak: Callable[[ListOptions], ListOptions | None]) -> Self:
        """Returns the same list-watch with a function that may change the options of each request."""
        return type(self)(replace(self._request, tweak=tweak), self._reading)

    def kept(self, keep: Callable[[Any], bool]) -> Self:
        """See `Source.kept`. The function is called before an object is converted to the user's type."""
        return type(self)(self._request, replace(self._reading, keep=keep))

    def bounded(self, *, max_line_bytes: int, max_objects: int | None) -> Self:
        """See `Source.bounded`."""
        return type(self)(self._request, replace(self._reading, max_line_bytes=max_line_bytes, max_objects=max_objects))

    def list(self, options: ListOptions) -> ObjectList[T]:
        """Fetches one page.

        Raises:
            ApiError: the server refused.
            ConnectionError: the connection broke.
            TooManyObjectsError: the page has more objects than are accepted.
            TypeError: the model is an official one of another kind.
            ValueError: the answer is not a list of the resource, or an item is too long.
        """
        try:
            return self._page(options)
        except UnknownFieldError as error:
            self._request.encoding.use_json(self._request.target.name, error)
            return self._page(options)

    def _page(self, options: ListOptions) -> ObjectList[T]:
        response = self._request.open(options, watch=False)
        reading = self._reading
        target = self._request.target
        parser = self._reader.list_parser(response)
        wanted = parser if reading.keep is None else WantedItems(parser)
        items = read_items(response, wanted, target.name, reading.max_objects)
        # The kind of a resource that is not a built-in one is known only now.
        check_model_kind(self._codec.model, target.name, target.item_type)
        if not self._request.metadata_only:
            check_kind(target.name, target.item_type[1], parser.kind)
        if not reading.stored:
            items = [seen for item in items if (seen := self._unwrap_or_log(item)) is not None]
        return list_of(items, parser.metadata)

    def watch(self, options: ListOptions) -> Watcher[T]:
        """Opens a watch.

        Raises:
            ApiError: the server refused.
            ConnectionError: the connection broke.
        """
        response = self._request.open(options, watch=True)
        watcher: StreamWatcher[Any] = StreamWatcher(self._reader.watch_decoder(response))
        return (
            watcher if self._reading.stored or self._codec.identity else unwrapped_watch(watcher, self._unwrap_or_log)
        )

    def _unwrap_or_log(self, item: Any) -> Any:
        """Returns what users see of an item. For one that does not decode it logs that, and returns None."""
        if type(item) is Undecodable:
            self._limited.error(
                "%s left out: %s does not decode (%s)",
                self.resource_name,
                namespaced_name(item.namespace, item.name) or "an object",
                describe_decode_error(item.error),
            )
            return None
        return item if type(item) is Skipped else self._codec.unwrap(item)

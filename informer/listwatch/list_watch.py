"""`ListWatch`: lists and watches through two functions, an official list method, or a resource's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, overload

import msgspec
from typing_extensions import TypeVar, Unpack

from informer.arguments import check_callable
from informer.listwatch.list_parser import ListParser, read_items
from informer.listwatch.lister_watcher import ListerWatcher, ObjectList, as_object_list, list_of
from informer.listwatch.model_checks import check_kind, check_model_kind, schema_of
from informer.listwatch.resource_request import ResourceOptions, ResourceRequest, namespaces_of
from informer.listwatch.resources import known, parse_name
from informer.listwatch.source import Source
from informer.listwatch.targets import NamedTarget, PathTarget
from informer.listwatch.watch_decoding import checked_decoder, json_heads, unwrapped_watch
from informer.objects.decode_errors import describe_decode_error
from informer.objects.entry import Undecodable
from informer.objects.json_edit import retyped
from informer.objects.label_selector import Selector, field_selector_text, selector_text
from informer.objects.models import Codec, model_for
from informer.objects.namespaced_name import namespaced_name
from informer.objects.object import Object
from informer.objects.object_fields import reason_of
from informer.rate_limited_log import rate_limited
from watch.framing import DEFAULT_MAX_LINE_BYTES
from watch.json_decoder import JSONDecoder
from watch.logs import get_logger
from watch.options import ListOptions
from watch.stream_watcher import StreamWatcher
from watch.watcher import Watcher

__all__ = ["ListWatch", "ListerWatcher", "ObjectList", "Reading", "ResourceListWatch", "ResourceOptions"]

T = TypeVar("T", default=Any)
M = TypeVar("M")

_log = get_logger(__name__)

# The type that servers give to an object of which only the metadata are requested.
_PARTIAL = ("meta.k8s.io/v1", "PartialObjectMetadata")


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
            model: the type of the objects: None for `Object`; `dict`; a msgspec.Struct, dataclass or TypedDict; or an
                official model class such as `V1Pod`.
            label_selector: a label selector such as "app=web,tier!=db"; None for all objects.
            field_selector: a field selector such as "spec.nodeName=node-1"; None for all objects.
            model: the type of the objects: None for `Object`; `dict`; a msgspec.Struct, dataclass, TypedDict or pydantic
                `BaseModel` that names only the fields of interest; or an official model class such as `V1Pod`. A dict takes
                about five times the memory of an `Object`, whose `to_dict()` gives the same dict when it is needed. Handlers
                and readers share the objects with the cache: a handler that changes a dict, or a struct that is not
                frozen, changes the cache. `MutationDetector` finds such handlers in tests.
            metadata_only: whether to request the objects' metadata only.
            gzip: whether to request compressed answers, which is faster on slow links only.

        Raises:
            ValueError: the name of the resource or of a namespace is malformed, or the list of namespaces is empty.
            TypeError: the model is not one of these types, is an official one of another kind, or has a field that the API
                does not have.
        """
        parse_name(resource)
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


@dataclass(frozen=True, slots=True)
class Reading:
    """How the answers to a `ResourceRequest` are read.

    Attributes:
        codec: converts the server's objects to the user's.
        stored: whether to return objects as an informer stores them. One that does not decode is then an
            `Undecodable`; otherwise it is logged and left out.
        listed: called with each item of a list as soon as it is parsed; its result takes the item's place. None keeps them.
        max_line_bytes: the longest event or list item that is accepted, in bytes.
        max_objects: the most items that are accepted in one page; None for no limit.
    """

    codec: Codec
    stored: bool = False
    listed: Callable[[Any], Any] | None = None
    max_line_bytes: int = DEFAULT_MAX_LINE_BYTES
    max_objects: int | None = None


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
        self._limited = rate_limited(_log)
        namespaces = request.namespaces
        self.namespaces = namespaces if namespaces and len(namespaces) > 1 else None

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
        response = self._request.open(options, watch=False)
        reading = self._reading
        target = self._request.target
        item_type = ("", "") if self._request.metadata_only else target.item_type
        parser = ListParser(self._list_item, reading.max_line_bytes, on_bad_item=_undecodable, item_type=item_type)
        items = read_items(response, parser, target.name, reading.max_objects)
        # The kind of a resource that is not a built-in one is known only now.
        check_model_kind(self._codec.model, target.name, target.item_type)
        check_kind(target.name, item_type[1], parser.kind)
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
        from_bytes = self._metadata_reader() if self._request.metadata_only else Object.from_bytes
        decode = from_bytes if self._codec.identity else lambda raw: self._wrap(from_bytes(raw))
        expected = self._expected_type()
        decoder = JSONDecoder(
            response,
            decode_object=decode,
            decode_bookmark=from_bytes,
            max_line_bytes=self._reading.max_line_bytes,
            heads=() if expected is None else json_heads(*expected),
            decode_unusual=None if expected is None else checked_decoder(*expected, decode),
        )
        watcher: StreamWatcher[Any] = StreamWatcher(decoder)
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
        return self._codec.unwrap(item)

    def _expected_type(self) -> tuple[str, str] | None:
        """The apiVersion and kind that a watch must bring; None if any will do.

        Only built-in resources are checked: a custom resource may be redefined with another kind. Without an informer
        behind the watch, an object of another type could not be reported.
        """
        if not self._reading.stored or self._request.metadata_only:
            return None
        resource = self._request.target.built_in
        return None if resource is None else (resource.api_version, resource.kind)

    def _metadata_reader(self) -> Callable[[bytes], Object]:
        """Returns a decoder of metadata-only objects: it gives them the apiVersion and kind of the resource."""
        own = self._request.target.item_type

        def decode(raw: bytes) -> Object:
            return Object.from_bytes(_with_own_type(raw, own))

        return decode

    def _list_item(self, raw: bytes, api_version: str, kind: str) -> Any:
        if self._request.metadata_only:
            api_version, kind = own = self._request.target.item_type
            raw = _with_own_type(raw, own)
        obj = Object.from_list_item(raw, api_version, kind)
        item = obj if self._codec.identity else self._wrap(obj)
        listed = self._reading.listed
        return item if listed is None else listed(item)

    def _wrap(self, obj: Object) -> Any:
        try:
            return self._codec.wrap(obj)
        # A user's type may raise anything; it concerns this one object only.
        except Exception as error:
            return Undecodable(obj.name, obj.namespace, obj.uid, obj.resource_version, obj.raw, error)


def _with_own_type(raw: bytes, own: tuple[str, str]) -> bytes:
    """Gives a metadata-only object the apiVersion and kind of its resource. Raises ValueError: it is not a JSON object."""
    try:
        return retyped(raw, _PARTIAL, own)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not a JSON object: {reason_of(error)}") from None


def _undecodable(raw: bytes, error: Exception) -> Undecodable:
    return Undecodable("", "", "", "", raw, error)

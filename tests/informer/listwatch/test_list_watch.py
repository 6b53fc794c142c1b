"""The requests of a list-watch, and how it reads the answers."""

from __future__ import annotations

import dataclasses
import gzip
import json
import threading
import time
from collections.abc import Callable
from typing import Any, TypedDict

import msgspec
import pytest
from pytest_mock import MockerFixture

from informer import ApiError, ListWatch, Object, ObjectList
from informer.errors import TooManyObjectsError
from informer.listwatch.source import Source, WrappedSource
from informer.objects.entry import Entry, Undecodable
from tests.support.waiting import PROMPT
from watch import Event, EventType, ListOptions
from watch.errors import WatchClosedError
from watch.request_scope import RequestScope

LIST = ListOptions(resource_version="0", limit=500)
WATCH = ListOptions(resource_version="7", allow_watch_bookmarks=True, timeout_seconds=300)


def pod(name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": "5"}
    return {"metadata": metadata, "spec": {"nodeName": f"node-{name}"}, **fields}


def pod_list(*names: str, **metadata: Any) -> dict[str, Any]:
    items = [pod(name) for name in names]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", **metadata}, "items": items}


class ApiServer:
    """Answers lists with one page and watches with events, and records the requests."""

    def __init__(self, serve: Any, page: Any = None, events: Any = (), **headers: str) -> None:
        self.page = pod_list("a", "b") if page is None else page
        self.events = events
        self._headers = headers
        self.server = serve(self._handle)

    def client(self) -> Any:
        return self.server.client()

    def _handle(self, request: Any, connection: Any) -> None:
        if request.query.get("watch") == "true":
            connection.begin(**self._headers)
            for event in self.events:
                connection.chunk(event)
            connection.end()
        else:
            connection.answer(self.page, **self._headers)

    @property
    def last(self) -> Any:
        return self.server.requests[-1]


def event(kind: str, obj: Any) -> dict[str, Any]:
    return {"type": kind, "object": obj}


def read(watcher: Any) -> list[Event[Any]]:
    """Returns all events of a watch."""
    events: list[Event[Any]] = []
    while True:
        try:
            events += watcher.next_batch(10)
        except WatchClosedError:
            return events


# Functions


def test_functions_get_the_options_and_their_results_are_used() -> None:
    """client-go source. A list-watch calls the two functions and does no paging itself."""
    asked: list[Any] = []
    page, watcher = ObjectList([1], "5"), object()
    made = ListWatch(lambda options: asked.append(options) or page, lambda options: asked.append(options) or watcher)
    assert made.list(LIST) is page
    assert made.watch(WATCH) is watcher
    assert asked == [LIST, WATCH]
    assert made.supports_watch_list
    assert not ListWatch(list, list, supports_watch_list=False).supports_watch_list
    assert (made.namespaces, made.resource_name) == (None, None)


@pytest.mark.parametrize(("functions", "name"), [((None, print), "list_func"), ((print, "x"), "watch_func")])
def test_functions_must_be_callable(functions: Any, name: str) -> None:
    """The constructor raises a TypeError that names the argument."""
    with pytest.raises(TypeError, match=f"{name} must be callable"):
        ListWatch(*functions)


# Requests


@pytest.mark.parametrize(
    ("resource", "namespace", "path"),
    [
        ("pods", None, "/api/v1/pods"),
        ("pods", "", "/api/v1/pods"),
        ("pods", "ns", "/api/v1/namespaces/ns/pods"),
        ("pods", ["ns"], "/api/v1/namespaces/ns/pods"),
        ("pods", ["ns", "ns"], "/api/v1/namespaces/ns/pods"),
        ("apps/v1/Deployment", None, "/apis/apps/v1/deployments"),
        ("deployments.apps", "ns", "/apis/apps/v1/namespaces/ns/deployments"),
        ("nodes", None, "/api/v1/nodes"),
    ],
)
def test_list_and_watch_use_the_resources_path(serve: Any, resource: str, namespace: Any, path: str) -> None:
    """The path is that of the whole cluster or of one namespace."""
    api = ApiServer(serve, {**pod_list("a"), "kind": "List"})
    made = ListWatch.for_resource(api.client(), resource, namespace=namespace)
    made.list(LIST)
    made.watch(WATCH).stop()
    assert [request.path for request in api.server.requests] == [path, path]


def test_lists_and_watches_have_their_options_and_selectors(serve: Any) -> None:
    """The query has every option by its wire name, and the list-watch's selectors."""
    api = ApiServer(serve)
    made = ListWatch.for_resource(api.client(), "pods", label_selector="app=web", field_selector="spec.nodeName=n1")
    made.list(LIST)
    selectors = {"labelSelector": "app=web", "fieldSelector": "spec.nodeName=n1"}
    assert api.last.query == {"resourceVersion": "0", "limit": "500", **selectors}
    made.watch(WATCH).stop()
    assert api.last.query == {
        "resourceVersion": "7",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "300",
        "watch": "true",
        **selectors,
    }
    made.list(ListOptions(continue_="C", limit=4, shard_selector="shardRange(...)"))
    assert api.last.query == {"continue": "C", "limit": "4", "shardSelector": "shardRange(...)", **selectors}


def test_selectors_of_the_options_are_added_to_its_own(serve: Any) -> None:
    """An object must match both selectors."""
    api = ApiServer(serve)
    ListWatch.for_resource(api.client(), "pods", label_selector="a=1").list(ListOptions(label_selector="b=2"))
    assert api.last.query == {"labelSelector": "a=1,b=2"}


def test_tweaked_options_are_sent(serve: Any) -> None:
    """A function may change the options of each request, or keep them by returning None."""
    api = ApiServer(serve)
    made = ListWatch.for_resource(api.client(), "pods").tweaked(
        lambda options: options.with_(label_selector="x=1") if options.limit else None
    )
    made.list(LIST)
    assert api.last.query["labelSelector"] == "x=1"
    made.watch(WATCH).stop()
    assert "labelSelector" not in api.last.query
    # Sources derived from it are tweaked too.
    made.entries().for_namespace("ns").list(LIST)
    assert (api.last.path, api.last.query["labelSelector"]) == ("/api/v1/namespaces/ns/pods", "x=1")


@pytest.mark.parametrize("metadata_only", [False, True])
def test_the_accept_header_asks_for_objects_or_their_metadata(serve: Any, metadata_only: bool) -> None:
    """Plain JSON prevents a Table; PartialObjectMetadata requests metadata only."""
    api = ApiServer(serve)
    made = ListWatch.for_resource(api.client(), "pods", metadata_only=metadata_only)
    made.list(LIST)
    of_list = api.last.headers["accept"]
    made.watch(WATCH).stop()
    of_watch = api.last.headers["accept"]
    if metadata_only:
        assert of_list == (
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        )
        assert of_watch == of_list.replace("PartialObjectMetadataList", "PartialObjectMetadata")
    else:
        assert of_list == of_watch == "application/json"


def test_a_namespace_for_a_cluster_scoped_resource_is_refused(serve: Any) -> None:
    """The error is raised before any request is sent."""
    api = ApiServer(serve)
    with pytest.raises(ValueError, match="nodes has no namespaces"):
        ListWatch.for_resource(api.client(), "nodes", namespace="ns").list(LIST)
    assert api.server.requests == []


@pytest.mark.parametrize("namespace", [[], [""], ["a", 5], ()], ids=repr)
def test_an_empty_list_of_namespaces_is_refused(namespace: Any) -> None:
    """An empty list must not mean the whole cluster."""
    with pytest.raises(ValueError, match="namespace must be"):
        ListWatch.for_resource(None, "pods", namespace=namespace)


def test_several_namespaces_are_several_lists(serve: Any) -> None:
    """The list-watch refuses to list all at once, and gives a list-watch per namespace."""
    api = ApiServer(serve)
    made = ListWatch.for_resource(api.client(), "pods", namespace=["a", "b"])
    assert made.namespaces == ("a", "b")
    for ask in (lambda: made.list(LIST), lambda: made.watch(WATCH)):
        with pytest.raises(ValueError, match="2 namespaces need a list each"):
            ask()
    made.for_namespace("b").list(LIST)
    assert api.last.path == "/api/v1/namespaces/b/pods"
    assert made.entries().namespaces == ("a", "b")


def test_malformed_resource_names_are_refused_at_once() -> None:
    """The error is raised at construction, not when the informer starts."""
    with pytest.raises(ValueError, match="is not the name of a resource"):
        ListWatch.for_resource(None, "a/b/c/d")


# The official client's methods


@pytest.fixture
def core(serve: Any) -> Any:
    """A server, and the official core API connected to it."""
    from kubernetes import client

    api = ApiServer(serve)
    return api, client.CoreV1Api(api.client())


def test_the_path_of_a_list_method_is_used(core: Any) -> None:
    """The list-watch sends the request that the official method would send."""
    api, core_v1 = core
    made = ListWatch.from_api(core_v1.list_namespaced_pod, namespace="a", label_selector="x=1", pretty="true")
    assert api.server.requests == []
    assert made.list(LIST).resource_version == "7"
    assert api.last.query["labelSelector"] == "x=1"
    assert api.last.query["pretty"] == "true"
    assert api.last.target.startswith("/api/v1/namespaces/a/pods?")
    made.watch(WATCH).stop()
    assert api.last.query["watch"] == "true"
    assert made.resource_name == "pods"


@pytest.mark.parametrize("suffix", ["", "_with_http_info"])
def test_every_variant_of_a_list_method_is_accepted(core: Any, suffix: str) -> None:
    """The variant that returns HTTP information is accepted too."""
    api, core_v1 = core
    ListWatch.from_api(getattr(core_v1, f"list_node{suffix}")).list(LIST)
    assert api.last.path == "/api/v1/nodes"


def test_custom_objects_are_listed_too(core: Any) -> None:
    """Group, version and plural are parts of the path."""
    from kubernetes import client

    api, core_v1 = core
    custom = client.CustomObjectsApi(core_v1.api_client)
    made = ListWatch.from_api(
        custom.list_namespaced_custom_object, group="example.com", version="v1", namespace="ns", plural="widgets"
    )
    made.list(LIST)
    assert api.last.path == "/apis/example.com/v1/namespaces/ns/widgets"


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        pytest.param(ListOptions(limit=500), "7", id="instead-of-the-default"),
        pytest.param(ListOptions(continue_="C", limit=500), "7", id="on-each-page"),
        pytest.param(ListOptions(resource_version="10"), None, id="not-where-there-is-none"),
    ],
)
def test_the_callers_limit_replaces_the_page_size(core: Any, options: ListOptions, limit: str | None) -> None:
    """client-go source. A request for the whole list gets no limit."""
    api, core_v1 = core
    ListWatch.from_api(core_v1.list_node, limit=7).list(options)
    assert api.last.query.get("limit") == limit


@pytest.mark.parametrize(
    "argument", ["watch", "resource_version", "resource_version_match", "_continue", "send_initial_events"]
)
def test_arguments_that_the_informer_sets_are_refused(core: Any, argument: str) -> None:
    """With a fixed version or token the watch could not continue the list."""
    _, core_v1 = core
    with pytest.raises(TypeError, match=f"{argument} is set by the informer"):
        ListWatch.from_api(core_v1.list_node, **{argument: "1"})


@pytest.mark.parametrize("arguments", [{}, {"namespace": None}, {"namespace": "ns", "nonsense": 1}], ids=repr)
def test_arguments_that_a_method_refuses_raise_at_once(core: Any, arguments: Any) -> None:
    """A missing or unknown argument is a TypeError at construction."""
    _, core_v1 = core
    with pytest.raises(TypeError, match="list_namespaced_pod refused its arguments"):
        ListWatch.from_api(core_v1.list_namespaced_pod, **arguments)


@pytest.mark.parametrize("what", ["read", "function", "nothing", "partial", "mock"])
def test_other_callables_than_list_methods_are_refused(core: Any, what: str, mocker: MockerFixture) -> None:
    """The message gives an example of a list method. A mock of one has no path: informers send requests of their own."""
    _, core_v1 = core
    method: Any = {
        "read": core_v1.read_node,
        "function": print,
        "nothing": None,
        "partial": "list_node",
        "mock": mocker.create_autospec(core_v1.list_node),
    }[what]
    with pytest.raises(TypeError, match="is not a list method of the official client"):
        ListWatch.from_api(method)


# Lists


def test_items_are_objects_with_the_kind_of_their_list(serve: Any) -> None:
    """Items without kind and apiVersion get those of the list, without "List"."""
    page = ListWatch.for_resource(ApiServer(serve).client(), "pods").list(LIST)
    assert [(item.name, item.kind, item.api_version) for item in page.items] == [("a", "Pod", "v1"), ("b", "Pod", "v1")]
    assert (page.resource_version, page.continue_, page.remaining_item_count, page.shard_selector) == (
        "7",
        None,
        None,
        None,
    )


def test_items_before_their_lists_kind_get_that_of_the_resource(serve: Any) -> None:
    """Some servers write the keys of a list in alphabetical order."""
    body = {key: pod_list("a")[key] for key in sorted(pod_list("a"))}
    (item,) = ListWatch.for_resource(ApiServer(serve, body).client(), "pods").list(LIST).items
    assert (item.kind, item.api_version) == ("Pod", "v1")


def test_a_page_has_the_lists_metadata(serve: Any) -> None:
    """Token, count and shard are read; values of an unexpected type are ignored."""
    body = pod_list("a", **{"continue": "C", "remainingItemCount": 3, "shardInfo": {"selector": "s"}})
    page = ListWatch.for_resource(ApiServer(serve, body).client(), "pods").list(LIST)
    assert (page.continue_, page.remaining_item_count, page.shard_selector) == ("C", 3, "s")
    odd = pod_list("a", **{"continue": 5, "remainingItemCount": "x", "shardInfo": []})
    page = ListWatch.for_resource(ApiServer(serve, odd).client(), "pods").list(LIST)
    assert (page.continue_, page.remaining_item_count, page.shard_selector) == (None, None, None)


@pytest.mark.parametrize("wanted", [False, True])
def test_a_compressed_list_is_read(serve: Any, wanted: bool) -> None:
    """A list is decompressed if gzip was requested, and refused otherwise."""
    body = gzip.compress(json.dumps(pod_list("a", "b")).encode())
    api = ApiServer(serve, body, Content_Encoding="gzip")
    pods = ListWatch.for_resource(api.client(), "pods", gzip=wanted)
    if wanted:
        assert [item.name for item in pods.list(LIST).items] == ["a", "b"]
    else:
        with pytest.raises(ApiError, match="the encoding 'gzip', which was not requested"):
            pods.list(LIST)
    assert api.last.headers["accept-encoding"] == ("gzip" if wanted else "identity")


@pytest.mark.parametrize(
    ("body", "headers", "error", "message"),
    [
        pytest.param(b"<html>login</html>", {}, ValueError, "not a list in JSON", id="html"),
        pytest.param({"kind": "Status", "message": "no"}, {}, ValueError, "answered with a Status", id="status"),
        pytest.param(
            {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": []},
            {},
            ValueError,
            "unsupported list gvk",
            id="table",
        ),
        pytest.param(b"no gzip", {"Content_Encoding": "gzip"}, ApiError, "encoding 'gzip', which was not", id="gzip"),
    ],
)
def test_an_answer_that_is_not_a_list_is_a_failure(
    serve: Any, body: Any, headers: Any, error: type[Exception], message: str
) -> None:
    """It must not be read as an empty list."""
    with pytest.raises(error, match=message):
        ListWatch.for_resource(ApiServer(serve, body, **headers).client(), "pods").list(LIST)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_list_that_breaks_off_is_a_broken_connection(serve: Any, chunked: bool, cut: float) -> None:
    """An incomplete list is an error, not a shorter list."""
    body = json.dumps(pod_list(*map(str, range(50)))).encode()

    def handler(request: Any, connection: Any) -> None:
        part = body[: int(len(body) * cut)]
        if chunked:
            connection.begin()
            connection.chunk(part)
        else:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), part))
        connection.cut()

    with pytest.raises(ConnectionError, match="failed to list pods: the connection broke"):
        ListWatch.for_resource(serve(handler).client(), "pods").list(LIST)


def test_a_truncated_list_with_a_proper_end_is_refused(serve: Any) -> None:
    """A proxy may truncate a body and end it as if it were complete."""
    body = json.dumps(pod_list("a", "b")).encode()[:-40]
    with pytest.raises(ValueError, match="the server's list ended within its items"):
        ListWatch.for_resource(ApiServer(serve, body).client(), "pods").list(LIST)


def test_a_list_that_stands_still_is_given_up(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that goes silent in the middle of a list is a broken connection."""
    monkeypatch.setattr("informer.transport.response_body.SILENCE", 0.05)

    def handler(request: Any, connection: Any) -> None:
        connection.begin()
        connection.chunk(b'{"kind":"PodList"')
        connection.hang()

    with pytest.raises(ConnectionError, match="failed to list pods: the server sent nothing for"):
        ListWatch.for_resource(serve(handler).client(), "pods").list(LIST)


def test_pages_use_one_connection(serve: Any) -> None:
    """A list read to its end leaves its connection to the next page."""
    api = ApiServer(serve)
    made = ListWatch.for_resource(api.client(), "pods")
    for _ in range(5):
        made.list(LIST)
    assert api.server.connections == 1


def test_an_item_that_does_not_decode_is_left_out(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Users get the other items; an informer gets an `Undecodable` in its place."""
    body = json.dumps(pod_list("a", "X", "b")).encode().replace(b'"name": "X"', b'"name": "\xff"')
    made = ListWatch.for_resource(ApiServer(serve, body).client(), "pods")
    assert [item.name for item in made.list(LIST).items] == ["a", "b"]
    assert "does not decode" in caplog.text
    stored = made.entries().list(LIST).items
    assert [type(item) for item in stored] == [Object, Undecodable, Object]


FORMS: dict[str, Callable[[Source[Any]], Source[Any]]] = {
    "itself": lambda source: source,
    "entries": lambda source: source.entries(),
    "listed": lambda source: source.entries(lambda item: item),
    "one namespace": lambda source: source.for_namespace("ns"),
    "wrapped": WrappedSource,
}


@pytest.mark.parametrize("derive", FORMS.values(), ids=FORMS.keys())
def test_a_list_is_bounded(serve: Any, derive: Callable[[Source[Any]], Source[Any]]) -> None:
    """`max_line_bytes` limits each item and `max_objects` each page, in every source derived from a bounded one."""
    made = ListWatch.for_resource(ApiServer(serve, pod_list("a", "b", "c")).client(), "pods")
    assert len(derive(made.bounded(max_line_bytes=1000, max_objects=3)).list(LIST).items) == 3
    with pytest.raises(ValueError, match="more than 20 bytes"):
        derive(made.bounded(max_line_bytes=20, max_objects=None)).list(LIST)
    with pytest.raises(TooManyObjectsError, match="more than 2 objects"):
        derive(made.bounded(max_line_bytes=1000, max_objects=2)).list(LIST)


@pytest.mark.parametrize("derive", FORMS.values(), ids=FORMS.keys())
def test_wrapped_sources_pass_bounds_on(serve: Any, derive: Callable[[Source[Any]], Source[Any]]) -> None:
    """`bounded` on a wrapper bounds the wrapped source."""
    made = derive(ListWatch.for_resource(ApiServer(serve, pod_list("a", "b", "c")).client(), "pods"))
    with pytest.raises(TooManyObjectsError, match="more than 2 objects"):
        made.bounded(max_line_bytes=1000, max_objects=2).list(LIST)


def test_a_source_without_bounds_is_its_own_bounded_source() -> None:
    """A list-watch of two functions has no answers to bound."""
    made = ListWatch(lambda _: ObjectList([], "1"), lambda _: None)
    assert made.bounded(max_line_bytes=1, max_objects=1) is made


def test_a_cancelled_scope_ends_a_list(serve: Any, run: Any) -> None:
    """A list ends within half a second, even in the middle of an item."""
    there = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        connection.begin()
        connection.chunk(b'{"items":[{"a":"')
        there.set()
        connection.hang()

    made, scope = ListWatch.for_resource(serve(handler).client(), "pods"), RequestScope()

    def ask() -> None:
        with scope:
            made.list(LIST)

    task = run(ask)
    assert there.wait(10)
    begun = time.monotonic()
    scope.cancel()
    with pytest.raises(ConnectionError):
        task.result()
    assert time.monotonic() - begun < PROMPT


# Watches


def test_events_are_objects(serve: Any) -> None:
    """A watch gives the types, the objects, a bookmark with metadata only, and an error's Status."""
    events = [
        event("ADDED", {"kind": "Pod", "apiVersion": "v1", **pod("a")}),
        event("MODIFIED", pod("a")),
        event("DELETED", pod("a")),
        event("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}}),
        event("ERROR", {"kind": "Status", "code": 410}),
    ]
    read_events = read(ListWatch.for_resource(ApiServer(serve, events=events).client(), "pods").watch(WATCH))
    assert [each.type for each in read_events] == list(EventType)
    assert all(type(each.object) is Object for each in read_events[:4])
    assert read_events[3].object.resource_version == "9"
    assert read_events[4].object == {"kind": "Status", "code": 410}


def test_a_refused_watch_is_an_api_error(serve: Any) -> None:
    """A 410 as HTTP status of a watch is an ApiError."""

    def handler(request: Any, connection: Any) -> None:
        connection.answer({"kind": "Status", "code": 410, "reason": "Expired"}, 410)

    with pytest.raises(ApiError) as caught:
        ListWatch.for_resource(serve(handler).client(), "pods").watch(WATCH)
    assert caught.value.is_expired


def test_an_event_that_is_too_long_is_an_error_event(serve: Any) -> None:
    """`max_line_bytes` limits the events of a watch as well."""
    made = ListWatch.for_resource(ApiServer(serve, events=[event("ADDED", pod("a" * 100))]).client(), "pods")
    (error,) = read(made.bounded(max_line_bytes=50, max_objects=None).watch(WATCH))
    assert error.type is EventType.ERROR
    assert "more than 50 bytes" in error.object["message"]


# Models


class PodStruct(msgspec.Struct):
    spec: dict[str, str]


@dataclasses.dataclass
class Spec:
    node_name: str


@dataclasses.dataclass
class PodDataclass:
    spec: Spec


class PodTyped(TypedDict):
    spec: dict[str, str]


@pytest.mark.parametrize(
    ("model", "node_of"),
    [
        pytest.param(None, lambda obj: obj["spec"]["nodeName"], id="object"),
        pytest.param(dict, lambda obj: obj["spec"]["nodeName"], id="dict"),
        pytest.param(PodStruct, lambda obj: obj.spec["nodeName"], id="struct"),
        pytest.param(PodDataclass, lambda obj: obj.spec.node_name, id="dataclass"),
        pytest.param(PodTyped, lambda obj: obj["spec"]["nodeName"], id="typed-dict"),
        pytest.param("V1Pod", lambda obj: obj.spec.node_name, id="official"),
    ],
)
def test_lists_and_watches_give_the_users_own_type(serve: Any, model: Any, node_of: Any) -> None:
    """A list, a watch and a watch's channel give objects of the model's type."""
    if model == "V1Pod":
        from kubernetes import client

        model = client.V1Pod
    full = {"kind": "Pod", "apiVersion": "v1", **pod("a")}
    if model is not None and getattr(model, "openapi_types", None):
        full["spec"] = {"nodeName": "node-a", "containers": []}
    body = {**pod_list(), "items": [full]}
    api = ApiServer(serve, body, [event("ADDED", full), event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})])
    made = ListWatch.for_resource(api.client(), "pods", model=model)
    (item,) = made.list(LIST).items
    assert node_of(item) == "node-a"
    added, bookmark = read(made.watch(WATCH))
    assert node_of(added.object) == "node-a"
    assert bookmark.object.resource_version == "9"
    with made.watch(WATCH) as watcher:
        assert [each.type for each in watcher] == ["ADDED", "BOOKMARK"]


def test_objects_that_do_not_fit_a_model_are_left_out_and_logged(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Users get the other objects; an informer gets an `Undecodable` with the object's name."""
    bad = {**pod("bad"), "spec": {"nodeName": 5}}
    body = {**pod_list("a"), "items": [bad, pod("a")]}
    made = ListWatch.for_resource(
        ApiServer(serve, body, [event("ADDED", bad), event("ADDED", pod("a"))]).client(), "pods", model=PodStruct
    )
    assert [item.spec["nodeName"] for item in made.list(LIST).items] == ["node-a"]
    assert [each.object.spec["nodeName"] for each in read(made.watch(WATCH))] == ["node-a"]
    assert "ns/bad does not decode" in caplog.text
    for items in (made.entries().list(LIST).items, [each.object for each in read(made.entries().watch(WATCH))]):
        assert [type(item) for item in items] == [Undecodable, Entry]
        assert (items[0].name, items[0].uid, items[0].resource_version) == ("bad", "u-bad", "5")


def test_fields_that_the_api_does_not_have_are_refused() -> None:
    """The constructor raises a TypeError: a misspelt field would always be empty."""

    class Misspelt(msgspec.Struct):
        spce: dict[str, str]

    with pytest.raises(TypeError, match="did you mean 'spec'"):
        ListWatch.for_resource(None, "pods", model=Misspelt)


# Resources that are created and deleted


def test_a_resource_is_resolved_again_after_a_404(serve: Any) -> None:
    """A CRD may be deleted during a watch and created again in another version."""
    versions = ["v1alpha1"]

    def handler(request: Any, connection: Any) -> None:
        version = versions[-1]
        if request.path == "/apis":
            group = {
                "name": "example.com",
                "versions": [{"version": version}],
                "preferredVersion": {"version": version},
            }
            connection.answer({"groups": [group]})
        elif request.path == f"/apis/example.com/{version}":
            entry = {"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["list"]}
            connection.answer({"resources": [entry]})
        elif request.path == f"/apis/example.com/{version}/widgets":
            connection.answer({"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": version}}]})
        else:
            connection.answer(b"404 page not found\n", 404)

    made = ListWatch.for_resource(serve(handler).client(), "widgets.example.com")
    (item,) = made.list(LIST).items
    assert (item.name, item.kind, item.api_version) == ("v1alpha1", "Widget", "example.com/v1alpha1")
    versions.append("v1")
    with pytest.raises(ApiError) as caught:
        made.list(LIST)
    assert caught.value.status == 404
    assert [item.name for item in made.list(LIST).items] == ["v1"]
    assert made.resource_name == "widgets.example.com"

"""The factory: one informer per resource and selection, however the resource is named."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client

from informer import (
    IndexConflictError,
    InformerError,
    Object,
    SharedInformer,
    SharedInformerFactory,
    meta_namespace_index,
)
from informer.shared.factory_request import FactoryRequest
from tests.support.waiting import DEADLINE


@dataclasses.dataclass
class Labels:
    """A user's model."""

    metadata: dict[str, Any]


@pytest.fixture
def api_client() -> client.ApiClient:
    """A client of a server that does not exist: nothing listens on this port."""
    return client.ApiClient(client.Configuration(host="http://127.0.0.1:9"))


@pytest.fixture
def make_factory(api_client: client.ApiClient) -> Iterator[Callable[..., SharedInformerFactory]]:
    """Makes factories that are shut down when the test is over."""
    made: list[SharedInformerFactory] = []

    def make(**options: Any) -> SharedInformerFactory:
        made.append(SharedInformerFactory(api_client, **options))
        return made[-1]

    yield make
    for factory in made:
        factory.shutdown()


def transform(obj: Any) -> Any:
    return obj


def test_the_same_request_returns_the_same_informer(make_factory: Any, api_client: Any) -> None:
    """client-go source. A resource has one informer, whether it is named by plural, kind, version or list method."""
    factory = make_factory()
    core, apps = client.CoreV1Api(api_client), client.AppsV1Api(api_client)
    pods = factory.informer("pods")
    for again in ("pods", "pod", "po", "v1/pods", "v1/Pod", core.list_pod_for_all_namespaces):
        assert factory.informer(again) is pods
    assert factory.informer("pods", namespace="") is pods
    assert factory.informer("pods", model=Object) is pods
    in_namespace = factory.informer("pods", namespace="ns")
    assert in_namespace is not pods
    assert factory.informer(core.list_namespaced_pod, namespace="ns") is in_namespace
    assert factory.informer("v1/Pod", namespace=["ns"]) is in_namespace
    typed = factory.informer(client.V1Pod)
    assert typed is not pods
    assert factory.informer("pods", model=client.V1Pod) is typed
    deployments = factory.informer("deployments.apps")
    for again in ("deployments", "apps/v1/Deployment", apps.list_deployment_for_all_namespaces):
        assert factory.informer(again) is deployments
    several = factory.informer("pods", namespace=["a", "b"])
    assert factory.informer("pods", namespace=("b", "a", "b")) is several
    assert factory.informer("nodes") is factory.informer(core.list_node)
    assert factory.informer("things.example.com") is factory.informer("things.example.com")


@pytest.mark.parametrize(
    "options",
    [
        {"namespace": "ns"},
        {"namespace": ["a", "b"]},
        {"label_selector": "a=b"},
        {"field_selector": "spec.nodeName=n"},
        {"model": dict},
        {"model": Labels},
        {"metadata_only": True},
        {"transform": transform},
    ],
    ids=lambda options: "-".join(f"{key}={getattr(value, '__name__', value)}" for key, value in options.items()),
)
def test_a_different_request_makes_another_informer(make_factory: Any, options: dict[str, Any]) -> None:
    """Whatever changes the contents of the cache makes another informer, which is shared as well."""
    factory = make_factory()
    other = factory.informer("pods", **options)
    assert other is not factory.informer("pods")
    assert factory.informer("pods", **options) is other


def test_a_model_class_selects_the_group_in_its_name(make_factory: Any) -> None:
    """CoreV1Event and EventsV1Event are two resources of the same kind; ResourceV1ResourceClaim is a resource too."""
    factory = make_factory()
    assert factory.informer(client.CoreV1Event) is factory.informer("v1/events", model=client.CoreV1Event)
    events = factory.informer(client.EventsV1Event)
    assert events is factory.informer("events.events.k8s.io", model=client.EventsV1Event)
    if hasattr(client, "ResourceV1ResourceClaim"):  # from version 34 of the official client on
        claims = factory.informer(client.ResourceV1ResourceClaim)
        assert claims is factory.informer("ResourceClaim", model=client.ResourceV1ResourceClaim)


def test_another_cluster_is_another_informer(make_factory: Any) -> None:
    """A list method uses its own client, not the factory's."""
    factory = make_factory()
    elsewhere = client.CoreV1Api(client.ApiClient(client.Configuration(host="http://127.0.0.1:8")))
    other = factory.informer(elsewhere.list_pod_for_all_namespaces)
    assert other is not factory.informer("pods")
    assert factory.informer(elsewhere.list_pod_for_all_namespaces) is other


def test_the_factorys_options_are_the_informers_defaults(make_factory: Any, api_client: Any) -> None:
    """client-go source. An informer has the factory's namespace, transform and resync period, unless it has its own."""
    core = client.CoreV1Api(api_client)
    factory = make_factory(namespace="ns", transform=transform, resync_period=30)
    pods = factory.informer("pods")
    assert factory.informer("pods", namespace="ns", transform=transform) is pods
    assert factory.informer("pods", namespace="") is not pods
    assert factory.informer("pods", transform=lambda obj: obj) is not pods
    assert factory.informer(core.list_namespaced_pod) is pods
    assert factory.informer("nodes") is factory.informer(core.list_node)
    services = factory.informer("services", resync_period=5)
    assert pods.add_event_handler(on_add=print).subscription.resync.requested == 30
    assert services.add_event_handler(on_add=print).subscription.resync.requested == 5


def test_a_transform_need_not_be_hashable(make_factory: Any) -> None:
    """Then only the very same transform is the same request."""

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, obj: Any) -> Any:
            return obj

    factory, one, two = make_factory(), Unhashable(), Unhashable()
    assert factory.informer("pods", transform=one) is factory.informer("pods", transform=one)
    assert factory.informer("pods", transform=one) is not factory.informer("pods", transform=two)


def test_indexers_that_are_missing_are_added(make_factory: Any) -> None:
    """A second request adds its indexers; another function of the same name is a conflict."""
    factory = make_factory()
    informer = factory.informer("pods", indexers={"namespace": meta_namespace_index})
    function = lambda obj: [obj.name]  # noqa: E731
    assert factory.informer("pods", indexers={"namespace": meta_namespace_index, "name": function}) is informer
    assert set(informer.indexer.indexers) == {"namespace", "name"}
    with pytest.raises(IndexConflictError):
        factory.informer("pods", indexers={"name": lambda obj: []})


# Life


def test_start_starts_what_was_not_started(make_factory: Any) -> None:
    """client-go source. It may be called again for informers that were added since."""
    factory = make_factory()
    first = factory.informer("pods")
    assert not first.is_started()
    factory.start()
    assert first.is_started()
    second = factory.informer("services")
    assert not second.is_started()
    factory.start()
    assert second.is_started()


def test_a_factory_that_was_shut_down_makes_and_starts_nothing(make_factory: Any) -> None:
    """client-go source. Its informers have ended, and the error says "stopped"."""
    factory = make_factory()
    informers = [factory.informer("pods"), factory.informer("services")]
    factory.start()
    assert factory.shutdown(DEADLINE) is True
    assert all(informer.is_stopped() for informer in informers)
    with pytest.raises(RuntimeError, match="stopped"):
        factory.informer("pods")
    with pytest.raises(RuntimeError, match="stopped"):
        factory.start()
    assert factory.shutdown() is True


def test_with_starts_and_shuts_down(make_factory: Any) -> None:
    """The block runs with started informers."""
    factory = make_factory()
    informer = factory.informer("pods")
    with factory as entered:
        assert entered is factory
        assert informer.is_started()
    assert informer.is_stopped()


def test_the_time_out_of_a_shutdown_is_for_all_informers_together(make_factory: Any) -> None:
    """Hanging handlers of several informers cost the time-out once."""
    factory = make_factory()
    go, entered = threading.Event(), threading.Semaphore(0)

    def hang(obj: Any) -> None:
        entered.release()
        go.wait(DEADLINE)

    informers = [factory.informer("pods", label_selector=f"n={number}") for number in range(5)]
    for informer in informers:
        informer.add_event_handler(on_add=hang)
        informer.indexer.add(Object.from_dict({"metadata": {"name": "a"}}))
        informer.start()
        informer.add_event_handler(on_add=hang)
        assert entered.acquire(timeout=DEADLINE)
    timer = threading.Timer(1.5, go.set)
    timer.start()
    assert factory.shutdown(0.2) is False
    assert not go.is_set()
    go.set()
    timer.cancel()
    timer.join(DEADLINE)
    assert factory.shutdown(DEADLINE) is True


def test_a_removed_informer_is_made_anew(make_factory: Any) -> None:
    """It is stopped, the next request makes a new one, and removing twice is harmless."""
    factory = make_factory()
    informer = factory.informer("pods")
    factory.start()
    factory.remove_informer(informer)
    factory.remove_informer(informer)
    assert informer.is_stopped()
    again = factory.informer("pods")
    assert again is not informer
    factory.start()
    assert again.is_started()


def test_a_stopped_informer_is_made_anew(make_factory: Any) -> None:
    """The next request does not return an informer that was stopped."""
    factory = make_factory()
    informer = factory.informer("pods")
    informer.stop()
    assert factory.informer("pods") is not informer


def test_only_started_informers_are_waited_for(make_factory: Any) -> None:
    """client-go source. The result says for each whether it has synced; others do not delay those that are started."""
    factory = make_factory()
    assert factory.wait_for_cache_sync() == {}
    started, stopped = factory.informer("pods"), factory.informer("services")
    factory.start()
    forgotten = factory.informer("nodes")
    stopped.stop()
    assert factory.wait_for_cache_sync(0.02) == {started: False, stopped: False, forgotten: False}
    assert factory.wait_for_cache_sync(0) == {started: False, stopped: False, forgotten: False}


def test_a_forgotten_start_is_not_taken_for_a_sync(make_factory: Any) -> None:
    """The informers that are not started have not synced, and their error says what to do; the wait ends at once."""
    factory = make_factory()
    informer = factory.informer("pods")
    assert factory.wait_for_cache_sync() == {informer: False}
    assert str(informer.sync_error()) == "informer pods is not started: call start(), or use it in a `with` block"
    with pytest.raises(InformerError, match="not started"):
        informer.wait_for_sync(raise_on_error=True)


def test_a_stop_event_ends_the_wait(make_factory: Any, run: Any) -> None:
    """client-go source. It ends the wait for all informers at once."""
    factory = make_factory()
    informers = [factory.informer(resource) for resource in ("pods", "services")]
    factory.start()
    stop = threading.Event()
    waiting = run(lambda: factory.wait_for_cache_sync(stop=stop))
    assert not waiting.ends_within(0.05)
    stop.set()
    assert waiting.result() == dict.fromkeys(informers, False)
    assert factory.wait_for_cache_sync(stop=stop) == dict.fromkeys(informers, False)


def test_concurrent_requests_return_the_same_informer(make_factory: Any) -> None:
    """However many threads request it, one informer is made."""
    factory = make_factory()
    found: list[SharedInformer[Any]] = []
    threads = [threading.Thread(target=lambda: found.append(factory.informer("pods"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(found) == 20
    assert len(set(found)) == 1


# What is refused


@pytest.mark.parametrize(
    ("resource", "options", "error", "text"),
    [
        ("a/b/c/d", {}, ValueError, "is not the name of a resource"),
        (3, {}, TypeError, "a resource is a name such as 'pods'"),
        (print, {}, TypeError, "is not a list method of the official client"),
        (dict, {}, TypeError, "dict is not an official model class of a resource"),
        (client.V1PodSpec, {}, TypeError, "V1PodSpec is not an official model class of a resource"),
        (client.V1PodTemplateSpec, {}, TypeError, "V1PodTemplateSpec is not an official model class of a resource"),
        ("pods", {"resync": 5}, TypeError, "an informer has no option resync"),
        ("pods", {"namespace": []}, ValueError, "namespace must be"),
        ("pods", {"namespace": [""]}, ValueError, "namespace must be"),
        ("nodes", {"namespace": "ns"}, ValueError, "nodes has no namespaces"),
        ("pods", {"model": 3}, TypeError, "model must be"),
        ("pods", {"queue": "odd"}, ValueError, "queue must be"),
        ("list_pod_for_all_namespaces", {"namespace": "ns"}, ValueError, "is not limited to namespace='ns'"),
        ("list_node", {"namespace": "ns"}, ValueError, "is not limited to namespace='ns'"),
        ("list_namespaced_pod", {"namespace": ["a", "b"]}, ValueError, "lists one namespace"),
        ("list_namespaced_pod", {"namespace": []}, ValueError, "lists one namespace"),
        ("list_namespaced_pod", {}, TypeError, "refused its arguments"),
        ("list_pod_for_all_namespaces", {"metadata_only": True}, TypeError, "metadata_only needs the resource"),
    ],
)
def test_invalid_requests_are_refused(
    make_factory: Any, api_client: Any, resource: Any, options: Any, error: Any, text: str
) -> None:
    """The message says what is wrong, and no informer is made."""
    if isinstance(resource, str) and resource.startswith("list_"):
        resource = getattr(client.CoreV1Api(api_client), resource)
    factory = make_factory()
    with pytest.raises(error, match=text):
        factory.informer(resource, **options)
    assert factory._informers == {}


def test_a_method_for_all_namespaces_is_too_much_for_a_factory_of_one(make_factory: Any, api_client: Any) -> None:
    """A factory's namespace is not silently widened."""
    factory = make_factory(namespace="ns")
    with pytest.raises(ValueError, match="is not limited to namespace='ns'"):
        factory.informer(client.CoreV1Api(api_client).list_pod_for_all_namespaces)


def test_a_factory_of_several_namespaces_needs_names(make_factory: Any, api_client: Any) -> None:
    """A list method lists one namespace; the resource's name lists them all."""
    factory = make_factory(namespace=["a", "b"])
    with pytest.raises(ValueError, match="lists one namespace"):
        factory.informer(client.CoreV1Api(api_client).list_namespaced_pod)
    assert factory.informer("pods") is factory.informer("pods", namespace=["b", "a"])


def test_namespace_and_selectors_reach_the_list_watch(api_client: Any) -> None:
    """However the resource is named."""
    for resource in ("pods", client.CoreV1Api(api_client).list_namespaced_pod):
        request = FactoryRequest(
            api_client,
            resource,
            namespace="ns",
            of_factory=None,
            label_selector="a=b",
            field_selector="c=d",
            model=None,
            metadata_only=False,
        )
        assert request.list_watch().resource_name == "pods"


def test_options_that_come_too_late_are_logged(make_factory: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A second request returns the existing informer; differing options are logged and ignored, indexers are added."""
    factory = make_factory()
    made = factory.informer("pods", page_size=100)
    with caplog.at_level("WARNING", "informer.shared.factory"):
        assert factory.informer("pods", page_size=100, indexers={"namespace": meta_namespace_index}) is made
        assert caplog.messages == []
        assert factory.informer("pods", queue="delta", page_size=200) is made
    assert caplog.messages == ["informer pods exists already with other options: page_size, queue has no effect"]

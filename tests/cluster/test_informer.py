"""An informer of a real kube-apiserver gets every write, complete, in order and once."""

from __future__ import annotations

import random

import msgspec
import pytest
from kubernetes import client

from informer import ListWatch, SharedInformer, SharedInformerFactory
from watch import Channel, ListOptions

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


class Metadata(msgspec.Struct):
    name: str
    labels: dict[str, str] = {}


class SlimPod(msgspec.Struct):
    metadata: Metadata


# How a test reads the name and a label of an object of each model.
MODELS = {
    "object": (None, lambda pod: (pod.name, pod.labels.get("color"))),
    "dict": (dict, lambda pod: (pod["metadata"]["name"], pod["metadata"].get("labels", {}).get("color"))),
    "struct": (SlimPod, lambda pod: (pod.metadata.name, pod.metadata.labels.get("color"))),
    "official": (client.V1Pod, lambda pod: (pod.metadata.name, (pod.metadata.labels or {}).get("color"))),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("queue", ["in_order", "delta"])
@pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])
def test_handler_gets_every_add_change_and_delete(namespace, informers, model, queue, watch_list):
    """The handler gets each add, change and delete of a pod once, with the state before and after."""
    model_type, read = MODELS[model]
    namespace.create_pods("a", "b", color="red")
    seen = Channel(None)
    informer = SharedInformer(namespace.list_watch(model=model_type), queue=queue, watch_list=watch_list)
    informer.add_event_handler(
        on_add=lambda obj, *, is_in_initial_list: seen.put(("add", *read(obj), is_in_initial_list)),
        on_update=lambda old, new: seen.put(("update", *read(old), *read(new)[1:])),
        on_delete=lambda obj, *, final_state_unknown: seen.put(("delete", *read(obj), final_state_unknown)),
    )
    with informer:
        assert informer.wait_for_sync(20)
        assert sorted(seen.get(10) for _ in range(2)) == [("add", "a", "red", True), ("add", "b", "red", True)]
        namespace.label_pod("a", color="green")
        namespace.label_pod("a", color=None)
        namespace.delete_pod("b")
        namespace.create_pods("b", color="blue")
        assert [seen.get(10) for _ in range(5)] == [
            ("update", "a", "red", "green"),
            ("update", "a", "green", None),
            ("update", "b", "red", "red"),  # a pod is marked for deletion first
            ("delete", "b", "red", False),
            ("add", "b", "blue", False),
        ]
        assert sorted(read(obj) for obj in informer.store.list()) == [("a", None), ("b", "blue")]
        reflector = informers.reflector(informer)
        assert (reflector.lists, reflector.watch_lists) == ((0, 1) if watch_list else (1, 0))
    assert len(seen) == 0


@pytest.mark.parametrize("queue", ["in_order", "delta"])
def test_cache_is_right_with_concurrent_writers(namespace, informers, queue):
    """Four writers at once: the handler's calls add up without gaps, and the cache equals the list."""
    names = [f"pod-{i}" for i in range(20)]
    namespace.create_pods(*names)
    replayed, faults = {}, []

    def on_add(obj):
        if obj.name in replayed:
            faults.append(("added twice", obj.name))
        replayed[obj.name] = obj.resource_version

    def on_update(old, new):
        if replayed.get(old.name) != old.resource_version:
            faults.append(("update from an unknown state", old.name))
        replayed[new.name] = new.resource_version

    def on_delete(obj):
        if replayed.pop(obj.name, None) is None:
            faults.append(("deleted twice", obj.name))

    def write(name):
        for count in range(8):
            namespace.label_pod(name, count=str(count))
        if random.random() < 0.5:
            namespace.delete_pod(name)
            if random.random() < 0.5:
                namespace.create_pods(name)

    informer = informers.start(namespace.list_watch(), queue=queue)
    registration = informer.add_event_handler(on_add=on_add, on_update=on_update, on_delete=on_delete)
    namespace.cluster.in_parallel(write, names)
    informers.wait_until_equal(informer, namespace.cluster, namespace.pods)
    cached = {obj.name: obj.resource_version for obj in informer.store.list()}
    assert informer.wait_until(lambda: registration.backlog_size == 0, 10)
    registration.remove()
    assert (replayed, faults) == (cached, [])


def test_cache_shows_own_writes_once_their_version_is_reached(namespace, informers):
    """When `wait_for_resource_version` returns for a write, the lister shows it."""
    informer = informers.start(namespace.list_watch())
    (created,) = namespace.create_pods("mine")
    assert informer.wait_for_resource_version(created["metadata"]["resourceVersion"], 10)
    assert informer.lister.get("mine", namespace.name).uid == created["metadata"]["uid"]
    deleted_at = namespace.delete_pod("mine")["metadata"]["resourceVersion"]
    assert deleted_at
    later = namespace.create_pods("other")[0]["metadata"]["resourceVersion"]
    assert informer.wait_for_resource_version(later, 10)
    assert [obj.name for obj in informer.lister.list()] == ["other"]


def test_late_handler_and_stream_get_each_object_once(namespace, informers):
    """A handler and a stream added after the sync get the cached objects first, and then new events."""
    namespace.create_pods("a", "b")
    informer = informers.start(namespace.list_watch())
    seen = Channel(None)
    registration = informer.add_event_handler(
        on_add=lambda obj, *, is_in_initial_list: seen.put((obj.name, is_in_initial_list))
    )
    assert registration.wait_for_sync(10)
    with informer.events() as stream:
        namespace.create_pods("c")
        first = [next(stream) for _ in range(3)]
    assert sorted((change.object.name, change.is_in_initial_list) for change in first) == [
        ("a", True),
        ("b", True),
        ("c", False),
    ]
    assert sorted(seen.get(10) for _ in range(3)) == [("a", True), ("b", True), ("c", False)]


def test_informer_of_an_official_list_method(namespace, informers):
    """`from_api` lists and watches what the official client's method lists, with its credentials."""
    core = client.CoreV1Api(namespace.cluster.api_client)
    namespace.create_pods("a", tier="web")
    namespace.create_pods("b", tier="db")
    list_watch = ListWatch.from_api(core.list_namespaced_pod, namespace=namespace.name, label_selector="tier=web")
    informer = informers.start(list_watch)
    assert [obj.name for obj in informer.store.list()] == ["a"]
    version = namespace.create_pods("c", tier="web")[0]["metadata"]["resourceVersion"]
    assert informer.wait_for_resource_version(version, 10)
    assert sorted(obj.name for obj in informer.store.list()) == ["a", "c"]


def test_factory_shares_one_informer_of_a_model_class(namespace):
    """A factory's informer of an official model class lists that class's resource and holds its objects."""
    namespace.create_pods("a")
    namespace.cluster.create(namespace.configmaps, {"metadata": {"name": "b"}})
    factory = SharedInformerFactory(namespace.cluster.api_client, namespace=namespace.name)
    pods = factory.informer(client.V1Pod)
    assert factory.informer(client.V1Pod) is pods
    configmaps = factory.informer("configmaps")
    with factory:
        assert all(factory.wait_for_cache_sync(20).values())
        assert [type(pod) for pod in pods.store.list()] == [client.V1Pod]
        assert [configmap.name for configmap in configmaps.store.list()] == ["b"]


@pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])
def test_compressed_responses_are_read(namespace, informers, watch_list):
    """With gzip, lists and watches (one gzip member per flush) bring the same objects."""
    namespace.cluster.create_all(
        namespace.configmaps,
        [{"metadata": {"name": f"big-{i}"}, "data": {"text": "lorem ipsum " * 5000}} for i in range(5)],
    )
    informer = informers.start(namespace.list_watch("configmaps", gzip=True), watch_list=watch_list)
    informers.wait_until_equal(informer, namespace.cluster, namespace.configmaps)
    version = namespace.cluster.label(f"{namespace.configmaps}/big-3", seen="yes")["metadata"]["resourceVersion"]
    assert informer.wait_for_resource_version(version, 10)
    informers.wait_until_equal(informer, namespace.cluster, namespace.configmaps)


def test_cluster_wide_informer_holds_every_namespace(cluster, make_namespace, informers):
    """An informer without a namespace holds the objects of all namespaces."""
    one, two = make_namespace(), make_namespace()
    one.create_pods("a")
    informer = informers.start(ListWatch.for_resource(cluster.api_client, "pods"))
    version = two.create_pods("b")[0]["metadata"]["resourceVersion"]
    assert informer.wait_for_resource_version(version, 10)
    assert informer.store.get_by_key(f"{one.name}/a") is not None
    assert [obj.name for obj in informer.lister.list(namespace=two.name)] == ["b"]


def test_list_returns_one_page(namespace):
    """`ListWatch.list` with a limit returns one page, the token of the next, and the number of remaining objects."""
    namespace.create_pods(*(f"pod-{i}" for i in range(5)))
    list_watch = namespace.list_watch()
    first = list_watch.list(ListOptions(limit=2))
    assert (len(first.items), first.remaining_item_count) == (2, 3)
    second = list_watch.list(ListOptions(limit=2, continue_=first.continue_))
    last = list_watch.list(ListOptions(limit=2, continue_=second.continue_))
    assert [obj.name for page in (first, second, last) for obj in page.items] == [f"pod-{i}" for i in range(5)]
    assert (last.continue_, last.resource_version) == (None, first.resource_version)

"""Handlers that add keys to a work queue."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from informer import Change, DeletedFinalStateUnknown, DeltaType, Indexer, Object, SharedInformer
from informer.testing.fake_source import FakeControllerSource
from informer.workqueue import (
    LOW_PRIORITY,
    PriorityQueue,
    RateLimitingQueue,
    WorkQueue,
    enqueue_key,
    enqueue_owner,
)

FOO = "samplecontroller.k8s.io/v1alpha1"


def owner(name: str, *, kind: str = "Foo", version: str = FOO, controller: bool | None = True) -> dict[str, Any]:
    reference = {"apiVersion": version, "kind": kind, "name": name, "uid": f"uid-{name}"}
    return reference if controller is None else {**reference, "controller": controller}


def thing(
    name: str = "web", *owners: dict[str, Any], version: str = "1", namespace: str | None = "shop"
) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": version, "ownerReferences": list(owners)}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}


def model(raw: dict[str, Any]) -> Any:
    """The same object as an official client model."""
    metadata = raw["metadata"]
    references = [
        client.V1OwnerReference(
            api_version=o["apiVersion"], kind=o["kind"], name=o["name"], uid=o["uid"], controller=o.get("controller")
        )
        for o in metadata["ownerReferences"]
    ]
    return client.V1ConfigMap(
        metadata=client.V1ObjectMeta(
            name=metadata["name"],
            namespace=metadata.get("namespace"),
            resource_version=metadata["resourceVersion"],
            owner_references=references,
        )
    )


FORMS = pytest.mark.parametrize("form", [dict, Object.from_dict, model], ids=["dict", "Object", "model"])


def drain(queue: WorkQueue[str]) -> list[str]:
    found = []
    while len(queue):
        found.append(queue.get(0))
        queue.done(found[-1])
    return found


def drain_by_priority(queue: PriorityQueue[str]) -> dict[str, int]:
    found = {}
    while len(queue):
        key, priority = queue.get_with_priority(0)
        found[key] = priority
        queue.done(key)
    return found


@FORMS
def test_enqueue_key_adds_the_key_of_each_event(make: Callable[..., Any], form: Any) -> None:
    """Go: controller-runtime EnqueueRequestForObject. An add, an update and a delete each add the object's key."""
    queue = make(RateLimitingQueue)
    handler = enqueue_key(queue)
    handler.on_add(form(thing("a")), is_in_initial_list=False)
    handler.on_update(form(thing("b")), form(thing("b", version="2")))
    handler.on_delete(form(thing("c")), final_state_unknown=False)
    handler.on_add(form(thing("node", namespace=None)), is_in_initial_list=True)
    assert drain(queue) == ["shop/a", "shop/b", "shop/c", "node"]


@FORMS
def test_enqueue_owner_adds_the_key_of_the_controlling_owner(make: Callable[..., Any], form: Any) -> None:
    """Go: controller-runtime EnqueueRequestForOwner. The owner is in the namespace of the object."""
    queue = make(RateLimitingQueue)
    handler = enqueue_owner(queue, "Foo")
    handler.on_add(form(thing("web", owner("a"))), is_in_initial_list=False)
    handler.on_delete(form(thing("web", owner("b"))), final_state_unknown=True)
    handler.on_add(form(thing("web")), is_in_initial_list=False)
    assert drain(queue) == ["shop/a", "shop/b"]


@FORMS
def test_both_owners_are_enqueued_when_the_owner_changes(make: Callable[..., Any], form: Any) -> None:
    """Go: controller-runtime "should enqueue a Request for the owners of both objects in the UpdateEvent"."""
    queue = make(RateLimitingQueue)
    handler = enqueue_owner(queue, "Foo")
    handler.on_update(form(thing("web", owner("old"))), form(thing("web", owner("new"), version="2")))
    handler.on_update(form(thing("web", owner("same"))), form(thing("web", owner("same"), version="2")))
    handler.on_update(form(thing("web", owner("left"))), form(thing("web", version="2")))
    assert drain(queue) == ["shop/old", "shop/new", "shop/same", "shop/left"]


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("Foo", ["any", "versioned", "plain"]),
        ("Foo.samplecontroller.k8s.io", ["any", "versioned"]),
        ((FOO, "Foo"), ["any", "versioned"]),
        (("v1", "Foo"), ["plain"]),
        ("Foo.k8s.io", []),
        ("Bar", []),
    ],
    ids=str,
)
def test_owners_match_by_kind_and_group(make: Callable[..., Any], kind: Any, found: list[str]) -> None:
    """Only the controlling owner counts; the version of its API group does not matter."""
    queue = make(RateLimitingQueue)
    handler = enqueue_owner(queue, kind)
    owners = [
        owner("not-it", controller=None),
        owner("nor-it", controller=False),
    ]
    handler.on_add(thing("1", *owners, owner("any")), is_in_initial_list=False)
    handler.on_add(thing("2", owner("versioned", version="samplecontroller.k8s.io/v2")), is_in_initial_list=False)
    handler.on_add(thing("3", owner("plain", version="v1")), is_in_initial_list=False)
    handler.on_add(thing("4", owner("other", kind="Baz")), is_in_initial_list=False)
    handler.on_add(thing("5", *owners), is_in_initial_list=False)
    assert drain(queue) == [f"shop/{name}" for name in found]


def test_the_key_of_a_cluster_scoped_owner_is_its_name(make: Callable[..., Any]) -> None:
    """Go: controller-runtime "should enqueue a Request with a cluster scoped owner"."""
    queue = make(RateLimitingQueue)
    enqueue_owner(queue, "Foo", namespaced=False).on_add(thing("web", owner("a")), is_in_initial_list=False)
    enqueue_owner(queue, "Foo").on_add(thing("web", owner("b"), namespace=None), is_in_initial_list=False)
    assert drain(queue) == ["a", "b"]


@pytest.mark.parametrize("kind", ["", ".group", "apps/v1", None, 7, ("Foo",), ("v1", 7), ("v1", "")], ids=repr)
def test_a_malformed_kind_is_refused(make: Callable[..., Any], kind: Any) -> None:
    """The error shows the accepted forms."""
    with pytest.raises(ValueError, match=r"Foo\.samplecontroller\.k8s\.io"):
        enqueue_owner(make(RateLimitingQueue), kind)


@pytest.mark.parametrize("make_handler", [enqueue_key, lambda queue: enqueue_owner(queue, "Foo")])
def test_an_object_that_is_not_a_queue_is_refused(make_handler: Callable[[Any], Any]) -> None:
    """The error names the type that was given."""
    with pytest.raises(TypeError, match="not a list"):
        make_handler([])


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"metadata": None},
        {"metadata": {"name": "web", "ownerReferences": None}},
        {"metadata": {"name": "web", "ownerReferences": "Foo"}},
        {"metadata": {"name": "web", "ownerReferences": {"controller": True}}},
        {"metadata": {"name": "web", "ownerReferences": [None, 7, {"controller": "true", "kind": "Foo", "name": "a"}]}},
        {"metadata": {"name": "web", "ownerReferences": [{"controller": True, "kind": "Foo", "name": 7}]}},
        SimpleNamespace(metadata=SimpleNamespace(name="web")),
        None,
    ],
    ids=str,
)
def test_malformed_objects_have_no_owner(make: Callable[..., Any], odd: Any) -> None:
    """The handler neither raises nor enqueues a key."""
    queue = make(RateLimitingQueue)
    enqueue_owner(queue, "Foo").on_add(odd, is_in_initial_list=False)
    assert drain(queue) == []


def test_tombstones(make: Callable[..., Any]) -> None:
    """enqueue_key uses the tombstone's key; enqueue_owner uses the owner in the last known state, if there is one."""
    queue = make(RateLimitingQueue)
    enqueue_key(queue).on_delete(DeletedFinalStateUnknown("shop/a", None), final_state_unknown=True)
    owners = enqueue_owner(queue, "Foo")
    owners.on_delete(DeletedFinalStateUnknown("shop/web", thing("web", owner("b"))), final_state_unknown=True)
    owners.on_delete(DeletedFinalStateUnknown("shop/web", None), final_state_unknown=True)
    assert drain(queue) == ["shop/a", "shop/b"]


def changes(make_thing: Callable[..., Any]) -> list[Change[Any]]:
    """One change of each sort, each of an object of its own."""
    added, updated, deleted = DeltaType.ADDED, DeltaType.UPDATED, DeltaType.DELETED
    return [
        Change(added, make_thing("listed"), is_in_initial_list=True),
        Change(added, make_thing("new")),
        Change(updated, make_thing("changed", version="2"), make_thing("changed")),
        Change(updated, make_thing("resynced"), make_thing("resynced"), is_sync=True),
        Change(updated, make_thing("relisted"), make_thing("relisted")),
        Change(deleted, make_thing("gone")),
    ]


PRIORITIES = {
    "listed": LOW_PRIORITY,
    "new": 0,
    "changed": 0,
    "resynced": LOW_PRIORITY,
    "relisted": LOW_PRIORITY,
    "gone": 0,
}


@pytest.mark.parametrize("in_batches", [True, False])
@pytest.mark.parametrize(
    ("make_handler", "make_thing"),
    [
        (enqueue_key, thing),
        (lambda queue: enqueue_owner(queue, "Foo"), lambda name, **more: thing("x", owner(name), **more)),
    ],
    ids=["key", "owner"],
)
def test_unchanged_objects_get_low_priority(
    make: Callable[..., Any], make_handler: Any, make_thing: Any, in_batches: bool
) -> None:
    """Go: controller-runtime "WithLowPriorityWhenUnchanged". These are the initial list, resyncs and relists."""
    queues = make(PriorityQueue), make(RateLimitingQueue)
    for queue in queues:
        handler = make_handler(queue)
        if in_batches:
            handler.on_batch(changes(make_thing))
            continue
        for change in changes(make_thing):
            if change.type is DeltaType.ADDED:
                handler.on_add(change.object, is_in_initial_list=change.is_in_initial_list)
            elif change.type is DeltaType.UPDATED:
                handler.on_update(change.old, change.object)
            else:
                handler.on_delete(change.object, final_state_unknown=False)
    assert drain_by_priority(queues[0]) == {f"shop/{name}": priority for name, priority in PRIORITIES.items()}
    assert drain(queues[1]) == [f"shop/{name}" for name in PRIORITIES]


def test_updates_without_resource_versions_count_as_changes(make: Callable[..., Any]) -> None:
    """Two objects without a resourceVersion cannot be compared. Only a resync says that nothing has changed."""
    queue = make(PriorityQueue)
    same = object()
    enqueue_key(queue).on_batch(
        [
            Change(DeltaType.UPDATED, object(), object(), key="shop/web"),
            Change(DeltaType.UPDATED, same, same, key="shop/resynced", is_sync=True),
        ]
    )
    assert drain_by_priority(queue) == {"shop/web": 0, "shop/resynced": LOW_PRIORITY}


def test_a_malformed_object_does_not_affect_the_rest_of_its_batch(
    make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the other keys are enqueued."""
    queue = make(RateLimitingQueue)
    enqueue_key(queue).on_batch([Change(DeltaType.ADDED, thing(n) if n else object()) for n in ("a", "", "b")])
    assert drain(queue) == ["shop/a", "shop/b"]
    assert any(
        record.levelno == logging.ERROR and "failed to enqueue a change of" in record.message
        for record in caplog.records
    )


def test_enqueue_key_as_the_handler_of_an_informer(make: Callable[..., Any]) -> None:
    """The initial list is enqueued at low priority, later changes at normal priority."""
    source = FakeControllerSource()
    source.add(thing("first"))
    queue = make(PriorityQueue)
    with SharedInformer(source) as informer:
        informer.add_event_handler(enqueue_key(queue))
        assert queue.get_with_priority(10) == ("shop/first", LOW_PRIORITY)
        assert source.wait_for_watches()
        source.add(thing("second"))
        assert queue.get_with_priority(10) == ("shop/second", 0)


PLURALS = ["sites.example.com", "pods", "deployments.apps", ("example.com/v1", "sites"), ("apps/v1", "deployments")]


@pytest.mark.parametrize("kind", PLURALS, ids=repr)
def test_a_plural_is_refused(make: Callable[..., Any], kind: Any) -> None:
    """It would never match an owner reference, and nothing would ever be enqueued (grafana#123359)."""
    with pytest.raises(ValueError, match=r'must be the Kind form, such as "Foo" or "Foo.samplecontroller.k8s.io"'):
        enqueue_owner(make(RateLimitingQueue), kind)


HOSTILE_NAMES = ["kube-system/victim", "/victim", "victim/", "/", "a%2fb", "..", ".", "", None, 7, ["a"], {"a": "b"}]


@FORMS
@pytest.mark.parametrize("namespaced", [True, False])
@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=str)
def test_an_owner_with_a_hostile_name_is_dropped(
    form: Any, name: Any, namespaced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A tenant's owner reference cannot become the key of another namespace's object; the batch keeps its other keys."""
    if form is model and not isinstance(name, str):
        pytest.skip("the official model takes text only")
    queue: WorkQueue[str] = WorkQueue()
    handler = enqueue_owner(queue, "Foo.samplecontroller.k8s.io", namespaced=namespaced)
    hostile = form(thing("evil", {**owner("x"), "name": name}))
    for _ in range(100):
        handler.on_add(hostile, is_in_initial_list=False)
        handler.on_batch([Change(DeltaType.ADDED, hostile)])
    handler.on_add(form(thing("web", owner("good"))), is_in_initial_list=False)
    assert queue.get() == ("shop/good" if namespaced else "good")
    assert len(queue) == 0
    assert len(caplog.records) <= 10


@pytest.mark.parametrize("version", ["evil.io/v1", "v1", "", "samplecontroller.k8s.io.evil.io/v1", "/v1", None, 7])
def test_an_owner_of_another_group_is_ignored(version: Any) -> None:
    """An owner of the same kind in a tenant's own API group is not enqueued."""
    queue: WorkQueue[str] = WorkQueue()
    handler = enqueue_owner(queue, "Foo.samplecontroller.k8s.io")
    handler.on_add(thing("web", {**owner("victim"), "apiVersion": version}), is_in_initial_list=False)
    assert len(queue) == 0


@pytest.mark.parametrize("namespaced", [True, False])
def test_the_uid_is_checked_against_the_cache_of_the_owners(namespaced: bool) -> None:
    """Only a reference with the uid of the cached owner enqueues its key; one to an owner that is not cached does not."""
    owners = Indexer()
    for name in ("victim", "other"):
        owners.add(thing(name, namespace="shop" if namespaced else None))
    queue: WorkQueue[str] = WorkQueue()
    handler = enqueue_owner(queue, "Foo", namespaced=namespaced, owners=owners)
    for uid in ("made-up", "", None, 7, "uid-other"):
        handler.on_add(thing("web", {**owner("victim"), "uid": uid}), is_in_initial_list=False)
    handler.on_add(thing("web", owner("absent")), is_in_initial_list=False)
    handler.on_add(thing("web", owner("victim"), namespace="elsewhere"), is_in_initial_list=False)
    assert len(queue) == (0 if namespaced else 1)
    handler.on_add(thing("web", owner("victim")), is_in_initial_list=False)
    assert queue.get() == ("shop/victim" if namespaced else "victim")


def test_the_owners_are_a_cache() -> None:
    """A lister or a function in its place is refused at once."""
    with pytest.raises(TypeError, match="owners must be the cache of an informer"):
        enqueue_owner(WorkQueue(), "Foo", owners=lambda key: None)  # type: ignore[arg-type]

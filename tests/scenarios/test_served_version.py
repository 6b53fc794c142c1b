"""An informer of a custom resource that the server begins to serve in another version, on both servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from informer import Backoff, ListWatch, Object, SharedInformer
from informer.record.reference import get_reference
from tests.scenarios.conftest import DEFINITIONS
from tests.support.objects import custom_resource
from tests.support.waiting import DEADLINE
from watch import Channel


class Typed(msgspec.Struct):
    """A model that shows the version in which it was decoded."""

    apiVersion: str


def without_type(obj: Object) -> Object:
    """A transform that keeps the version under another name, and no type."""
    return Object.from_dict({"metadata": obj["metadata"], "was": obj.api_version})


# Per way of keeping objects: the options of the list-watch, those of the informer, and how the version is read.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[Any], str]]] = {
    "object": ({}, {}, lambda obj: obj.api_version),
    "dict": ({"model": dict}, {}, lambda obj: obj["apiVersion"]),
    "struct": ({"model": Typed}, {}, lambda obj: obj.apiVersion),
    "metadata only": ({"metadata_only": True}, {}, lambda obj: get_reference(obj)["apiVersion"]),
    "transform": ({}, {"transform": without_type}, lambda obj: obj["was"]),
    "transform of a model": (
        {"model": dict},
        {"transform": lambda obj: (obj["metadata"]["name"], obj["apiVersion"])},
        lambda obj: obj[1],
    ),
    "delta queue": ({}, {"queue": "delta"}, lambda obj: obj.api_version),
}


class Versioned:
    """A custom resource of which first v1beta1 is served and then v1."""

    def __init__(self, backend: Any, group: str) -> None:
        self._backend = backend
        self.group = group
        self.path = backend.path("widgets", f"{group}/v1beta1")
        definition = custom_resource(group)
        (v1,) = definition["spec"]["versions"]
        definition["spec"]["versions"] = [v1 | {"name": "v1beta1"}, v1 | {"served": False, "storage": False}]
        self._versions = definition["spec"]["versions"]
        backend.create(DEFINITIONS, definition)
        backend.until(lambda: backend.try_to("GET", self.path)[0] == 200, "v1beta1 is served")

    def add(self, name: str) -> None:
        body = {
            "apiVersion": f"{self.group}/v1beta1",
            "kind": "Widget",
            "metadata": {"name": name},
            "spec": {"size": 1},
        }
        self._backend.create(self.path, body)

    def switch(self) -> None:
        beta, v1 = self._versions
        versions = [beta | {"served": False}, v1 | {"served": True}]
        self._backend.patch(f"{DEFINITIONS}/widgets.{self.group}", {"spec": {"versions": versions}})
        new = self._backend.path("widgets", f"{self.group}/v1")
        self._backend.until(lambda: self._backend.try_to("GET", new)[0] == 200, "v1 is served")
        self._backend.until(lambda: self._backend.try_to("GET", self.path)[0] == 404, "v1beta1 is not served")
        if self._backend.is_embedded:
            self._backend.server.faults.end_watches()


@pytest.fixture
def versioned(backend: Any, widgets: Any) -> Versioned:
    return Versioned(backend, widgets.group)


@pytest.fixture
def follow_as(backend: Any) -> Iterator[Callable[..., tuple[SharedInformer[Any], Channel[Any]]]]:
    """Follows a resource in one of `WAYS`, and collects the handler's calls."""
    made: list[SharedInformer[Any]] = []

    def start(name: str, way: str, **options: Any) -> tuple[SharedInformer[Any], Channel[Any]]:
        of_list_watch, of_informer, _ = WAYS[way]
        source = ListWatch.for_resource(backend.api_client, name, namespace=backend.namespace, **of_list_watch)
        backoff = Backoff(initial=0.05, maximum=0.4)
        # On a real server, a watch of a version that is not served any more may stay open: it ends by itself.
        informer = SharedInformer(source, backoff=backoff, watch_timeout=(2, 2), **of_informer, **options)
        made.append(informer)
        received: Channel[Any] = Channel(None)
        informer.add_event_handler(on_batch=lambda changes: [received.put(change) for change in changes])
        informer.start()
        assert informer.wait_for_sync(DEADLINE)
        return informer, received

    yield start
    stopped = [informer.stop(10) for informer in made]
    assert all(stopped)


@pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])
@pytest.mark.parametrize("way", WAYS)
def test_objects_in_another_version_are_one_update_each(
    backend: Any, versioned: Versioned, follow_as: Any, way: str, watch_list: bool
) -> None:
    """uid and resourceVersion stay the same. The cache equals the server's list in form too, however objects are kept."""
    versioned.add("listed")
    informer, received = follow_as(f"widgets.{versioned.group}", way, watch_list=watch_list)
    version_of = WAYS[way][2]
    assert received.get(DEADLINE).type == "Added"
    backend.until(lambda: informer.is_watching, "it watches")
    versioned.add("watched")
    assert received.get(DEADLINE).type == "Added"
    old, new = f"{versioned.group}/v1beta1", f"{versioned.group}/v1"
    assert {version_of(obj) for obj in informer.store.list()} == {old}

    versioned.switch()
    updates = [received.get(DEADLINE) for _ in range(2)]
    assert {change.key for change in updates} == {f"{backend.namespace}/{name}" for name in ("listed", "watched")}
    for change in updates:
        assert (change.type, change.watch_type) == ("Updated", "MODIFIED")
        assert (version_of(change.old), version_of(change.object)) == (old, new)
    assert {version_of(obj) for obj in informer.store.list()} == {new}
    if way in ("object", "delta queue"):
        listed = backend.items(backend.path("widgets", new))
        assert {obj.name: obj.to_dict() for obj in informer.store.list()} == listed
    # A further list in the new version changes nothing.
    held = dict(informer.by_key)
    if backend.is_embedded:
        backend.server.compact()
        backend.server.faults.end_watches()
        backend.until(lambda: informer.is_watching, "it watches again")
        assert all(informer.by_key[key] is obj for key, obj in held.items())
    assert len(received) == 0

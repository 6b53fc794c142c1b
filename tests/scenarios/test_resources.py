"""Creating, changing and deleting objects of many resources, on both servers and through both kinds of queue."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from tests.support.protobuf_bodies import as_typed
from tests.support.waiting import DEADLINE
from watch import Channel

TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "example.com/app:1"}]},
}
# By name of the resource: apiVersion, kind, and the rest of an object.
BUILT_IN = {
    "pods": ("v1", "Pod", {"spec": TEMPLATE["spec"]}),
    "deployments.apps": (
        "apps/v1",
        "Deployment",
        {"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}},
    ),
    "secrets": ("v1", "Secret", {"data": {"password": "aHVudGVyMg=="}}),
    "leases.coordination.k8s.io": ("coordination.k8s.io/v1", "Lease", {"spec": {"holderIdentity": "one"}}),
    "v1/events": ("v1", "Event", {"reason": "Started", "type": "Normal"}),
}


class Resource:
    """A resource of a backend, with methods that write its objects."""

    def __init__(self, backend: Any, name: str, widgets: Any) -> None:
        self._backend = backend
        if name == "widgets":
            widgets.define()
            self.name, self._type, self._body = widgets.name, (f"{widgets.group}/v1", "Widget"), {"spec": {"size": 1}}
        else:
            api_version, kind, self._body = BUILT_IN[name]
            self.name, self._type = name, (api_version, kind)
        self.path = backend.path(self._type[1].lower() + "s", self._type[0])

    def create(self, *names: str) -> None:
        for name in names:
            metadata = {"name": name, "namespace": self._backend.namespace}
            body = {"apiVersion": self._type[0], "kind": self._type[1], "metadata": metadata, **self._body}
            if self._type[1] == "Event":
                body["involvedObject"] = {"kind": "Pod", "name": "a", "namespace": self._backend.namespace}
            self._backend.create(self.path, body)

    def change(self, name: str, number: int) -> None:
        self._backend.patch(f"{self.path}/{name}", {"metadata": {"annotations": {"number": str(number)}}})

    def delete(self, name: str) -> None:
        self._backend.delete(f"{self.path}/{name}")


class History:
    """Replays a handler's calls; a call that does not follow from the calls before is recorded as a fault."""

    def __init__(self, informer: Any) -> None:
        self.state: dict[str, str] = {}
        self.faults: list[tuple[str, str]] = []
        self.calls: Counter[str] = Counter()
        self.notified: Channel[None] = Channel(None)
        self.registration = informer.add_event_handler(on_add=self._add, on_update=self._update, on_delete=self._delete)

    def _add(self, obj: Any) -> None:
        if obj.name in self.state:
            self.faults.append(("added twice", obj.name))
        self.state[obj.name] = obj.resource_version
        self._received(obj.name)

    def _update(self, old: Any, new: Any) -> None:
        if self.state.get(old.name) != old.resource_version or old.name != new.name:
            self.faults.append(("update of another state", new.name))
        if int(new.resource_version) <= int(old.resource_version):
            self.faults.append(("update to the past", new.name))
        self.state[new.name] = new.resource_version
        self._received(new.name)

    def _delete(self, obj: Any) -> None:
        if self.state.pop(obj.name, None) is None:
            self.faults.append(("deleted what was not there", obj.name))
        self._received(obj.name)

    def _received(self, name: str) -> None:
        self.calls[name] += 1
        self.notified.put(None)

    def check(self, follower: Any, backend: Any, resource: Resource) -> None:
        """Waits until the cache equals the server's list in every field, and the handler's calls add up to it."""
        listed = backend.items(resource.path)
        if follower.wire == "protobuf" and backend.is_embedded:
            # The embedded server stores objects as they were sent, the real one with every field of their types.
            listed = {name: as_typed(obj) for name, obj in listed.items()}
        assert follower.informer.wait_until(lambda: follower.cached() == listed, DEADLINE), (follower.cached(), listed)
        versions = {name: item["metadata"]["resourceVersion"] for name, item in listed.items()}
        while self.state != versions:
            self.notified.get(DEADLINE)
        assert self.faults == []


@pytest.mark.parametrize(("queue", "wire"), [("in_order", "protobuf"), ("delta", "json")])
@pytest.mark.parametrize("name", [*BUILT_IN, "widgets"])
def test_cache_and_handler_calls_match_the_server(
    backend: Any, widgets: Any, follow: Any, name: str, queue: str, wire: str
) -> None:
    """After listing, adding, changing, deleting and recreating, the cache equals the server's list and all calls are valid."""
    resource = Resource(backend, name, widgets)
    resource.create("old", "older")
    follower = follow(resource.name, queue=queue, wire=wire)
    history = History(follower.informer)
    assert follower.informer.wait_for_sync(DEADLINE), follower.informer.sync_error()
    assert sorted(follower.cached()) == ["old", "older"]
    history.check(follower, backend, resource)

    resource.create("new")
    for number in range(3):
        resource.change("new", number)
        resource.change("old", number)
    history.check(follower, backend, resource)

    resource.delete("older")
    history.check(follower, backend, resource)
    resource.delete("new")
    resource.create("new")
    resource.change("new", 7)
    history.check(follower, backend, resource)
    assert sorted(history.state) == ["new", "old"]


def test_informers_survive_a_restart_of_the_server(
    embedded_backend: Any, make_widgets: Any, make_follower: Any
) -> None:
    """Informers of all resources, through both queues, resume: no call is repeated or missed."""
    backend = embedded_backend
    resources = [Resource(backend, name, make_widgets(backend)) for name in (*BUILT_IN, "widgets")]
    for resource in resources:
        resource.create("stays", "changes", "goes")
    followed = []
    for resource, queue in itertools.product(resources, ("in_order", "delta")):
        follower = make_follower(backend, resource.name, queue=queue)
        followed.append((resource, follower, History(follower.informer)))
    for resource, follower, history in followed:
        assert follower.informer.wait_for_sync(DEADLINE), follower.informer.sync_error()
        history.check(follower, backend, resource)

    backend.server.restart()
    for resource in resources:
        resource.change("changes", 1)
        resource.delete("goes")
        resource.create("comes")
    for resource, follower, history in followed:
        history.check(follower, backend, resource)
        assert sorted(history.state) == ["changes", "comes", "stays"]
        assert history.calls["stays"] == 1, "told of what did not change"

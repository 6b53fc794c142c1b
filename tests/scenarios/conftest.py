"""The same scenarios on the embedded API server and on a real kube-apiserver: one interface for writing to both."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from informer import Backoff, ListWatch, SharedInformer, SharedInformerFactory
from informer.testing import EmbeddedAPIServer
from tests.support.objects import custom_resource
from tests.support.waiting import DEADLINE, eventually
from watch import Channel

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Backend:
    """A server with a new namespace, written to with plain HTTP requests."""

    def __init__(self, server: Any, token: str | None, ca_certs: str | None) -> None:
        self.server = server
        self.is_embedded = isinstance(server, EmbeddedAPIServer)
        self.api_client = server.api_client()
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._http = urllib3.PoolManager(ca_certs=ca_certs, retries=False, timeout=30)
        self.namespace = f"test-{uuid.uuid4().hex[:10]}"
        self.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})

    def close(self) -> None:
        self._http.clear()
        self.api_client.close()

    def try_to(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Sends a request and returns the status and the decoded answer."""
        data = None if body is None else json.dumps(body).encode()
        response = self._http.request(method, self.server.url + path, body=data, headers=self._headers | headers)
        text = response.data.decode()
        return response.status, json.loads(text) if text.startswith("{") else text

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Sends a request and returns the decoded answer; a status of 300 or more fails the test."""
        status, answer = self.try_to(method, path, body, **headers)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def create(self, path: str, body: Any) -> Any:
        return self.request("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        return self.request("PATCH", path, body, **{"Content-Type": "application/merge-patch+json"})

    def delete(self, path: str) -> Any:
        # No kubelet runs, so a pod's grace period would never end.
        return self.request("DELETE", path, {"gracePeriodSeconds": 0})

    def path(self, plural: str, api_version: str = "v1") -> str:
        """Returns the path of a resource in this backend's namespace."""
        root = "/apis/" if "/" in api_version else "/api/"
        return f"{root}{api_version}/namespaces/{self.namespace}/{plural}"

    def items(self, path: str) -> dict[str, Any]:
        """Returns what the server lists, with kind and apiVersion, by name."""
        answer = self.request("GET", path)
        whole = {"kind": answer["kind"].removesuffix("List"), "apiVersion": answer["apiVersion"]}
        return {item["metadata"]["name"]: whole | item for item in answer["items"]}

    def without_rights(self, resource: str) -> Any:
        """Returns an `ApiClient` that may neither list nor watch a resource in this namespace."""
        if not self.is_embedded:
            return self.server.api_client(user="nobody")
        for verb in ("list", "watch"):
            self.server.forbid(verb, resource, namespace=self.namespace)
        return self.server.api_client()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for a condition that sends no notification; fails with `what` after the deadline."""
        assert eventually(condition), f"not within {DEADLINE:g} s: {what}"


class Widgets:
    """A custom resource in its own group, which a test defines and withdraws."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.group = f"g{uuid.uuid4().hex[:8]}.example.com"
        self.name = f"widgets.{self.group}"
        self.path = backend.path("widgets", f"{self.group}/v1")

    def define(self) -> None:
        """Creates the definition, and waits until it is served."""
        self._backend.create(DEFINITIONS, custom_resource(self.group))
        self._backend.until(lambda: self._backend.try_to("GET", self.path)[0] == 200, f"{self.name} is served")

    def withdraw(self) -> None:
        """Deletes the definition, and waits until it is not served any more."""
        self._backend.delete(f"{DEFINITIONS}/{self.name}")
        gone = f"{DEFINITIONS}/{self.name}"
        self._backend.until(lambda: self._backend.try_to("GET", gone)[0] == 404, f"{self.name} is gone")
        self._backend.until(lambda: self._backend.try_to("GET", self.path)[0] == 404, f"{self.name} is not served")

    def add(self, name: str) -> None:
        """Creates an object."""
        body = {"apiVersion": f"{self.group}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 1}}
        self._backend.create(self.path, body)


class Follower:
    """An informer, with channels of its handler's calls and of its failures."""

    def __init__(self, backend: Backend, resource: str, *, wire: Any = "json", **options: Any) -> None:
        self.wire = wire
        list_watch = ListWatch.for_resource(backend.api_client, resource, namespace=backend.namespace, wire=wire)
        self.received: Channel[tuple[str, ...]] = Channel(None)
        self.failures: Channel[Exception] = Channel(None)
        options = {"backoff": Backoff(initial=0.05, maximum=0.4), **options}
        self.informer: SharedInformer[Any] = SharedInformer(
            list_watch, watch_error_handler=lambda informer, error: self.failures.put(error), **options
        )
        self.informer.add_event_handler(
            on_add=lambda obj: self.received.put(("add", obj.name)),
            on_update=lambda old, new: self.received.put(
                ("update", old.resource_version, new.name, new.resource_version)
            ),
            on_delete=lambda obj: self.received.put(("delete", obj.name)),
        )
        self.informer.start()

    def cached(self) -> dict[str, Any]:
        """Returns the objects of the cache as dicts, by name."""
        return {obj.name: obj.to_dict() for obj in self.informer.store.list()}


@pytest.fixture
def embedded_backend() -> Iterator[Backend]:
    """An embedded server of the test's own, with a new namespace."""
    with EmbeddedAPIServer() as server, contextlib.closing(Backend(server, None, None)) as made:
        yield made


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.cluster, pytest.mark.timeout(120)])])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each server in turn, with a new namespace."""
    if request.param == "embedded":
        yield request.getfixturevalue("embedded_backend")
        return
    plane = request.getfixturevalue("control_plane")
    with contextlib.closing(Backend(plane, plane.token(), str(plane.ca_file))) as made:
        yield made


@pytest.fixture
def make_widgets() -> Callable[[Backend], Widgets]:
    """Returns a function that makes custom resources which are not defined yet."""
    return Widgets


@pytest.fixture
def widgets(backend: Backend) -> Widgets:
    """A custom resource that is not defined yet."""
    return Widgets(backend)


@pytest.fixture
def make_follower() -> Iterator[Callable[..., Follower]]:
    """Follows a resource in a backend's namespace; informers are stopped when the test is over."""
    made: list[Follower] = []

    def start(backend: Backend, resource: str, **options: Any) -> Follower:
        made.append(Follower(backend, resource, **options))
        return made[-1]

    yield start
    stopped = [follower.informer.stop(10) for follower in made]
    assert all(stopped)


@pytest.fixture
def follow(backend: Backend, make_follower: Callable[..., Follower]) -> Callable[..., Follower]:
    """Follows a resource in the namespace of `backend`."""
    return lambda resource, **options: make_follower(backend, resource, **options)


@pytest.fixture
def make_factory(backend: Backend) -> Iterator[Callable[..., SharedInformerFactory]]:
    """Makes factories for the backend's namespace; they are shut down when the test is over."""
    made: list[SharedInformerFactory] = []

    def make(api_client: Any = None) -> SharedInformerFactory:
        client = backend.api_client if api_client is None else api_client
        made.append(SharedInformerFactory(client, namespace=backend.namespace))
        return made[-1]

    yield make
    ended = [factory.shutdown(10) for factory in made]
    assert all(ended)

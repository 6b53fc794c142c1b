"""Fixtures for tests against a real kube-apiserver: a shared server, a namespace per test, and short ways to write.

No controller runs that empties a deleted namespace, so each test uses a new one and leaves it. Tests that need the server
to fail or to lose its history use `unsteady`; all other tests rely on their server being up.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3

from informer import Backoff, ListWatch, SharedInformer
from informer.reflector.reflector import Reflector
from informer.testing.control_plane import ControlPlane
from tests.support.objects import pod
from tests.support.waiting import DEADLINE, eventually

RBAC = "rbac.authorization.k8s.io"


def pytest_runtest_setup() -> None:
    """Skips every test of this folder on a machine without the programs, including tests that start their own server."""
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        pytest.skip("KUBEBUILDER_ASSETS is not set: it should name a folder with etcd and kube-apiserver")


class Cluster:
    """A server, used as its admin with plain dicts."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.api_client = plane.api_client()
        self._headers = {"Authorization": f"Bearer {plane.token()}", "Content-Type": "application/json"}
        self._http = urllib3.PoolManager(ca_certs=str(plane.ca_file), maxsize=8, retries=False, timeout=30)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """Returns the decoded answer; a status of 300 or more fails the test."""
        data = None if body is None else json.dumps(body).encode()
        response = self._http.request(method, self.plane.url + path, body=data, headers=self._headers | headers)
        assert response.status < 300, f"{method} {path}: {response.status} {response.data.decode()}"
        answer: dict[str, Any] = json.loads(response.data)
        return answer

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.request("POST", path, body)

    def create_all(self, path: str, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.in_parallel(lambda body: self.create(path, body), bodies)

    def in_parallel(self, function: Callable[[Any], Any], arguments: list[Any]) -> list[Any]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(function, arguments))

    def get(self, path: str) -> dict[str, Any]:
        return self.request("GET", path)

    def patch(self, path: str, patch: Any) -> dict[str, Any]:
        return self.request("PATCH", path, patch, **{"Content-Type": "application/merge-patch+json"})

    def label(self, path: str, **labels: str | None) -> dict[str, Any]:
        """Sets labels; None removes one."""
        return self.patch(path, {"metadata": {"labels": labels}})

    def delete(self, path: str) -> dict[str, Any]:
        # No kubelet runs, so a pod's grace period would never end.
        return self.request("DELETE", path, {"gracePeriodSeconds": 0})

    def items(self, *paths: str) -> dict[str, dict[str, Any]]:
        """Returns what the server lists under these paths, with kind and apiVersion, by key."""
        found = {}
        for path in paths:
            answer = self.get(path)
            whole = {"kind": answer["kind"].removesuffix("List"), "apiVersion": answer["apiVersion"]}
            for item in answer["items"]:
                found[f"{item['metadata']['namespace']}/{item['metadata']['name']}"] = whole | item
        return found


class Namespace:
    """A new namespace, and paths in it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.name = f"test-{uuid.uuid4().hex[:10]}"
        cluster.create("/api/v1/namespaces", {"metadata": {"name": self.name}})
        self.pods = self.path("pods")
        self.configmaps = self.path("configmaps")

    def path(self, plural: str, group_version: str = "v1") -> str:
        root = "/apis/" if "/" in group_version else "/api/"
        return f"{root}{group_version}/namespaces/{self.name}/{plural}"

    def create_pods(self, *names: str, **labels: str) -> list[dict[str, Any]]:
        return self.cluster.create_all(self.pods, [pod(name, self.name, labels=labels) for name in names])

    def label_pod(self, name: str, **labels: str | None) -> dict[str, Any]:
        return self.cluster.label(f"{self.pods}/{name}", **labels)

    def delete_pod(self, name: str) -> dict[str, Any]:
        return self.cluster.delete(f"{self.pods}/{name}")

    def list_watch(self, resource: str = "pods", **options: Any) -> ListWatch[Any]:
        return ListWatch.for_resource(self.cluster.api_client, resource, namespace=self.name, **options)

    def grant(self, user: str, *verbs: str) -> None:
        """Allows a user some verbs on this namespace's pods."""
        name = f"{user}-{'-'.join(verbs)}"
        role = {"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]}
        self.cluster.create(self.path("roles", f"{RBAC}/v1"), role)
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
        }
        self.cluster.create(self.path("rolebindings", f"{RBAC}/v1"), binding)

    def revoke(self, user: str, *verbs: str) -> None:
        """Removes what `grant` with the same arguments has allowed."""
        for kind in ("rolebindings", "roles"):
            self.cluster.delete(f"{self.path(kind, f'{RBAC}/v1')}/{user}-{'-'.join(verbs)}")


class Informers:
    """Starts informers, and waits for their states."""

    def __init__(self) -> None:
        self._started: list[SharedInformer[Any]] = []

    def start(self, list_watch: Any, *, synced: bool = True, **options: Any) -> SharedInformer[Any]:
        """Starts an informer with short waits between retries; waits for its sync, except with `synced=False`."""
        options = {"backoff": Backoff(initial=0.1, maximum=0.5), **options}
        informer: SharedInformer[Any] = SharedInformer(list_watch, **options)
        self._started.append(informer)
        informer.start()
        assert not synced or informer.wait_for_sync(DEADLINE), informer.sync_error()
        return informer

    def reflector(self, informer: SharedInformer[Any]) -> Reflector:
        """Returns the informer's reflector, for its counters."""
        (reflector,) = informer.controller.reflectors
        return reflector

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition that sends no notification."""
        assert eventually(condition), f"not within {DEADLINE:g} s"

    def wait_until_equal(self, informer: SharedInformer[Any], cluster: Cluster, *paths: str) -> None:
        """Waits until the cache equals, in every field, what the server lists under these paths."""
        listed = cluster.items(*paths)
        informer.wait_until(lambda: self.cached(informer) == listed, DEADLINE)
        assert self.cached(informer) == listed

    def cached(self, informer: SharedInformer[Any]) -> dict[str, dict[str, Any]]:
        """Returns the objects of the cache as dicts, by key."""
        return {f"{obj.namespace}/{obj.name}": obj.to_dict() for obj in informer.store.list()}

    def stop(self) -> None:
        stopped = {informer.name: informer.stop(10) for informer in self._started}
        assert all(stopped.values()), stopped


@pytest.fixture(scope="session")
def cluster(control_plane: ControlPlane) -> Cluster:
    """The shared server, which stays up."""
    return Cluster(control_plane)


@pytest.fixture
def namespace(cluster: Cluster) -> Namespace:
    """A new namespace of the shared server."""
    return Namespace(cluster)


@pytest.fixture(scope="session")
def make_namespace(cluster: Cluster) -> Callable[[], Namespace]:
    """Returns a function that makes more namespaces of the shared server."""
    return lambda: Namespace(cluster)


@pytest.fixture(scope="session")
def unsteady_cluster(unsteady_plane: ControlPlane) -> Cluster:
    """A second server, for tests that kill, freeze, restart or compact it; each test leaves it running."""
    return Cluster(unsteady_plane)


@pytest.fixture
def unsteady(unsteady_cluster: Cluster) -> Namespace:
    """A new namespace of the server that tests may kill."""
    return Namespace(unsteady_cluster)


@pytest.fixture
def informers() -> Iterator[Informers]:
    """Starts informers; they are stopped when the test is over."""
    made = Informers()
    yield made
    made.stop()

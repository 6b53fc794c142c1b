"""Unit tests of the pod counter, without a server: list-watches in memory, and a mock of the official client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from kubernetes import client
from pod_counter import ANNOTATION, PodCounter
from pytest_mock import MockerFixture

from informer import Object, SharedInformer
from informer.testing import FakeControllerSource
from watch import Channel


class Site:
    """A pod counter over two list-watches in memory.

    Args:
        core: the mock of the official client; what it is called with comes out of `patches`.
    """

    def __init__(self, core: Mock) -> None:
        self.core = core
        self.pods, self.namespaces = FakeControllerSource(), FakeControllerSource()
        self.patches: Channel[tuple[str, str]] = Channel(None)
        core.patch_namespace.side_effect = self.patch
        # The source gives dicts. The transform makes of them what an informer of a real server holds.
        self.informers: list[SharedInformer[Any]] = [
            SharedInformer(source, transform=Object.from_dict) for source in (self.pods, self.namespaces)
        ]
        PodCounter(core, *self.informers)

    def patch(self, name: str, body: dict[str, Any]) -> client.V1Namespace:
        """Stores the annotations, as the server would, and returns the namespace with its new resourceVersion."""
        stored = self.namespaces.modify({"metadata": {"name": name, **body["metadata"]}})
        self.patches.put((name, body["metadata"]["annotations"][ANNOTATION]))
        metadata = client.V1ObjectMeta(name=name, resource_version=stored["metadata"]["resourceVersion"])
        return client.V1Namespace(metadata=metadata)

    def add_pod(self, namespace: str, name: str) -> None:
        """Adds a pod."""
        self.pods.add({"metadata": {"namespace": namespace, "name": name}})

    def start(self) -> None:
        """Starts both informers."""
        for informer in self.informers:
            informer.start()


@pytest.fixture(scope="module")
def core(module_mocker: MockerFixture) -> Mock:
    """A mock of the official client: a method that it lacks, or a wrong argument, is an error.

    It has 400 methods and takes half a second to make, so the tests of this file share it.
    """
    made: Mock = module_mocker.create_autospec(client.CoreV1Api, instance=True)
    return made


@pytest.fixture
def site(core: Mock) -> Iterator[Site]:
    """A pod counter whose informers are stopped when the test is over."""
    core.reset_mock(return_value=True, side_effect=True)
    made = Site(core)
    yield made
    for informer in made.informers:
        assert informer.stop(10)


def test_pods_are_counted_at_the_start_and_at_each_change(site: Site) -> None:
    """The annotation has the number of pods in the namespace."""
    site.namespaces.add({"metadata": {"name": "shop"}})
    site.add_pod("shop", "a")
    site.add_pod("shop", "b")
    site.start()
    assert site.patches.get(timeout=10) == ("shop", "2")
    site.add_pod("shop", "c")
    assert site.patches.get(timeout=10) == ("shop", "3")
    site.pods.delete({"metadata": {"namespace": "shop", "name": "a"}})
    assert site.patches.get(timeout=10) == ("shop", "2")


def test_a_right_annotation_is_not_written_again(site: Site) -> None:
    """Of two namespaces, only the one whose annotation is wrong is patched."""
    site.namespaces.add({"metadata": {"name": "right", "annotations": {ANNOTATION: "1"}}})
    site.namespaces.add({"metadata": {"name": "wrong", "annotations": {ANNOTATION: "7"}}})
    site.add_pod("right", "a")
    site.start()
    assert site.patches.get(timeout=10) == ("wrong", "0")
    site.core.patch_namespace.assert_called_once()


def test_pods_of_a_deleted_namespace_are_not_an_error(site: Site) -> None:
    """The namespace is not patched, and later changes are counted."""
    site.add_pod("gone", "a")
    site.namespaces.add({"metadata": {"name": "shop"}})
    site.start()
    assert site.patches.get(timeout=10) == ("shop", "0")
    site.add_pod("shop", "b")
    assert site.patches.get(timeout=10) == ("shop", "1")
    assert {call.args[0] for call in site.core.patch_namespace.call_args_list} == {"shop"}

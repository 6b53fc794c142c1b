"""The pod counter, run as a program against the embedded API server and a real kube-apiserver."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch

from informer.testing import EmbeddedAPIServer
from tests.support.objects import pod
from tests.support.waiting import PROMPT

SAMPLE = "pod_counter.py"
ANNOTATION = "example.com/pods"


class Site:
    """A server with a kubeconfig and its core API."""

    def __init__(self, server: Any, path: Path, core: client.CoreV1Api) -> None:
        self.server = server
        self.env = {"KUBECONFIG": str(server.kubeconfig(path))}
        self.core = core

    def namespace(self) -> str:
        """Creates a namespace and returns its name."""
        return str(self.core.create_namespace({"metadata": {"generateName": "counted-"}}).metadata.name)

    def wait_for(self, namespace: str, count: int, timeout: int = 20) -> None:
        """Waits until the annotation of a namespace is `count`."""
        seen = []
        follower = watch.Watch()
        for event in follower.stream(
            self.core.list_namespace, field_selector=f"metadata.name={namespace}", timeout_seconds=timeout
        ):
            seen.append((event["object"].metadata.annotations or {}).get(ANNOTATION))
            if seen[-1] == str(count):
                follower.stop()
                return
        raise AssertionError(f"{namespace} was never said to have {count} pods, but {seen}")

    def history(self, namespace: str, since: str) -> list[str]:
        """Returns the counts written to a namespace since a resourceVersion and in the next second."""
        changes = watch.Watch().stream(
            self.core.list_namespace,
            field_selector=f"metadata.name={namespace}",
            resource_version=since,
            timeout_seconds=1,
        )
        return [change["object"].metadata.annotations[ANNOTATION] for change in changes]


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.cluster, pytest.mark.timeout(120)])])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Each server in turn."""
    with contextlib.ExitStack() as stack:
        if request.param == "embedded":
            server: Any = stack.enter_context(EmbeddedAPIServer())
        else:
            server = request.getfixturevalue("control_plane")
        api_client = stack.enter_context(server.api_client())
        yield Site(server, tmp_path / "kubeconfig", client.CoreV1Api(api_client))


def test_annotation_counts_the_pods_of_each_namespace(site: Site, run_sample: Callable[..., Any]) -> None:
    """The annotation counts existing, added and deleted pods, in old and new namespaces; Ctrl-C ends the program."""
    old, empty = site.namespace(), site.namespace()
    for name in ("a", "b", "c"):
        site.core.create_namespaced_pod(old, pod(name, old))
    program = run_sample(SAMPLE, env=site.env)
    site.wait_for(old, 3)
    site.wait_for(empty, 0)
    site.core.create_namespaced_pod(old, pod("d", old))
    site.wait_for(old, 4)
    for name in ("a", "b", "c"):
        site.core.delete_namespaced_pod(name, old, grace_period_seconds=0)
    site.wait_for(old, 1)
    new = site.namespace()
    for name in ("x", "y"):
        site.core.create_namespaced_pod(new, pod(name, new))
    site.wait_for(new, 2)
    site.core.delete_namespaced_pod("d", old, grace_period_seconds=0)
    site.wait_for(old, 0)
    assert program.interrupt() < PROMPT
    assert program.end() == (0, [], [])


def test_count_is_written_once(site: Site, run_sample: Callable[..., Any]) -> None:
    """Each count is written once; a change made while the program was stopped is counted by the next start."""
    name = site.namespace()
    made = site.core.read_namespace(name).metadata.resource_version
    site.core.create_namespaced_pod(name, pod("a", name))
    first = run_sample(SAMPLE, env=site.env)
    site.wait_for(name, 1)
    site.core.create_namespaced_pod(name, pod("b", name))
    site.wait_for(name, 2)
    assert first.interrupt() < PROMPT
    assert first.end() == (0, [], [])
    site.core.delete_namespaced_pod("a", name, grace_period_seconds=0)
    second = run_sample(SAMPLE, env=site.env)
    site.wait_for(name, 1)
    assert site.history(name, made) == ["1", "2", "1"]
    assert second.interrupt() < PROMPT
    assert second.end() == (0, [], [])

"""Answers of 404: how often the server is asked, and what becomes of the cache."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from informer import ApiError, Backoff, ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.waiting import DEADLINE
from watch import Channel

NAME = "widgets.example.com"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": NAME},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}

BOTH_WAYS = pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])
BOTH_QUEUES = pytest.mark.parametrize("queue", ["in_order", "delta"])


def widget(name: str) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, "namespace": "default"}}


@pytest.fixture
def follow(server: EmbeddedAPIServer) -> Iterator[Any]:
    """Starts informers of a resource, with what they tell; they are stopped when the test is over."""
    made: list[SharedInformer[Any]] = []

    def start(resource: str, **options: Any) -> tuple[SharedInformer[Any], Channel[Any], Channel[Any]]:
        told: Channel[Any] = Channel(None)
        failures: Channel[tuple[float, Exception]] = Channel(None)
        options.setdefault("backoff", Backoff(initial=0.02, maximum=0.1))
        informer: SharedInformer[Any] = SharedInformer(
            ListWatch.for_resource(server.api_client(), resource),
            watch_error_handler=lambda informer, error: failures.put((time.monotonic(), error)),
            **options,
        )
        informer.add_event_handler(
            on_add=lambda obj: told.put(("add", obj.name)),
            on_delete=lambda obj, *, final_state_unknown: told.put(("delete", obj.name, final_state_unknown)),
        )
        informer.start()
        made.append(informer)
        return informer, told, failures

    yield start
    for informer in made:
        assert informer.stop(DEADLINE)


@BOTH_WAYS
def test_the_server_is_asked_less_and_less(server: EmbeddedAPIServer, follow: Any, watch_list: bool) -> None:
    """With each 404 the wait is longer, up to the backoff's maximum; a try costs a request or two."""
    backoff = Backoff(initial=0.05, maximum=0.4, jitter=0.0)
    informer, _, failures = follow(NAME, watch_list=watch_list, backoff=backoff)
    moments = [failures.get(DEADLINE)[0] for _ in range(7)]
    waits = [after - before for before, after in itertools.pairwise(moments)]
    assert all(wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.2, 0.4, 0.4, 0.4), strict=True)), waits
    assert not informer.is_watching
    assert informer.stop(DEADLINE)
    # What is served is asked once a try, and once more where it begins with a watch list. An eighth may be under way.
    assert len(server.requests) <= 8 * (2 if watch_list else 1), list(server.requests)
    assert {request.path for request in server.requests} == {"/apis"}


@BOTH_QUEUES
@BOTH_WAYS
def test_a_404_that_passes_takes_nothing_from_the_cache(
    server: EmbeddedAPIServer, follow: Any, queue: str, watch_list: bool
) -> None:
    """client-go source. Handlers are told nothing, readers see what was there, and the informer says what is wrong."""
    server.create(DEFINITION)
    server.create(widget("one"))
    informer, told, failures = follow(NAME, queue=queue, watch_list=watch_list)
    assert told.get(DEADLINE) == ("add", "one")
    server.requests.wait_for(1, "watch_list" if watch_list else "watch", NAME, open=True)
    for verb in ("list", "watch", "watch_list"):
        server.faults.answer(404, body=b"404 page not found\n", on=verb, resource=NAME, times=None)
    server.faults.cut_connections(resource=NAME)
    error = failures.get(DEADLINE)[1]
    assert isinstance(error, ApiError)
    assert error.status == 404
    assert "it does not serve this resource, perhaps not yet" in str(error)
    failures.get(DEADLINE)
    assert list(informer.store) == ["default/one"]
    assert informer.has_synced()
    server.requests.clear()
    server.faults.clear()
    server.requests.wait_for(1, "watch_list" if watch_list else "watch", NAME, status=200, open=True)
    server.create(widget("two"))
    assert told.get(DEADLINE) == ("add", "two")
    assert (informer.is_watching, informer.sync_error()) == (True, None)
    assert len(told) == 0


@BOTH_QUEUES
@BOTH_WAYS
def test_what_went_unseen_is_deleted_by_the_list_that_follows(
    server: EmbeddedAPIServer, follow: Any, queue: str, watch_list: bool
) -> None:
    """When a resource went and came back while nobody could watch, its objects of before are deleted, and new ones added."""
    server.create(DEFINITION)
    for name in ("one", "two"):
        server.create(widget(name))
    informer, told, failures = follow(NAME, queue=queue, watch_list=watch_list)
    assert {told.get(DEADLINE) for _ in range(2)} == {("add", "one"), ("add", "two")}
    server.requests.wait_for(1, "watch_list" if watch_list else "watch", NAME, open=True)
    server.faults.refuse_connections()
    server.faults.cut_connections()
    server.delete("customresourcedefinitions", NAME)
    server.faults.accept_connections()
    while getattr(failures.get(DEADLINE)[1], "status", None) != 404:
        pass
    assert sorted(informer.store) == ["default/one", "default/two"]
    server.create(DEFINITION)
    server.create(widget("new"))
    expected = {("delete", "one", True), ("delete", "two", True), ("add", "new")}
    assert {told.get(DEADLINE) for _ in range(3)} == expected
    assert informer.wait_until(lambda: list(informer.store) == ["default/new"], DEADLINE)
    assert len(told) == 0

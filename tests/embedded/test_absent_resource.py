"""Answers of 404: how often the informer asks, and what happens to its cache."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from informer import ApiError, Backoff, ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import custom_resource
from tests.support.waiting import DEADLINE
from watch import Channel

NAME = "widgets.example.com"
DEFINITION = custom_resource("example.com")

BOTH_WAYS = pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])
BOTH_QUEUES = pytest.mark.parametrize("queue", ["in_order", "delta"])


def widget(name: str) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, "namespace": "default"}}


@pytest.fixture
def follow(server: EmbeddedAPIServer) -> Iterator[Any]:
    """Starts informers and returns each with its handler's calls and its failures; they are stopped when the test is over."""
    made: list[SharedInformer[Any]] = []

    def start(resource: str, **options: Any) -> tuple[SharedInformer[Any], Channel[Any], Channel[Any]]:
        received: Channel[Any] = Channel(None)
        failures: Channel[tuple[float, Exception]] = Channel(None)
        options.setdefault("backoff", Backoff(initial=0.02, maximum=0.1))
        informer: SharedInformer[Any] = SharedInformer(
            ListWatch.for_resource(server.api_client(), resource),
            watch_error_handler=lambda informer, error: failures.put((time.monotonic(), error)),
            **options,
        )
        informer.add_event_handler(
            on_add=lambda obj: received.put(("add", obj.name)),
            on_delete=lambda obj, *, final_state_unknown: received.put(("delete", obj.name, final_state_unknown)),
        )
        informer.start()
        made.append(informer)
        return informer, received, failures

    yield start
    for informer in made:
        assert informer.stop(DEADLINE)


@BOTH_WAYS
def test_waits_after_404_grow(server: EmbeddedAPIServer, follow: Any, watch_list: bool) -> None:
    """Each 404 lengthens the wait, up to the backoff's maximum; one try costs one or two requests."""
    backoff = Backoff(initial=0.05, maximum=0.4, jitter=0.0)
    informer, _, failures = follow(NAME, watch_list=watch_list, backoff=backoff)
    moments = [failures.get(DEADLINE)[0] for _ in range(7)]
    waits = [after - before for before, after in itertools.pairwise(moments)]
    assert all(wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.2, 0.4, 0.4, 0.4), strict=True)), waits
    assert not informer.is_watching
    assert informer.stop(DEADLINE)
    # A try asks once what is served, and a second time if it begins with a watch list. An eighth try may be under way.
    assert len(server.requests) <= 8 * (2 if watch_list else 1), list(server.requests)
    assert {request.path for request in server.requests} == {"/apis"}


@BOTH_QUEUES
@BOTH_WAYS
def test_passing_404_leaves_the_cache_as_it_was(
    server: EmbeddedAPIServer, follow: Any, queue: str, watch_list: bool
) -> None:
    """client-go source. Handlers get no call, the cache stays as it was, and the informer reports the 404."""
    server.create(DEFINITION)
    server.create(widget("one"))
    informer, received, failures = follow(NAME, queue=queue, watch_list=watch_list)
    assert received.get(DEADLINE) == ("add", "one")
    server.requests.wait_for(1, "watch_list" if watch_list else "watch", NAME, open=True)
    for verb in ("list", "watch", "watch_list"):
        server.faults.answer(404, body=b"404 page not found\n", on=verb, resource=NAME, times=None)
    server.faults.cut_connections(resource=NAME)
    error = failures.get(DEADLINE)[1]
    while isinstance(error, ConnectionError):
        # A watch that was requested before all connections were cut.
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
    assert received.get(DEADLINE) == ("add", "two")
    assert (informer.is_watching, informer.sync_error()) == (True, None)
    assert len(received) == 0


@BOTH_QUEUES
@BOTH_WAYS
def test_unobserved_deletions_are_found_by_the_next_list(
    server: EmbeddedAPIServer, follow: Any, queue: str, watch_list: bool
) -> None:
    """If a resource was removed and restored unobserved, its old objects are deleted and the new ones added."""
    server.create(DEFINITION)
    for name in ("one", "two"):
        server.create(widget(name))
    informer, received, failures = follow(NAME, queue=queue, watch_list=watch_list)
    assert {received.get(DEADLINE) for _ in range(2)} == {("add", "one"), ("add", "two")}
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
    assert {received.get(DEADLINE) for _ in range(3)} == expected
    assert informer.wait_until(lambda: list(informer.store) == ["default/new"], DEADLINE)
    assert len(received) == 0

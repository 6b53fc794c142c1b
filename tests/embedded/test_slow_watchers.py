"""Watchers that do not read: what the server keeps for them is bounded, and their watches end."""

from __future__ import annotations

import http.client
import json
import tracemalloc

from informer import SharedInformerFactory
from tests.support.objects import config_map
from tests.support.waiting import eventually

MAPS = "/api/v1/namespaces/default/configmaps"
_SIZE = 50_000


def write(server, count: int) -> None:
    """Updates one object `count` times, with 50 kB each time."""
    for number in range(count):
        server.update({**config_map("a"), "data": {"number": str(number), "filler": f"{number:06}" * (_SIZE // 6)}})


def test_memory_is_bounded_when_a_watcher_does_not_read(server, call):
    """150 MB of writes: the server keeps a part of the history and of what waits for the watcher."""
    server.create(config_map("a"))
    tracemalloc.start()
    try:
        call.watch(MAPS)
        write(server, 3000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 80 << 20


def test_a_watch_that_is_not_read_ends_properly(server, call):
    """The client gets the first events without a gap, and the end of the stream; a new watch goes on from there."""
    version = server.create(config_map("a"))["metadata"]["resourceVersion"]
    stream = call.watch(f"{MAPS}?resourceVersion={version}")
    write(server, 600)
    numbers = []
    try:
        for _, obj in stream.rest():
            version = obj["metadata"]["resourceVersion"]
            numbers.append(int(obj["data"]["number"]))
    except http.client.IncompleteRead:
        raise AssertionError("the stream was cut") from None
    assert 0 < len(numbers) < 600
    assert numbers == list(range(len(numbers)))
    more = call.watch(f"{MAPS}?resourceVersion={version}")
    assert json.loads(more.line())["object"]["data"]["number"] == str(len(numbers))


def test_a_watch_that_is_read_does_not_end(server):
    """An informer that reads gets every change through one watch, however much is written."""
    server.create(config_map("a"))
    with server.api_client() as api_client:
        maps = SharedInformerFactory(api_client).informer("configmaps")
        with maps:
            assert maps.wait_for_sync(20)
            for first in range(0, 1000, 50):
                write(server, 50)
                version = server.get("configmaps", "a")["metadata"]["resourceVersion"]
                assert maps.wait_for_resource_version(version, 20), first
            assert eventually(lambda: maps.lister.get("a", "default")["data"]["number"] == "49")
    assert len([each for each in server.requests if each.verb in ("watch", "watch_list")]) <= 2

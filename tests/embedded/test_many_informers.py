"""Many informers in one process: their threads at rest, and how their reconnections are spread over time."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from informer import Backoff, ListOptions, SharedInformer, SharedInformerFactory, wait_for_cache_sync
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map, custom_resource
from tests.support.waiting import DEADLINE, eventually
from watch import Channel

MANY = 60
# Seconds. The longest first wait is twice this, so the waits of many informers spread over at least half of it.
INITIAL = 0.4
# Seconds: half the time over which the requests of MANY informers to one server are paced; the first may be late.
PACED_OVER = (MANY - 10) / 200 / 2


class Attempts:
    """The time of each attempted request, including requests that got no answer."""

    def __init__(self) -> None:
        self._noted: list[tuple[float, str]] = []

    def note(self, options: ListOptions) -> ListOptions:
        self._noted.append((time.monotonic(), "watch list" if options.send_initial_events else "watch"))
        return options

    def since(self, start: float, verb: str | None = None) -> list[float]:
        """Returns the attempts since `start`, in seconds after `start`, in order."""
        return sorted(at - start for at, noted in self._noted if at >= start and verb in (None, noted))


def spread(times: list[float]) -> float:
    """Returns the seconds in which the middle 80 % of the attempts came, so that a slow machine counts for little."""
    return times[len(times) * 9 // 10] - times[len(times) // 10]


def kinds_of(threads: set[threading.Thread]) -> Counter[str]:
    return Counter("handler" if thread.name.endswith("-handler") else "informer" for thread in threads)


def own_threads(before: set[threading.Thread]) -> set[threading.Thread]:
    """Returns the threads started since, without the server's, which has one per connection."""
    return {thread for thread in set(threading.enumerate()) - before if not thread.name.startswith("apiserver")}


def wake_ups(threads: set[threading.Thread]) -> int:
    """Returns how often these threads have blocked so far."""
    total = 0
    for thread in threads:
        lines = Path(f"/proc/self/task/{thread.native_id}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total


def all_sleep_for(seconds: float, threads: set[threading.Thread]) -> bool:
    """Returns whether none of these threads wakes up within `seconds` seconds."""
    before = wake_ups(threads)
    threading.Event().wait(seconds)
    return wake_ups(threads) == before


class Many:
    """Informers of one object each, with a handler that records the versions it gets."""

    def __init__(self, server: EmbeddedAPIServer) -> None:
        self.server = server
        self.attempts = Attempts()
        self.received: Channel[tuple[str, str]] = Channel(None)
        self.factory = SharedInformerFactory(server.api_client(), tweak_list_options=self.attempts.note)
        self.informers: list[SharedInformer[Any]] = []
        for i in range(MANY):
            server.create(config_map(f"c{i}", labels={"part": f"p{i}"}))
            informer = self.factory.informer(
                "configmaps", label_selector=f"part=p{i}", backoff=Backoff(INITIAL), watch_list=True
            )
            informer.add_event_handler(
                on_add=lambda obj: self.received.put((obj.name, obj.resource_version)),
                on_update=lambda old, new: self.received.put((new.name, new.resource_version)),
            )
            self.informers.append(informer)

    def change_all(self) -> set[tuple[str, str]]:
        """Changes every object, and returns their names and versions."""
        written = (
            self.server.update(config_map(f"c{i}", labels={"part": f"p{i}", "at": str(time.monotonic())}))
            for i in range(MANY)
        )
        return {(obj["metadata"]["name"], obj["metadata"]["resourceVersion"]) for obj in written}

    def wait_for(self, versions: set[tuple[str, str]]) -> None:
        missing, deadline = set(versions), time.monotonic() + DEADLINE
        while missing:
            missing.discard(self.received.get(deadline - time.monotonic()))

    def cached(self) -> set[tuple[str, str]]:
        return {(obj.name, obj.resource_version) for informer in self.informers for obj in informer.store.list()}


def test_informer_and_handler_have_one_thread_each_that_does_not_poll(server: EmbeddedAPIServer) -> None:
    """Sixty informers with one handler each have 120 threads, which sleep until an event arrives and end with the factory."""
    before = set(threading.enumerate())
    many = Many(server)
    assert own_threads(before) == set()
    with many.factory:
        assert wait_for_cache_sync(*many.informers, timeout=DEADLINE)
        server.requests.wait_for(MANY, "watch_list", open=True)
        many.wait_for(many.change_all())
        threads = own_threads(before)
        assert kinds_of(threads) == {"informer": MANY, "handler": MANY}
        assert len(many.attempts.since(0)) == MANY
        if sys.platform.startswith("linux"):
            # Not at the first attempt if the last thread is still on its way back to its wait.
            assert eventually(lambda: all_sleep_for(0.5, threads))
    assert own_threads(before) == set()


def test_reconnections_after_a_restart_are_spread_out(server: EmbeddedAPIServer) -> None:
    """Watches are refused, then expired; both waits are spread out, requests are few, and all caches are right."""
    before = set(threading.enumerate())
    many = Many(server)
    with many.factory:
        assert wait_for_cache_sync(*many.informers, timeout=DEADLINE)
        server.requests.wait_for(MANY, "watch_list", open=True)
        gone = time.monotonic()
        server.faults.refuse_connections()
        server.faults.cut_connections()
        versions = many.change_all()
        assert eventually(lambda: len(many.attempts.since(gone)) >= MANY)
        server.restart()
        many.wait_for(versions)
        assert many.cached() == versions
        again = many.attempts.since(gone, "watch")
        relists = many.attempts.since(gone, "watch list")
        # One attempt at once, which is refused (the last ones may find the server back); after a wait a list of one object,
        # and the watch, which is expired; and a list after another wait.
        assert len(relists) == MANY
        assert 3 * MANY // 2 <= len(again) <= 4 * MANY
        # Pacing lets ten requests go at once, and one more every five milliseconds.
        assert again[MANY - 1] - again[0] > PACED_OVER
        assert spread(again[MANY:]) > INITIAL / 3
        assert spread(relists) > INITIAL / 3
        assert kinds_of(own_threads(before)) == {"informer": MANY, "handler": MANY}


def test_retries_after_retry_after_are_spread_out(server: EmbeddedAPIServer) -> None:
    """With `Retry-After: 1` no informer returns before one second, and they return over the course of the next one."""
    many = Many(server)
    server.faults.too_many_requests(1, on="watch_list", times=MANY)
    begun = time.monotonic()
    with many.factory:
        assert wait_for_cache_sync(*many.informers, timeout=DEADLINE)
        attempts = many.attempts.since(begun)
        assert len(attempts) == 2 * MANY
        assert attempts[MANY] >= 1.0
        assert spread(attempts[MANY:]) > 0.4


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        pytest.param("many0s.example.com", ["/apis", "/apis/example.com/v1"], id="group"),
        pytest.param("example.com/v1/Many0", ["/apis/example.com/v1"], id="version"),
    ],
)
def test_discovery_of_a_group_is_shared_by_its_informers(
    server: EmbeddedAPIServer, name: str, asked: list[str]
) -> None:
    """The server's answer about a group is reused for its other resources, by any form of their names."""
    for i in range(5):
        server.create(custom_resource("example.com", f"many{i}s", f"Many{i}"))
    factory = SharedInformerFactory(server.api_client())
    with factory:
        for i in range(5):
            factory.informer(name.replace("0", str(i))).start()
            assert all(factory.wait_for_cache_sync(DEADLINE).values())
        assert [r.path for r in server.requests if r.verb not in ("list", "watch", "watch_list")] == asked

"""A network and a server that fail while objects change: every kind of informer comes back to what the server holds."""

from __future__ import annotations

import itertools
import logging
import time
from random import Random
from threading import Event
from urllib.parse import urlsplit

import pytest
import urllib3

from informer import Backoff, ListWatch
from tests.cluster.faults.proxy import FaultProxy
from watch.concurrency import Worker

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

# All of them at once, through one proxy: the faults take their time, and so last only once.
WAYS = [{"watch_list": watch_list, "queue": queue} for watch_list in (False, True) for queue in ("in_order", "delta")]
BACKOFF = Backoff(initial=0.05, maximum=1.0)


class Writer:
    """Creates, changes and deletes ConfigMaps, directly at the server, until it is stopped."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.written = 0
        self._random = Random(1)
        self._stop = Event()
        self._worker = Worker(self._run, "writer").start()

    def stop(self):
        self._stop.set()
        assert self._worker.join(35)

    def _run(self):
        for turn in itertools.count():
            if self._stop.wait(0.01):
                return
            try:
                self._write(turn)
                self.written += 1
            # The server is down, or was when it had to answer for the write before.
            except (urllib3.exceptions.HTTPError, AssertionError):
                pass

    def _write(self, turn):
        cluster, maps = self.namespace.cluster, self.namespace.configmaps
        name = f"map-{self._random.randrange(30)}"
        there = f"{self.namespace.name}/{name}" in cluster.items(maps)
        if not there:
            cluster.create(maps, {"metadata": {"name": name}, "data": {"turn": str(turn), "fill": "x" * 500}})
        elif self._random.random() < 0.3:
            cluster.delete(f"{maps}/{name}")
        else:
            cluster.patch(f"{maps}/{name}", {"data": {"turn": str(turn)}})


def record(informer):
    told = []
    informer.add_event_handler(
        on_add=lambda obj: told.append(("add", obj.name, int(obj.resource_version))),
        on_update=lambda old, new: told.append(("update", new.name, int(new.resource_version))),
        on_delete=lambda obj: told.append(("delete", obj.name, int(obj.resource_version))),
    )
    return told


def replay(told):
    """The state that a handler's calls lead to; fails where they contradict each other."""
    state, last = {}, {}
    for what, name, version in list(told):
        assert (name in state) == (what != "add"), (what, name, version)
        assert version >= last.get(name, 0), (what, name, version)
        last[name] = version
        if what == "delete":
            del state[name]
        else:
            state[name] = version
    return state


def cuts(proxy, namespace):
    for turn in range(40):
        proxy.cut(reset=turn % 2 == 0)
        Event().wait(0.05)


def truncation(proxy, namespace):
    with proxy.truncating(20_000):
        Event().wait(2)


def freeze(proxy, namespace):
    with proxy.frozen():
        Event().wait(4)


def silence(proxy, namespace):
    proxy.silence()
    Event().wait(0.5)  # what is written meanwhile can only come once the connections are given up


def absence(proxy, namespace):
    with proxy.refusing():
        Event().wait(1.5)


def slow_link(proxy, namespace):
    with proxy.slow(20_000):
        Event().wait(2)


def crash(proxy, namespace):
    namespace.cluster.plane.kill()
    namespace.cluster.plane.restart()


def lost_history(proxy, namespace):
    with proxy.refusing():
        Event().wait(0.5)
        namespace.cluster.plane.compact()
        namespace.cluster.plane.restart()


FAULTS = [cuts, truncation, freeze, silence, absence, slow_link, crash, lost_history]


def most_connections(seconds, informers):
    """How many connections the waits allow.

    The waits double from 0.05 s to 1 s: five are shorter than that, and then there is one a second. After each, an informer
    opens at most a watch (or watch list), a list in its stead, and the watch that follows the list.
    """
    return informers * 3 * (6 + seconds / BACKOFF.maximum)


@pytest.fixture
def proxy(unsteady_cluster):
    address = urlsplit(unsteady_cluster.plane.url)
    made = FaultProxy(address.hostname, address.port, random=Random(2))
    yield made
    made.close()


# Python's own wrap_socket drops its socket unclosed when the peer resets the connection before the handshake.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_cache_and_handlers_end_in_the_servers_state(unsteady, proxy, informers, fault):
    """After a fault the caches equal a new list, and what handlers were told is free of contradictions and leads there."""
    api_client = unsteady.cluster.plane.api_client()
    api_client.configuration.host = f"https://127.0.0.1:{proxy.port}"
    made = [
        informers.start(
            ListWatch.for_resource(api_client, "configmaps", namespace=unsteady.name),
            backoff=BACKOFF,
            silence_timeout=3,
            **way,
        )
        for way in WAYS
    ]
    told = [record(informer) for informer in made]
    writer = Writer(unsteady)
    try:
        informers.wait_until(lambda: writer.written > 20)
        before, begun = len(proxy.accepted()), time.monotonic()
        fault(proxy, unsteady)
        ended = time.monotonic()
    finally:
        writer.stop()
    times = []
    for informer in made:
        informers.wait_until_equal(informer, unsteady.cluster, unsteady.configmaps)
        times.append(round(time.monotonic() - ended, 2))
    listed = {
        item["metadata"]["name"]: int(item["metadata"]["resourceVersion"])
        for item in unsteady.cluster.items(unsteady.configmaps).values()
    }
    for calls in told:
        informers.wait_until(lambda calls=calls: replay(calls) == listed)
    opened = len(proxy.accepted()) - before
    allowed = most_connections(time.monotonic() - begun, len(made))
    logging.getLogger(__name__).info("recovered after %s s, %d connections of %d", times, opened, allowed)
    assert opened <= allowed

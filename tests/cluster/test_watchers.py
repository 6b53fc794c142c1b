"""Watches over a real connection: streams, retries and waits, read and stopped."""

from __future__ import annotations

import contextlib
import queue
import time

import pytest
from kubernetes import client

from informer import ListWatch, until_with_sync
from watch import (
    Channel,
    ChannelClosedError,
    EventType,
    JSONDecoder,
    ListOptions,
    RetryWatcher,
    StreamWatcher,
    WatchClosedError,
    WatchTimeoutError,
    list_watch_until,
    until,
    until_with_retry,
)
from watch.concurrency import Worker

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


def summary(event):
    return str(event.type), event.object.name


def is_event(type, name):
    return lambda event: summary(event) == (type, name)


@pytest.fixture
def version(namespace):
    """A resourceVersion before everything that a test does."""
    return namespace.cluster.get(namespace.configmaps)["metadata"]["resourceVersion"]


def configmap(namespace, name):
    return namespace.cluster.create(namespace.configmaps, {"metadata": {"name": name}})


def change(namespace, name):
    return namespace.cluster.label(f"{namespace.configmaps}/{name}", changed="yes")


def delete(namespace, name):
    return namespace.cluster.delete(f"{namespace.configmaps}/{name}")


@pytest.mark.parametrize("read", ["pulled", "channel"])
def test_watch_gives_the_servers_events_in_order(namespace, version, read):
    """A watch from a resourceVersion gives what happened since and what happens now, by either way to read it."""
    configmap(namespace, "a")
    watcher = namespace.list_watch("configmaps").watch(ListOptions(resource_version=version))
    with watcher:
        change(namespace, "a")
        delete(namespace, "a")
        events = []
        while len(events) < 3:
            events += watcher.next_batch(10) if read == "pulled" else watcher.result_chan().get_batch(timeout=10)
    assert [summary(event) for event in events] == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_watch_ends_when_the_server_says_so(namespace, version):
    """A watch with `timeout_seconds` ends by itself, after a bookmark if those were asked for."""
    options = ListOptions(resource_version=version, timeout_seconds=1, allow_watch_bookmarks=True)
    with namespace.list_watch("configmaps").watch(options) as watcher:
        events = list(watcher)
    assert {event.type for event in events} <= {EventType.BOOKMARK}
    with pytest.raises(WatchClosedError):
        watcher.next_batch(1)


@pytest.mark.parametrize("read", ["pulled", "channel", "iterated"])
def test_stop_ends_a_read_that_is_blocked_in_tls(namespace, version, read):
    """`stop` from another thread ends a read of a quiet TLS connection at once."""
    watcher = namespace.list_watch("configmaps").watch(ListOptions(resource_version=version))
    configmap(namespace, "first")
    read_one, ended = Channel(None), Channel(None)

    def events():
        with contextlib.suppress(WatchClosedError, ChannelClosedError):
            while read != "iterated":
                yield from watcher.next_batch() if read == "pulled" else watcher.result_chan().get_batch()
            yield from watcher

    def consume():
        for event in events():
            read_one.put(summary(event))
        ended.put(None)

    reader = Worker(consume, "reader").start()
    assert read_one.get(10) == ("ADDED", "first")
    begun = time.monotonic()
    watcher.stop()
    ended.get(10)
    assert time.monotonic() - begun < 1
    assert reader.join(10)
    assert len(read_one) == 0


def test_official_clients_response_is_read(namespace, version):
    """`JSONDecoder` reads the response of a list method of the official client, asked to watch and left unread."""
    core = client.CoreV1Api(namespace.cluster.api_client)
    response = core.list_namespaced_config_map(
        namespace.name, watch=True, resource_version=version, timeout_seconds=30, _preload_content=False
    )
    with StreamWatcher(JSONDecoder(response)) as watcher:
        configmap(namespace, "a")
        event = next(iter(watcher))
    assert (event.type, event.object["metadata"]["name"]) == (EventType.ADDED, "a")


def test_retry_watcher_goes_on_over_ends_of_watches(namespace, version):
    """The server ends each watch after a second; the events of all of them come once each and in order."""
    short = namespace.list_watch("configmaps").tweaked(
        lambda options: ListOptions(
            resource_version=options.resource_version, timeout_seconds=1, allow_watch_bookmarks=True
        )
    )
    with RetryWatcher(version, short, min_restart_delay=0.05) as watcher:
        channel = watcher.result_chan()
        seen = []
        for i in range(3):
            configmap(namespace, f"c{i}")
            seen.append(summary(channel.get(10)))
            change(namespace, f"c{i}")
            seen.append(summary(channel.get(10)))
            # Long enough for the watch to have ended.
            with pytest.raises(queue.Empty):
                channel.get(0.6)
    assert seen == [(type, f"c{i}") for i in range(3) for type in ("ADDED", "MODIFIED")]
    assert watcher.done.wait(10)


def test_retry_watcher_is_never_silent_after_the_servers_death(unsteady):
    """Killed and started again, a server either has the history still, and the events go on, or a 410 ends the watch."""
    version = configmap(unsteady, "first")["metadata"]["resourceVersion"]
    with RetryWatcher(version, unsteady.list_watch("configmaps"), min_restart_delay=0.1) as watcher:
        channel = watcher.result_chan()
        configmap(unsteady, "before")
        assert summary(channel.get(10)) == ("ADDED", "before")
        unsteady.cluster.plane.kill()
        unsteady.cluster.plane.restart()
        configmap(unsteady, "after")
        event = channel.get(20)
        if event.type == EventType.ERROR:
            assert event.object["code"] == 410
            with pytest.raises(ChannelClosedError):
                channel.get(10)
        else:
            assert summary(event) == ("ADDED", "after")


def test_retry_watcher_ends_with_the_servers_410(unsteady):
    """A history that is gone ends it, with one ERROR event that carries the server's Status."""
    list_watch = unsteady.list_watch("configmaps")
    with list_watch.watch(ListOptions(resource_version="1", timeout_seconds=1)) as watcher:
        remembers = EventType.ERROR not in {event.type for event in watcher}
    if remembers:
        # No other test has done so yet.
        unsteady.cluster.plane.restart()
    with RetryWatcher("1", list_watch, min_restart_delay=0.1) as watcher:
        events = list(watcher)
    assert [event.type for event in events] == [EventType.ERROR]
    assert (events[0].object["code"], events[0].object["reason"]) == (410, "Expired")


def test_retry_watcher_ends_with_the_servers_403(cluster, namespace, version):
    """A user without the right to watch gets one ERROR event, and the end."""
    api_client = cluster.plane.api_client(user="nobody")
    list_watch = ListWatch.for_resource(api_client, "configmaps", namespace=namespace.name)
    with RetryWatcher(version, list_watch) as watcher:
        events = list(watcher)
    assert [(event.type, event.object["code"]) for event in events] == [(EventType.ERROR, 403)]


def test_until_with_retry_returns_the_event_that_fulfils_the_last_condition(namespace, version):
    """Conditions come true one after another over a real watch; what was before the version does not count."""
    configmap(namespace, "a")
    change(namespace, "a")
    delete(namespace, "a")
    list_watch = namespace.list_watch("configmaps")
    event = until_with_retry(version, list_watch, is_event("ADDED", "a"), is_event("DELETED", "a"), timeout=20)
    assert summary(event) == ("DELETED", "a")
    with pytest.raises(WatchTimeoutError) as timed_out:
        until_with_retry(version, list_watch, is_event("ADDED", "never"), timeout=0.3)
    assert summary(timed_out.value.last_event) == ("DELETED", "a")


def test_until_stops_the_watch_it_has_read(namespace, version):
    """`until` returns the event and leaves no connection open."""
    configmap(namespace, "a")
    watcher = namespace.list_watch("configmaps").watch(ListOptions(resource_version=version))
    assert summary(until(watcher, is_event("ADDED", "a"), timeout=20)) == ("ADDED", "a")
    with pytest.raises(WatchClosedError):
        watcher.next_batch(5)


def test_list_watch_until_counts_what_is_there_already(namespace):
    """An object that was there before is seen as ADDED, and then what happens to it."""
    configmap(namespace, "a")
    list_watch = namespace.list_watch("configmaps")
    assert summary(list_watch_until(list_watch, is_event("ADDED", "a"), timeout=20)) == ("ADDED", "a")

    writer = Worker(lambda: change(namespace, "a"), "writer")
    event = list_watch_until(
        list_watch,
        lambda event: summary(event) == ("ADDED", "a") and (writer.start() is writer),
        is_event("MODIFIED", "a"),
        timeout=20,
    )
    assert summary(event) == ("MODIFIED", "a")
    assert writer.join(10)


def test_until_with_sync_waits_on_an_informer(namespace):
    """`until_with_sync` shows what there is as ADDED and waits for the rest; a fulfilled precondition ends it at once."""
    configmap(namespace, "a")
    list_watch = namespace.list_watch("configmaps")
    assert summary(until_with_sync(list_watch, is_event("ADDED", "a"), timeout=20)) == ("ADDED", "a")
    there = until_with_sync(
        list_watch,
        is_event("ADDED", "never"),
        precondition=lambda store: f"{namespace.name}/a" in store,
        timeout=20,
    )
    assert there is None

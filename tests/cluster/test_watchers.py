"""Watches of a real kube-apiserver: streams, retries and waits for conditions, and how they are stopped."""

from __future__ import annotations

import contextlib
import queue
import time

import pytest
from kubernetes import client

from informer import ListWatch, until_with_sync
from tests.support.waiting import PROMPT
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
    """A resourceVersion before any write of the test."""
    return namespace.cluster.get(namespace.configmaps)["metadata"]["resourceVersion"]


def configmap(namespace, name):
    return namespace.cluster.create(namespace.configmaps, {"metadata": {"name": name}})


def change(namespace, name):
    return namespace.cluster.label(f"{namespace.configmaps}/{name}", changed="yes")


def delete(namespace, name):
    return namespace.cluster.delete(f"{namespace.configmaps}/{name}")


@pytest.mark.parametrize("read", ["pulled", "channel"])
def test_watch_delivers_events_in_order(namespace, version, read):
    """A watch from a resourceVersion delivers events since then and new events, both ways of reading it."""
    configmap(namespace, "a")
    watcher = namespace.list_watch("configmaps").watch(ListOptions(resource_version=version))
    with watcher:
        change(namespace, "a")
        delete(namespace, "a")
        events = []
        while len(events) < 3:
            events += watcher.next_batch(10) if read == "pulled" else watcher.result_chan().get_batch(timeout=10)
    assert [summary(event) for event in events] == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_watch_ends_after_timeout_seconds(namespace, version):
    """A watch with `timeout_seconds` ends by itself, after a bookmark if bookmarks are allowed."""
    options = ListOptions(resource_version=version, timeout_seconds=1, allow_watch_bookmarks=True)
    with namespace.list_watch("configmaps").watch(options) as watcher:
        events = list(watcher)
    assert {event.type for event in events} <= {EventType.BOOKMARK}
    with pytest.raises(WatchClosedError):
        watcher.next_batch(1)


@pytest.mark.parametrize("read", ["pulled", "channel", "iterated"])
def test_stop_ends_a_blocked_tls_read(namespace, version, read):
    """`stop` from another thread ends a blocked read of a silent TLS connection at once."""
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
    assert time.monotonic() - begun < PROMPT
    assert reader.join(10)
    assert len(read_one) == 0


def test_official_clients_response_is_read(namespace, version):
    """`JSONDecoder` reads the unread response of an official list method that was called with `watch=True`."""
    core = client.CoreV1Api(namespace.cluster.api_client)
    response = core.list_namespaced_config_map(
        namespace.name, watch=True, resource_version=version, timeout_seconds=30, _preload_content=False
    )
    with StreamWatcher(JSONDecoder(response)) as watcher:
        configmap(namespace, "a")
        event = next(iter(watcher))
    assert (event.type, event.object["metadata"]["name"]) == (EventType.ADDED, "a")


def test_retry_watcher_resumes_ended_watches(namespace, version):
    """The server ends each watch after a second; all events arrive once and in order."""
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
            # Long enough for the watch to end.
            with pytest.raises(queue.Empty):
                channel.get(0.6)
    assert seen == [(type, f"c{i}") for i in range(3) for type in ("ADDED", "MODIFIED")]
    assert watcher.done.wait(10)


def test_retry_watcher_after_a_kill_of_the_server(unsteady):
    """After a kill and a restart the events continue if the server kept the history, otherwise a 410 ends the watch."""
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
    """If the history is gone, one ERROR event with the server's Status ends the watch."""
    list_watch = unsteady.list_watch("configmaps")
    with list_watch.watch(ListOptions(resource_version="1", timeout_seconds=1)) as watcher:
        remembers = EventType.ERROR not in {event.type for event in watcher}
    if remembers:
        # Until a test has restarted it, the server still has the history.
        unsteady.cluster.plane.restart()
    with RetryWatcher("1", list_watch, min_restart_delay=0.1) as watcher:
        events = list(watcher)
    assert [event.type for event in events] == [EventType.ERROR]
    assert (events[0].object["code"], events[0].object["reason"]) == (410, "Expired")


def test_retry_watcher_ends_with_the_servers_403(cluster, namespace, version):
    """Without permission to watch there is one ERROR event, and the watch ends."""
    api_client = cluster.plane.api_client(user="nobody")
    list_watch = ListWatch.for_resource(api_client, "configmaps", namespace=namespace.name)
    with RetryWatcher(version, list_watch) as watcher:
        events = list(watcher)
    assert [(event.type, event.object["code"]) for event in events] == [(EventType.ERROR, 403)]


def test_until_with_retry_returns_the_event_of_the_last_condition(namespace, version):
    """The conditions are met one after another; events before the version do not count."""
    configmap(namespace, "a")
    change(namespace, "a")
    delete(namespace, "a")
    list_watch = namespace.list_watch("configmaps")
    event = until_with_retry(version, list_watch, is_event("ADDED", "a"), is_event("DELETED", "a"), timeout=20)
    assert summary(event) == ("DELETED", "a")
    with pytest.raises(WatchTimeoutError) as timed_out:
        until_with_retry(version, list_watch, is_event("ADDED", "never"), timeout=0.3)
    assert summary(timed_out.value.last_event) == ("DELETED", "a")


def test_until_stops_its_watch(namespace, version):
    """`until` returns the event and closes the watch."""
    configmap(namespace, "a")
    watcher = namespace.list_watch("configmaps").watch(ListOptions(resource_version=version))
    assert summary(until(watcher, is_event("ADDED", "a"), timeout=20)) == ("ADDED", "a")
    with pytest.raises(WatchClosedError):
        watcher.next_batch(5)


def test_list_watch_until_counts_existing_objects(namespace):
    """An existing object counts as ADDED, and later changes follow."""
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
    """Existing objects count as ADDED, later events follow; a precondition that holds returns None at once."""
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

"""Watches: history, initial events, bookmarks, selectors, deadlines, compression, and many watches at once."""

from __future__ import annotations

import json
import threading
import time
import zlib

import pytest
import urllib3
from kubernetes import client, watch

from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map, namespace_object

MAPS = "/api/v1/namespaces/default/configmaps"
ALL_MAPS = "/api/v1/configmaps"
END = {"k8s.io/initial-events-end": "true"}
STATE = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


def test_watch_resumes_from_a_resource_version(server, call):
    """Events since that version come first, then new events, in order and each with its own resourceVersion."""
    version = server.create(config_map("a"))["metadata"]["resourceVersion"]
    server.create(config_map("b"))
    server.patch("configmaps", "a", {"data": {"k": "v"}})
    stream = call.watch(f"{ALL_MAPS}?resourceVersion={version}")
    assert stream.status == 200
    assert stream.headers["transfer-encoding"] == "chunked"
    assert stream.events(2) == [("ADDED", "b"), ("MODIFIED", "a")]
    deleted = server.delete("configmaps", "b")
    type, obj = stream.event()
    assert (type, obj["kind"], obj["apiVersion"]) == ("DELETED", "ConfigMap", "v1")
    assert obj["metadata"]["resourceVersion"] == deleted["metadata"]["resourceVersion"] == server.resource_version


def test_each_event_is_one_chunk(server, call):
    """Each event is one chunk and one line."""
    version = server.resource_version
    for name in "abc":
        server.create(config_map(name))
    pool = urllib3.PoolManager()
    response = pool.request("GET", f"{server.url}{ALL_MAPS}?watch=1&resourceVersion={version}", preload_content=False)
    server.faults.end_watches()
    chunks = list(response.read_chunked(decode_content=False))
    pool.clear()
    assert [json.loads(chunk)["object"]["metadata"]["name"] for chunk in chunks] == ["a", "b", "c"]
    assert all(chunk.endswith(b"}\n") for chunk in chunks)


@pytest.mark.parametrize("query", ["", "resourceVersion=0", "resourceVersion="], ids=["unset", "0", "empty"])
def test_watch_without_a_version_begins_with_initial_events(server, call, query):
    """Every object is ADDED first, in the order of the keys."""
    for name in "cab":
        server.create(config_map(name))
    stream = call.watch(f"{MAPS}?{query}")
    assert stream.events(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
    server.create(config_map("d"))
    assert stream.events(1) == [("ADDED", "d")]


def test_initial_events_end_with_a_bookmark(server, call):
    """WatchList: the initial events, a bookmark that ends them, and later events, all in one stream."""
    server.create(config_map("a"))
    version = server.resource_version
    stream = call.watch(f"{MAPS}?{STATE}")
    assert stream.events(1) == [("ADDED", "a")]
    type, obj = stream.event()
    assert (type, obj) == (
        "BOOKMARK",
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": version, "annotations": END}},
    )
    server.create(config_map("b"))
    assert stream.events(1) == [("ADDED", "b")]


def test_end_bookmark_comes_if_bookmarks_are_allowed(server, call):
    """A watch without a resourceVersion gets initial events, and their end bookmark if it allows bookmarks."""
    server.create(config_map("a"))
    with_bookmarks = call.watched(f"{MAPS}?allowWatchBookmarks=true")
    without = call.watched(f"{MAPS}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
    assert [type for type, _ in with_bookmarks] == ["ADDED", "BOOKMARK"]
    assert with_bookmarks[1][1]["metadata"]["annotations"] == END
    assert [type for type, _ in without] == ["ADDED"]


def test_watch_without_initial_events_begins_now(server, call):
    """sendInitialEvents=false leaves out the initial events."""
    server.create(config_map("a"))
    stream = call.watch(f"{MAPS}?sendInitialEvents=false&resourceVersionMatch=NotOlderThan")
    server.requests.wait_for(1, "watch", status=200)
    server.faults.blank_line()  # when this line arrives, the stream has begun
    assert stream.line() == b"\n"
    server.create(config_map("b"))
    assert stream.events(1) == [("ADDED", "b")]


FORBIDDEN = "resourceVersionMatch: Forbidden: "
REFUSALS = {
    "match alone": (
        "resourceVersionMatch=NotOlderThan&resourceVersion=5",
        f"{FORBIDDEN}resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    ),
    "initial events alone": (
        "sendInitialEvents=true",
        f"{FORBIDDEN}sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    ),
    "exact": (
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        f"[{FORBIDDEN}sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: "
        'Unsupported value: "Exact": supported values: "NotOlderThan"]',
    ),
    "continue": ("continue=abc", f"{FORBIDDEN}resourceVersionMatch is forbidden when continue is provided"),
}


@pytest.mark.parametrize(("query", "message"), REFUSALS.values(), ids=REFUSALS)
def test_invalid_watch_is_refused_like_kube_apiserver(call, query, message):
    """An invalid combination of parameters is 422."""
    answer = call("GET", f"{MAPS}?watch=1&{query}")
    assert (answer.status, answer.message) == (422, f'ListOptions.meta.k8s.io "" is invalid: {message}')


@pytest.mark.parametrize(
    ("version", "status"), [("1.31", 422), ("1.32", 200), ("1.33", 422), ("1.34", 200), ("1.37", 200)]
)
def test_servers_without_watch_list_refuse_it(client_of, version, status):
    """1.32 supports watch lists, 1.33 does not, 1.34 and later do."""
    with EmbeddedAPIServer(version=version) as server:
        call = client_of(server)
        assert call("GET", "/version").json["minor"] == version[2:]
        server.faults.short_watches(on="watch_list")
        answer = call("GET", f"{MAPS}?watch=1&{STATE}")
        assert answer.status == status
        if status == 422:
            words = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            assert answer.message.endswith(words)


@pytest.mark.parametrize("forget", ["compact", "restart"])
def test_too_old_resource_version_is_an_error_event(server, call, forget):
    """After a compaction, and after a restart (which empties the watch cache): an ERROR with 410 ends the stream."""
    version = server.create(config_map("a"))["metadata"]["resourceVersion"]
    server.create(config_map("b"))
    getattr(server, forget)()
    events = call.watch(f"{MAPS}?resourceVersion={version}").rest()
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"too old resource version: {version} ({server.resource_version})",
        "reason": "Expired",
        "code": 410,
    }
    assert events == [("ERROR", status)]
    assert call.watched(f"{MAPS}?resourceVersion={server.resource_version}") == []


def test_open_watches_survive_a_compaction(server, call):
    """Only watches that begin after the compaction lack the history."""
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")
    server.create(config_map("a"))
    server.compact()
    server.create(config_map("b"))
    assert stream.events(2) == [("ADDED", "a"), ("ADDED", "b")]


def test_future_resource_version(server, call):
    """With initial events it is an ERROR with 504; without them the watch waits for that version."""
    (error,) = call.watch(f"{MAPS}?{STATE}&resourceVersion=99999999").rest()
    assert error[0] == "ERROR"
    assert (error[1]["code"], error[1]["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")
    assert call.watched(f"{MAPS}?resourceVersion=99999999") == []


def test_bookmarks_come_at_their_interval_and_before_the_end(client_of):
    """A bookmark has the newest resourceVersion, also if another resource caused it."""
    with EmbeddedAPIServer(bookmark_interval=0.05) as server:
        call = client_of(server)
        stream = call.watch(f"{MAPS}?allowWatchBookmarks=true&resourceVersion={server.resource_version}")
        first, bookmark = stream.event()
        assert (first, list(bookmark)) == ("BOOKMARK", ["kind", "apiVersion", "metadata"])
        newest = server.create({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}})["metadata"]
        deadline = time.monotonic() + 5
        while stream.event()[1]["metadata"] != {"resourceVersion": newest["resourceVersion"]}:
            assert time.monotonic() < deadline
    with EmbeddedAPIServer() as server:
        begun = time.monotonic()
        query = f"allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion={server.resource_version}"
        stream = client_of(server).watch(f"{MAPS}?{query}")
        assert stream.event()[0] == "BOOKMARK"
        assert time.monotonic() - begun > 0.5
        assert stream.line() == b""


def test_bookmark_follows_the_events_it_covers(client_of):
    """No event with a lower resourceVersion follows a bookmark, however fast objects are written."""
    with EmbeddedAPIServer(bookmark_interval=0.001) as server:
        call = client_of(server)
        stream = call.watch(f"{MAPS}?allowWatchBookmarks=true&resourceVersion={server.resource_version}")
        writer = threading.Thread(target=lambda: [server.create(config_map(f"m{n}")) for n in range(300)])
        writer.start()
        newest, added = 0, 0
        while added < 300:
            type, obj = stream.event()
            version = int(obj["metadata"]["resourceVersion"])
            assert version >= newest
            added += type == "ADDED"
            newest = version
        writer.join()


def test_selected_objects_are_added_and_deleted(server, call):
    """An object that starts to match is ADDED; one that stops matching is DELETED, in its old form with the new version."""
    version = server.resource_version
    stream = call.watch(f"{MAPS}?labelSelector=app%3Dweb&resourceVersion={version}")
    server.create(config_map("a", labels={"app": "db"}))
    server.patch("configmaps", "a", {"metadata": {"labels": {"app": "web"}}})
    server.patch("configmaps", "a", {"data": {"k": "v"}})
    server.patch("configmaps", "a", {"metadata": {"labels": {"app": "db"}}})
    server.delete("configmaps", "a")
    server.create(config_map("b", labels={"app": "web"}))
    assert stream.events(2) == [("ADDED", "a"), ("MODIFIED", "a")]
    type, obj = stream.event()
    assert (type, obj["metadata"]["labels"]) == ("DELETED", {"app": "web"})
    assert obj["metadata"]["resourceVersion"] == str(int(version) + 4)
    assert stream.events(1) == [("ADDED", "b")]


@pytest.mark.parametrize(
    "path",
    [
        f"{MAPS}?fieldSelector=metadata.name%3Db",
        f"{ALL_MAPS}?fieldSelector=metadata.name%3Db,metadata.namespace%3Ddefault",
    ],
)
def test_one_object_can_be_watched(server, call, path):
    """By a field selector of its name."""
    stream = call.watch(path)
    for name in "abc":
        server.create(config_map(name))
    server.delete("configmaps", "b")
    assert stream.events(2) == [("ADDED", "b"), ("DELETED", "b")]


def test_watch_of_a_namespace_gets_no_other_events(server, call):
    """Neither initial events nor history nor new events come from another namespace."""
    server.create(namespace_object("other"))
    version = server.resource_version
    server.create(config_map("x", namespace="other"))
    server.create(config_map("a"))
    streams = [call.watch(MAPS), call.watch(f"{MAPS}?resourceVersion={version}")]
    server.create(config_map("y", namespace="other"))
    server.create(config_map("b"))
    for stream in streams:
        assert stream.events(2) == [("ADDED", "a"), ("ADDED", "b")]


def test_metadata_only_watch(server, call):
    """Events and bookmarks are PartialObjectMetadata."""
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    stream = call.watch(f"{MAPS}?{STATE}", Accept=accept)
    assert stream.event()[1]["kind"] == "PartialObjectMetadata"
    server.create(config_map("a") | {"data": {"k": "v"}})
    _, obj = stream.event()
    assert list(obj) == ["kind", "apiVersion", "metadata"]
    assert obj["apiVersion"] == "meta.k8s.io/v1"


def test_a_shard_can_be_watched(client_of):
    """The two halves together get every event."""
    low = "shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000')"
    high = "shardRange(object.metadata.uid, '0x8000000000000000', '0x10000000000000000')"
    with EmbeddedAPIServer(sharded_list_and_watch=True) as server:
        call = client_of(server)
        query = f"resourceVersion={server.resource_version}"
        for number in range(20):
            server.create(config_map(f"m{number}"))
        names = [
            {obj["metadata"]["name"] for _, obj in call.watched(f"{MAPS}?{query}&shardSelector={each}")}
            for each in (low, high)
        ]
        assert len(names[0]) + len(names[1]) == len(names[0] | names[1]) == 20


def test_a_watch_ends_at_its_deadline(server, call):
    """The watch ends properly, with the last chunk."""
    begun = time.monotonic()
    assert call.watch(f"{MAPS}?timeoutSeconds=1").rest() == []
    assert 0.9 < time.monotonic() - begun < 5


@pytest.mark.parametrize("version", ["1.36", "1.37"])
def test_initial_events_are_compressed_since_1_37(client_of, version):
    """If the client accepts gzip, the body is a sequence of gzip members; a plain watch is never compressed."""
    with EmbeddedAPIServer(version=version) as server:
        for name in "ab":
            server.create(config_map(name))
        pool = urllib3.PoolManager()
        headers = {"Accept-Encoding": "gzip"}
        response = pool.request("GET", f"{server.url}{MAPS}?watch=1&{STATE}", headers=headers, preload_content=False)
        chunks = response.read_chunked(decode_content=False)
        packed = version == "1.37"
        assert response.headers.get("Content-Encoding") == ("gzip" if packed else None)
        body = next(chunks)
        server.create(config_map("c"))
        server.faults.end_watches()
        members = [body, *chunks]
        text = b"".join(zlib.decompress(member, 31) for member in members) if packed else b"".join(members)
        assert [json.loads(line)["type"] for line in text.splitlines()] == ["ADDED", "ADDED", "BOOKMARK", "ADDED"]
        server.faults.short_watches()
        plain = client_of(server)("GET", f"{MAPS}?watch=1", Accept_Encoding="gzip")
        assert "content-encoding" not in plain.headers
        pool.clear()


@pytest.mark.parametrize(
    ("value", "is_watch"), [("1", True), ("true", True), ("True", True), ("", True), ("0", False), ("false", False)]
)
def test_values_of_the_watch_parameter(server, call, value, is_watch):
    """Any value of `watch` except a false one, as kube-apiserver reads it."""
    server.faults.short_watches()
    answer = call("GET", f"{MAPS}?watch={value}")
    assert (answer.body == b"") == is_watch


def test_official_watch_reads_events(server):
    """kubernetes.watch.Watch yields typed objects."""
    server.create(config_map("a"))
    with server.api_client() as api:
        core, seen = client.CoreV1Api(api), []
        for event in watch.Watch().stream(core.list_namespaced_config_map, "default", timeout_seconds=5):
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 1:
                server.create(config_map("b"))
            else:
                break
    assert seen == [("ADDED", "a"), ("ADDED", "b")]


def test_a_write_reaches_a_watch_at_once(server, call):
    """The median delay is under 20 milliseconds: nothing polls."""
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")
    times = []
    for number in range(50):
        begun = time.perf_counter()
        server.create(config_map(f"m{number}"))
        stream.line()
        times.append(time.perf_counter() - begun)
    assert sorted(times)[25] < 0.02


def test_many_watches_see_every_event(server, call):
    """Five hundred streams are complete and in order; the server notices when their clients leave."""
    streams = [call.watch(f"{MAPS}?resourceVersion={server.resource_version}") for _ in range(500)]
    expected = [("ADDED", f"m{number}") for number in range(5)]
    for _, name in expected:
        server.create(config_map(name))
    for stream in streams:
        assert stream.events(5) == expected
    assert len(server.requests.select("watch", open=True)) == 500
    for stream in streams:
        stream.close()
    server.requests.wait_until_ended("watch")


def test_client_that_does_not_read_delays_no_other_client(server, call):
    """Writers and other watches continue while the buffers of one stream are full."""
    version = server.resource_version
    call.watch(f"{MAPS}?resourceVersion={version}")
    reader = call.watch(f"{MAPS}?resourceVersion={version}")
    for number in range(100):
        server.create(config_map(f"m{number:02}") | {"data": {"k": "x" * 100_000}})
    assert [name for _, name in reader.events(100)] == [f"m{number:02}" for number in range(100)]

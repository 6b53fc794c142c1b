"""Watches: where they begin, which events they send, and how they end."""

from __future__ import annotations

import itertools

import pytest

from tests.support.objects import custom_resource

pytestmark = pytest.mark.timeout(120)

CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
PODS = "/api/v1/namespaces/{ns}/pods"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"

MERGE = "application/merge-patch+json"
WATCH_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}

KINDS = pytest.mark.parametrize("path", [CONFIGMAPS, WIDGETS], ids=["configmaps", "widgets"])


class Writer:
    """Writes to all servers."""

    def __init__(self, servers):
        self.servers = servers

    def create(self, path, name, **labels):
        body = {"metadata": {"name": name, "labels": labels or {"x": "y"}}}
        if path == WIDGETS:
            body |= {"kind": "Widget", "apiVersion": "contracts.example.com/v1", "spec": {"color": "red"}}
        self.servers.ask("POST", path, body)

    def label(self, path, name, **labels):
        self.servers.ask("PATCH", f"{path}/{name}", {"metadata": {"labels": labels}}, media=MERGE)

    def delete(self, path, name):
        self.servers.ask("DELETE", f"{path}/{name}")

    def some_history(self, path):
        """Creates one object before {version}; after it creates and changes another, and deletes both."""
        self.create(path, "before")
        self.servers.ask("GET", path)
        self.servers.keep_version()
        self.create(path, "after", app="web")
        self.label(path, "after", app="db")
        self.delete(path, "before")
        self.delete(path, "after")


@pytest.fixture
def write(servers):
    return Writer(servers)


def summary(answer):
    """Returns the types and names of events."""
    return [(event["type"], event["object"]["metadata"].get("name")) for event in answer.body]


@KINDS
def test_watch_from_a_version_resumes(servers, write, path):
    """Every change after that resourceVersion in order, then new events."""
    write.some_history(path)
    answer = servers.watch(path, 5, query={"resourceVersion": "{version}"}, then=lambda: write.create(path, "now"))
    assert summary(answer) == [
        ("ADDED", "after"),
        ("MODIFIED", "after"),
        ("DELETED", "before"),
        ("DELETED", "after"),
        ("ADDED", "now"),
    ]
    for side in servers.sides:
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in side.last]
        assert versions == sorted(set(versions))


@KINDS
@pytest.mark.parametrize("version", ["unset", "zero"])
def test_watch_without_a_version_begins_with_initial_events(servers, write, path, version):
    """Without a resourceVersion, or from "0", every existing object is ADDED first, then new events follow."""
    write.some_history(path)
    write.create(path, "b")
    write.create(path, "a")
    query = {} if version == "unset" else {"resourceVersion": "0"}
    answer = servers.watch(path, 3, query=query, then=lambda: write.create(path, "c"), state=2)
    assert summary(answer) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


@KINDS
@pytest.mark.parametrize("version", ["unset", "zero", "old", "newest"])
def test_watch_list_ends_initial_events_with_a_bookmark(servers, write, path, version):
    """The current state comes first, then the bookmark that ends it, then new events."""
    write.some_history(path)
    write.create(path, "a")
    write.create(path, "b")
    servers.ask("GET", path)
    servers.keep_version("newest")
    versions = {"unset": {}, "zero": {"resourceVersion": "0"}, "old": {"resourceVersion": "{version}"}}
    query = {**WATCH_LIST, **versions.get(version, {"resourceVersion": "{newest}"})}
    answer = servers.watch(path, 4, query=query, then=lambda: write.create(path, "c"), state=2)
    assert summary(answer) == [("ADDED", "a"), ("ADDED", "b"), ("BOOKMARK", None), ("ADDED", "c")]
    annotations = answer.body[2]["object"]["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}


def test_watch_list_without_objects_is_a_bookmark(servers):
    """The bookmark is the only event."""
    assert summary(servers.watch(CONFIGMAPS, 1, query=WATCH_LIST)) == [("BOOKMARK", None)]


def test_watch_list_without_bookmarks_has_none(servers, write):
    """Without `allowWatchBookmarks` the initial events come without an end bookmark."""
    write.create(CONFIGMAPS, "a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    answer = servers.watch(CONFIGMAPS, 2, query=query, then=lambda: write.create(CONFIGMAPS, "b"))
    assert summary(answer) == [("ADDED", "a"), ("ADDED", "b")]


def test_watch_without_initial_events(servers, write):
    """With `sendInitialEvents=false` a watch begins with new events."""
    write.create(CONFIGMAPS, "a")
    query = {**WATCH_LIST, "sendInitialEvents": "false"}
    answer = servers.watch(CONFIGMAPS, 1, query=query, then=lambda: write.create(CONFIGMAPS, "b"))
    assert summary(answer) == [("ADDED", "b")]


@pytest.mark.parametrize("begin", ["from-version", "watch-list"])
def test_label_selector_of_a_watch(servers, write, begin):
    """An object that starts to match is ADDED, one that stops is DELETED in its old form; other objects send no events."""
    write.create(CONFIGMAPS, "in", app="web")
    write.create(CONFIGMAPS, "out", app="db")
    servers.ask("GET", CONFIGMAPS)
    servers.keep_version()

    def change():
        write.label(CONFIGMAPS, "out", n="1")
        write.label(CONFIGMAPS, "out", app="web")
        write.label(CONFIGMAPS, "out", n="2")
        write.label(CONFIGMAPS, "out", app="db")
        write.delete(CONFIGMAPS, "out")
        write.delete(CONFIGMAPS, "in")

    query = {"labelSelector": "app=web"} | ({"resourceVersion": "{version}"} if begin == "from-version" else WATCH_LIST)
    expected = [("ADDED", "out"), ("MODIFIED", "out"), ("DELETED", "out"), ("DELETED", "in")]
    if begin == "watch-list":
        expected = [("ADDED", "in"), ("BOOKMARK", None), *expected]
    assert summary(servers.watch(CONFIGMAPS, len(expected), query=query, then=change)) == expected


def test_field_selector_of_a_watch(servers, write):
    """A watch of one name gets that object's events only."""
    servers.ask("GET", CONFIGMAPS)
    servers.keep_version()

    def change():
        for name in ("a", "b"):
            write.create(CONFIGMAPS, name)
            write.delete(CONFIGMAPS, name)

    query = {"fieldSelector": "metadata.name=b", "resourceVersion": "{version}"}
    assert summary(servers.watch(CONFIGMAPS, 2, query=query, then=change)) == [("ADDED", "b"), ("DELETED", "b")]


# Defaults have an owner too.
CONTAINER_DEFAULTS = {
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
POD_DEFAULTS = {
    "dnsPolicy": "ClusterFirst",
    "enableServiceLinks": True,
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}


def test_watch_of_pods_shows_their_status(servers):
    """A pod is added, runs, is marked for deletion, and is deleted."""
    spec = {"containers": [{"name": "main", "image": "example.com/app:1", **CONTAINER_DEFAULTS}], **POD_DEFAULTS}
    servers.ask("GET", PODS)
    servers.keep_version()
    servers.ask("POST", PODS, {"metadata": {"name": "a"}, "spec": spec}, like={"spec": spec})
    servers.ask("PATCH", f"{PODS}/a/status", {"status": {"phase": "Running"}}, media=MERGE, like={})
    servers.ask("DELETE", f"{PODS}/a", {"gracePeriodSeconds": 0}, like={})
    query = {"resourceVersion": "{version}"}
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    answer = servers.watch(PODS, 4, query=query, accept=accept)
    assert summary(answer) == [("ADDED", "a"), ("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_finalizers_in_a_watch(servers, write):
    """A deletion that a finalizer holds up is MODIFIED; removing the finalizer sends DELETED."""
    servers.ask("GET", CONFIGMAPS)
    servers.keep_version()
    servers.ask("POST", CONFIGMAPS, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    write.delete(CONFIGMAPS, "a")
    servers.ask("PATCH", f"{CONFIGMAPS}/a", {"metadata": {"finalizers": None}}, media=MERGE)
    answer = servers.watch(CONFIGMAPS, 3, query={"resourceVersion": "{version}"})
    assert summary(answer) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


@KINDS
def test_metadata_only_watch(servers, write, path):
    """Every event, bookmarks too, is PartialObjectMetadata."""
    write.create(path, "a")
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    answer = servers.watch(path, 3, query=WATCH_LIST, accept=accept, then=lambda: write.label(path, "a", n="1"))
    assert {event["object"]["kind"] for event in answer.body} == {"PartialObjectMetadata"}


@pytest.mark.parametrize("query", [{}, WATCH_LIST], ids=["watch", "watch-list"])
def test_watch_ends_after_timeout_seconds(servers, write, query):
    """After `timeoutSeconds` the server ends the stream without an error."""
    write.create(CONFIGMAPS, "a")
    answer = servers.watch(CONFIGMAPS, query={**query, "timeoutSeconds": "1"})
    assert [event["type"] for event in answer.body] == ["ADDED", "BOOKMARK"][: 1 + bool(query)]


def test_watch_of_a_deleted_custom_resource_ends(servers):
    """Deleting a custom resource deletes its objects, and then its watches end."""
    group = servers.sides[0].known["ns"] + ".example.com"
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    path = f"/apis/{group}/v1/namespaces/{{ns}}/gadgets"
    servers.ask("POST", root, custom_resource(group, "gadgets", "Gadget"), like={})
    servers.wait_until_served(path)
    servers.ask("POST", path, {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": "a"}})

    def delete():
        # The answer depends on what cleans up: a controller later, or the server at once.
        servers.ask("DELETE", f"{root}/gadgets.{group}", only=("code",))

    answer = servers.watch(path, then=delete)
    assert summary(answer) == [("ADDED", "a"), ("DELETED", "a")]


def queries():
    """Combinations of the parameters that decide where a watch begins."""
    for version, match, events, bookmarks in itertools.product(
        (None, "0", "{version}", "abc"),
        (None, "NotOlderThan", "Exact", "Nonsense"),
        (None, "true", "false"),
        (None, "true"),
    ):
        query = {
            "resourceVersion": version,
            "resourceVersionMatch": match,
            "sendInitialEvents": events,
            "allowWatchBookmarks": bookmarks,
        }
        yield {name: value for name, value in query.items() if value is not None}


def test_invalid_combinations_are_refused(servers, write):
    """Both servers refuse the same combinations of resourceVersion, its match, initial events and bookmarks."""
    write.create(CONFIGMAPS, "a")
    servers.ask("GET", CONFIGMAPS)
    servers.keep_version()
    refused = 0
    for query in queries():
        # Accepted watches have no event here.
        answer = servers.watch(CONFIGMAPS, 0, query={**query, "fieldSelector": "metadata.name=none"})
        refused += answer.status != 200
    assert 40 < refused < 96


ODD_QUERIES = {
    "continue": {"continue": "x"},
    "limit": {"limit": "1"},
    "timeout-is-text": {"timeoutSeconds": "soon"},
    "selector-is-bad": {"labelSelector": "a b"},
    "field-is-unknown": {"fieldSelector": "spec.x=1"},
    "shard-is-bad": {"shardSelector": "nonsense"},
    "version-is-negative": {"resourceVersion": "-1"},
}


@pytest.mark.parametrize("case", ODD_QUERIES)
def test_odd_queries(servers, write, case):
    """Parameters that a watch must not have are refused before it begins; others are ignored."""
    write.create(CONFIGMAPS, "a")
    any_message = case in ("selector-is-bad", "field-is-unknown", "shard-is-bad")
    assert servers.watch(CONFIGMAPS, 1, query=ODD_QUERIES[case], any_message=any_message).status in (200, 400, 422, 500)


def test_watch_from_a_future_version(servers, write):
    """A watch from a future resourceVersion opens, and waits for it."""
    servers.ask("GET", CONFIGMAPS)
    servers.keep("future", lambda body: int(body["metadata"]["resourceVersion"]) + 1_000_000)
    answer = servers.watch(CONFIGMAPS, query={"resourceVersion": "{future}", "timeoutSeconds": "1"})
    assert answer.status in (200, 504)


@pytest.mark.parametrize("path", ["/api/v1/watch/namespaces/{ns}/configmaps", "/api/v1/watch/configmaps"])
def test_watch_by_path(servers, write, path):
    """The deprecated paths of watches work like the parameter."""
    write.create(CONFIGMAPS, "a", test=servers.sides[0].known["ns"])
    query = {"labelSelector": "test={ns}"}
    assert summary(servers.watch(path, 1, query=query)) == [("ADDED", "a")]

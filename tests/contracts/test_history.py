"""Lists and watches at a resourceVersion that the server has servers_after_compaction."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(120)

CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
PROTOBUF = "application/vnd.kubernetes.protobuf"
METADATA = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
WATCH_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


@pytest.fixture(scope="module")
def servers_after_compaction(servers_and_lose_history):
    """Servers that forgot the version {version}, and the page token {token}."""
    servers, lose_history = servers_and_lose_history
    for name in ("a", "b", "c"):
        servers.ask("POST", CONFIGMAPS, {"metadata": {"name": name}})
    servers.ask("GET", CONFIGMAPS, query={"limit": "1"})
    servers.keep_version()
    servers.keep("token", lambda body: body["metadata"]["continue"])
    servers.ask("DELETE", f"{CONFIGMAPS}/b")
    lose_history()
    yield servers
    servers.close()


@pytest.fixture
def servers(servers_after_compaction):
    """The same servers; their connections are closed after each test."""
    yield servers_after_compaction
    servers_after_compaction.close()


def names(answer):
    return [item["metadata"]["name"] for item in answer.body["items"]]


def test_exact_list_is_410(servers):
    """A list of exactly that version is 410."""
    answer = servers.ask("GET", CONFIGMAPS, query={"resourceVersion": "{version}", "resourceVersionMatch": "Exact"})
    assert (answer.status, answer.body["reason"]) == (410, "Expired")


def test_next_page_is_410_with_a_new_token(servers):
    """The page is 410, and the answer has a token that continues the list in its current state."""
    answer = servers.ask("GET", CONFIGMAPS, query={"limit": "1", "continue": "{token}"})
    assert (answer.status, answer.body["reason"]) == (410, "Expired")
    servers.keep("inconsistent", lambda body: body["metadata"]["continue"])
    answer = servers.ask("GET", CONFIGMAPS, query={"limit": "1", "continue": "{inconsistent}"})
    assert (answer.status, names(answer)) == (200, ["c"])


@pytest.mark.parametrize("match", [{}, {"resourceVersionMatch": "NotOlderThan"}], ids=["unset", "not-older-than"])
def test_list_that_may_be_newer(servers, match):
    """A list of that version or newer returns the current state."""
    answer = servers.ask("GET", CONFIGMAPS, query={"resourceVersion": "{version}", **match})
    assert names(answer) == ["a", "c"]


@pytest.mark.parametrize("accept", ["application/json", PROTOBUF, METADATA])
def test_watch_is_410(servers, accept):
    """A watch from that version ends at once, with an ERROR event in the format that the client wants."""
    answer = servers.watch(CONFIGMAPS, query={"resourceVersion": "{version}"}, accept=accept)
    assert [(event["type"], event["object"]["code"]) for event in answer.body] == [("ERROR", 410)]


def test_watch_list_begins_with_the_current_state(servers):
    """A watch list of that version or newer begins with the current state."""
    answer = servers.watch(CONFIGMAPS, 3, query={**WATCH_LIST, "resourceVersion": "{version}"}, state=2)
    assert [event["type"] for event in answer.body] == ["ADDED", "ADDED", "BOOKMARK"]

"""Lists and watches of a time that the server has forgotten."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(120)

CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
WATCH_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


@pytest.fixture(scope="module")
def forgotten(forgetful):
    """Servers that were at {version}, and had the second page of a list at {token}, and remember neither."""
    servers, lose_history = forgetful
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
def servers(forgotten):
    """The same, without a connection left open."""
    yield forgotten
    forgotten.close()


def names(answer):
    return [item["metadata"]["name"] for item in answer.body["items"]]


def test_exact_list_of_it_is_a_410(servers):
    """A list exactly as it was cannot be had any more."""
    answer = servers.ask("GET", CONFIGMAPS, query={"resourceVersion": "{version}", "resourceVersionMatch": "Exact"})
    assert (answer.status, answer.body["reason"]) == (410, "Expired")


def test_next_page_of_it_is_a_410_with_a_token_to_go_on_with(servers):
    """The next page cannot be had; the answer has a token for the rest as it is now."""
    answer = servers.ask("GET", CONFIGMAPS, query={"limit": "1", "continue": "{token}"})
    assert (answer.status, answer.body["reason"]) == (410, "Expired")
    servers.keep("inconsistent", lambda body: body["metadata"]["continue"])
    answer = servers.ask("GET", CONFIGMAPS, query={"limit": "1", "continue": "{inconsistent}"})
    assert (answer.status, names(answer)) == (200, ["c"])


@pytest.mark.parametrize("match", [{}, {"resourceVersionMatch": "NotOlderThan"}], ids=["unset", "not-older-than"])
def test_list_that_may_be_newer_is_given(servers, match):
    """A list that need only be as new as that is given as it is now."""
    answer = servers.ask("GET", CONFIGMAPS, query={"resourceVersion": "{version}", **match})
    assert names(answer) == ["a", "c"]


def test_watch_from_it_is_a_410(servers):
    """A watch from there ends at once, with an ERROR event."""
    answer = servers.watch(CONFIGMAPS, query={"resourceVersion": "{version}"})
    assert [(event["type"], event["object"]["code"]) for event in answer.body] == [("ERROR", 410)]


def test_watch_list_from_it_begins_anew(servers):
    """A watch list that need only be as new as that begins with the state as it is now."""
    answer = servers.watch(CONFIGMAPS, 3, query={**WATCH_LIST, "resourceVersion": "{version}"}, state=2)
    assert [event["type"] for event in answer.body] == ["ADDED", "ADDED", "BOOKMARK"]

"""The options of deletions, in the body and in the query."""

from __future__ import annotations

from typing import Any

import pytest

MAPS = "/api/v1/namespaces/{ns}/configmaps"
PODS = "/api/v1/namespaces/{ns}/pods"


def made(servers: Any, path: str = MAPS, *, finalizers: tuple[str, ...] = ()) -> str:
    """Creates an object on every server; returns its path."""
    body: dict[str, Any] = {"metadata": {"name": "a", "finalizers": list(finalizers)}}
    if path == PODS:
        body["spec"] = {"containers": [{"name": "c", "image": "i"}]}
    servers.ask("POST", path, body, like={})
    for side in servers.sides:
        side.known |= {"uid": side.last["metadata"]["uid"], "rv": side.last["metadata"]["resourceVersion"]}
    return f"{path}/a"


BODIES: dict[str, tuple[Any, int, bool]] = {  # the options, the answer's status, whether the object exists afterwards
    "nothing": ({}, 200, False),
    "null": (b"null", 200, False),
    "dry run": ({"dryRun": ["All"]}, 200, True),
    "dry run twice": ({"dryRun": ["All", "All"]}, 200, True),
    "no dry run": ({"dryRun": []}, 200, False),
    "unknown dry run": ({"dryRun": ["Some", "All"]}, 422, True),
    "foreground": ({"propagationPolicy": "Foreground"}, 200, True),
    "dry run in the foreground": ({"propagationPolicy": "Foreground", "dryRun": ["All"]}, 200, True),
    "background": ({"propagationPolicy": "Background"}, 200, False),
    "orphan": ({"propagationPolicy": "Orphan"}, 200, True),
    "unknown policy": ({"propagationPolicy": "foreground"}, 422, True),
    "orphans": ({"orphanDependents": True}, 200, True),
    "no orphans": ({"orphanDependents": False}, 200, False),
    "both": ({"orphanDependents": True, "propagationPolicy": "Orphan"}, 422, True),
    "right uid": ({"preconditions": {"uid": "{uid}"}}, 200, False),
    "wrong uid": ({"preconditions": {"uid": "b"}}, 409, True),
    "right version": ({"preconditions": {"resourceVersion": "{rv}"}}, 200, False),
    "wrong version": ({"preconditions": {"resourceVersion": "1"}}, 409, True),
    "wrong uid in a dry run": ({"preconditions": {"uid": "b"}, "dryRun": ["All"]}, 409, True),
}


CONFLICT = ("kind", "reason", "code")


@pytest.mark.parametrize("case", BODIES)
def test_options_in_the_body(servers, case):
    """The options in the body decide whether and how the object is deleted."""
    body, status, stays = BODIES[case]
    path = made(servers)
    assert servers.ask("DELETE", path, body, only=CONFLICT if status == 409 else ()).status == status
    assert servers.ask("GET", path).status == (200 if stays else 404)


@pytest.mark.parametrize(
    "body",
    [
        {"dryRun": "All"},
        {"dryRun": [1]},
        {"orphanDependents": "true"},
        {"orphanDependents": 1},
        {"propagationPolicy": 1},
        {"gracePeriodSeconds": "1"},
        {"gracePeriodSeconds": 1.5},
        {"preconditions": "a"},
        {"preconditions": []},
        {"preconditions": {"resourceVersion": 1}},
        b"[]",
        b"x",
        b"  ",
    ],
    ids=str,
)
def test_options_of_a_wrong_type_are_refused(servers, body):
    """400, and the object stays."""
    path = made(servers)
    assert servers.ask("DELETE", path, body, any_message=True).status == 400
    assert servers.ask("GET", path).status == 200


QUERIES: dict[str, tuple[dict[str, str], int, bool]] = {
    "dry run": ({"dryRun": "All"}, 200, True),
    "empty dry run": ({"dryRun": ""}, 422, True),
    "foreground": ({"propagationPolicy": "Foreground"}, 200, True),
    "background": ({"propagationPolicy": "Background"}, 200, False),
    "orphan": ({"propagationPolicy": "Orphan"}, 200, True),
    "no policy": ({"propagationPolicy": ""}, 422, True),
    "orphans": ({"orphanDependents": "true"}, 200, True),
    "no orphans": ({"orphanDependents": "False"}, 200, False),
    "both": ({"orphanDependents": "true", "propagationPolicy": "x"}, 422, True),
    "wrong grace period": ({"gracePeriodSeconds": "x"}, 400, True),
    "wrong uid": ({"uid": "b"}, 409, True),
    "unknown": ({"whatever": "1"}, 200, False),
}


@pytest.mark.parametrize("case", QUERIES)
def test_options_in_the_query(servers, case):
    """Without a body the query decides."""
    query, status, stays = QUERIES[case]
    path = made(servers)
    only = CONFLICT if status == 409 else ()
    assert servers.ask("DELETE", path, query=query, any_message=status == 400, only=only).status == status
    assert servers.ask("GET", path).status == (200 if stays else 404)


def test_the_query_is_ignored_beside_a_body(servers):
    """A request with a body is deleted although the query asks for a dry run."""
    path = made(servers)
    assert (
        servers.ask("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1"}, query={"dryRun": "All"}).status
        == 200
    )
    assert servers.ask("GET", path).status == 404


def test_every_value_of_a_dry_run_is_checked(servers):
    """A repeated parameter counts with all its values."""
    path = made(servers)
    assert servers.ask("DELETE", f"{path}?dryRun=All&dryRun=x").status == 422
    assert servers.ask("PUT", f"{path}?dryRun=All&dryRun=x", {"metadata": {"name": "a"}}).status == 422
    assert servers.ask("DELETE", f"{path}?dryRun=All&dryRun=All").status == 200
    assert servers.ask("GET", path).status == 200


def test_of_a_repeated_parameter_the_first_counts(servers):
    """As everywhere in Go."""
    path = made(servers)
    assert servers.ask("DELETE", f"{path}?propagationPolicy=Background&propagationPolicy=Orphan").status == 200
    assert servers.ask("GET", path).status == 404


@pytest.mark.parametrize("path", [MAPS, PODS], ids=["configmaps", "pods"])
def test_a_dry_run_shows_the_mark_and_keeps_the_object(servers, path):
    """The answer shows the object as it would be marked; the stored object does not change."""
    path = made(servers, path, finalizers=("example.com/a",))
    answer = servers.ask("DELETE", path, {"dryRun": ["All"]}, like={})
    assert "deletionTimestamp" in answer.body["metadata"]
    assert "deletionTimestamp" not in servers.ask("GET", path, like={}).body["metadata"]


def test_a_deletion_that_waits_and_keeps_no_orphans_is_accepted(servers):
    """202: orphanDependents is false and finalizers hold the object."""
    path = made(servers, finalizers=("orphan", "example.com/a"))
    assert servers.ask("DELETE", path, {"orphanDependents": False}).status == 202


@pytest.mark.parametrize("in_body", [True, False], ids=["body", "query"])
def test_a_collection_is_deleted_by_the_same_options(servers, in_body):
    """A dry run deletes nothing, a deletion in the foreground marks each object."""
    path = made(servers)

    def delete(name: str, value: str) -> int:
        options = {name: [value] if name == "dryRun" else value}
        asked = {"body": options} if in_body else {"query": {name: value}}
        return int(servers.ask("DELETE", MAPS, **asked, only=["kind"]).status)

    assert delete("dryRun", "All") == 200
    assert "deletionTimestamp" not in servers.ask("GET", path).body["metadata"]
    assert delete("propagationPolicy", "Foreground") == 200
    assert servers.ask("GET", path).body["metadata"]["finalizers"] == ["foregroundDeletion"]


@pytest.mark.parametrize("kind", ["jobs", "replicationcontrollers", "deployments"])
def test_dependents_that_are_orphaned_by_default(servers, kind):
    """Jobs and replication controllers get the orphan finalizer, unless the options name a policy; jobs with a warning."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec: dict[str, Any] = {"template": template, "selector": {"a": "b"}}
    root = "/api/v1"
    if kind == "jobs":
        root = "/apis/batch/v1"
        template["spec"]["restartPolicy"] = "Never"
        del spec["selector"]
    elif kind == "deployments":
        root, spec["selector"] = "/apis/apps/v1", {"matchLabels": {"a": "b"}}
    path = f"{root}/namespaces/{{ns}}/{kind}"
    for policy in (None, "Background"):
        name = f"a-{policy}".lower()
        assert servers.ask("POST", path, {"metadata": {"name": name}, "spec": spec}, only=["kind"]).status == 201
        query = None if policy is None else {"propagationPolicy": policy}
        answer = servers.ask("DELETE", f"{path}/{name}", query=query, only=["kind"])
        assert ("Warning" in answer.headers) == (kind == "jobs" and policy is None)
        stays = kind != "deployments" and policy is None
        assert servers.ask("GET", f"{path}/{name}", only=["kind"]).status == (200 if stays else 404)

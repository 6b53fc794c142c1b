"""Reading and writing single objects."""

from __future__ import annotations

import pytest

from tests.support.objects import config_map, pod

pytestmark = pytest.mark.timeout(120)

CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
PODS = "/api/v1/namespaces/{ns}/pods"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"


def widget(name, spec=None, **metadata):
    return {
        "apiVersion": "contracts.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, **metadata},
        "spec": {"color": "red", "size": 1} if spec is None else spec,
    }


KINDS = pytest.mark.parametrize(
    ("path", "make"), [(CONFIGMAPS, config_map), (WIDGETS, widget)], ids=["configmap", "widget"]
)


@KINDS
def test_object_is_created_read_changed_and_deleted(servers, path, make):
    """201, 200, 200, 200, and 404 afterwards."""
    labels = {"labels": {"app": "web"}, "annotations": {"note": "x"}}
    assert servers.ask("POST", path, make("a", **labels)).status == 201
    assert servers.ask("GET", f"{path}/a").status == 200
    servers.keep_version()
    changed = servers.ask("PUT", f"{path}/a", make("a", resourceVersion="{version}", labels={"app": "db"}))
    assert (changed.status, changed.body["metadata"]["labels"]) == (200, {"app": "db"})
    servers.keep_version("newer")
    assert all(side.known["newer"] != side.known["version"] for side in servers.sides)
    assert servers.ask("DELETE", f"{path}/a").body["status"] == "Success"
    gone = servers.ask("GET", f"{path}/a")
    assert (gone.status, gone.body["reason"]) == (404, "NotFound")
    assert servers.ask("DELETE", f"{path}/a").status == 404


def test_pod_is_created_read_and_deleted(servers):
    """A pod that was never scheduled is deleted at once; the answer is the pod."""
    sent = pod("a", None, labels={"app": "web"})
    assert servers.ask("POST", PODS, sent, like=sent).status == 201
    assert servers.ask("GET", f"{PODS}/a", like=sent).status == 200
    deleted = servers.ask("DELETE", f"{PODS}/a", like=sent)
    assert (deleted.status, deleted.body["kind"]) == (200, "Pod")
    assert servers.ask("GET", f"{PODS}/a").status == 404


def test_a_new_node_keeps_its_status(servers):
    """A node is created with what it has room for; an update does not change that."""
    path = "/api/v1/nodes"
    room = {"allocatable": {"cpu": "2"}, "capacity": {"cpu": "2"}}
    try:
        sent = {"metadata": {"name": "with-status"}, "status": room}
        created = servers.ask("POST", path, sent, like=sent)
        assert (created.status, created.body["status"]["allocatable"]) == (201, {"cpu": "2"})
        changed = servers.ask(
            "PUT", f"{path}/with-status", {**sent, "status": {"allocatable": {"cpu": "3"}}}, like=sent
        )
        assert changed.body["status"]["allocatable"] == {"cpu": "2"}
    finally:
        servers.ask("DELETE", f"{path}/with-status")


@KINDS
def test_second_object_of_a_name_is_refused(servers, path, make):
    """A second object with the same name is 409 AlreadyExists."""
    servers.ask("POST", path, make("a"))
    again = servers.ask("POST", path, make("a"))
    assert (again.status, again.body["reason"]) == (409, "AlreadyExists")


@KINDS
def test_update_of_an_old_state_is_refused(servers, path, make):
    """An update or patch with an old resourceVersion is 409 Conflict."""
    servers.ask("POST", path, make("a"))
    servers.keep_version()
    servers.ask("PUT", f"{path}/a", make("a", resourceVersion="{version}", labels={"n": "1"}))
    stale = servers.ask("PUT", f"{path}/a", make("a", resourceVersion="{version}", labels={"n": "2"}))
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    patch = {"metadata": {"resourceVersion": "{version}", "labels": {"n": "3"}}}
    assert servers.ask("PATCH", f"{path}/a", patch, media="application/merge-patch+json").status == 409


@KINDS
def test_update_without_a_version(servers, path, make):
    """Without a resourceVersion, an update of a built-in object succeeds and one of a custom object is 422."""
    servers.ask("POST", path, make("a"))
    answer = servers.ask("PUT", f"{path}/a", make("a", labels={"n": "1"}))
    assert answer.status == (200 if path == CONFIGMAPS else 422)


@KINDS
def test_update_of_a_missing_object(servers, path, make):
    """Updates, patches and deletions of a missing object are 404."""
    assert servers.ask("PUT", f"{path}/a", make("a", resourceVersion="1")).status == 404
    patch = {"metadata": {"labels": {"n": "1"}}}
    assert servers.ask("PATCH", f"{path}/a", patch, media="application/merge-patch+json").status == 404
    assert servers.ask("DELETE", f"{path}/a").status == 404


@KINDS
def test_update_without_a_change(servers, path, make):
    """An update or patch without a change returns the object at its old resourceVersion."""
    servers.ask("POST", path, make("a"))
    servers.keep_version()
    servers.ask("PUT", f"{path}/a", make("a", resourceVersion="{version}"))
    servers.keep_version("second")
    servers.ask("PATCH", f"{path}/a", {"metadata": {}}, media="application/merge-patch+json")
    servers.keep_version("third")
    for side in servers.sides:
        assert side.known["version"] == side.known["second"] == side.known["third"]


@KINDS
def test_name_is_generated(servers, path, make):
    """With `generateName` the server appends five random characters."""
    body = make("a", generateName="made-")
    del body["metadata"]["name"]
    assert servers.ask("POST", path, body).body["metadata"]["name"] == "made-<random>"


INVALID = {
    "no-name": {"metadata": {}},
    "bad-name": {"metadata": {"name": "Not_A_Name"}},
    "long-name": {"metadata": {"name": "x" * 254}},
    "bad-label-key": {"metadata": {"name": "a", "labels": {"a b": "c"}}},
    "bad-label-value": {"metadata": {"name": "a", "labels": {"a": "b c"}}},
    "bad-annotation-key": {"metadata": {"name": "a", "annotations": {"a b": "c"}}},
    "bad-finalizer": {"metadata": {"name": "a", "finalizers": ["not a name"]}},
    "unqualified-finalizer": {"metadata": {"name": "a", "finalizers": ["example.com/good", "bare"]}},
    "long-label-key": {"metadata": {"name": "a", "labels": {"x" * 64: "a"}}},
    "long-label-value": {"metadata": {"name": "a", "labels": {"a": "x" * 64}}},
    "label-prefix": {"metadata": {"name": "a", "labels": {"Example.com/a": "b"}}},
    "label-without-prefix": {"metadata": {"name": "a", "labels": {"/a": "b"}}},
    "two-slashes": {"metadata": {"name": "a", "annotations": {"a/b/c": "d"}}},
    "labels-of-numbers": {"metadata": {"name": "a", "labels": {"a": 1}}},
    "other-namespace": {"metadata": {"name": "a", "namespace": "elsewhere"}},
    "with-version": {"metadata": {"name": "a", "resourceVersion": "1"}},
    "wrong-kind": {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}},
    "wrong-version": {"kind": "ConfigMap", "apiVersion": "apps/v1", "metadata": {"name": "a"}},
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_object_is_refused(servers, case):
    """An invalid object is 400 or 422 (in some cases 409 or 500), with a Status."""
    answer = servers.ask("POST", CONFIGMAPS, INVALID[case], any_message=case in ("labels-of-numbers", "wrong-version"))
    assert answer.status in (400, 409, 422, 500)
    assert answer.body["kind"] == "Status"


@pytest.mark.parametrize(
    "case",
    ["no-name", "bad-name", "long-name", "wrong-kind", "other-namespace", "bad-finalizer", "long-label-value"],
)
def test_invalid_custom_object_is_refused(servers, case):
    """The same for custom objects."""
    body = {"apiVersion": "contracts.example.com/v1", "kind": "Widget", **INVALID[case]}
    assert servers.ask("POST", WIDGETS, body).status in (400, 422)


def test_custom_object_may_have_a_bare_finalizer(servers):
    """Only custom objects may have a finalizer without a domain."""
    assert servers.ask("POST", WIDGETS, widget("a", finalizers=["bare"])).status == 201


def test_custom_object_needs_kind_and_api_version(servers):
    """A custom object without kind and apiVersion is 400."""
    assert servers.ask("POST", WIDGETS, b'{"metadata":{"name":"a"}}', any_message=True).status == 400


BODIES = {
    "no-json": b"{not json",
    "cut-off": b'{"metadata": {"name": "a"',
    "array": b"[]",
    "text": b'"text"',
    "null": b"null",
    "empty": b"",
    "number": b"1",
}


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("path", [CONFIGMAPS, WIDGETS], ids=["configmap", "widget"])
def test_body_that_is_not_an_object_is_refused(servers, path, case):
    """A body that is not an object is 400; a ConfigMap of `null` is an object without a name."""
    answer = servers.ask("POST", path, BODIES[case], any_message=True)
    assert answer.status == (422 if (path, case) == (CONFIGMAPS, "null") else 400)


def test_body_of_another_type_is_refused(servers):
    """A media type that the server does not read is 415; only the message may differ."""
    assert servers.ask("POST", CONFIGMAPS, b"a: b", media="text/csv", any_message=True).status == 415


def test_missing_namespace(servers):
    """In a missing namespace an object cannot be created, and lists are empty."""
    root = "/api/v1/namespaces/absent/configmaps"
    assert servers.ask("POST", root, config_map("a")).status == 404
    assert servers.ask("GET", f"{root}/a").status == 404
    assert servers.ask("GET", root).body["items"] == []


def test_name_has_to_match_the_path(servers):
    """The name in an update has to be the path's; a creation has no name in its path."""
    servers.ask("POST", CONFIGMAPS, config_map("a"))
    assert servers.ask("PUT", f"{CONFIGMAPS}/a", config_map("b")).status == 400
    assert servers.ask("POST", f"{CONFIGMAPS}/a", config_map("a")).status == 405
    assert servers.ask("PUT", CONFIGMAPS, config_map("a")).status == 405
    assert servers.ask("POST", "/api/v1/configmaps", config_map("a")).status == 405


@KINDS
def test_finalizers_delay_a_deletion(servers, path, make):
    """A deletion marks the object; removing its last finalizer deletes it."""
    servers.ask("POST", path, make("a", finalizers=["example.com/one", "example.com/two"]))
    marked = servers.ask("DELETE", f"{path}/a")
    assert marked.body["metadata"]["deletionTimestamp"] == "<time>"
    assert servers.ask("DELETE", f"{path}/a").status == 200
    media = "application/merge-patch+json"
    added = servers.ask("PATCH", f"{path}/a", {"metadata": {"finalizers": ["example.com/three"]}}, media=media)
    assert added.status == 422
    servers.ask("PATCH", f"{path}/a", {"metadata": {"finalizers": ["example.com/one"]}}, media=media)
    assert servers.ask("GET", f"{path}/a").status == 200
    last = servers.ask("PATCH", f"{path}/a", {"metadata": {"finalizers": None}}, media=media)
    assert last.status == 200
    assert servers.ask("GET", f"{path}/a").status == 404


@KINDS
def test_only_a_deletion_marks_an_object(servers, path, make):
    """A creation ignores the fields that mark an object, an update is refused for them."""
    past = {"deletionTimestamp": "2020-01-01T00:00:00Z"}
    assert (
        "deletionTimestamp" not in servers.ask("POST", path, make("a", finalizers=["a.b/c"], **past)).body["metadata"]
    )
    media = "application/merge-patch+json"
    for fields in (past, {"deletionGracePeriodSeconds": 5}, {**past, "deletionGracePeriodSeconds": 5}):
        assert servers.ask("PATCH", f"{path}/a", {"metadata": fields}, media=media, unordered=True).status == 422
    servers.ask("DELETE", f"{path}/a")
    servers.keep("time", lambda body: body["metadata"]["deletionTimestamp"])
    for fields, status in (
        (past, 200),
        ({"deletionTimestamp": None}, 200),
        ({"deletionTimestamp": "{time}", "deletionGracePeriodSeconds": None}, 200),
        ({"deletionGracePeriodSeconds": 0}, 200),
        ({"deletionGracePeriodSeconds": 5}, 422),
    ):
        assert servers.ask("PATCH", f"{path}/a", {"metadata": fields}, media=media).status == status
    assert servers.ask("GET", f"{path}/a").body["metadata"]["deletionTimestamp"] == "<time>"


@KINDS
def test_preconditions_of_a_deletion(servers, path, make):
    """A deletion with another uid or resourceVersion is 409; with the right ones it succeeds."""
    servers.ask("POST", path, make("a"))
    servers.keep_version()
    servers.keep("uid", lambda body: body["metadata"]["uid"])
    wrong = "00000000-0000-0000-0000-000000000000"
    for preconditions in ({"uid": wrong}, {"resourceVersion": "1"}):
        refused = servers.ask("DELETE", f"{path}/a", {"preconditions": preconditions}, only=("reason", "code"))
        assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    right = {"preconditions": {"uid": "{uid}", "resourceVersion": "{version}"}}
    assert servers.ask("DELETE", f"{path}/a", right).status == 200


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_propagation_of_a_deletion(servers, policy):
    """With Foreground and Orphan the object stays, with a finalizer; with Background it is deleted."""
    servers.ask("POST", CONFIGMAPS, config_map("a"))
    assert servers.ask("DELETE", f"{CONFIGMAPS}/a", {"propagationPolicy": policy}).status == 200
    assert servers.ask("GET", f"{CONFIGMAPS}/a").status == (404 if policy == "Background" else 200)


DELETIONS = {
    "unknown-policy": ({"propagationPolicy": "Sideways"}, 422),
    "two-policies": ({"propagationPolicy": "Foreground", "orphanDependents": True}, 422),
    "orphans": ({"orphanDependents": True}, 200),
    "no-orphans": ({"orphanDependents": False}, 200),
    "grace": ({"gracePeriodSeconds": 5}, 200),
    "whole-options": ({"kind": "DeleteOptions", "apiVersion": "v1"}, 200),
    "other-kind": ({"kind": "Pod", "apiVersion": "v1"}, 400),
    "array": (b"[]", 400),
    "no-json": (b"{x", 400),
}


@KINDS
@pytest.mark.parametrize("case", DELETIONS)
def test_options_of_a_deletion(servers, path, make, case):
    """Which options a deletion accepts, and which of them keep the object."""
    options, status = DELETIONS[case]
    servers.ask("POST", path, make("a"))
    assert servers.ask("DELETE", f"{path}/a", options, any_message=isinstance(options, bytes)).status == status
    assert servers.ask("GET", f"{path}/a").status == (200 if status != 200 or case == "orphans" else 404)


def test_last_deletion_policy_wins(servers):
    """The last requested policy decides about the finalizers of a deletion; the object's own finalizers stay."""
    servers.ask("POST", CONFIGMAPS, config_map("a", finalizers=["example.com/own"]))
    for policy in ("Foreground", "Orphan", "Background"):
        assert servers.ask("DELETE", f"{CONFIGMAPS}/a", {"propagationPolicy": policy}).status == 200
    assert servers.ask("DELETE", f"{CONFIGMAPS}/a").body["metadata"]["finalizers"] == ["example.com/own"]


def test_dry_run_changes_nothing(servers):
    """With `dryRun=All` the answer is as usual and nothing is stored."""
    query = {"dryRun": "All"}
    assert servers.ask("POST", CONFIGMAPS, config_map("a"), query=query).status == 201
    assert servers.ask("GET", f"{CONFIGMAPS}/a").status == 404
    servers.ask("POST", CONFIGMAPS, config_map("a"))
    servers.ask("PUT", f"{CONFIGMAPS}/a", config_map("a", "other"), query=query)
    servers.ask("DELETE", f"{CONFIGMAPS}/a", query=query)
    assert servers.ask("GET", f"{CONFIGMAPS}/a").body["data"] == {"value": ""}
    assert servers.ask("POST", CONFIGMAPS, config_map("b"), query={"dryRun": "Some"}).status == 422


def test_collection_is_deleted_by_selector(servers):
    """Deleting a collection deletes the selected objects."""
    for name, app in (("a", "web"), ("b", "db"), ("c", "web")):
        servers.ask("POST", CONFIGMAPS, config_map(name, labels={"app": app}))
    deleted = servers.ask("DELETE", CONFIGMAPS, query={"labelSelector": "app=web"})
    assert deleted.status == 200
    left = servers.ask("GET", CONFIGMAPS)
    assert [item["metadata"]["name"] for item in left.body["items"]] == ["b"]


def test_status_has_its_own_endpoint(servers):
    """The main endpoint ignores the status, the subresource ignores the rest; only a changed spec counts a generation."""
    created = servers.ask("POST", WIDGETS, {**widget("a"), "status": {"ready": True}})
    assert "status" not in created.body
    media = "application/merge-patch+json"
    both = {"spec": {"size": 2}, "status": {"ready": True}}
    changed = servers.ask("PATCH", f"{WIDGETS}/a", both, media=media)
    assert (changed.body["spec"]["size"], changed.body["metadata"]["generation"]) == (2, 2)
    assert "status" not in changed.body
    both = {"spec": {"size": 3}, "status": {"ready": True}}
    changed = servers.ask("PATCH", f"{WIDGETS}/a/status", both, media=media)
    assert (changed.body["spec"]["size"], changed.body["metadata"]["generation"]) == (2, 2)
    assert changed.body["status"] == {"ready": True}
    servers.keep_version()
    assert servers.ask("GET", f"{WIDGETS}/a/status").status == 200
    body = {**widget("a", resourceVersion="{version}"), "status": {"ready": False}}
    assert servers.ask("PUT", f"{WIDGETS}/a/status", body).body["status"] == {"ready": False}
    labelled = servers.ask("PATCH", f"{WIDGETS}/a", {"metadata": {"labels": {"n": "1"}}}, media=media)
    assert labelled.body["metadata"]["generation"] == 2


def test_status_of_a_pod(servers):
    """A pod's phase is written through its subresource, and read with the pod."""
    sent = pod("a", None)
    servers.ask("POST", PODS, sent, like=sent)
    phase = {"status": {"phase": "Running"}}
    media = "application/merge-patch+json"
    assert servers.ask("PATCH", f"{PODS}/a/status", phase, media=media, like={**sent, **phase}).status == 200
    assert servers.ask("GET", f"{PODS}/a", like={**sent, **phase}).body["status"] == {"phase": "Running"}


@pytest.mark.parametrize("path", [f"{CONFIGMAPS}/a/status", f"{CONFIGMAPS}/a/nonsense", f"{PODS}/a/nonsense"])
def test_unknown_subresource(servers, path):
    """An unknown subresource is 404."""
    servers.ask("POST", CONFIGMAPS, config_map("a"))
    servers.ask("POST", PODS, pod("a", None), like=pod("a", None))
    assert servers.ask("GET", path).status == 404


def test_metadata_only(servers):
    """With an Accept header for PartialObjectMetadata an object has only its metadata."""
    servers.ask("POST", CONFIGMAPS, config_map("a", labels={"app": "web"}))
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert set(servers.ask("GET", f"{CONFIGMAPS}/a", accept=accept).body) == {"kind", "apiVersion", "metadata"}


ACCEPTS = {
    "csv": ("text/csv", 406),
    "unknown-form": ("application/json;as=Nonsense;g=meta.k8s.io;v=v1", 406),
    "anything": ("*/*", 200),
    "any-application": ("application/*", 406),
    "nothing-said": ("", 200),
    "json-as-well": ("text/csv, application/json", 200),
    "json-with-a-quality": ("application/json;q=0.5", 200),
}


@pytest.mark.parametrize("case", ACCEPTS)
def test_accept_headers(servers, case):
    """A media type that the server cannot write is 406."""
    accept, status = ACCEPTS[case]
    servers.ask("POST", CONFIGMAPS, config_map("a"))
    assert servers.ask("GET", f"{CONFIGMAPS}/a", accept=accept, any_message=True).status == status


def test_finalizers_of_a_namespace(servers):
    """Its spec has finalizers of its own, which only the subresource finalize changes; without them it is deleted."""
    path = "/api/v1/namespaces/{ns}-f"
    body = {"metadata": {"name": "{ns}-f"}, "spec": {"finalizers": ["a.b/c"]}}
    assert servers.ask("POST", "/api/v1/namespaces", body).body["spec"]["finalizers"] == ["a.b/c", "kubernetes"]
    for method in ("GET", "POST", "PATCH", "DELETE"):
        assert servers.ask(method, f"{path}/finalize", None if method in ("GET", "DELETE") else {}).status == 405
    other = {"metadata": {"name": "{ns}-f", "labels": {"a": "b"}}}
    assert servers.ask("PUT", path, other).body["spec"]["finalizers"] == ["a.b/c", "kubernetes"]
    servers.ask("POST", f"{path}/configmaps", config_map("held"))
    servers.ask("DELETE", path)
    for wrong, status in ((["x"], 422), (["a.b/c"], 200)):
        assert servers.ask("PUT", f"{path}/finalize", {**body, "spec": {"finalizers": wrong}}).status == status
    assert servers.ask("PUT", f"{path}/finalize", {"metadata": {"name": "x"}}).status == 400
    assert servers.ask("GET", path).body["status"] == {"phase": "Terminating"}
    assert servers.ask("PUT", f"{path}/finalize", other).body["spec"] == {}
    assert servers.ask("GET", path).status == 404
    assert servers.ask("PUT", f"{path}/finalize", other).status == 404

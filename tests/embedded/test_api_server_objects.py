"""Creating, reading, replacing and deleting objects over HTTP."""

from __future__ import annotations

import threading

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from informer.testing.storage.kinds.tables import rules_in
from tests.support.objects import config_map, namespace_object, pod

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def test_created_object_has_the_servers_fields(call):
    """A POST is answered with 201 and the object with namespace, uid, resourceVersion and creationTimestamp."""
    body = config_map("a", labels={"app": "web"}) | {"data": {"k": "v"}}
    answer = call("POST", MAPS, body)
    metadata = answer.json["metadata"]
    assert answer.status == 201
    assert list(answer.json) == ["kind", "apiVersion", "metadata", "data"]
    assert (metadata["name"], metadata["namespace"], metadata["labels"]) == ("a", "default", {"app": "web"})
    assert len(metadata["uid"]) == 36
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["creationTimestamp"].endswith("Z")
    assert call("GET", f"{MAPS}/a").json == answer.json


def test_server_fields_of_a_post_are_ignored(call):
    """The server ignores uid, creationTimestamp and generation of a POST and sets its own."""
    sent = {"name": "p", "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7}
    metadata = call("POST", PODS, pod("p") | {"metadata": sent}).json["metadata"]
    assert metadata["uid"] != "mine"
    assert not metadata["creationTimestamp"].startswith("2001")
    assert metadata["generation"] == 1


def test_generate_name_makes_names(call):
    """generateName gives each object its own name, of the prefix and five characters."""
    names = {call("POST", MAPS, {"metadata": {"generateName": "job-"}}).json["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("job-") and len(name) == 9 for name in names)


REFUSALS = {
    "taken": (MAPS, {"metadata": {"name": "there"}}, 409, "AlreadyExists", 'configmaps "there" already exists'),
    "no name": (
        MAPS,
        {"metadata": {}},
        422,
        "Invalid",
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    ),
    "bad name": (
        MAPS,
        {"metadata": {"name": "Bad_Name"}},
        422,
        "Invalid",
        'ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain',
    ),
    "dotted namespace": (
        "/api/v1/namespaces",
        {"metadata": {"name": "a.b"}},
        422,
        "Invalid",
        'Namespace "a.b" is invalid: metadata.name: Invalid value: "a.b": must not contain dots',
    ),
    "bad role name": (
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
        {"metadata": {"name": "a%b"}},
        422,
        "Invalid",
        'Role.rbac.authorization.k8s.io "a%b" is invalid: metadata.name: Invalid value: "a%b": may not contain \'%\'',
    ),
    "bad label": (
        MAPS,
        {"metadata": {"name": "q", "labels": {"a b": "c"}}},
        422,
        "Invalid",
        'ConfigMap "q" is invalid: metadata.labels: Invalid value: "a b": name part must consist of',
    ),
    "label no string": (
        MAPS,
        {"metadata": {"name": "q", "labels": {"a": 1}}},
        400,
        "BadRequest",
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field '
        "ObjectMeta.metadata.labels of type string",
    ),
    "no JSON": (
        MAPS,
        "{nojson",
        400,
        "BadRequest",
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: ",
    ),
    "no object": (MAPS, "[]", 400, "BadRequest", "the object provided is unrecognized (must be of type ConfigMap)"),
    "another kind": (
        MAPS,
        {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "q"}},
        400,
        "BadRequest",
        'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion',
    ),
    "no kind that there is": (
        MAPS,
        {"kind": "Foo", "apiVersion": "v1", "metadata": {"name": "q"}},
        400,
        "BadRequest",
        'Foo in version "v1" cannot be handled as a ConfigMap: ',
    ),
    "another namespace": (
        MAPS,
        {"metadata": {"name": "q", "namespace": "other"}},
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    "no such namespace": (
        "/api/v1/namespaces/nope/configmaps",
        {"metadata": {"name": "q"}},
        404,
        "NotFound",
        'namespaces "nope" not found',
    ),
    "without namespace": (
        "/api/v1/configmaps",
        {"metadata": {"name": "q"}},
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    ),
    "with a resourceVersion": (
        MAPS,
        {"metadata": {"name": "q", "resourceVersion": "3"}},
        500,
        None,
        "resourceVersion should not be set on objects to be created",
    ),
    "odd dry run": (
        f"{MAPS}?dryRun=some",
        {"metadata": {"name": "q"}},
        422,
        "Invalid",
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["some"]: supported values: "All"',
    ),
}


@pytest.mark.parametrize(("path", "body", "status", "reason", "message"), REFUSALS.values(), ids=REFUSALS)
def test_invalid_post_is_refused_like_kube_apiserver(server, call, path, body, status, reason, message):
    """The code, reason and message are kube-apiserver's, and nothing is stored."""
    server.create({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "there"}})
    version = server.resource_version
    answer = call("POST", path, body)
    assert (answer.status, answer.json["code"], answer.json.get("reason")) == (status, status, reason)
    assert answer.json["kind"] == "Status"
    assert answer.json["status"] == "Failure"
    assert answer.message.startswith(message)
    assert server.resource_version == version


def test_the_causes_of_an_invalid_object_name_the_fields(call):
    """The details of a 422 list every wrong field."""
    details = call("POST", MAPS, {"metadata": {"name": "A", "labels": {"k": "-"}}}).json["details"]
    assert (details["name"], details["kind"]) == ("A", "ConfigMap")
    assert [cause["field"] for cause in details["causes"]] == ["metadata.name", "metadata.labels"]


def test_a_dry_run_stores_nothing(server, call):
    """dryRun=All is answered as usual, and nothing is stored."""
    answer = call("POST", f"{MAPS}?dryRun=All", {"metadata": {"name": "dry"}})
    assert answer.status == 201
    assert "resourceVersion" not in answer.json["metadata"]
    assert call("GET", f"{MAPS}/dry").status == 404


def test_a_put_needs_the_newest_resource_version_or_none(server, call):
    """A stale resourceVersion is a conflict; a PUT without one overwrites."""
    first = server.create(config_map("a"))["metadata"]["resourceVersion"]
    second = call("PUT", f"{MAPS}/a", {"metadata": {"name": "a", "resourceVersion": first}, "data": {"x": "1"}})
    assert second.status == 200
    stale = call("PUT", f"{MAPS}/a", {"metadata": {"name": "a", "resourceVersion": first}, "data": {"x": "2"}})
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")
    assert stale.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the '
        "latest version and try again"
    )
    assert stale.json["details"] == {"name": "a", "kind": "configmaps"}
    unconditional = call("PUT", f"{MAPS}/a", {"metadata": {"name": "a"}, "data": {"x": "3"}})
    assert unconditional.json["data"] == {"x": "3"}
    assert int(unconditional.json["metadata"]["resourceVersion"]) > int(second.json["metadata"]["resourceVersion"])


def test_a_put_replaces_and_keeps_the_servers_fields(server, call):
    """Fields that a PUT leaves out are removed, except those that only the server sets."""
    before = server.create(config_map("a", labels={"app": "web"}) | {"data": {"k": "v"}})["metadata"]
    after = call("PUT", f"{MAPS}/a", {"metadata": {"name": "a", "creationTimestamp": "2001-01-01T00:00:00Z"}}).json
    assert "data" not in after
    assert "labels" not in after["metadata"]
    for field in ("uid", "creationTimestamp", "namespace"):
        assert after["metadata"][field] == before[field]


def test_put_without_a_change_is_not_a_write(server, call):
    """An unchanged object keeps its resourceVersion, and watches get no event."""
    before = server.create(config_map("a") | {"data": {"k": "v"}})
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")
    answer = call("PUT", f"{MAPS}/a", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert answer.json["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    server.create(config_map("b"))
    assert stream.events(1) == [("ADDED", "b")]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"metadata": {"name": "b"}}, 400, "the name of the object (b) does not match the name on the URL (a)"),
        ({}, 400, "the name of the object (a based on URL) was undeterminable: name must be provided"),
        ({"metadata": {"name": "a", "namespace": "x"}}, 400, "the namespace of the provided object does not match"),
        (
            {"metadata": {"name": "a", "uid": "zz"}},
            409,
            'Operation cannot be fulfilled on configmaps "a": StorageError',
        ),
        (
            {"metadata": {"name": "a", "resourceVersion": "abc"}},
            500,
            'strconv.ParseUint: parsing "abc": invalid syntax',
        ),
    ],
    ids=["another name", "no name", "another namespace", "another uid", "no resourceVersion"],
)
def test_a_put_for_another_object_is_refused(server, call, body, status, message):
    """An update has to be of the object that the URL names."""
    server.create(config_map("a"))
    answer = call("PUT", f"{MAPS}/a", body)
    assert answer.status == status
    assert answer.message.startswith(message)


def test_some_kinds_need_a_resource_version_to_be_updated(server, call):
    """A Lease cannot be overwritten without a resourceVersion."""
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    assert call("POST", leases, {"metadata": {"name": "l"}, "spec": {}}).status == 201
    answer = call("PUT", f"{leases}/l", {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}})
    assert answer.status == 422
    assert answer.message == (
        'leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an '
        "update"
    )


def test_some_kinds_are_created_by_an_update(call):
    """PUT creates a missing Lease or Endpoints, but not a ConfigMap."""
    lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    assert call("PUT", lease, {"metadata": {"name": "l"}}).status == 201
    assert call("PUT", f"{MAPS}/none", {"metadata": {"name": "none"}}).status == 404


def test_missing_object_is_404(call):
    """The Status names the resource and the object."""
    answer = call("GET", "/apis/apps/v1/namespaces/default/deployments/none")
    assert answer.status == 404
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "none" not found',
        "reason": "NotFound",
        "details": {"name": "none", "group": "apps", "kind": "deployments"},
        "code": 404,
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/apis/apps/v9/deployments", 404),
        ("GET", f"{MAPS}/a/status", 404),
        ("GET", "/api/v1/configmaps/a", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("POST", f"{MAPS}/a", 405),
        ("PUT", MAPS, 405),
        ("HEAD", MAPS, 405),
        ("DELETE", "/api/v1/configmaps", 405),
    ],
)
def test_unknown_paths_and_methods(call, method, path, status):
    """An unknown path is 404, a method that a path does not support 405."""
    assert call(method, path, {} if method in ("POST", "PUT") else None).status == status


def test_path_of_an_unknown_group_is_404_in_plain_text(call):
    """kube-apiserver answers such a path before any API sees it."""
    answer = call("GET", "/apis/foo.example.com/v1/bars")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (
        404,
        b"404 page not found\n",
        "text/plain; charset=utf-8",
    )


def test_a_deletion_is_answered_with_a_status(server, call):
    """For most kinds the Status has the name and uid of the deleted object."""
    uid = server.create(config_map("a"))["metadata"]["uid"]
    answer = call("DELETE", f"{MAPS}/a")
    assert answer.status == 200
    assert answer.json["status"] == "Success"
    assert answer.json["details"] == {"name": "a", "kind": "configmaps", "uid": uid}
    assert call("DELETE", f"{MAPS}/a").status == 404


def test_deleted_pod_is_marked_and_then_deleted(call):
    """The answer is the pod, and a watch gets MODIFIED with the deletionTimestamp before DELETED."""
    created = call("POST", PODS, pod("p")).json["metadata"]
    stream = call.watch(f"{PODS}?resourceVersion={created['resourceVersion']}")
    answer = call("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
    assert answer.json["metadata"]["deletionTimestamp"]
    (first, marked), (second, last) = stream.event(), stream.event()
    assert (first, second) == ("MODIFIED", "DELETED")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert int(last["metadata"]["resourceVersion"]) == int(marked["metadata"]["resourceVersion"]) + 1
    assert call("GET", f"{PODS}/p").status == 404


def test_preconditions_of_a_deletion(server, call):
    """A uid or resourceVersion that differs from the stored one is a conflict."""
    created = server.create(config_map("a"))["metadata"]
    by_uid = call("DELETE", f"{MAPS}/a", {"preconditions": {"uid": "x"}})
    assert by_uid.status == 409
    assert f"UID in precondition: x, UID in object meta: {created['uid']}" in by_uid.message
    by_version = call("DELETE", f"{MAPS}/a", {"preconditions": {"resourceVersion": "1"}})
    assert by_version.status == 409
    assert "ResourceVersion in precondition: 1" in by_version.message
    right = {"uid": created["uid"], "resourceVersion": created["resourceVersion"]}
    assert call("DELETE", f"{MAPS}/a", {"preconditions": right}).status == 200


def test_object_is_deleted_with_its_last_finalizer(server, call):
    """DELETE marks the object, removing the last finalizer deletes it, and a watch gets both changes."""
    held = config_map("a")
    held["metadata"]["finalizers"] = ["example.com/one", "example.com/two"]
    version = server.create(held)["metadata"]["resourceVersion"]
    stream = call.watch(f"{MAPS}?resourceVersion={version}")
    first = call("DELETE", f"{MAPS}/a").json["metadata"]
    assert first["deletionTimestamp"]
    assert call("DELETE", f"{MAPS}/a").json["metadata"]["resourceVersion"] == first["resourceVersion"]
    added = call("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": ["new/one"]}}, "application/merge-patch+json")
    assert added.status == 422
    assert "no new finalizers can be added if the object is being deleted" in added.message
    one = {"metadata": {"finalizers": ["example.com/two"]}}
    assert call("PATCH", f"{MAPS}/a", one, "application/merge-patch+json").status == 200
    last = call("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    assert "finalizers" not in last.json["metadata"]
    assert call("GET", f"{MAPS}/a").status == 404
    assert stream.events(3) == [("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_collection_is_deleted_by_selector(server, call):
    """The answer is the list of the deleted objects."""
    for name, app in (("a", "x"), ("b", "y"), ("c", "x")):
        server.create(config_map(name, labels={"app": app}))
    answer = call("DELETE", f"{MAPS}?labelSelector=app%3Dx")
    assert answer.json["kind"] == "ConfigMapList"
    assert answer.names == ["a", "c"]
    assert call("GET", MAPS).names == ["b"]


def test_status_has_its_own_endpoint(server, call):
    """The main endpoint ignores the status, the status endpoint ignores the spec; only a changed spec counts a generation."""
    created = call("POST", PODS, pod("p") | {"status": {"phase": "Running"}}).json
    assert created["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    both = pod("p") | {"status": {"phase": "Failed"}}
    both["spec"] = {**both["spec"], "activeDeadlineSeconds": 5}
    main = call("PUT", f"{PODS}/p", both).json
    assert (main["spec"]["activeDeadlineSeconds"], main["status"]) == (5, created["status"])
    assert main["metadata"]["generation"] == 2
    both = pod("p", node="other") | {"status": {"phase": "Running"}}
    status = call("PUT", f"{PODS}/p/status", both).json
    assert "nodeName" not in status["spec"]
    assert (status["status"], status["metadata"]["generation"]) == ({"phase": "Running", "qosClass": "BestEffort"}, 2)
    assert call("GET", f"{PODS}/p/status").json == call("GET", f"{PODS}/p").json


def test_the_scale_of_a_deployment(server, call):
    """GET returns a Scale; PUT and PATCH of it change spec.replicas."""
    labels = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "env", "operator": "In", "values": ["b", "a"]}],
    }
    template = {"metadata": {"labels": {"app": "web", "env": "a"}}, "spec": pod("p")["spec"]}
    spec = {"replicas": 3, "selector": labels, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    call("POST", path, {"metadata": {"name": "d"}, "spec": spec})
    scale = call("GET", f"{path}/d/scale").json
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 3})
    assert scale["status"] == {"replicas": 0, "selector": "app=web,env in (a,b)"}
    scale["spec"]["replicas"] = 5
    assert call("PUT", f"{path}/d/scale", scale).json["spec"] == {"replicas": 5}
    assert call("PUT", f"{path}/d/scale", scale).status == 409
    patched = call("PATCH", f"{path}/d/scale", {"spec": {"replicas": 6}}, "application/merge-patch+json")
    assert patched.json["spec"] == {"replicas": 6}
    assert server.get("deployments", "d")["spec"]["replicas"] == 6
    assert server.get("deployments", "d")["metadata"]["generation"] == 3
    assert call("PUT", f"{path}/d/scale", {"metadata": {"name": "d"}, "spec": {"replicas": -1}}).status == 422


def test_deleted_namespace_deletes_its_objects(server, call):
    """The namespace terminates, refuses new objects, and is deleted once it is empty."""
    server.create(namespace_object("shop"))
    held = config_map("held", namespace="shop")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    server.create(held)
    server.create(config_map("free", namespace="shop"))
    stream = call.watch(f"/api/v1/namespaces?resourceVersion={server.resource_version}")
    answer = call("DELETE", "/api/v1/namespaces/shop")
    assert answer.json["status"]["phase"] == "Terminating"
    assert call("GET", "/api/v1/namespaces/shop/configmaps").names == ["held"]
    refused = call("POST", "/api/v1/namespaces/shop/configmaps", {"metadata": {"name": "new"}})
    assert refused.status == 403
    assert refused.message == (
        'configmaps "new" is forbidden: unable to create new content in namespace shop because it is being terminated'
    )
    server.patch("configmaps", "held", {"metadata": {"finalizers": None}}, namespace="shop")
    assert stream.events(2) == [("MODIFIED", "shop"), ("DELETED", "shop")]
    assert call("GET", "/api/v1/namespaces/shop").status == 404


def test_a_namespace_with_finalizers_waits_for_them_and_for_its_contents(server, call):
    """The namespace is deleted when both its finalizers and its objects have gone, in either order."""
    held = config_map("held", namespace="shop")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    namespace = {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": "shop", "finalizers": ["example.com/wait"]},
    }
    free = {"metadata": {"finalizers": None}}
    for first, second in (
        (("namespaces", "shop"), ("configmaps", "held")),
        (("configmaps", "held"), ("namespaces", "shop")),
    ):
        server.create(namespace)
        server.create(held)
        server.delete("namespaces", "shop")
        server.patch(*first, free, namespace="shop")
        assert server.get("namespaces", "shop")["status"]["phase"] == "Terminating"
        server.patch(*second, free, namespace="shop")
        assert call("GET", "/api/v1/namespaces/shop").status == 404
        assert server.list("configmaps") == []


def test_own_namespaces_of_the_cluster_cannot_be_deleted(call):
    """default, kube-system and kube-public cannot be deleted."""
    answer = call("DELETE", "/api/v1/namespaces/default")
    assert (answer.status, answer.message) == (
        403,
        'namespaces "default" is forbidden: this namespace may not be deleted',
    )


def test_event_is_served_in_both_groups(call):
    """events.k8s.io serves the core group's events with its own field names."""
    core = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}, "message": "hello", "count": 2}
    call("POST", "/api/v1/namespaces/default/events", core)
    new = call("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e").json
    assert (new["regarding"], new["note"], new["deprecatedCount"]) == ({"kind": "Pod", "name": "p"}, "hello", 2)
    assert (new["kind"], new["apiVersion"]) == ("Event", "events.k8s.io/v1")
    patch = {"note": "bye"}
    call("PATCH", "/apis/events.k8s.io/v1/namespaces/default/events/e", patch, "application/merge-patch+json")
    assert call("GET", "/api/v1/namespaces/default/events/e").json["message"] == "bye"
    selected = "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dp"
    assert call("GET", selected).json["items"][0]["note"] == "bye"


def test_official_client_writes_and_reads(server):
    """Typed calls of the official client create, read, replace, patch, list and delete."""
    with server.api_client() as api:
        core = client.CoreV1Api(api)
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"k": "v"})
        created = core.create_namespaced_config_map("default", body)
        assert created.metadata.uid
        created.data = {"k": "w"}
        assert core.replace_namespaced_config_map("a", "default", created).data == {"k": "w"}
        with pytest.raises(ApiException) as conflict:
            core.replace_namespaced_config_map("a", "default", created)
        assert conflict.value.status == 409
        assert core.patch_namespaced_config_map("a", "default", {"data": {"x": "y"}}).data == {"k": "w", "x": "y"}
        assert [each.metadata.name for each in core.list_config_map_for_all_namespaces().items] == ["a"]
        core.delete_namespaced_config_map("a", "default")
        with pytest.raises(ApiException) as missing:
            core.read_namespaced_config_map("a", "default")
        assert missing.value.status == 404


def test_one_of_concurrent_writers_wins(server, call):
    """Of eight threads that write with the same resourceVersion one succeeds, the others get a conflict."""
    version = server.create(config_map("a"))["metadata"]["resourceVersion"]
    statuses = []

    def write(value):
        body = {"metadata": {"name": "a", "resourceVersion": version}, "data": {"by": value}}
        statuses.append(call("PUT", f"{MAPS}/a", body).status)

    threads = [threading.Thread(target=write, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 7


def test_the_tables_of_built_in_kinds_are_read_once(server):
    """Not for each write, of which they would take most of the time."""
    server.create(config_map("a"))
    before = rules_in.cache_info().currsize
    server.create(config_map("b"))
    assert rules_in.cache_info().currsize == before

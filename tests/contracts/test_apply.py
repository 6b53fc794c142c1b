"""Server-side apply and managedFields: refusals, resets, the scale and status subresources, migration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.conftest import Servers

pytestmark = pytest.mark.timeout(120)

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{ns}/deployments"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def config_map(metadata: Any = None, **data: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **(metadata or {})}, "data": data}


def widget(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "contracts.example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, **fields}


def entry(**changes: Any) -> dict[str, Any]:
    fields = {"f:data": {"f:x": {}, "f:q": {}}}
    made = {"manager": "z", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    return {**made, **changes}


def owners(body: dict[str, Any]) -> dict[tuple[str, str], Any]:
    entries = body["metadata"].get("managedFields", [])
    return {(each["manager"], each["operation"]): each["fieldsV1"] for each in entries}


def apply(servers: Servers, body: Any, manager: str = "anna", path: str = f"{CONFIGMAPS}/a", **options: Any) -> Any:
    query = {"fieldManager": manager, **options.pop("query", {})}
    return servers.ask("PATCH", path, body, media=APPLY, query=query, **options)


def test_conflicts_name_the_owners(servers: Servers) -> None:
    """Of fields with another value only, for each owner; `force` takes the fields."""
    servers.ask("POST", CONFIGMAPS, config_map(x="1", y="1"), query={"fieldManager": "zoe"})
    assert apply(servers, config_map(x="1")).status == 200
    refused = apply(servers, config_map(x="2", y="2"), "ben")
    assert refused.status == 409
    assert {cause["field"] for cause in refused.body["details"]["causes"]} == {".data.x", ".data.y"}
    answer = apply(servers, config_map(x="2"), "ben", query={"force": "true"})
    assert owners(answer.body) == {
        ("ben", "Apply"): {"f:data": {"f:x": {}}},
        ("zoe", "Update"): {"f:data": {".": {}, "f:y": {}}},
    }


def test_what_a_manager_does_not_apply_any_more_is_removed(servers: Servers) -> None:
    """Unless another manager owns it too."""
    apply(servers, config_map({"labels": {"a": "b"}}, x="1", y="1"))
    apply(servers, config_map(y="1"), "ben")
    answer = apply(servers, config_map(z="1"))
    assert (answer.body["data"], "labels" in answer.body["metadata"]) == ({"y": "1", "z": "1"}, False)


REFUSED = {
    "no-manager": (config_map(), {}, 422),
    "long-manager": (config_map(), {"fieldManager": "m" * 129}, 422),
    "other-kind": ({**config_map(), "kind": "Pod"}, {"fieldManager": "m"}, 400),
    "other-version": ({**config_map(), "apiVersion": "v2"}, {"fieldManager": "m"}, 400),
    "no-kind": ({"metadata": {"name": "a"}}, {"fieldManager": "m"}, 400),
    "managed-fields": (config_map({"managedFields": []}), {"fieldManager": "m"}, 400),
    "old-version": (config_map({"resourceVersion": "1"}), {"fieldManager": "m"}, 409),
    "other-uid": (config_map({"uid": "1"}), {"fieldManager": "m"}, 422),
    "other-name": (config_map({"name": "b"}), {"fieldManager": "m"}, 400),
    "undeclared": ({**config_map(), "color": 1}, {"fieldManager": "m"}, 500),
    "not-a-map": ({**config_map(), "data": "x"}, {"fieldManager": "m"}, 500),
    "not-a-string": (config_map(x=1), {"fieldManager": "m"}, 500),
    "not-a-bool": ({**config_map(), "immutable": "x"}, {"fieldManager": "m"}, 500),
    "not-a-number": (config_map({"generation": "x"}), {"fieldManager": "m"}, 500),
    "equal-items": (config_map({"finalizers": ["a.b/c", "a.b/c"]}), {"fieldManager": "m"}, 500),
}


@pytest.mark.parametrize("case", REFUSED)
def test_apply_is_refused(servers: Servers, case: str) -> None:
    body, query, status = REFUSED[case]
    servers.ask("POST", CONFIGMAPS, config_map(x="1"))
    request = ("PATCH", f"{CONFIGMAPS}/a", body)
    assert servers.ask(*request, media=APPLY, query=query, any_message=case.startswith("not-")).status == status


def test_force_is_for_apply_only(servers: Servers) -> None:
    assert servers.ask("PATCH", f"{CONFIGMAPS}/a", {}, media=MERGE, query={"force": "true"}).status == 422
    assert servers.ask("POST", CONFIGMAPS, config_map(), query={"fieldManager": "m" * 129}).status == 422


def test_apply_creates(servers: Servers) -> None:
    """Also with a resourceVersion, but not with a uid; a dry run stores nothing."""
    assert apply(servers, config_map({"uid": "1"}), any_message=True).status == 409
    assert apply(servers, config_map(x="1"), query={"dryRun": "All"}).status == 201
    assert apply(servers, b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, resourceVersion: '1'}").status == 201
    assert apply(servers, widget(spec={"color": "red"}), path=f"{WIDGETS}/a").status == 201
    assert apply(servers, widget(status={"phase": "x"}), path=f"{WIDGETS}/b/status", any_message=True).status == 404


def test_an_apply_that_changes_nothing_writes_nothing(servers: Servers) -> None:
    """Neither do updates and patches; a manager that applies what is there already is recorded, without a time."""
    apply(servers, config_map(x="1"))
    servers.keep_version()
    for again in (apply, lambda to, body: to.ask("PATCH", f"{CONFIGMAPS}/a", body, media=MERGE)):
        again(servers, config_map(x="1"))
        for side in servers.sides:
            assert side.last["metadata"]["resourceVersion"] == side.known["version"]
    entries = apply(servers, config_map(x="1"), "ben").body["metadata"]["managedFields"]
    assert {each["manager"]: "time" in each for each in entries} == {"anna": True, "ben": False}


RESET = {"empty": [], "one-empty-entry": [{}]}


@pytest.mark.parametrize("case", RESET)
def test_managed_fields_are_reset(servers: Servers, case: str) -> None:
    """The object has no owners then; the first apply gives its fields to "before-first-apply"."""
    servers.ask("POST", CONFIGMAPS, config_map(x="1"), query={"fieldManager": "zoe"})
    answer = servers.ask("PUT", f"{CONFIGMAPS}/a", config_map({"managedFields": RESET[case]}, x="1", y="1"))
    assert not owners(answer.body)
    assert not owners(servers.ask("PATCH", f"{CONFIGMAPS}/a", {"data": {"y": "2"}}, media=MERGE).body)
    assert ("before-first-apply", "Update") in owners(apply(servers, config_map(x="1")).body)


SENT = {
    "operation": [entry(operation="X")],
    "fields-type": [entry(fieldsType="X")],
    "version": [entry(apiVersion="")],
    "element": [entry(fieldsV1={"x": {}})],
    "set": [entry(fieldsV1={"f:x": 1})],
    "list": [entry(fieldsV1=[])],
    "key": [entry(fieldsV1={"k:x": {}})],
    "unknown": [entry(fieldsV1={"r:x": {}})],
    "two-empty": [{}, {}],
    "text": "x",
    "number": [1],
    "valid": [entry(), entry(manager="y", operation="Apply", subresource="status")],
    "spaces": [entry(fieldsV1={"f:metadata": {"f:finalizers": {'v: "a"': {}}}})],
}


@pytest.mark.parametrize("case", SENT)
def test_sent_managed_fields_are_kept_if_they_are_valid(servers: Servers, case: str) -> None:
    """In an update and in a creation."""
    servers.ask("POST", CONFIGMAPS, config_map(x="1"), query={"fieldManager": "zoe"})
    body, query = config_map({"managedFields": SENT[case]}, x="1", y="1"), {"fieldManager": "ben"}
    servers.ask("PUT", f"{CONFIGMAPS}/a", body, query=query, any_message=True)
    servers.ask(
        "POST", CONFIGMAPS, {**body, "metadata": {**body["metadata"], "name": "b"}}, query=query, any_message=True
    )


def test_kubectl_takes_what_it_has_applied_on_the_clients_side(servers: Servers) -> None:
    """Fields that still are as in its annotation are no conflicts for the manager "kubectl", which updates the annotation."""
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","y":"1"}}'
    made = config_map({"annotations": {LAST_APPLIED: text}}, x="1", y="2")
    servers.ask("POST", CONFIGMAPS, made, query={"fieldManager": "kubectl-client-side-apply"})
    assert apply(servers, config_map(x="2", y="3"), "kubectl").status == 409
    assert apply(servers, config_map(x="2"), "ben").status == 409
    answer = apply(servers, config_map(x="2"), "kubectl")
    assert answer.body["metadata"]["annotations"][LAST_APPLIED].endswith('"name":"a"}}\n')


def test_status_has_owners_of_its_own(servers: Servers) -> None:
    """A write of the status does not own the rest, and the other way round."""
    apply(servers, widget(spec={"color": "red"}, status={"phase": "x"}), path=f"{WIDGETS}/a")
    answer = apply(servers, widget(spec={"color": "blue"}, status={"phase": "y"}), path=f"{WIDGETS}/a/status")
    assert [each["fieldsV1"] for each in answer.body["metadata"]["managedFields"]] == [
        {"f:spec": {"f:color": {}}},
        {"f:status": {"f:phase": {}}},
    ] or answer.body["metadata"]["managedFields"]
    refused = apply(servers, widget(status={"phase": "z"}), "ben", path=f"{WIDGETS}/a/status")
    assert 'with subresource "status"' in refused.body["message"]


def test_scale_has_owners_of_its_own(servers: Servers) -> None:
    """Replicas that the scale subresource sets are owned there, and conflict with an apply of the object."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}
    one, only = f"{DEPLOYMENTS}/a", ("message", "details", "metadata")
    apply(servers, made, path=one, only=only)
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 2}}
    assert apply(servers, scale, "hpa", path=f"{one}/scale").status == 409
    servers.ask(
        "PUT", f"{one}/scale", {**scale, "metadata": {"name": "a", "namespace": "{ns}"}}, query={"fieldManager": "zoe"}
    )
    assert apply(servers, made, path=one, only=only).status == 409
    servers.ask("PATCH", f"{one}/scale", {"spec": {"replicas": 3}}, media=MERGE, query={"fieldManager": "ben"})
    assert servers.ask("GET", one, only=only).status == 200


def test_a_service_without_target_ports_is_applied(servers: Servers) -> None:
    """The target port is the port; a target port of 0 or an empty name stands for none."""
    services = "/api/v1/namespaces/{ns}/services"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    for ports in ([{"port": 80}], [{"port": 80, "name": "web"}, {"port": 81, "name": "more"}]):
        answer = apply(servers, {**service, "spec": {"ports": ports}}, path=f"{services}/a")
        assert [each["targetPort"] for each in answer.body["spec"]["ports"]] == [each["port"] for each in ports]
    for name, port in (("b", 0), ("c", "")):
        body = {**service, "metadata": {"name": name}, "spec": {"ports": [{"port": 80, "targetPort": port}]}}
        assert servers.ask("POST", services, body).body["spec"]["ports"][0]["targetPort"] == 80

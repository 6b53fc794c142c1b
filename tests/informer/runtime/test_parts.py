"""The pure parts of a manager: predicates, owner references, manifests, arguments, and what was applied."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from kubernetes import client
from pytest_mock import MockerFixture

from informer import ApiError, Object
from informer.runtime import (
    ConflictError,
    Manager,
    Predicate,
    annotations_changed,
    generation_changed,
    labels_changed,
    owner_reference,
)
from informer.runtime.applied import AppliedObjects
from informer.runtime.owners import with_owner
from informer.runtime.request import _has
from informer.runtime.writer import api_form
from informer.testing.storage.patches import merge_patch


def made(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Site", "metadata": {"name": "shop", "uid": "u1", **metadata}}


# Predicates


@pytest.mark.parametrize(
    ("predicate", "old", "new", "passes"),
    [
        (generation_changed, {"generation": 1}, {"generation": 2}, True),
        (generation_changed, {"generation": 1}, {"generation": 1, "labels": {"a": "b"}}, False),
        (generation_changed, {}, {"labels": {"a": "b"}}, True),  # ConfigMaps have no generation
        (labels_changed, {"labels": {"a": "b"}}, {"labels": {"a": "c"}}, True),
        (labels_changed, {}, {"labels": {}}, False),
        (annotations_changed, {}, {"annotations": {"a": "b"}}, True),
        (generation_changed & labels_changed, {"generation": 1}, {"generation": 2}, False),
        (generation_changed | labels_changed, {"generation": 1}, {"generation": 2}, True),
        (~labels_changed, {}, {}, True),
        (labels_changed | (lambda old, new: True), {}, {}, True),
    ],
)
@pytest.mark.parametrize("form", [dict, Object.from_dict])
def test_predicates(
    predicate: Predicate, old: Any, new: Any, passes: bool, form: Callable[[dict[str, Any]], Any]
) -> None:
    assert predicate(form(made(**old)), form(made(**new))) is passes


def test_a_predicate_says_what_it_is() -> None:
    assert repr(generation_changed & ~labels_changed) == "(generation_changed & ~labels_changed)"


# Owner references


def test_an_owner_reference_has_the_owners_identity() -> None:
    assert owner_reference(made()) == {
        "apiVersion": "example.com/v1", "kind": "Site", "name": "shop", "uid": "u1",
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    assert owner_reference(made(), controller=False, block_owner_deletion=False)["controller"] is False
    pod = client.V1Pod(metadata=client.V1ObjectMeta(name="p", uid="u2"))
    assert owner_reference(pod)["kind"] == "Pod"


def test_an_owner_without_a_uid_is_refused() -> None:
    with pytest.raises(ValueError, match="an owner needs a uid: pass an object that the server has returned"):
        owner_reference({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}})


def test_a_child_keeps_other_references_and_has_one_controller() -> None:
    other = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u9"}
    child = with_owner({"metadata": {"name": "c", "ownerReferences": [other]}}, made())
    assert [each["uid"] for each in child["metadata"]["ownerReferences"]] == ["u9", "u1"]
    assert with_owner(child, made()) == child
    with pytest.raises(ValueError, match="c is controlled by Site shop: pass owned=False"):
        with_owner(child, made(uid="another"))


# Conflicts


def test_a_conflict_names_fields_and_managers() -> None:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "field": ".spec.replicas",
            "message": 'conflict with "kubectl" using apps/v1',
        },
        {"reason": "Other", "field": ".x", "message": "other"},
    ]
    error = ConflictError.of(ApiError(409, "Conflict", "Apply failed", details={"causes": causes}))
    assert error.managers == {".spec.replicas": "kubectl"}
    assert "pass force=True to take these fields over, or leave them out" in str(error)
    assert ConflictError.of(ApiError(409, "Conflict", "changed")).managers == {}


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"owns": "pods"}, r"owns= is a list of resources, not the str 'pods'"),
        ({"writes": "pods"}, r"writes= is a list of resources"),
        ({"watches": ["nodes"]}, "watches= is a mapping of resources to functions, not a list"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"finalizer": "example.com/x"}, "finalizer= and cleanup= belong together"),
        (
            {"finalizer": "x", "cleanup": lambda request: None},
            'a finalizer is a qualified name such as "example.com/cleanup"',
        ),
        ({"owns": ["a/b/c/d"]}, "is not the name of a resource"),
        ({"predicate": lambda old: True}, "predicate"),
        ({"watches": {"pods": lambda: ["a"]}}, r"the function of watches\['pods'\]"),
    ],
)
def test_wrong_arguments_are_refused_when_they_are_given(options: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Manager(name="m").controller("pods", **options)(lambda request: None)


def test_a_mix_of_async_and_plain_functions_is_refused() -> None:
    async def cleanup(request: Any) -> None: ...

    with pytest.raises(TypeError, match="must both be async, or both not"):
        Manager(name="m").controller("pods", finalizer="e.com/x", cleanup=cleanup)(lambda request: None)


def test_a_reconcile_function_without_an_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="the reconcile function"):
        Manager(name="m").controller("pods")(lambda: None)


def test_two_controllers_need_two_names() -> None:
    manager = Manager(name="m")
    manager.controller("pods")(lambda request: None)
    with pytest.raises(ValueError, match="there is a controller 'pods' already: give this one another name="):
        manager.controller("v1/pods")(lambda request: None)
    manager.controller("pods", name="others")(lambda request: None)


def test_the_decorator_returns_the_function() -> None:
    def reconcile(request: Any) -> None: ...

    assert Manager(name="m").controller("pods")(reconcile) is reconcile


def test_a_manager_without_controllers_is_refused(mocker: MockerFixture) -> None:
    api_client = mocker.create_autospec(client.ApiClient, instance=True)
    with pytest.raises(RuntimeError, match=r"manager m has no controllers: register one with @manager\.controller"):
        Manager(api_client, name="m").run()


@pytest.mark.parametrize("options", [{"name": "a b"}, {"name": "m", "sync_timeout": 0}])
def test_wrong_arguments_of_a_manager(options: Any) -> None:
    with pytest.raises(ValueError, match=r"component|sync_timeout"):
        Manager(**options)


# Manifests


def rules_of(manifests: list[dict[str, Any]], kind: str) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for each in manifests
        if each["kind"] == kind
        for rule in each["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_manifests_have_the_least_rights_and_need_no_cluster() -> None:
    manager = Manager(name="site-controller", leader_election=True, serve=8080)
    manager.controller(
        "sites.example.com", owns=["configmaps"], watches={"nodes": lambda node: []}, writes=["secrets", "pods/eviction"],
        finalizer="example.com/x", cleanup=lambda request: None,
    )(lambda request: None)  # fmt: skip
    manifests = manager.manifests(namespace="sites", image="example.com/site:1")
    assert [each["kind"] for each in manifests] == [
        "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Deployment",
    ]  # fmt: skip
    read, write = ("get", "list", "watch"), ("create", "delete", "patch")
    assert rules_of(manifests, "ClusterRole") == {
        *(("example.com", "sites", verb) for verb in (*read, "patch")),
        ("example.com", "sites/status", "patch"),
        ("example.com", "sites/finalizers", "update"),
        *(("", "configmaps", verb) for verb in (*read, *write)),
        *(("", "nodes", verb) for verb in read),
        *(("", "secrets", verb) for verb in write),
        *(("", "pods/eviction", verb) for verb in ("create", "patch")),
        *(("events.k8s.io", "events", verb) for verb in ("create", "patch")),
    }
    assert rules_of(manifests, "Role") == {
        ("coordination.k8s.io", "leases", verb) for verb in ("create", "get", "update")
    }
    pod = manifests[-1]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "site-controller"
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert "&id" not in yaml.safe_dump_all(manifests)  # anchors, which readers of YAML would have to resolve


def test_a_manager_of_some_namespaces_gets_roles_in_them() -> None:
    manager = Manager(name="m", namespace=["a", "b"])
    manager.controller("sites.example.com", watches={"nodes": lambda node: []})(lambda request: None)
    manifests = manager.manifests(namespace="sites")
    assert [(each["kind"], each["metadata"].get("namespace")) for each in manifests] == [
        ("ServiceAccount", "sites"), ("ClusterRole", None), ("ClusterRoleBinding", None),
        ("Role", "a"), ("RoleBinding", "a"), ("Role", "b"), ("RoleBinding", "b"),
    ]  # fmt: skip
    assert rules_of(manifests, "ClusterRole") == {("", "nodes", verb) for verb in ("get", "list", "watch")}


def test_a_custom_resource_by_its_kind_has_no_known_plural() -> None:
    manager = Manager(name="m")
    manager.controller("example.com/v1/Site")(lambda request: None)
    with pytest.raises(ValueError, match=r"the plural name and group of 'example\.com/v1/Site' are not known"):
        manager.manifests(namespace="sites")


# What was applied


def test_an_apply_is_unchanged_only_if_its_fields_are() -> None:
    applied, where = AppliedObjects(), ("configmaps", "ns", "c", "")
    body = {"metadata": {"name": "c"}, "data": {"a": "1"}}
    answer = Object.from_dict(
        {"metadata": {"name": "c", "uid": "u1", "resourceVersion": "5"}, "data": {"a": "1", "b": "2"}}
    )
    assert not applied.is_unchanged(where, body, answer)
    applied.remember("key", where, body, answer)
    assert applied.is_unchanged(where, body, answer)

    def cached(**changes: Any) -> Object:
        return Object.from_dict({**answer.to_dict(), **changes})

    assert applied.is_unchanged(where, body, cached(data={"a": "1", "b": "3"}))  # another manager's field
    assert not applied.is_unchanged(where, body, cached(data={"a": "0", "b": "2"}))
    assert not applied.is_unchanged(where, {**body, "data": {}}, answer)
    assert not applied.is_unchanged(where, body, cached(metadata={"name": "c", "uid": "u2"}))
    assert not applied.is_unchanged(where, body, None)
    applied.forget("key")
    assert not applied.is_unchanged(where, body, answer)


def test_a_merge_of_changes_is_that_of_a_merge_patch() -> None:
    assert merge_patch({"a": 1, "b": {"c": 2}, "l": [1]}, {"b": {"c": None, "d": 3}, "l": [2]}) == {
        "a": 1,
        "b": {"d": 3},
        "l": [2],
    }


@pytest.mark.parametrize("status", [{}, {"a": 1}, {"a": None}, {"a": {"b": 1, "c": [1]}}, {"a": {}}, {"a": [1]}])
@pytest.mark.parametrize(
    "changes",
    [{}, {"a": 1}, {"a": None}, {"a": {}}, {"a": {"b": 1}}, {"a": {"b": None}}, {"a": {"d": None}}, {"a": [1]}],
)
def test_a_status_has_changes_if_a_merge_patch_would_change_nothing(status: Any, changes: Any) -> None:
    assert _has(status, changes) is (merge_patch(status, changes) == status)


def test_objects_of_any_form_can_be_applied() -> None:
    form = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    assert api_form(Object.from_dict(form)) == form
    assert api_form(form) == form
    model = client.V1ConfigMap(api_version="v1", kind="ConfigMap", metadata=client.V1ObjectMeta(name="c"))
    assert api_form(model) == form
    with pytest.raises(
        TypeError, match=r"an object is a dict in API form, an informer\.Object or an official model, not str"
    ):
        api_form("c")


def test_both_forms_of_a_request_have_the_same_methods() -> None:
    from informer.runtime import AsyncRequest, Request

    public = {name for name, _ in inspect.getmembers(Request, inspect.isfunction) if not name.startswith("_")}
    assert public == {
        name for name, _ in inspect.getmembers(AsyncRequest, inspect.isfunction) if not name.startswith("_")
    }
    for name in ("apply", "update_status", "set_condition", "delete"):
        assert inspect.signature(getattr(Request, name)) == inspect.signature(getattr(AsyncRequest, name))

"""Admission webhooks: one webhook server answers both API servers as the written object asks it to.

An object's annotation "answers" holds the response of each webhook by its name; without one the webhook allows the write.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from informer.testing.http.certificates import make_certificates
from informer.testing.http.server import HttpServer
from tests.support.waiting import eventually

MAPS = "/api/v1/namespaces/{ns}/configmaps"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"
ROOT = "/apis/admissionregistration.k8s.io/v1"
SCALES = [{"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*/scale"]}]
EVENTS = [{"operations": ["CREATE"], "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"], "resources": ["events"]}]
# Configurations with their kinds and webhooks, in the order in which they are called.
HOOKS: tuple[tuple[str, str, list[dict[str, Any]]], ...] = (
    (
        "hooks-a",
        "Mutating",
        [
            {"name": "scaler", "rules": SCALES, "objectSelector": {}},
            {"name": "eventer", "rules": EVENTS},
            {"name": "exact", "rules": EVENTS, "matchPolicy": "Exact"},
            {"name": "elsewhere", "namespaceSelector": {"matchLabels": {"no": "such"}}},
            {"name": "first", "reinvocationPolicy": "IfNeeded"},
        ],
    ),
    ("hooks-b", "Mutating", [{"name": "second"}]),
    ("hooks-v", "Validating", [{"name": "check"}]),
    ("hooks-w", "Validating", [{"name": "lenient", "failurePolicy": "Ignore"}]),
)


class HookServer:
    """A webhook server, and the requests that it has received from each API server."""

    def __init__(self) -> None:
        self.certificates = make_certificates()
        self.http = HttpServer(self.answer, context=self.certificates.server_context(), name="webhooks")
        self.http.start()
        self.url = f"https://127.0.0.1:{self.http.port}"
        self.asked: dict[str, list[tuple[str, Any]]] = {"embedded": [], "real": []}
        self.registered: list[tuple[Any, str]] = []

    def answer(self, http: HttpServer, exchange: Any) -> None:
        hook = exchange.request.path.rpartition("/")[2]
        review = json.loads(exchange.request.body)
        request = review["request"]
        # The administrators of the two servers are in different groups.
        side = "real" if "system:masters" in request["userInfo"]["groups"] else "embedded"
        self.asked[side].append((hook, request))
        annotations = (request["object"] or request["oldObject"])["metadata"].get("annotations") or {}
        answers = json.loads(annotations.get("answers") or "{}")
        if hook == "scaler" and request["name"] == "scaled":
            answers = {"scaler": patch({"op": "replace", "path": "/spec/replicas", "value": 7})}
        response = answers.get(hook) or answers.get(f"{hook}:{request['operation']}") or {"allowed": True}
        if "http" in response:
            exchange.answer(
                response["http"], response["body"].encode(), {"Content-Type": response["type"], "Connection": "close"}
            )
            return
        answer = {"kind": "AdmissionReview", "apiVersion": review["apiVersion"]}
        answer["response"] = {"uid": request["uid"], **response}
        answer |= response.get("review", {})
        headers = {"Content-Type": "application/json", "Connection": "close"}
        exchange.answer(200, json.dumps(answer).encode(), headers)

    def configuration(self, name: str, kind: str, *hooks: dict[str, Any]) -> dict[str, Any]:
        webhooks = [
            {
                "rules": [
                    {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]},
                ],
                "objectSelector": {"matchLabels": {"hooks": name.partition("-")[0]}},
                "clientConfig": {
                    "url": f"{self.url}/{hook['name']}",
                    "caBundle": base64.b64encode(self.certificates.authority).decode(),
                },
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                **hook,
                "name": f"{hook['name']}.hooks.example.com",
            }
            for hook in hooks
        ]
        return {
            "kind": f"{kind}WebhookConfiguration",
            "apiVersion": "admissionregistration.k8s.io/v1",
            "metadata": {"name": name},
            "webhooks": webhooks,
        }

    def register(self, side: Any, name: str, kind: str, *hooks: dict[str, Any]) -> None:
        """Creates a configuration, and waits until its last webhook is called."""
        path = f"{ROOT}/{kind.lower()}webhookconfigurations"
        if (side, f"{path}/{name}") in self.registered:
            return
        response = side.send("POST", path, None, self.configuration(name, kind, *hooks), JSON, "admin")
        assert response.status == 201, response.read()
        response.read()
        self.registered.append((side, f"{path}/{name}"))
        probe = made("probe", labels={"hooks": name.partition("-")[0]}, data={"x": "y"})
        namespace = "/api/v1/namespaces/default/configmaps"

        def is_called() -> bool:
            side.send("POST", namespace, {"dryRun": "All"}, probe, JSON, "admin").read()
            return any(hook == hooks[-1]["name"] for hook, _ in self.asked[side.name])

        assert eventually(is_called)

    def calls(self, side: Any, *fields: str) -> list[Any]:
        """Returns the webhooks that a server has called since the last time, with fields of the requests."""
        asked, self.asked[side.name] = self.asked[side.name], []
        return [(hook, *(request.get(field) for field in fields)) for hook, request in asked]

    def close(self) -> None:
        for side, path in self.registered:
            side.send("DELETE", path, None, None, JSON, "admin").read()
            side.close()
        self.http.stop()


JSON = {"Content-Type": "application/json"}
MERGE = "application/merge-patch+json"
WIDGET = {"kind": "Widget", "apiVersion": "contracts.example.com/v1"}


def made(name: str = "a", answers: dict[str, Any] | None = None, labels: Any = None, **fields: Any) -> dict[str, Any]:
    """Returns an object that webhooks are called for."""
    metadata = {"name": name, "labels": labels or {"hooks": "hooks"}, "annotations": {"answers": json.dumps(answers)}}
    return {"metadata": metadata if answers is not None else {"name": name, "labels": metadata["labels"]}, **fields}


def patch(*operations: Any) -> dict[str, Any]:
    return {
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(json.dumps(operations).encode()).decode(),
    }


@pytest.fixture(scope="module")
def hooks() -> Iterator[HookServer]:
    """The webhook server."""
    server = HookServer()
    yield server
    server.close()


@pytest.fixture
def hooked(servers: Any, hooks: HookServer) -> Any:
    """Servers on which the webhooks are registered."""
    for side in servers.sides:
        if not any(side is each for each, _ in hooks.registered):
            for name, kind, webhooks in HOOKS:
                hooks.register(side, name, kind, *webhooks)
        hooks.calls(side)
    return servers


def mutating(servers: Any, hooks: HookServer, path: str, obj: Any) -> list[str]:
    """Creates an object; returns the mutating webhooks that all servers have called."""
    servers.ask("POST", path, obj)
    calls = [[hook for (hook,) in hooks.calls(side) if hook in ("first", "second")] for side in servers.sides]
    assert all(each == calls[0] for each in calls), calls
    return calls[0]


DENIALS: dict[str, tuple[dict[str, Any], int]] = {
    "without a status": ({}, 400),
    "message": ({"status": {"message": "too small"}}, 400),
    "reason": ({"status": {"reason": "Forbidden"}}, 400),
    "code": (
        {
            "status": {
                "code": 403,
                "reason": "Forbidden",
                "message": "no",
                "details": {"name": "x", "causes": [{"field": "f", "message": "m", "reason": "r"}]},
            }
        },
        403,
    ),
    "success": ({"status": {"code": 200, "status": "Success", "message": "fine"}}, 400),
    "warnings": ({"warnings": ['mind "this"', "and that"], "auditAnnotations": {"a": "b"}}, 400),
}


@pytest.mark.parametrize("hook", ["first", "check"])
@pytest.mark.parametrize("case", DENIALS)
def test_a_denial_names_the_webhook(hooked, case, hook):
    """The answer carries the webhook's code, reason, message and details."""
    response, status = DENIALS[case]
    answer = hooked.ask("POST", MAPS, made(answers={hook: {"allowed": False, **response}}))
    assert answer.status == status
    assert f'admission webhook "{hook}.hooks.example.com" denied the request' in answer.body["message"]
    assert hooked.ask("GET", f"{MAPS}/a").status == 404


FAILURES: dict[str, dict[str, Any]] = {
    "wrong uid": {"allowed": True, "uid": "x"},
    "no response": {"review": {"response": None}},
    "wrong version": {"allowed": True, "review": {"apiVersion": "admission.k8s.io/v1beta1"}},
    "500": {"http": 500, "body": "broken", "type": "text/plain"},
    "404": {"http": 404, "body": "", "type": "text/plain"},
    "not JSON": {"http": 200, "body": "<html>", "type": "text/html"},
    "redirect": {"http": 302, "body": "", "type": "text/plain"},
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_webhook_that_fails(hooked, case):
    """With failurePolicy Fail the write fails with 500; with Ignore it is admitted."""
    loose = case not in ("wrong uid", "no response")
    only = ["code", "reason"] if loose else ["message"]
    failed = hooked.ask("POST", MAPS, made(answers={"check": FAILURES[case]}), only=only)
    assert failed.status == 500
    assert hooked.ask("POST", MAPS, made(answers={"lenient": FAILURES[case]})).status == 201


def test_answers_that_only_mutating_webhooks_may_give(hooked):
    """A validating webhook must not change the object, a mutating one needs the patch's type."""
    answers = {"check": patch({"op": "add", "path": "/data", "value": {"x": "y"}})}
    assert hooked.ask("POST", MAPS, made(answers=answers)).status == 500
    for field in ("patch", "patchType"):
        answer = patch({"op": "add", "path": "/data", "value": {"x": "y"}})
        del answer[field]
        assert hooked.ask("POST", MAPS, made(answers={"first": answer})).status == 500
    wrong = {**patch({"op": "add", "path": "/data", "value": {"x": "y"}}), "patchType": "MergePatch"}
    assert hooked.ask("POST", MAPS, made(answers={"first": wrong})).status == 500
    impossible = patch({"op": "remove", "path": "/data"})
    assert hooked.ask("POST", MAPS, made(answers={"first": impossible}), any_message=True, only=["code"]).status == 500
    mistyped = patch({"op": "add", "path": "/data", "value": {"x": 1}})
    assert hooked.ask("POST", MAPS, made(answers={"first": mistyped}), any_message=True, only=["code"]).status == 500


@pytest.mark.parametrize("path", [MAPS, WIDGETS], ids=["configmaps", "widgets"])
def test_a_patch_changes_the_object(hooked, hooks, path):
    """The second mutating webhook sees what the first one has changed, and the validating ones see the result."""
    kind = WIDGET if path == WIDGETS else {}
    change = patch({"op": "add", "path": "/metadata/labels/a", "value": "b"})
    answer = hooked.ask("POST", path, made(answers={"first": change}, **kind))
    assert answer.body["metadata"]["labels"] == {"hooks": "hooks", "a": "b"}
    for side in hooked.sides:
        seen = [(hook, obj["metadata"]["labels"].get("a")) for hook, obj in hooks.calls(side, "object")]
        assert seen[:2] == [("first", None), ("second", "b")]
        assert sorted(seen[2:]) == [("check", "b"), ("lenient", "b")]


def test_reinvocation(hooked, hooks):
    """A webhook with IfNeeded is called again if a later one has changed the object; no webhook is called a third time."""
    both = {
        "first": patch({"op": "add", "path": "/data", "value": {"a": "1"}}),
        "second": patch({"op": "add", "path": "/data/b", "value": "2"}),
    }
    assert mutating(hooked, hooks, MAPS, made(answers=both)) == ["first", "second", "first"]
    same = {"second": patch({"op": "replace", "path": "/metadata/name", "value": "b"})}
    # Any patch of a built-in kind counts as a change.
    assert mutating(hooked, hooks, MAPS, made("b", answers=same)) == ["first", "second", "first"]
    assert mutating(hooked, hooks, WIDGETS, made("b", answers=same, **WIDGET)) == ["first", "second"]


def test_a_webhook_cannot_rename(hooked):
    """A change of the name is refused, or names the new object."""
    rename = {"first": patch({"op": "replace", "path": "/metadata/name", "value": "b"})}
    assert hooked.ask("POST", MAPS, made(answers=rename)).body["metadata"]["name"] == "b"
    move = {"first": patch({"op": "replace", "path": "/metadata/namespace", "value": "default"})}
    assert hooked.ask("POST", MAPS, made(answers=move)).status == 400
    hooked.ask("POST", MAPS, made())
    rename = {"first": patch({"op": "replace", "path": "/metadata/name", "value": "c"})}
    assert hooked.ask("PUT", f"{MAPS}/a", made(answers=rename), only=["code", "reason"]).status == 422


def test_what_a_webhook_is_asked(hooked, hooks):
    """Kind, resource, operation, options, dry run and user of every kind of write."""
    fields = ["kind", "resource", "subResource", "requestKind", "requestResource", "requestSubResource", "name"]
    fields += ["namespace", "operation", "dryRun", "options"]

    def first(*, without: str = "") -> Any:
        calls = [
            [dict(zip(fields, call[1:], strict=True)) for call in hooks.calls(side, *fields) if call[0] == "first"]
            for side in hooked.sides
        ]
        for each, side in zip(calls, hooked.sides, strict=True):
            assert each[0].pop("namespace") == side.known["ns"]
            each[0].pop(without, None)
            assert each == calls[0], (calls[0], each)
        return calls[0]

    hooked.ask(
        "POST", MAPS, made(answers={}), query={"dryRun": "All", "fieldManager": "me", "fieldValidation": "Strict"}
    )
    created = first()[0]
    assert (created["name"], created["operation"], created["dryRun"]) == ("a", "CREATE", True)
    assert created["options"]["fieldManager"] == "me"
    hooked.ask("POST", MAPS, {"metadata": {"generateName": "g-", "labels": {"hooks": "hooks"}}})
    assert first()[0]["name"] is None
    hooked.ask("POST", MAPS, made(answers={}))
    first()
    hooked.ask("PUT", f"{MAPS}/a", made(answers={}))
    assert first()[0]["operation"] == "UPDATE"
    hooked.ask("PATCH", f"{MAPS}/a", {"data": {"a": "b"}}, media=MERGE, query={"fieldManager": "me"})
    assert first()[0]["options"]["kind"] == "UpdateOptions"
    hooked.ask("DELETE", f"{MAPS}/a", {"propagationPolicy": "Background"})
    assert first()[0]["options"]["propagationPolicy"] == "Background"
    applied = {"kind": "ConfigMap", "apiVersion": "v1", **made("applied")}
    hooked.ask("PATCH", f"{MAPS}/applied", applied, media="application/apply-patch+yaml", query={"fieldManager": "me"})
    assert first()[0]["operation"] == "CREATE"
    hooked.ask("DELETE", MAPS, query={"fieldSelector": "metadata.name=applied"}, only=["kind"])
    # The real server does not name the objects of a collection.
    assert first(without="name")[0]["operation"] == "DELETE"
    hooked.ask("POST", WIDGETS, made(**WIDGET))
    assert first()[0]["kind"]["group"] == "contracts.example.com"
    hooked.ask("PATCH", f"{WIDGETS}/a/status", {"status": {"a": 1}}, media=MERGE)
    assert first()[0]["subResource"] == "status"


def test_the_objects_that_a_webhook_sees(hooked, hooks):
    """A creation has no old object, a deletion no new one; a validating webhook sees what the server sets."""
    hooked.ask("POST", MAPS, made())
    hooked.ask("PUT", f"{MAPS}/a", made(data={"a": "b"}))
    hooked.ask("DELETE", f"{MAPS}/a")
    for side in hooked.sides:
        seen = {
            (hook, operation): (obj, old)
            for hook, operation, obj, old in hooks.calls(side, "operation", "object", "oldObject")
        }
        new, old = seen["first", "CREATE"]
        assert old is None
        assert (new["kind"], new["apiVersion"], "uid" in new["metadata"]) == ("ConfigMap", "v1", False)
        assert seen["check", "CREATE"][0]["metadata"]["uid"]
        new, old = seen["check", "UPDATE"]
        assert ("data" in old, new["data"]) == (False, {"a": "b"})
        new, old = seen["first", "DELETE"]
        assert (new, old["kind"], old["data"]) == (None, "ConfigMap", {"a": "b"})


def test_a_deletion_that_is_denied(hooked):
    """The object stays. A webhook cannot change what is deleted, and is not asked about what its selector leaves out."""
    denial = {"allowed": False, "status": {"code": 403, "message": "no"}}
    for name, answers, status in (
        ("a", {"check:DELETE": denial}, 403),
        ("b", {"first:DELETE": denial}, 403),
        ("c", {"first:DELETE": patch({"op": "add", "path": "/data", "value": {"a": "b"}})}, 500),
    ):
        hooked.ask("POST", MAPS, made(name, answers))
        assert hooked.ask("DELETE", f"{MAPS}/{name}").status == status
        assert hooked.ask("GET", f"{MAPS}/{name}").status == 200
    hooked.ask("PATCH", f"{MAPS}/a", {"metadata": {"labels": None}}, media=MERGE)
    assert hooked.ask("DELETE", f"{MAPS}/a").status == 200


def test_a_collection_with_an_object_that_must_stay(hooked):
    """The deletion of the collection fails with the webhook's denial."""
    hooked.ask("POST", MAPS, made(answers={"check:DELETE": {"allowed": False}}))
    assert hooked.ask("DELETE", MAPS, query={"labelSelector": "hooks=hooks"}).status == 400
    assert hooked.ask("GET", f"{MAPS}/a").status == 200


def test_a_scale_as_webhooks_see_it(hooked, hooks):
    """The object is a Scale, whose patch changes the number of replicas."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    path = "/apis/apps/v1/namespaces/{ns}/deployments"
    hooked.ask("POST", path, {"metadata": {"name": "scaled"}, "spec": spec}, like={})
    answer = hooked.ask("PATCH", f"{path}/scaled/scale", {"spec": {"replicas": 3}}, media=MERGE)
    assert answer.body["spec"]["replicas"] == 7
    for side in hooked.sides:
        (kind, subresource, new, old) = hooks.calls(side, "kind", "subResource", "object", "oldObject")[0][1:]
        assert (kind["kind"], subresource, new["kind"]) == ("Scale", "scale", "Scale")
        assert (new["spec"], old["spec"]) == ({"replicas": 3}, {"replicas": 1})


def test_a_webhook_for_another_version_of_the_resource(hooked, hooks):
    """With matchPolicy Equivalent it is called with the object in its own version; with Exact it is not called."""
    event = made(
        type="Normal", reason="A", involvedObject={"kind": "Pod", "name": "a", "namespace": "{ns}"}, message="m"
    )
    hooked.ask("POST", "/api/v1/namespaces/{ns}/events", event, only=["kind"])
    for side in hooked.sides:
        calls = {call[0]: call[1:] for call in hooks.calls(side, "kind", "requestKind", "object")}
        kind, requested, obj = calls["eventer"]
        assert (kind["group"], requested["group"]) == ("events.k8s.io", "")
        assert (obj["apiVersion"], obj["note"], obj["regarding"]["name"]) == ("events.k8s.io/v1", "m", "a")
        assert "exact" not in calls
        assert "elsewhere" not in calls


def test_invalid_configurations(servers, hooks):
    """The message names each field."""
    valid = hooks.configuration("invalid", "Validating", {"name": "a"})["webhooks"][0]
    rule = valid["rules"][0]
    client = valid["clientConfig"]
    wrong: list[dict[str, Any]] = [
        {"name": "a"}, {"name": ""}, {"name": None}, {"sideEffects": "Some"}, {"sideEffects": None}, {"failurePolicy": "x"},
        {"matchPolicy": "x"}, {"admissionReviewVersions": []}, {"admissionReviewVersions": ["v2"]},
        {"clientConfig": {}}, {"clientConfig": None},
        {"clientConfig": {**client, "service": {"name": "a", "namespace": "b"}}},
        {"clientConfig": {"url": "https://localhost", "caBundle": "eA=="}},
        {"rules": [{}]}, {"rules": [{**rule, "operations": ["*", "CREATE"]}]}, {"rules": [{**rule, "operations": ["GET"]}]},
        {"rules": [{**rule, "apiGroups": ["*", "a"]}]}, {"rules": [{**rule, "scope": "x"}]},
        {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
        {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}},
        {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["1"]}]}},
    ]  # fmt: skip
    body = {"metadata": {"name": "invalid"}, "webhooks": []}
    path = f"{ROOT}/validatingwebhookconfigurations"
    for each in wrong:
        body["webhooks"] = [{**valid, **each}]
        servers.ask("POST", path, body, query={"dryRun": "All"}, only=("message", "details", "webhooks"))
    clients = ({"service": {"name": "a"}}, {"url": "http://localhost/a"}, {"url": "localhost"})
    for each in ({"timeoutSeconds": 31}, {"timeoutSeconds": 0}, *({"clientConfig": client} for client in clients)):
        body["webhooks"] = [{**valid, **each}]
        assert servers.ask("POST", path, body, query={"dryRun": "All"}, only=("code", "reason")).status == 422
    body["webhooks"] = [valid, valid]
    assert servers.ask("POST", f"{ROOT}/validatingwebhookconfigurations", body).status == 422
    body["webhooks"] = [{**valid, "reinvocationPolicy": "x"}]
    assert servers.ask("POST", f"{ROOT}/mutatingwebhookconfigurations", body).status == 422


def test_defaults_of_a_configuration(servers, hooks):
    """What a configuration leaves out is filled in."""
    for kind in ("Validating", "Mutating"):
        body = hooks.configuration("defaults", kind, {"name": "a"})
        del body["webhooks"][0]["objectSelector"]
        path = f"{ROOT}/{kind.lower()}webhookconfigurations"
        assert (
            servers.ask("POST", path, body, query={"dryRun": "All"}, only=("webhooks",)).body["webhooks"][0][
                "timeoutSeconds"
            ]
            == 10
        )
        body["webhooks"][0] |= {"clientConfig": {"service": {"name": "a", "namespace": "b"}}}
        servers.ask("POST", path, body, query={"dryRun": "All"}, only=("webhooks",))

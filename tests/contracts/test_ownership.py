"""Server-side apply and managedFields: random sequences of writes by several managers, step by step on both servers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.conftest import Servers

pytestmark = pytest.mark.timeout(120)

APPLY, MERGE, JSON = "application/apply-patch+yaml", "application/merge-patch+json", "application/json-patch+json"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
GADGETS = "/apis/ownership.example.com/v1/namespaces/{ns}/gadgets"
TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
PORT = {"port": NUMBER, "protocol": {**TEXT, "default": "TCP"}, "name": TEXT}
LIMITS = {"type": "object", "additionalProperties": TEXT, "nullable": True}
RULE = {"name": TEXT, "value": TEXT, "limits": LIMITS}
CONDITION = {"type": TEXT, "status": TEXT}


def keyed(*keys: str, **fields: Any) -> dict[str, Any]:
    items = {"type": "object", "properties": fields, "required": list(keys)}
    return {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys), "items": items}


SPEC = {
    "color": TEXT,
    "size": NUMBER,
    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
    "numbers": {"type": "array", "items": NUMBER},
    "ports": keyed("port", "protocol", **PORT),
    "rules": keyed("name", **RULE),
    "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": TEXT},
    "labels": {"type": "object", "additionalProperties": TEXT},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}
SPEC = {name: {**schema, "nullable": True} for name, schema in SPEC.items()}
STATUS = {"size": NUMBER, "conditions": keyed("type", **CONDITION)}


def definition() -> dict[str, Any]:
    properties = {
        "spec": {"type": "object", "properties": SPEC},
        "status": {"type": "object", "properties": STATUS, "nullable": True},
    }
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    version["schema"] = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    names = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"}
    spec = {"group": "ownership.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    metadata = {"name": "gadgets.ownership.example.com"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }


@pytest.fixture
def gadgets(servers: Servers) -> Servers:
    """Servers with a custom resource that has every type of list and map."""
    for side in servers.sides:
        side.send("POST", DEFINITIONS, None, definition(), {"Content-Type": "application/json"}, "admin").read()
    servers.wait_until_served("/apis/ownership.example.com/v1/gadgets")
    return servers


class Walk:
    """A random sequence of writes of one object."""

    def __init__(
        self, servers: Servers, seed: int, path: str, kind: dict[str, str], fields: Callable[[random.Random], Any]
    ):
        self.servers, self.path, self.kind, self.fields = servers, path, kind, fields
        self.random = random.Random(seed)
        self.only: tuple[str, ...] = ()
        self.steps = ["apply"] * 3 + ["force"] * 4 + ["merge"] * 2 + ["put", "json"]
        self.number = "size"
        self.condition: dict[str, str] = {}  # what each condition has, too

    def body(self) -> dict[str, Any]:
        pick = self.random
        metadata: dict[str, Any] = {"name": "a"}
        if pick.random() < 0.3:
            metadata["labels"] = some(pick, {key: pick.choice("xy") for key in "ab"})
        if pick.random() < 0.2:
            metadata["finalizers"] = pick.sample(["example.com/a", "example.com/b"], pick.randint(0, 2))
        if pick.random() < 0.2:
            metadata["annotations"] = {"note": pick.choice("xy")}
        return {**self.kind, "metadata": metadata, **self.fields(pick)}

    def status(self) -> None:
        """Writes the status, together with what that endpoint does not write."""
        pick, body = self.random, {**self.body(), "metadata": {"name": "a"}}
        conditions = [
            {"type": name, "status": pick.choice(["True", "False"]), **self.condition}
            for name in "AB"
            if pick.random() < 0.5
        ]
        body["status"] = some(pick, {self.number: pick.randint(1, 2), "conditions": conditions})
        media = pick.choice([APPLY, MERGE])
        self.ask("PATCH", f"{self.path}/a/status", body, media, **({"force": "true"} if media == APPLY else {}))

    def scale(self) -> None:
        scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}}
        scale["spec"] = {"replicas": self.random.randint(1, 3)}
        force = {"force": "true"} if self.random.random() < 0.5 else {}
        media = self.random.choice([APPLY, MERGE])
        self.ask("PATCH", f"{self.path}/a/scale", scale, media, **(force if media == APPLY else {}))

    def ask(self, method: str, path: str, body: Any, media: str = "application/json", **query: str) -> None:
        query = {"fieldManager": self.random.choice(("anna", "ben", "cleo")), **query}
        answer = self.servers.ask(method, path, body, media=media, query=query, only=self.only)
        if answer.status < 300:
            self.servers.keep_version()

    def step(self) -> None:
        one = f"{self.path}/a"
        match self.random.choice(self.steps):
            case "status":
                self.status()
            case "scale":
                self.scale()
            case "apply":
                self.ask("PATCH", one, self.body(), APPLY)
            case "force":
                self.ask("PATCH", one, self.body(), APPLY, force="true")
            case "merge":
                self.ask("PATCH", one, self.body(), MERGE)
            case "put":
                body = self.body()
                body["metadata"]["resourceVersion"] = "{version}"
                self.ask("PUT", one, body)
            case "json":
                path = self.random.choice(("/metadata/labels", "/data", "/spec/tags", "/spec/ports", "/spec/rules"))
                self.ask("PATCH", one, [{"op": "remove", "path": path}], JSON)


def some(pick: random.Random, fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if pick.random() < 0.5}


def config_map_fields(pick: random.Random) -> dict[str, Any]:
    return some(
        pick, {"data": {"z": "1", **some(pick, {key: pick.choice("123") for key in "abc"})}, "immutable": False}
    )


def gadget_spec(pick: random.Random) -> dict[str, Any]:
    def item(**fields: Any) -> dict[str, Any]:
        return {**fields, **some(pick, {"name": pick.choice("xy")})}

    ports = [
        item(port=port, protocol=protocol) for port in (80, 81) for protocol in ("TCP", "UDP") if pick.random() < 0.4
    ]
    rules = [
        {"name": name, **some(pick, {"value": pick.choice("xy"), "limits": some(pick, {"cpu": "1", "memory": "2"})})}
        for name in pick.sample(["one", "two", "three"], pick.randint(0, 3))
    ]
    fields = {
        "color": pick.choice(["red", "blue"]),
        "size": pick.randint(1, 2),
        "tags": pick.sample(["x", "y", "z"], pick.randint(0, 3)),
        "numbers": pick.sample([1, 2, 3], pick.randint(0, 2)),
        "ports": ports,
        "rules": rules,
        "whole": some(pick, {"a": "1", "b": pick.choice("12")}),
        "labels": some(pick, {"a": "1", "b": pick.choice("12")}),
        "free": some(pick, {"a": {"b": pick.choice([1, 2]), "c": {}}, "d": [pick.choice([1, 2]), {"e": 1}]}),
    }
    return some(pick, fields)


@pytest.mark.parametrize("seed", range(2))
def test_config_map_is_written_by_several_managers(servers: Servers, seed: int) -> None:
    walk = Walk(servers, seed, CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap"}, config_map_fields)
    for _ in range(40):
        walk.step()


@pytest.mark.parametrize("seed", range(3))
def test_custom_object_is_written_by_several_managers(gadgets: Servers, seed: int) -> None:
    kind = {"apiVersion": "ownership.example.com/v1", "kind": "Gadget"}
    walk = Walk(gadgets, seed, GADGETS, kind, lambda pick: {"spec": gadget_spec(pick)})
    walk.steps += ["status", "status"]
    for _ in range(40):
        walk.step()


SERVICES = "/api/v1/namespaces/{ns}/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{ns}/deployments"


def service_fields(pick: random.Random) -> dict[str, Any]:
    ports = [
        {
            "name": f"{protocol.lower()}-{port}",
            "port": port,
            "protocol": protocol,
            "targetPort": pick.choice([port, 90]),
        }
        for port in (80, 81)
        for protocol in ("TCP", "UDP")
        if pick.random() < 0.5
    ]
    if pick.random() < 0.3:
        ports.insert(0, {"name": "default", "port": 90})
    spec = {"ports": ports, "selector": {"app": pick.choice("xy")}}
    return {"spec": {"type": "ExternalName", "externalName": f"{pick.choice('xy')}.example.com", **some(pick, spec)}}


def deployment_fields(pick: random.Random) -> dict[str, Any]:
    def container(name: str) -> dict[str, Any]:
        ports = [
            {"containerPort": len(name), "protocol": protocol} for protocol in ("TCP", "UDP") if pick.random() < 0.5
        ]
        env = [{"name": key, "value": pick.choice("12")} for key in pick.sample("ABC", pick.randint(0, 3))]
        more = {
            "args": pick.sample("ab", 2),
            "env": env,
            "ports": ports,
            "resources": {"limits": {"cpu": pick.choice("12")}},
        }
        return {"name": name, "image": pick.choice(["a:1", "a:2"]), **some(pick, more)}

    containers = [container(name) for name in pick.sample(["one", "three"], 2)]
    more = {
        "nodeSelector": {"disk": pick.choice("xy")},
        "tolerations": [{"key": pick.choice("xy"), "operator": "Exists"}],
    }
    pod = {"containers": containers, **some(pick, more)}
    template = {"metadata": {"labels": {"app": "web", **some(pick, {"x": "y"})}}, "spec": pod}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"spec": {**spec, **some(pick, {"minReadySeconds": pick.randint(1, 2), "paused": True})}}


@pytest.mark.parametrize("seed", range(2))
def test_service_is_applied_by_several_managers(servers: Servers, seed: int) -> None:
    walk = Walk(servers, seed, SERVICES, {"apiVersion": "v1", "kind": "Service"}, service_fields)
    walk.steps, walk.only = ["apply", "force"], ("message", "details", "metadata")
    for _ in range(30):
        walk.step()


@pytest.mark.parametrize("seed", range(3))
def test_deployment_is_written_by_several_managers(servers: Servers, seed: int) -> None:
    walk = Walk(servers, seed, DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment"}, deployment_fields)
    walk.steps, walk.only = ["apply", "force", "force", "status", "scale"], ("message", "details", "metadata")
    walk.number = "replicas"
    walk.condition = dict.fromkeys(("lastTransitionTime", "lastUpdateTime"), "2026-01-01T00:00:00Z")
    body = {**walk.kind, "metadata": {"name": "a"}, **deployment_fields(walk.random)}
    body["spec"]["replicas"] = 1
    # Without a value of its own, the real server would set a default.
    walk.ask("PATCH", f"{DEPLOYMENTS}/a", body, APPLY, fieldManager="dan")
    for _ in range(30):
        walk.step()

"""Every kind that the real server lists: objects in protobuf equal the server's JSON, whatever fields are set.

The objects are written into etcd, past the server's validation: so every field can be set, with all others or without them.
The server converts and lists them as it does with all objects.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any, NamedTuple

import pytest

from informer import ListWatch
from informer.objects.protobuf_object import ProtobufObject
from informer.protobuf.kinds import _table, kind_named, message_fields
from informer.testing.control_plane import ControlPlane
from tests.cluster.conftest import Cluster
from tests.support.openapi import ObjectMaker
from tests.support.waiting import eventually
from watch import ListOptions
from watch.protobuf_wire import open_envelope

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

# The probability of each field, for each object of a kind.
CHANCES = (1.0, 0.0, 0.5, 0.8)
# The API groups of alpha features are served with their features only.
GATES = {"AllAlpha": True, "AllBeta": True}
# Where etcd has the objects of a resource, if not under its name.
# Source: kubernetes pkg/kubeapiserver/default_storage_factory_builder.go, specialDefaultResourcePrefixes.
FOLDERS = {
    "replicationcontrollers": "controllers",
    "endpoints": "services/endpoints",
    "nodes": "minions",
    "services": "services/specs",
    "ingresses": "ingress",
    "customresourcedefinitions": "apiextensions.k8s.io/customresourcedefinitions",
    "apiservices": "apiregistration.k8s.io/apiservices",
}
# Fields of the table of which no object has a value: the server takes them from requests only.
NEVER_SET = {("Secret", "stringData")}


class Served(NamedTuple):
    """A resource that the server lists."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool
    schemas: dict[str, Any]

    @property
    def path(self) -> str:
        return f"{'/apis' if '/' in self.api_version else '/api'}/{self.api_version}/{self.plural}"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Cluster, list[Served]]]:
    """A server with all API versions, and what it lists; etcd has four objects of each kind."""
    # Priority and fairness reads its own objects at once, and crashes at those that are not valid.
    args = ["--runtime-config=api/all=true", "--enable-priority-and-fairness=false"]
    with ControlPlane(extra_args=args, feature_gates=GATES) as plane:
        cluster = Cluster(plane)
        found = list(resources(cluster))
        for resource in found:
            for number, chance in enumerate(CHANCES):
                put(plane, resource, number, chance)
        with closing(cluster.api_client):
            yield cluster, found


def resources(cluster: Cluster) -> Iterator[Served]:
    for path in sorted(cluster.get("/openapi/v3")["paths"]):
        group_version = path.removeprefix("apis/").removeprefix("api/")
        if group_version == path or (path.startswith("apis/") and "/" not in group_version):
            continue
        schemas = cluster.get(f"/openapi/v3/{path}")["components"]["schemas"]
        for each in cluster.get(f"/{path}")["resources"]:
            if "list" in each["verbs"] and "/" not in each["name"]:
                yield Served(group_version, each["name"], each["kind"], each["namespaced"], schemas)


def put(plane: ControlPlane, resource: Served, number: int, chance: float) -> None:
    group, _, version = resource.api_version.rpartition("/")
    maker = ObjectMaker(resource.schemas, Random(f"{resource.path} {number}"))
    obj = maker.make(maker.schema_of(group, version, resource.kind), chance)
    # The aggregator crashes at an APIService without a dot in its name.
    metadata = {**obj.get("metadata", {}), "name": f"{version}.example-{number}.com"}
    metadata.pop("resourceVersion", None)
    if resource.namespaced:
        metadata["namespace"] = "default"
    obj |= {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    folder = FOLDERS.get(resource.plural, resource.plural)
    key = "/".join(["/registry", folder, *(["default"] if resource.namespaced else []), metadata["name"]])
    encoded = [base64.b64encode(text).decode() for text in (key.encode(), json.dumps(obj).encode())]
    plane._ask_etcd("/v3/kv/put", {"key": encoded[0], "value": encoded[1]})


def in_json(cluster: Cluster, resource: Served) -> dict[str, dict[str, Any]]:
    whole = {"kind": resource.kind, "apiVersion": resource.api_version}
    items = cluster.get(resource.path)["items"]
    return {f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}": whole | item for item in items}


def in_protobuf(cluster: Cluster, resource: Served) -> dict[str, dict[str, Any]]:
    list_watch = ListWatch.for_resource(
        cluster.api_client, f"{resource.api_version}/{resource.plural}", wire="protobuf"
    )
    items = list_watch.list(ListOptions()).items
    assert all(type(item) is ProtobufObject for item in items), resource
    return {f"{item.namespace}/{item.name}": item.to_dict() for item in items}


def count_fields(value: dict[str, Any], message: str, seen: set[tuple[str, str]]) -> None:
    """Collects the fields of the table that an object in API form has, at any depth."""
    for field in message_fields(message):
        if not field.name:
            count_fields(value, field.value, seen)
        elif field.name in value:
            seen.add((message, field.name))
            below = value[field.name]
            nested = {"list": lambda at: at, "map": lambda at: at.values()}.get(field.shape, lambda at: [at])
            for each in nested(below) if below is not None else ():
                if isinstance(each, dict) and field.value in _table().types:
                    count_fields(each, field.value, seen)


def reachable(message: str, found: set[tuple[str, str]]) -> None:
    """Collects the fields that the table has for a message, at any depth."""
    for field in message_fields(message):
        if field.name and (message, field.name) in found:
            continue
        if field.name:
            found.add((message, field.name))
        if field.value in _table().types:
            reachable(field.value, found)


def test_every_kind_in_protobuf_equals_the_json(served) -> None:
    """The objects of the cache are the server's JSON, for all kinds, and all fields of the table were set."""
    cluster, found = served
    seen: set[tuple[str, str]] = set()
    expected: set[tuple[str, str]] = set()
    objects = 0
    for resource in found:
        if resource.kind == "ComponentStatus":  # probes the machine at each list
            continue
        # The watch cache gets what was written into etcd a moment later.
        assert eventually(lambda resource=resource: len(in_json(cluster, resource)) >= len(CHANCES)), resource.path
        listed = in_json(cluster, resource)
        assert in_protobuf(cluster, resource) == listed, resource.path
        objects += len(listed)
        kind = kind_named(resource.api_version, resource.kind)
        assert kind is not None
        reachable(kind.message, expected)
        for obj in listed.values():
            count_fields(obj, kind.message, seen)
    missing = sorted((message.rpartition(".")[2], name) for message, name in expected - seen)
    table = _table().kinds
    absent = sorted(table.keys() - {f"{each.api_version}/{each.kind}" for each in found})
    report = logging.getLogger(__name__).info
    report(f"{len(found)} of {len(table)} kinds, {objects} objects, {len(seen)} of {len(expected)} fields")
    report(f"fields without a value: {missing}\nkinds that this server does not list: {absent}")
    assert len(found) >= 90
    assert len(seen) >= 2600
    assert set(missing) <= NEVER_SET


def test_kinds_that_are_answers_equal_the_json(served) -> None:
    """Kinds that cannot be listed are read as the server's JSON, too: scales and reviews."""
    cluster, _ = served
    user = {"user": "ü", "groups": ["a"], "uid": "u", "extra": {"example.com/k": ["v", ""]}}
    attributes = {"namespace": "default", "verb": "list", "resource": "pods", "name": "x"}
    posts = {
        "authentication.k8s.io/v1": {"TokenReview": {"token": "none", "audiences": ["a"]}, "SelfSubjectReview": None},
        "authorization.k8s.io/v1": {
            "SubjectAccessReview": {**user, "resourceAttributes": attributes},
            "SelfSubjectAccessReview": {"nonResourceAttributes": {"path": "/", "verb": "get"}},
        },
    }
    for api_version, bodies in posts.items():
        for kind, spec in bodies.items():
            body = {"kind": kind, "apiVersion": api_version} | ({} if spec is None else {"spec": spec})
            assert_same_answer(cluster, "POST", f"/apis/{api_version}/{kind.lower()}s", body)
    deployment = {
        "metadata": {"name": "scaled"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "example.com/c"}]},
            },
        },
    }
    cluster.create("/apis/apps/v1/namespaces/default/deployments", deployment)
    assert_same_answer(cluster, "GET", "/apis/apps/v1/namespaces/default/deployments/scaled/scale", None)


def assert_same_answer(cluster: Cluster, method: str, path: str, body: Any) -> None:
    headers = cluster._headers | {"Accept": "application/vnd.kubernetes.protobuf"}
    data = None if body is None else json.dumps(body).encode()
    answer = cluster._http.request(method, cluster.plane.url + path, body=data, headers=headers)
    assert "protobuf" in answer.headers["Content-Type"], answer.data
    same = cluster.request(method, path, body)
    kind = kind_named(same["apiVersion"], same["kind"])
    assert kind is not None
    envelope = open_envelope(answer.data)
    obj = ProtobufObject.of(answer.data[envelope.start : envelope.end], kind)
    found = obj.to_dict()
    for each in (found, same):
        each["metadata"].pop("creationTimestamp", None)
        each["metadata"].pop("uid", None)
    assert found == same

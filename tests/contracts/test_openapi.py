"""OpenAPI documents of built-in kinds and of custom resources."""

from __future__ import annotations

import pytest

from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

GROUP = "apis/contracts.example.com/v1"
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS = "x-kubernetes-group-version-kind"
# A definition with everything that the server publishes in another form than it is written.
GADGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.{ns}.example.com"},
    "spec": {
        "group": "{ns}.example.com",
        "scope": "Cluster",
        "names": {"plural": "gadgets", "kind": "Gadget"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "subresources": {
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A gadget.",
                        "required": ["spec"],
                        "properties": {
                            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}}},
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "replicas": {"type": "integer", "default": 1, "minimum": 0},
                                    "size": {"type": "string", "enum": ["a", "b"], "nullable": True},
                                    "port": {"x-kubernetes-int-or-string": True},
                                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                                    "template": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    "parts": {
                                        "type": "array",
                                        "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                                    },
                                    "any": {"type": "integer", "oneOf": [{"minimum": 1}, {"maximum": 0}]},
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}


def wait_until_published(servers, path):
    """Waits for the real server's controller, which publishes a document after the resource is served."""
    for side in servers.sides:
        assert eventually(lambda s=side: side_has(s, path)), f"{side.name} does not publish {path}"


def side_has(side, path):
    response = side.send("GET", f"/openapi/v3/{path}", None, None, {}, "admin")
    response.read()
    return response.status == 200


@pytest.mark.parametrize("path", ["api/v1", "apis/apps/v1", "apis/apps", "version"])
def test_documents_of_built_in_kinds(servers, path):
    """The document is the real server's own."""
    assert servers.ask("GET", f"/openapi/v3/{path}").body["openapi"] == "3.0.0"


def test_the_index_names_each_document_with_its_hash(servers):
    wait_until_published(servers, GROUP)
    answer = servers.ask("GET", "/openapi/v3", only=("kind",))
    assert answer.headers["Content-Type"].startswith("text/plain")
    for side in servers.sides:
        assert {GROUP, "api/v1", "apis/apps", "version"} <= set(side.last["paths"])
        url = side.last["paths"]["apis/apps/v1"]["serverRelativeURL"]
        assert url.startswith("/openapi/v3/apis/apps/v1?hash=")


def test_an_unknown_document_is_404(servers):
    assert servers.ask("GET", "/openapi/v3/apis/nothing/v1").status == 404


def test_the_document_of_a_custom_resource(servers):
    wait_until_published(servers, GROUP)
    schemas = servers.ask("GET", f"/openapi/v3/{GROUP}").body["components"]["schemas"]
    assert schemas["com.example.contracts.v1.Widget"]["properties"]["spec"]["properties"]["color"] == {"type": "string"}


@pytest.fixture
def with_gadgets(servers):
    servers.ask("POST", DEFINITIONS, GADGETS, only=("kind",))
    yield servers
    servers.ask("DELETE", f"{DEFINITIONS}/gadgets.{{ns}}.example.com", only=("kind",))


def test_the_document_of_a_custom_resource_with_every_form_of_schema(with_gadgets):
    servers = with_gadgets
    group = f"{servers.sides[0].known['ns']}.example.com"
    wait_until_published(servers, f"apis/{group}/v1beta1")
    document = servers.ask("GET", f"/openapi/v3/apis/{group}/v1beta1").body
    assert f"/apis/{group}/v1beta1/gadgets/{{name}}/scale" in document["paths"]
    assert f"/apis/{group}/v1beta1/gadgets/{{name}}/status" not in document["paths"]


def test_version_2_has_the_same_definitions(with_gadgets):
    """All but the kinds of two types that every group has; paths are left out."""
    servers = with_gadgets
    wait_until_published(servers, GROUP)
    wait_until_published(servers, f"apis/{servers.sides[0].known['ns']}.example.com/v1beta1")
    servers.ask("GET", "/openapi/v2", only=("swagger",))
    embedded, *others = (side.last["definitions"] for side in servers.sides)
    assert embedded["com.example.contracts.v1.Widget"]["properties"]["spec"] == {
        "x-kubernetes-preserve-unknown-fields": True
    }
    for real in others:
        for name, schema in embedded.items():
            expected = {key: value for key, value in real[name].items() if key != KINDS}
            assert {key: value for key, value in schema.items() if key != KINDS} == expected


def test_version_2_in_protobuf(servers):
    """client-go's discovery client reads it in protobuf only."""
    wait_until_published(servers, GROUP)
    for side in servers.sides:
        response = side.send("GET", "/openapi/v2", None, None, {"Accept": V2_PROTOBUF}, "admin")
        body = response.read()
        assert response.headers["Content-Type"] == V2_PROTOBUF.replace("@", ".")
        assert body.startswith(b"\x0a\x032.0")
        assert b"com.example.contracts.v1.Widget" in body

"""What the schema of a custom resource makes of its objects."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.conftest import BOTH, Servers
from tests.contracts.definitions import DEFINITIONS, definition_of, joint_servers
from tests.contracts.schema_cases import ACCEPTED, INVALID, REFUSED, SPEC, VALID

GROUP = "schemas.example.com"
ROOT = f"/apis/{GROUP}/v1"
ITEM = {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}
LOOSE = {
    "c": {"type": "string"},
    "s": {"type": "string"},
    "l": {"type": "array", "items": ITEM},
    "lm": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": ITEM},
}


def schema_of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    status = {"type": "object", "properties": {"x": {"type": "integer"}}}
    return {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": properties, **more}, "status": status},
    }


def definition(kind: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return definition_of(GROUP, kind, {"v1": schema_of(properties)}, **more)


def obj(kind: str, spec: Any, name: str = "x", version: str = "v1") -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture(params=BOTH, scope="module")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Servers with the resources of this module."""
    fields = {"a": {"type": "string"}, "b": {"type": "string"}}
    one = fields | {"b": {"type": "string", "default": "b1"}, "one": {"type": "string"}}
    two = fields | {"b": {"type": "string", "default": "b2"}, "two": {"type": "string"}}
    made = [definition("Strict", SPEC), definition("Loose", LOOSE, subresources={"status": {}})]
    made.append(definition_of(GROUP, "Two", {"v1": schema_of(one), "v2": schema_of(two)}))
    with joint_servers(request, made) as servers:
        yield servers


def create(servers: Servers, spec: Any, **query: str) -> Any:
    path = f"{ROOT}/namespaces/{{ns}}/stricts"
    return servers.ask("POST", path, obj("Strict", spec), query={"dryRun": "All", **query}, unordered=True)


@pytest.mark.parametrize(("spec", "causes"), REFUSED, ids=[str(spec) for spec, _ in REFUSED])
def test_invalid_object_is_refused(servers, spec, causes):
    """The answer is 422, with the causes of the real server."""
    answer = create(servers, spec)
    assert answer.status == 422
    found = [
        f"{cause['reason'].removeprefix('FieldValue')} {cause['field']}" for cause in answer.body["details"]["causes"]
    ]
    assert set(found) == set(causes)


@pytest.mark.parametrize(("spec", "stored"), ACCEPTED, ids=[str(spec) for spec, _ in ACCEPTED])
def test_valid_object_is_pruned_and_gets_defaults(servers, spec, stored):
    """Unknown fields and nulls are dropped, and defaults are filled in at every depth."""
    answer = create(servers, spec)
    assert answer.status == 201
    assert answer.body["spec"] == {"notnuld": "dd", "nuld": "x", **stored}


@pytest.mark.parametrize(("strings", "status"), [(VALID, 201), (INVALID, 422)], ids=["valid", "invalid"])
def test_formats(servers, strings, status):
    """Strings are validated by their format."""
    for name, values in strings.items():
        for value in values:
            assert create(servers, {f"f_{name}": value}).status == status, (name, value)


def test_pruned_fields_are_reported_even_if_the_object_is_refused(servers):
    """A refusal has the same Warning header as a success."""
    assert create(servers, {"unk": 1, "i": 0}).headers["Warning"] == '299 - "unknown field \\"spec.unk\\""'


def test_status_and_metadata_are_validated_too(servers):
    """The status subresource validates the object; unknown metadata is dropped."""
    path = f"{ROOT}/namespaces/{{ns}}/looses"
    servers.ask("POST", path, obj("Loose", {}, "status"))
    patch = {"status": {"x": 1, "unk": 1}, "metadata": {"unk": 1}}
    answer = servers.ask("PATCH", f"{path}/status/status", patch, media="application/merge-patch+json")
    assert answer.body["status"] == {"x": 1}
    assert answer.headers["Warning"].count("unknown field") == 2


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_versions_have_schemas_of_their_own(servers, version):
    """An object is pruned and completed by the version it is written in, and again by the one it is read in."""
    path = f"/apis/{GROUP}/{{version}}/namespaces/{{ns}}/twos"
    name = f"from-{version}"
    spec = {"a": "x", "one": "1", "two": "2"}
    servers.ask("POST", path.replace("{version}", version), obj("Two", spec, name, version))
    seen = [servers.ask("GET", f"{path.replace('{version}', each)}/{name}").body["spec"] for each in ("v1", "v2")]
    if version == "v1":
        assert seen == [{"a": "x", "b": "b1", "one": "1"}, {"a": "x", "b": "b1"}]
    else:
        assert seen == [{"a": "x", "b": "b2"}, {"a": "x", "b": "b2"}]
    for each in ("v1", "v2"):
        servers.ask("GET", path.replace("{version}", each))


def test_stricter_schema_tolerates_what_is_stored(servers):
    """Defaults are filled in when an object is read. What an update does not change is not validated again."""
    path = f"{ROOT}/namespaces/{{ns}}/looses"
    items = [{"k": "a", "v": 5}, {"k": "b", "v": 5}]
    servers.ask("POST", path, obj("Loose", {"c": "abc", "s": "abc", "l": items, "lm": items}, "old"))
    schema = schema_of(copy.deepcopy(LOOSE) | {"new": {"type": "string", "default": "n"}}, required=["o"])
    spec = schema["properties"]["spec"]["properties"]
    spec["o"] = {"type": "integer"}
    spec["s"]["maxLength"] = 2
    spec["c"] |= {"maxLength": 10, "x-kubernetes-validations": [{"rule": "self == 'x'"}]}
    for name in ("l", "lm"):
        spec[name]["items"]["properties"]["v"]["maximum"] = 3
    operation = {"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}
    media = "application/json-patch+json"
    servers.ask("PATCH", f"{DEFINITIONS}/looses.{GROUP}", [operation], media=media, only=("spec",))
    servers.wait_for(f"{path}/old", lambda body: body["spec"].get("new") == "n")
    for change, status in (
        ({"o": 1}, 200),
        ({"v": "x", "s": "x"}, 422),
        ({"o": 1, "s": "abcd"}, 422),
        ({"o": 1, "c": "abcd"}, 422),
        ({"o": 1, "l": [items[0]]}, 422),
        ({"o": 1, "lm": [items[0], {"k": "b", "v": 2}]}, 200),
        ({"o": 1, "lm": [items[0], {"k": "b", "v": 6}]}, 422),
    ):
        answer = servers.ask(
            "PATCH",
            f"{path}/old",
            {"spec": change},
            query={"dryRun": "All"},
            media="application/merge-patch+json",
            unordered=True,
        )
        assert answer.status == status, change
        if status == 200:
            assert "failed rule" in answer.headers["Warning"]

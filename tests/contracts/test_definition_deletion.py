"""The deletion of a CustomResourceDefinition, which waits for its objects."""

from __future__ import annotations

from typing import Any

from tests.support.waiting import eventually

ROOT = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = "/apis/deleted.example.com/v1/namespaces/{ns}/things"
SCHEMA = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}


def test_objects_with_finalizers_hold_the_definition(servers):
    """It refuses new objects, and goes with its last object."""
    spec: dict[str, Any] = {"group": "deleted.example.com", "scope": "Namespaced"}
    spec["names"] = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    spec["versions"] = [{"name": "v1", "served": True, "storage": True, "schema": SCHEMA}]
    name = "things.deleted.example.com"
    servers.ask("POST", ROOT, {"metadata": {"name": name}, "spec": spec}, only=["kind"])
    servers.wait_until_served("/apis/deleted.example.com/v1/things")
    thing = {"kind": "Thing", "apiVersion": "deleted.example.com/v1"}
    servers.ask("POST", OBJECTS, {**thing, "metadata": {"name": "held", "finalizers": ["example.com/a"]}})
    servers.ask("POST", OBJECTS, {**thing, "metadata": {"name": "free"}})

    assert servers.ask("DELETE", f"{ROOT}/{name}", only=["kind"]).body["kind"] == "CustomResourceDefinition"

    def names() -> list[set[str]]:
        found = []
        for side in servers.sides:
            items = side.send("GET", OBJECTS, None, None, {}, "admin").json()["items"]
            found.append({each["metadata"]["name"] for each in items if "deletionTimestamp" in each["metadata"]})
        return found

    assert eventually(lambda: all(each == {"held"} for each in names()))
    assert servers.ask("GET", f"{OBJECTS}/free").status == 404
    assert servers.ask("POST", OBJECTS, {**thing, "metadata": {"name": "late"}}).status == 403
    release = {"metadata": {"finalizers": None}}
    servers.ask("PATCH", f"{OBJECTS}/held", release, media="application/merge-patch+json", only=["kind"])

    # The real server looks whether objects are left every five seconds only.
    embedded = servers.sides[0]
    assert eventually(lambda: embedded.send("GET", f"{ROOT}/{name}", None, None, {}, "admin").status == 404)

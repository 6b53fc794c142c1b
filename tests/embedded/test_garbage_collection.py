"""Garbage collection and namespace deletion of the embedded server with `garbage_collect=True`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from informer.testing import EmbeddedAPIServer
from tests.support.waiting import eventually
from watch.errors import ApiError

THREAD = "embedded-apiserver-controllers"


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    with EmbeddedAPIServer(garbage_collect=True) as server:
        yield server


def made(
    server: EmbeddedAPIServer, name: str, *owners: Any, kind: str = "ConfigMap", **metadata: Any
) -> dict[str, Any]:
    """Creates an object with owners, which are objects or owner references."""
    references = [owner if "uid" in owner else reference(owner) for owner in owners]
    metadata = {"name": name, "ownerReferences": references, **metadata}
    return server.create({"kind": kind, "apiVersion": "v1", "metadata": metadata})


def reference(owner: dict[str, Any], **more: Any) -> dict[str, Any]:
    metadata = owner["metadata"]
    return {
        "kind": owner["kind"],
        "apiVersion": owner["apiVersion"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        **more,
    }


def names(server: EmbeddedAPIServer, resource: str = "configmaps") -> set[str]:
    return {each["metadata"]["name"] for each in server.list(resource)}


def delete(server: EmbeddedAPIServer, name: str, policy: str) -> None:
    url = f"{server.url}/api/v1/namespaces/default/configmaps/{name}?propagationPolicy={policy}"
    with urllib3.PoolManager() as http:
        assert http.request("DELETE", url).status == 200


def test_dependents_of_a_deleted_owner(server):
    """They are deleted, and their own dependents too."""
    owner = made(server, "owner")
    child = made(server, "child", owner)
    made(server, "grandchild", child)
    other = made(server, "other")
    server.delete("configmaps", "owner")
    assert eventually(lambda: names(server) == {"other"})
    assert other["metadata"]["uid"]


def test_an_owner_that_never_was(server):
    """A dependent whose owner does not exist is deleted. So is one whose owner was made anew with another uid."""
    made(server, "a", {"kind": "ConfigMap", "apiVersion": "v1", "name": "x", "uid": "1"})
    owner = made(server, "owner")
    server.delete("configmaps", "owner")
    made(server, "owner")
    made(server, "b", reference(owner))
    assert eventually(lambda: names(server) == {"owner"})


def test_one_of_several_owners(server):
    """The dependent stays as long as one owner exists, and loses its references to the others."""
    first, second = made(server, "first"), made(server, "second")
    made(server, "child", first, second)
    server.delete("configmaps", "first")

    def owners() -> list[str]:
        references = server.get("configmaps", "child")["metadata"].get("ownerReferences", [])
        return [each["name"] for each in references]

    assert eventually(lambda: owners() == ["second"])
    server.delete("configmaps", "second")
    assert eventually(lambda: names(server) == set())


def test_owners_and_scopes(server):
    """An owner in another namespace counts as absent; a namespaced owner of a cluster-scoped object is ignored."""
    server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "there"}})
    node = server.create({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node"}})
    there = made(server, "owner", namespace="there")
    made(server, "of-node", node)
    made(server, "lost", there)
    made(server, "volume", there, kind="PersistentVolume")
    assert eventually(lambda: names(server) == {"owner", "of-node"})
    server.delete("nodes", "node")
    assert eventually(lambda: names(server) == {"owner"})
    assert names(server, "persistentvolumes") == {"volume"}


def test_orphans(server):
    """With the policy Orphan, dependents lose the reference and stay."""
    made(server, "child", made(server, "owner"))
    delete(server, "owner", "Orphan")
    assert eventually(lambda: names(server) == {"child"})
    assert "ownerReferences" not in server.get("configmaps", "child")["metadata"]


def test_foreground(server):
    """The owner waits, marked, for the dependents that block it; those with finalizers are waited for."""
    owner = made(server, "owner")
    made(server, "blocking", reference(owner, blockOwnerDeletion=True), finalizers=["example.com/a"])
    made(server, "free", owner)
    delete(server, "owner", "Foreground")
    assert eventually(lambda: names(server) == {"owner", "blocking"})
    assert server.get("configmaps", "owner")["metadata"]["finalizers"] == ["foregroundDeletion"]
    server.patch("configmaps", "blocking", {"metadata": {"finalizers": None}})
    assert eventually(lambda: names(server) == set())


def test_foreground_through_generations(server):
    """A dependent with dependents of its own is deleted in the foreground too."""
    owner = made(server, "owner")
    child = made(server, "child", reference(owner, blockOwnerDeletion=True))
    made(server, "grandchild", reference(child, blockOwnerDeletion=True), finalizers=["example.com/a"])
    delete(server, "owner", "Foreground")
    assert eventually(lambda: "deletionTimestamp" in server.get("configmaps", "grandchild")["metadata"])
    assert server.get("configmaps", "child")["metadata"]["finalizers"] == ["foregroundDeletion"]
    server.patch("configmaps", "grandchild", {"metadata": {"finalizers": None}})
    assert eventually(lambda: names(server) == set())


def test_custom_owners(server):
    """The dependents of custom objects go when these go, and when their definition goes."""
    server.define("Widget")
    widgets = [
        server.create({"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": name}}) for name in "ab"
    ]
    for widget in widgets:
        made(server, f"of-{widget['metadata']['name']}", widget)
    server.delete("widgets.example.com", "a")
    assert eventually(lambda: names(server) == {"of-b"})
    server.delete("customresourcedefinitions", "widgets.example.com")
    assert eventually(lambda: names(server) == set())


def test_a_namespace(server):
    """It is Terminating and refuses new objects until its last object is gone; then it disappears."""
    server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "shop"}})
    made(server, "held", namespace="shop", finalizers=["example.com/a"])
    made(server, "free", namespace="shop")
    made(server, "elsewhere")
    assert server.delete("namespaces", "shop")["status"]["phase"] == "Terminating"
    assert eventually(lambda: names(server) == {"held", "elsewhere"})
    assert server.get("namespaces", "shop")["status"]["phase"] == "Terminating"
    with pytest.raises(ApiError, match="it is being terminated"):
        made(server, "late", namespace="shop")
    server.patch("configmaps", "held", {"metadata": {"finalizers": None}}, namespace="shop")
    assert eventually(lambda: "shop" not in names(server, "namespaces"))
    server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "empty"}})
    server.delete("namespaces", "empty")
    assert eventually(lambda: "empty" not in names(server, "namespaces"))


def test_a_deletion_that_a_webhook_prevents(server, caplog):
    """It is tried again until the webhook admits it, for dependents and in namespaces."""
    server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "shop"}})
    made(server, "in-shop", namespace="shop")
    made(server, "child", server.create({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "owner"}}))
    rule = {"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    webhook = {"name": "a.b.c", "clientConfig": {"service": {"name": "a", "namespace": "b"}}, "rules": [rule]}
    hooks = {"kind": "ValidatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1"}
    webhook |= {"sideEffects": "None", "admissionReviewVersions": ["v1"]}
    server.create({**hooks, "metadata": {"name": "hooks"}, "webhooks": [webhook]})
    server.delete("secrets", "owner")
    server.delete("namespaces", "shop")
    waiting = ("configmaps default/child", "namespaces shop")
    assert eventually(lambda: all(any(each in line for line in caplog.messages) for each in waiting))
    assert names(server) == {"in-shop", "child"}
    server.delete("validatingwebhookconfigurations", "hooks")
    assert eventually(lambda: names(server) == set())
    assert eventually(lambda: "shop" not in names(server, "namespaces"))


def test_the_thread():
    """It starts when there is something to do for the first time, and ends with the server."""

    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == THREAD]

    with EmbeddedAPIServer(garbage_collect=True) as server:
        owner = made(server, "owner")
        server.delete("configmaps", "owner")
        assert threads() == []
        made(server, "child", owner)
        assert eventually(lambda: names(server) == set())
        assert threads() == [THREAD]
    assert threads() == []


def test_without_the_switch():
    """Dependents stay, and a namespace disappears at once."""
    with EmbeddedAPIServer() as server:
        made(server, "child", made(server, "owner"))
        server.delete("configmaps", "owner")
        server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "shop"}})
        made(server, "a", namespace="shop")
        server.delete("namespaces", "shop")
        assert (names(server), "shop" in names(server, "namespaces")) == ({"child"}, False)


def test_incomplete_owner_references_name_no_owner(server):
    """Method calls can store them; the garbage collector keeps such objects and goes on."""
    made(server, "odd", {"uid": "1"}, {"uid": None, "apiVersion": "v1", "kind": "ConfigMap", "name": "x"})
    owner = made(server, "owner")
    made(server, "mixed", owner, {"uid": "", "kind": "ConfigMap"})
    delete(server, "owner", "Background")
    assert eventually(lambda: names(server) == {"odd"}), names(server)


def test_a_namespace_is_emptied_in_one_pass():
    """The number of objects, also of those in other namespaces, counts once."""
    with EmbeddedAPIServer() as server, urllib3.PoolManager() as http:
        for namespace in ("a", "b"):
            server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": namespace}})
            for i in range(4000):
                metadata = {"name": str(i), "namespace": namespace}
                server.create({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})
        # A pass for each object takes about ten seconds.
        assert http.request("DELETE", f"{server.url}/api/v1/namespaces/b", timeout=4).status == 200
        assert len(server.list("configmaps")) == 4000
        assert "b" not in names(server, "namespaces")

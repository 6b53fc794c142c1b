"""Several namespaces of a custom resource whose served version changes: each lists again in the new version."""

from __future__ import annotations

from typing import Any

import pytest

from informer import ListOptions, ListWatch
from informer.testing import EmbeddedAPIServer
from tests.support.objects import custom_resource, namespace_object
from watch import ApiError

GROUP = "example.com"


def definition(served: str) -> dict[str, Any]:
    crd = custom_resource(GROUP)
    (version,) = crd["spec"]["versions"]
    crd["spec"]["versions"] = [
        {**version, "name": name, "served": name == served, "storage": name == "v1"} for name in ("v1beta1", "v1")
    ]
    return crd


def serve(server: EmbeddedAPIServer, version: str) -> None:
    crd = definition(version)
    known = server.get("customresourcedefinitions", crd["metadata"]["name"])
    crd["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
    server.update(crd)


def forms(list_watch: Any) -> list[str]:
    return [obj.api_version for obj in list_watch.list(ListOptions()).items]


def test_a_namespace_does_not_move_the_watch_of_another_to_a_new_version(embedded_apiserver: EmbeddedAPIServer) -> None:
    """A watch that continues a list in the old version is refused, so that its namespace is listed in the new version."""
    server = embedded_apiserver
    server.create(definition("v1beta1"))
    for name in ("one", "two"):
        server.create(namespace_object(name))
        metadata = {"name": "w", "namespace": name}
        server.create({"apiVersion": f"{GROUP}/v1beta1", "kind": "Widget", "metadata": metadata})
    both = ListWatch.for_resource(server.api_client(), f"widgets.{GROUP}", namespace=["one", "two"])
    one, two = both.for_namespace("one"), both.for_namespace("two")
    listed = two.list(ListOptions())
    assert forms(one) == forms(two) == [f"{GROUP}/v1beta1"]

    serve(server, "v1")
    for each in (one, two):
        with pytest.raises(ApiError) as caught:
            each.watch(ListOptions(resource_version=listed.resource_version))
        assert caught.value.status == 404
        assert forms(each) == [f"{GROUP}/v1"]

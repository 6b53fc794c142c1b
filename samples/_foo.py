"""The custom resource Foo, and the Deployment that it asks for. No I/O."""

from __future__ import annotations

from typing import Any

from informer import Object

GROUP, VERSION, PLURAL, KIND = "samplecontroller.k8s.io", "v1alpha1", "foos", "Foo"


def deployment_for(foo: Object) -> dict[str, Any]:
    """Returns the Deployment that a Foo asks for."""
    # Not the name, which may be too long for a label's value.
    labels = {"app": "nginx", "controller": foo.uid}
    owner = {
        "apiVersion": foo.api_version,
        "kind": foo.kind,
        "name": foo.name,
        "uid": foo.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": foo.at("spec.deploymentName"),
            "namespace": foo.namespace,
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": foo.at("spec.replicas", 1),
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "nginx", "image": "nginx:latest"}]},
            },
        },
    }


def controller_uids(obj: Object) -> list[str]:
    """Returns the uid of the object's controller, in a list of one, or an empty list."""
    return [owner["uid"] for owner in obj.owner_references if owner.get("controller")]


def with_wanted(existing: Any, wanted: Any) -> Any:
    """Returns `existing` with the wanted values; other fields, such as the server's defaults, stay as they are."""
    if isinstance(existing, dict) and isinstance(wanted, dict):
        return {**existing, **{name: with_wanted(existing.get(name), value) for name, value in wanted.items()}}
    if isinstance(existing, list) and isinstance(wanted, list) and len(existing) == len(wanted):
        return [with_wanted(*pair) for pair in zip(existing, wanted, strict=True)]
    return wanted

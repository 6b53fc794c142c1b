"""What a Foo is, and what it asks for. Pure."""

from __future__ import annotations

from typing import Any

from informer import Object

GROUP, VERSION, PLURAL, KIND = "samplecontroller.k8s.io", "v1alpha1", "foos", "Foo"


def deployment_for(foo: Object) -> dict[str, Any]:
    """The Deployment that a Foo asks for."""
    # Not its name, which may be longer than a label's value.
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


def controllers(obj: Object) -> list[str]:
    """The uid of who controls an object: one or none."""
    return [owner["uid"] for owner in obj.owner_references if owner.get("controller")]


def overlaid(there: Any, wanted: Any) -> Any:
    """What is there with what is wanted in its place; what nobody asked for, such as the server's defaults, stays."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        return {**there, **{name: overlaid(there.get(name), value) for name, value in wanted.items()}}
    if isinstance(there, list) and isinstance(wanted, list) and len(there) == len(wanted):
        return [overlaid(*pair) for pair in zip(there, wanted, strict=True)]
    return wanted

"""Kubernetes objects in API form, for tests that need one and do not care about its details."""

from __future__ import annotations

from typing import Any


def pod(name: str, namespace: str | None = "default", *, node: Any = None, **metadata: Any) -> dict[str, Any]:
    """Returns a pod as a user writes it, valid for a real API server.

    Args:
        name: its name.
        namespace: its namespace; None leaves that out, for a server that takes it from the request's path.
        node: its `spec.nodeName`; None leaves that out.
        metadata: more fields of its metadata, for example `labels`.
    """
    spec: dict[str, Any] = {"containers": [{"name": "main", "image": "example.com/app:1"}]}
    if node is not None:
        spec["nodeName"] = node
    if namespace is not None:
        metadata = {"namespace": namespace, **metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def stored_pod(
    name: str, version: str | int | None = None, uid: str | None = None, *, namespace: str = "ns", **fields: Any
) -> dict[str, Any]:
    """Returns a pod as an API server returns it, but without a spec.

    Args:
        name: its name.
        version: its resourceVersion; None leaves that out.
        uid: its uid; None derives one from the name.
        namespace: its namespace.
        fields: more fields of the pod, for example `spec`.
    """
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}" if uid is None else uid}
    if version is not None:
        metadata["resourceVersion"] = str(version)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **fields}


def namespace_object(name: str) -> dict[str, Any]:
    """Returns a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def custom_resource(group: str, plural: str = "widgets", kind: str = "Widget") -> dict[str, Any]:
    """Returns the definition of a namespaced custom resource with one version, v1, whose objects may have any field."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def config_map(name: str, value: str = "", **metadata: Any) -> dict[str, Any]:
    """Returns a ConfigMap, to which a server adds little and which it validates little.

    Args:
        name: its name.
        value: its only entry, under the key "value".
        metadata: more fields of its metadata, for example `namespace` or `labels`.
    """
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"value": value}}

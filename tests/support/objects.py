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


def config_map(name: str, value: str = "", **metadata: Any) -> dict[str, Any]:
    """Returns a ConfigMap, to which a server adds little and which it validates little.

    Args:
        name: its name.
        value: its only entry, under the key "value".
        metadata: more fields of its metadata, for example `namespace` or `labels`.
    """
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"value": value}}

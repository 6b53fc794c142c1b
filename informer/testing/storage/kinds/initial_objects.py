"""The objects that kube-apiserver itself creates in a new cluster.

Source: kubernetes pkg/controlplane/controller/kubernetesservice, pkg/registry/scheduling/rest.
"""

from __future__ import annotations

from typing import Any

from informer.testing.storage.kinds.service_addresses import SERVICE_RANGE

__all__ = ["initial_objects", "service_objects"]

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_SYSTEM = "Used for system critical pods that must "
_CRITICAL = (
    ("system-cluster-critical", 2 * 10**9, "run in the cluster, but can be moved to another node if necessary."),
    ("system-node-critical", 2 * 10**9 + 1000, "not be moved from their current node."),
)


def initial_objects(now: str) -> list[tuple[str, dict[str, Any]]]:
    """Returns the objects of a new cluster, each with its resource's name, given the present time."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": now, "reason": "",
             "message": "Kubernetes default Service CIDR is ready"}  # fmt: skip
    service_range = {
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [str(SERVICE_RANGE)]},
        "status": {"conditions": [ready]},
    }
    classes = [
        {
            "metadata": {"name": name},
            "value": value,
            "description": _SYSTEM + what,
            "preemptionPolicy": "PreemptLowerPriority",
        }
        for name, value, what in _CRITICAL
    ]
    return [
        *(("namespaces", {"metadata": {"name": name}}) for name in _NAMESPACES),
        ("servicecidrs.networking.k8s.io", service_range),
        *(("priorityclasses.scheduling.k8s.io", each) for each in classes),
    ]


def service_objects(port: int) -> list[tuple[str, dict[str, Any]]]:
    """Returns the service that leads to the server itself, and its endpoints, each with its resource's name."""
    address, first = "127.0.0.1", str(next(iter(SERVICE_RANGE.hosts())))
    named = {"name": "https", "protocol": "TCP", "port": port}
    spec = {
        "ports": [{**named, "port": 443, "targetPort": port}],
        "clusterIP": first,
        "clusterIPs": [first],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    metadata = {"name": "kubernetes", "namespace": "default"}
    labels = {"component": "apiserver", "provider": "kubernetes"}
    service = {"metadata": {**metadata, "labels": labels}, "spec": spec, "status": {"loadBalancer": {}}}
    endpoints = {
        "metadata": {**metadata, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": [named]}],
    }
    part = {
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [named],
    }
    return [("services", service), ("endpoints", endpoints), ("endpointslices.discovery.k8s.io", part)]

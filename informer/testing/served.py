"""Which resources the server has: the built-in ones, and those that CustomResourceDefinitions add.

Source: the built-in ones are those of informer/discovery.py, and a few more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from informer.discovery import Resource, built_in_resources
from informer.testing.selectable_fields import paths_for

__all__ = ["ServedResource", "ServedResources", "served_versions"]

# Kinds with a status of their own, which the main endpoint leaves alone.
_WITH_STATUS = frozenset(
    [
        "Namespace",
        "Node",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "ReplicationController",
        "ResourceQuota",
        "Service",
        "DaemonSet",
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "HorizontalPodAutoscaler",
        "CronJob",
        "Job",
        "Ingress",
        "PodDisruptionBudget",
        "VolumeAttachment",
        "CustomResourceDefinition",
        "CertificateSigningRequest",
    ]
)
_WITH_SCALE = frozenset(["ReplicationController", "Deployment", "ReplicaSet", "StatefulSet"])
_WITH_GENERATION = frozenset(
    [
        "Pod",
        "ReplicationController",
        "DaemonSet",
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "CronJob",
        "Job",
        "Ingress",
        "IngressClass",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "EndpointSlice",
        "PriorityClass",
        "CustomResourceDefinition",
    ]
)
# Kinds whose deletion answers with the object, not with a Status.
_RETURN_DELETED = frozenset(
    [
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodTemplate",
        "ResourceQuota",
        "Service",
        "ServiceAccount",
        "CSIDriver",
        "CSINode",
        "StorageClass",
        "VolumeAttachment",
    ]
)
# An update of these has to say which state it is of.
_CONDITIONAL_UPDATE = frozenset(["Lease", "CustomResourceDefinition"])
_CREATED_BY_UPDATE = frozenset(["Lease", "Event", "Endpoints", "LimitRange"])
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class ServedResource:
    """A resource in one version, and how it behaves."""

    resource: Resource
    custom: bool = False
    has_status: bool = False
    has_scale: bool = False
    scale_paths: Mapping[str, str] = field(default_factory=dict)
    counts_generation: bool = False
    returns_deleted: bool = False
    needs_resource_version: bool = False
    created_by_update: bool = False
    selectable: tuple[str, ...] = ()
    list_kind: str = ""
    categories: tuple[str, ...] = ()

    @property
    def bucket(self) -> str:
        """Where its objects are kept: every version of a resource has the same."""
        return self.resource.name

    @property
    def prefix(self) -> bytes:
        """What the JSON of each of its objects begins with."""
        return b'{"kind":"%s","apiVersion":"%s",' % (self.resource.kind.encode(), self.resource.api_version.encode())


class ServedResources:
    """All of them. Not thread-safe: its owner guards it."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], ServedResource] = {}
        for resource in built_in_resources():
            self._add(_built_in(resource))

    def __iter__(self) -> Iterator[ServedResource]:
        return iter(list(self._by_path.values()))

    def find(self, group: str, version: str, plural: str) -> ServedResource | None:
        """The one at a path."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> ServedResource | None:
        """The one whose objects say so."""
        for served in self._by_path.values():
            if served.resource.kind == kind and served.resource.api_version == api_version:
                return served
        return None

    def by_bucket(self, name: str) -> ServedResource | None:
        """One whose objects are in a bucket."""
        return next((served for served in self._by_path.values() if served.bucket == name), None)

    def groups(self) -> dict[str, list[str]]:
        """Versions by group, in the order in which they were added; "" is the core group."""
        groups: dict[str, list[str]] = {}
        for group, version, _ in self._by_path:
            versions = groups.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        return groups

    def replace_custom(self, name: str, served: Iterable[ServedResource]) -> None:
        """Puts the versions of a custom resource ("widgets.example.com") in the place of those it had."""
        plural, _, group = name.partition(".")
        for path in [p for p, s in self._by_path.items() if s.custom and p[0] == group and p[2] == plural]:
            del self._by_path[path]
        for each in served:
            self._add(each)

    def _add(self, served: ServedResource) -> None:
        resource = served.resource
        self._by_path[resource.group, resource.version, resource.plural] = served


def served_versions(definition: Mapping[str, Any]) -> list[ServedResource]:
    """The resources that a CustomResourceDefinition describes, one a served version."""
    spec = definition["spec"]
    names = spec["names"]
    singular = names.get("singular") or names["kind"].lower()
    served = []
    for version in spec["versions"]:
        if not version.get("served", True):
            continue
        subresources = version.get("subresources") or {}
        served.append(
            ServedResource(
                Resource(
                    spec["group"],
                    version["name"],
                    names["plural"],
                    names["kind"],
                    spec.get("scope", "Namespaced") != "Cluster",
                    (singular, *(names.get("shortNames") or ())),
                ),
                custom=True,
                has_status="status" in subresources,
                has_scale="scale" in subresources,
                scale_paths=subresources.get("scale") or {},
                counts_generation=True,
                needs_resource_version=True,
                selectable=tuple(f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()),
                list_kind=names.get("listKind") or names["kind"] + "List",
                categories=tuple(names.get("categories") or ()),
            )
        )
    return served


def _built_in(resource: Resource) -> ServedResource:
    kind = resource.kind
    return ServedResource(
        resource,
        has_status=kind in _WITH_STATUS,
        has_scale=kind in _WITH_SCALE,
        counts_generation=kind in _WITH_GENERATION,
        returns_deleted=kind in _RETURN_DELETED,
        needs_resource_version=kind in _CONDITIONAL_UPDATE,
        created_by_update=kind in _CREATED_BY_UPDATE,
        selectable=paths_for(resource.name),
        list_kind=kind + "List",
    )

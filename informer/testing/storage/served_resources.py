"""Which resources the server has: the built-in ones, and those that CustomResourceDefinitions add.

Source: the built-in ones are those of informer/discovery.py, and a few more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from informer.discovery import Resource, built_in_resources, read_table
from informer.testing.storage.field_selector import paths_for
from informer.testing.storage.storage import Form, Stored

__all__ = ["ServedResource", "ServedResources", "served_versions"]

# What servers have beside the resources that an informer knows by heart.
_MORE = """
admissionregistration.k8s.io/v1: MutatingWebhookConfiguration* ValidatingAdmissionPolicy*:validatingadmissionpolicies
admissionregistration.k8s.io/v1: ValidatingAdmissionPolicyBinding* ValidatingWebhookConfiguration*
apiregistration.k8s.io/v1: APIService*
certificates.k8s.io/v1: CertificateSigningRequest*/csr
flowcontrol.apiserver.k8s.io/v1: FlowSchema* PriorityLevelConfiguration*
networking.k8s.io/v1: IPAddress*:ipaddresses/ip ServiceCIDR*
node.k8s.io/v1: RuntimeClass*:runtimeclasses
resource.k8s.io/v1: DeviceClass*:deviceclasses ResourceClaim ResourceClaimTemplate ResourceSlice*
storage.k8s.io/v1: CSIStorageCapacity:csistoragecapacities VolumeAttributesClass*:volumeattributesclasses/vac
"""
# events.k8s.io is another view of the core group's events: the same objects, with other names for some fields.
_EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}


def _kinds(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Kinds with a status of their own, which the main endpoint leaves alone.
_WITH_STATUS = _kinds(
    "Namespace Node PersistentVolume PersistentVolumeClaim Pod ReplicationController ResourceQuota Service DaemonSet "
    "Deployment ReplicaSet StatefulSet HorizontalPodAutoscaler CronJob Job Ingress PodDisruptionBudget VolumeAttachment "
    "CustomResourceDefinition CertificateSigningRequest APIService FlowSchema PriorityLevelConfiguration ServiceCIDR "
    "ResourceClaim ValidatingAdmissionPolicy"
)
_WITH_SCALE = _kinds("ReplicationController Deployment ReplicaSet StatefulSet")
_WITH_GENERATION = _kinds(
    "Pod ReplicationController DaemonSet Deployment ReplicaSet StatefulSet CronJob Job Ingress IngressClass "
    "NetworkPolicy PodDisruptionBudget PodTemplate EndpointSlice PriorityClass CustomResourceDefinition FlowSchema "
    "PriorityLevelConfiguration MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy"
)
# Kinds whose deletion answers with the object, not with a Status.
_RETURN_DELETED = _kinds(
    "PersistentVolume PersistentVolumeClaim Pod PodTemplate ResourceQuota Service ServiceAccount CSIDriver CSINode "
    "StorageClass VolumeAttachment"
)
# An update of these has to say which state it is of.
_CONDITIONAL_UPDATE = _kinds("Lease CustomResourceDefinition")
_CREATED_BY_UPDATE = _kinds("Lease Event Endpoints LimitRange Service Role RoleBinding ClusterRole ClusterRoleBinding")
_KUBE_VERSION = re.compile(r"v(?P<major>\d+)(?:(?P<stability>alpha|beta)(?P<minor>\d+))?\Z")
_CATEGORIES = {
    "CustomResourceDefinition": ("api-extensions",),
    **dict.fromkeys(
        _kinds(
            "Pod ReplicationController Service DaemonSet Deployment ReplicaSet StatefulSet CronJob Job "
            "HorizontalPodAutoscaler"
        ),
        ("all",),
    ),
}
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


@dataclass(frozen=True)
class ServedResource:
    """A resource in one version, and how it behaves."""

    resource: Resource
    custom: bool = False
    stored_version: str = ""
    """The apiVersion in which the objects of a custom resource are stored."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Top-level fields that are stored under another name."""
    shares: str = ""
    """The resource whose objects these are, if it is another one's."""
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
    verbs: tuple[str, ...] = _VERBS

    @property
    def bucket(self) -> str:
        """Where its objects are kept: every version of a resource has the same."""
        return self.shares or self.resource.name

    @property
    def path(self) -> tuple[str, str, str]:
        """Group, version and plural."""
        return self.resource.group, self.resource.version, self.resource.plural

    @property
    def form(self) -> Form:
        """How its objects are stored."""
        return Form(self.resource.kind, self.stored_version) if self.custom else Form()

    @property
    def paths(self) -> tuple[str, ...]:
        """The selectable fields, as they are stored."""
        return tuple(self.stored_path(path) for path in self.selectable)

    def stored_path(self, path: str) -> str:
        """Where a field of its objects is stored."""
        first, dot, rest = path.partition(".")
        return self.fields.get(first, first) + dot + rest

    def to_stored(self, obj: dict[str, Any]) -> dict[str, Any]:
        """An object as it is stored."""
        return {self.fields.get(key, key): value for key, value in obj.items()} if self.fields else obj

    def from_stored(self, obj: dict[str, Any]) -> dict[str, Any]:
        """A stored object as this resource shows it."""
        if not self.fields:
            return obj
        names = {stored: own for own, stored in self.fields.items()}
        return {names.get(key, key): value for key, value in obj.items()}

    def shown(self, stored: Stored) -> dict[str, Any]:
        """A stored object as a client sees it, with its kind; the caller may change it."""
        resource = self.resource
        return {"kind": resource.kind, "apiVersion": resource.api_version, **self.from_stored(stored.to_dict())}


class ServedResources:
    """All of them. Not thread-safe: its owner guards it."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], ServedResource] = {}
        for resource in (*built_in_resources(), *read_table(_MORE)):
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
        """Versions by group, the preferred one first; "" is the core group."""
        groups: dict[str, set[str]] = {}
        for group, version, _ in self._by_path:
            groups.setdefault(group, set()).add(version)
        return {group: sorted(versions, key=version_priority, reverse=True) for group, versions in groups.items()}

    def is_built_in(self, group: str) -> bool:
        """Whether a group is one that the server has by itself."""
        return any(served.resource.group == group and not served.custom for served in self._by_path.values())

    def replace_custom(self, name: str, served: Iterable[ServedResource]) -> None:
        """Puts the versions of a custom resource ("widgets.example.com") in the place of those it had."""
        plural, _, group = name.partition(".")
        for path in [p for p, s in self._by_path.items() if s.custom and p[0] == group and p[2] == plural]:
            del self._by_path[path]
        for each in served:
            self._add(each)

    def _add(self, served: ServedResource) -> None:
        self._by_path[served.path] = served


def served_versions(definition: Mapping[str, Any]) -> list[ServedResource]:
    """The resources that a CustomResourceDefinition describes, one a served version."""
    spec = definition["spec"]
    names = spec["names"]
    singular = names.get("singular") or names["kind"].lower()
    stored = next((version["name"] for version in spec["versions"] if version.get("storage")), "")
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
                stored_version=f"{spec['group']}/{stored}",
                has_status="status" in subresources,
                has_scale="scale" in subresources,
                scale_paths=subresources.get("scale") or {},
                counts_generation=True,
                needs_resource_version=True,
                selectable=tuple(f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()),
                list_kind=names.get("listKind") or names["kind"] + "List",
                categories=tuple(names.get("categories") or ()),
                verbs=_CUSTOM_VERBS,
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
        categories=_CATEGORIES.get(kind, ()),
        # A collection of namespaces is too much to delete at once.
        verbs=tuple(verb for verb in _VERBS if kind != "Namespace" or verb != "deletecollection"),
        fields=_EVENT_FIELDS if resource.name == "events.events.k8s.io" else {},
        shares="events" if resource.name == "events.events.k8s.io" else "",
    )


def version_priority(version: str) -> tuple[int, int, int, str]:
    """The higher, the more is a version preferred: v2, v1, v1beta2, v1alpha1, and then whatever else.

    Source: apimachinery pkg/version/helpers.go.
    """
    found = _KUBE_VERSION.match(version)
    if found is None:
        return (-1, 0, 0, version)
    stability = {None: 2, "beta": 1, "alpha": 0}[found["stability"]]
    return (stability, int(found["major"]), int(found["minor"] or 0), "")

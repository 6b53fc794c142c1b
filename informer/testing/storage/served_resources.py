"""The resources that the server serves: the built-in ones, and those that CustomResourceDefinitions add.

The file kinds/resources.yaml says what the built-in ones can do.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from informer.listwatch.resources import Resource, built_in_resources, read_table
from informer.testing.storage.kinds.scaler_versions import scaler_from_v2, scaler_to_v2
from informer.testing.storage.kinds.tables import yaml_file
from informer.testing.storage.schemas.custom_schema import CustomSchema
from informer.testing.storage.storage import Form, Stored

__all__ = ["ServedResource", "ServedResources", "served_versions"]

_BUILT_IN = yaml_file("resources.yaml")
_KUBE_VERSION = re.compile(r"v(?P<major>\d+)(?:(?P<stability>alpha|beta)(?P<minor>\d+))?\Z")
_CREATE = ("create",)
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


class Subresource(NamedTuple):
    """A subresource besides status and scale, as discovery describes it; "" is the resource's own group and version."""

    name: str
    kind: str
    verbs: Sequence[str]
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class ServedResource:
    """One version of a resource, and how it behaves."""

    resource: Resource
    custom: bool = False
    stored_version: str = ""
    """The apiVersion in which the objects of a custom resource are stored."""
    schema: CustomSchema | None = None
    """What this version of a custom resource demands of its objects."""
    stored_schema: CustomSchema | None = None
    """What the stored version demands."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The stored names of the top-level fields that are stored under another name."""
    shares: str = ""
    """The resource that stores the objects, if this is another view of them."""
    has_status: bool = False
    has_scale: bool = False
    scale_paths: Mapping[str, str] = field(default_factory=dict)
    counts_generation: bool = False
    returns_deleted: bool = False
    needs_resource_version: bool = False
    created_by_update: bool = False
    selectable: tuple[str, ...] = ()
    columns: tuple[Mapping[str, Any], ...] = ()
    """The additionalPrinterColumns of a custom resource."""
    list_kind: str = ""
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _VERBS
    subresources: tuple[Subresource, ...] = ()
    """Those besides status and scale."""

    @property
    def is_action(self) -> bool:
        """Whether its objects are requests that are carried out, and not stored."""
        return self.verbs == _CREATE

    @functools.cached_property
    def is_old_scaler(self) -> bool:
        """Whether this is the version v1 of HorizontalPodAutoscaler, whose objects are stored as v2."""
        return self.path == ("autoscaling", "v1", "horizontalpodautoscalers")

    @functools.cached_property
    def is_view(self) -> bool:
        """Whether its objects have other fields than the stored ones."""
        return bool(self.fields) or self.is_old_scaler

    @functools.cached_property
    def bucket(self) -> str:
        """The name of the bucket with its objects; all versions of a resource share one."""
        return self.shares or self.resource.name

    @functools.cached_property
    def path(self) -> tuple[str, str, str]:
        """Group, version and plural."""
        return self.resource.group, self.resource.version, self.resource.plural

    @functools.cached_property
    def form(self) -> Form:
        """How its objects are stored as JSON."""
        if not self.custom:
            return Form()
        return Form(self.resource.kind, self.stored_version, _number(self.stored_schema))

    @property
    def own_form(self) -> Form:
        """How a custom resource's objects are shown in this version."""
        return Form(self.resource.kind, self.resource.api_version, _number(self.schema))

    @functools.cached_property
    def paths(self) -> tuple[str, ...]:
        """The paths at which the selectable fields are stored."""
        return tuple(self.stored_path(path) for path in self.selectable)

    def stored_path(self, path: str) -> str:
        """Returns the path at which a field is stored."""
        first, dot, rest = path.partition(".")
        return self.fields.get(first, first) + dot + rest

    def to_stored(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Returns an object with its fields under the names they are stored by."""
        if self.is_old_scaler:
            return scaler_to_v2(obj)
        return {self.fields.get(key, key): value for key, value in obj.items()} if self.fields else obj

    def from_stored(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Returns a stored object with its fields under this resource's names."""
        if self.is_old_scaler:
            return scaler_from_v2(obj)
        if not self.fields:
            return obj
        names = {stored: own for own, stored in self.fields.items()}
        return {names.get(key, key): value for key, value in obj.items()}

    def shown(self, stored: Stored) -> dict[str, Any]:
        """Returns a stored object as a client sees it, as a dict that the caller may change."""
        resource = self.resource
        return {"kind": resource.kind, "apiVersion": resource.api_version, **self.from_stored(self.read(stored))}

    def read(self, stored: Stored) -> dict[str, Any]:
        """Returns a stored object without kind and apiVersion, pruned and with defaults as this version demands."""
        obj = stored.to_dict()
        if self.schema is not None and stored.form.schema != self.schema.number:
            self.schema.complete(obj)
        return obj


class ServedResources:
    """The table of all served resources. Not thread-safe: callers hold the storage's lock."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], ServedResource] = {}
        self._by_kind: dict[tuple[str, str], ServedResource] = {}
        self.by_name: dict[str, ServedResource] = {}
        """Resources by the names that callers have used for them; emptied when the table changes."""
        for resource in (*built_in_resources(), *read_table(_BUILT_IN["other_resources"])):
            self._add(_built_in(resource))
        for resource in read_table(_BUILT_IN["actions"]):
            self._add(ServedResource(resource._replace(names=resource.names[:1]), verbs=_CREATE))

    def __iter__(self) -> Iterator[ServedResource]:
        return iter(list(self._by_path.values()))

    def find(self, group: str, version: str, plural: str) -> ServedResource | None:
        """Returns the resource at a path; None if there is none."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> ServedResource | None:
        """Returns the resource whose objects have this apiVersion and kind; None if there is none."""
        return self._by_kind.get((api_version, kind))

    def by_bucket(self, name: str) -> ServedResource | None:
        """Returns a resource whose objects are in the bucket; None if there is none."""
        return next((served for served in self._by_path.values() if served.bucket == name), None)

    def existing(self, bucket: str) -> ServedResource:
        """Returns the built-in resource whose objects are in a bucket."""
        served = self.by_bucket(bucket)
        assert served is not None
        return served

    def groups(self) -> dict[str, list[str]]:
        """Returns the versions of each group, the preferred one first; "" is the core group."""
        groups: dict[str, set[str]] = {}
        for group, version, _ in self._by_path:
            groups.setdefault(group, set()).add(version)
        return {group: sorted(versions, key=version_priority, reverse=True) for group, versions in groups.items()}

    def is_built_in(self, group: str) -> bool:
        """Returns whether the server has the group without a CustomResourceDefinition."""
        return any(served.resource.group == group and not served.custom for served in self._by_path.values())

    def replace_custom(self, name: str, served: Iterable[ServedResource]) -> None:
        """Replaces the served versions of a custom resource, such as "widgets.example.com"."""
        self.by_name.clear()
        plural, _, group = name.partition(".")
        for path in [p for p, s in self._by_path.items() if s.custom and p[0] == group and p[2] == plural]:
            gone = self._by_path.pop(path).resource
            del self._by_kind[gone.api_version, gone.kind]
        for each in served:
            self._add(each)

    def _add(self, served: ServedResource) -> None:
        self._by_path[served.path] = served
        self._by_kind[served.resource.api_version, served.resource.kind] = served


def served_versions(definition: Mapping[str, Any]) -> list[ServedResource]:
    """Returns the resources that a CustomResourceDefinition describes, one per served version."""
    spec = definition["spec"]
    names = spec["names"]
    singular = names.get("singular") or names["kind"].lower()
    stored, stored_schema = next(
        ((version["name"], _schema_of(version)) for version in spec["versions"] if version.get("storage")), ("", None)
    )
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
                schema=_schema_of(version),
                stored_schema=stored_schema,
                has_status="status" in subresources,
                has_scale="scale" in subresources,
                scale_paths=subresources.get("scale") or {},
                counts_generation=True,
                needs_resource_version=True,
                selectable=tuple(f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()),
                columns=tuple(version.get("additionalPrinterColumns") or ()),
                list_kind=names.get("listKind") or names["kind"] + "List",
                categories=tuple(names.get("categories") or ()),
                verbs=_CUSTOM_VERBS,
            )
        )
    return served


def _schema_of(version: Mapping[str, Any]) -> CustomSchema | None:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    return None if schema is None else CustomSchema.of(schema)


def _number(schema: CustomSchema | None) -> int:
    return 0 if schema is None else schema.number


def _built_in(resource: Resource) -> ServedResource:
    kind, is_new_event = resource.kind, resource.name == "events.events.k8s.io"
    attributes: dict[str, Any] = {name: kind in kinds for name, kinds in _BUILT_IN["kinds"].items()}
    return ServedResource(
        resource,
        **attributes,
        selectable=tuple(_BUILT_IN["selectable"].get(resource.name, ())),
        list_kind=kind + "List",
        categories=tuple(name for name, kinds in _BUILT_IN["categories"].items() if kind in kinds),
        subresources=tuple(Subresource(**each) for each in _BUILT_IN["subresources"].get(resource.name, ())),
        # As in the real server, namespaces cannot be deleted as a collection.
        verbs=tuple(verb for verb in _VERBS if kind != "Namespace" or verb != "deletecollection"),
        fields=_BUILT_IN["event_fields"] if is_new_event else {},
        shares="events" if is_new_event else "",
    )


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Returns a sort key of versions, highest for the preferred one: v2, v1, v1beta2, v1alpha1, then all others.

    Source: apimachinery pkg/version/helpers.go.
    """
    found = _KUBE_VERSION.match(version)
    if found is None:
        return (-1, 0, 0, version)
    stability = {None: 2, "beta": 1, "alpha": 0}[found["stability"]]
    return (stability, int(found["major"]), int(found["minor"] or 0), "")

"""The discovery documents: the server's version, API groups and resources. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from informer.testing.storage.served_resources import ServedResource, ServedResources, Subresource

__all__ = ["aggregated", "api_group", "api_groups", "api_resources", "api_versions", "version_document"]

_STATUS_VERBS = ("get", "patch", "update")


def version_document(major: int, minor: int) -> dict[str, Any]:
    """Returns the document at /version."""
    return {
        "major": str(major),
        "minor": str(minor),
        "gitVersion": f"v{major}.{minor}.0",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    }


def api_versions(address: str) -> dict[str, Any]:
    """Returns the document at /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def api_groups(resources: ServedResources) -> dict[str, Any]:
    """Returns the document at /apis."""
    groups = [_group(name, versions) for name, versions in resources.groups().items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(resources: ServedResources, name: str) -> dict[str, Any] | None:
    """Returns the document at /apis/GROUP; None if the server does not have the group."""
    versions = resources.groups().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if name and versions else None


def api_resources(resources: ServedResources, group: str, version: str) -> dict[str, Any] | None:
    """Returns the document at /api/v1 or /apis/GROUP/VERSION; None if the server does not have the version."""
    served = _served_in(resources, group, version)
    if not served:
        return None
    entries: list[dict[str, Any]] = []
    for each in served:
        entries += _entries(each)
    document: dict[str, Any] = {"kind": "APIResourceList"}
    if group:
        document["apiVersion"] = "v1"
    return {**document, "groupVersion": f"{group}/{version}" if group else version, "resources": entries}


def aggregated(resources: ServedResources, *, core: bool) -> dict[str, Any]:
    """Returns the aggregated document at /api (`core`) or /apis, which newer clients ask for."""
    items = []
    for group, versions in resources.groups().items():
        if bool(group) == core:
            continue
        metadata = {"name": group} if group else {}
        listed = [
            {
                "version": version,
                "resources": [_aggregated_entry(each) for each in _served_in(resources, group, version)],
                "freshness": "Current",
            }
            for version in versions
        ]
        items.append({"metadata": metadata, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _served_in(resources: ServedResources, group: str, version: str) -> list[ServedResource]:
    served = [each for each in resources if (each.resource.group, each.resource.version) == (group, version)]
    return sorted(served, key=lambda each: each.resource.plural)


def _aggregated_entry(served: ServedResource) -> dict[str, Any]:
    resource = served.resource
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.names[0] if resource.names else "",
        "verbs": list(served.verbs),
    }
    if resource.names[1:]:
        entry["shortNames"] = list(resource.names[1:])
    if served.categories:
        entry["categories"] = list(served.categories)
    subresources = []
    for each in _subresources(served):
        described = {
            "group": each.group or kind["group"],
            "version": each.version or kind["version"],
            "kind": each.kind,
        }
        subresources.append({"subresource": each.name, "responseKind": described, "verbs": list(each.verbs)})
    if subresources:
        entry["subresources"] = subresources
    return entry


def _group(name: str, versions: Iterable[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _entries(served: ServedResource) -> list[dict[str, Any]]:
    resource = served.resource
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.names[0] if resource.names else "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(served.verbs),
    }
    if resource.names[1:]:
        entry["shortNames"] = list(resource.names[1:])
    if served.categories:
        entry["categories"] = list(served.categories)
    entries: list[dict[str, Any]] = []
    for each in _subresources(served):
        described = {"group": each.group, "version": each.version} if each.group else {}
        name = {"name": f"{resource.plural}/{each.name}", "singularName": "", "namespaced": resource.namespaced}
        entries.append({**name, **described, "kind": each.kind, "verbs": list(each.verbs)})
    return [entry, *entries]


def _subresources(served: ServedResource) -> list[Subresource]:
    found = list(served.subresources)
    if served.has_scale:
        found.append(Subresource("scale", "Scale", _STATUS_VERBS, "autoscaling", "v1"))
    if served.has_status:
        found.append(Subresource("status", served.resource.kind, _STATUS_VERBS))
    return sorted(found)

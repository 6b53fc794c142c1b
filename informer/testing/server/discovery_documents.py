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
    entries = [entry for each in served for entry in _entries(each)]
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
    """Returns what the aggregated document says about a resource, made of what the plain documents say."""
    resource = served.resource

    def kind_of(entry: dict[str, Any]) -> dict[str, Any]:
        group, version = entry.get("group", resource.group), entry.get("version", resource.version)
        return {"group": group, "version": version, "kind": entry["kind"]}

    first, *others = _entries(served)
    entry: dict[str, Any] = {
        "resource": first["name"],
        "responseKind": kind_of(first),
        "scope": "Namespaced" if first["namespaced"] else "Cluster",
        "singularResource": first["singularName"],
    }
    entry |= {key: first[key] for key in ("verbs", "shortNames", "categories") if key in first}
    if others:
        entry["subresources"] = [
            {"subresource": each["name"].partition("/")[2], "responseKind": kind_of(each), "verbs": each["verbs"]}
            for each in others
        ]
    return entry


def _group(name: str, versions: Iterable[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _entries(served: ServedResource) -> list[dict[str, Any]]:
    """Returns what the plain documents say about a resource and its subresources."""
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
    subresources = list(served.subresources)
    if served.has_scale:
        subresources.append(Subresource("scale", "Scale", _STATUS_VERBS, "autoscaling", "v1"))
    if served.has_status:
        subresources.append(Subresource("status", resource.kind, _STATUS_VERBS))
    entries = [entry]
    for each in sorted(subresources):
        described = {"group": each.group, "version": each.version} if each.group else {}
        name = {"name": f"{resource.plural}/{each.name}", "singularName": "", "namespaced": resource.namespaced}
        entries.append({**name, **described, "kind": each.kind, "verbs": list(each.verbs)})
    return entries

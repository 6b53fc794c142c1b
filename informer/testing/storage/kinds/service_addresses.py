"""The addresses and ports that the server gives to services.

Source: kubernetes pkg/registry/core/service/storage.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from informer.testing.storage.statuses import Cause, shown
from informer.testing.storage.storage import Bucket

__all__ = ["carry_over", "complete_service_locked"]

_SERVICE_RANGE = ipaddress.ip_network("10.0.0.0/16")
_FAR_PORT = "provided port is not in the valid range. The range of valid ports is 30000-32767"
_NODE_PORTS = range(30000, 32768)
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
# Fields that only some types have. Where the type changes, those that the client has not changed are dropped.
_OF_CLUSTER_IP = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
_OF_NODE_PORTS = ("externalTrafficPolicy", "allocateLoadBalancerNodePorts")


def complete_service_locked(bucket: Bucket, spec: dict[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    """Sets the address and the ports that a service's spec lacks; returns what cannot be allocated.

    Args:
        bucket: the stored services.
        spec: the spec, which is changed.
        old: the stored spec; None for a new service.
    """
    if spec.get("type") == "ExternalName":
        return []
    causes = _set_address(bucket, spec, (old or {}).get("clusterIP") or "")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    return causes + _set_ports(bucket, spec, old)


def _set_address(bucket: Bucket, spec: dict[str, Any], before: str) -> list[Cause]:
    wanted, used = spec.get("clusterIP") or "", {each.fields.get("spec.clusterIP") for each in bucket.objects.values()}
    if before and wanted != before and before != "None":
        return [Cause.bad("spec.clusterIPs[0]", shown([wanted]), "may not change once set")]
    if wanted not in ("", "None", before):
        why = "provided IP is already allocated" if wanted in used else ""
        if not _is_in_range(wanted):
            valid = f"The range of valid IPs is {_SERVICE_RANGE}"
            why = f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. {valid}"
        if why:
            return [Cause.bad("spec.clusterIPs", shown([wanted]), why)]
    if not wanted:
        wanted = next(address for address in map(str, _SERVICE_RANGE.hosts()) if address not in used)
    spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]
    return []


def _is_in_range(address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in _SERVICE_RANGE
    except ValueError:
        return False


def _set_ports(bucket: Bucket, spec: dict[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    if spec.get("type") not in _WITH_NODE_PORTS or spec.get("allocateLoadBalancerNodePorts") is False:
        return []
    causes, own = [], {port.get("nodePort") for port in (old or {}).get("ports") or ()}
    used = _used_ports(bucket) - own
    for i, port in enumerate(spec.get("ports") or ()):
        wanted = port.get("nodePort")
        if not wanted:
            port["nodePort"] = next(number for number in _NODE_PORTS if number not in used | own)
        elif wanted not in _NODE_PORTS:
            causes.append(Cause.bad(f"spec.ports[{i}].nodePort", shown(wanted), _FAR_PORT))
        elif wanted in used:
            causes.append(Cause.bad(f"spec.ports[{i}].nodePort", shown(wanted), "provided port is already allocated"))
        used.add(port["nodePort"])
    return causes


def carry_over(spec: dict[str, Any], old: Mapping[str, Any]) -> None:
    """Keeps what was allocated where an update leaves it out, and drops it where the new type has no use for it."""
    kind, before = spec.get("type"), old.get("type")
    dropped = [] if kind in _WITH_NODE_PORTS else list(_OF_NODE_PORTS)
    if kind == "ExternalName":
        dropped += _OF_CLUSTER_IP
    elif before != "ExternalName":
        spec.update({name: old[name] for name in _OF_CLUSTER_IP if name in old and not spec.get(name)})
    for name in dropped:
        if spec.get(name) == old.get(name) or name == "internalTrafficPolicy":
            spec.pop(name, None)
    allocated = {port.get("name"): port.get("nodePort") for port in old.get("ports") or ()}
    for port in spec.get("ports") or ():
        was = allocated.get(port.get("name"))
        if kind in _WITH_NODE_PORTS and was and not port.get("nodePort"):
            port["nodePort"] = was
        elif kind not in _WITH_NODE_PORTS and port.get("nodePort") == was:
            port.pop("nodePort", None)


def _used_ports(bucket: Bucket) -> set[int]:
    specs = [
        stored.to_dict()["spec"]
        for stored in bucket.objects.values()
        if stored.fields.get("spec.type") in _WITH_NODE_PORTS
    ]
    return {port.get("nodePort") for spec in specs for port in spec.get("ports") or ()}

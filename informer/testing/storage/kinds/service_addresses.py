"""The addresses and ports that the server gives to services.

Source: kubernetes pkg/registry/core/service/storage.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Set as AbstractSet
from typing import Any

from informer.testing.storage.statuses import Cause, shown
from informer.testing.storage.storage import Bucket

__all__ = ["SERVICE_RANGE", "ServiceAddresses", "carry_over"]

SERVICE_RANGE = ipaddress.ip_network("10.0.0.0/16")
_NODE_PORTS = range(30000, 32768)
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
# Fields that only some types have. Where the type changes, those that the client has not changed are dropped.
_OF_CLUSTER_IP = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
_OF_NODE_PORTS = ("externalTrafficPolicy", "allocateLoadBalancerNodePorts")


class ServiceAddresses:
    """Allocates cluster IPs and node ports, each in turn, so that two services never get the same one.

    Threads: any; callers hold the storage's lock.
    """

    def __init__(self) -> None:
        self._addresses = iter(SERVICE_RANGE.hosts())
        self._ports = iter(_NODE_PORTS)
        next(self._addresses)  # of the service "kubernetes"

    def complete_locked(self, bucket: Bucket, spec: dict[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
        """Sets what a service's spec lacks, given the stored spec for an update; returns what cannot be allocated."""
        if spec.get("type") == "ExternalName":
            return []
        causes = self._address_causes(bucket, spec, old)
        has_selector = spec.get("clusterIP") != "None" or bool(spec.get("selector"))
        spec.setdefault("ipFamilies", ["IPv4"] if has_selector else ["IPv4", "IPv6"])
        spec.setdefault("ipFamilyPolicy", "SingleStack" if has_selector else "RequireDualStack")
        return causes + self._port_causes(bucket, spec, old)

    def _address_causes(self, bucket: Bucket, spec: dict[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
        wanted, before = spec.get("clusterIP") or "", (old or {}).get("clusterIP") or ""
        if before and wanted != before and before != "None":
            return [Cause.bad("spec.clusterIPs[0]", shown([wanted]), "may not change once set")]
        if wanted not in ("", "None", before):
            why = "provided IP is already allocated" if wanted in _used_addresses(bucket) else ""
            if not _is_in_range(wanted):
                valid = f"The range of valid IPs is {SERVICE_RANGE}"
                why = f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. {valid}"
            if why:
                return [Cause.bad("spec.clusterIPs", shown([wanted]), why)]
        if not wanted:
            self._addresses, wanted = _next(self._addresses, SERVICE_RANGE.hosts(), _used_addresses(bucket))
        spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]
        return []

    def _port_causes(self, bucket: Bucket, spec: dict[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
        if spec.get("type") not in _WITH_NODE_PORTS or spec.get("allocateLoadBalancerNodePorts") is False:
            return []
        causes, own = [], {port.get("nodePort") for port in (old or {}).get("ports") or ()}
        used = _used_ports(bucket) - own
        for i, port in enumerate(spec.get("ports") or ()):
            wanted = port.get("nodePort")
            if not wanted:
                self._ports, port["nodePort"] = _next(self._ports, _NODE_PORTS, used | own)
            elif wanted in used:
                causes.append(
                    Cause.bad(f"spec.ports[{i}].nodePort", shown(wanted), "provided port is already allocated")
                )
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


def _next(candidates: Iterator[Any], all_of_them: Any, used: AbstractSet[Any]) -> tuple[Iterator[Any], Any]:
    """Returns the next free candidate, and the iterator to go on with."""
    for each in candidates:
        value = each if isinstance(each, int) else str(each)
        if value not in used:
            return candidates, value
    return _next(iter(all_of_them), all_of_them, used)


def _is_in_range(address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in SERVICE_RANGE
    except ValueError:
        return False


def _used_addresses(bucket: Bucket) -> set[str]:
    return {stored.fields.get("spec.clusterIP", "") for stored in bucket.objects.values()}


def _used_ports(bucket: Bucket) -> set[int]:
    specs = [
        stored.to_dict()["spec"]
        for stored in bucket.objects.values()
        if stored.fields.get("spec.type") in _WITH_NODE_PORTS
    ]
    return {port.get("nodePort") for spec in specs for port in spec.get("ports") or ()}

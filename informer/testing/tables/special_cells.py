"""The cells of the built-in kinds that need more than a path into the object.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from informer.testing.tables.cells import Cell, at, first_few, human_duration, joined, seconds_since, since, value_at

__all__ = ["CELLS", "event_cells"]

_Obj = Mapping[str, Any]
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_JOB_CONDITIONS = ("Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet")
_ROLE_LABEL = "node-role.kubernetes.io/"


def _fraction(path: str, of: str) -> Cell:
    return lambda obj: f"{value_at(obj, path) or 0}/{value_at(obj, of) or 0}"


def _phase(obj: _Obj) -> Any:
    return "Terminating" if "deletionTimestamp" in obj["metadata"] else at("status.phase")(obj)


def _class(obj: _Obj) -> Any:
    annotations = obj["metadata"].get("annotations") or {}
    return annotations.get("volume.beta.kubernetes.io/storage-class") or at("spec.storageClassName")(obj)


def _modes(path: str) -> Cell:
    return lambda obj: ",".join(short for mode, short in _MODES.items() if mode in (value_at(obj, path) or ()))


def _bound(cell: Cell) -> Cell:
    """Shows a cell only of a claim that has a volume."""
    return lambda obj: cell(obj) if value_at(obj, "spec.volumeName") else ""


def _conditions(obj: _Obj) -> Iterator[_Obj]:
    yield from value_at(obj, "status.conditions") or ()


def _job_status(obj: _Obj) -> str:
    true = {each.get("type") for each in _conditions(obj) if each.get("status") == "True"}
    true |= {"Terminating"} if "deletionTimestamp" in obj["metadata"] else set()
    return next((each for each in _JOB_CONDITIONS if each in true), "Running")


def _completions(obj: _Obj) -> str:
    done, wanted = at("status.succeeded", 0)(obj), value_at(obj, "spec.completions")
    parallel = at("spec.parallelism", 0)(obj)
    if wanted is not None:
        return f"{done}/{wanted}"
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _job_duration(obj: _Obj) -> str:
    start, end = value_at(obj, "status.startTime"), value_at(obj, "status.completionTime")
    return human_duration(seconds_since(start, end)) if start else ""


def _addresses(obj: _Obj) -> str:
    ingress = value_at(obj, "status.loadBalancer.ingress") or ()
    return ",".join(sorted({each.get("ip") or each.get("hostname") for each in ingress} - {None, ""}))


def _external_ip(obj: _Obj) -> str:
    own = joined("spec.externalIPs")(obj)
    match value_at(obj, "spec.type"):
        case "ClusterIP" | "NodePort":
            return own or "<none>"
        case "LoadBalancer":
            return ",".join(filter(None, (_addresses(obj), own))) or "<pending>"
        case "ExternalName":
            return str(at("spec.externalName")(obj))
    return "<unknown>"


def _ports(obj: _Obj) -> str:
    return ",".join(
        f"{each.get('port')}{':{}'.format(each['nodePort']) if each.get('nodePort') else ''}/{each.get('protocol', '')}"
        for each in value_at(obj, "spec.ports") or ()
    )


def _hosts(obj: _Obj) -> str:
    rules = value_at(obj, "spec.rules") or ()
    hosts = ",".join(each["host"] for each in rules[:3] if each.get("host"))
    return (f"{hosts} + {len(rules) - 3} more..." if len(rules) > 3 and hosts else hosts) or "*"


def _parameters(obj: _Obj) -> str:
    found = value_at(obj, "spec.parameters")
    if found is None:
        return "<none>"
    group = f".{found['apiGroup']}" if found.get("apiGroup") else ""
    return f"{found.get('kind')}{group}/{found.get('name')}"


def _endpoints(obj: _Obj) -> str:
    subsets = obj.get("subsets") or ()
    shown: list[str] = []
    for subset in subsets:
        ips = [each.get("ip") for each in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        shown += (
            [f"{f'[{ip}]' if ':' in ip else ip}:{port.get('port')}" for port in ports for ip in ips] if ports else ips
        )
    return first_few(shown, "" if subsets else "<none>")


def _slice_ports(obj: _Obj) -> str:
    return first_few((str(p.get("port") or p.get("name") or "*") for p in obj.get("ports") or ()), "<unset>")


def _slice_endpoints(obj: _Obj) -> str:
    return first_few((ip for each in obj.get("endpoints") or () for ip in each.get("addresses") or ()), "<unset>")


def _node_status(obj: _Obj) -> str:
    ready = next((each for each in _conditions(obj) if each.get("type") == "Ready"), None)
    status = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{status},SchedulingDisabled" if value_at(obj, "spec.unschedulable") else status


def _roles(obj: _Obj) -> str:
    of_node = obj["metadata"].get("labels") or {}
    roles = {key.removeprefix(_ROLE_LABEL) for key in of_node if key.startswith(_ROLE_LABEL)}
    return ",".join(sorted((roles | {of_node.get("kubernetes.io/role", "")}) - {""})) or "<none>"


def _address(type: str) -> Cell:
    return lambda obj: next(
        (a.get("address") for a in value_at(obj, "status.addresses") or () if a.get("type") == type), "<none>"
    )


def _kernel(obj: _Obj) -> str:
    architecture = at("status.nodeInfo.architecture")(obj)
    kernel = at("status.nodeInfo.kernelVersion", "<unknown>")(obj)
    return f"{kernel} ({architecture})" if architecture else str(kernel)


def _claim(obj: _Obj) -> str:
    claim = value_at(obj, "spec.claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _quota(obj: _Obj, *, limits: bool) -> str:
    hard, used = value_at(obj, "status.hard") or {}, value_at(obj, "status.used") or {}
    names = [name for name in sorted(hard) if name.startswith("limits.") == limits]
    return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in names)


def _subjects(kind: str) -> Cell:
    def cell(obj: _Obj) -> str:
        found = [each for each in obj.get("subjects") or () if each.get("kind") == kind]
        prefix = kind == "ServiceAccount"
        return ", ".join(f"{each.get('namespace', '')}/{each['name']}" if prefix else each["name"] for each in found)

    return cell


def _role(obj: _Obj) -> str:
    return f"{value_at(obj, 'roleRef.kind')}/{value_at(obj, 'roleRef.name')}"


def _signing_status(obj: _Obj) -> str:
    types = {each.get("type") for each in _conditions(obj)}
    status = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    failed = ",Failed" if "Failed" in types else ""
    return status + failed + (",Issued" if value_at(obj, "status.certificate") else "")


def _requested(obj: _Obj) -> str:
    seconds = value_at(obj, "spec.expirationSeconds")
    return "<none>" if seconds is None else human_duration(seconds)


def _controller(obj: _Obj) -> str:
    owner = next((each for each in obj["metadata"].get("ownerReferences") or () if each.get("controller")), None)
    if owner is None:
        return "<none>"
    group, slash, _ = owner["apiVersion"].partition("/")
    return f"{owner['kind']}{'.' + group if slash else ''}".lower() + f"/{owner['name']}"


def _parent(obj: _Obj) -> str:
    parent = value_at(obj, "spec.parentRef") or {}
    resource = ".".join(filter(None, (parent.get("resource"), parent.get("group"))))
    return "/".join(filter(None, (resource, parent.get("namespace"), parent.get("name")))) or "<none>"


def _versions(obj: _Obj) -> str:
    served = (each for each in value_at(obj, "spec.versions") or () if each.get("served"))
    return ",".join(sorted(each.get("name", "") + ("(storage)" if each.get("storage") else "") for each in served))


def _is_established(obj: _Obj) -> bool:
    return any(each.get("type") == "Established" and each.get("status") == "True" for each in _conditions(obj))


def _dangling(obj: _Obj) -> Any:
    return next((each.get("status") for each in _conditions(obj) if each.get("type") == "Dangling"), "?")


def _claim_state(obj: _Obj) -> str:
    deleted = "deletionTimestamp" in obj["metadata"]
    states = ["deleted"] if deleted else []
    if value_at(obj, "status.allocation") is None:
        states += [] if deleted else ["pending"]
    else:
        states += ["allocated", "reserved"] if value_at(obj, "status.reservedFor") else ["allocated"]
    return ",".join(states)


def event_cells(obj: _Obj) -> list[Any]:
    """Returns the cells of an event, whose name is the last one."""
    first = since("firstTimestamp", since("eventTime")(obj))(obj)
    series = obj.get("series")
    last = since("series.lastObservedTime")(obj) if series else since("lastTimestamp", first)(obj)
    number = series.get("count", 0) if series else obj.get("count") or 1
    about = obj.get("involvedObject") or {}
    target = "/".join(filter(None, (str(about.get("kind", "")).lower(), about.get("name"))))
    component = value_at(obj, "source.component") or obj.get("reportingComponent") or ""
    source = ", ".join(filter(None, (component, value_at(obj, "source.host") or obj.get("reportingInstance"))))
    message = str(obj.get("message", "")).strip()
    field = about.get("fieldPath", "")
    name = obj["metadata"].get("name", "")
    return [last, obj.get("type", ""), obj.get("reason", ""), target, field, source, message, first, number, name]


_SHOWN = 2


def metrics(obj: Mapping[str, Any]) -> str:
    """Shows the metrics of a HorizontalPodAutoscaler of autoscaling/v2."""
    specs = value_at(obj, "spec.metrics") or ()
    statuses = list(value_at(obj, "status.currentMetrics") or ())
    shown = [
        _metric(spec, statuses[index] if index < len(statuses) else {}) for index, spec in enumerate(specs[:_SHOWN])
    ]
    more = f" + {len(specs) - _SHOWN} more..." if len(specs) > _SHOWN else ""
    return ", ".join(shown) + more if specs else "<none>"


def _metric(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    kind = str(spec.get("type", ""))
    field = kind[:1].lower() + kind[1:]
    target, current = value_at(spec, f"{field}.target"), value_at(status, f"{field}.current") or {}
    if target is None:
        return "<unknown type>"
    by_average = "averageValue" in target
    if field in ("resource", "containerResource"):
        name = value_at(spec, f"{field}.name")
        if by_average:
            return f"{name}: {current.get('averageValue', '<unknown>')}/{target['averageValue']}"
        return f"{name}: {_percent(current, '<unknown>')}/{_percent(target, '<auto>')}"
    key = "averageValue" if by_average else "value"
    average = " (avg)" if by_average and field != "pods" else ""
    return f"{current.get(key, '<unknown>')}/{target.get(key, '0')}{average}"


def _percent(values: Mapping[str, Any], default: str) -> str:
    return f"{values['averageUtilization']}%" if "averageUtilization" in values else default


CELLS: Mapping[str, Cell] = {
    "addresses": _addresses,
    "claim": _claim,
    "claim-class": _class,
    "claim-modes": _bound(_modes("status.accessModes")),
    "claim-size": _bound(at("status.capacity.storage", "0")),
    "claim-state": _claim_state,
    "cluster-ip": lambda obj: next(iter(value_at(obj, "spec.clusterIPs") or ()), "<none>"),
    "completions": _completions,
    "controller": _controller,
    "dangling": _dangling,
    "endpoints": _endpoints,
    "established": _is_established,
    "external-ip": _external_ip,
    "external-node-ip": _address("ExternalIP"),
    "groups": _subjects("Group"),
    "hosts": _hosts,
    "internal-node-ip": _address("InternalIP"),
    "job-duration": _job_duration,
    "job-status": _job_status,
    "kernel": _kernel,
    "limits": lambda obj: _quota(obj, limits=True),
    "metrics": metrics,
    "modes": _modes("spec.accessModes"),
    "node-status": _node_status,
    "parameters": _parameters,
    "parent": _parent,
    "phase": _phase,
    "ports": lambda obj: _ports(obj) or "<none>",
    "ready": _fraction("status.readyReplicas", "spec.replicas"),
    "requested": _requested,
    "requests": lambda obj: _quota(obj, limits=False),
    "role": _role,
    "roles": _roles,
    "scaled": lambda obj: f"{value_at(obj, 'spec.scaleTargetRef.kind')}/{value_at(obj, 'spec.scaleTargetRef.name')}",
    "service-accounts": _subjects("ServiceAccount"),
    "short-names": joined("spec.names.shortNames"),
    "signing-status": _signing_status,
    "slice-endpoints": _slice_endpoints,
    "slice-ports": _slice_ports,
    "tls-ports": lambda obj: "80, 443" if value_at(obj, "spec.tls") else "80",
    "token-requests": joined("spec.tokenRequests", "audience", default="<unset>"),
    "versions": _versions,
    "users": _subjects("User"),
}
"""Cells by the name that the table of kinds gives them."""

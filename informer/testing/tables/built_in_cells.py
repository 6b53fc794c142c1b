"""The cells of the built-in kinds, in the order of their columns.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.testing.tables.cells import (
    Cell,
    age,
    at,
    count,
    first_few,
    human_duration,
    joined,
    labels,
    seconds_since,
    selector,
    since,
    value_at,
)
from informer.testing.tables.pod_cells import pod_cells

__all__ = ["built_in_cells"]

_Obj = Mapping[str, Any]
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_JOB_CONDITIONS = ("Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet")
_ROLE_LABEL = "node-role.kubernetes.io/"
_MOST_METRICS = 2


def built_in_cells(kind: str, obj: _Obj) -> list[Any] | None:
    """Returns the cells of an object.

    Args:
        kind: the object's kind.
        obj: the object in the form in which it is stored.

    Returns:
        The cells, or None for a kind without cells of its own.
    """
    if kind == "Event":
        return _event_cells(obj)
    name = obj["metadata"].get("name", "")
    if kind == "Pod":
        return [name, *pod_cells(obj)]
    cells = _CELLS.get(kind)
    return None if cells is None else [name, *(cell(obj) for cell in cells)]


def _event_cells(obj: _Obj) -> list[Any]:
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


def _text(path: str, default: str = "") -> Cell:
    """Shows the value at a path in a column of type string."""
    return lambda obj: str(at(path, default)(obj))


def _fraction(path: str, of: str) -> Cell:
    return lambda obj: f"{value_at(obj, path) or 0}/{value_at(obj, of) or 0}"


def _containers(path: str) -> tuple[Cell, Cell]:
    """Shows the names of the containers of a pod's spec, and their images."""
    return joined(f"{path}.containers", "name"), joined(f"{path}.containers", "image")


def _phase(obj: _Obj) -> Any:
    return "Terminating" if "deletionTimestamp" in obj["metadata"] else at("status.phase")(obj)


def _modes(path: str) -> Cell:
    return lambda obj: ",".join(short for mode, short in _MODES.items() if mode in (value_at(obj, path) or ()))


def _bound(cell: Cell) -> Cell:
    """Shows a cell only of a claim that has a volume."""
    return lambda obj: cell(obj) if value_at(obj, "spec.volumeName") else ""


def _conditions(obj: _Obj) -> Any:
    return value_at(obj, "status.conditions") or ()


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
    shown = [
        f"{each.get('port')}{':{}'.format(each['nodePort']) if each.get('nodePort') else ''}/{each.get('protocol', '')}"
        for each in value_at(obj, "spec.ports") or ()
    ]
    return ",".join(shown) or "<none>"


def _hosts(obj: _Obj) -> str:
    rules = value_at(obj, "spec.rules") or ()
    hosts = ",".join(each["host"] for each in rules[:3] if each.get("host"))
    return (f"{hosts} + {len(rules) - 3} more..." if len(rules) > 3 and hosts else hosts) or "*"


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


def _quota(*, limits: bool) -> Cell:
    def cell(obj: _Obj) -> str:
        hard, used = value_at(obj, "status.hard") or {}, value_at(obj, "status.used") or {}
        names = [name for name in sorted(hard) if name.startswith("limits.") == limits]
        return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in names)

    return cell


def _subjects(kind: str) -> Cell:
    def cell(obj: _Obj) -> str:
        found = [each for each in obj.get("subjects") or () if each.get("kind") == kind]
        prefix = kind == "ServiceAccount"
        return ", ".join(f"{each.get('namespace', '')}/{each['name']}" if prefix else each["name"] for each in found)

    return cell


def _reference(path: str) -> Cell:
    return lambda obj: f"{value_at(obj, f'{path}.kind')}/{value_at(obj, f'{path}.name')}"


def _versions(obj: _Obj) -> str:
    served = (each for each in value_at(obj, "spec.versions") or () if each.get("served"))
    return ",".join(sorted(each.get("name", "") + ("(storage)" if each.get("storage") else "") for each in served))


def _is_established(obj: _Obj) -> bool:
    return any(each.get("type") == "Established" and each.get("status") == "True" for each in _conditions(obj))


def _metrics(obj: _Obj) -> str:
    """Shows the metrics of a HorizontalPodAutoscaler of autoscaling/v2."""
    specs, statuses = value_at(obj, "spec.metrics") or (), value_at(obj, "status.currentMetrics") or ()
    pairs = zip(specs[:_MOST_METRICS], [*statuses, *({} for _ in specs)], strict=False)
    more = f" + {len(specs) - _MOST_METRICS} more..." if len(specs) > _MOST_METRICS else ""
    return ", ".join(_metric(*pair) for pair in pairs) + more if specs else "<none>"


def _metric(spec: _Obj, status: _Obj) -> str:
    kind = str(spec.get("type", ""))
    field = kind[:1].lower() + kind[1:]
    target, current = value_at(spec, f"{field}.target") or {}, value_at(status, f"{field}.current") or {}
    name = value_at(spec, f"{field}.name")
    by = next((each for each in ("averageUtilization", "averageValue", "value") if each in target), "value")
    unit = "%" if by == "averageUtilization" else ""
    shown = "/".join(f"{each[by]}{unit}" if by in each else "<unknown>" for each in (current, target))
    return f"{name}: {shown}" if name else shown


_BINDING = (_reference("roleRef"), age, _subjects("User"), _subjects("Group"), _subjects("ServiceAccount"))
_CLASS = at("spec.storageClassName")
_TEMPLATE, _SELECTOR = _containers("spec.template.spec"), selector("spec.selector")
_REPLICAS = (at("spec.replicas", 0), at("status.replicas", 0), at("status.readyReplicas", 0), age, *_TEMPLATE)
_READY = _fraction("status.readyReplicas", "spec.replicas")
_CELLS: Mapping[str, tuple[Cell, ...]] = {
    "ClusterRoleBinding": _BINDING,
    "ConfigMap": (count("data", "binaryData"), age),
    "CronJob": (
        at("spec.schedule"), at("spec.timeZone", "<none>"), _text("spec.suspend", "<unset>"), count("status.active"),
        since("status.lastScheduleTime", "<none>"), age, *_containers("spec.jobTemplate.spec.template.spec"),
        selector("spec.jobTemplate.spec.selector"),
    ),
    "CustomResourceDefinition": (
        at("spec.scope"), _versions, at("metadata.creationTimestamp"), at("spec.group"), at("spec.names.kind"),
        joined("spec.names.shortNames"), _is_established,
    ),
    "DaemonSet": (
        at("status.desiredNumberScheduled", 0), at("status.currentNumberScheduled", 0), at("status.numberReady", 0),
        at("status.updatedNumberScheduled", 0), at("status.numberAvailable", 0), labels("spec.template.spec.nodeSelector"),
        age, *_TEMPLATE, _SELECTOR,
    ),
    "Deployment": (
        _READY, at("status.updatedReplicas", 0), at("status.availableReplicas", 0), age, *_TEMPLATE,
        selector("spec.selector", ""),
    ),
    "EndpointSlice": (at("addressType"), _slice_ports, _slice_endpoints, age),
    "HorizontalPodAutoscaler": (
        _reference("spec.scaleTargetRef"), _metrics, _text("spec.minReplicas", "<unset>"), at("spec.maxReplicas", 0),
        at("status.currentReplicas", 0), age,
    ),
    "Ingress": (
        at("spec.ingressClassName", "<none>"), _hosts, _addresses,
        lambda obj: "80, 443" if value_at(obj, "spec.tls") else "80", age,
    ),
    "Job": (_job_status, _completions, _job_duration, age, *_TEMPLATE, _SELECTOR),
    "Lease": (at("spec.holderIdentity"), age),
    "MutatingWebhookConfiguration": (count("webhooks"), age),
    "Namespace": (at("status.phase"), age),
    "NetworkPolicy": (selector("spec.podSelector"), age),
    "Node": (
        _node_status, _roles, age, at("status.nodeInfo.kubeletVersion"), _address("InternalIP"), _address("ExternalIP"),
        at("status.nodeInfo.osImage", "<unknown>"), _kernel, at("status.nodeInfo.containerRuntimeVersion", "<unknown>"),
    ),
    "PersistentVolume": (
        at("spec.capacity.storage", "0"), _modes("spec.accessModes"), at("spec.persistentVolumeReclaimPolicy"), _phase,
        _claim, _CLASS, at("spec.volumeAttributesClassName", "<unset>"), at("status.reason"), age,
        at("spec.volumeMode", "<unset>"),
    ),
    "PersistentVolumeClaim": (
        _phase, at("spec.volumeName"), _bound(at("status.capacity.storage", "0")), _bound(_modes("status.accessModes")),
        _CLASS, at("spec.volumeAttributesClassName", "<unset>"), age, at("spec.volumeMode", "<unset>"),
    ),
    "PodDisruptionBudget": (
        _text("spec.minAvailable", "N/A"), _text("spec.maxUnavailable", "N/A"), at("status.disruptionsAllowed", 0), age,
    ),
    "PriorityClass": (at("value", 0), at("globalDefault", False), age, at("preemptionPolicy")),
    "ReplicaSet": (*_REPLICAS, _SELECTOR),
    "ReplicationController": (*_REPLICAS, labels("spec.selector")),
    "ResourceQuota": (_quota(limits=False), _quota(limits=True), age),
    "RoleBinding": _BINDING,
    "Secret": (at("type"), count("data"), age),
    "Service": (at("spec.type"), at("spec.clusterIP", "<none>"), _external_ip, _ports, age, labels("spec.selector")),
    "ServiceAccount": (age,),
    "StatefulSet": (_READY, age, *_TEMPLATE),
    "StorageClass": (
        at("provisioner"), at("reclaimPolicy", "Delete"), at("volumeBindingMode", "Immediate"),
        at("allowVolumeExpansion", False), age,
    ),
    "ValidatingWebhookConfiguration": (count("webhooks"), age),
}  # fmt: skip

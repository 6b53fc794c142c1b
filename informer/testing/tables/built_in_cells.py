"""The cells of the built-in kinds, in the order of their columns.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from informer.testing.tables.cells import Cell, age, at, count, joined, labels, selector, since
from informer.testing.tables.pod_cells import pod_cells
from informer.testing.tables.special_cells import CELLS, event_cells

__all__ = ["built_in_cells"]

# A cell is a path into the object, with a default behind "|"; or a sign with a path: "#" counts items, "=" shows labels, "?" a
# selector, "@" the names and images of containers, "~" the time since then, "*" a list. "!" is one of the special cells.
_TABLE = """
CSIDriver: spec.attachRequired|true spec.podInfoOnMount|false spec.storageCapacity|false !token-requests
 spec.requiresRepublish|false *spec.volumeLifecycleModes|<none> age
CSINode: #spec.drivers age
CertificateSigningRequest: age spec.signerName|<none> spec.username !requested !signing-status
ClusterRoleBinding: !role age !users !groups !service-accounts
ConfigMap: #data+binaryData age
ControllerRevision: !controller revision|0 age
CronJob: spec.schedule spec.timeZone|<none> spec.suspend|<unset> #status.active ~status.lastScheduleTime|<none> age
 @spec.jobTemplate.spec.template.spec ?spec.jobTemplate.spec.selector
CustomResourceDefinition: spec.scope !versions metadata.creationTimestamp spec.group spec.names.kind !short-names !established
DaemonSet: status.desiredNumberScheduled|0 status.currentNumberScheduled|0 status.numberReady|0
 status.updatedNumberScheduled|0 status.numberAvailable|0 =spec.template.spec.nodeSelector age @spec.template.spec
 ?spec.selector
Deployment: !ready status.updatedReplicas|0 status.availableReplicas|0 age @spec.template.spec ?spec.selector|
DeviceClass: age
EndpointSlice: addressType !slice-ports !slice-endpoints age
Endpoints: !endpoints age
FlowSchema: spec.priorityLevelConfiguration.name spec.matchingPrecedence|0 spec.distinguisherMethod.type|<none> age !dangling
HorizontalPodAutoscaler: !scaled !metrics spec.minReplicas|<unset> spec.maxReplicas|0 status.currentReplicas|0 age
IPAddress: !parent
Ingress: spec.ingressClassName|<none> !hosts !addresses !tls-ports age
IngressClass: spec.controller !parameters age
Job: !job-status !completions !job-duration age @spec.template.spec ?spec.selector
Lease: spec.holderIdentity age
MutatingWebhookConfiguration: #webhooks age
Namespace: status.phase age
NetworkPolicy: ?spec.podSelector age
Node: !node-status !roles age status.nodeInfo.kubeletVersion !internal-node-ip !external-node-ip
 status.nodeInfo.osImage|<unknown> !kernel status.nodeInfo.containerRuntimeVersion|<unknown>
PersistentVolume: spec.capacity.storage|0 !modes spec.persistentVolumeReclaimPolicy !phase !claim !claim-class
 spec.volumeAttributesClassName|<unset> status.reason age spec.volumeMode|<unset>
PersistentVolumeClaim: !phase spec.volumeName !claim-size !claim-modes !claim-class spec.volumeAttributesClassName|<unset> age
 spec.volumeMode|<unset>
PodDisruptionBudget: spec.minAvailable|N/A spec.maxUnavailable|N/A status.disruptionsAllowed|0 age
PodTemplate: @template.spec =template.metadata.labels
PriorityClass: value|0 globalDefault|false age preemptionPolicy
PriorityLevelConfiguration: spec.type spec.limited.nominalConcurrencyShares|<none>
 spec.limited.limitResponse.queuing.queues|<none> spec.limited.limitResponse.queuing.handSize|<none>
 spec.limited.limitResponse.queuing.queueLengthLimit|<none> age
ReplicaSet: spec.replicas|0 status.replicas|0 status.readyReplicas|0 age @spec.template.spec ?spec.selector
ReplicationController: spec.replicas|0 status.replicas|0 status.readyReplicas|0 age @spec.template.spec =spec.selector
ResourceClaim: !claim-state age
ResourceClaimTemplate: age
ResourceQuota: !requests !limits age
ResourceSlice: spec.nodeName spec.driver spec.pool.name age
RoleBinding: !role age !users !groups !service-accounts
RuntimeClass: handler age
Secret: type #data age
Service: spec.type !cluster-ip !external-ip !ports age =spec.selector
ServiceAccount: age
ServiceCIDR: *spec.cidrs
StatefulSet: !ready age @spec.template.spec
StorageClass: provisioner reclaimPolicy|Delete volumeBindingMode|Immediate allowVolumeExpansion|false age
ValidatingWebhookConfiguration: #webhooks age
VolumeAttachment: spec.attacher spec.source.persistentVolumeName spec.nodeName status.attached|false age
VolumeAttributesClass: driverName age
"""
# Columns of type string whose values are not.
_AS_TEXT = {"spec.minReplicas", "spec.suspend", "spec.minAvailable", "spec.maxUnavailable"}
_DEFAULTS: Mapping[str, Any] = {"0": 0, "false": False, "true": True}


def built_in_cells(kind: str, obj: Mapping[str, Any]) -> list[Any] | None:
    """Returns the cells of an object.

    Args:
        kind: the object's kind.
        obj: the object in the form in which it is stored.

    Returns:
        The cells, or None for a kind without cells of its own.
    """
    if kind == "Event":
        return event_cells(obj)
    name = obj["metadata"].get("name", "")
    if kind == "Pod":
        return [name, *pod_cells(obj)]
    cells = _cells().get(kind)
    return None if cells is None else [name, *(cell(obj) for cell in cells)]


@cache
def _cells() -> dict[str, tuple[Cell, ...]]:
    lines = _TABLE.strip().replace("\n ", " ").splitlines()
    kinds = (line.partition(": ") for line in lines)
    return {kind: tuple(cell for text in texts.split() for cell in _parsed(text)) for kind, _, texts in kinds}


def _parsed(text: str) -> list[Cell]:
    """Returns the cells that a word of the table stands for."""
    if text == "age":
        return [age]
    sign, rest = text[0], text[1:]
    path, has_default, default = rest.partition("|")
    signs: Mapping[str, Callable[[], list[Cell]]] = {
        "!": lambda: [CELLS[rest]],
        "#": lambda: [count(*rest.split("+"))],
        "=": lambda: [labels(rest)],
        "?": lambda: [selector(path, default if has_default else "<none>")],
        "@": lambda: [joined(f"{rest}.containers", "name"), joined(f"{rest}.containers", "image")],
        "~": lambda: [since(path, default)],
        "*": lambda: [joined(path, default=default)],
    }
    return signs[sign]() if sign in signs else [_path_cell(text)]


def _path_cell(text: str) -> Cell:
    path, _, default = text.partition("|")
    cell = at(path, _DEFAULTS.get(default, default))
    return (lambda obj: str(cell(obj))) if path in _AS_TEXT else cell

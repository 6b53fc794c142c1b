"""The cells of a pod.

Source: kubernetes pkg/printers/internalversion/printers.go, printPod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.testing.tables.cells import age, at, value_at

__all__ = ["pod_cells", "pod_conditions"]

_Obj = Mapping[str, Any]


def pod_cells(pod: _Obj) -> list[Any]:
    """Returns the cells of a pod after its name."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    before, containers = (status.get(f"{name}Statuses") or () for name in ("initContainer", "container"))
    starting = _init_reason(spec, status)
    ready = [each for each in containers if each.get("ready") and value_at(each, "state.running") is not None]
    restarts = sum(each.get("restartCount") or 0 for each in (before if starting else containers))
    ends = status.get("phase") not in ("Succeeded", "Failed") and "deletionTimestamp" in pod["metadata"]
    return [
        f"{0 if starting else len(ready)}/{len(spec.get('containers') or ())}",
        "Terminating" if ends else starting or _reason(status),
        str(restarts),
        age(pod),
        next((each.get("ip") for each in status.get("podIPs") or ()), "") or "<none>",
        at("spec.nodeName", "<none>")(pod),
        at("status.nominatedNodeName", "<none>")(pod),
        "<none>",  # readiness gates
    ]


def pod_conditions(pod: _Obj) -> list[dict[str, str]]:
    """Returns the conditions of a pod's row: whether the pod has completed."""
    phase = value_at(pod, "status.phase")
    messages = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    if phase not in messages:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": messages[phase]}]


def _init_reason(spec: _Obj, status: _Obj) -> str:
    """Returns why a pod's own containers do not run yet; "" once its init containers have ended."""
    for i, container in enumerate(status.get("initContainerStatuses") or ()):
        ended, waiting = value_at(container, "state.terminated"), value_at(container, "state.waiting.reason")
        if ended is not None and ended.get("exitCode"):
            return f"Init:{_ended(ended)}"
        if ended is None and not _is_true(status, "Initialized"):
            total = len(spec.get("initContainers") or ())
            return f"Init:{waiting if waiting and waiting != 'PodInitializing' else f'{i}/{total}'}"
    return ""


def _reason(status: _Obj) -> str:
    conditions = status.get("conditions") or ()
    gated = any((each.get("type"), each.get("reason")) == ("PodScheduled", "SchedulingGated") for each in conditions)
    reason = "SchedulingGated" if gated else status.get("reason") or status.get("phase") or ""
    failure, running = "", False
    for container in reversed(status.get("containerStatuses") or ()):
        ended, waiting = value_at(container, "state.terminated"), value_at(container, "state.waiting.reason")
        if waiting:
            reason = waiting
        elif ended is not None:
            reason = _ended(ended)
            failure = reason if ended.get("exitCode") else failure
        elif container.get("ready"):
            running = True
    if reason != "Completed":
        return str(reason)
    return "Running" if running and _is_true(status, "Ready") else failure or ("NotReady" if running else reason)


def _ended(ended: _Obj) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _is_true(status: _Obj, type: str) -> bool:
    return any(each.get("type") == type and each.get("status") == "True" for each in status.get("conditions") or ())

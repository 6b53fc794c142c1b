"""The cells of a pod.

Source: kubernetes pkg/printers/internalversion/printers.go, printPod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from informer.testing.tables.cells import age, at, human_duration, seconds_since, value_at

__all__ = ["pod_cells", "pod_conditions"]

_Obj = Mapping[str, Any]


class _Containers(NamedTuple):
    """The state of a pod's containers."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""


def pod_cells(pod: _Obj) -> list[Any]:
    """Returns the cells of a pod after its name."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {each["name"] for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"}
    state = _state(spec, status, sidecars)
    restarts = str(state.restarts)
    if state.restarts and state.last_restart:
        restarts = f"{state.restarts} ({human_duration(seconds_since(state.last_restart))} ago)"
    total = len(spec.get("containers") or ()) + len(sidecars)
    ends = status.get("phase") not in ("Succeeded", "Failed") and "deletionTimestamp" in pod["metadata"]
    return [
        f"{state.ready}/{total}",
        "Terminating" if ends else state.reason,
        restarts,
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


def _state(spec: _Obj, status: _Obj, sidecars: set[str]) -> _Containers:
    reason = status.get("reason") or status.get("phase") or ""
    if any(
        each.get("type") == "PodScheduled" and each.get("reason") == "SchedulingGated"
        for each in status.get("conditions") or ()
    ):
        reason = "SchedulingGated"
    started, initializing = _init_state(spec, status, sidecars, reason)
    if initializing and not _is_true(status, "Initialized"):
        return started
    own = [each for each in status.get("initContainerStatuses") or () if each.get("name") in sidecars]
    return _main_state(status, started._replace(**_restarts(own)))


def _init_state(spec: _Obj, status: _Obj, sidecars: set[str], reason: str) -> tuple[_Containers, bool]:
    """Returns the state while a pod's init containers run, and whether they do."""
    ready = 0
    seen: list[_Obj] = []
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        seen.append(container)
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), (state.get("waiting") or {}).get("reason")
        if ended is not None and not ended.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        if ended is not None:
            shown = _ended(ended)
        else:
            total = len(spec.get("initContainers") or ())
            shown = waiting if waiting and waiting != "PodInitializing" else f"{index}/{total}"
        return _Containers(f"Init:{shown}", ready, **_restarts(seen)), True
    return _Containers(reason, ready), False


def _main_state(status: _Obj, before: _Containers) -> _Containers:
    containers = list(status.get("containerStatuses") or ())
    reason, failure, ready, running = before.reason, "", before.ready, False
    for container in reversed(containers):
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), (state.get("waiting") or {}).get("reason")
        if waiting:
            reason = waiting
        elif ended is not None:
            reason = _ended(ended)
            failure = reason if ended.get("exitCode") else failure
        elif container.get("ready") and "running" in state:
            running = True
            ready += 1
    if reason == "Completed":
        healthy = running and _is_true(status, "Ready")
        reason = "Running" if healthy else failure or ("NotReady" if running else reason)
    own = _restarts(containers)
    last = max(before.last_restart, own["last_restart"])
    return _Containers(reason, ready, before.restarts + own["restarts"], last)


def _restarts(containers: list[_Obj]) -> dict[str, Any]:
    ends = [value_at(each, "lastState.terminated.finishedAt") or "" for each in containers]
    total = sum(int(each.get("restartCount") or 0) for each in containers)
    return {"restarts": total, "last_restart": max(ends, default="")}


def _ended(ended: _Obj) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _is_true(status: _Obj, type: str) -> bool:
    return any(each.get("type") == type and each.get("status") == "True" for each in status.get("conditions") or ())

"""Pods in every state that a table shows."""

from __future__ import annotations

from typing import Any

__all__ = ["CONTAINERS", "PODS", "TIME"]

TIME = "2020-01-01T00:00:00Z"
CONTAINERS = [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]


def _pod(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": CONTAINERS, **spec}, "status": status}


def _container(name: str, restarts: int = 0, *, ready: bool = False, **state: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": "i",
        "imageID": "",
        "ready": ready,
        "restartCount": restarts,
        "state": state,
    }


def _ended(code: int = 0, **more: Any) -> dict[str, Any]:
    return {"exitCode": code, "finishedAt": TIME, **more}


_RUNNING = {"startedAt": TIME}
_INIT = [{"name": "i", "image": "i"}, {"name": "s", "image": "i"}]
_READY = [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]
PODS: dict[str, dict[str, Any]] = {
    "pending": _pod({"phase": "Pending"}),
    "running": _pod(
        {
            "phase": "Running",
            "podIPs": [{"ip": "10.0.0.1"}],
            "podIP": "10.0.0.1",
            "conditions": _READY,
            "containerStatuses": [
                _container("c", 2, ready=True, running=_RUNNING),
                _container("d", 1, ready=True, running=_RUNNING),
            ],
        },
        nodeName="n",
    ),
    "crashing": _pod(
        {"phase": "Running", "containerStatuses": [_container("c", 3, waiting={"reason": "CrashLoopBackOff"})]}
    ),
    "succeeded": _pod(
        {"phase": "Succeeded", "containerStatuses": [_container("c", terminated=_ended(reason="Completed"))]}
    ),
    "failed": _pod({"phase": "Failed", "reason": "Evicted"}),
    "exited": _pod({"phase": "Failed", "containerStatuses": [_container("c", terminated=_ended(3))]}),
    "killed": _pod({"phase": "Failed", "containerStatuses": [_container("c", terminated=_ended(0, signal=9))]}),
    "half": _pod(
        {
            "phase": "Running",
            "containerStatuses": [
                _container("c", terminated=_ended(reason="Completed")),
                _container("d", ready=True, running=_RUNNING),
            ],
        }
    ),
    "init-waits": _pod(
        {
            "phase": "Pending",
            "initContainerStatuses": [_container("i", 1, waiting={"reason": "ImagePullBackOff"}), _container("s")],
        },
        initContainers=_INIT,
    ),
    "init-fails": _pod(
        {"phase": "Pending", "initContainerStatuses": [_container("i", 1, terminated=_ended(2))]},
        initContainers=_INIT,
    ),
    "init-runs": _pod(
        {"phase": "Pending", "initContainerStatuses": [_container("i", running=_RUNNING)]}, initContainers=_INIT
    ),
    "gated": _pod(
        {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}
    ),
}

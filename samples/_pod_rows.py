"""The columns of `kubectl get pods`, computed from the few fields that they need."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from informer import Object
from watch.printable import printable

HEADINGS = ("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "NODE")
WIDE_HEADINGS = (*HEADINGS, "IP", "IMAGES")
MAX_CELL = 253  # characters: the longest name


class Reason(msgspec.Struct):
    reason: str = ""
    exitCode: int = 0
    signal: int = 0


class ContainerState(msgspec.Struct):
    waiting: Reason | None = None
    running: dict[str, object] | None = None
    terminated: Reason | None = None


class ContainerStatus(msgspec.Struct):
    ready: bool = False
    restartCount: int = 0
    state: ContainerState = msgspec.field(default_factory=ContainerState)


class Container(msgspec.Struct):
    image: str = ""


class Spec(msgspec.Struct):
    nodeName: str = ""
    containers: list[Container] | None = None
    initContainers: list[Container] | None = None


class Status(msgspec.Struct):
    phase: str = "Unknown"
    reason: str = ""
    podIP: str = ""
    containerStatuses: list[ContainerStatus] | None = None
    initContainerStatuses: list[ContainerStatus] | None = None


class Pod(msgspec.Struct):
    spec: Spec = msgspec.field(default_factory=Spec)
    status: Status = msgspec.field(default_factory=Status)


def row(pod: Object, now: datetime) -> tuple[str, ...]:
    """Returns the cells of `WIDE_HEADINGS` for one pod."""
    try:
        seen = pod.view(Pod)
    except msgspec.ValidationError:
        # A pod that does not fit the structs still gets a line, with its name.
        seen = Pod()
    statuses = seen.status.containerStatuses or []
    containers = seen.spec.containers or []
    cells = (
        pod.namespace,
        pod.name,
        f"{sum(status.ready for status in statuses)}/{len(containers) or len(statuses)}",
        "Terminating" if pod.deletion_timestamp else _status(seen),
        str(sum(status.restartCount for status in statuses)),
        age(pod.creation_timestamp, now),
        seen.spec.nodeName or "<none>",
        seen.status.podIP or "<none>",
        ",".join(container.image for container in containers) or "<none>",
    )
    # Tenants choose images and the like: these must not control the terminal.
    return tuple(printable(cell, MAX_CELL) for cell in cells)


def _status(pod: Pod) -> str:
    """Returns the most telling reason, or else the phase, as kubectl does."""
    for number, status in enumerate(pod.status.initContainerStatuses or []):
        done = status.state.terminated
        if done is not None and done.exitCode == 0:
            continue
        if done is not None:
            return f"Init:{_reason_of(done)}"
        waiting = status.state.waiting
        if waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
            return f"Init:{waiting.reason}"
        return f"Init:{number}/{len(pod.spec.initContainers or [])}"
    for status in reversed(pod.status.containerStatuses or []):
        if status.state.waiting is not None and status.state.waiting.reason:
            return status.state.waiting.reason
        if status.state.terminated is not None:
            return _reason_of(status.state.terminated)
    return pod.status.reason or pod.status.phase


def _reason_of(terminated: Reason) -> str:
    if terminated.reason:
        return terminated.reason
    return f"Signal:{terminated.signal}" if terminated.signal else f"ExitCode:{terminated.exitCode}"


def age(since: datetime | None, now: datetime) -> str:
    """Returns the time since a moment in kubectl's short form."""
    if since is None:
        return "<unknown>"
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < 120:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y"


def utc_now() -> datetime:
    """Returns the current time, which can be compared with an object's timestamps."""
    return datetime.now(UTC)

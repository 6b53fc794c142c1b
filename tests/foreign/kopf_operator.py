"""An operator made with kopf: it writes into a ConfigMap what it has seen of it."""

from __future__ import annotations

from typing import Any

import kopf


@kopf.on.create("configmaps", labels={"app": "foreign"})
def created(patch: kopf.Patch, **_: Any) -> None:
    patch.setdefault("data", {})["seen"] = "created"


@kopf.on.update("configmaps", labels={"app": "foreign"}, field="data.size")
def changed(old: Any, new: Any, patch: kopf.Patch, **_: Any) -> None:
    patch.setdefault("data", {})["seen"] = f"{old} to {new}"


@kopf.on.delete("configmaps", labels={"app": "foreign"})
def deleted(**_: Any) -> None:
    """Its existence has kopf add a finalizer."""

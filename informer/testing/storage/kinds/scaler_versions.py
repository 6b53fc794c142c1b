"""The version v1 of a HorizontalPodAutoscaler, which is stored as v2.

Source: kubernetes pkg/apis/autoscaling/v1/conversion.go. The annotations in which v1 keeps other metrics and the behavior are
not made: a client that writes v1 over an object with them loses them.
"""

from __future__ import annotations

from typing import Any

__all__ = ["scaler_from_v2", "scaler_to_v2"]

_TARGET = "targetCPUUtilizationPercentage"
_CURRENT = "currentCPUUtilizationPercentage"


def scaler_to_v2(obj: dict[str, Any]) -> dict[str, Any]:
    """Returns an object of v1 with the fields of v2."""
    spec = obj.get("spec")
    if not isinstance(spec, dict) or _TARGET not in spec:
        return obj
    kept = {name: value for name, value in spec.items() if name != _TARGET}
    target = {"type": "Utilization", "averageUtilization": spec[_TARGET]}
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    return {**obj, "spec": {**kept, "metrics": metrics} if spec[_TARGET] is not None else kept}


def scaler_from_v2(obj: dict[str, Any]) -> dict[str, Any]:
    """Returns an object of v2 with the fields of v1."""
    shown = dict(obj)
    if isinstance(obj.get("spec"), dict):
        spec = {name: value for name, value in obj["spec"].items() if name not in ("metrics", "behavior")}
        for metric in obj["spec"].get("metrics") or ():
            resource = metric.get("resource") or {}
            percentage = (resource.get("target") or {}).get("averageUtilization")
            if resource.get("name") == "cpu" and percentage is not None:
                spec[_TARGET] = percentage
        shown["spec"] = spec
    if isinstance(obj.get("status"), dict):
        status = {name: value for name, value in obj["status"].items() if name not in ("currentMetrics", "conditions")}
        shown["status"] = {"currentReplicas": 0, "desiredReplicas": 0, **status}
    return shown

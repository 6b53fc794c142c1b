"""The metrics of an autoscaler, each with its current value and its target.

Source: kubernetes pkg/printers/internalversion/printers.go, formatHPAMetrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from informer.testing.tables.cells import value_at

__all__ = ["metrics"]

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

"""Sets the defaults of built-in kinds: what the table leaves to functions, and what admission plugins of every cluster add.

Source: kubernetes pkg/apis/*/v1/defaults.go, and the admission plugin DefaultTolerationSeconds.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import Any

from informer.testing.storage.kinds.quantities import canonical_values
from informer.testing.storage.kinds.tables import rules_in, set_defaults_by
from informer.testing.storage.system_fields import label_with_name

__all__ = ["containers_of", "set_defaults", "tolerate_lost_nodes"]

_Object = dict[str, Any]
_LIFETIMES = [
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for state in ("not-ready", "unreachable")
]
_CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}


def set_defaults(resource: str, obj: _Object) -> None:
    """Sets the missing fields of an object of a resource such as "deployments.apps".

    Raises:
        ApiError: 400, a quantity is malformed.
    """
    rules = rules_in("defaults.yaml", _leaf).get(resource)
    if rules is not None:
        set_defaults_by(rules, obj)


def containers_of(spec: _Object) -> list[_Object]:
    """Returns the containers of a pod, the initial ones first."""
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _leaf(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("<"):
        return value
    name, *arguments = value.strip("<>").split()
    return functools.partial(_FUNCTIONS[name], *arguments) if arguments else _FUNCTIONS[name]


def _pull_policy(container: _Object) -> str:
    name, _, digest = str(container.get("image") or "").partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or (not tag and not digest) else "IfNotPresent"


def _volume(volume: _Object) -> None:
    if not volume.keys() - {"name"}:
        volume["emptyDir"] = {}


def _pod_spec(spec: _Object) -> None:
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account


def _pod(spec: _Object) -> None:
    for container in containers_of(spec):
        if limits := container["resources"].get("limits"):
            container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}


def tolerate_lost_nodes(spec: _Object) -> None:
    """Lets a pod stay for five minutes on a node that is lost, as an admission plugin does."""
    tolerations = spec.get("tolerations") or ()
    covered = [each.get("key") for each in tolerations if each.get("effect") in ("NoExecute", None, "")]
    added = _LIFETIMES
    if covered:
        added = [each for each in _LIFETIMES if not {each["key"], None, ""}.intersection(covered)]
    spec["tolerations"] = [*tolerations, *added]


def _old_controller(controller: _Object) -> None:
    """Gives a ReplicationController the labels of its template, as only this old kind has it."""
    labels = ((controller["spec"].get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        controller["spec"].setdefault("selector", labels)
        controller["metadata"].setdefault("labels", labels)


def _namespace(namespace: _Object) -> None:
    if namespace["metadata"].get("name"):
        label_with_name(namespace["metadata"])


def _service(spec: _Object) -> None:
    if spec["sessionAffinity"] == "ClientIP":
        given = spec.get("sessionAffinityConfig") or {}
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}, **given}
    else:
        spec.pop("sessionAffinityConfig", None)
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")


def _target_port(port: _Object) -> None:
    if port.get("targetPort") in (None, "", 0):
        port["targetPort"] = port.get("port")


def _string_data(secret: _Object) -> None:
    texts = secret.pop("stringData", None)
    if isinstance(texts, dict):
        encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def _rolling(first: str, second: str, strategy: _Object) -> None:
    """Sets the defaults of a rolling update, which are given as "maxSurge=25%"."""
    if strategy.get("type") == "RollingUpdate":
        pairs = (pair.split("=") for pair in (first, second))
        made = {key: int(text) if text.isdigit() else text for key, text in pairs}
        strategy["rollingUpdate"] = {**made, **(strategy.get("rollingUpdate") or {})}


def _job(spec: _Object) -> None:
    if spec.get("parallelism") is None and spec.get("completions") is None:
        spec["completions"] = 1
    if spec.get("parallelism") is None:
        spec["parallelism"] = 1
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "empty": lambda _: "",
    "job": _job,
    "life_cycle": lambda _: ["Persistent"],
    "metrics": lambda _: [_CPU],
    "namespace": _namespace,
    "old_controller": _old_controller,
    "pod": _pod,
    "pod_spec": _pod_spec,
    "policy_types": lambda spec: ["Ingress", "Egress"] if spec.get("egress") is not None else ["Ingress"],
    "pull_policy": _pull_policy,
    "quantities": canonical_values,
    "rolling": _rolling,
    "rules": lambda role: role.setdefault("rules", None),
    "service": _service,
    "slice": lambda part: part.update({name: part.get(name) for name in ("endpoints", "ports")}),
    "string_data": _string_data,
    "subject_group": lambda each: "rbac.authorization.k8s.io" if each.get("kind") in ("User", "Group") else None,
    "target_port": _target_port,
    "volume": _volume,
}

"""Validates objects of built-in kinds: what the table of rules leaves to functions.

Source: kubernetes pkg/apis/*/validation/validation.go. The messages are those of kube-apiserver 1.37.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from informer.testing.storage.kinds.checks import (
    FIELD_CHECKS,
    check_named,
    required,
    selector_causes,
    selects,
)
from informer.testing.storage.kinds.quantities import value_of
from informer.testing.storage.kinds.tables import causes_by, rules_in
from informer.testing.storage.name_rules import annotation_causes, label_causes
from informer.testing.storage.statuses import Cause, shown

__all__ = ["causes_of"]

_Object = Mapping[str, Any]
_MOST_BYTES = 1 << 20
_METRICS = ("ContainerResource", "External", "Object", "Pods", "Resource")
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def causes_of(resource: str, obj: _Object) -> list[Cause]:
    """Returns what is not valid in an object of a resource such as "deployments.apps", besides its metadata."""
    rules = rules_in("rules.yaml", _leaf).get(resource)
    return [] if rules is None else causes_by(rules, obj)


def _leaf(text: Any) -> Any:
    return check_named(text, {**FIELD_CHECKS, **_FUNCTIONS})


def _unique(obj: _Object, path: str, key: str, *lists: str) -> list[Cause]:
    causes, seen = [], set()
    for name in lists:
        for i, each in enumerate(obj.get(name) or ()):
            value = each.get(key)
            if value and value in seen:
                causes.append(Cause.duplicate(f"{path}{name}[{i}].{key}", shown(value)))
            seen.add(value)
    return causes


def _some_of(obj: _Object, path: str, *names: str) -> list[Cause]:
    """An object has none of some fields; the last argument is the message."""
    *fields, message = names
    is_set = any(obj.get(name) not in (None, "", 0, []) for name in fields)
    return [] if is_set else [Cause.required(path[:-1], message)]


def _any_of(obj: _Object, path: str, *names: str) -> list[Cause]:
    """Like `_some_of`; the object itself is not valid."""
    return [Cause.bad(path[:-1], '""', names[-1])] if _some_of(obj, path, *names) else []


def _single(obj: _Object, path: str, *names: str) -> list[Cause]:
    """An object has more than one of some fields; the last argument says what they are."""
    *fields, what = names
    given = [name for name in fields if obj.get(name) is not None]
    return [Cause.forbidden(path + name, f"may not specify more than 1 {what}") for name in given[1:]]


def _types(strategy: _Object, path: str, *supported: str) -> list[Cause]:
    given = str(strategy.get("type") or "")
    return [] if given in supported else [Cause.unsupported(path[:-1], given, supported)]


def _not_both(obj: _Object, path: str, name: str, other: str) -> list[Cause]:
    if not obj.get(name) or obj.get(other) is None:
        return []
    return [Cause.bad(f"{path}{other}", '""', f"may not be specified when `{name}` is not empty")]


def _resources(resources: _Object, path: str) -> list[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    causes = [
        Cause.bad(f"{path}{name}[{key}]", shown(text), "must be greater than or equal to 0")
        for name, values in (("limits", limits), ("requests", requests))
        for key, text in values.items()
        if value_of(text) < 0
    ]
    for key in sorted(requests.keys() & limits.keys()):
        if value_of(requests[key]) > value_of(limits[key]):
            message = f"must be less than or equal to {key} limit of {limits[key]}"
            causes.append(Cause.bad(f"{path}requests", shown(requests[key]), message))
    return causes


def _volume(volume: _Object, path: str) -> list[Cause]:
    # The real server goes through the sources in an order of its own, in which emptyDir is the first.
    sources = sorted((k for k, v in volume.items() if k != "name" and v is not None), key=lambda k: k != "emptyDir")
    return [Cause.forbidden(f"{path}{name}", "may not specify more than 1 volume type") for name in sources[1:]]


def _mounts(spec: _Object, path: str) -> list[Cause]:
    known = {each.get("name") for each in spec.get("volumes") or ()}
    return [
        Cause.not_found(f"{path}{name}[{i}].volumeMounts[{k}].name", shown(mount.get("name") or ""))
        for name in ("containers", "initContainers")
        for i, container in enumerate(spec.get(name) or ())
        for k, mount in enumerate(container.get("volumeMounts") or ())
        if mount.get("name") not in known
    ]


def _toleration(toleration: _Object, path: str) -> list[Cause]:
    if toleration.get("operator") == "Exists" and toleration.get("value"):
        message = "value must be empty when `operator` is 'Exists'"
        return [Cause.bad(f"{path}operator", shown(toleration["value"]), message)]
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        message = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        return [Cause.bad(f"{path}effect", shown(toleration.get("effect") or ""), message)]
    return []


def _template_metadata(template: _Object, path: str) -> list[Cause]:
    metadata = template.get("metadata") or {}
    return label_causes(metadata.get("labels") or {}, f"{path}labels") + annotation_causes(
        metadata.get("annotations") or (), f"{path}annotations"
    )


def _event_namespace(event: _Object, _path: str) -> list[Cause]:
    """An event about an object without a namespace belongs into the namespace default, any other beside its object."""
    namespace = (event.get("involvedObject") or {}).get("namespace") or ""
    if (event.get("metadata") or {}).get("namespace") == (namespace or "default"):
        return []
    return [Cause.bad("involvedObject.namespace", shown(namespace), "does not match event.namespace")]


def _budget(spec: _Object, path: str) -> list[Cause]:
    if spec.get("minAvailable") is None or spec.get("maxUnavailable") is None:
        return []
    return [Cause.bad(path[:-1], shown(spec), "minAvailable and maxUnavailable cannot be both set")]


def _metric(metric: _Object, path: str) -> list[Cause]:
    kind = str(metric.get("type") or "")
    if kind not in _METRICS:
        return [Cause.unsupported(f"{path}type", kind, _METRICS)]
    name = kind[0].lower() + kind[1:]
    return required(metric.get(name), path + name, "must populate information for the given metric source")


def _mount_paths(container: _Object, path: str) -> list[Cause]:
    paths = [mount.get("mountPath") for mount in container.get("volumeMounts") or ()]
    return [
        Cause.bad(f"{path}volumeMounts[{i}].mountPath", shown(each), "must be unique")
        for i, each in enumerate(paths)
        if each and each in paths[:i]
    ]


def _job_selector(spec: _Object, path: str) -> list[Cause]:
    selector = spec.get("selector") or {}
    if spec.get("manualSelector"):
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
        return _mismatch(selector, labels, path)
    generated = (selector.get("matchLabels") or {}).keys() <= {"batch.kubernetes.io/controller-uid"}
    return [] if generated else [Cause.bad(f"{path}selector", shown(selector), "`selector` not auto-generated")]


def _not_always(policy: Any, path: str) -> list[Cause]:
    return [Cause.required(path, 'valid values: "OnFailure", "Never"')] if policy in ("Always", None) else []


def _selector(spec: _Object, path: str, kind: str) -> list[Cause]:
    selector, labels = spec.get("selector"), ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if selector is None and kind != "daemonset":
        return [Cause.required(f"{path}selector", ""), *_mismatch({"matchLabels": {"": ""}}, labels, path)]
    if selector is not None and not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return [Cause.bad(f"{path}selector", shown(selector), f"empty selector is invalid for {kind}")]
    found = selector_causes(selector or {}, f"{path}selector")
    return found or _mismatch(selector or {"matchLabels": {"": ""}}, labels, path)


def _mismatch(selector: _Object, labels: Any, path: str) -> list[Cause]:
    if selects(selector, labels or {}):
        return []
    message = "`selector` does not match template `labels`"
    return [Cause.bad(f"{path}template.metadata.labels", shown(labels or None), message)]


def _surge(strategy: _Object, path: str) -> list[Cause]:
    rolling, zero = strategy.get("rollingUpdate"), (0, "0%")
    if strategy.get("type") == "Recreate" and rolling is not None:
        message = "may not be specified when strategy `type` is 'Recreate'"
        return [Cause.forbidden(f"{path}rollingUpdate", message)]
    if rolling and rolling.get("maxSurge") in zero and rolling.get("maxUnavailable") in zero:
        value = shown(rolling["maxUnavailable"])
        return [Cause.bad(f"{path}rollingUpdate.maxUnavailable", value, "may not be 0 when `maxSurge` is 0")]
    return []


def _service(spec: _Object, path: str) -> list[Cause]:
    kind, ports = spec.get("type"), spec.get("ports") or []
    causes: list[Cause] = []
    if not ports and spec.get("clusterIP") != "None" and kind != "ExternalName":
        causes.append(Cause.required(f"{path}ports", ""))
    if kind == "ExternalName":
        causes += required(spec.get("externalName"), f"{path}externalName")
    for i, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            causes.append(Cause.required(f"{path}ports[{i}].name", ""))
        if kind == "ClusterIP" and port.get("nodePort"):
            message = "may not be used when `type` is 'ClusterIP'"
            causes.append(Cause.forbidden(f"{path}ports[{i}].nodePort", message))
        if (port.get("protocol"), port.get("port")) in [(each.get("protocol"), each.get("port")) for each in ports[:i]]:
            causes.append(Cause.duplicate(f"{path}ports[{i}]", shown({**port, "name": ""})))
    if kind == "ClusterIP" and spec.get("externalTrafficPolicy") and not spec.get("externalIPs"):
        message = "may only be set for externally-accessible services"
        causes.append(Cause.bad(f"{path}externalTrafficPolicy", shown(spec["externalTrafficPolicy"]), message))
    if kind in ("NodePort", "LoadBalancer") and spec.get("clusterIP") == "None":
        causes.append(Cause.bad(f"{path}clusterIPs[0]", '"None"', f"may not be set to 'None' for {kind} services"))
    return causes + _unique(spec, path, "name", "ports")


def _policy_rule(rule: _Object, path: str, scope: str = "") -> list[Cause]:
    if rule.get("nonResourceURLs"):
        message = "rules cannot apply to both regular resources and non-resource URLs"
        if scope == "namespaced":
            message = "namespaced rules cannot apply to non-resource URLs"
        elif not (rule.get("apiGroups") or rule.get("resources")):
            return []
        return [Cause.bad(f"{path}nonResourceURLs", shown(rule["nonResourceURLs"]), message)]
    fields, message = (("apiGroups", "api group"), ("resources", "resource")), "resource rules must supply at least one"
    return [cause for name, what in fields for cause in required(rule.get(name), path + name, f"{message} {what}")]


def _account_namespace(subject: _Object, path: str) -> list[Cause]:
    return required(subject.get("namespace"), f"{path}namespace") if subject.get("kind") == "ServiceAccount" else []


def _claim(spec: _Object, path: str) -> list[Cause]:
    storage, at = ((spec.get("resources") or {}).get("requests") or {}).get("storage"), f"{path}resources[storage]"
    if storage is None:
        return [Cause.required(at, "")]
    return [] if value_of(storage) > 0 else [Cause.bad(at, shown(storage), "must be greater than zero")]


def _http_path(path_rule: _Object, path: str) -> list[Cause]:
    value = path_rule.get("path") or ""
    if path_rule.get("pathType") not in ("Exact", "Prefix") or value.startswith("/"):
        return []
    return [Cause.bad(f"{path}path", shown(value), "must be an absolute path")]


def _alone(values: Any, path: str, what: str) -> list[Cause]:
    if len(values or ()) < 2 or "*" not in values:
        return []
    return [Cause.bad(path, shown(values), f"if '*' is present, must not specify other {what}")]


def _exactly_one(obj: _Object, path: str, name: str, other: str) -> list[Cause]:
    if (obj.get(name) is None) != (obj.get(other) is None):
        return []
    return [Cause.required(path[:-1], f"exactly one of {name} or {other} is required")]


def _review_versions(versions: list[str], path: str) -> list[Cause]:
    message = "must include at least one of v1, v1beta1"
    return [] if {"v1", "v1beta1"}.intersection(versions) else [Cause.bad(path, shown(versions), message)]


def _scaler(spec: _Object, path: str) -> list[Cause]:
    lowest, highest = spec.get("minReplicas") or 0, spec.get("maxReplicas") or 0
    if lowest <= highest:
        return []
    return [Cause.bad(f"{path}maxReplicas", shown(highest), "must be greater than or equal to `minReplicas`")]


def _config_map(obj: _Object, path: str) -> list[Cause]:
    texts, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    message = "duplicate of key present in binaryData"
    causes = [Cause.bad(f"{path}data[{key}]", shown(key), message) for key in sorted(texts.keys() & binary.keys())]
    size = sum(len(str(text).encode()) for text in texts.values()) + _decoded_size(binary)
    return causes + _size_causes(size, "[]")


def _secret(obj: _Object, path: str) -> list[Cause]:
    data = obj.get("data") or {}
    missing = [key for key in _NEEDED.get(str(obj.get("type")), ()) if key not in data]
    causes = _size_causes(_decoded_size(data), f"{path}data")
    return causes + [Cause.required(f"{path}data[{key}]", "") for key in missing]


def _size_causes(size: int, path: str) -> list[Cause]:
    message = f"Too long: may not be more than {_MOST_BYTES} bytes"
    return [] if size <= _MOST_BYTES else [Cause("FieldValueTooLong", message, path)]


def _decoded_size(data: Mapping[str, Any]) -> int:
    return sum(len(str(text or "").rstrip("=")) * 3 // 4 for text in data.values())


_FUNCTIONS: dict[str, Callable[..., list[Cause]]] = {
    function.__name__.lstrip("_"): function
    for function in (
        _account_namespace, _alone, _any_of, _budget, _claim, _config_map, _event_namespace, _exactly_one, _http_path,
        _job_selector, _metric, _mount_paths, _mounts, _not_always, _not_both, _policy_rule, _resources, _review_versions,
        _scaler, _secret, _selector, _service, _single, _some_of, _surge, _template_metadata, _toleration, _types, _unique,
        _volume, selector_causes,
    )
}  # fmt: skip
"""Functions by the names by which the table calls them."""

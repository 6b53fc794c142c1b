"""Validates objects of built-in kinds: what the table of rules leaves to functions.

Source: kubernetes pkg/apis/*/validation/validation.go. The messages are those of kube-apiserver 1.37.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from informer.testing.storage.kinds.checks import (
    FIELD_CHECKS,
    check_named,
    label_keys,
    required,
    selector_causes,
    selects,
)
from informer.testing.storage.kinds.quantities import value_of
from informer.testing.storage.kinds.tables import causes_by, rules_in
from informer.testing.storage.statuses import Cause, shown

__all__ = ["causes_of"]

_Object = Mapping[str, Any]
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_VOLUME_FIELDS = {"secret": "secretName", "configMap": "name", "persistentVolumeClaim": "claimName", "hostPath": "path"}
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_WEBHOOK_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?){2,}\Z")
_NO_MATCH = "`selector` does not match template `labels`"


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


def _value_from(env: _Object, path: str) -> list[Cause]:
    source = env.get("valueFrom")
    if source is None:
        return []
    message = "may not be specified when `value` is not empty"
    if not any(source.get(name) is not None for name in _SOURCES):
        message = f"must specify one of: {', '.join(f'`{name}`' for name in _SOURCES[:-1])} or `{_SOURCES[-1]}`"
    elif not env.get("value"):
        return []
    return [Cause.bad(f"{path}valueFrom", '""', message)]


def _handler(probe: _Object, path: str) -> list[Cause]:
    if any(probe.get(name) is not None for name in ("exec", "httpGet", "tcpSocket", "grpc")):
        return []
    return [Cause.required(path[:-1], "must specify a handler type")]


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
    fields = [(name, _VOLUME_FIELDS[name]) for name in sources if name in _VOLUME_FIELDS]
    causes = [Cause.required(f"{path}{name}.{key}", "") for name, key in fields if not volume[name].get(key)]
    if len(sources) > 1:
        causes.append(Cause.forbidden(f"{path}{sources[-1]}", "may not specify more than 1 volume type"))
    return causes


def _mounts(spec: _Object, path: str) -> list[Cause]:
    known = {each.get("name") for each in spec.get("volumes") or ()}
    return [
        Cause.not_found(f"{path}{name}[{i}].volumeMounts[{k}].name", shown(mount.get("name") or ""))
        for name in ("containers", "initContainers")
        for i, container in enumerate(spec.get(name) or ())
        for k, mount in enumerate(container.get("volumeMounts") or ())
        if mount.get("name") not in known
    ]


def _toleration(each: _Object, path: str) -> list[Cause]:
    operator, at = each.get("operator") or "", f"{path}operator"
    if not each.get("key") and operator != "Exists":
        message = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        return [Cause.bad(at, shown(operator), message)]
    if operator == "Exists" and each.get("value"):
        return [Cause.bad(at, shown(each["value"]), "value must be empty when `operator` is 'Exists'")]
    return []


def _not_always(policy: Any, path: str) -> list[Cause]:
    return [Cause.required(path, 'valid values: "OnFailure", "Never"')] if policy in ("Always", None) else []


def _selector(spec: _Object, path: str, kind: str) -> list[Cause]:
    """Checks the selector of a workload; the real server words one of its causes differently for each kind."""
    selector, at = spec.get("selector"), f"{path}selector"
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    causes = []
    if selector is None:
        causes = [] if kind == "daemonset" else [Cause.required(at, "")]
    elif not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return [Cause.bad(at, shown(selector), f"empty selector is invalid for {kind}")]
    elif found := selector_causes(selector, at):
        message = f"Invalid value: {shown(selector)}{': invalid label selector' if kind == 'deployment' else ''}"
        return found if kind == "daemonset" else [*found, Cause("FieldValueInvalid", message, at)]
    if selector is None or not selects(selector, labels or {}):
        causes.append(Cause.bad(f"{path}template.metadata.labels", shown(labels or None), _NO_MATCH))
    return causes


def _old_selector(spec: _Object, path: str) -> list[Cause]:
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    if selector and template and not selects({"matchLabels": selector}, labels or {}):
        return [Cause.bad(f"{path}template.metadata.labels", shown(labels or None), _NO_MATCH)]
    return required(selector, f"{path}selector")


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
        check = check_named("required | subdomain", FIELD_CHECKS)
        causes += check(spec.get("externalName"), f"{path}externalName")
    if kind == "LoadBalancer" and spec.get("clusterIP") == "None":
        message = "may not be set to 'None' for LoadBalancer services"
        causes.append(Cause.bad(f"{path}clusterIPs[0]", '"None"', message))
    for i, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            causes.append(Cause.required(f"{path}ports[{i}].name", ""))
        if kind == "ClusterIP" and port.get("nodePort"):
            message = "may not be used when `type` is 'ClusterIP'"
            causes.append(Cause.forbidden(f"{path}ports[{i}].nodePort", message))
    return causes + _unique(spec, path, "name", "ports")


def _policy_rule(rule: _Object, path: str) -> list[Cause]:
    causes = []
    if not rule.get("nonResourceURLs"):
        for name, what in (("apiGroups", "api group"), ("resources", "resource")):
            causes += required(rule.get(name), path + name, f"resource rules must supply at least one {what}")
    return causes + required(rule.get("verbs"), f"{path}verbs")


def _account_namespace(subject: _Object, path: str) -> list[Cause]:
    return required(subject.get("namespace"), f"{path}namespace") if subject.get("kind") == "ServiceAccount" else []


def _claim(spec: _Object, path: str) -> list[Cause]:
    modes = spec.get("accessModes") or []
    causes = required(modes, f"{path}accessModes", "at least 1 access mode is required")
    causes += [Cause.unsupported(f"{path}accessModes", mode, _MODES) for mode in modes if mode not in _MODES]
    storage, at = ((spec.get("resources") or {}).get("requests") or {}).get("storage"), f"{path}resources[storage]"
    if storage is None:
        causes.append(Cause.required(at, ""))
    elif value_of(storage) <= 0:
        causes.append(Cause.bad(at, shown(storage), "must be greater than zero"))
    return causes


def _ingress(spec: _Object, path: str) -> list[Cause]:
    if spec.get("rules") or spec.get("defaultBackend"):
        return []
    return [Cause.bad(path[:-1], "null", "either `defaultBackend` or `rules` must be specified")]


def _http_path(path_rule: _Object, path: str) -> list[Cause]:
    kind, value = path_rule.get("pathType"), path_rule.get("path") or ""
    if not kind:
        return [Cause.required(f"{path}pathType", "pathType must be specified")]
    if kind not in _PATH_TYPES:
        return [Cause.unsupported(f"{path}pathType", kind, _PATH_TYPES)]
    if kind == "ImplementationSpecific" or value.startswith("/"):
        return []
    return [Cause.bad(f"{path}path", shown(value), "must be an absolute path")]


def _backend(backend: _Object, path: str) -> list[Cause]:
    service = backend.get("service")
    if service is None:
        return []
    port = service.get("port") or {}
    causes = required(service.get("name"), f"{path}service.name")
    if not port.get("name") and not port.get("number"):
        causes.append(Cause.required(path[:-1], "port name or number is required"))
    elif port.get("name") and port.get("number"):
        causes.append(Cause.bad(path[:-1], '""', "cannot set both port name & port number"))
    return causes


def _alone(values: Any, path: str, what: str) -> list[Cause]:
    if len(values or ()) < 2 or "*" not in values:
        return []
    return [Cause.bad(path, shown(values), f"if '*' is present, must not specify other {what}")]


def _webhook_name(name: str, path: str) -> list[Cause]:
    message = "should be a domain with at least three segments separated by dots"
    return [] if _WEBHOOK_NAME.match(name) else [Cause.bad(path, shown(name), message)]


def _client_config(config: _Object, path: str) -> list[Cause]:
    url = config.get("url")
    if (url is None) == (config.get("service") is None):
        return [Cause.required(path[:-1], "exactly one of url or service is required")]
    form, parts, causes = "; desired format: https://host[/path]", urlsplit(url or "https://host"), []
    if parts.scheme != "https":
        message = f"'https' is the only allowed URL scheme{form}"
        causes.append(Cause.bad(f"{path}url", shown(parts.scheme), message))
    if not parts.netloc:
        causes.append(Cause.bad(f"{path}url", '""', f"host must be specified{form}"))
    return causes


def _review_versions(versions: list[str], path: str) -> list[Cause]:
    message = "must include at least one of v1, v1beta1"
    return [] if {"v1", "v1beta1"}.intersection(versions) else [Cause.bad(path, shown(versions), message)]


def _scaler(spec: _Object, path: str) -> list[Cause]:
    lowest, highest = spec.get("minReplicas") or 0, spec.get("maxReplicas") or 0
    if lowest <= highest:
        return []
    return [Cause.bad(f"{path}maxReplicas", shown(highest), "must be greater than or equal to `minReplicas`")]


_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")
_KEY_ERROR = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_MOST_BYTES = 1 << 20
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_LOGIN = ("username", "password")
_ACCOUNT = "kubernetes.io/service-account.name"


def check_config_map(obj: Mapping[str, Any], path: str) -> list[Cause]:
    """Returns what is not valid in a ConfigMap's data."""
    texts, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    causes: list[Cause] = []
    for key in sorted(texts):
        causes += _key_causes(key, f"{path}data[{key}]")
        if key in binary:
            causes.append(Cause.bad(f"{path}data[{key}]", shown(key), "duplicate of key present in binaryData"))
    causes += [cause for key in sorted(binary) for cause in _key_causes(key, f"{path}binaryData[{key}]")]
    size = sum(len(str(text).encode()) for text in texts.values()) + _decoded_size(binary)
    return causes + _size_causes(size, "[]")


def check_secret(obj: Mapping[str, Any], path: str) -> list[Cause]:
    """Returns what is not valid in a Secret's data."""
    data, kind = obj.get("data") or {}, str(obj.get("type"))
    causes = [cause for key in sorted(data) for cause in _key_causes(key, f"{path}data[{key}]")]
    causes += _size_causes(_decoded_size(data), f"{path}data")
    needed = [key for key in _NEEDED.get(kind, ()) if key not in data]
    if kind == "kubernetes.io/basic-auth" and not data.keys() & set(_LOGIN):
        needed += _LOGIN
    causes += [Cause.required(f"{path}data[{key}]", "") for key in needed]
    if kind == "kubernetes.io/service-account-token" and not (obj["metadata"].get("annotations") or {}).get(_ACCOUNT):
        causes.append(Cause.required(f"metadata.annotations[{_ACCOUNT}]", ""))
    return causes


def _key_causes(key: str, path: str) -> list[Cause]:
    if key in (".", ".."):
        return [Cause.bad(path, shown(key), f"must not be '{key}'")]
    return [] if _KEY.match(key) else [Cause.bad(path, shown(key), _KEY_ERROR)]


def _size_causes(size: int, path: str) -> list[Cause]:
    message = f"Too long: may not be more than {_MOST_BYTES} bytes"
    return [] if size <= _MOST_BYTES else [Cause("FieldValueTooLong", message, path)]


def _decoded_size(data: Mapping[str, Any]) -> int:
    return sum(len(str(text or "").rstrip("=")) * 3 // 4 for text in data.values())


_FUNCTIONS: dict[str, Callable[..., list[Cause]]] = {
    "account_namespace": _account_namespace,
    "alone": _alone,
    "backend": _backend,
    "claim": _claim,
    "client_config": _client_config,
    "config_map": check_config_map,
    "handler": _handler,
    "http_path": _http_path,
    "ingress": _ingress,
    "label_keys": label_keys,
    "mounts": _mounts,
    "not_always": _not_always,
    "old_selector": _old_selector,
    "policy_rule": _policy_rule,
    "resources": _resources,
    "review_versions": _review_versions,
    "scaler": _scaler,
    "secret": check_secret,
    "selector": _selector,
    "selector_form": selector_causes,
    "service": _service,
    "surge": _surge,
    "toleration": _toleration,
    "unique": _unique,
    "value_from": _value_from,
    "volume": _volume,
    "webhook_name": _webhook_name,
}

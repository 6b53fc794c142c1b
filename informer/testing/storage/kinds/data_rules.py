"""What kube-apiserver requires of the data of ConfigMaps and Secrets: keys, size, and what a Secret's type needs.

Source: kubernetes pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from informer.testing.storage.kinds.checks import shown
from informer.testing.storage.statuses import Cause

__all__ = ["check_config_map", "check_secret"]

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

"""Realistic pods, as an API server sends them: created by a Deployment, scheduled and running.

They have two containers, volumes, tolerations, conditions, and the managedFields that make up a third of a real pod: 5.4 KB.
"""

from __future__ import annotations

import json
from typing import Any

SIZE = 5300
TYPE = b'"kind":"Pod","apiVersion":"v1",'  # in watch events, but not in list items
_DIGITS = 8


def _fields(*names: str, **below: Any) -> dict[str, Any]:
    return {".": {}, **{f"f:{name}": {} for name in names}, **{f"f:{name}": value for name, value in below.items()}}


def _managed_fields() -> list[dict[str, Any]]:
    labels = _fields("app.kubernetes.io/name", "app.kubernetes.io/part-of", "pod-template-hash", "tier")
    owners = {".": {}, 'k:{"uid":"@o"}': {}}
    env = {
        ".": {},
        'k:{"name":"LOG_LEVEL"}': _fields("name", "value"),
        'k:{"name":"POD_NAME"}': _fields("name", "valueFrom"),
    }
    mounts = {".": {}, 'k:{"mountPath":"/etc/app"}': _fields("mountPath", "name")}
    app = _fields("image", "imagePullPolicy", "name", "resources", env=env, volumeMounts=mounts)
    containers = {'k:{"name":"app"}': app, 'k:{"name":"proxy"}': _fields("image", "name")}
    controller = {
        "f:metadata": {
            "f:annotations": _fields("checksum/config"),
            "f:generateName": {},
            "f:labels": labels,
            "f:ownerReferences": owners,
        },
        "f:spec": {
            "f:containers": containers,
            "f:restartPolicy": {},
            "f:serviceAccountName": {},
            "f:volumes": {".": {}, 'k:{"name":"config"}': _fields("configMap")},
        },
    }
    conditions = {
        f'k:{{"type":"{kind}"}}': _fields("lastProbeTime", "status", "type") for kind in ("ContainersReady", "Ready")
    }
    ips = {".": {}, 'k:{"ip":"@i"}': _fields("ip")}
    status = {f"f:{name}": {} for name in ("containerStatuses", "hostIP", "phase", "podIP", "startTime")}
    kubelet = {"f:status": {"f:conditions": conditions, **status, "f:podIPs": ips}}
    common = {"operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1"}
    return [
        {"manager": "kube-controller-manager", **common, "fieldsV1": controller},
        {"manager": "kubelet", **common, "fieldsV1": kubelet, "subresource": "status"},
    ]


def _spec() -> dict[str, Any]:
    end = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
    token = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    root = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    name_field = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}
    app = {
        "name": "app",
        "image": "registry.example.com/team/app:1.31.0",
        "args": ["--listen=:8080"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "POD_NAME", "valueFrom": name_field}],
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/app"},
            {"name": "kube-api-access-x7k2p", "readOnly": True, "mountPath": account},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
        **end,
        "imagePullPolicy": "IfNotPresent",
    }
    requests = {"requests": {"cpu": "10m", "memory": "32Mi"}}
    proxy = {"name": "proxy", "image": "registry.example.com/mesh/proxy:2.4.1", "resources": requests, **end}
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ]
    return {
        "volumes": [
            {"name": "config", "configMap": {"name": "app-config", "defaultMode": 420}},
            {"name": "kube-api-access-x7k2p", "projected": {"sources": [token, root], "defaultMode": 420}},
        ],
        "containers": [app, proxy],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "app",
        "nodeName": "node-@m",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": tolerations,
        "priority": 0,
        "enableServiceLinks": True,
    }


def _status() -> dict[str, Any]:
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-02T03:04:06Z"}
        for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    containers = [
        {
            "name": name,
            "state": {"running": {"startedAt": "2026-01-02T03:04:10Z"}},
            "lastState": {},
            "ready": True,
            "restartCount": count,
            "image": f"registry.example.com/{name}:1.31.0",
            "imageID": f"registry.example.com/{name}@sha256:" + "5" * 64,
            "containerID": "containerd://" + "7" * 64,
            "started": True,
        }
        for name, count in (("app", "@u"), ("proxy", 0))
    ]
    return {
        "phase": "Running",
        "conditions": conditions,
        "hostIP": "10.0.0.7",
        "podIP": "@i",
        "podIPs": [{"ip": "@i"}],
        "startTime": "2026-01-02T03:04:06Z",
        "containerStatuses": containers,
        "qosClass": "Burstable",
    }


def _template() -> tuple[bytes, list[str]]:
    """Returns a pod with a %b for each variable value, and the names of these values."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-@a", "uid": "@o", "controller": True}
    metadata = {
        "name": "app-@a-@d",
        "generateName": "app-@a-",
        "namespace": "ns-@n",
        "uid": "@d-1111-4222-8333-0000@d",
        "resourceVersion": "@v",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {
            "app.kubernetes.io/name": "app-@a",
            "app.kubernetes.io/part-of": "suite-@s",
            "pod-template-hash": "@d",
            "tier": "backend",
        },
        "annotations": {"checksum/config": "3" * 64, "example.com/note": "@p"},
        "ownerReferences": [owner],
        "managedFields": _managed_fields(),
    }
    pod = {"metadata": metadata, "spec": _spec(), "status": _status()}
    text = json.dumps(pod, separators=(",", ":")).replace("%", "%%").replace('"@u"', "@u")
    parts = text.split("@")
    padding = max(0, SIZE - len(text))
    parts[1:] = [f"%b{part[1:]}" if part[0] != "p" else "x" * padding + part[1:] for part in parts[1:]]
    return "".join(parts).encode(), [part[0] for part in text.split("@")[1:] if part[0] != "p"]


_TEMPLATE, _HOLES = _template()


def pod(number: int, version: int, updates: int = 0) -> bytes:
    """Returns pod `number` at a resourceVersion, as a list item."""
    values = {
        "a": b"%d" % (number % 400),
        "d": b"%0*x" % (_DIGITS, number),
        "i": b"10.%d.%d.%d" % (64 + (number >> 16 & 63), number >> 8 & 255, number & 255),
        "m": b"%d" % (number % 100),
        "n": b"%d" % (number % 20),
        "o": b"%08x-9999-4222-8333-%012x" % (number // 3, number // 3),
        "s": b"%d" % (number % 7),
        "u": b"%d" % updates,
        "v": b"%d" % version,
    }
    return _TEMPLATE % tuple(values[hole] for hole in _HOLES)


def event(kind: bytes, item: bytes) -> bytes:
    """Returns the line of a watch event about a pod."""
    return b'{"type":"%b","object":{%b%b}\n' % (kind, TYPE, item[1:])


def list_body(items: list[bytes], version: int, continue_: str = "") -> bytes:
    """Returns a page of a list."""
    more = f',"continue":"{continue_}"' if continue_ else ""
    head = f'{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{version}"{more}}},"items":['
    return head.encode() + b",".join(items) + b"]}\n"


def chunked(pieces: list[bytes]) -> bytes:
    """Returns a body in chunked transfer encoding, one chunk per piece."""
    return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])

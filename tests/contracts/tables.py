"""Objects of built-in kinds whose tables show something, and the paths of their lists."""

from __future__ import annotations

from typing import Any

from tests.contracts.table_pods import CONTAINERS, PODS, TIME

_CORE, _NS = "/api/v1/namespaces/{ns}", "/namespaces/{ns}"
PATHS = {
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ConfigMap": f"{_CORE}/configmaps",
    "CronJob": f"/apis/batch/v1{_NS}/cronjobs",
    "DaemonSet": f"/apis/apps/v1{_NS}/daemonsets",
    "Deployment": f"/apis/apps/v1{_NS}/deployments",
    "EndpointSlice": f"/apis/discovery.k8s.io/v1{_NS}/endpointslices",
    "Event": f"{_CORE}/events",
    "HorizontalPodAutoscaler": f"/apis/autoscaling/v2{_NS}/horizontalpodautoscalers",
    "Ingress": f"/apis/networking.k8s.io/v1{_NS}/ingresses",
    "Job": f"/apis/batch/v1{_NS}/jobs",
    "Lease": f"/apis/coordination.k8s.io/v1{_NS}/leases",
    "LimitRange": f"{_CORE}/limitranges",
    "Namespace": "/api/v1/namespaces",
    "NetworkPolicy": f"/apis/networking.k8s.io/v1{_NS}/networkpolicies",
    "Node": "/api/v1/nodes",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": f"{_CORE}/persistentvolumeclaims",
    "Pod": f"{_CORE}/pods",
    "PodDisruptionBudget": f"/apis/policy/v1{_NS}/poddisruptionbudgets",
    "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
    "ReplicaSet": f"/apis/apps/v1{_NS}/replicasets",
    "ReplicationController": f"{_CORE}/replicationcontrollers",
    "ResourceQuota": f"{_CORE}/resourcequotas",
    "Role": f"/apis/rbac.authorization.k8s.io/v1{_NS}/roles",
    "RoleBinding": f"/apis/rbac.authorization.k8s.io/v1{_NS}/rolebindings",
    "Secret": f"{_CORE}/secrets",
    "Service": f"{_CORE}/services",
    "ServiceAccount": f"{_CORE}/serviceaccounts",
    "StatefulSet": f"/apis/apps/v1{_NS}/statefulsets",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
}
_LABELS = {"app": "a", "tier": "b"}
_SELECTOR = {"matchLabels": _LABELS}
_COMPLEX = {
    "matchLabels": {"app": "a"},
    "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["c", "b"]},
        {"key": "app", "operator": "Exists"},
        {"key": "x", "operator": "DoesNotExist"},
    ],
}
_TEMPLATE = {"metadata": {"labels": _LABELS}, "spec": {"containers": CONTAINERS}}
_JOB_TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": _LABELS},
    "spec": {"containers": CONTAINERS, "restartPolicy": "Never"},
}
_JOB = {"template": _JOB_TEMPLATE, "manualSelector": True, "selector": _SELECTOR}
_SUSPENDED = {"conditions": [{"type": "Suspended", "status": "True"}]}
_DONE = {
    "startTime": TIME,
    "completionTime": "2020-01-01T01:30:30Z",
    "succeeded": 1,
    "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}],
    "uncountedTerminatedPods": {},
    "ready": 0,
    "terminating": 0,
}
_SUBJECTS = [
    {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
    {"kind": "User", "name": "v", "apiGroup": "rbac.authorization.k8s.io"},
    {"kind": "Group", "name": "g", "apiGroup": "rbac.authorization.k8s.io"},
    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
]


_SERVICE = {
    "ports": [
        {"port": 80, "protocol": "TCP", "targetPort": 80},
        {"name": "b", "port": 53, "protocol": "UDP", "targetPort": 53},
    ]
}
for _port in _SERVICE["ports"]:
    _port.setdefault("name", "a")
_METRICS = [
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
    {"type": "Pods", "pods": {"metric": {"name": "p"}, "target": {"type": "AverageValue", "averageValue": "7"}}},
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
]
_CURRENT = [
    {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 20, "averageValue": "1"}}}
]
_REFERENCE = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
_ADDRESSES = [{"ip": f"10.1.0.{n}"} for n in range(1, 5)]
_RULE = {
    "http": {
        "paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 1}}}}]
    }
}
_CLAIM = {
    "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
    "resources": {"requests": {"storage": "1Gi"}},
    "volumeMode": "Block",
}

OBJECTS: dict[str, dict[str, dict[str, Any]]] = {
    "ClusterRoleBinding": {
        "a": {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
            "subjects": _SUBJECTS,
        }
    },
    "ConfigMap": {"a": {"data": {"a": "b", "c": "d"}, "binaryData": {"e": "AA=="}}, "empty": {}},
    "CronJob": {
        "a": {
            "spec": {
                "schedule": "* * * * *",
                "suspend": True,
                "timeZone": "Etc/UTC",
                "jobTemplate": {"spec": {"template": _JOB_TEMPLATE}},
            },
            "status": {"lastScheduleTime": TIME, "active": [{"name": "j"}]},
        }
    },
    "DaemonSet": {
        "a": {
            "spec": {
                "selector": _COMPLEX,
                "template": {**_TEMPLATE, "spec": {"containers": CONTAINERS, "nodeSelector": {"disk": "ssd"}}},
            },
            "status": {
                "desiredNumberScheduled": 5,
                "currentNumberScheduled": 4,
                "numberReady": 3,
                "updatedNumberScheduled": 2,
                "numberAvailable": 1,
                "numberMisscheduled": 0,
            },
        }
    },
    "Deployment": {
        "a": {
            "spec": {"replicas": 3, "selector": _COMPLEX, "template": _TEMPLATE},
            "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
        },
        "new": {"spec": {"replicas": 1, "selector": _SELECTOR, "template": _TEMPLATE}},
    },
    "EndpointSlice": {
        "a": {
            "addressType": "IPv4",
            "ports": [{"name": f"p{n}", "port": n, "protocol": "TCP"} for n in range(1, 6)],
            "endpoints": [{"addresses": [each["ip"]]} for each in _ADDRESSES],
        },
        "empty": {"addressType": "IPv6", "ports": [], "endpoints": []},
    },
    "Event": {
        "a": {
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "{ns}", "fieldPath": "spec.containers{c}"},
            "type": "Warning",
            "reason": "Failed",
            "message": " it failed\n",
            "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": TIME,
            "lastTimestamp": TIME,
            "count": 3,
        },
        "new": {
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "{ns}"},
            "type": "Normal",
            "reason": "R",
            "action": "A",
            "eventTime": "2020-01-01T00:00:00.000000Z",
            "reportingComponent": "c.example.com/c",
            "reportingInstance": "i",
            "series": {"count": 7, "lastObservedTime": "2021-01-01T00:00:00.000000Z"},
        },
    },
    "HorizontalPodAutoscaler": {
        "a": {
            "spec": {"scaleTargetRef": _REFERENCE, "minReplicas": 2, "maxReplicas": 5, "metrics": _METRICS},
            "status": {"currentReplicas": 2, "desiredReplicas": 3, "currentMetrics": _CURRENT},
        },
        "two": {"spec": {"scaleTargetRef": _REFERENCE, "minReplicas": 1, "maxReplicas": 5, "metrics": _METRICS[1:]}},
    },
    "Ingress": {
        "a": {
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["a.example.com"]}],
                "rules": [{"host": f"{each}.example.com", **_RULE} for each in "abcd"],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "10.2.0.2"}, {"hostname": "lb.example.com"}]}},
        },
        "plain": {"spec": {"rules": [_RULE]}},
    },
    "Job": {
        "new": {"spec": {**_JOB, "parallelism": 3, "completions": 5}, "status": {}},
        "queue": {"spec": {**_JOB, "parallelism": 3}},
        "suspended": {"spec": {**_JOB, "suspend": True, "parallelism": 1, "completions": 1}, "status": _SUSPENDED},
        "done": {"spec": {**_JOB, "parallelism": 1, "completions": 1}, "status": _DONE},
    },
    "Lease": {"a": {"spec": {"holderIdentity": "h"}}, "free": {"spec": {}}},
    "LimitRange": {"a": {"spec": {"limits": []}}},
    "Namespace": {"a": {}},
    "NetworkPolicy": {"a": {"spec": {"podSelector": _COMPLEX}}, "all": {"spec": {"podSelector": {}}}},
    "Node": {
        "a": {
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "special"}},
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.3.0.1"}],
                "nodeInfo": {
                    "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "6.1", "osImage": "Linux",
                    "containerRuntimeVersion": "containerd://2", "kubeletVersion": "v1.37.0", "kubeProxyVersion": "",
                    "operatingSystem": "linux", "architecture": "amd64",
                },
            },
        },
        "lost": {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
        "empty": {},
    },
    "PersistentVolume": {
        "a": {
            "spec": {
                "capacity": {"storage": "5Gi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "fast",
                "claimRef": {"namespace": "n", "name": "c"},
                "hostPath": {"path": "/x", "type": ""},
                "volumeMode": "Filesystem",
            },
            "status": {"phase": "Bound", "reason": "r"},
        }
    },
    "PersistentVolumeClaim": {
        "a": {
            "spec": {**_CLAIM, "volumeName": "v", "storageClassName": "fast"},
            "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"]},
        },
        "unbound": {"spec": {**_CLAIM, "storageClassName": "fast"}, "status": {"phase": "Pending"}},
    },
    "Pod": PODS,
    "PodDisruptionBudget": {
        "a": {"spec": {"minAvailable": 0, "selector": _SELECTOR}, "status": {"disruptionsAllowed": 2, "currentHealthy": 0,
              "desiredHealthy": 0, "expectedPods": 0}},
        "percent": {"spec": {"maxUnavailable": "50%", "selector": _SELECTOR}},
    },
    "PriorityClass": {"a": {"value": 7, "preemptionPolicy": "Never"}},
    "ReplicaSet": {
        "a": {
            "spec": {"replicas": 2, "selector": _SELECTOR, "template": _TEMPLATE},
            "status": {"replicas": 2, "readyReplicas": 1},
        }
    },
    "ReplicationController": {
        "a": {"spec": {"replicas": 2, "selector": _LABELS, "template": _TEMPLATE}, "status": {"replicas": 1}}
    },
    "ResourceQuota": {
        "a": {
            "spec": {"hard": {"pods": "3", "limits.cpu": "2", "requests.cpu": "1"}},
            "status": {"hard": {"pods": "3", "limits.cpu": "2", "requests.cpu": "1"}, "used": {"pods": "1", "limits.cpu": "0"}},
        }
    },
    "Role": {"a": {"rules": []}},
    "RoleBinding": {
        "a": {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, "subjects": _SUBJECTS}
    },
    "Secret": {"a": {"type": "example.com/t", "data": {"a": "AA=="}}},
    "Service": {
        "named": {"spec": {"type": "ExternalName", "externalName": "x.example.com"}},
        "headless": {
            "spec": {
                "type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "selector": _LABELS, **_SERVICE,
                "externalIPs": ["10.4.0.1"],
            }
        },
    },
    "ServiceAccount": {"a": {}},
    "StatefulSet": {
        "a": {
            "spec": {"replicas": 3, "selector": _SELECTOR, "serviceName": "s", "template": _TEMPLATE},
            "status": {"replicas": 3, "readyReplicas": 2},
        }
    },
    "StorageClass": {
        "a": {
            "provisioner": "p",
            "reclaimPolicy": "Retain",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
        }
    },
}  # fmt: skip

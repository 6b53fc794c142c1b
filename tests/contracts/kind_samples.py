"""Objects of built-in kinds that tests write to both servers, by the path of their lists."""

from __future__ import annotations

from typing import Any

CORE = "/api/v1/namespaces/{ns}/"
APPS = "/apis/apps/v1/namespaces/{ns}/"
BATCH = "/apis/batch/v1/namespaces/{ns}/"
NETWORKING = "/apis/networking.k8s.io/v1/namespaces/{ns}/"
SCALING = "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers"
RBAC = "/apis/rbac.authorization.k8s.io/v1/"
CONTAINER = {"name": "c", "image": "nginx"}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}
SELECTOR = {"matchLabels": {"app": "web"}}
WORKLOAD = {"selector": SELECTOR, "template": TEMPLATE}
JOB_TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
TARGET = {"kind": "Deployment", "name": "x", "apiVersion": "apps/v1"}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}
BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
_PORT = {"ports": [{"port": 80}]}
_WEBHOOK = {
    "name": "a.b.c",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "clientConfig": {"service": {"name": "x", "namespace": "y"}},
    "rules": [{"operations": ["CREATE"], "apiGroups": ["z"], "apiVersions": ["v1"], "resources": ["z"]}],
}


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [CONTAINER], **spec}}


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{**CONTAINER, **fields}])


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


_FULL = container(
    image="r.io/x/nginx:1.2",
    ports=[{"containerPort": 8080}],
    livenessProbe={"httpGet": {"port": 80}},
    readinessProbe={"tcpSocket": {"port": "x"}, "timeoutSeconds": 3},
    startupProbe={"grpc": {"port": 3}},
    lifecycle={"preStop": {"httpGet": {"port": 1}}, "postStart": {"exec": {"command": ["x"]}}},
    env=[
        {"name": "A"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ],
    resources={"limits": {"cpu": "1000m", "memory": "0.5Gi"}, "requests": {"cpu": 0.1}},
    volumeMounts=[{"name": "v", "mountPath": "/x"}],
)
_FULL["spec"] |= {
    "serviceAccountName": "robot",
    "priorityClassName": "system-node-critical",
    "tolerations": [{"key": "x"}, {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
    "initContainers": [{"name": "i", "image": "a@sha256:" + "a" * 64}],
    "volumes": [
        {"name": "v"},
        {"name": "s", "secret": {"secretName": "x"}},
        {"name": "m", "configMap": {"name": "x"}},
        {"name": "h", "hostPath": {"path": "/x"}},
        {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "d", "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}},
    ],
}
_EVERYTHING = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}

# Objects that the servers accept: the path of the list and the object, without metadata.
SAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "pod": (f"{CORE}pods", pod()),
    "pod-full": (f"{CORE}pods", _FULL),
    "pod-guaranteed": (f"{CORE}pods", container(resources={"limits": {"cpu": "1", "memory": "1Gi"}})),
    "pod-affinity": (
        f"{CORE}pods",
        pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _EVERYTHING}}),
    ),
    "pod-template": (f"{CORE}podtemplates", {"template": TEMPLATE}),
    "controller": (f"{CORE}replicationcontrollers", spec(template=TEMPLATE)),
    "deployment": (f"{APPS}deployments", spec(**WORKLOAD)),
    "deployment-rolling": (f"{APPS}deployments", spec(**WORKLOAD, strategy={"rollingUpdate": {"maxSurge": 1}})),
    "deployment-recreate": (f"{APPS}deployments", spec(**WORKLOAD, replicas=0, strategy={"type": "Recreate"})),
    "stateful-set": (
        f"{APPS}statefulsets",
        spec(**WORKLOAD, serviceName="x", volumeClaimTemplates=[{"metadata": {"name": "d"}, "spec": CLAIM}]),
    ),
    "daemon-set": (f"{APPS}daemonsets", spec(**WORKLOAD)),
    "replica-set": (f"{APPS}replicasets", spec(**WORKLOAD)),
    "job": (f"{BATCH}jobs", spec(template=JOB_TEMPLATE)),
    "job-indexed": (
        f"{BATCH}jobs",
        spec(
            template=JOB_TEMPLATE,
            completionMode="Indexed",
            completions=3,
            parallelism=2,
            podFailurePolicy={"rules": [{"action": "Ignore", "onPodConditions": [{"type": "X"}]}]},
        ),
    ),
    "job-parallel": (f"{BATCH}jobs", spec(template=JOB_TEMPLATE, parallelism=3)),
    "cron-job": (f"{BATCH}cronjobs", spec(schedule="@daily", jobTemplate=spec(template=JOB_TEMPLATE))),
    "service": (f"{CORE}services", spec(**_PORT, selector={"a": "b"})),
    "service-node-port": (
        f"{CORE}services",
        spec(type="NodePort", ports=[{"port": 80, "name": "a", "targetPort": "http"}, {"port": 81, "name": "b"}]),
    ),
    "service-balancer": (f"{CORE}services", spec(type="LoadBalancer", **_PORT)),
    "service-external": (f"{CORE}services", spec(type="ExternalName", externalName="x.y")),
    "service-headless": (f"{CORE}services", spec(clusterIP="None", selector={"a": "b"})),
    "service-affinity": (f"{CORE}services", spec(sessionAffinity="ClientIP", ports=[{"port": 80, "protocol": "UDP"}])),
    "secret": (f"{CORE}secrets", {"data": {"b": "YQ==", "a": "YQ=="}, "stringData": {"a": "b"}}),
    "secret-of-a-user": (f"{CORE}secrets", {"type": "kubernetes.io/basic-auth", "stringData": {"username": "u"}}),
    "service-account": (f"{CORE}serviceaccounts", {}),
    "config-map": (f"{CORE}configmaps", {"data": {"a": "b"}}),
    "endpoints": (f"{CORE}endpoints", {"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 1}]}]}),
    "quota": (f"{CORE}resourcequotas", spec(hard={"pods": "1000", "requests.cpu": "1.5", "memory": "1e3"})),
    "ingress": (
        f"{NETWORKING}ingresses",
        spec(rules=[{"host": "x.y", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}]),
    ),
    "network-policy": (f"{NETWORKING}networkpolicies", spec(podSelector={}, ingress=[{"ports": [{"port": 80}]}])),
    "network-policy-egress": (f"{NETWORKING}networkpolicies", spec(podSelector={}, egress=[{}])),
    "ingress-class": (
        "/apis/networking.k8s.io/v1/ingressclasses",
        spec(controller="x/y", parameters={"kind": "A", "name": "b"}),
    ),
    "scaler": (SCALING, spec(maxReplicas=3, scaleTargetRef=TARGET)),
    "scaler-of-memory": (
        SCALING,
        spec(
            maxReplicas=3,
            minReplicas=2,
            scaleTargetRef=TARGET,
            metrics=[
                {
                    "type": "Resource",
                    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
                }
            ],
        ),
    ),
    "budget": ("/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets", spec(maxUnavailable=1, selector=SELECTOR)),
    "role": (RBAC + "namespaces/{ns}/roles", {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
    "role-empty": (RBAC + "namespaces/{ns}/roles", {}),
    "role-binding": (
        RBAC + "namespaces/{ns}/rolebindings",
        {
            "roleRef": {"kind": "Role", "name": "p"},
            "subjects": [{"kind": "ServiceAccount", "name": "x"}, {"kind": "User", "name": "x"}],
        },
    ),
    "cluster-role": (f"{RBAC}clusterroles", {}),
    "cluster-role-binding": (f"{RBAC}clusterrolebindings", {"roleRef": {"kind": "ClusterRole", "name": "p"}}),
    "endpoint-slice": (
        "/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4"]}], "ports": [{"port": 80}]},
    ),
    "storage-class": ("/apis/storage.k8s.io/v1/storageclasses", {"provisioner": "x/y"}),
    "csi-driver": ("/apis/storage.k8s.io/v1/csidrivers", {"spec": {}}),
    "lease": ("/apis/coordination.k8s.io/v1/namespaces/{ns}/leases", {}),
    "priority-class": ("/apis/scheduling.k8s.io/v1/priorityclasses", {"value": 3}),
    "node": ("/api/v1/nodes", spec(taints=[{"key": "a", "effect": "NoSchedule"}], podCIDR="10.1.0.0/24")),
    "validating-webhooks": (
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        {"webhooks": [_WEBHOOK]},
    ),
    "mutating-webhooks": (
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        {"webhooks": [_WEBHOOK]},
    ),
    "namespace": ("/api/v1/namespaces", {}),
    "claim": (f"{CORE}persistentvolumeclaims", spec(**CLAIM)),
    "volume": (
        "/api/v1/persistentvolumes",
        spec(accessModes=["ReadWriteOnce"], capacity={"storage": "1024Mi"}, hostPath={"path": "/x"}),
    ),
}

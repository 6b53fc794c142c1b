"""What the server refuses about objects of built-in kinds: missing fields, values, changes of immutable fields, sizes."""

import pytest

from tests.contracts.kind_samples import (
    APPS,
    BACKEND,
    BATCH,
    CLAIM,
    CONTAINER,
    CORE,
    JOB_TEMPLATE,
    NETWORKING,
    RBAC,
    SCALING,
    SELECTOR,
    TARGET,
    TEMPLATE,
    WORKLOAD,
    container,
    pod,
    spec,
)

MERGE = "application/merge-patch+json"
_TWICE = [{"name": "v"}, {"name": "v"}]
_NO_NAMES = {"metadata": TEMPLATE["metadata"], "spec": {"containers": [{}]}}
_NEVER = {"metadata": TEMPLATE["metadata"], "spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}
_KINDS = ("deployments", "statefulsets", "daemonsets", "replicasets")
_OTHER = {"matchLabels": {"app": "other"}}
_SERVICE = f"{CORE}services"
_CLUSTER_BINDINGS = f"{RBAC}clusterrolebindings"
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices"
_BUDGETS = "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"


def _ingress(**path):
    return spec(rules=[{"http": {"paths": [path]}}])


# Objects without metadata, each refused with 422 and the same causes.
PODS = [
    {},
    pod(containers=[]),
    pod(containers=[{}]),
    pod(containers=[CONTAINER, CONTAINER]),
    pod(containers=[{"name": "A_b", "image": " nginx"}]),
    pod(restartPolicy="X", dnsPolicy="Y"),
    container(imagePullPolicy="X", terminationMessagePolicy="Z"),
    container(ports=[{}]),
    container(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
    container(ports=[{"containerPort": 1, "hostPort": 70000}]),
    container(env=[{"value": "x"}]),
    container(env=[{"name": "a=b"}]),
    container(env=[{"name": "a", "value": "x", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]),
    container(env=[{"name": "a", "valueFrom": {"secretKeyRef": {"name": "", "key": ""}}}]),
    container(volumeMounts=[{"name": "v", "mountPath": "/x"}]),
    container(livenessProbe={}),
    container(livenessProbe={"httpGet": {"port": 0, "path": ""}, "timeoutSeconds": -1}),
    container(readinessProbe={"exec": {}}),
    container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
    container(resources={"limits": {"cpu": "-1"}}),
    container(image=""),
    pod(volumes=_TWICE),
    pod(volumes=[{}]),
    pod(volumes=[{"name": "v", "secret": {}}]),
    pod(volumes=[{"name": "v", "configMap": {}}]),
    pod(volumes=[{"name": "v", "secret": {"secretName": "a"}, "emptyDir": {}}]),
    pod(volumes=[{"name": "v", "persistentVolumeClaim": {}}]),
    pod(volumes=[{"name": "v", "hostPath": {}}]),
    pod(tolerations=[{"key": "a", "operator": "X", "effect": "Y"}]),
    pod(initContainers=[CONTAINER]),
    pod(initContainers=[{}]),
    pod(hostAliases=[{"ip": "x"}]),
    pod(terminationGracePeriodSeconds=-1, activeDeadlineSeconds=0),
    pod(nodeSelector={"a b": "c"}, serviceAccountName="A B", nodeName="A B"),
    container(livenessProbe={"httpGet": {"port": 1}, "exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
    container(livenessProbe={"httpGet": {"port": 1}, "successThreshold": 2}),
    container(lifecycle={"preStop": {}}),
    pod(tolerations=[{"operator": "Exists", "value": "x"}]),
    pod(tolerations=[{"key": "a", "operator": "Equal", "effect": "NoSchedule", "tolerationSeconds": 3}]),
    pod(hostname="A_b", subdomain="A_b"),
]
WORKLOADS = [
    {},
    spec(selector=SELECTOR),
    spec(template=TEMPLATE),
    spec(selector={}, template=TEMPLATE),
    spec(selector=_OTHER, template=TEMPLATE),
    spec(selector=SELECTOR, template=_NEVER),
    spec(selector=SELECTOR, template=_NO_NAMES),
]
_OWNERS = [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name, "controller": True} for name in "ab"]
_EVENTS = f"{CORE}events"
_POLICIES = f"{NETWORKING}networkpolicies"
_HOOKED = {"metadata": {"labels": {"app": "web", "x": "a b"}, "annotations": {"a b": ""}}, "spec": TEMPLATE["spec"]}
_WRONG_SELECTORS = [
    {"matchExpressions": [{"key": "app", "operator": "In"}]},
    {"matchExpressions": [{"key": "app", "operator": "X"}]},
    {"matchLabels": {"a b": "c"}},
]
REFUSED = [
    *((f"{CORE}pods", each) for each in PODS),
    *((f"{APPS}{kind}", each) for kind in _KINDS for each in WORKLOADS),
    *((f"{APPS}{kind}", spec(**WORKLOAD, replicas=-1)) for kind in _KINDS if kind != "daemonsets"),
    (f"{APPS}deployments", spec(**WORKLOAD, strategy={"type": "Recreate", "rollingUpdate": {}})),
    (f"{APPS}deployments", spec(**WORKLOAD, strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}})),
    (f"{APPS}deployments", spec(**WORKLOAD, strategy={"rollingUpdate": {"maxSurge": "x"}})),
    (f"{APPS}deployments", spec(**WORKLOAD, revisionHistoryLimit=-1, minReadySeconds=-1)),
    (f"{CORE}replicationcontrollers", {}),
    (f"{BATCH}jobs", {}),
    (f"{BATCH}jobs", spec(template=TEMPLATE)),
    (f"{BATCH}jobs", spec(template=JOB_TEMPLATE, parallelism=-1, completions=-1, backoffLimit=-1)),
    (f"{BATCH}jobs", spec(template=JOB_TEMPLATE, completionMode="X")),
    (f"{BATCH}cronjobs", {}),
    (f"{BATCH}cronjobs", spec(schedule="* * * *", jobTemplate=spec(template=JOB_TEMPLATE))),
    (
        f"{BATCH}cronjobs",
        spec(
            schedule="@daily",
            concurrencyPolicy="X",
            successfulJobsHistoryLimit=-1,
            jobTemplate=spec(template=JOB_TEMPLATE),
        ),
    ),
    *(
        (_SERVICE, spec(**each))
        for each in (
            {},
            {"ports": [{}]},
            {"ports": [{"port": 1}, {"port": 2}]},
            {"ports": [{"port": 70000, "protocol": "X"}]},
            {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]},
            {"ports": [{"port": 1}], "type": "X"},
            {"ports": [{"port": 1}], "sessionAffinity": "X"},
            {"ports": [{"port": 1}], "selector": {"a b": "c"}},
            {"ports": [{"port": 1, "nodePort": 30001}]},
            {"type": "ExternalName"},
            {"type": "ExternalName", "externalName": "x y"},
        )
    ),
    (f"{CORE}configmaps", {"data": {"ok": "y"}, "binaryData": {"ok": "YQ==", "é": "YQ=="}}),
    (f"{CORE}configmaps", {"data": {"a": "x" * (1 << 20) + "x"}}),
    (f"{CORE}secrets", {"data": {"a b": "YQ=="}}),
    (f"{CORE}secrets", {"stringData": {"a": "x" * (1 << 20) + "x"}}),
    (f"{CORE}secrets", {"type": "kubernetes.io/tls", "data": {"tls.crt": "YQ=="}}),
    (f"{CORE}secrets", {"type": "kubernetes.io/dockerconfigjson"}),
    (f"{CORE}secrets", {"type": "kubernetes.io/ssh-auth"}),
    (f"{CORE}persistentvolumeclaims", {}),
    (f"{NETWORKING}ingresses", spec(rules=[{"host": "x y"}])),
    (f"{NETWORKING}ingresses", spec(rules=[{"http": {"paths": []}}])),
    (f"{NETWORKING}ingresses", _ingress()),
    (f"{NETWORKING}ingresses", _ingress(path="x", pathType="Prefix", backend=BACKEND)),
    (f"{NETWORKING}networkpolicies", spec(policyTypes=["X"])),
    ("/apis/networking.k8s.io/v1/ingressclasses", {}),
    (SCALING, {}),
    (SCALING, spec(maxReplicas=1, minReplicas=3, scaleTargetRef=TARGET)),
    (_BUDGETS, spec(minAvailable=-1)),
    (_BUDGETS, spec(minAvailable="x")),
    (_BUDGETS, spec(maxUnavailable="200%")),
    (f"{RBAC}namespaces/{{ns}}/roles", {"rules": [{}]}),
    (f"{RBAC}namespaces/{{ns}}/roles", {"rules": [{"verbs": ["get"], "apiGroups": [""]}]}),
    (f"{RBAC}namespaces/{{ns}}/rolebindings", {}),
    (f"{RBAC}namespaces/{{ns}}/rolebindings", {"roleRef": {"kind": "X", "name": "y", "apiGroup": "z"}}),
    (
        _CLUSTER_BINDINGS,
        {"roleRef": {"kind": "Role", "name": "y"}, "subjects": [{"kind": "ServiceAccount", "name": "a"}]},
    ),
    (_SLICES, {}),
    (_SLICES, {"addressType": "X"}),
    (_SLICES, {"addressType": "IPv4", "endpoints": [{"addresses": ["x"]}]}),
    (_SLICES, {"addressType": "IPv4", "endpoints": [{}], "ports": [{"port": 0, "protocol": "X"}]}),
    (_LEASES, spec(leaseDurationSeconds=0, leaseTransitions=-1)),
    ("/apis/storage.k8s.io/v1/storageclasses", {}),
    ("/apis/storage.k8s.io/v1/storageclasses", {"provisioner": "a", "reclaimPolicy": "X", "volumeBindingMode": "Y"}),
    (f"{APPS}controllerrevisions", {}),
    (f"{APPS}deployments", spec(selector=SELECTOR, template=_HOOKED)),
    (f"{APPS}statefulsets", spec(**WORKLOAD, serviceName="A_b")),
    (f"{APPS}statefulsets", spec(**WORKLOAD, podManagementPolicy="X")),
    (f"{APPS}statefulsets", spec(**WORKLOAD, updateStrategy={"rollingUpdate": {"partition": -1}})),
    (f"{APPS}statefulsets", spec(**WORKLOAD, volumeClaimTemplates=[{"metadata": {"name": "x"}}])),
    (f"{BATCH}jobs", spec(template=JOB_TEMPLATE, podReplacementPolicy="X")),
    (
        f"{BATCH}cronjobs",
        {
            "metadata": {"name": "x" * 53},
            **spec(schedule="@daily", jobTemplate=spec(template=JOB_TEMPLATE)),
        },
    ),
    (f"{BATCH}cronjobs", spec(schedule="@daily", startingDeadlineSeconds=-1, jobTemplate=spec(template=JOB_TEMPLATE))),
    (_SERVICE, spec(type="NodePort", ports=[{"port": 1}], clusterIP="None")),
    (_SERVICE, spec(ports=[{"port": 1}], externalTrafficPolicy="Local")),
    (_SERVICE, spec(ports=[{"port": 1}], externalIPs=["x"])),
    (f"{CORE}persistentvolumeclaims", spec(**CLAIM, volumeMode="X")),
    ("/api/v1/persistentvolumes", spec(capacity={"storage": "1"}, persistentVolumeReclaimPolicy="X")),
    ("/api/v1/persistentvolumes", spec(capacity={"storage": "1"}, csi={"driver": "a"})),
    (f"{CORE}endpoints", {"metadata": {"name": "x", "ownerReferences": _OWNERS}}),
    (_EVENTS, {"involvedObject": {"kind": "Node", "name": "n"}}),
    (_EVENTS, {"involvedObject": {"kind": "Pod", "name": "n", "namespace": "other"}}),
    (f"{NETWORKING}ingresses", spec(rules=[{"host": "1.2.3.4"}], ingressClassName="A_b")),
    (f"{NETWORKING}ingresses", _ingress(path="/", pathType="Prefix", backend={})),
    (_POLICIES, spec(podSelector={"matchLabels": {"a b": "c"}})),
    (_POLICIES, spec(ingress=[{"from": [{}], "ports": [{"protocol": "X", "port": 70000}]}])),
    (_POLICIES, spec(egress=[{"to": [{"ipBlock": {"cidr": "x"}}, {"ipBlock": {"cidr": "10.0.0.1"}}]}])),
    (SCALING, spec(maxReplicas=1, scaleTargetRef=TARGET, metrics=[{"type": "X"}, {"type": "Resource"}])),
    (_BUDGETS, spec(minAvailable=1, unhealthyPodEvictionPolicy="X")),
    (f"{RBAC}namespaces/{{ns}}/roles", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
    (f"{RBAC}clusterroles", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]}]}),
    (f"{RBAC}clusterroles", {"aggregationRule": {}}),
]


# As refused, but with other causes.
OTHER_CAUSES = [
    (f"{CORE}pods", container(env=[{"name": "a", "valueFrom": {}}])),
    *((f"{APPS}{kind}", spec(selector=each, template=TEMPLATE)) for kind in _KINDS for each in _WRONG_SELECTORS),
    (f"{CORE}persistentvolumeclaims", spec(accessModes=["X"], resources={"requests": {"storage": "-1"}})),
    (f"{CORE}pods", container(ports=[{"containerPort": 70000, "protocol": "X", "name": "Toolongtobeaname1"}])),
    (_SERVICE, spec(ports=[{"port": 1}], clusterIP="x")),
    (_SERVICE, spec(ports=[{"port": 1, "targetPort": "A_B"}])),
    (f"{CORE}pods", container(volumeMounts=[{"name": "v", "mountPath": "/x", "subPath": "../x"}])),
    (f"{CORE}pods", container(volumeMounts=[{"name": "v", "mountPath": "/x", "subPath": "/x"}])),
    (f"{APPS}deployments", spec(**WORKLOAD, strategy={"type": "X"})),
    *(
        (f"{APPS}{kind}", spec(**WORKLOAD, updateStrategy={"type": "Recreate"}))
        for kind in ("daemonsets", "statefulsets")
    ),
    (f"{BATCH}jobs", {"metadata": {"name": "x" * 64}, **spec(template=JOB_TEMPLATE)}),
    (_SERVICE, spec(ports=[{"port": 1, "name": "a"}, {"port": 1, "name": "b"}])),
    (_SERVICE, spec(type="LoadBalancer", ports=[{"port": 1}], loadBalancerSourceRanges=["x"])),
    ("/api/v1/persistentvolumes", {}),
    (f"{NETWORKING}ingresses", spec(rules=[{"host": "*"}])),
    (f"{CORE}pods", container(volumeMounts=[{"name": name, "mountPath": "/x"} for name in "ab"])),
    *((f"{BATCH}jobs", spec(template=JOB_TEMPLATE, selector=SELECTOR, manualSelector=each)) for each in (False, True)),
    (f"{NETWORKING}ingresses", {}),
    (f"{CORE}endpoints", {"subsets": [{"addresses": [{"ip": "x"}]}]}),
    ("/api/v1/nodes", spec(taints=[{"key": "a", "effect": "X"}])),
    ("/api/v1/nodes", spec(taints=[{"effect": "NoSchedule"}])),
    (_BUDGETS, spec(minAvailable=1, maxUnavailable=1)),
    (f"{NETWORKING}ingresses", _ingress(path="/", pathType="X", backend={"service": {"name": "", "port": {}}})),
    (f"{NETWORKING}ingresses", spec(defaultBackend={"service": {"name": "s", "port": {"number": 1, "name": "x"}}})),
]


@pytest.mark.parametrize("path", dict(REFUSED), ids=lambda path: path.rpartition("/")[2])
def test_refused_objects(shared_servers, path):
    """An object that is not valid is refused, with the same causes."""
    for at, obj in REFUSED:
        if at == path:
            body = {"metadata": {"name": "x"}, **obj}
            assert shared_servers.ask("POST", path, body, query={"dryRun": "All"}).status == 422, obj


@pytest.mark.parametrize(("path", "obj"), OTHER_CAUSES)
def test_objects_that_are_refused_with_other_causes(shared_servers, path, obj):
    """The embedded server names a field in another way, or fewer causes."""
    body = {"metadata": {"name": "x"}, **obj}
    assert shared_servers.ask("POST", path, body, query={"dryRun": "All"}, only=("reason",)).status == 422


def test_hosts_with_a_wildcard(shared_servers):
    """A rule of an Ingress may be for all names below a domain."""
    body = {"metadata": {"name": "wild"}, **spec(rules=[{"host": "*.example.com"}])}
    assert shared_servers.ask("POST", f"{NETWORKING}ingresses", body).status == 201


def test_times_of_leases(shared_servers):
    """The times of a Lease have six digits behind the point."""
    for time, status in (
        ("2030-01-01T00:00:00.000000Z", 201),
        ("2030-01-01T00:00:00Z", 400),
        ("2030-01-01T00:00:00.1Z", 400),
    ):
        body = {"metadata": {"name": "timed"}, **spec(renewTime=time)}
        assert shared_servers.ask("POST", _LEASES, body, any_message=True, only=("reason",)).status == status


def test_metadata_and_spec_are_refused_together(shared_servers):
    """One refusal names what is not valid in the metadata and in the spec."""
    body = {"metadata": {"name": "A_b", "labels": {"a b": "c"}}, "spec": {"containers": []}}
    assert len(shared_servers.ask("POST", f"{CORE}pods", body).body["details"]["causes"]) == 3


_FROZEN = {"immutable": True, "data": {"a": "YQ=="}}
# A list's path, the first object, and its changes: a merge patch, and the status of its answer.
CHANGES = {
    "config-map": (
        f"{CORE}configmaps",
        _FROZEN,
        [
            ({"data": {"a": "c"}}, 422),
            ({"immutable": False}, 422),
            ({"immutable": None, "data": {"a": "c"}, "binaryData": {"z": "YQ=="}}, 422),
            ({"metadata": {"labels": {"a": "b"}}}, 200),
        ],
    ),
    "secret": (f"{CORE}secrets", _FROZEN, [({"stringData": {"b": "x"}}, 422), ({"type": "x"}, 422)]),
    **{
        kind: (
            f"{APPS}{kind}",
            spec(**WORKLOAD),
            [(spec(selector=_OTHER, template={"metadata": {"labels": {"app": "other"}}}), 422)],
        )
        for kind in _KINDS
    },
    "stateful-set": (
        f"{APPS}statefulsets",
        spec(**WORKLOAD, serviceName="a"),
        [(spec(serviceName="z"), 422), (spec(podManagementPolicy="Parallel"), 422), (spec(replicas=2), 200)],
    ),
    "job": (
        f"{BATCH}jobs",
        spec(template=JOB_TEMPLATE),
        [(spec(completions=2), 422), (spec(completionMode="Indexed"), 422), (spec(parallelism=2, backoffLimit=3), 200)],
    ),
    "pod": (
        f"{CORE}pods",
        pod(activeDeadlineSeconds=10),
        [
            (pod(containers=[{"name": "c", "image": "z"}]), 200),
            (spec(nodeName="a"), 422),
            (spec(activeDeadlineSeconds=5), 200),
            (spec(tolerations=None), 200),
            (pod(containers=[CONTAINER, {"name": "d", "image": "x"}]), 422),
            (spec(terminationGracePeriodSeconds=1), 422),
            (spec(restartPolicy="Never"), 422),
            ({"metadata": {"labels": {"a": "b"}}}, 200),
        ],
    ),
    "role-binding": (
        f"{RBAC}namespaces/{{ns}}/rolebindings",
        {"roleRef": {"kind": "Role", "name": "y"}},
        [
            ({"roleRef": {"kind": "ClusterRole", "name": "z"}}, 422),
            ({"subjects": [{"kind": "User", "name": "a"}]}, 200),
        ],
    ),
    "endpoint-slice": (
        _SLICES,
        {"addressType": "IPv4", "endpoints": [{"addresses": ["1.1.1.1"]}]},
        [({"addressType": "FQDN"}, 422)],
    ),
    "controller-revision": (
        f"{APPS}controllerrevisions",
        {"revision": 1, "data": {"a": 1}},
        [({"data": {"a": 2}}, 422)],
    ),
    "service": (f"{CORE}services", spec(ports=[{"port": 1}]), [(spec(clusterIP="10.0.0.99", clusterIPs=None), 422)]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_change(shared_servers, case):
    """A field that must not change is refused in an update, with the same causes; other changes are accepted."""
    path, obj, changes = CHANGES[case]
    shared_servers.ask("POST", path, {"metadata": {"name": "a"}, **obj})
    for patch, status in changes:
        # Of some fields, the real server does not show the value, or as a Go struct.
        any_wording = status == 422 and case in ("role-binding", "endpoint-slice")
        answer = shared_servers.ask("PATCH", f"{path}/a", patch, media=MERGE, any_wording=any_wording)
        assert answer.status == status


def test_change_of_a_claim(shared_servers):
    """A claim may be bound, but neither its modes nor its size may change before."""
    path = f"{CORE}persistentvolumeclaims"
    shared_servers.ask("POST", path, {"metadata": {"name": "a"}, **spec(**CLAIM)}, only=("spec",))
    for change, status in (
        ({"accessModes": ["ReadWriteMany"]}, 422),
        ({"resources": {"requests": {"storage": "2Gi"}}}, 422),
        ({"storageClassName": "x"}, 200),
        ({"volumeName": "v"}, 200),
    ):
        answer = shared_servers.ask("PATCH", f"{path}/a", spec(**change), media=MERGE, only=("spec", "details"))
        assert answer.status == status


def test_change_of_an_ingress_class(shared_servers):
    """The controller of an IngressClass is immutable."""
    path = "/apis/networking.k8s.io/v1/ingressclasses"
    shared_servers.ask("POST", path, {"metadata": {"name": "{ns}"}, **spec(controller="a.b/c")})
    changed = spec(controller="d.e/f")
    assert shared_servers.ask("PATCH", f"{path}/{{ns}}", changed, media=MERGE).status == 422


def test_null_in_a_map_of_strings(shared_servers):
    """A null in a map of strings is stored as an empty string."""
    body = {"metadata": {"name": "with-null"}, "data": {"a": None, "b": "c"}}
    assert shared_servers.ask("POST", f"{CORE}configmaps", body).body["data"] == {"a": "", "b": "c"}


def test_scale_of_another_kind(shared_servers):
    """A Deployment is not taken for its Scale."""
    path = f"{APPS}deployments"
    shared_servers.ask("POST", path, {"metadata": {"name": "big"}, **spec(**WORKLOAD)}, only=())
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "big"}, **spec(replicas=2)}
    assert shared_servers.ask("PUT", f"{path}/big/scale", body, any_message=True).status == 400


def test_taken_ports_and_addresses(shared_servers):
    """A node port or an address that a service wants is refused if it is taken or out of range."""
    shared_servers.ask("POST", _SERVICE, {"metadata": {"name": "taken"}, **spec(type="NodePort", ports=[{"port": 1}])})
    shared_servers.keep("port", lambda body: body["spec"]["ports"][0]["nodePort"])
    shared_servers.keep("address", lambda body: body["spec"]["clusterIP"])
    assert (
        shared_servers.ask(
            "POST",
            _SERVICE,
            {"metadata": {"name": "b"}, **spec(ports=[{"port": 1}], clusterIP="{address}")},
            only=("reason",),
        ).status
        == 422
    )
    far = {"metadata": {"name": "b"}, **spec(ports=[{"port": 1}], clusterIP="10.9.9.9999")}
    assert shared_servers.ask("POST", _SERVICE, far, only=("reason",)).status == 422
    far = {"metadata": {"name": "b"}, **spec(type="NodePort", ports=[{"port": 1, "nodePort": 80}])}
    assert shared_servers.ask("POST", _SERVICE, far).status == 422


SIZES = {
    "annotations": (f"{CORE}configmaps", {"metadata": {"name": "x", "annotations": {"a": "x" * (256 << 10)}}}, 422),
    "request": (f"{CORE}configmaps", {"metadata": {"name": "x"}, "data": {"a": "x" * (3 << 20)}}, 413),
    "etcd": (
        f"{APPS}controllerrevisions",
        {"metadata": {"name": "x"}, "revision": 1, "data": {"a": "x" * (1600 << 10)}},
        500,
    ),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes(shared_servers, case):
    """Annotations, requests and objects that are too large are refused."""
    path, obj, status = SIZES[case]
    assert shared_servers.ask("POST", path, obj).status == status


WRONG_TYPES = [
    pod(containers="x"),
    container(name=1),
    {"spec": 3},
    container(resources={"limits": {"cpu": "x"}}),
    container(env=["x"]),
]


@pytest.mark.parametrize("case", range(len(WRONG_TYPES)))
def test_wrong_types(shared_servers, case):
    """A field of a wrong type is a bad request; how Go's decoder words it is not imitated."""
    body = {"metadata": {"name": "x"}, **WRONG_TYPES[case]}
    assert shared_servers.ask("POST", f"{CORE}pods", body, any_message=True).status == 400


def test_unknown_priority_class(shared_servers):
    """A pod whose priority class does not exist is forbidden."""
    assert (
        shared_servers.ask("POST", f"{CORE}pods", {"metadata": {"name": "x"}, **pod(priorityClassName="nope")}).status
        == 403
    )


UNDECODABLE = {
    "number-in-data": ("configmaps", {"data": {"a": 1}}),
    "list-as-map": ("configmaps", {"data": []}),
    "text-as-bool": ("configmaps", {"immutable": "yes"}),
    "not-base64": ("secrets", {"data": {"a": "!!"}}),
    "text-as-number": ("pods", spec(terminationGracePeriodSeconds="1", containers=[CONTAINER])),
    "map-as-list": ("pods", spec(containers={"name": "m"})),
    "text-as-map": ("pods", spec(containers=["m"])),
    "number-in-list": ("pods", spec(containers=[{**CONTAINER, "args": [1]}])),
    "bool-as-text": ("services", spec(ports=[{"port": 80, "name": True}])),
    "bool-as-port": ("services", spec(ports=[{"port": 80, "targetPort": True}])),
    "owner-uid": ("configmaps", {"metadata": {"name": "b", "ownerReferences": [{"uid": 7}]}}),
}


@pytest.mark.parametrize("case", UNDECODABLE)
def test_a_wrong_type_is_refused(servers, case):
    """In new objects, and in patches of good ones."""
    resource, body = UNDECODABLE[case]
    answer = servers.ask("POST", f"{CORE}{resource}", {"metadata": {"name": "a"}, **body}, any_message=True)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    servers.ask("POST", f"{CORE}configmaps", {"metadata": {"name": "a"}})
    if resource == "configmaps" and "metadata" not in body:
        status = servers.ask("PATCH", f"{CORE}configmaps/a", body, media=MERGE, only=("status", "code")).status
        assert status == 422


def test_a_wrong_time_is_refused(servers):
    lease = {"metadata": {"name": "a"}, **spec(renewTime="yesterday")}
    assert servers.ask("POST", _LEASES, lease, any_message=True).status == 400
    assert servers.ask("POST", _LEASES, {**lease, **spec(renewTime="2026-01-02T03:04:05.678901Z")}).status == 201


def test_owners_are_named_completely(servers):
    """Only references that a write changes are checked."""
    maps = f"{CORE}configmaps"
    servers.ask("POST", maps, {"metadata": {"name": "a"}})
    for owner in ({"kind": "Pod"}, {"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": ""}):
        patch = {"metadata": {"ownerReferences": [owner]}}
        assert servers.ask("PATCH", f"{maps}/a", patch, media=MERGE, unordered=True).status == 422
        assert servers.ask("POST", maps, {"metadata": {"name": "b", **patch["metadata"]}}, unordered=True).status == 422

"""What the server adds to objects of built-in kinds: defaults, first statuses, addresses."""

import pytest

from tests.contracts.kind_samples import CORE, SAMPLES, TARGET, pod, spec

MERGE = "application/merge-patch+json"


@pytest.fixture
def servers(shared_servers):
    return shared_servers


@pytest.mark.parametrize("case", SAMPLES)
def test_new_object(shared_servers, case):
    """A new object is stored with the same fields."""
    path, obj = SAMPLES[case]
    query = {"dryRun": "All"}  # leave nothing behind
    assert shared_servers.ask("POST", path, {"metadata": {"name": f"x-{case}"}, **obj}, query=query).status == 201


def test_protected_claim(servers):
    """A claim is held by the finalizer that protects it, until its controller removes that."""
    claims = f"{CORE}persistentvolumeclaims"
    servers.ask("POST", claims, {"metadata": {"name": "held"}, **SAMPLES["claim"][1]})
    deleted = servers.ask("DELETE", f"{claims}/held").body
    assert deleted["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    servers.ask("PATCH", f"{claims}/held", {"metadata": {"finalizers": None}}, media=MERGE)
    assert servers.ask("GET", f"{claims}/held").status == 404


def test_missing_defaults_of_an_update(servers):
    """A PUT without the defaults sets them again, so that nothing changes."""
    sent = {"metadata": {"name": "plain"}, **pod()}
    created = servers.ask("POST", f"{CORE}pods", sent)
    assert servers.ask("PUT", f"{CORE}pods/plain", sent).body == created.body


def test_type_of_a_service(servers):
    """A service keeps its address when its type changes, gets node ports, and loses them again."""
    path = f"{CORE}services/plain"
    servers.ask("POST", f"{CORE}services", {"metadata": {"name": "plain"}, **spec(ports=[{"port": 1}])})
    assert servers.ask("PATCH", path, spec(clusterIP=None), media=MERGE).body["spec"]["clusterIP"] == "<allocated>"
    changed = servers.ask("PATCH", path, spec(type="NodePort"), media=MERGE).body["spec"]
    assert changed["ports"][0]["nodePort"] == "<allocated>"
    changed = servers.ask("PATCH", path, spec(ports=[{"port": 2}]), media=MERGE).body["spec"]
    assert changed["ports"][0]["nodePort"] == "<allocated>"
    changed = servers.ask("PATCH", path, spec(type="ClusterIP"), media=MERGE).body["spec"]
    assert "nodePort" not in changed["ports"][0]
    changed = servers.ask("PATCH", path, spec(type="ExternalName", externalName="x.y"), media=MERGE).body["spec"]
    assert "clusterIP" not in changed
    changed = servers.ask("PATCH", path, spec(type="LoadBalancer", externalName=None), media=MERGE).body["spec"]
    assert changed["clusterIP"] == "<allocated>"


def test_objects_of_a_new_cluster(servers):
    """The API server itself creates these objects, with the service that leads to it."""
    service = servers.ask("GET", "/api/v1/namespaces/default/services/kubernetes", only=("metadata",))
    assert service.body["metadata"]["labels"] == {"component": "apiserver", "provider": "kubernetes"}
    servers.ask("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes", only=("kind", "metadata", "status"))
    for name in ("system-cluster-critical", "system-node-critical"):
        assert servers.ask("GET", f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}").status == 200
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    for path in (slices, "/api/v1/namespaces/default/endpoints/kubernetes"):
        assert servers.ask("GET", path, only=("kind", "metadata", "addressType")).status == 200


def test_versions_of_a_scaler(servers):
    """A HorizontalPodAutoscaler has two versions of one stored object."""
    v1, v2 = (f"/apis/autoscaling/{each}/namespaces/{{ns}}/horizontalpodautoscalers" for each in ("v1", "v2"))
    old = spec(maxReplicas=3, targetCPUUtilizationPercentage=50, scaleTargetRef=TARGET)
    servers.ask("POST", v1, {"metadata": {"name": "plain", "labels": {"n": ""}}, **old})
    assert (
        servers.ask("GET", f"{v2}/plain").body["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    )
    servers.ask(
        "POST", v2, {"metadata": {"name": "b", "labels": {"n": ""}}, **spec(maxReplicas=3, scaleTargetRef=TARGET)}
    )
    assert servers.ask("GET", f"{v1}/b").body["spec"]["targetCPUUtilizationPercentage"] == 80
    assert len(servers.ask("GET", v1, query={"labelSelector": "n"}).body["items"]) == 2
    servers.ask("PATCH", f"{v1}/plain", spec(maxReplicas=5), media=MERGE)
    assert servers.ask("GET", f"{v2}/plain").body["spec"]["maxReplicas"] == 5

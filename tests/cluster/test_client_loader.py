"""A client loaded as kubectl loads one, at a real kube-apiserver: who the server takes it for, and what kubectl says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from informer import SharedInformerFactory, current_namespace, load_client
from informer.transport.transport import Transport
from tests.support.waiting import DEADLINE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

JANE = {"as": "jane", "as-groups": ["a", "b, c"], "as-uid": "7", "as-user-extra": {"example.com/k": ["v", "w"]}}
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@pytest.fixture
def kubeconfig(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two files: the first impersonates jane as the admin whose token stands in the second, with the cluster."""
    second = cluster.plane.kubeconfig(tmp_path / "second")
    whole = yaml.safe_load(second.read_text())
    user = whole["users"][0]
    first = tmp_path / "first"
    whole_user = {"name": user["name"], "user": {**user["user"], **JANE}}
    context = whole["contexts"][0]
    namespaced = {"name": context["name"], "context": {**context["context"], "namespace": "shop"}}
    first.write_text(yaml.safe_dump({"users": [whole_user], "contexts": [namespaced], "current-context": ""}))
    paths = os.pathsep.join(map(str, (tmp_path / "missing", first, second)))
    monkeypatch.setenv("KUBECONFIG", paths)
    return paths


def test_the_server_sees_the_impersonated_user(kubeconfig: str) -> None:
    """For requests of informers and of the official API classes, as for kubectl. Each group stays one group."""
    api_client = load_client()
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    seen = Transport(api_client).send_json("POST", REVIEWS, review, timeout=DEADLINE)["status"]["userInfo"]
    assert (seen["username"], seen["uid"], seen["extra"]) == ("jane", "7", {"example.com/k": ["v", "w"]})
    assert sorted(seen["groups"]) == ["a", "b, c", "system:authenticated"]
    official = client.AuthenticationV1Api(api_client).create_self_subject_review(body=review).status.user_info
    assert (official.username, sorted(official.groups)) == ("jane", sorted(seen["groups"]))
    command = [f"{os.environ['KUBEBUILDER_ASSETS']}/kubectl", "auth", "whoami", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert json.loads(done.stdout)["status"]["userInfo"] == seen
    assert current_namespace() == "shop"


def test_an_informer_without_a_client_connects_as_kubectl_does(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a self-contained kubeconfig, while /tmp cannot be written."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.plane.kubeconfig(tmp_path / "config")))
    monkeypatch.setattr("informer.transport.transport._defaults", [])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    factory = SharedInformerFactory()
    namespaces = factory.informer("namespaces")
    with factory:
        assert namespaces.wait_for_sync(DEADLINE), namespaces.sync_error()
    assert "default" in namespaces.store.list_keys()

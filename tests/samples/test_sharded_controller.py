"""The sample of a controller with shards: two of it share the work, and its manifests are those of the file."""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from informer.testing import EmbeddedAPIServer
from tests.support.objects import namespace_object
from tests.support.waiting import eventually

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def program() -> ModuleType:
    """Returns a new instance of the sample."""
    spec = importlib.util.spec_from_file_location("sharded_controller", SAMPLES / "sharded_controller.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_replicas_process_all_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has half of the shards in the end; both give their shards up when they stop."""
    with EmbeddedAPIServer(sharded_list_and_watch=True) as server:
        server.create(yaml.safe_load((SAMPLES / "site_crd.yaml").read_text()))
        server.create(namespace_object("sites"))
        # Those of an earlier run: the program need not wait in case they were deleted.
        for i in range(8):
            labels = {"informer.sharding/name": "sharded-controller"}
            metadata = {"name": f"sharded-controller-{i}", "namespace": "sites", "labels": labels}
            server.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}})
        for i in range(10):
            metadata = {"name": f"s{i}", "namespace": "sites"}
            server.create(
                {"apiVersion": "example.com/v1", "kind": "Site", "metadata": metadata, "spec": {"text": "hello"}}
            )

        def holders() -> list[str]:
            leases = server.list("leases.coordination.k8s.io")
            shards = [each for each in leases if "member" not in each["metadata"]["name"]]
            return [each["spec"].get("holderIdentity", "") for each in shards]

        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.setenv("PORT", "0")
        monkeypatch.setenv("LEASE_SECONDS", "6")
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(program().manager)
            assert eventually(lambda: len(server.list("configmaps")) == 10)
            assert eventually(lambda: sorted(map(holders().count, set(holders()))) == [4, 4])
        assert set(holders()) == {""}


def test_the_manifests_are_those_of_the_file() -> None:
    """After a comment."""
    made = program().manager.manifests(namespace="sites", image="example.com/sharded-controller:1")
    written = (SAMPLES / "sharded_controller.yaml").read_text(encoding="utf-8")
    assert list(yaml.safe_load_all(written)) == made

"""Clients for Python of other projects work on the embedded server as on a real one."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.foreign.conftest import Server
from tests.support.waiting import DEADLINE, eventually

pytestmark = [
    pytest.mark.timeout(120),
    # Each client keeps connections open, and the embedded server has a thread for each.
    pytest.mark.leaves_threads,
    # Such as connections that a client does not close.
    pytest.mark.filterwarnings("ignore"),
]

OPERATOR = Path(__file__).with_name("kopf_operator.py")
LABELS = {"app": "foreign"}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "spec": {
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture(autouse=True)
def connections_are_collected() -> Iterator[None]:
    """Collects what a client has left open here, where its warnings are ignored."""
    yield
    gc.collect()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": LABELS}, "data": data}


def deployment(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def test_the_official_client(server: Server) -> None:
    """Typed and dynamic objects, a watch, patches, scale, conflicts."""
    from kubernetes import client, config, dynamic, watch

    with config.new_client_from_config(str(server.kubeconfig)) as api_client:
        core, apps = client.CoreV1Api(api_client), client.AppsV1Api(api_client)
        created = core.create_namespaced_config_map(server.namespace, config_map("a", b="c"))
        version = core.list_namespaced_config_map(server.namespace).metadata.resource_version
        core.patch_namespaced_config_map("a", server.namespace, {"data": {"b": "d"}})
        core.delete_namespaced_config_map("a", server.namespace)
        watcher = watch.Watch()
        events = []
        options = {"resource_version": version, "timeout_seconds": 10, "label_selector": "app=foreign"}
        for event in watcher.stream(core.list_namespaced_config_map, server.namespace, **options):
            events.append((event["type"], event["object"].data))
            if len(events) == 2:
                watcher.stop()
        assert events == [("MODIFIED", {"b": "d"}), ("DELETED", {"b": "d"})]
        with pytest.raises(client.ApiException, match="Not Found"):
            core.replace_namespaced_config_map("a", server.namespace, created)
        apps.create_namespaced_deployment(server.namespace, deployment("web"))
        apps.patch_namespaced_deployment_scale("web", server.namespace, {"spec": {"replicas": 4}})
        assert apps.read_namespaced_deployment("web", server.namespace).spec.replicas == 4
        resource = dynamic.DynamicClient(api_client).resources.get(api_version="apps/v1", kind="Deployment")
        assert resource.get(name="web", namespace=server.namespace).spec.replicas == 4
        applied = resource.server_side_apply(
            deployment("web"), namespace=server.namespace, field_manager="f", force_conflicts=True
        )
        assert applied.spec.replicas == 1


def test_kubernetes_asyncio(server: Server) -> None:
    """A list, a watch from its resourceVersion, a patch and a deletion."""
    asyncio_client = pytest.importorskip("kubernetes_asyncio", reason="kubernetes_asyncio is not installed")

    async def main() -> list[tuple[str, Any]]:
        async with await asyncio_client.config.new_client_from_config(str(server.kubeconfig)) as api_client:
            core = asyncio_client.client.CoreV1Api(api_client)
            await core.create_namespaced_config_map(server.namespace, config_map("a", b="c"))
            listed = await core.list_namespaced_config_map(server.namespace, label_selector="app=foreign")
            assert [item.metadata.name for item in listed.items] == ["a"]
            await core.patch_namespaced_config_map("a", server.namespace, [{"op": "remove", "path": "/data/b"}])
            await core.delete_namespaced_config_map("a", server.namespace)
            events = []
            options = {"resource_version": listed.metadata.resource_version, "timeout_seconds": 10}
            async with asyncio_client.watch.Watch() as watcher:
                async for event in watcher.stream(core.list_namespaced_config_map, server.namespace, **options):
                    events.append((event["type"], event["object"].data or None))
                    if event["type"] == "DELETED":
                        return events
        return events

    assert asyncio.run(asyncio.wait_for(main(), DEADLINE)) == [("MODIFIED", None), ("DELETED", None)]


def test_lightkube(server: Server) -> None:
    """Typed objects, a watch, a conflict, server-side apply, the scale of a deployment, and a custom resource."""
    lightkube = pytest.importorskip("lightkube", reason="lightkube is not installed: pip install lightkube")
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import ConfigMap

    client = lightkube.Client(
        config=lightkube.KubeConfig.from_file(server.kubeconfig), namespace=server.namespace, field_manager="lightkube"
    )
    created = client.create(ConfigMap(metadata=ObjectMeta(name="a", labels=LABELS), data={"b": "c"}))
    client.patch(ConfigMap, "a", {"data": {"b": "d"}})
    with pytest.raises(lightkube.ApiError, match="the object has been modified"):
        client.replace(created)
    assert client.get(ConfigMap, "a").data == {"b": "d"}
    for change, found in client.watch(ConfigMap, labels=LABELS, resource_version=created.metadata.resourceVersion):
        assert (change, found.data) == ("MODIFIED", {"b": "d"})
        break
    applied = client.apply(ConfigMap(metadata=ObjectMeta(name="new"), data={"x": "y"}))
    assert [item.metadata.name for item in client.list(ConfigMap, fields={"metadata.name": "new"})] == ["new"]
    assert applied.metadata.managedFields[0].manager == "lightkube"
    client.create(Deployment.from_dict(deployment("web")))
    client.patch(Deployment.Scale, "web", {"spec": {"replicas": 3}})
    assert client.get(Deployment, "web").spec.replicas == 3
    group = f"{server.namespace}.example.com"
    names = {"plural": "toys", "kind": "Toy"}
    definition = {**DEFINITION, "metadata": {"name": f"toys.{group}"}}
    definition["spec"] = {**DEFINITION["spec"], "group": group, "names": names}  # type: ignore[dict-item]
    client.create(CustomResourceDefinition.from_dict(definition))
    client.wait(CustomResourceDefinition, f"toys.{group}", for_conditions=["Established"])
    toy = create_namespaced_resource(group, "v1", "Toy", "toys")
    client.create(toy({"metadata": {"name": "t"}, "spec": {"size": 1}}))
    assert client.get(toy, "t")["spec"] == {"size": 1}
    client.delete(CustomResourceDefinition, f"toys.{group}")
    client.delete(ConfigMap, "a")


def test_kr8s(server: Server) -> None:
    """Objects of its classes and of discovered kinds, labels, a watch, a scale, and a wait for deletion."""
    pytest.importorskip("kr8s", reason="kr8s is not installed: pip install kr8s")

    async def main() -> None:
        import kr8s.asyncio
        from kr8s.asyncio.objects import ConfigMap, Deployment

        api = await kr8s.asyncio.api(kubeconfig=str(server.kubeconfig), namespace=server.namespace)
        made = await ConfigMap({**config_map("a", b="c")}, namespace=server.namespace, api=api)
        await made.create()
        await made.patch({"data": {"b": "d"}})
        await made.label({"tier": "front"})
        found = [each async for each in api.get("configmaps", namespace=server.namespace, label_selector=LABELS)]
        assert [(each.name, each.labels["tier"], each.data.b) for each in found] == [("a", "front", "d")]
        async for change, obj in api.watch("configmaps", namespace=server.namespace, field_selector="metadata.name=a"):
            assert (change, obj.name) == ("ADDED", "a")
            break
        web = await Deployment(deployment("web"), namespace=server.namespace, api=api)
        await web.create()
        # kr8s waits for the pods otherwise, which no controller makes.
        async with api.call_api(
            "PATCH",
            version="apps/v1",
            url="deployments/web/scale",
            namespace=server.namespace,
            data='{"spec":{"replicas":2}}',
            headers={"Content-Type": "application/merge-patch+json"},
        ):
            await web.refresh()
        assert web.replicas == 2
        await made.delete()
        await made.wait("delete", timeout=DEADLINE)
        assert not await made.exists()

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_kopf(server: Server) -> None:
    """An operator handles a creation, a change and a deletion, and keeps its state in annotations and a finalizer."""
    pytest.importorskip("kopf", reason="kopf is not installed: the nox session has it (nox -s foreign)")
    from kubernetes import client, config

    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace", server.namespace, str(OPERATOR)]
    environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
    with (
        config.new_client_from_config(str(server.kubeconfig)) as api_client,
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as operator,
    ):
        core = client.CoreV1Api(api_client)

        def data() -> Any:
            return core.read_namespaced_config_map("a", server.namespace).data

        try:
            core.create_namespaced_config_map(server.namespace, config_map("a", size="1"))
            assert eventually(lambda: data().get("seen") == "created")
            core.patch_namespaced_config_map("a", server.namespace, {"data": {"size": "2"}})
            assert eventually(lambda: data().get("seen") == "1 to 2")
            assert core.read_namespaced_config_map("a", server.namespace).metadata.finalizers
            core.delete_namespaced_config_map("a", server.namespace)
            listed = core.list_namespaced_config_map
            assert eventually(lambda: not listed(server.namespace, label_selector="app=foreign").items)
        finally:
            operator.terminate()
            _, log = operator.communicate(timeout=DEADLINE)
    assert "Traceback" not in log, log

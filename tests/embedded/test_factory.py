"""SharedInformerFactory over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from informer import ListOptions, ListWatch, SharedInformer, SharedInformerFactory, wait_for_cache_sync
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map, namespace_object
from tests.support.waiting import DEADLINE
from watch import ApiError, Channel


def record_calls(informer: Any) -> Channel[tuple[str, str]]:
    received: Channel[tuple[str, str]] = Channel(None)

    def key_of(obj: Any) -> str:
        metadata = obj.metadata if hasattr(obj, "metadata") else obj
        return f"{metadata.namespace}/{metadata.name}"

    informer.add_event_handler(
        on_add=lambda obj: received.put(("add", key_of(obj))),
        on_update=lambda old, new: received.put(("update", key_of(new))),
        on_delete=lambda obj: received.put(("delete", key_of(obj))),
    )
    return received


def test_factory_of_a_namespace_delivers_only_its_objects(server: EmbeddedAPIServer) -> None:
    """Go: TestFilteredDynamicSharedInformerFactory. Objects of other namespaces are not delivered."""
    for namespace in ("ns-foo", "ns-bar"):
        server.create(namespace_object(namespace))
    with SharedInformerFactory(server.api_client(), namespace="ns-foo") as factory:
        received = record_calls(factory.informer("configmaps"))
        factory.start()
        assert all(factory.wait_for_cache_sync(DEADLINE).values())
        server.create(config_map("elsewhere", namespace="ns-bar"))
        server.create(config_map("here", namespace="ns-foo"))
        assert received.get(DEADLINE) == ("add", "ns-foo/here")


@pytest.mark.parametrize(
    ("resource", "options"),
    [
        ("configmaps", {}),
        ("configmaps", {"metadata_only": True}),
        (client.V1ConfigMap, {}),
        ("list_config_map_for_all_namespaces", {"model": client.V1ConfigMap}),
    ],
    ids=["dynamic", "metadata", "model-class", "list-method"],
)
def test_changes_are_delivered(server: EmbeddedAPIServer, resource: Any, options: Any) -> None:
    """Go: TestDynamicSharedInformerFactory, TestMetadataSharedInformerFactory. Creates, updates and deletes are delivered."""
    api_client = server.api_client()
    if isinstance(resource, str) and resource.startswith("list_"):
        resource = getattr(client.CoreV1Api(api_client), resource)
    factory = SharedInformerFactory(api_client)
    received = record_calls(factory.informer(resource, **options))
    with factory:
        assert all(factory.wait_for_cache_sync(DEADLINE).values())
        server.create(config_map("a"))
        assert received.get(DEADLINE) == ("add", "default/a")
        server.update(config_map("a", labels={"app": "web"}))
        assert received.get(DEADLINE) == ("update", "default/a")
        server.delete("configmaps", "a")
        assert received.get(DEADLINE) == ("delete", "default/a")


def test_tweak_list_options_changes_every_request(server: EmbeddedAPIServer) -> None:
    """The options that the function returns are sent; if it returns None, the options stay as they are."""
    server.create(config_map("web", labels={"app": "web"}))
    server.create(config_map("db", labels={"app": "db"}))

    def only_web(options: ListOptions) -> ListOptions:
        return ListOptions(**{**_fields(options), "label_selector": "app=web"})

    for tweak, expected in ((only_web, ["default/web"]), (lambda options: None, ["default/db", "default/web"])):
        factory = SharedInformerFactory(server.api_client(), tweak_list_options=tweak)
        informer = factory.informer("configmaps")
        with factory:
            assert wait_for_cache_sync(informer, timeout=DEADLINE)
            assert sorted(informer.store) == expected


def _fields(options: ListOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


def test_each_selector_has_its_own_informer(server: EmbeddedAPIServer) -> None:
    """Each selector has its own informer, with the objects that match."""
    server.create(config_map("web", labels={"app": "web"}))
    server.create(config_map("db", labels={"app": "db"}))
    factory = SharedInformerFactory(server.api_client())
    web = factory.informer("configmaps", label_selector="app=web")
    db = factory.informer("configmaps", field_selector="metadata.name=db")
    both = factory.informer("configmaps")
    with factory:
        assert factory.wait_for_cache_sync(DEADLINE) == {web: True, db: True, both: True}
        assert (list(web.store), list(db.store), len(both.store)) == (["default/web"], ["default/db"], 2)


def test_selectors_may_be_mappings(server: EmbeddedAPIServer) -> None:
    """They select the same as their text, and share its informer."""
    server.create(config_map("web", labels={"app": "web", "tier": "a"}))
    server.create(config_map("db", labels={"app": "db"}))
    factory = SharedInformerFactory(server.api_client())
    web = factory.informer("configmaps", label_selector={"app": "web", "tier": "a"})
    assert factory.informer("configmaps", label_selector="app=web,tier=a") is web
    db = factory.informer("configmaps", field_selector={"metadata.name": "db"})
    core_v1 = client.CoreV1Api(server.api_client())
    listed = SharedInformer(
        ListWatch.from_api(core_v1.list_config_map_for_all_namespaces, label_selector={"app": "db"})
    )
    with factory, listed:
        assert factory.wait_for_cache_sync(DEADLINE) == {web: True, db: True}
        assert listed.wait_for_sync(DEADLINE)
        assert (list(web.store), list(db.store), list(listed.store)) == (
            ["default/web"],
            ["default/db"],
            ["default/db"],
        )


def test_wait_for_cache_sync_reports_the_informer_that_cannot_sync(server: EmbeddedAPIServer) -> None:
    """client-go source. The result says which informers have synced, and `sync_error()` says why one has not."""
    server.forbid("*", "secrets")
    factory = SharedInformerFactory(server.api_client())
    allowed, forbidden = factory.informer("configmaps"), factory.informer("secrets")
    with factory:
        assert wait_for_cache_sync(allowed, timeout=DEADLINE)
        assert server.requests.wait_for(1, resource="secrets", timeout=DEADLINE)
        assert factory.wait_for_cache_sync(0.3) == {allowed: True, forbidden: False}
        error = forbidden.sync_error()
        assert isinstance(error, ApiError)
        assert error.status == 403


def test_names_of_the_same_resource_share_one_watch(server: EmbeddedAPIServer) -> None:
    """Requesting the same resource by another name adds no request."""
    api_client = server.api_client()
    factory = SharedInformerFactory(api_client)
    for resource in ("configmaps", "v1/ConfigMap", client.CoreV1Api(api_client).list_config_map_for_all_namespaces):
        factory.informer(resource)
    with factory:
        assert all(factory.wait_for_cache_sync(DEADLINE).values())
        assert len(server.requests.select("list", resource="configmaps")) == 1
    assert ListWatch.for_resource(api_client, "configmaps").resource_name == "configmaps"

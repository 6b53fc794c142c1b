"""Factories over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from informer import ListOptions, ListWatch, SharedInformerFactory, wait_for_cache_sync
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE
from watch import ApiError, Channel


def told_of(informer: Any) -> Channel[tuple[str, str]]:
    told: Channel[tuple[str, str]] = Channel(None)

    def key_of(obj: Any) -> str:
        metadata = obj.metadata if hasattr(obj, "metadata") else obj
        return f"{metadata.namespace}/{metadata.name}"

    informer.add_event_handler(
        on_add=lambda obj: told.put(("add", key_of(obj))),
        on_update=lambda old, new: told.put(("update", key_of(new))),
        on_delete=lambda obj: told.put(("delete", key_of(obj))),
    )
    return told


def test_a_factory_of_a_namespace_sees_only_that(server: EmbeddedAPIServer) -> None:
    """Go: TestFilteredDynamicSharedInformerFactory. What is created elsewhere is never told."""
    for namespace in ("ns-foo", "ns-bar"):
        server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    with SharedInformerFactory(server.api_client(), namespace="ns-foo") as factory:
        told = told_of(factory.informer("configmaps"))
        factory.start()
        assert all(factory.wait_for_cache_sync(DEADLINE).values())
        server.create(config_map("elsewhere", namespace="ns-bar"))
        server.create(config_map("here", namespace="ns-foo"))
        assert told.get(DEADLINE) == ("add", "ns-foo/here")


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
def test_what_happens_is_told(server: EmbeddedAPIServer, resource: Any, options: Any) -> None:
    """Go: TestDynamicSharedInformerFactory, TestMetadataSharedInformerFactory. Creates, updates and deletes."""
    api_client = server.api_client()
    if isinstance(resource, str) and resource.startswith("list_"):
        resource = getattr(client.CoreV1Api(api_client), resource)
    factory = SharedInformerFactory(api_client)
    told = told_of(factory.informer(resource, **options))
    with factory:
        assert all(factory.wait_for_cache_sync(DEADLINE).values())
        server.create(config_map("a"))
        assert told.get(DEADLINE) == ("add", "default/a")
        server.update(config_map("a", labels={"app": "web"}))
        assert told.get(DEADLINE) == ("update", "default/a")
        server.delete("configmaps", "a")
        assert told.get(DEADLINE) == ("delete", "default/a")


def test_every_request_can_be_tweaked(server: EmbeddedAPIServer) -> None:
    """What the function returns is asked; where it returns nothing, the options stay as they are."""
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


def test_selectors_make_informers_of_their_own(server: EmbeddedAPIServer) -> None:
    """Each has what its selector lets through."""
    server.create(config_map("web", labels={"app": "web"}))
    server.create(config_map("db", labels={"app": "db"}))
    factory = SharedInformerFactory(server.api_client())
    web = factory.informer("configmaps", label_selector="app=web")
    db = factory.informer("configmaps", field_selector="metadata.name=db")
    both = factory.informer("configmaps")
    with factory:
        assert factory.wait_for_cache_sync(DEADLINE) == {web: True, db: True, both: True}
        assert (list(web.store), list(db.store), len(both.store)) == (["default/web"], ["default/db"], 2)


def test_one_that_cannot_sync_is_told_among_the_others(server: EmbeddedAPIServer) -> None:
    """client-go source. The result says which have synced, and the informer says what is in the way."""
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


def test_resources_by_any_name_share_one_watch(server: EmbeddedAPIServer) -> None:
    """Whoever asks for the same costs the server nothing more."""
    api_client = server.api_client()
    factory = SharedInformerFactory(api_client)
    for resource in ("configmaps", "v1/ConfigMap", client.CoreV1Api(api_client).list_config_map_for_all_namespaces):
        factory.informer(resource)
    with factory:
        assert all(factory.wait_for_cache_sync(DEADLINE).values())
        assert len(server.requests.select(resource="configmaps")) == 1
    assert ListWatch.for_resource(api_client, "configmaps").resource_name == "configmaps"

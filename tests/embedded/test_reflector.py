"""How an informer lists and watches an embedded API server over HTTP, and how it recovers from faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from informer import ApiError, Backoff, ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map, namespace_object
from tests.support.waiting import DEADLINE, eventually

QUICK = Backoff(initial=0.01, maximum=0.05)

Follow = Callable[..., SharedInformer[Any]]


@pytest.fixture
def follow() -> Iterator[Follow]:
    """Starts informers of a server's ConfigMaps; they are stopped when the test is over."""
    made: list[tuple[SharedInformer[Any], Any]] = []

    def start(
        server: EmbeddedAPIServer, resource: str = "configmaps", *, where: Any = None, **options: Any
    ) -> SharedInformer[Any]:
        api_client = server.api_client()
        source = ListWatch.for_resource(api_client, resource, **(where or {}))
        informer = SharedInformer(source, **{"backoff": QUICK, **options})
        informer.start()
        made.append((informer, api_client))
        return informer

    yield start
    for informer, api_client in made:
        assert informer.stop(DEADLINE)
        api_client.close()


def shows(informer: SharedInformer[Any], obj: dict[str, Any]) -> bool:
    """Returns whether the cache reaches the version of an object that was just written."""
    return informer.wait_for_resource_version(obj["metadata"]["resourceVersion"], DEADLINE)


def names(informer: SharedInformer[Any]) -> list[str]:
    return sorted(obj.name for obj in informer.store.list())


def verbs(server: EmbeddedAPIServer, resource: str = "configmaps") -> list[str]:
    return [request.verb for request in server.requests if request.resource.partition(".")[0] == resource]


@pytest.mark.parametrize(
    ("version", "streams"), [("1.31", False), ("1.32", True), ("1.33", False), ("1.34", True), ("1.37", True)]
)
def test_watch_list_is_used_if_the_server_supports_it(version: str, streams: bool, follow: Follow) -> None:
    """KEP-3157: one request if the server has the feature gate on, otherwise a refusal (422), a list and a watch."""
    with EmbeddedAPIServer(version=version) as server:
        server.create(config_map("a"))
        informer = follow(server, watch_list=True)
        assert informer.wait_for_sync(DEADLINE)
        assert shows(informer, server.create(config_map("b")))
        assert names(informer) == ["a", "b"]
        assert verbs(server) == (["watch_list"] if streams else ["watch_list", "list", "watch"])
        # A server that has refused a watch list is not asked for one again.
        server.compact()
        server.faults.cut_connections()
        assert shows(informer, server.create(config_map("c")))
        assert verbs(server).count("watch_list") == (1 + verbs(server)[1:].count("watch_list") if streams else 1)


def test_a_compressed_watch_list_is_read(follow: Follow) -> None:
    """WatchListCompression: the stream is gzipped for its whole life, one member per flush."""
    with EmbeddedAPIServer(version="1.37") as server:
        for i in range(50):
            server.create(config_map(f"c{i}", "x" * 2000))
        informer = follow(server, where={"gzip": True}, watch_list=True)
        assert informer.wait_for_sync(DEADLINE)
        for i in range(50):
            last = server.update(config_map(f"c{i}", "y" * 2000))
        assert shows(informer, last)
        assert {obj["data"]["value"][0] for obj in informer.store.list()} == {"y"}
        assert verbs(server) == ["watch_list"]


def test_list_is_paged(follow: Follow, embedded_apiserver: EmbeddedAPIServer) -> None:
    """Pages come from one snapshot (limit and continue); the watch that follows delivers changes made between two pages."""
    for i in range(25):
        embedded_apiserver.create(config_map(f"c{i:02}"))
    informer = follow(embedded_apiserver, watch_list=False, page_size=10)
    assert informer.wait_for_sync(DEADLINE)
    assert len(names(informer)) == 25
    assert shows(informer, embedded_apiserver.create(config_map("later")))
    lists = [request for request in embedded_apiserver.requests if request.verb == "list"]
    # The server answers a list at resourceVersion "0" from its cache, in one page.
    assert [request.query.get("limit") for request in lists] == ["10"] * len(lists)


def test_watch_list_without_end_bookmark_falls_back_to_list(
    follow: Follow, embedded_apiserver: EmbeddedAPIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends the initial state but never the bookmark that ends it."""
    monkeypatch.setattr("informer.reflector.watch_list._BOOKMARK_PATIENCE", 0.2)
    embedded_apiserver.create(config_map("a"))
    embedded_apiserver.faults.no_end_bookmark(times=None)
    informer = follow(embedded_apiserver, watch_list=True)
    assert informer.wait_for_sync(DEADLINE)
    assert names(informer) == ["a"]
    assert shows(informer, embedded_apiserver.create(config_map("b")))
    assert verbs(embedded_apiserver) == ["watch_list", "list", "watch"]


@pytest.mark.parametrize(
    ("watch_list", "wire"), [(True, "json"), (False, "protobuf")], ids=["watch-list-json", "list-protobuf"]
)
def test_a_compacted_history_is_relisted_and_deletes_are_found(
    watch_list: bool, wire: str, follow: Follow, embedded_apiserver: EmbeddedAPIServer
) -> None:
    """410 after a disconnection in which one object was deleted, one changed and one created."""
    for name in ("gone", "changed"):
        embedded_apiserver.create(config_map(name))
    informer = follow(embedded_apiserver, where={"wire": wire}, watch_list=watch_list)
    assert informer.wait_for_sync(DEADLINE)
    embedded_apiserver.faults.refuse_connections()
    embedded_apiserver.faults.cut_connections()
    assert eventually(lambda: not informer.is_watching)
    embedded_apiserver.delete(config_map("gone"))
    embedded_apiserver.update(config_map("changed", "new"))
    last = embedded_apiserver.create(config_map("new"))
    embedded_apiserver.compact()
    embedded_apiserver.faults.accept_connections()
    assert shows(informer, last)
    assert names(informer) == ["changed", "new"]
    assert informer.store.get_by_key("default/changed")["data"]["value"] == "new"


FAULTS: dict[str, Callable[[Any], object]] = {
    "cut": lambda faults: faults.cut_connections(),
    "reset": lambda faults: faults.cut_connections(reset=True),
    "ended": lambda faults: faults.end_watches(),
    "half-line": lambda faults: faults.half_line(),
    "garbage": lambda faults: faults.garbage_line(),
    "blank": lambda faults: faults.blank_line(),
    "unknown-event": lambda faults: faults.unknown_event(),
    "410": lambda faults: faults.error_event(410),
    "429": lambda faults: faults.error_event(429),
    "500": lambda faults: faults.error_event(500),
    "odd-status": lambda faults: faults.error_event({}),
    "cut-later": lambda faults: faults.cut_after(100),
}


@pytest.mark.parametrize(
    ("watch_list", "wire"), [(True, "protobuf"), (False, "json")], ids=["watch-list-protobuf", "list-json"]
)
@pytest.mark.parametrize("fault", FAULTS)
def test_cache_is_right_after_each_fault_of_a_watch(
    fault: str, watch_list: bool, wire: str, follow: Follow, embedded_apiserver: EmbeddedAPIServer
) -> None:
    """After each fault of a watch, changes written around it still arrive, and the informer makes few requests."""
    embedded_apiserver.create(config_map("a"))
    informer = follow(embedded_apiserver, where={"wire": wire}, watch_list=watch_list)
    assert informer.wait_for_sync(DEADLINE)
    assert shows(informer, embedded_apiserver.create(config_map("b")))
    FAULTS[fault](embedded_apiserver.faults)
    embedded_apiserver.delete(config_map("a"))
    last = embedded_apiserver.create(config_map("c"))
    assert shows(informer, last)
    assert names(informer) == ["b", "c"]
    assert len(verbs(embedded_apiserver)) <= 6


REFUSALS: dict[str, Callable[[Any, str], object]] = {
    "429": lambda faults, on: faults.too_many_requests(0, on=on, times=2),
    "500": lambda faults, on: faults.internal_error(on=on, times=2),
    "503": lambda faults, on: faults.service_unavailable(on=on, times=2),
    "410": lambda faults, on: faults.expired(on=on, times=1),
    "504": lambda faults, on: faults.too_large_resource_version(on=on, times=1),
    "html": lambda faults, on: faults.answer(502, body="<html>Bad Gateway</html>", on=on, times=2),
    "drop": lambda faults, on: faults.drop(on=on, times=2),
    "half-a-body": lambda faults, on: faults.cut_after(50, on=on, times=1),
}


@pytest.mark.parametrize(
    ("on", "where"),
    [
        ("list", {"wire": "protobuf"}),
        ("watch", {"metadata_only": True}),
        ("watch", {"wire": "protobuf"}),
        ("watch_list", {}),
    ],
    ids=["list-protobuf", "watch-metadata", "watch-protobuf", "watch_list-json"],
)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_cache_is_filled_after_each_failure_of_the_first_request(
    refusal: str, on: str, where: dict[str, Any], follow: Follow, embedded_apiserver: EmbeddedAPIServer
) -> None:
    """After each failure of the first list, watch or watch list, the informer is in sync and reports no error."""
    embedded_apiserver.create(config_map("a"))
    REFUSALS[refusal](embedded_apiserver.faults, on)
    informer = follow(embedded_apiserver, where=where, watch_list=on == "watch_list")
    assert informer.wait_for_sync(DEADLINE)
    assert shows(informer, embedded_apiserver.create(config_map("b")))
    assert names(informer) == ["a", "b"]
    assert eventually(lambda: informer.sync_error() is None)
    assert len(verbs(embedded_apiserver)) <= 8


def test_silent_watch_is_closed_and_resumed(follow: Follow, embedded_apiserver: EmbeddedAPIServer) -> None:
    """The connection stays open and silent; the informer confirms its version, and watches again without a relist."""
    informer = follow(embedded_apiserver, silence_timeout=0.3, watch_list=True)
    assert informer.wait_for_sync(DEADLINE)
    assert shows(informer, embedded_apiserver.create(config_map("a")))
    embedded_apiserver.faults.freeze()
    assert shows(informer, embedded_apiserver.create(config_map("b")))
    assert {request.query["limit"] for request in embedded_apiserver.requests.select("list")} == {"1"}
    assert verbs(embedded_apiserver).count("watch_list") == 1


def test_informer_resumes_after_a_restart_of_the_server(follow: Follow, embedded_apiserver: EmbeddedAPIServer) -> None:
    """The server restarts with its state, and the informer resumes."""
    embedded_apiserver.create(config_map("a"))
    informer = follow(embedded_apiserver)
    assert informer.wait_for_sync(DEADLINE)
    embedded_apiserver.restart()
    assert shows(informer, embedded_apiserver.create(config_map("b")))
    assert names(informer) == ["a", "b"]


def test_forbidden_list_is_reported_until_it_is_allowed(follow: Follow, embedded_apiserver: EmbeddedAPIServer) -> None:
    """403 is retried and reported by `sync_error()`, which returns None again once access is granted."""
    embedded_apiserver.create(config_map("a"))
    for verb in ("list", "watch"):
        embedded_apiserver.forbid(verb, "configmaps")
    informer = follow(embedded_apiserver)
    assert eventually(lambda: informer.sync_error() is not None)
    error = informer.sync_error()
    assert isinstance(error, ApiError)
    assert error.status == 403
    assert "configmaps" in str(error)
    embedded_apiserver.allow()
    assert informer.wait_for_sync(DEADLINE)
    assert eventually(lambda: informer.sync_error() is None)


def test_replaced_token_is_used_for_the_next_watch(follow: Follow, tmp_path: Path) -> None:
    """Token expiry: the watch continues; after it ends the new token is read, and nothing is listed again."""
    with EmbeddedAPIServer(tls=True, tokens=["one"]) as server:
        from kubernetes import client, config

        token = tmp_path / "token"
        token.write_text("one")
        path = server.kubeconfig(tmp_path / "config")
        contents = yaml.safe_load(path.read_text())
        contents["users"][0]["user"] = {"tokenFile": str(token)}
        path.write_text(yaml.safe_dump(contents))
        configuration = client.Configuration()
        config.load_kube_config(str(path), client_configuration=configuration)
        with client.ApiClient(configuration) as api_client:
            source = ListWatch.for_resource(api_client, "configmaps")
            with SharedInformer(source, backoff=QUICK, watch_list=True) as informer:
                assert informer.wait_for_sync(DEADLINE)
                token.write_text("two")
                server.set_tokens(["two"])
                server.faults.cut_connections()
                assert shows(informer, server.create(config_map("a")))
                assert [verb for verb in verbs(server) if verb == "list"] == []


@pytest.mark.parametrize("namespaces", [["one", "two"], ["one"]], ids=["two", "one"])
def test_each_namespace_has_its_own_list_and_watch(
    namespaces: list[str], follow: Follow, embedded_apiserver: EmbeddedAPIServer
) -> None:
    """An informer of several namespaces sends one list and one watch per namespace, and none to other namespaces."""
    for namespace in ("one", "two", "three"):
        embedded_apiserver.create(namespace_object(namespace))
        embedded_apiserver.create(config_map("a", namespace=namespace))
    informer = follow(embedded_apiserver, where={"namespace": namespaces})
    assert informer.wait_for_sync(DEADLINE)
    assert sorted(informer.store.list_keys()) == [f"{namespace}/a" for namespace in namespaces]
    assert {request.namespace for request in embedded_apiserver.requests} == set(namespaces)


def test_bookmarks_let_a_watch_without_events_resume(follow: Follow) -> None:
    """Bookmarks move the version of a watch without events, so that resuming it needs no list."""
    with EmbeddedAPIServer(bookmark_interval=0.1) as server:
        informer = follow(server, watch_list=False)
        assert informer.wait_for_sync(DEADLINE)
        # Writes to another resource move the server's version.
        for i in range(20):
            last = server.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{i}"}})
        assert shows(informer, last)
        server.compact()
        server.faults.end_watches()
        assert shows(informer, server.create(config_map("a")))
        assert verbs(server).count("list") == 1

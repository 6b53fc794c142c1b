"""Lists and watches against an API server that does what a real one does, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from informer import ApiError, Backoff, ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.eventually import eventually

LIMIT = 10.0
QUICK = Backoff(initial=0.01, maximum=0.05)

Follow = Callable[..., SharedInformer[Any]]


def config_map(name: str, value: str = "", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"value": value}}


@pytest.fixture
def follow() -> Iterator[Follow]:
    """Starts informers of a server's config maps; they are stopped at the end."""
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
        assert informer.stop(LIMIT)
        api_client.close()


def shows(informer: SharedInformer[Any], obj: dict[str, Any]) -> bool:
    """Whether the cache comes to show what a write made."""
    return informer.wait_for_resource_version(obj["metadata"]["resourceVersion"], LIMIT)


def names(informer: SharedInformer[Any]) -> list[str]:
    return sorted(obj.name for obj in informer.store.list())


def verbs(server: EmbeddedAPIServer, resource: str = "configmaps") -> list[str]:
    return [request.verb for request in server.requests if request.resource.partition(".")[0] == resource]


@pytest.mark.parametrize(
    ("version", "streams"), [("1.31", False), ("1.32", True), ("1.33", False), ("1.34", True), ("1.37", True)]
)
def test_watch_lists_are_used_where_the_server_has_them(version: str, streams: bool, follow: Follow) -> None:
    """KEP-3157. One request where the server has the gate on; 422, and then a list and a watch, where it is off."""
    with EmbeddedAPIServer(version=version) as server:
        server.create(config_map("a"))
        informer = follow(server)
        assert informer.wait_for_sync(LIMIT)
        assert shows(informer, server.create(config_map("b")))
        assert names(informer) == ["a", "b"]
        assert verbs(server) == (["watch_list"] if streams else ["watch_list", "list", "watch"])
        # Refused once, it is not asked for again.
        server.compact()
        server.faults.cut_connections()
        assert shows(informer, server.create(config_map("c")))
        assert verbs(server).count("watch_list") == (1 + verbs(server)[1:].count("watch_list") if streams else 1)


def test_a_compressed_watch_list_is_read(follow: Follow) -> None:
    """WatchListCompression: one gzip member a flush, for the stream's whole life."""
    with EmbeddedAPIServer(version="1.37") as server:
        for i in range(50):
            server.create(config_map(f"c{i}", "x" * 2000))
        informer = follow(server, where={"gzip": True})
        assert informer.wait_for_sync(LIMIT)
        for i in range(50):
            last = server.update(config_map(f"c{i}", "y" * 2000))
        assert shows(informer, last)
        assert {obj["data"]["value"][0] for obj in informer.store.list()} == {"y"}
        assert verbs(server) == ["watch_list"]


def test_lists_come_in_pages(follow: Follow, embedded_apiserver: EmbeddedAPIServer) -> None:
    """limit and continue over a snapshot: what changes between two pages is not missed by the watch that follows."""
    for i in range(25):
        embedded_apiserver.create(config_map(f"c{i:02}"))
    informer = follow(embedded_apiserver, watch_list=False, page_size=10)
    assert informer.wait_for_sync(LIMIT)
    assert len(names(informer)) == 25
    assert shows(informer, embedded_apiserver.create(config_map("later")))
    lists = [request for request in embedded_apiserver.requests if request.verb == "list"]
    # A server answers a list at "0" from its cache, without pages.
    assert [request.query.get("limit") for request in lists] == ["10"] * len(lists)


def test_a_missing_end_bookmark_makes_way_for_a_list(
    follow: Follow, embedded_apiserver: EmbeddedAPIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends the state and never says that this was all."""
    monkeypatch.setattr("informer.reflector.reflector._BOOKMARK_PATIENCE", 0.2)
    embedded_apiserver.create(config_map("a"))
    embedded_apiserver.faults.no_end_bookmark(times=None)
    informer = follow(embedded_apiserver)
    assert informer.wait_for_sync(LIMIT)
    assert names(informer) == ["a"]
    assert shows(informer, embedded_apiserver.create(config_map("b")))
    assert verbs(embedded_apiserver) == ["watch_list", "list", "watch"]


@pytest.mark.parametrize("watch_list", [True, False], ids=["watch-list", "list"])
def test_a_compacted_history_is_relisted_and_deletes_are_found(
    watch_list: bool, follow: Follow, embedded_apiserver: EmbeddedAPIServer
) -> None:
    """410: while nobody watched, one object went, one changed and one came."""
    for name in ("gone", "changed"):
        embedded_apiserver.create(config_map(name))
    informer = follow(embedded_apiserver, watch_list=watch_list)
    assert informer.wait_for_sync(LIMIT)
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


@pytest.mark.parametrize("watch_list", [True, False], ids=["watch-list", "list"])
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_to_a_watch_the_cache_follows(
    fault: str, watch_list: bool, follow: Follow, embedded_apiserver: EmbeddedAPIServer
) -> None:
    """Every fault in the middle of a watch; what is written around it arrives, and few requests are made."""
    embedded_apiserver.create(config_map("a"))
    informer = follow(embedded_apiserver, watch_list=watch_list)
    assert informer.wait_for_sync(LIMIT)
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


@pytest.mark.parametrize("on", ["list", "watch", "watch_list"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_whatever_a_request_is_answered_with_the_cache_is_filled(
    refusal: str, on: str, follow: Follow, embedded_apiserver: EmbeddedAPIServer
) -> None:
    """Every refusal of the first list, watch or watch list; in the end the informer is in sync and has no error."""
    embedded_apiserver.create(config_map("a"))
    REFUSALS[refusal](embedded_apiserver.faults, on)
    informer = follow(embedded_apiserver, watch_list=on == "watch_list")
    assert informer.wait_for_sync(LIMIT)
    assert shows(informer, embedded_apiserver.create(config_map("b")))
    assert names(informer) == ["a", "b"]
    assert eventually(lambda: informer.sync_error() is None)
    assert len(verbs(embedded_apiserver)) <= 8


def test_a_frozen_watch_is_given_up_and_resumed(follow: Follow, embedded_apiserver: EmbeddedAPIServer) -> None:
    """Silence: the connection stays open and nothing comes; no list is made."""
    informer = follow(embedded_apiserver, silence_timeout=0.3)
    assert informer.wait_for_sync(LIMIT)
    assert shows(informer, embedded_apiserver.create(config_map("a")))
    embedded_apiserver.faults.freeze()
    assert shows(informer, embedded_apiserver.create(config_map("b")))
    assert "list" not in verbs(embedded_apiserver)
    assert verbs(embedded_apiserver).count("watch_list") == 1


def test_a_server_that_restarts_is_found_again(follow: Follow, embedded_apiserver: EmbeddedAPIServer) -> None:
    """API server restart: what it holds survives, and the informer goes on with it."""
    embedded_apiserver.create(config_map("a"))
    informer = follow(embedded_apiserver)
    assert informer.wait_for_sync(LIMIT)
    embedded_apiserver.restart()
    assert shows(informer, embedded_apiserver.create(config_map("b")))
    assert names(informer) == ["a", "b"]


def test_a_refused_list_says_why_until_it_is_allowed(follow: Follow, embedded_apiserver: EmbeddedAPIServer) -> None:
    """403 for a namespace: retried, named in `sync_error()`, and forgotten once it is over."""
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
    assert informer.wait_for_sync(LIMIT)
    assert eventually(lambda: informer.sync_error() is None)


def test_tls_and_a_token_that_is_replaced(follow: Follow, tmp_path: Path) -> None:
    """Token expiry: the watch goes on; when it ends the new token is read, and nothing is listed again."""
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
            with SharedInformer(source, backoff=QUICK) as informer:
                assert informer.wait_for_sync(LIMIT)
                token.write_text("two")
                server.set_tokens(["two"])
                server.faults.cut_connections()
                assert shows(informer, server.create(config_map("a")))
                assert [verb for verb in verbs(server) if verb == "list"] == []


@pytest.mark.parametrize("namespaces", [["one", "two"], ["one"]], ids=["two", "one"])
def test_namespaces_are_followed_one_by_one(
    namespaces: list[str], follow: Follow, embedded_apiserver: EmbeddedAPIServer
) -> None:
    """Several namespaces in one informer: a list and a watch of each, and nothing of the others."""
    for namespace in ("one", "two", "three"):
        embedded_apiserver.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        embedded_apiserver.create(config_map("a", namespace=namespace))
    informer = follow(embedded_apiserver, where={"namespace": namespaces})
    assert informer.wait_for_sync(LIMIT)
    assert sorted(informer.store.list_keys()) == [f"{namespace}/a" for namespace in namespaces]
    assert {request.namespace for request in embedded_apiserver.requests} == set(namespaces)


def test_bookmarks_keep_a_quiet_watch_young(follow: Follow) -> None:
    """A resource where nothing happens: its version moves with the bookmarks, so that a resume needs no list."""
    with EmbeddedAPIServer(bookmark_interval=0.1) as server:
        informer = follow(server, watch_list=False)
        assert informer.wait_for_sync(LIMIT)
        # Another resource moves the server's version on.
        for i in range(20):
            last = server.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{i}"}})
        assert shows(informer, last)
        server.compact()
        server.faults.end_watches()
        assert shows(informer, server.create(config_map("a")))
        assert verbs(server).count("list") == 1

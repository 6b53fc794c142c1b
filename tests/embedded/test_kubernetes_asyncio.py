"""Clients, list methods and model classes of the package kubernetes_asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from informer import ListWatch, SharedInformer, SharedInformerFactory
from informer.record import CoreV1EventSink, EventBroadcaster, EventsV1Sink
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE, eventually

kubernetes_asyncio = pytest.importorskip(
    "kubernetes_asyncio", reason="kubernetes_asyncio is not installed: pip install kubernetes_asyncio"
)
client = kubernetes_asyncio.client

POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
TOKENS = {"first": "alice", "second": "alice"}


def run(main: Callable[[Any], Awaitable[None]], server: EmbeddedAPIServer, **settings: Any) -> None:
    """Calls `main` with a client of kubernetes_asyncio for a server; `settings` are attributes of its configuration."""

    async def with_client() -> None:
        configuration = client.Configuration(host=server.url)
        configuration.proxy = None
        for name, value in settings.items():
            setattr(configuration, name, value)
        async with client.ApiClient(configuration) as api_client:
            await asyncio.wait_for(main(api_client), DEADLINE)

    asyncio.run(with_client())


async def synced(informer: SharedInformer[Any]) -> None:
    assert await informer.aio.wait_for_sync(DEADLINE, raise_on_error=True)


def test_a_client_configures_informers() -> None:
    """Address, token and headers of the client are used, for lists and watches; the loop is not blocked."""
    with EmbeddedAPIServer(tokens=TOKENS) as server:
        server.create(config_map("a"))

        async def main(api_client: Any) -> None:
            api_client.set_default_header("X-Test", "yes")
            factory = SharedInformerFactory(api_client)
            maps = factory.informer("configmaps", namespace="default")
            async with factory:
                await synced(maps)
                created = server.create(config_map("b"))
                assert await maps.aio.wait_for_resource_version(created["metadata"]["resourceVersion"], DEADLINE)
                assert sorted(each.name for each in maps.lister.list()) == ["a", "b"]

        run(main, server, api_key={"BearerToken": "Bearer first"})
        assert server.requests
        for request in server.requests:
            assert (request.headers["authorization"], request.headers["x-test"]) == ("Bearer first", "yes")


def test_a_client_is_used_from_threads_too() -> None:
    """`with informer` on a thread without an event loop."""
    with EmbeddedAPIServer(tokens=TOKENS) as server:

        async def main(api_client: Any) -> None:
            def follow() -> list[str]:
                with SharedInformer(ListWatch.for_resource(api_client, "namespaces")) as informer:
                    assert informer.wait_for_sync(DEADLINE)
                    return informer.store.list_keys()

            assert "default" in await asyncio.to_thread(follow)

        run(main, server, api_key={"BearerToken": "Bearer first"})


@pytest.mark.parametrize("kind", ["async", "plain", "returns a coroutine"])
def test_a_hook_renews_the_token(kind: str) -> None:
    """The configuration's hook, which may be a coroutine function, runs off the loop's thread before each request."""
    with EmbeddedAPIServer(tokens=TOKENS) as server:
        threads: set[threading.Thread] = set()
        tokens = ["first"]

        def plain(configuration: Any) -> None:
            threads.add(threading.current_thread())
            configuration.api_key["BearerToken"] = f"Bearer {tokens[-1]}"

        async def waiting(configuration: Any) -> None:
            await asyncio.sleep(0.001)
            plain(configuration)

        hook: Any = {
            "async": waiting,
            "plain": plain,
            "returns a coroutine": lambda configuration: waiting(configuration),
        }

        async def main(api_client: Any) -> None:
            informer = SharedInformer(ListWatch.for_resource(api_client, "configmaps"))
            async with informer.aio:
                await synced(informer)
                tokens.append("second")
                server.set_tokens({"second": "alice"})
                server.faults.end_watches()
                created = server.create(config_map("b"))
                assert await informer.aio.wait_for_resource_version(created["metadata"]["resourceVersion"], DEADLINE)
            assert threading.current_thread() not in threads

        run(main, server, api_key={"BearerToken": "Bearer none"}, refresh_api_key_hook=hook[kind])


def test_a_hook_that_fails_is_reported() -> None:
    """The error names the server; the informer goes on and syncs when the hook works."""
    with EmbeddedAPIServer(tokens=TOKENS) as server:
        works = threading.Event()

        async def hook(configuration: Any) -> None:
            await asyncio.sleep(0)
            if not works.is_set():
                raise OSError("no ticket")

        async def main(api_client: Any) -> None:
            informer = SharedInformer(ListWatch.for_resource(api_client, "configmaps"))
            async with informer.aio as aio:
                with pytest.raises(Exception, match="no credentials for http://127"):
                    await aio.wait_for_sync(DEADLINE, raise_on_error=True)
                works.set()
                assert await aio.wait_for_sync(DEADLINE)

        run(main, server, api_key={"BearerToken": "Bearer first"}, refresh_api_key_hook=hook)


def test_a_stop_does_not_wait_for_a_hook() -> None:
    """A hook that never returns is abandoned by the stop."""
    with EmbeddedAPIServer(tokens=TOKENS) as server:
        entered = threading.Event()

        async def hook(configuration: Any) -> None:
            entered.set()
            while not over.is_set():
                await asyncio.sleep(0.01)

        over = threading.Event()

        async def main(api_client: Any) -> None:
            informer = SharedInformer(ListWatch.for_resource(api_client, "configmaps"))
            try:
                informer.start()
                assert await asyncio.to_thread(entered.wait, DEADLINE)
                assert await informer.aio.stop(5)
            finally:
                over.set()

        run(main, server, api_key={"BearerToken": "Bearer first"}, refresh_api_key_hook=hook)
        assert eventually(lambda: not any("credentials" in each.name for each in threading.enumerate()))


def test_a_list_method_and_its_arguments() -> None:
    """`from_api` takes a list method, which is a coroutine function there, without awaiting it."""
    with EmbeddedAPIServer() as server:
        server.create({**POD, "metadata": {**POD["metadata"], "labels": {"app": "web"}}})
        server.create({**POD, "metadata": {"name": "q", "namespace": "default"}})

        async def main(api_client: Any) -> None:
            core = client.CoreV1Api(api_client)
            for list_watch in (
                ListWatch.from_api(core.list_pod_for_all_namespaces, label_selector="app=web"),
                ListWatch.from_api(core.list_namespaced_pod, namespace="default", label_selector="app=web"),
            ):
                informer = SharedInformer(list_watch)
                async with informer.aio:
                    await synced(informer)
                    assert informer.store.list_keys() == ["default/p"]
            method = SharedInformerFactory(api_client).informer(core.list_namespaced_pod, namespace="default")
            async with method.aio:
                await synced(method)
                assert len(method.store) == 2

        run(main, server)


@pytest.mark.filterwarnings("error")
def test_model_classes() -> None:
    """Objects are read as the package's own classes, with their nested classes and times."""
    with EmbeddedAPIServer() as server:
        server.create(POD)

        async def main(api_client: Any) -> None:
            factory = SharedInformerFactory(api_client)
            pods = factory.informer(client.V1Pod)
            async with factory:
                await synced(pods)
                pod = pods.lister.get("p", namespace="default")
                assert type(pod) is client.V1Pod
                assert type(pod.spec.containers[0]) is client.V1Container
                assert pod.metadata.creation_timestamp.tzinfo is not None
                server.create({**POD, "metadata": {"name": "q", "namespace": "default"}})
                async with pods.aio.events() as changes:
                    async for change in changes:
                        assert type(change.object) is client.V1Pod
                        if change.object.metadata.name == "q":
                            break

        run(main, server)


def test_a_model_class_beside_the_other_client() -> None:
    """The official client may list while kubernetes_asyncio gives the model, and an object that does not fit is left out."""
    with EmbeddedAPIServer() as server, server.api_client() as api_client:
        server.create({**POD, "kind": "Event", "metadata": {"name": "e", "namespace": "default"}, "spec": None})
        events = SharedInformer(ListWatch.for_resource(api_client, "events", model=client.CoreV1Event))
        with events:
            assert events.wait_for_sync(DEADLINE)
            assert events.lister.list() == []
            assert events.decode_errors == 1


@pytest.mark.parametrize("sink", [CoreV1EventSink, EventsV1Sink])
def test_an_event_sink_writes_with_such_a_client(sink: Any) -> None:
    """The sink uses the client's configuration and sends its own requests."""
    reference = {"kind": "Pod", "apiVersion": "v1", "namespace": "default", "name": "web"}
    with EmbeddedAPIServer() as server:

        async def main(api_client: Any) -> None:
            with EventBroadcaster() as broadcaster:
                broadcaster.start_recording_to_sink(sink(api_client))
                broadcaster.new_recorder("c").event(reference, "Normal", "R", "m")

        run(main, server)
        assert [event["reason"] for event in server.list("events")] == ["R"]

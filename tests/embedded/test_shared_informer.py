"""Shared informers over HTTP: models, faults, prompt stops, and forks."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kubernetes.client import V1Pod

from informer import (
    Backoff,
    Change,
    DeltaType,
    ListWatch,
    Object,
    SharedInformer,
    informer_watcher,
    until_with_sync,
)
from informer.testing import EmbeddedAPIServer
from tests.support.forks import IN_CHILD
from tests.support.objects import namespace_object, pod
from tests.support.waiting import DEADLINE, PROMPT
from watch import ApiError, Channel, EventType

Start = Callable[..., SharedInformer[Any]]

# With which queue the behaviour is tested over which wire.
WIRES = {"in_order": "json", "delta": "protobuf"}


class Spec(msgspec.Struct):
    nodeName: str = ""


class Pod(msgspec.Struct):
    """The one field of a pod that the tests read; it has no metadata."""

    spec: Spec


@pytest.fixture(params=["in_order", "delta"])
def queue(request: pytest.FixtureRequest) -> Any:
    """Each kind of queue."""
    return request.param


@pytest.fixture
def follow(server: EmbeddedAPIServer) -> Iterator[Start]:
    """Makes informers of a resource; they are stopped when the test is over."""
    made: list[SharedInformer[Any]] = []
    source_options = {"namespace", "label_selector", "field_selector", "model", "metadata_only", "wire"}

    def make(resource: str = "pods", **options: Any) -> SharedInformer[Any]:
        chosen = {name: options.pop(name) for name in source_options & options.keys()}
        options.setdefault("backoff", Backoff(initial=0.01, maximum=0.05))
        source = ListWatch.for_resource(server.api_client(), resource, **chosen)
        made.append(SharedInformer(source, **options))
        return made[-1]

    yield make
    for informer in made:
        assert informer.stop(DEADLINE)


def version_of(obj: Any) -> str:
    return str(obj["metadata"]["resourceVersion"])


# Models


@pytest.mark.parametrize(
    ("model", "kind", "node_of"),
    [
        pytest.param(None, Object, lambda obj: obj.at("spec.nodeName"), id="object"),
        pytest.param(dict, dict, lambda obj: obj["spec"]["nodeName"], id="dict"),
        pytest.param(Pod, Pod, lambda obj: obj.spec.nodeName, id="struct"),
        pytest.param(V1Pod, V1Pod, lambda obj: obj.spec.node_name, id="official"),
    ],
)
def test_every_reader_gets_objects_of_the_model(
    server: EmbeddedAPIServer, follow: Start, queue: str, model: Any, kind: type, node_of: Any
) -> None:
    """Handlers, filters, batches, streams, indices, the lister and `on_error` get objects of the model."""
    server.create(pod("a", node="n1"))
    informer = follow(model=model, wire=WIRES[queue], queue=queue, indexers={"node": lambda obj: [node_of(obj)]})
    received: Channel[tuple[str, str]] = Channel(None)
    failed: Channel[Any] = Channel(None)
    batches: Channel[Change] = Channel(None)

    def fail(obj: Any) -> None:
        raise ValueError(node_of(obj))

    informer.add_event_handler(
        on_add=lambda obj: received.put(("add", node_of(obj))),
        on_update=lambda old, new: received.put((node_of(old), node_of(new))),
        on_delete=lambda obj: received.put(("delete", node_of(obj))),
        filter=lambda obj: node_of(obj) != "hidden",
    )
    informer.add_event_handler(on_add=fail, on_error=lambda change, error: failed.put(change.object))
    informer.add_event_handler(on_batch=lambda batch: [batches.put(change) for change in batch])
    stream = informer.events(backlog="all")
    informer.start()
    assert received.get(DEADLINE) == ("add", "n1")
    for obj in (
        failed.get(DEADLINE),
        batches.get(DEADLINE).object,
        next(stream).object,
        informer.lister.get("a", "default"),
    ):
        assert isinstance(obj, kind)
        assert node_of(obj) == "n1"
    assert [node_of(obj) for obj in informer.lister.by_index("node", "n1")] == ["n1"]
    server.update(pod("a", node="n2"))
    assert received.get(DEADLINE) == ("n1", "n2")
    server.update(pod("a", node="hidden"))
    assert received.get(DEADLINE) == ("delete", "n2")
    server.update(pod("a", node="n3"))
    assert received.get(DEADLINE) == ("add", "n3")
    server.delete("pods", "a")
    # The server marks a pod for deletion before it deletes it.
    assert [received.get(DEADLINE) for _ in range(2)] == [("n3", "n3"), ("delete", "n3")]
    assert [next(stream).type for _ in range(5)] == [DeltaType.UPDATED] * 4 + [DeltaType.DELETED]
    assert informer.lister.by_index("node", "n1") == informer.store.list() == []


def test_object_that_does_not_decode_is_left_out_alone(
    server: EmbeddedAPIServer, follow: Start, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A decode error is reported with the raw bytes and deletes the object from the cache, until it decodes again."""
    received: Channel[tuple[Any, bytes, Exception]] = Channel(None)
    changes: Channel[tuple[str, str, bool]] = Channel(None)
    server.create(pod("bad", node=17))
    server.create(pod("good", node="n1"))
    informer = follow(model=Pod, queue=queue, on_decode_error=lambda *args: received.put(args))
    informer.add_event_handler(
        on_add=lambda obj: changes.put(("add", obj.spec.nodeName, False)),
        on_delete=lambda obj, *, final_state_unknown: changes.put(("delete", obj.spec.nodeName, final_state_unknown)),
    )
    with caplog.at_level(logging.ERROR):
        informer.start()
        assert changes.get(DEADLINE) == ("add", "n1", False)
        metadata, raw, error = received.get(DEADLINE)
        assert (metadata.namespace, metadata.name) == ("default", "bad")
        assert metadata.uid
        assert metadata.resource_version
        assert msgspec.json.decode(raw)["spec"]["nodeName"] == 17
        assert isinstance(error, msgspec.ValidationError)
        assert informer.store.list_keys() == ["default/good"]
        server.patch("pods", "good", {"spec": {"nodeName": 18}}, namespace="default")
        assert changes.get(DEADLINE) == ("delete", "n1", True)
        server.patch("pods", "good", {"spec": {"nodeName": "n2"}}, namespace="default")
        assert changes.get(DEADLINE) == ("add", "n2", False)
    assert informer.decode_errors == 2
    assert "left out default/bad: it does not decode" in caplog.text


def test_metadata_only_fetches_only_metadata(server: EmbeddedAPIServer, follow: Start) -> None:
    """With `metadata_only` the server sends only metadata."""
    server.create(pod("a"))
    informer = follow(metadata_only=True)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    obj = informer.lister.get("a", "default")
    assert (obj.name, obj.kind, obj.api_version, obj.at("spec")) == ("a", "Pod", "v1", None)


# First list


def test_a_first_list_as_a_watch_list(server: EmbeddedAPIServer, follow: Start, queue: str) -> None:
    """Go: TestWatchListSemanticsSimple. A watch list of an empty collection sends a bookmark only, and no list is made."""
    informer = follow(queue=queue, watch_list=True)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert [request.verb for request in server.requests] == ["watch_list"]


def test_server_without_watch_list_is_listed(queue: str) -> None:
    """Go: TestUnSupportWatchListSemantics. An older server is listed and watched."""
    with EmbeddedAPIServer(version="1.30") as server:
        server.create(pod("a"))
        source = ListWatch.for_resource(server.api_client(), "pods")
        with SharedInformer(source, queue=queue, watch_list=True) as informer:
            assert informer.wait_for_sync(DEADLINE)
            assert informer.store.list_keys() == ["default/a"]
            assert server.requests.wait_for(1, verb="list", timeout=DEADLINE)


def test_cache_holds_a_write_after_waiting_for_its_version(
    server: EmbeddedAPIServer, follow: Start, queue: str
) -> None:
    """When `wait_for_resource_version` returns for a write, the cache holds the written object."""
    informer = follow(queue=queue)
    informer.start()
    for number in range(20):
        version = version_of(server.create(pod(f"p{number}")))
        assert informer.wait_for_resource_version(version, DEADLINE)
        assert f"default/p{number}" in informer.store


def test_forbidden_namespace_does_not_stop_the_other(server: EmbeddedAPIServer, follow: Start) -> None:
    """The other namespace is followed, the 403 is reported, and the informer syncs once access is granted."""
    for namespace in ("one", "two"):
        server.create(namespace_object(namespace))
        server.create(pod("a", namespace=namespace))
    server.forbid("*", "pods", namespace="two")
    received: Channel[str] = Channel(None)
    refused: Channel[Exception] = Channel(None)
    informer = follow(namespace=["one", "two"], watch_error_handler=lambda informer, error: refused.put(error))
    registration = informer.add_event_handler(on_add=lambda obj: received.put(obj.namespace))
    informer.start()
    assert received.get(DEADLINE) == "one"
    for error in (refused.get(DEADLINE), informer.sync_error()):
        assert isinstance(error, ApiError)
        assert error.status == 403
    assert not informer.has_synced()
    assert informer.last_sync_resource_version == ""
    server.allow()
    assert received.get(DEADLINE) == "two"
    assert registration.wait_for_sync(DEADLINE)
    assert len(informer.store) == 2


def test_handler_ends_with_the_servers_state_after_faults(server: EmbeddedAPIServer, follow: Start, queue: str) -> None:
    """Cuts, garbage, compactions and restarts between changes: the handler ends with the server's state."""
    informer = follow(queue=queue, wire=WIRES[queue])
    seen: dict[str, str] = {}
    faults: list[str] = []

    def add(obj: Any) -> None:
        if obj.name in seen:
            faults.append(f"an add of {obj.name}, which is known")
        seen[obj.name] = obj.resource_version

    def update(old: Any, new: Any) -> None:
        if seen.get(old.name) != old.resource_version or int(new.resource_version) <= int(old.resource_version):
            faults.append(f"an update of {old.name} from {old.resource_version} to {new.resource_version}")
        seen[new.name] = new.resource_version

    informer.add_event_handler(on_add=add, on_update=update, on_delete=lambda obj: seen.pop(obj.name))
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    troubles: list[Callable[[], object]] = [
        server.faults.cut_connections,
        server.faults.garbage_line,
        server.faults.half_line,
        server.compact,
        server.restart,
        server.faults.end_watches,
        server.faults.unknown_event,
        server.faults.expired,
    ]
    last = ""
    for number, trouble in enumerate(troubles * 2):
        server.create(pod(f"p{number}"))
        if number >= 2:
            server.update(pod(f"p{number - 1}", node=f"n{number}"))
            server.delete("pods", f"p{number - 2}")
        trouble()
        last = version_of(server.create(pod(f"q{number}")))
    assert informer.wait_for_resource_version(last, DEADLINE)
    assert informer.stop(DEADLINE, drain=True)
    assert faults == []
    assert seen == {obj["metadata"]["name"]: version_of(obj) for obj in server.list("pods")}


# Stopping


@pytest.mark.parametrize("fault", ["list that hangs", "watch that is silent", "nothing listens"])
def test_stop_is_prompt_if_the_server_does_not_answer(server: EmbeddedAPIServer, follow: Start, fault: str) -> None:
    """`stop` closes sockets that other threads block on, so that no thread waits for a server that does not answer."""
    informer = follow()
    if fault == "list that hangs":
        server.faults.hang(on="any", times=None)
    elif fault == "nothing listens":
        server.faults.refuse_connections()
    informer.start()
    if fault == "nothing listens":
        assert not informer.wait_for_sync(0.05)
    else:
        assert server.requests.wait_for(1, timeout=DEADLINE)
    begun = time.monotonic()
    assert informer.stop(DEADLINE)
    assert time.monotonic() - begun < PROMPT
    server.faults.clear()
    server.faults.accept_connections()


def test_informer_watcher_delivers_events(server: EmbeddedAPIServer) -> None:
    """Listed and later objects arrive as events, and `until_with_sync` waits for a condition."""
    server.create(pod("a"))
    source = ListWatch.for_resource(server.api_client(), "pods")
    with informer_watcher(source) as watcher:
        chan = watcher.result_chan()
        assert (chan.get(DEADLINE).type, watcher.store.list_keys()) == (EventType.ADDED, ["default/a"])
        server.delete("pods", "a")
        assert [chan.get(DEADLINE).type for _ in range(2)] == [EventType.MODIFIED, EventType.DELETED]
    assert watcher.done.wait(DEADLINE)
    server.create(pod("b"))
    event = until_with_sync(source, lambda event: event.object.name == "b", timeout=DEADLINE)
    assert event is not None
    assert event.type == EventType.ADDED


PROGRAM = """
import socket
from urllib.parse import urlsplit
from informer import InformerForkedError, ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import pod

def connections_to(port):
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            with socket.socket(fileno=os.dup(number)) as each:
                if each.family == socket.AF_INET and each.getpeername()[1] == port:
                    found.append(number)
        except OSError:
            pass
    return found

def body():
    assert connections_to(port) == [], "a socket is shared"
    try:
        informer.store.list()
    except InformerForkedError:
        pass
    else:
        raise AssertionError("the child can read the cache")
    informer.stop()

server = EmbeddedAPIServer(tls=TLS).start()
port = urlsplit(server.url).port
informer = SharedInformer(ListWatch.for_resource(server.api_client(), "pods"))
stream = informer.events()
informer.start()
assert informer.wait_for_sync(20)
assert connections_to(port)
assert in_child(body) == 0
before = len(server.requests)
server.create(pod("a"))
assert next(stream).key == "default/a"
assert len(server.requests) == before, "the parent had to connect again"
assert informer.stop(20)
server.stop()
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at its sockets through /proc")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_forked_child_shares_no_socket(tls: bool) -> None:
    """The child closes its copies without sending anything, and the parent's watch continues."""
    if tls:
        pytest.importorskip("cryptography")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_CHILD + PROGRAM.replace("TLS", str(tls))],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_process_ends_while_its_server_hangs() -> None:
    """The informer is never stopped and the server never answers; the process still ends within seconds."""
    program = """
import time
from informer import ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
server = EmbeddedAPIServer().start()
server.faults.hang(on="any", times=None)
SharedInformer(ListWatch.for_resource(server.api_client(), "pods")).start()
assert server.requests.wait_for(1, timeout=20)
print(time.monotonic())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - float(done.stdout) < 3


def test_paged_list_after_a_restart_asks_for_a_version_that_can_be_watched(server: EmbeddedAPIServer) -> None:
    """After a restart a paged list asks for any newer version, instead of repeating a version that has no watch."""
    server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    informer: SharedInformer[Any] = SharedInformer(
        ListWatch.for_resource(server.api_client(), "configmaps"),
        page_size=2,
        watch_list=False,
        backoff=Backoff(0.005, 0.05),
    )
    with informer:
        assert informer.wait_for_sync(DEADLINE)
        server.requests.wait_for(1, "watch", open=True)
        server.faults.refuse_connections()
        server.faults.cut_connections()
        last = server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}})
        server.restart()
        assert informer.wait_for_resource_version(last["metadata"]["resourceVersion"], DEADLINE)
        assert sorted(informer.store.list_keys()) == ["default/a", "default/b"]

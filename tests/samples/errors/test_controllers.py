"""Messages of docs/errors.md about managers and their controllers, each in full."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from informer import Object
from informer.runtime import Manager, ManagerError, Request, owner_reference
from informer.runtime.applied import AppliedObjects
from informer.runtime.handlers import MappedHandler
from informer.runtime.own_writes import OwnWrites
from informer.runtime.writer import Writer
from informer.testing import EmbeddedAPIServer
from informer.transport.transport import Transport
from informer.workqueue import PriorityQueue
from tests.support.messages import check_logged, check_raised, ids, raised_by
from tests.support.waiting import DEADLINE, eventually
from watch import Channel

SITES = "sites.example.com"


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    with EmbeddedAPIServer() as made:
        made.define("Site", status=True)
        yield made


def site() -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Site", "metadata": {"name": "shop", "namespace": "default"}}


def config_map(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made", **metadata}}


MANAGERS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Manager(name="m", sync_timeout=0), "sync_timeout must be more than 0 seconds, not 0"),
]


@pytest.mark.parametrize(("call", "message"), MANAGERS, ids=ids(MANAGERS))
def test_a_manager_refuses_an_argument(call: Callable[[], Any], message: str) -> None:
    check_raised(call, message)


def test_a_manager_that_has_started_takes_no_more_controllers(server: EmbeddedAPIServer) -> None:
    manager = Manager(server.api_client(), name="m")
    manager.controller(SITES)(lambda request: None)
    with manager:
        check_raised(
            lambda: manager.controller("pods")(lambda request: None),
            "manager m has started: register controllers before",
        )


RIVAL = {**owner_reference({**site(), "metadata": {"name": "rival", "uid": "u"}})}
REQUESTS: list[tuple[Callable[[Request], Any], str]] = [
    (lambda request: request.children("pods"), "sites.example.com does not own 'pods': name it in owns="),
    (
        lambda request: request.apply(config_map(namespace="other")),
        "default/shop cannot own an object in namespace 'other': owners are in the namespace of what they own; "
        "pass owned=False",
    ),
    (
        lambda request: request.apply(config_map(ownerReferences=[RIVAL])),
        "made is controlled by Site rival: pass owned=False, or leave its ownerReferences out",
    ),
    (
        lambda request: request.apply({**config_map(), "metadata": {}}),
        "a ConfigMap needs a metadata.name to be written (generateName would make another one each time)",
    ),
    (
        lambda request: request.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}}),
        "default/shop cannot own a cluster-scoped object: owners are in the namespace of what they own; pass owned=False",
    ),
    (
        lambda request: request.apply({**config_map(), "metadata": "made"}),
        "an object's metadata must be a mapping, not a str",
    ),
    (
        lambda request: request.update_status("Ready"),  # type: ignore[arg-type]
        "the changes of a status must be a mapping, not a str",
    ),
    (lambda request: request.delete(config_map()), "ConfigMap made needs a metadata.namespace to be written"),
    (lambda request: request.apply(site()), "Site shop cannot own itself: pass owned=False"),
    (
        lambda request: request.apply({"metadata": {"name": "made"}}),
        "an object needs an apiVersion and a kind to be written",
    ),
    (
        lambda request: request.set_condition("Ready", "true", "Applied"),
        'the status of a condition is "True", "False" or "Unknown", not \'true\'',
    ),
]
DELETED: list[tuple[Callable[[Request], Any], str]] = [
    (
        lambda request: request.apply(config_map()),
        "default/shop does not exist any more, so this request cannot apply an owned object: pass owned=False",
    ),
    (
        lambda request: request.update_status({"a": 1}),
        "default/shop does not exist any more, so this request cannot update its status",
    ),
]


def test_wrong_calls_of_a_request(server: EmbeddedAPIServer) -> None:
    """A reconcile function makes each call, first for an object that exists, and then after its deletion."""
    manager = Manager(server.api_client(), name="m")
    said: Channel[list[str]] = Channel()

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        table = DELETED if request.object is None else REQUESTS
        # Keeps `call` of this iteration.
        said.put([raised_by(lambda call=call: call(request)) for call, _ in table])  # type: ignore[misc]

    with manager:
        server.create(site())
        assert said.get(DEADLINE) == [message for _, message in REQUESTS]
        server.delete(SITES, "shop", namespace="default")
        assert said.get(DEADLINE) == [message for _, message in DELETED]


def mapped_to_text(obj: Any) -> Iterable[str]:
    return "default/shop"


WATCHES: list[tuple[Callable[[Any], Iterable[str]], str]] = [
    (
        mapped_to_text,
        "tests.samples.errors.test_controllers.mapped_to_text in watches= must return keys in a list or the like, not a str",
    ),
    (
        lambda obj: ["a/b/c"],
        "a function in watches= must return keys such as \"namespace/name\", not 'a/b/c'",
    ),
]


@pytest.mark.parametrize(("keys_of", "message"), WATCHES, ids=ids(WATCHES))
def test_a_function_in_watches_without_keys(keys_of: Callable[[Any], Iterable[str]], message: str) -> None:
    """The handler of the watched objects raises, which the informer logs."""
    check_raised(lambda: MappedHandler(PriorityQueue(), keys_of).on_add(Object.from_dict(config_map())), message)


def test_a_predicate_that_raises(server: EmbeddedAPIServer, caplog: pytest.LogCaptureFixture) -> None:
    seen: Channel[int] = Channel(None)
    manager = Manager(server.api_client(), name="m")

    def differs(old: Any, new: Any) -> bool:
        return bool(old["spec"] != new["spec"])

    manager.controller(SITES, predicate=differs)(lambda request: seen.put(1))
    server.create(site())
    with manager:
        assert seen.get(DEADLINE)
        assert eventually(lambda: manager.informer(SITES).is_watching)
        server.patch(SITES, "shop", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
        assert seen.get(DEADLINE)
    check_logged(caplog, "predicate <...>differs failed for 'default/shop', which is reconciled: KeyError('spec')")


def test_an_answer_to_a_write_that_is_not_an_object(serve: Any) -> None:
    server = serve(lambda _, connection: connection.answer(b"[]", 200, Content_Type="application/json"))
    writer = Writer(lambda: Transport(server.client()), "m", {}, OwnWrites({}, PriorityQueue()), AppliedObjects())
    check_raised(
        lambda: writer.apply("a/b", config_map(namespace="a"), force=True, subresource=None),
        "the server's answer to a write is not an object (is a proxy in front?)",
    )


# Runs that end by themselves


def started(server: EmbeddedAPIServer, resource: str = SITES, **options: Any) -> Manager:
    manager = Manager(server.api_client(), name="m", **options)
    manager.controller(resource)(lambda request: None)
    manager.start()
    return manager


def failed(manager: Manager) -> str:
    """Waits until a manager ends by itself, and returns the message of its error."""

    def stop() -> None:
        assert eventually(lambda: manager._run is not None and manager._run.failure is not None)
        manager.stop()

    with pytest.raises(ManagerError) as caught:
        stop()
    return str(caught.value)


def test_a_lease_that_is_lost(server: EmbeddedAPIServer) -> None:
    manager = started(
        server, leader_election=True, lease_namespace="default", lease_duration=1.5, renew_deadline=1, retry_period=0.1
    )
    assert manager.wait_until_ready(DEADLINE)
    server.patch("leases.coordination.k8s.io", "m", {"spec": {"holderIdentity": "thief"}}, namespace="default")
    assert failed(manager) == "manager m has lost its lease: restart the program"


def test_workers_that_end(server: EmbeddedAPIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No error of a reconcile function ends them, so the test replaces them."""

    def without_memory(*_: Any, **__: Any) -> None:
        raise MemoryError("none")

    monkeypatch.setattr("informer.runtime.controller.run_workers", without_memory)
    assert failed(started(server)) == "the workers of controller sites.example.com have ended: MemoryError('none')"


def test_a_port_that_is_taken(server: EmbeddedAPIServer, caplog: pytest.LogCaptureFixture) -> None:
    """The run ends with an error that is not the manager's own."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        manager = started(server, serve=taken.getsockname()[1], host="127.0.0.1")
        message = failed(manager)
    cause = repr(manager._run.failure.__cause__) if manager._run and manager._run.failure else ""
    assert message == f"manager m ended with an unexpected error: {cause}"
    check_logged(caplog, f"manager m has ended: {cause}")


def test_a_cache_that_does_not_sync(server: EmbeddedAPIServer, caplog: pytest.LogCaptureFixture) -> None:
    """`start` logs what `run` would raise."""
    message = failed(started(server, "ghosts.example.com", sync_timeout=0.2))
    assert message.startswith("manager m: not every cache synced within 0.2 s: ghosts.example.com: ")
    check_logged(caplog, f"manager m has ended: {message}")


def test_a_handler_that_does_not_sync(server: EmbeddedAPIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("informer.runtime.run.STOP_INFORMERS", 0.1)
    server.create(config_map(namespace="default"))
    go_on = threading.Event()

    def blocks(obj: Any) -> list[str]:
        go_on.wait(DEADLINE)
        return []

    manager = Manager(server.api_client(), name="m", sync_timeout=0.5)
    manager.controller(SITES, watches={"configmaps": blocks})(lambda request: None)
    manager.start()
    assert eventually(lambda: manager._run is not None and manager._run.failure is not None)
    go_on.set()
    assert failed(manager) == (
        "manager m: not every handler has seen the first objects within 0.5 s: controller sites.example.com: watched "
        "configmaps: does a predicate or a function of watches= block?"
    )


def test_a_reconcile_that_does_not_end(
    server: EmbeddedAPIServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop waits for it, and says so."""
    monkeypatch.setattr("informer.runtime.run._SLOW_END", 0.1)
    begun, go_on = threading.Event(), threading.Event()
    manager = Manager(server.api_client(), name="m")

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        begun.set()
        go_on.wait(DEADLINE)

    server.create(site())
    manager.start()
    assert begun.wait(DEADLINE)
    assert not manager.stop(timeout=0)
    check_logged(
        caplog,
        "manager m waits for reconciles that have not ended after the stop: sites.example.com ['default/shop']",
    )
    go_on.set()
    assert manager.stop()

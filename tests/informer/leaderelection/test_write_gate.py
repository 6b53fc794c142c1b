"""The write gate: a view of an official client, whose writes are refused unless this process leads."""

from __future__ import annotations

import asyncio
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, watch
from pytest_mock import MockerFixture

from informer.errors import InformerError
from informer.leaderelection import LeaderElector, LeaseLock, NotLeadingError
from informer.record import CoreV1EventSink
from informer.record.delivery import Delivery, Shutdown
from informer.transport.transport import Transport, transport_for
from tests.informer.leaderelection.conftest import Election
from tests.support.http_servers import Connection, HTTPServer, Request
from tests.support.messages import matches
from tests.support.waiting import DEADLINE
from watch import FakeClock

EVENT = {"metadata": {"name": "e", "namespace": "ns"}, "reason": "Tested"}
BODY = {"metadata": {"name": "a"}}
NEVER_LED = (
    "failed to send <...>: this process does not lead with lease foo/bar: write only while on_started_leading runs and its "
    "stop event is not set"
)
EXPIRED = (
    "failed to send POST http://127.0.0.1:<...>/api/v1/namespaces/ns/configmaps: this process has stopped leading with lease "
    "foo/bar (<...>): return from on_started_leading, and leave the write to the next leader"
)


def answer(request: Request, connection: Connection) -> None:
    if request.query.get("watch"):
        connection.begin()
        connection.chunk({"type": "ADDED", "object": BODY})
        connection.end()
        return
    connection.answer({"kind": "ConfigMap", **BODY, "items": []})


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """Answers every request with an object, and a watch with one event."""
    made = HTTPServer(answer)
    yield made
    made.close()


@pytest.fixture
def election(make_election: Callable[..., Election]) -> Election:
    """An elector that has not started."""
    return make_election()


@pytest.fixture
def original(server: HTTPServer) -> Iterator[Any]:
    with server.client() as made:
        yield made


def core(view: Any) -> Any:
    return client.CoreV1Api(view)


WRITES: list[Callable[[Any], Any]] = [
    lambda view: core(view).create_namespaced_config_map("ns", BODY),
    lambda view: core(view).create_namespaced_config_map("ns", BODY, _preload_content=False),
    lambda view: core(view).create_namespaced_config_map("ns", BODY, async_req=True).get(DEADLINE),
    lambda view: core(view).replace_namespaced_config_map("a", "ns", BODY),
    lambda view: core(view).patch_namespaced_config_map("a", "ns", BODY),
    lambda view: core(view).delete_namespaced_config_map("a", "ns"),
    lambda view: transport_for(view).send_json("POST", "/x", BODY, timeout=DEADLINE),
    lambda view: Transport(view).send_json("DELETE", "/x", timeout=DEADLINE),
    lambda view: CoreV1EventSink(view).create(dict(EVENT)),
    lambda view: CoreV1EventSink(view).patch(dict(EVENT), {}),
]
READS: list[Callable[[Any], Any]] = [
    lambda view: core(view).list_namespaced_config_map("ns"),
    lambda view: core(view).list_namespaced_config_map("ns", _preload_content=False).read(),
    lambda view: core(view).list_namespaced_config_map("ns", async_req=True).get(DEADLINE),
    lambda view: next(watch.Watch().stream(core(view).list_namespaced_config_map, "ns", timeout_seconds=1)),
    lambda view: transport_for(view).get_json("/x"),
    lambda view: view.rest_client.request("OPTIONS", view.configuration.host + "/x"),
]


@pytest.mark.parametrize("write", WRITES)
def test_a_write_before_the_first_term(
    election: Election, original: Any, server: HTTPServer, write: Callable[[Any], Any]
) -> None:
    """It is refused and not sent."""
    with election.elector.gate(original) as view, pytest.raises(NotLeadingError) as caught:
        write(view)
    assert isinstance(caught.value, InformerError)
    assert matches(str(caught.value), NEVER_LED), caught.value
    assert server.requests == []


@pytest.mark.parametrize("write", WRITES)
def test_a_write_of_the_leader(
    election: Election, original: Any, server: HTTPServer, write: Callable[[Any], Any]
) -> None:
    """It is sent, and refused after the term."""
    election.lead()
    with election.elector.gate(original) as view:
        write(view)
        assert len(server.requests) == 1
        election.cancel.set()
        election.thread.result()
        with pytest.raises(NotLeadingError):
            write(view)
        assert len(server.requests) == 1


@pytest.mark.parametrize("read", READS)
def test_reads_pass(election: Election, original: Any, server: HTTPServer, read: Callable[[Any], Any]) -> None:
    """A process that does not lead can read and watch."""
    with election.elector.gate(original) as view:
        assert read(view) is not None
    assert len(server.requests) == 1


def test_a_lease_that_expired_unnoticed(
    make_election: Callable[..., Election], original: Any, server: HTTPServer, clock: FakeClock, mocker: MockerFixture
) -> None:
    """The check reads the clock: after a suspension the first write is refused, before any thread has ended the term."""
    election = make_election().lead()
    view = election.elector.gate(original)
    mocker.patch.object(clock, "monotonic", return_value=clock.monotonic() + 15)
    with pytest.raises(NotLeadingError) as caught:
        core(view).create_namespaced_config_map("ns", BODY)
    assert matches(str(caught.value), EXPIRED), caught.value
    assert server.requests == []


def test_the_check_comes_after_the_credentials(
    make_election: Callable[..., Election], original: Any, server: HTTPServer, clock: FakeClock, mocker: MockerFixture
) -> None:
    """A slow credential plugin cannot delay a write past the end of the lease."""
    election = make_election().lead()
    now = clock.monotonic()
    original.configuration.refresh_api_key_hook = lambda _: mocker.patch.object(
        clock, "monotonic", return_value=now + 15
    )
    view = election.elector.gate(original)
    with pytest.raises(NotLeadingError):
        transport_for(view).send_json("POST", "/x", BODY, timeout=DEADLINE)
    assert server.requests == []


def test_the_boundary_of_the_official_client(election: Election, mocker: MockerFixture) -> None:
    """A mock with the spec of a client can be gated like the client: the refused write does not reach it."""
    real = client.ApiClient(client.Configuration(host="http://example.com"))
    mock = mocker.create_autospec(real)
    mock.configuration, mock.default_headers = real.configuration, {}
    with pytest.raises(NotLeadingError):
        core(election.elector.gate(mock)).delete_namespaced_config_map("a", "ns")
    mock.rest_client.request.assert_not_called()


def test_the_view_shares_the_client(election: Election, original: Any, server: HTTPServer) -> None:
    """Headers, tokens and connections are those of the client, also when they change later."""
    view = election.elector.gate(original)
    assert isinstance(view, client.ApiClient)
    assert view.configuration is original.configuration
    original.set_default_header("X-Later", "yes")
    original.configuration.api_key["authorization"] = original.configuration.api_key["BearerToken"] = "Bearer later"
    for api_client in (view, original):
        core(api_client).list_namespaced_config_map("ns")
        transport_for(api_client).get_json("/x")
    assert {request.headers["x-later"] for request in server.requests} == {"yes"}
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer later"}
    assert len(server.requests) == 4
    assert server.connections == 2  # one of the official client, one of the project


def test_closing_the_view_leaves_the_client_open(election: Election, original: Any, server: HTTPServer) -> None:
    """The connection is used again; a view that was closed works, as an official client does."""
    with election.elector.gate(original) as view:
        core(view).list_namespaced_config_map("ns", async_req=True).get(DEADLINE)
    core(original).list_namespaced_config_map("ns")
    core(view).list_namespaced_config_map("ns")
    assert server.connections == 1


def test_a_view_of_a_view_needs_both(make_election: Callable[..., Election], original: Any, server: HTTPServer) -> None:
    """Each elector can refuse a write."""
    leader, standby = make_election().lead(), make_election()
    for first, second in ((leader, standby), (standby, leader)):
        view = second.elector.gate(first.elector.gate(original))
        for write in WRITES:
            with pytest.raises(NotLeadingError):
                write(view)
    assert server.requests == []


def test_a_lock_on_a_view_is_gated(election: Election, original: Any) -> None:
    """A LeaseLock reads through a view, and its writes are refused."""
    lock = LeaseLock(election.elector.gate(original), "ns", "name", "me")
    record = lock.get()
    with pytest.raises(NotLeadingError):
        lock.update(record)


def test_views_are_collected(election: Election, original: Any) -> None:
    """Neither the elector nor the transports keep a view alive."""
    view = election.elector.gate(original)
    transport_for(view)
    gone = weakref.ref(view)
    del view
    gc.collect()
    assert gone() is None


def test_a_refused_event_is_not_retried(election: Election, original: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It would delay all later events."""
    import logging

    sink = CoreV1EventSink(election.elector.gate(original))
    delivery = Delivery(sink, lambda _: 10.0, FakeClock(0.0), Shutdown(), logging.getLogger("informer.record"))
    assert delivery.deliver(dict(EVENT), None).is_final
    assert "NotLeadingError: failed to send POST" in caplog.text


def test_no_secret_of_the_address_is_shown(election: Election, server: HTTPServer) -> None:
    """The message has neither a password of the address nor the query."""
    with server.client(host=f"http://user:pass-word@127.0.0.1:{server.port}") as original:
        view = election.elector.gate(original)
        with pytest.raises(NotLeadingError) as caught:
            core(view).delete_namespaced_config_map("a", "ns", dry_run="sec-ret")
    assert "pass-word" not in str(caught.value)
    assert "sec-ret" not in str(caught.value)


def test_what_cannot_be_gated(election: Election, original: Any) -> None:
    """Only official clients; a view is bound to its elector, so it is neither copied nor pickled."""
    wrong: Any
    for wrong in (None, "x", original.configuration):
        with pytest.raises(
            TypeError, match=r"gate needs an ApiClient of the official client, not .*: pass load_client"
        ):
            election.elector.gate(wrong)
    with pytest.raises(
        TypeError, match=r"a gated ApiClient cannot be copied or pickled: call gate\(\) where it is needed"
    ):
        pickle.dumps(election.elector.gate(original))


def test_the_asyncio_client(election: Election, server: HTTPServer) -> None:
    """Its writes are refused and its reads pass; closing the view leaves the client open."""
    aio = pytest.importorskip("kubernetes_asyncio.client")

    async def use() -> None:
        async with aio.ApiClient(aio.Configuration(host=server.url)) as original:
            async with election.elector.gate(original) as view:
                with pytest.raises(NotLeadingError):
                    await aio.CoreV1Api(view).create_namespaced_config_map("ns", BODY)
                assert server.requests == []
                await aio.CoreV1Api(view).list_namespaced_config_map("ns")
                with pytest.raises(NotLeadingError):
                    await asyncio.to_thread(transport_for(view).send_json, "POST", "/x", BODY, timeout=DEADLINE)
            await aio.CoreV1Api(original).create_namespaced_config_map("ns", BODY)

    asyncio.run(use())
    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_the_elector_that_a_child_inherits(election: Election, original: Any, server: HTTPServer) -> None:
    """In a forked child the term is gone, so that its writes are refused."""
    election.lead()
    run = election.elector._run
    assert run is not None
    term, task = run.term, run.task
    run.die_in_child()
    try:
        with pytest.raises(NotLeadingError):
            core(election.elector.gate(original)).create_namespaced_config_map("ns", BODY)
    finally:
        run.term, run.task, run.is_forked = term, task, False
    assert server.requests == []


def typed(elector: LeaderElector, api_client: client.ApiClient) -> client.ApiClient:
    """For mypy: a view has the type of its client."""
    return elector.gate(api_client)

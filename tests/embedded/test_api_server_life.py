"""Starting, stopping and restarting the embedded API server; calls instead of requests; the request log."""

from __future__ import annotations

import doctest
import http.client
import importlib
import socket
import subprocess
import sys
import threading
import time

import pytest
from kubernetes import client

from informer import ApiError, Backoff, ListWatch, Object, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map
from tests.support.waiting import PROMPT

MAPS = "/api/v1/namespaces/default/configmaps"


def test_stop_leaves_no_thread(client_of):
    """`stop` ends all threads, although watches are open and clients have not closed their connections."""
    before = set(threading.enumerate())
    server = EmbeddedAPIServer().start()
    call = client_of(server)
    streams = [call.watch(MAPS) for _ in range(10)]
    server.faults.hang(on="list")
    broken = []

    def list_until_cut():
        try:
            call("GET", MAPS)
        except (OSError, http.client.HTTPException) as error:
            broken.append(error)

    listing = threading.Thread(target=list_until_cut)
    listing.start()
    server.requests.wait_for(1, "list")
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < PROMPT
    listing.join()
    assert len(broken) == 1
    assert set(threading.enumerate()) == before
    assert [stream.response.isclosed() or stream.line() for stream in streams] == [b""] * 10
    server.stop()


def test_misuse_raises_runtime_error():
    """Before the start, after it, and after the stop."""
    server = EmbeddedAPIServer()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url
    with server:
        with pytest.raises(RuntimeError, match="started already"):
            server.start()
        assert server.url
    with pytest.raises(RuntimeError, match="stopped"):
        server.start()
    with pytest.raises(RuntimeError, match="stopped"):
        server.api_client()


def test_objects_created_before_the_start_are_served(client_of):
    """Objects created before the start are listed by the first client."""
    server = EmbeddedAPIServer()
    server.create(config_map("a"))
    with server:
        assert client_of(server)("GET", MAPS).names == ["a"]


def test_import_does_not_load_the_server_or_the_client():
    """The import loads neither the server nor the official client, until one of them is used."""
    code = (
        "import sys, informer.testing; import informer.testing.pytest_plugin;"
        "assert not {'informer.testing.api_server', 'kubernetes.client', 'cryptography', 'yaml'} & set(sys.modules);"
        "from informer.testing import EmbeddedAPIServer; assert 'kubernetes.client' not in sys.modules;"
        "assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_restart_keeps_port_and_objects(server, call):
    """Connections are cut; objects, their versions and the version counter stay."""
    created = server.create(config_map("a"))
    url = server.url
    stream = call.watch(MAPS)
    stream.event()
    server.restart()
    assert stream.line() == b""
    assert server.url == url
    assert call("GET", f"{MAPS}/a").json == created
    assert (
        int(server.create(config_map("b"))["metadata"]["resourceVersion"])
        == int(created["metadata"]["resourceVersion"]) + 1
    )


def test_informer_recovers_from_restart_and_compaction(server):
    """The informer sees every change before and after."""
    backoff = Backoff(initial=0.05, maximum=0.5)
    with (
        server.api_client() as api,
        SharedInformer(ListWatch.for_resource(api, "configmaps"), backoff=backoff) as informer,
    ):
        assert informer.wait_for_sync(10)
        for number, trouble in enumerate(
            (server.restart, server.compact, server.faults.cut_connections, server.restart)
        ):
            server.create(config_map(f"before{number}"))
            trouble()
            last = server.create(config_map(f"after{number}"))
            assert informer.wait_for_resource_version(last["metadata"]["resourceVersion"], 20)
        assert len(informer.lister.list()) == 8


# Calls instead of requests


def test_calls_act_like_requests(server, call):
    """Calls return copies of what is stored, and every watch sees the changes."""
    stream = call.watch(MAPS)
    created = server.create(config_map("a", labels={"app": "web"}))
    assert created == call("GET", f"{MAPS}/a").json == server.get("configmaps", "a")
    created["data"] = {"k": "v"}
    updated = server.update(created)
    patched = server.patch("configmaps", "a", {"data": {"l": "w"}})
    again = server.patch("configmaps", "a", [{"op": "remove", "path": "/data/k"}])
    assert (updated["data"], patched["data"], again["data"]) == ({"k": "v"}, {"k": "v", "l": "w"}, {"l": "w"})
    assert server.list("configmaps", label_selector="app=web") == [again]
    assert server.list("configmaps", namespace="kube-system") == []
    assert server.list("configmaps", field_selector="metadata.name=b") == []
    deleted = server.delete("configmaps", "a")
    assert stream.events(5) == [("ADDED", "a"), *[("MODIFIED", "a")] * 3, ("DELETED", "a")]
    assert deleted["metadata"]["resourceVersion"] == server.resource_version


@pytest.mark.parametrize(
    "name", ["deployments", "deploy", "deployments.apps", "apps/v1/Deployment", "apps/v1/deployments"]
)
def test_names_of_a_resource(server, name):
    """Any form of name that the library accepts."""
    server.create({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d"}})
    assert server.get(name, "d")["metadata"]["name"] == "d"


def test_calls_take_a_dict_an_object_or_a_model(server):
    """A model may lack kind and apiVersion."""
    metadata = client.V1ObjectMeta(name="model", labels={"a": "b"})
    of_model = server.create(client.V1Pod(metadata=metadata, spec=client.V1PodSpec(containers=[])))
    assert (of_model["kind"], of_model["apiVersion"], of_model["metadata"]["labels"]) == ("Pod", "v1", {"a": "b"})
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name="l"))
    assert server.create(lease)["apiVersion"] == "coordination.k8s.io/v1"
    event = client.CoreV1Event(
        metadata=client.V1ObjectMeta(name="e"), involved_object=client.V1ObjectReference(name="x")
    )
    assert server.create(event)["involvedObject"] == {"name": "x"}
    secret = Object.from_dict({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"k": "dg=="}})
    assert server.create(secret)["data"] == {"k": "dg=="}
    assert server.delete(secret)["metadata"]["name"] == "s"


def test_calls_write_the_status(server):
    """No kubelet runs, so a call sets the status of a pod too."""
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "status": {"phase": "Running"}}
    assert server.create(pod)["status"] == {"phase": "Running"}
    assert server.patch("pods", "p", {"status": {"phase": "Failed"}})["status"] == {"phase": "Failed"}
    pod["status"] = {"phase": "Succeeded"}
    assert server.update(pod)["status"] == {"phase": "Succeeded"}


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (lambda s: s.get("pods", "none"), ApiError, '404 NotFound: pods "none" not found'),
        (lambda s: s.get("frobs", "x"), ApiError, "404 NotFound: the server doesn't have a resource type 'frobs'"),
        (
            lambda s: s.create({"kind": "Frob", "apiVersion": "v1"}),
            ApiError,
            'no matches for kind "Frob" in version "v1"',
        ),
        (lambda s: s.create({"metadata": {"name": "x"}}), ValueError, "needs a kind and an apiVersion"),
        (lambda s: s.create(7), TypeError, "not int"),
        (lambda s: s.delete("pods"), ValueError, "name is missing"),
        (lambda s: s.list("pods", label_selector="a b"), ApiError, "400 BadRequest"),
        (lambda s: s.patch("namespaces", "default", [{"op": "x"}]), ApiError, "400 BadRequest: Unknown operation 'x'"),
        (lambda s: s.create({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "A"}}), ApiError, "422 Invalid"),
    ],
)
def test_calls_raise_the_servers_refusal(server, act, error, match):
    """An ApiError with the code and message of the answer; another error for a call that makes no sense."""
    with pytest.raises(error, match=match):
        act(server)


def test_writes_of_many_threads_have_one_order(server, call):
    """Threads write by calls and over HTTP: each write has its own resourceVersion, and a watch sees all of them."""
    stream = call.watch(f"{MAPS}?resourceVersion={server.resource_version}")

    def by_call(start):
        for number in range(start, start + 50):
            server.create(config_map(f"m{number:03}"))

    def over_http(start):
        for number in range(start, start + 25):
            assert call("POST", MAPS, config_map(f"m{number:03}")).status == 201

    threads = [threading.Thread(target=by_call, args=(n * 100,)) for n in range(4)]
    threads += [threading.Thread(target=over_http, args=(n * 100 + 50,)) for n in range(4)]
    for thread in threads:
        thread.start()
    versions = [int(stream.event()[1]["metadata"]["resourceVersion"]) for _ in range(300)]
    for thread in threads:
        thread.join()
    assert versions == sorted(set(versions))
    assert versions[-1] == int(server.resource_version)


# The request log


def test_requests_are_logged(server, call):
    """An entry has the fields needed to count requests and to tell them apart."""
    call("POST", MAPS, config_map("a"), User_Agent="tester/1")
    stream = call.watch(f"{MAPS}?labelSelector=x")
    call("GET", "/apis/apps/v1/deployments/none")
    # An answer arrives a moment before its entry is complete.
    server.requests.wait_until_ended("create")
    first, second, third = server.requests
    assert (first.method, first.path, first.verb, first.resource, first.namespace) == (
        "POST",
        MAPS,
        "create",
        "configmaps",
        "default",
    )
    assert (first.status, first.user_agent, first.ended) == (201, "tester/1", True)
    assert (second.verb, second.query, second.status, second.ended) == (
        "watch",
        {"labelSelector": "x", "watch": "1"},
        200,
        False,
    )
    assert (third.resource, third.status) == ("deployments.apps", 404)
    assert len({request.connection for request in server.requests}) == 3 == server.connection_count
    assert server.requests[0] is first
    assert len(server.requests) == 3
    assert server.requests.select("watch", "configmaps", open=True) == [second]
    stream.close()
    server.requests.wait_until_ended("watch")
    assert server.requests.select(status=404) == [third]
    server.requests.clear()
    assert not server.requests.select()


def test_watch_with_initial_events_is_logged_as_watch_list(server, call):
    """Its verb is "watch_list", not "watch"."""
    call.watched(f"{MAPS}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
    assert [request.verb for request in server.requests] == ["watch_list"]


def test_waiting_for_requests(server, call):
    """`wait_for` returns the requests, or its error lists what came instead."""
    waited = []
    thread = threading.Thread(target=lambda: waited.extend(server.requests.wait_for(2, "list", "pods")))
    thread.start()
    for _ in range(2):
        call("GET", "/api/v1/pods")
    thread.join()
    assert [request.path for request in waited] == ["/api/v1/pods"] * 2
    with pytest.raises(
        TimeoutError, match=r"waited 0\.01 s for 3 requests; the latest requests:\n  200 list /api/v1/pods"
    ):
        server.requests.wait_for(3, timeout=0.01)


def test_stop_does_not_wait_for_a_tls_handshake(client_of):
    """`stop` does not wait for a client that connects and sends nothing."""
    with EmbeddedAPIServer(tls=True) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client_socket:
            # Connections are accepted in order: since this request is answered, the silent connection was accepted too.
            assert client_of(server)("GET", "/healthz").status == 200
            begun = time.monotonic()
            server.stop()
            assert time.monotonic() - begun < PROMPT
            assert client_socket.recv(1) == b""


@pytest.mark.parametrize("module", ["api_server", "faults.faults", "fake_source", "server.request_log"])
def test_examples_in_docstrings_run(module):
    """The examples run as written."""
    results = doctest.testmod(importlib.import_module(f"informer.testing.{module}"))
    assert results.attempted > 0
    assert results.failed == 0

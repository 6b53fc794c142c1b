"""Messages of docs/errors.md about the test kit, metrics and probes, each in full."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from informer import ListWatch
from informer.metrics import make_app
from informer.metrics.collector import InformerCollector
from informer.testing import ControlPlane, EmbeddedAPIServer, FakeControllerSource
from informer.testing.processes.kube_programs import free_ports
from tests.support.messages import check_logged, check_raised, ids
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import ListOptions
from watch.concurrency import Latch

SERVER = EmbeddedAPIServer(tokens={"t": "ann"})
BAD: Any = object()


def started_twice() -> None:
    with EmbeddedAPIServer() as server:
        server.start()


def source_after_shutdown() -> None:
    source = FakeControllerSource()
    source.shutdown()
    source.list(ListOptions())


CALLS: list[tuple[Callable[[], Any], str]] = [
    (lambda: SERVER.url, "the API server is not started"),
    (started_twice, "the API server was started already"),
    (source_after_shutdown, "the source was shut down"),
    (
        lambda: FakeControllerSource().watch(ListOptions(send_initial_events=True)),
        "422 Invalid: sendInitialEvents is forbidden: this source has no watch lists",
    ),
    (lambda: FakeControllerSource().add({}), "the object has no metadata.name"),
    (
        lambda: FakeControllerSource().watch(ListOptions(resource_version="0")).next_batch(0),
        "no event came in time",
    ),
    (
        lambda: SERVER.api_client("bob"),
        "no user 'bob': there are ann; the argument `tokens` of EmbeddedAPIServer adds others, such as "
        'tokens={"a-token": "alice"}',
    ),
    (
        lambda: SERVER.create(BAD),
        "an object must be a dict, an informer.Object or a model of the official client, not object",
    ),
    (lambda: SERVER.get("pods", ""), "the object's name is missing: pass it as the second argument"),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=ids(CALLS))
def test_a_wrong_call_raises(call: Callable[[], Any], message: str) -> None:
    """The message says what is wrong, and what to pass instead."""
    check_raised(call, message)


def test_an_object_that_protobuf_cannot_hold(caplog: pytest.LogCaptureFixture) -> None:
    """The embedded server stores what a real one would refuse; a client that asks for protobuf gets 500."""
    with EmbeddedAPIServer() as server:
        server.create({**pod("a"), "spec": {"priority": "high"}})
        list_watch = ListWatch.for_resource(server.api_client(), "pods", wire="protobuf")
        check_raised(lambda: list_watch.list(ListOptions()), "500 InternalError: an internal error occurred")
    errors = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert errors == ["an object cannot be written in protobuf, since a field is not of v1.Pod's type"]


# The control plane; shell scripts stand in for its programs


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an etcd and a kube-apiserver that run and do nothing."""
    for name in ("etcd", "kube-apiserver"):
        write(tmp_path / name, "exec sleep 60")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "data"))
    return tmp_path


def write(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def answering(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Lets the programs count as ready without an answer."""
    for name in names:
        monkeypatch.setattr(ControlPlane, f"_{name}_answers", lambda self: True)


def test_programs_that_cannot_be_used(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, no permission, no user of this name."""
    with monkeypatch.context() as patched:
        patched.delenv("KUBEBUILDER_ASSETS", raising=False)
        check_raised(
            ControlPlane,
            "KUBEBUILDER_ASSETS is not set: it should name a folder with etcd and kube-apiserver, such as `setup-envtest use "
            "-p path` prints",
        )
    check_raised(
        lambda: ControlPlane(assets=assets).token("bob"),
        "no user 'bob': there are <...>; the argument `users` of ControlPlane adds others",
    )
    check_raised(
        lambda: ControlPlane(assets=assets).url, "the control plane has not started in this process, or was stopped"
    )
    (assets / "etcd").chmod(0o644)
    check_raised(
        lambda: ControlPlane(assets=assets),
        f"{assets}/etcd cannot be executed: it lacks the permission (chmod +x), or is not a program",
    )


def test_a_control_plane_that_runs(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The errors of a second start, of an etcd that does not answer any more, and of a port that is taken during a restart."""
    answering(monkeypatch, "etcd", "apiserver")
    with ControlPlane(assets=assets, start_timeout=0.5) as plane:
        check_raised(plane.start, "the control plane has started already")
        check_raised(plane.compact, "etcd does not answer (<...>); its last output:\n  (nothing)")
        write(assets / "kube-apiserver", "echo listen: address already in use; exit 1")
        monkeypatch.setattr(ControlPlane, "_wait_for", lambda self, process, *_: not process.wait(DEADLINE))
        check_raised(
            plane.restart,
            f"kube-apiserver cannot restart: another process uses its port ({plane.url}); its last output:<...>",
        )


def test_a_control_plane_that_does_not_start(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Etcd ends, or ports are taken."""
    write(assets / "etcd", "exit 3")
    with monkeypatch.context() as patched:
        answering(patched, "etcd")
        patched.setattr(ControlPlane, "_apiserver_answers", lambda self: False)
        check_raised(
            ControlPlane(assets=assets).start,
            "etcd ended while kube-apiserver was starting; its last output:\n  (nothing)",
        )
    write(assets / "etcd", "echo listen: address already in use; exit 1")
    check_raised(
        ControlPlane(assets=assets).start,
        "no free ports: in <...> attempts another process took a chosen port first",
    )


def test_ports_that_are_all_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that other programs use the ports."""

    def bind(self: socket.socket, address: Any) -> None:
        raise OSError(errno.EADDRINUSE, "taken")

    monkeypatch.setattr(socket.socket, "bind", bind, raising=False)
    check_raised(lambda: free_ports(1), "[Errno <...>] no free port between <...> and <...>")


# Metrics and probes


class Broken:
    """A collector of a user's that raises."""

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        raise LookupError("of the user")


def failing_check() -> bool:
    raise LookupError("of the user")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/metrics", "failed to answer a request for /metrics"),
        ("/readyz", "health check warm failed: LookupError('of the user')"),
    ],
)
def test_a_page_that_cannot_be_made(path: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """A collector or a check of the user's raises."""
    registry = CollectorRegistry()
    app = make_app(registry=registry, informers=[], ready_checks={"warm": failing_check})
    registry.register(Broken())
    app({"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda *_: None)
    check_logged(caplog, message)


def test_a_check_that_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """The page does not wait for it."""
    over = Latch()
    app = make_app(informers=[], ready_checks={"warm": lambda: over.wait(DEADLINE)}, check_timeout=0.1)
    try:
        app({"PATH_INFO": "/readyz", "REQUEST_METHOD": "GET"}, lambda *_: None)
        check_logged(caplog, "health check warm still runs after 0.<...> s")
    finally:
        over.open()


def test_metrics_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """Metrics of one informer that cannot be read are logged; those of the others are shown."""

    def read(each: Any, name: str) -> Any:
        raise LookupError("of the user")

    collector = InformerCollector()
    assert list(collector._read([(object(), "pods")], read)) == []
    check_logged(caplog, "failed to read the metrics of pods: LookupError('of the user')")

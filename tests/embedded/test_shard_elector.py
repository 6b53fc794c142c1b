"""Shard electors at the embedded API server: who owns which shard, and when callbacks are called."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client

from informer.leaderelection import LeaseNotRenewedError, NotLeadingError
from informer.sharding import ShardElector
from informer.testing import EmbeddedAPIServer
from tests.support.forks import IN_CHILD
from tests.support.messages import check_logged, matches
from tests.support.waiting import DEADLINE, Task, eventually
from watch.concurrency import Lock

SHARDS = 4
FORKED = "the shard elector default/work belongs to the process that this one was forked from: create an elector after the fork"
FORKING = """
import threading
from informer import InformerForkedError
from informer.sharding import ShardElector
from informer.testing import EmbeddedAPIServer

with EmbeddedAPIServer() as server:
    started = threading.Event()
    elector = ShardElector(
        server.api_client(), "default", "work", shards=1, identity="a", lease_duration=1, renew_deadline=0.9, retry_period=0.1,
        on_shard_started=lambda shard, over: started.set(), on_shard_stopped=lambda shard: None,
    )
    stop = threading.Event()
    thread = threading.Thread(target=elector.run, args=(stop,))
    thread.start()
    assert started.wait(20)

    def child():
        assert elector.owned == frozenset(), elector.owned
        try:
            elector.run(stop)
        except InformerForkedError as error:
            assert str(error) == FORKED, error
        else:
            raise AssertionError("it has run")

    assert in_child(child) == 0
    assert elector.owned == {0}
    stop.set()
    thread.join()
"""


def lease(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": {"informer.sharding/name": "work"}}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {"holderIdentity": ""},
    }


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    """A server with the Leases of a program that ran before: no replica has to wait in case they were deleted."""
    with EmbeddedAPIServer() as made:
        for i in range(SHARDS):
            made.create(lease(f"work-{i}"))
        yield made


class Replicas:
    """Starts electors, and records their callbacks in order."""

    def __init__(self, server: EmbeddedAPIServer) -> None:
        self.server = server
        self.calls: list[tuple[str, str, int]] = []
        self.violations: list[str] = []
        self.may_return = threading.Event()
        self.may_return.set()
        self._lock = Lock()
        self._owners: dict[int, str] = {}
        self._running: list[tuple[threading.Event, Task]] = []

    def elector(self, identity: str, **options: Any) -> ShardElector:
        def started(shard: int, over: threading.Event) -> None:
            self._note("started", identity, shard)
            over.wait()
            self.may_return.wait(DEADLINE)

        def stopped(shard: int) -> None:
            self._note("stopped", identity, shard)

        defaults: dict[str, Any] = {
            "shards": SHARDS,
            "identity": identity,
            "on_shard_started": started,
            "on_shard_stopped": stopped,
            "lease_duration": 8,
            "renew_deadline": 5,
            "retry_period": 0.1,
        }
        return ShardElector(self.server.api_client(), "default", "work", **{**defaults, **options})

    def run(self, elector: ShardElector) -> tuple[threading.Event, Task]:
        stop = threading.Event()
        self._running.append((stop, Task(elector.run, (stop,))))
        return self._running[-1]

    def stop(self) -> None:
        self.may_return.set()
        for stop, _ in self._running:
            stop.set()
        assert all(task.ends_within() for _, task in self._running)
        assert not self.violations

    def _note(self, what: str, identity: str, shard: int) -> None:
        with self._lock:
            self.calls.append((what, identity, shard))
            owner = self._owners.pop(shard, None)
            if what == "started":
                self._owners[shard] = identity
                if owner is not None:
                    self.violations.append(f"{owner} and {identity} own {shard}")


@pytest.fixture
def replicas(server: EmbeddedAPIServer) -> Iterator[Replicas]:
    made = Replicas(server)
    yield made
    made.stop()


def test_replicas_share_the_shards_as_they_come_and_go(replicas: Replicas) -> None:
    """One has all, two have half each, and the one that stays has all again; no shard is owned twice."""
    one, other = replicas.elector("a"), replicas.elector("b")
    replicas.run(one)
    assert eventually(lambda: one.owned == frozenset(range(SHARDS)))
    assert repr(one) == "<ShardElector default/work: owns 0, 1, 2, 3 of 4 shards>"
    stop, task = replicas.run(other)
    assert eventually(lambda: len(one.owned) == len(other.owned) == 2)
    assert one.owned | other.owned == frozenset(range(SHARDS))
    stop.set()
    task.result()
    assert other.owned == frozenset()
    assert eventually(lambda: one.owned == frozenset(range(SHARDS)))


def test_a_shard_moves_only_when_the_callbacks_have_returned(replicas: Replicas) -> None:
    """Meanwhile its owner renews the Lease, and the new replica waits."""
    one, other = replicas.elector("a"), replicas.elector("b")
    replicas.may_return.clear()
    replicas.run(one)
    assert eventually(lambda: one.owned == frozenset(range(SHARDS)))
    replicas.run(other)
    assert eventually(lambda: len(one.owned) == 2)
    leaving = frozenset(range(SHARDS)) - one.owned
    holders = [replicas.server.get("leases.coordination.k8s.io", f"work-{i}")["spec"] for i in leaving]
    assert {spec["holderIdentity"] for spec in holders} == {"a"}
    assert other.owned == frozenset()
    replicas.may_return.set()
    # A shard is owned a moment before its callback is called.
    assert eventually(
        lambda: {shard for what, who, shard in replicas.calls if (what, who) == ("started", "b")} == leaving
    )
    assert other.owned == leaving
    for shard in leaving:
        calls = [(what, who) for what, who, which in replicas.calls if which == shard]
        assert calls == [("started", "a"), ("stopped", "a"), ("started", "b")]


def test_a_callback_that_raises_ends_the_run(replicas: Replicas) -> None:
    """The other shards are handed over, and `run` raises the same."""

    def started(shard: int, over: threading.Event) -> None:
        if shard == 2:
            raise LookupError("no such shard")

    elector = replicas.elector("a", on_shard_started=started)
    _, task = replicas.run(elector)
    with pytest.raises(LookupError, match="no such shard"):
        task.result()
    assert {shard for what, _, shard in replicas.calls if what == "stopped"} >= {2}
    assert replicas.server.get("leases.coordination.k8s.io", "work-2")["spec"].get("holderIdentity", "") == ""
    assert elector.owned == frozenset()


def test_it_owns_nothing_while_the_server_is_down_for_long(
    replicas: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    """The events are set when the renew deadline has passed."""
    elector = replicas.elector("a", lease_duration=2, renew_deadline=0.5, retry_period=0.1)
    replicas.run(elector)
    assert eventually(lambda: elector.owned == frozenset(range(SHARDS)))
    replicas.server.stop()
    assert eventually(lambda: elector.owned == frozenset())
    assert eventually(lambda: "failed to look at the Leases of work: " in caplog.text)


def test_deleted_leases_are_created_again_by_their_owner(replicas: Replicas) -> None:
    """No shard moves."""
    one, other = replicas.elector("a"), replicas.elector("b")
    replicas.run(one)
    replicas.run(other)
    # A shard is owned before its callback is called: the last call that moves one is awaited, too.
    assert eventually(
        lambda: (
            len(one.owned) == len(other.owned) == 2
            and sum(1 if what == "started" else -1 for what, _, _ in replicas.calls) == SHARDS
        )
    )
    owned, calls = (one.owned, other.owned), len(replicas.calls)
    for i in range(SHARDS):
        replicas.server.delete("leases.coordination.k8s.io", f"work-{i}")

    def holders() -> set[str]:
        found = replicas.server.list("leases.coordination.k8s.io")
        return {each["spec"]["holderIdentity"] for each in found if "member" not in each["metadata"]["name"]}

    assert eventually(
        lambda: len(holders()) == 2 and len(replicas.server.list("leases.coordination.k8s.io")) >= SHARDS + 2
    )
    assert (one.owned, other.owned) == owned
    assert len(replicas.calls) == calls


def test_writes_through_the_gate_need_the_shard(replicas: Replicas) -> None:
    """A read passes."""
    elector = replicas.elector("a")
    core = client.CoreV1Api(elector.gate(replicas.server.api_client(), 1))
    body = {"metadata": {"name": "made"}}
    with pytest.raises(NotLeadingError) as caught:
        core.create_namespaced_config_map("default", body)
    assert str(caught.value) == (
        f"failed to send POST {replicas.server.url}/api/v1/namespaces/default/configmaps: this process does not own shard 1 of "
        "default/work: return from on_shard_started, and leave the write to the next owner"
    )
    assert core.list_namespaced_config_map("default").items == []
    replicas.run(elector)
    assert eventually(lambda: 1 in elector.owned)
    core.create_namespaced_config_map("default", body)


def test_callbacks_that_outlive_their_lease_fail_the_check(replicas: Replicas) -> None:
    elector = replicas.elector("a", lease_duration=1, renew_deadline=0.5, retry_period=0.1)
    replicas.may_return.clear()
    replicas.run(elector)
    assert eventually(lambda: elector.owned == frozenset(range(SHARDS)))
    elector.check()
    replicas.server.stop()

    def failure() -> str:
        try:
            elector.check()
        except LeaseNotRenewedError as error:
            return str(error)
        return ""

    assert eventually(lambda: failure() != "")
    assert matches(
        failure(),
        "the callbacks of shard <...> of default/work have not returned, although its lease has expired and its event is set",
    )
    replicas.may_return.set()
    assert eventually(lambda: failure() == "")


def test_a_stop_that_waits_for_callbacks_is_logged(replicas: Replicas, caplog: pytest.LogCaptureFixture) -> None:
    """Once per lease duration; the Lease is renewed meanwhile."""
    elector = replicas.elector("a", lease_duration=1, renew_deadline=0.9, retry_period=0.1)
    replicas.may_return.clear()
    stop, task = replicas.run(elector)
    assert eventually(lambda: elector.owned == frozenset(range(SHARDS)))
    stop.set()
    check_logged(
        caplog, "shard <...> of work is not released: its callbacks have not returned, although its event is set"
    )
    replicas.may_return.set()
    task.result()


def test_an_elector_runs_once(replicas: Replicas) -> None:
    elector = replicas.elector("a")
    stop, task = replicas.run(elector)
    stop.set()
    task.result()
    with pytest.raises(RuntimeError) as caught:
        elector.run(stop)
    assert str(caught.value) == "the shard elector default/work is already started: make a new one"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shards": 0}, "the number of shards must be at least 1, not 0"),
        ({"name": "x." * 31 + "xx"}, "the name of a shard elector has at most 63 characters, not 64"),
        ({"on_shard_stopped": None}, "on_shard_stopped must be"),
        ({"identity": ""}, "the lock's identity is empty"),
        ({"renew_deadline": 20}, "lease_duration must be greater than renew_deadline"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "name": "work",
        "shards": 2,
        "identity": "a",
        "on_shard_started": lambda shard, over: None,
        "on_shard_stopped": lambda shard: None,
        **change,
    }
    make: Callable[..., Any] = ShardElector
    with pytest.raises((TypeError, ValueError)) as caught:
        make(None, "default", **arguments)
    assert message in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_owns_no_shard() -> None:
    """It cannot run the elector either; the parent goes on."""
    program = f"{IN_CHILD}\nFORKED = {FORKED!r}\n{FORKING}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr

"""Controllers of a manager on the embedded server."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from informer import Object
from informer.errors import ApiError
from informer.leaderelection import LeaseLock, NotLeadingError
from informer.runtime import (
    AsyncRequest,
    ConflictError,
    Manager,
    ManagerError,
    Request,
    controller,
    generation_changed,
    owner_reference,
)
from informer.testing import EmbeddedAPIServer
from tests.support.waiting import DEADLINE, eventually
from watch import Channel

SITES = "sites.example.com"


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    with EmbeddedAPIServer() as made:
        made.define("Site", status=True)
        yield made


@pytest.fixture
def manager(server: EmbeddedAPIServer) -> Manager:
    return Manager(server.api_client(), name="site-controller")


def site(name: str = "shop", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "example.com/v1", "kind": "Site", "metadata": metadata, "spec": spec}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def read(server: EmbeddedAPIServer, resource: str, name: str, namespace: str = "default") -> dict[str, Any]:
    """The object, or {}."""
    try:
        return server.get(resource, name, namespace=namespace)
    except ApiError:
        return {}


def writes(server: EmbeddedAPIServer, resource: str) -> list[Any]:
    return [
        each for each in server.requests if each.method in ("PATCH", "DELETE", "POST") and f"/{resource}" in each.path
    ]


def test_a_whole_test_of_a_controller_is_short_and_fast() -> None:
    """Ten lines; under a second on a machine that does nothing else."""
    begun = time.monotonic()
    with EmbeddedAPIServer() as server:
        server.define("Site")
        manager = Manager(server.api_client(), name="site-controller")
        manager.controller(SITES, owns=["configmaps"])(lambda request: request.apply(config_map("made")) and None)
        with manager:
            server.create(site())
            assert manager.informer("configmaps").wait_until(lambda: server.list("configmaps") != [], 10)
    assert time.monotonic() - begun < 5


def test_a_controller_in_ten_lines(server: EmbeddedAPIServer, manager: Manager) -> None:
    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        if request.object is not None:
            request.apply(config_map(f"{request.name}-config", text=request.object.at("spec.text", "")))
            request.set_condition("Ready", "True", "Applied")

    with manager:
        server.create(site(text="hello"))
        assert eventually(lambda: read(server, "configmaps", "shop-config").get("data") == {"text": "hello"})
        (owner,) = read(server, "configmaps", "shop-config")["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("Site", "shop", True)
        assert eventually(lambda: "conditions" in read(server, SITES, "shop").get("status", {}))
        (condition,) = read(server, SITES, "shop")["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["observedGeneration"]) == ("Ready", "True", 1)


def test_a_changed_child_is_put_right(server: EmbeddedAPIServer, manager: Manager) -> None:
    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        if request.object is not None:
            request.apply(config_map("made", text="right"))

    with manager:
        server.create(site())
        assert eventually(lambda: read(server, "configmaps", "made"))
        server.patch("configmaps", "made", {"data": {"text": "wrong"}}, namespace="default")
        assert eventually(lambda: read(server, "configmaps", "made")["data"] == {"text": "right"})
        server.delete("configmaps", "made", namespace="default")
        assert eventually(lambda: read(server, "configmaps", "made").get("data") == {"text": "right"})


def test_an_apply_that_changes_nothing_is_not_sent(server: EmbeddedAPIServer, manager: Manager) -> None:
    calls: Channel[int] = Channel(None)

    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        if request.object is not None:
            request.apply(config_map("made", text="same"))
            calls.put(1)

    with manager:
        server.create(site())
        assert eventually(lambda: read(server, "configmaps", "made"))
        assert calls.get(DEADLINE)
        for number in range(5):
            server.patch(SITES, "shop", {"spec": {"number": number}}, namespace="default")
            assert calls.get(DEADLINE)
        # A change of another field of the child needs no apply either.
        server.patch("configmaps", "made", {"metadata": {"labels": {"other": "x"}}}, namespace="default")
        assert calls.get(DEADLINE)
    assert len(writes(server, "configmaps")) == 1


def test_the_old_and_the_new_owner_are_reconciled(server: EmbeddedAPIServer, manager: Manager) -> None:
    seen: Channel[str] = Channel(None)
    first, second = (server.create(site(name)) for name in ("first", "second"))
    child = server.create({**config_map("child"), "metadata": {"name": "child", "namespace": "default"}})

    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        seen.put(request.key)

    def take(count: int) -> list[str]:
        return sorted(seen.get(DEADLINE) for _ in range(count))

    with manager:
        assert take(2) == ["default/first", "default/second"]
        child["metadata"]["ownerReferences"] = [owner_reference(first)]
        child = server.update(child)
        assert take(1) == ["default/first"]
        child["metadata"]["ownerReferences"] = [owner_reference(second)]
        server.update(child)
        assert take(2) == ["default/first", "default/second"]


def test_an_owner_in_another_namespace_or_with_another_uid_is_not_followed(
    server: EmbeddedAPIServer, manager: Manager
) -> None:
    seen: Channel[str] = Channel(None)
    server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    owner = server.create(site())

    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        seen.put(request.key)

    with manager:
        assert seen.get(DEADLINE) == "default/shop"
        for namespace, reference in (
            ("other", owner_reference(owner)),
            ("default", {**owner_reference(owner), "uid": "another"}),
            ("default", {**owner_reference(owner), "controller": False}),
        ):
            metadata = {"generateName": "child-", "namespace": namespace, "ownerReferences": [reference]}
            server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "right", "namespace": "default", "ownerReferences": [owner_reference(owner)]
        }})  # fmt: skip
        assert seen.get(DEADLINE) == "default/shop"
        assert len(seen) == 0


def test_one_worker_per_key_and_several_keys_at_once(server: EmbeddedAPIServer, manager: Manager) -> None:
    running: set[str] = set()
    most = 0
    lock = threading.Lock()
    done: Channel[str] = Channel(None)
    together = threading.Barrier(2, timeout=DEADLINE)

    @manager.controller(SITES, workers=2)
    def reconcile(request: Request) -> None:
        nonlocal most
        with lock:
            assert request.key not in running
            running.add(request.key)
            most = max(most, len(running))
        if request.object is not None and request.object.at("spec.meet"):
            together.wait()
        with lock:
            running.discard(request.key)
        done.put(request.key)

    server.create(site("a", meet=True))
    server.create(site("b", meet=True))
    with manager:
        assert {done.get(DEADLINE), done.get(DEADLINE)} == {"default/a", "default/b"}
        assert most == 2


def test_errors_back_off_and_are_logged_with_the_key(
    server: EmbeddedAPIServer, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: Channel[int] = Channel(None)

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        attempts.put(request.attempt)
        if request.attempt < 3:
            raise RuntimeError("not yet")

    server.create(site())
    with manager, caplog.at_level(logging.ERROR):
        assert [attempts.get(DEADLINE) for _ in range(4)] == [0, 1, 2, 3]
    assert f"reconciling 'default/shop' of {SITES} failed: RuntimeError('not yet')" in caplog.text


def test_a_conflict_is_retried_without_an_error(
    server: EmbeddedAPIServer, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: Channel[int] = Channel(None)

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        attempts.put(request.attempt)
        if not request.attempt:
            raise ApiError(409, "Conflict", "changed")

    server.create(site())
    with manager, caplog.at_level(logging.WARNING):
        assert [attempts.get(DEADLINE) for _ in range(2)] == [0, 1]
    assert "changed" not in caplog.text


def test_seconds_have_the_key_reconciled_again(server: EmbeddedAPIServer, manager: Manager) -> None:
    calls: Channel[int] = Channel(None)

    @manager.controller(SITES)
    def reconcile(request: Request) -> float:
        calls.put(request.attempt)
        return 0.01

    server.create(site())
    with manager:
        assert [calls.get(DEADLINE) for _ in range(3)] == [0, 0, 0]


def test_a_deleted_object_leaves_nothing_behind(server: EmbeddedAPIServer, manager: Manager) -> None:
    gone: Channel[str] = Channel(None)

    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        if request.object is None:
            gone.put(request.key)
        else:
            request.apply(config_map("made"))

    with manager:
        server.create(site())
        assert eventually(lambda: read(server, "configmaps", "made"))
        server.delete(SITES, "shop", namespace="default")
        assert gone.get(DEADLINE) == "default/shop"
        (controller,) = manager._run._controllers
        assert eventually(lambda: not controller._applied._applied and not controller._applied._of_key)
        assert not controller.own_writes._held
        assert not controller.own_writes._written._written
        assert controller.queue.num_requeues("default/shop") == 0


def test_own_writes_are_awaited(server: EmbeddedAPIServer, manager: Manager) -> None:
    """A reconcile finds the children that earlier ones have made, however late the watch brings them."""
    server.faults.slow(2000, on="watch", resource="configmaps", times=None)
    made: list[str] = []
    missing: list[set[str]] = []

    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        if request.object is not None and len(made) < 5:
            missing.append(set(made) - {each.name for each in request.children("configmaps")})
            name = f"made-{len(made)}"
            request.apply(config_map(name))
            made.append(name)
            # Its event comes at once, and long before that of the child.
            server.patch(SITES, "shop", {"spec": {"number": len(made)}}, namespace="default")

    with manager:
        server.create(site())
        assert eventually(lambda: len(server.list("configmaps")) == 5)
    assert missing == [set()] * 5


def test_the_finalizer_is_added_first_and_taken_off_after_the_cleanup(
    server: EmbeddedAPIServer, manager: Manager
) -> None:
    events: Channel[tuple[str, Any]] = Channel(None)

    def cleanup(request: Request) -> float | None:
        assert request.object is not None
        events.put(("cleanup", request.object.at("metadata.finalizers")))
        return 0.01 if len(server.list("configmaps")) < 1 else None

    @manager.controller(SITES, finalizer="example.com/cleanup", cleanup=cleanup)
    def reconcile(request: Request) -> None:
        if request.object is not None:
            events.put(("reconcile", request.object.at("metadata.finalizers")))

    with manager:
        server.create(site())
        assert events.get(DEADLINE) == ("reconcile", ["example.com/cleanup"])
        server.delete(SITES, "shop", namespace="default")
        kind = "reconcile"
        while kind != "cleanup":
            kind, finalizers = events.get(DEADLINE)
        assert finalizers == ["example.com/cleanup"]
        assert events.get(DEADLINE)[0] == "cleanup"
        assert read(server, SITES, "shop")
        server.create({**config_map("allow"), "metadata": {"name": "allow", "namespace": "default"}})
        assert eventually(lambda: not read(server, SITES, "shop"))


def test_a_predicate_leaves_updates_out(server: EmbeddedAPIServer, manager: Manager) -> None:
    seen: Channel[Any] = Channel(None)

    @manager.controller(SITES, predicate=generation_changed)
    def reconcile(request: Request) -> None:
        seen.put(request.object and request.object.at("spec.number"))

    with manager:
        server.create(site(number=1))
        assert seen.get(DEADLINE) == 1
        server.patch(SITES, "shop", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
        server.patch(SITES, "shop", {"spec": {"number": 2}}, namespace="default")
        assert seen.get(DEADLINE) == 2
        server.delete(SITES, "shop", namespace="default")
        assert seen.get(DEADLINE) is None


def test_watched_objects_are_mapped_to_keys(server: EmbeddedAPIServer, manager: Manager) -> None:
    seen: Channel[str] = Channel(None)

    def sites_of(config: Object) -> list[str]:
        return [f"default/{config.at('data.site')}"]

    @manager.controller(SITES, watches={"configmaps": sites_of})
    def reconcile(request: Request) -> None:
        seen.put(request.key)

    with manager:
        server.create({**config_map("c", site="one"), "metadata": {"name": "c", "namespace": "default"}})
        assert seen.get(DEADLINE) == "default/one"
        server.patch("configmaps", "c", {"data": {"site": "two"}}, namespace="default")
        assert {seen.get(DEADLINE), seen.get(DEADLINE)} == {"default/one", "default/two"}


def test_a_status_that_does_not_change_is_not_written(server: EmbeddedAPIServer, manager: Manager) -> None:
    calls: Channel[int] = Channel(None)

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        if request.object is not None:
            request.update_status({"phase": "Ready", "nested": {"a": 1}})
            request.set_condition("Ready", "True", "AllGood", "fine")
            calls.put(1)

    with manager:
        server.create(site())
        calls.get(DEADLINE)
        for number in range(3):
            server.patch(SITES, "shop", {"metadata": {"labels": {"n": str(number)}}}, namespace="default")
            calls.get(DEADLINE)
    assert len(writes(server, "sites")) == 2
    assert read(server, SITES, "shop")["status"]["phase"] == "Ready"


def test_a_conflict_names_the_other_managers(server: EmbeddedAPIServer, manager: Manager) -> None:
    """Without force; with it the fields are taken over. Fields that are not applied any more are removed."""
    server.create({**config_map("made", text="theirs")}, field_manager="kubectl-create")
    results: Channel[Any] = Channel(None)

    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        try:
            request.apply(config_map("made", text="ours"), force=False)
        except ConflictError as error:
            results.put(dict(error.managers))
            results.put(request.apply(config_map("made", text="ours", more="x"))["data"])
            results.put(request.apply(config_map("made", text="ours"))["data"])

    with manager:
        server.create(site())
        assert results.get(DEADLINE) == {".data.text": "kubectl-create"}
        assert results.get(DEADLINE) == {"text": "ours", "more": "x"}
        assert results.get(DEADLINE) == {"text": "ours"}


def test_delete_is_by_uid_and_version(server: EmbeddedAPIServer, manager: Manager) -> None:
    results: Channel[Any] = Channel(None)
    made = server.create({**config_map("c"), "metadata": {"name": "c", "namespace": "default"}})
    server.patch("configmaps", "c", {"data": {"x": "y"}}, namespace="default")

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        if request.object is None:
            return
        try:
            request.delete(made)
        except ConflictError as error:
            results.put(error.status)
        request.delete(read(server, "configmaps", "c"))
        request.delete(made)  # it does not exist any more
        results.put("gone")

    with manager:
        server.create(site())
        assert [results.get(DEADLINE), results.get(DEADLINE)] == [409, "gone"]
        assert not read(server, "configmaps", "c")


def test_an_async_reconcile_function(server: EmbeddedAPIServer, manager: Manager) -> None:
    loops: set[int] = set()

    @manager.controller(SITES, owns=["configmaps"], workers=3)
    async def reconcile(request: AsyncRequest) -> None:
        loops.add(id(asyncio.get_running_loop()))
        if request.object is not None:
            await request.apply(config_map(f"{request.name}-made"))
            await request.set_condition("Ready", "True", "Applied")

    with manager:
        for name in ("a", "b", "c"):
            server.create(site(name))
        assert eventually(lambda: len(server.list("configmaps")) == 3)
        assert eventually(lambda: all(each.get("status") for each in server.list(SITES)))
    assert len(loops) == 1


def test_events_are_recorded_about_the_object(server: EmbeddedAPIServer, manager: Manager) -> None:
    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        request.event("Normal", "Seen", "it is here")

    with manager:
        server.create(site())
        assert eventually(lambda: server.list("events.events.k8s.io"))
    (event,) = server.list("events.events.k8s.io")
    assert (event["reason"], event["regarding"]["name"], event["reportingController"]) == (
        "Seen", "shop", "site-controller",
    )  # fmt: skip


def test_only_the_leader_reconciles_and_another_takes_over(server: EmbeddedAPIServer) -> None:
    seen: Channel[str] = Channel(None)
    managers = []
    for name in ("one", "two"):
        made = Manager(
            server.api_client(), name="site-controller", leader_election=True, lease_namespace="default",
            lease_duration=3, renew_deadline=2, retry_period=0.2,
        )  # fmt: skip
        made.controller(SITES)(lambda request, name=name: seen.put(name))
        managers.append(made)
    first, second = managers
    server.create(site())
    first.start()
    assert first.wait_until_ready(DEADLINE)
    assert seen.get(DEADLINE) == "one"
    with second:
        assert not second.wait_until_ready(0.3)
        server.patch(SITES, "shop", {"spec": {"n": 1}}, namespace="default")
        assert seen.get(DEADLINE) == "one"
        assert first.stop()
        assert seen.get(DEADLINE) == "two"
        assert second.wait_until_ready(DEADLINE)


def test_a_reconcile_that_runs_at_the_stop_can_still_write(server: EmbeddedAPIServer) -> None:
    """The lease is given up after it, and then at once: another process need not wait for its end."""
    manager = Manager(server.api_client(), name="site-controller", leader_election=True, lease_namespace="default")
    begun, go_on = threading.Event(), threading.Event()

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        begun.set()
        go_on.wait(DEADLINE)
        request.apply(config_map("made"))

    server.create(site())
    manager.start()
    assert begun.wait(DEADLINE)
    stopping = threading.Thread(target=manager.stop)
    stopping.start()
    assert eventually(lambda: manager._run.halt.is_set())
    go_on.set()
    stopping.join(DEADLINE)
    assert read(server, "configmaps", "made")
    assert not read(server, "leases.coordination.k8s.io", "site-controller")["spec"].get("holderIdentity")


def test_a_stop_while_another_process_leads(server: EmbeddedAPIServer) -> None:
    managers = [
        Manager(server.api_client(), name="site-controller", leader_election=True, lease_namespace="default")
        for _ in range(2)
    ]
    for manager in managers:
        manager.controller(SITES)(lambda request: None)
    with managers[0]:
        assert managers[0].wait_until_ready(DEADLINE)
        managers[1].start()
        assert eventually(lambda: managers[1]._run.state == "waiting for the lease")
        assert managers[1].stop()
        assert managers[0].elector.is_leader()


def test_writes_without_the_lease_are_refused(server: EmbeddedAPIServer) -> None:
    manager = Manager(server.api_client(), name="site-controller", leader_election=True, lease_namespace="default")
    with pytest.raises(NotLeadingError):
        client.CoreV1Api(manager.api_client).create_namespaced_config_map("default", config_map("made"))
    manager.stop()


def test_a_lost_lease_ends_the_run_with_its_cause(server: EmbeddedAPIServer) -> None:
    manager = Manager(
        server.api_client(), name="site-controller", leader_election=True, lease_namespace="default",
        lease_duration=1.5, renew_deadline=1, retry_period=0.1,
    )  # fmt: skip
    manager.controller(SITES)(lambda request: None)
    manager.start()
    assert manager.wait_until_ready(DEADLINE)
    lock = LeaseLock(server.api_client(), "default", "site-controller", identity="thief")
    server.patch(
        "leases.coordination.k8s.io", "site-controller", {"spec": {"holderIdentity": "thief"}}, namespace="default"
    )
    assert lock.identity == "thief"
    assert eventually(lambda: manager._run.failure is not None)
    with pytest.raises(ManagerError, match="has lost its lease"):
        manager.stop()


def test_a_reconcile_that_outlives_the_lease_cannot_write(server: EmbeddedAPIServer) -> None:
    manager = Manager(
        server.api_client(), name="site-controller", leader_election=True, lease_namespace="default",
        lease_duration=1.5, renew_deadline=1, retry_period=0.1,
    )  # fmt: skip
    refused: Channel[str] = Channel(None)

    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        server.patch(
            "leases.coordination.k8s.io", "site-controller", {"spec": {"holderIdentity": "thief"}}, namespace="default"
        )
        assert eventually(lambda: not manager.elector.is_leader())
        with pytest.raises(NotLeadingError) as caught:
            request.apply(config_map("made"))
        refused.put(str(caught.value))

    server.create(site())
    with pytest.raises(ManagerError, match="has lost its lease"):
        manager.run(threading.Event())
    assert "the lease is held by thief" in refused.get(DEADLINE)
    assert not read(server, "configmaps", "made")


def test_a_cache_that_does_not_sync_ends_the_run(server: EmbeddedAPIServer) -> None:
    manager = Manager(server.api_client(), name="m", sync_timeout=0.5)
    manager.controller("ghosts.example.com")(lambda request: None)
    with pytest.raises(
        ManagerError, match=r"not every cache synced within 0\.5 s: ghosts\.example\.com: .*is the CRD installed"
    ):
        manager.run(threading.Event())


def test_a_run_ends_when_it_is_told_to_and_leaves_no_thread(server: EmbeddedAPIServer, manager: Manager) -> None:
    manager.controller(SITES)(lambda request: None)
    stop = threading.Event()
    runner = threading.Thread(target=manager.run, args=(stop,))
    runner.start()
    while not manager.wait_until_ready(0.05):
        pass
    stop.set()
    runner.join(DEADLINE)
    assert not runner.is_alive()
    with pytest.raises(RuntimeError, match="was started before: make a new one"):
        manager.start()


def test_a_stop_does_not_wait_for_a_long_queue(
    server: EmbeddedAPIServer, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is reconciled when it comes ends, and so do keys that wait, for a short time; the rest is left."""
    monkeypatch.setattr(controller, "_DRAIN", 0.2)
    pause, done = threading.Event(), []

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        pause.wait(0.1)
        done.append(request.key)

    for number in range(50):
        server.create(site(f"s{number}"))
    with manager:
        assert eventually(lambda: bool(done))
    assert 2 <= len(done) < 20


def test_an_informer_that_stops_ends_the_run(server: EmbeddedAPIServer, manager: Manager) -> None:
    manager.controller(SITES)(lambda request: None)
    manager.start()
    assert manager.wait_until_ready(DEADLINE)
    manager.informer(SITES).stop()
    assert eventually(lambda: manager._run.failure is not None)
    with pytest.raises(ManagerError, match="has stopped"):
        manager.stop()


def test_a_deleted_objects_last_reconcile_leaves_nothing_behind(server: EmbeddedAPIServer, manager: Manager) -> None:
    """Even if it writes."""
    calls: Channel[str] = Channel(None)

    @manager.controller(SITES, owns=["configmaps"])
    def reconcile(request: Request) -> None:
        if request.object is None:
            request.apply({**config_map("last"), "metadata": {"name": "last"}}, owned=False)
        calls.put(request.key)

    server.create(site())
    with manager:
        assert calls.get(DEADLINE)
        server.delete(SITES, "shop", namespace="default")
        assert calls.get(DEADLINE)
        (controller,) = manager._run._controllers
        assert eventually(lambda: not controller._applied._applied and not controller.own_writes._written._written)


def test_a_custom_resource_may_be_named_by_its_kind(server: EmbeddedAPIServer, manager: Manager) -> None:
    """Its writes are awaited, and an apply that changes nothing is not sent."""
    server.define("Page", status=True)
    calls: Channel[int] = Channel(None)

    @manager.controller("example.com/v1/Site", owns=["example.com/v1/Page"])
    def reconcile(request: Request) -> None:
        if request.object is not None:
            calls.put(len(request.children("example.com/v1/Page")))
            request.apply({"apiVersion": "example.com/v1", "kind": "Page", "metadata": {"name": "made"}})

    server.faults.slow(500, on="watch", resource="pages.example.com", times=None)
    with manager:
        server.create(site())
        assert calls.get(DEADLINE) == 0
        for number in range(3):
            server.patch(SITES, "shop", {"spec": {"number": number}}, namespace="default")
            assert calls.get(DEADLINE) == 1
    assert len(writes(server, "pages")) == 1


def test_writes_are_awaited_in_further_informers_too(server: EmbeddedAPIServer, manager: Manager) -> None:
    """A reconcile that reads `manager.informer(...)` finds there what it has written."""
    server.faults.slow(500, on="watch", resource="configmaps", times=None)
    found: Channel[bool] = Channel(None)
    config_maps = manager.informer("configmaps")

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        if request.object is not None:
            found.put("default/made" in config_maps.store)
            request.apply(config_map("made"), owned=False)

    with manager:
        server.create(site())
        assert not found.get(DEADLINE)
        server.patch(SITES, "shop", {"spec": {"number": 1}}, namespace="default")
        assert found.get(DEADLINE)

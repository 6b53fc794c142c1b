"""Reconcile functions that misbehave, and objects that are unusual: the controller goes on, and says what is wrong."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from informer import ApiError
from informer.runtime import AsyncRequest, Manager, Request
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
    return Manager(server.api_client(), name="m")


def site(name: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1", "kind": "Site", "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    }  # fmt: skip


def config_map(name: str = "made", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


class Odd(BaseException):
    pass


# A 404 about another object is an error, too.
ABSENT = ApiError(404, "NotFound", 'configmaps "absent" not found')


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), Odd("odd"), RecursionError("deep"), ABSENT])
def test_whatever_is_raised_is_retried(
    server: EmbeddedAPIServer, manager: Manager, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: Channel[int] = Channel(None)

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        attempts.put(request.attempt)
        if not request.attempt:
            raise error

    server.create(site())
    with manager, caplog.at_level(logging.ERROR):
        assert [attempts.get(DEADLINE) for _ in range(2)] == [0, 1]
    assert f"reconciling 'default/shop' of {SITES} failed: {error!r}" in caplog.text
    assert error.__cause__ is None


@pytest.mark.parametrize("result", [True, "5", float("nan"), [], object])
def test_another_result_is_an_error(
    server: EmbeddedAPIServer, manager: Manager, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: Channel[int] = Channel(None)

    @manager.controller(SITES)
    def reconcile(request: Request) -> Any:
        attempts.put(request.attempt)
        return None if request.attempt else result

    server.create(site())
    with manager, caplog.at_level(logging.ERROR):
        assert [attempts.get(DEADLINE) for _ in range(2)] == [0, 1]
    assert f"reconcile must return None or the seconds to requeue after, not {result!r}" in caplog.text


def test_a_stop_within_a_reconcile_function(server: EmbeddedAPIServer, manager: Manager) -> None:
    """It does not wait for itself."""
    results: Channel[Any] = Channel(None)

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        begun = time.monotonic()
        results.put((manager.stop(), time.monotonic() - begun < 5))

    server.create(site())
    manager.run(threading.Event())
    assert results.get(DEADLINE) == (False, True)
    assert manager.stop()


def test_a_definition_that_is_deleted_and_made_again(server: EmbeddedAPIServer, manager: Manager) -> None:
    seen: Channel[Any] = Channel(None)
    manager.controller(SITES)(lambda request: seen.put(request.object and request.object.at("spec.n")))
    server.create(site(n=1))
    with manager:
        assert seen.get(DEADLINE) == 1
        # A definition that goes between the list and the watch leaves the cache as it is, until it is served again.
        assert eventually(lambda: manager.informer(SITES).is_watching)
        server.delete("customresourcedefinitions.apiextensions.k8s.io", SITES)
        assert seen.get(DEADLINE) is None
        server.define("Site", status=True)
        server.create(site(n=2))
        assert seen.get(DEADLINE) == 2


def test_two_controllers_of_one_resource(server: EmbeddedAPIServer, manager: Manager) -> None:
    """Each has its own queue and its own children."""
    seen: set[str] = set()
    for name in ("one", "two"):

        @manager.controller(SITES, owns=["configmaps"], name=name)
        def reconcile(request: Request, name: str = name) -> None:
            if request.object is not None:
                request.apply(config_map(name))
                seen.add(name)

    with manager:
        server.create(site())
        assert eventually(lambda: len(server.list("configmaps")) == 2)
        assert eventually(lambda: seen == {"one", "two"})


def test_an_apply_of_what_is_not_json(server: EmbeddedAPIServer, manager: Manager) -> None:
    """An object that JSON cannot hold is refused before it is sent; numbers as keys become text."""
    said: Channel[str] = Channel(None)

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        if request.object is not None:
            with pytest.raises(TypeError) as caught:
                request.apply({**config_map(), "data": {"a": object()}})
            said.put(str(caught.value))
            request.apply({**config_map(), "data": {1: "one"}})

    with manager:
        server.create(site())
        assert said.get(DEADLINE) == "Encoding objects of type object is unsupported"
        assert eventually(lambda: server.list("configmaps"))
    assert server.list("configmaps")[0]["data"] == {"1": "one"}


def test_a_large_object_and_a_name_in_unicode(server: EmbeddedAPIServer, manager: Manager) -> None:
    said: Channel[str] = Channel(None)

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        if request.object is not None:
            request.apply(config_map("large", text="x" * 900_000))
            with pytest.raises(ApiError) as caught:
                request.apply(config_map("größer"))
            said.put(str(caught.value))

    with manager:
        server.create(site())
        assert "größer" in said.get(DEADLINE)
        assert len(server.get("configmaps", "large", namespace="default")["data"]["text"]) == 900_000


def test_a_flood_of_events_of_one_key_leads_to_few_reconciles(server: EmbeddedAPIServer, manager: Manager) -> None:
    """The last state is reconciled."""
    seen: list[int] = []

    @manager.controller(SITES)
    def reconcile(request: Request) -> None:
        if request.object is not None:
            seen.append(request.object.at("spec.n"))
            threading.Event().wait(0.05)

    server.create(site(n=0))
    with manager:
        assert eventually(lambda: seen)
        for number in range(1, 501):
            server.patch(SITES, "shop", {"spec": {"n": number}}, namespace="default")
        assert eventually(lambda: seen[-1] == 500)
    assert seen == sorted(set(seen))
    assert len(seen) < 100


@pytest.mark.parametrize("is_async", [False, True])
def test_a_write_to_an_object_that_was_deleted_meanwhile_is_not_an_error(
    server: EmbeddedAPIServer, manager: Manager, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gone = threading.Event()

    def begin(request: Any) -> bool:
        if request.object is None:
            gone.set()
            return False
        with contextlib.suppress(ApiError):
            server.delete(SITES, "shop")
        return True

    def reconcile(request: Request) -> None:
        if begin(request):
            request.set_condition("Ready", "True", "Applied")

    async def reconcile_async(request: AsyncRequest) -> None:
        if begin(request):
            await request.set_condition("Ready", "True", "Applied")

    manager.controller(SITES)(reconcile_async if is_async else reconcile)
    server.create(site())
    with manager, caplog.at_level(logging.WARNING):
        assert gone.wait(DEADLINE)
    assert "not found" not in caplog.text


def test_a_write_to_a_missing_subresource_says_so() -> None:
    errors: Channel[str] = Channel(None)

    def reconcile(request: Request) -> None:
        try:
            request.update_status({"phase": "Ready"})
        except ApiError as error:
            errors.put(str(error))

    with EmbeddedAPIServer() as server:
        server.define("Site")
        server.create(site())
        manager = Manager(server.api_client(), name="m")
        manager.controller(SITES)(reconcile)
        manager.controller("configmaps", name="of-config-maps")(reconcile)
        server.create(config_map())
        with manager:
            found = sorted(errors.get(DEADLINE) for _ in range(2))
    assert found == [
        "404 NotFound: configmaps has no subresource status",
        "404 NotFound: sites.example.com has no subresource status "
        "(for a custom resource, name it under subresources in the CustomResourceDefinition)",
    ]


def test_a_decorator_without_its_resource_is_explained(manager: Manager) -> None:
    def reconcile(request: Request) -> None:
        pass

    with pytest.raises(TypeError, match=r'as in @manager.controller\("pods"\), not <function'):
        manager.controller(reconcile)  # type: ignore[arg-type]

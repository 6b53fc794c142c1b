"""Factories on both servers: informers that cannot sync, and informers added and removed later."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from informer import ApiError, SharedInformerFactory
from informer.testing import EmbeddedAPIServer
from tests.support.waiting import DEADLINE


def body(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_informers_that_cannot_sync_report_why(backend: Any, widgets: Any, make_factory: Any) -> None:
    """The errors of a forbidden and of a missing resource name verb, resource and namespace, as the server does."""
    factory = make_factory(backend.without_rights("secrets"))
    forbidden, absent = factory.informer("secrets"), factory.informer(widgets.name)
    factory.start()
    backend.until(lambda: forbidden.sync_error() and absent.sync_error(), "both have failed")
    assert factory.wait_for_cache_sync(0.1) == {forbidden: False, absent: False}

    error = forbidden.sync_error()
    assert isinstance(error, ApiError)
    assert (error.status, error.reason) == (403, "Forbidden")
    for text in ("failed to list secrets", 'cannot list resource "secrets"', f'in the namespace "{backend.namespace}"'):
        assert text in str(error)

    error = absent.sync_error()
    assert isinstance(error, ApiError)
    assert (error.status, error.reason) == (404, "NotFound")
    assert f"failed to list {widgets.name}" in str(error)
    if backend.is_embedded:
        backend.server.allow()
        widgets.define()
        assert factory.wait_for_cache_sync(DEADLINE) == {forbidden: True, absent: True}
        assert (forbidden.sync_error(), absent.sync_error()) == (None, None)


def test_missing_resource_does_not_stop_the_other(backend: Any, widgets: Any, make_factory: Any) -> None:
    """The existing resource syncs; the error names the missing one, which syncs once it is defined."""
    factory = make_factory()
    there, absent = factory.informer("configmaps"), factory.informer(widgets.name)
    with factory:
        backend.until(absent.sync_error, "the absent one has failed")
        assert there.wait_for_sync(DEADLINE)
        assert factory.wait_for_cache_sync(0.1) == {there: True, absent: False}
        error = absent.sync_error()
        assert isinstance(error, ApiError)
        assert (error.status, error.reason) == (404, "NotFound")
        assert f"list {widgets.name}" in str(error)
        assert re.search(r"\((is the CRD installed\?|it does not serve this resource, perhaps not yet)\)$", str(error))
        assert there.sync_error() is None
        widgets.define()
        widgets.add("one")
        assert factory.wait_for_cache_sync(DEADLINE) == {there: True, absent: True}
        assert absent.wait_until(lambda: [obj.name for obj in absent.lister.list()] == ["one"], DEADLINE)


def test_informers_are_added_and_removed_at_run_time(backend: Any, make_factory: Any) -> None:
    """An added informer runs after the next `start`; a removed one stops, and the same request makes a new one."""
    before = set(threading.enumerate())
    factory = make_factory()
    first = factory.informer("configmaps")
    factory.start()
    assert factory.wait_for_cache_sync(DEADLINE) == {first: True}

    second = factory.informer("secrets")
    assert factory.wait_for_cache_sync() == {first: True, second: False}, "one that was not started is not waited for"
    factory.start()
    assert factory.wait_for_cache_sync(DEADLINE) == {first: True, second: True}

    factory.remove_informer(second)
    assert (second.is_stopped(), first.is_stopped()) == (True, False)
    assert factory.wait_for_cache_sync(0) == {first: True}
    third = factory.informer("secrets")
    assert third is not second
    assert third is factory.informer("v1/Secret"), "the same, whatever it is called"
    assert third is not factory.informer("secrets", label_selector="app=web")
    factory.start()
    assert len(factory.wait_for_cache_sync(DEADLINE)) == 3

    version = backend.create(backend.path("configmaps"), body("late"))["metadata"]["resourceVersion"]
    assert first.wait_for_resource_version(version, DEADLINE)
    assert first.lister.get("late", backend.namespace).name == "late"

    def threads() -> list[str]:
        started = set(threading.enumerate()) - before
        return [thread.name for thread in started if not thread.name.startswith("apiserver")]

    assert len(threads()) >= 3
    assert factory.shutdown(10)
    assert threads() == []
    with pytest.raises(RuntimeError, match="stopped"):
        factory.informer("configmaps")


def test_refused_connection_is_reported() -> None:
    """The error names the server's address, and the informer syncs once the server accepts connections."""
    with EmbeddedAPIServer() as server:
        factory = SharedInformerFactory(server.api_client())
        informer = factory.informer("pods")
        server.faults.refuse_connections()
        with factory:
            assert factory.wait_for_cache_sync(0.5) == {informer: False}
            error = informer.sync_error()
            assert isinstance(error, ConnectionRefusedError)
            assert "failed to list pods" in str(error) or "failed to watch pods" in str(error)
            assert server.url.removeprefix("http://") in str(error)
            server.faults.accept_connections()
            assert factory.wait_for_cache_sync(DEADLINE) == {informer: True}
            assert informer.sync_error() is None

"""Outages and missing bookmarks of the embedded server, as informers report them and learn from each other."""

from __future__ import annotations

import time
from typing import Any

import pytest

from informer import Backoff, ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import pod
from tests.support.waiting import DEADLINE, eventually

FAST = Backoff(initial=0.02, maximum=0.1)


def informer_of(api_client: Any, resource: str = "pods", **options: Any) -> SharedInformer[Any]:
    options = {"backoff": FAST, "watch_list": True, **options}
    return SharedInformer(ListWatch.for_resource(api_client, resource), **options)


def test_a_bookmark_that_never_comes_is_named_and_remembered(server: EmbeddedAPIServer) -> None:
    """k9s#4186. `sync_error()` says what is waited for, and later informers of the server list at once."""
    server.create(pod("a", "default"))
    server.faults.no_end_bookmark(times=None)
    # The bookmark is awaited for no longer than the silence time-out.
    with server.api_client() as api_client, informer_of(api_client, silence_timeout=2.0) as first:
        assert first.wait_until(lambda: first.sync_error() is not None, DEADLINE)
        assert "waiting for the bookmark that completes the watch list: 1 objects have come" in str(first.sync_error())
        assert not first.is_watching
        assert not first.has_synced()
        assert first.wait_for_sync(DEADLINE)
        assert eventually(lambda: first.is_watching)
        assert first.sync_error() is None
        before = len(server.requests.select("watch_list"))
        for resource in ("pods", "configmaps", "secrets"):
            with informer_of(api_client, resource) as later:
                assert later.wait_for_sync(DEADLINE)
        assert len(server.requests.select("watch_list")) == before


def test_a_watch_list_that_ends_early_is_named(server: EmbeddedAPIServer) -> None:
    """Until it is repeated in vain and lists follow."""
    server.faults.no_end_bookmark(times=None)
    server.faults.short_watches(0.05, on="watch_list", times=None)
    with server.api_client() as api_client, informer_of(api_client, backoff=Backoff(initial=0.3, jitter=0)) as informer:
        assert informer.wait_until(lambda: informer.sync_error() is not None, DEADLINE)
        assert "the server ended the watch list before the bookmark" in str(informer.sync_error())
        assert informer.wait_for_sync(DEADLINE)
        assert informer.wait_until(lambda: informer.sync_error() is None, DEADLINE)


def test_after_an_outage_one_object_is_listed_before_the_watch(server: EmbeddedAPIServer) -> None:
    """The version of the cache is confirmed once, and the watch goes on from there without a relist."""
    server.create(pod("a", "default"))
    server.create(pod("b", "default"))
    failed: list[Exception] = []
    with server.api_client() as api_client:
        informer = informer_of(api_client, watch_error_handler=lambda informer, error: failed.append(error))
        with informer:
            assert informer.wait_for_sync(DEADLINE)
            server.requests.wait_for(1, "watch_list", open=True)
            # A watch that ends before its first event is followed by a list anyway; this event rules that out.
            written = server.create(pod("c", "default"))
            assert informer.wait_for_resource_version(written, DEADLINE)
            server.requests.clear()
            begun = time.time()
            server.faults.refuse_connections()
            server.faults.cut_connections()
            assert eventually(lambda: len(failed) >= 3)
            assert informer.failing_since is not None
            assert begun - 1 <= informer.failing_since <= time.time()
            server.faults.accept_connections()
            assert informer.wait_until(lambda: informer.sync_error() is None, DEADLINE)
            assert informer.failing_since is None
            written = server.create(pod("d", "default"))
            assert informer.wait_for_resource_version(written, DEADLINE)
        lists = server.requests.select("list")
        assert len(lists) == 1
        assert lists[0].query["limit"] == "1"
        assert lists[0].query["resourceVersionMatch"] == "NotOlderThan"
        assert not server.requests.select("watch_list")


def test_without_an_outage_nothing_is_listed(server: EmbeddedAPIServer) -> None:
    """Watches that the server ends are resumed at once."""
    with server.api_client() as api_client, informer_of(api_client) as informer:
        assert informer.wait_for_sync(DEADLINE)
        for i in range(4):
            # A watch that ends before its first event is followed by a list anyway; this event rules that out.
            assert informer.wait_for_resource_version(server.create(pod(f"p{i}", "default")), DEADLINE)
            server.faults.end_watches()
        assert informer.wait_for_resource_version(server.create(pod("last", "default")), DEADLINE)
        assert not server.requests.select("list")


def test_all_informers_return_when_the_first_one_does(server: EmbeddedAPIServer) -> None:
    """Though each of them has yet to wait for a minute."""
    with server.api_client() as api_client:
        slow = [informer_of(api_client, backoff=Backoff(initial=60, maximum=60)) for _ in range(8)]
        made = [*slow, informer_of(api_client)]
        for informer in made:
            informer.start()
        try:
            assert all(informer.wait_for_sync(DEADLINE) for informer in made)
            server.requests.wait_for(len(made), "watch_list", open=True)
            written = server.create(pod("a", "default"))
            assert all(informer.wait_for_resource_version(written, DEADLINE) for informer in made)
            server.faults.refuse_connections()
            server.faults.cut_connections()
            for informer in made:
                assert informer.wait_until(lambda informer=informer: informer.sync_error() is not None, DEADLINE)
            server.faults.accept_connections()
            begun = time.monotonic()
            for informer in made:
                assert informer.wait_until(lambda informer=informer: informer.sync_error() is None, 10)
            assert time.monotonic() - begun < 10
        finally:
            for informer in made:
                assert informer.stop(DEADLINE)


@pytest.mark.parametrize("watch_list", [False, True], ids=["list", "watch-list"])
def test_a_forgotten_start_is_told(server: EmbeddedAPIServer, watch_list: bool) -> None:
    """Before the start `sync_error()` says what to do; afterwards it is None."""
    with server.api_client() as api_client:
        informer = informer_of(api_client, watch_list=watch_list)
        assert str(informer.sync_error()) == "informer pods is not started: call start(), or use it in a `with` block"
        with informer:
            assert informer.wait_for_sync(DEADLINE, raise_on_error=True)
            assert informer.sync_error() is None

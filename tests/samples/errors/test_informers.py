"""Messages of docs/errors.md that an informer logs, or shows in `sync_error()`, each in full."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from informer import ApiError, Backoff, Indexer, ListWatch, MutationCache, ObjectList, SharedInformer
from informer.reflector.counts import ReflectorCounts
from informer.reflector.health import Health
from informer.testing import FakeControllerSource
from tests.support.messages import check_logged, matches
from tests.support.objects import stored_pod
from tests.support.waiting import DEADLINE, eventually
from watch import FakeClock, RaceFreeFakeWatcher
from watch.concurrency import Latch


def raising(*_: Any) -> Any:
    raise LookupError("of the user")


@pytest.fixture
def source() -> Iterator[FakeControllerSource]:
    """A source with one pod."""
    made = FakeControllerSource()
    made.add(stored_pod("a"))
    yield made
    made.shutdown()


def synced(source: Any, **options: Any) -> SharedInformer[Any]:
    return SharedInformer(source, name="pods", **options)


def test_a_handler_that_raises(source: FakeControllerSource, caplog: pytest.LogCaptureFixture) -> None:
    """And an `on_error` that raises, too."""
    informer = synced(source)
    informer.add_event_handler(on_add=raising, on_error=raising)
    with informer:
        check_logged(caplog, "handler <...> failed for the Added change of ns/a")
        check_logged(caplog, "on_error of handler <...> failed")


def test_an_index_function_that_raises(source: FakeControllerSource, caplog: pytest.LogCaptureFixture) -> None:
    """The object is left out of that index only."""
    informer = synced(source, indexers={"node": raising})
    with informer:
        check_logged(caplog, "informer pods: index node failed for ns/a")
        assert informer.store.get_by_key("ns/a") is not None


def test_a_transform_without_a_result(source: FakeControllerSource, caplog: pytest.LogCaptureFixture) -> None:
    """And an `on_decode_error` that raises."""
    with synced(source, transform=lambda obj: None, on_decode_error=raising):
        check_logged(
            caplog,
            "informer pods left out ns/a: it does not decode (the transform returned None: it "
            "must return the object to store)",
        )
        check_logged(caplog, "on_decode_error of informer pods failed")


def test_a_transform_that_exits(source: FakeControllerSource, caplog: pytest.LogCaptureFixture) -> None:
    """SystemExit in a transform is a decode error; the reader thread continues."""
    with synced(source, transform=exiting):
        check_logged(caplog, "informer pods left out ns/a: it does not decode (the transform raised SystemExit)")


def exiting(obj: Any) -> Any:
    raise SystemExit


def test_a_watch_function_without_a_result() -> None:
    """`sync_error()` shows it."""
    list_watch: ListWatch[Any] = ListWatch(lambda options: ObjectList([], "1"), lambda options: None)
    with synced(list_watch, watch_list=False) as informer:
        assert eventually(lambda: "watch function" in str(informer.sync_error()))
        assert matches(str(informer.sync_error()), "failed to watch <...>: the watch function returned None")


def test_a_callback_about_progress_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """None of the callbacks of this library does; the informer would go on."""
    log = logging.getLogger("informer.test")
    health = Health("pods", FakeClock(), log, ReflectorCounts(), on_change=raising)
    health.record_failure(ConnectionError("refused"), "list")
    check_logged(caplog, "pods: a callback about its progress failed")


def test_an_index_function_that_raises_for_a_mutation(caplog: pytest.LogCaptureFixture) -> None:
    """A `MutationCache` calls it again for objects that the informer has not seen yet."""
    indexer: Indexer[Any] = Indexer(indexers={"node": fails_for_b})
    cache = MutationCache(indexer, indexer, include_adds=True)
    cache.mutation(stored_pod("b", 5))
    assert cache.by_index("node", "n") == []
    check_logged(caplog, "mutation cache: index node failed for ns/b: LookupError")


def fails_for_b(obj: Any) -> list[str]:
    return raising() if obj["metadata"]["name"] == "b" else ["n"]


def test_waiting_for_an_informer_that_is_not_started(
    source: FakeControllerSource, caplog: pytest.LogCaptureFixture
) -> None:
    """The wait logs a warning and continues, since another thread may still start the informer."""
    assert not synced(source).wait_for_sync(0.01)
    check_logged(caplog, "waiting for <...>, which is not started: call start(), or use it in a `with` block")


def test_an_event_that_is_older_than_the_list(caplog: pytest.LogCaptureFixture) -> None:
    """Its object counts; the next watch begins at the newer version."""
    watcher: RaceFreeFakeWatcher[Any] = RaceFreeFakeWatcher()
    watcher.add(stored_pod("b", 5))
    list_watch: ListWatch[Any] = ListWatch(lambda options: ObjectList([], "10"), lambda options: watcher)
    with synced(list_watch, watch_list=False) as informer:
        check_logged(caplog, "ignored resourceVersion 5 of an event: it is older than 10")
        assert informer.wait_until(lambda: "ns/b" in informer.by_key, DEADLINE)


def test_a_list_that_is_older_than_the_last_one() -> None:
    """`sync_error()` shows it until the informer has listed the newest state."""
    pages = iter([ObjectList([], "10"), ObjectList([], "5")])
    go_on = Latch()

    def list_next(options: Any) -> Any:
        page = next(pages, None)
        if page is None:
            go_on.wait(DEADLINE)
        return page or ObjectList([], "11")

    def refuse(options: Any) -> Any:
        raise ApiError(403, "Forbidden", "watching is forbidden")

    list_watch: ListWatch[Any] = ListWatch(list_next, refuse)
    with synced(list_watch, watch_list=False, backoff=Backoff(initial=0.05, maximum=0.1)) as informer:
        try:
            assert eventually(lambda: "backup" in str(informer.sync_error())), informer.sync_error()
            assert matches(
                str(informer.sync_error()),
                "504 Timeout: failed to list pods: the server listed its state at resourceVersion 5, and had sent 10 before "
                "(was etcd restored from a backup?)",
            )
        finally:
            go_on.open()

"""A controller made of a source, a kind of queue, a cache and its listeners."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager
from typing import Any

import pytest

from informer import Backoff, DeltaFIFO, Indexer, InOrderFIFO
from informer.controller.stored_source import stored_source
from informer.controller.wiring import QueueKind, make_controller
from informer.listwatch.source import as_source
from informer.rate_limited_log import rate_limited
from informer.reflector.config import ReflectorConfig
from informer.testing import FakeControllerSource
from watch import Channel

PATIENCE = 10.0


class Listening:
    """Listeners that record the changes, and whether the cache had them already."""

    def __init__(self, indexer: Indexer[Any]) -> None:
        self.lock: AbstractContextManager[object] = threading.RLock()
        self.changes: Channel[tuple[str, str, bool]] = Channel(None)
        self._indexer = indexer

    def takes_syncs(self) -> bool:
        return True

    def distribute(self, changes: Any) -> None:
        for change in changes:
            stored = self._indexer.get_by_key(change.key)
            self.changes.put(
                (str(change.type), change.key, stored is (None if change.type == "Deleted" else change.object))
            )


def wired(source: Any, queue: QueueKind, on_processed: Any = lambda: None, **options: Any) -> Any:
    config = ReflectorConfig(backoff=Backoff(0.001, 0.01), **options)
    indexer: Indexer[Any] = Indexer(config.key_func)
    listeners = Listening(indexer)
    stored = stored_source(as_source(source), None, indexer.records.same_as)
    limited = rate_limited(logging.getLogger("informer.test"))
    controller = make_controller(
        stored, indexer, listeners, config, queue=queue, log=limited, on_processed=on_processed, name="pods"
    )
    return controller, indexer, listeners


def pod(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns"}}


@pytest.mark.parametrize(("queue", "kind"), [("in_order", InOrderFIFO), ("delta", DeltaFIFO)])
def test_the_queue_is_of_the_kind_asked_for(queue: QueueKind, kind: type) -> None:
    """The controller is not running: it has not listed anything."""
    source = FakeControllerSource()
    controller, indexer, _ = wired(source, queue)
    assert type(controller._queue) is kind
    assert (len(indexer), controller.queued, controller.has_listed) == (0, 0, False)


@pytest.mark.parametrize("queue", ["in_order", "delta"])
def test_the_cache_and_its_listeners_follow_the_source(queue: QueueKind, running: Any) -> None:
    """Listeners receive each change after the cache has it, and `on_processed` is called after each batch."""
    source = FakeControllerSource()
    source.add(pod("a"))
    processed: Channel[bool] = Channel(None)
    controller, indexer, listeners = wired(source, queue, lambda: processed.put(controller.has_listed))
    with running(controller):
        assert listeners.changes.get(PATIENCE) == ("Added", "ns/a", True)
        assert processed.get(PATIENCE)
        source.modify(pod("a"))
        assert listeners.changes.get(PATIENCE) == ("Updated", "ns/a", True)
        source.delete(pod("a"))
        assert listeners.changes.get(PATIENCE) == ("Deleted", "ns/a", True)
    assert len(indexer) == 0


@pytest.mark.parametrize("queue", ["in_order", "delta"])
def test_an_object_that_a_relist_lacks_is_deleted(queue: QueueKind, running: Any) -> None:
    """Either queue finds it in the cache."""
    source = FakeControllerSource()
    source.add(pod("a"))
    controller, indexer, listeners = wired(source, queue)
    with running(controller):
        assert listeners.changes.get(PATIENCE) == ("Added", "ns/a", True)
        source.delete_drop_watch(pod("a"))
        source.reset_watch()
        assert listeners.changes.get(PATIENCE) == ("Deleted", "ns/a", True)
    assert len(indexer) == 0


@pytest.mark.parametrize("queue", ["in_order", "delta"])
def test_objects_are_stored_under_the_keys_of_the_config(queue: QueueKind, running: Any) -> None:
    """The queue, the reflector and the cache use the same function."""
    source = FakeControllerSource()
    source.add(pod("a"))
    controller, indexer, listeners = wired(source, queue, key_func=lambda obj: obj["metadata"]["name"])
    with running(controller):
        assert listeners.changes.get(PATIENCE) == ("Added", "a", True)
    assert indexer.list_keys() == ["a"]

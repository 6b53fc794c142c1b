"""A relist of unchanged objects, whatever happens meanwhile: no handler is called, no object is stored twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from informer import SharedInformer
from informer.testing import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import FakeClock

Make = Callable[..., SharedInformer[Any]]
COUNT = 10
MIDDLE = "pod-4"


class Interrupting:
    """A transform that runs a function once, in the middle of a list."""

    def __init__(self) -> None:
        self.action: Callable[[], object] | None = None

    def __call__(self, obj: Any) -> Any:
        action = self.action
        if action is not None and obj["metadata"]["name"] == MIDDLE:
            self.action = None
            action()
        return obj


@pytest.fixture(params=[None, ["one", "two"]], ids=["everything", "two namespaces"])
def source(request: pytest.FixtureRequest, pod: Any) -> FakeControllerSource:
    """A source whose lists are fresh copies: of all namespaces at once, or of each of two."""
    source = FakeControllerSource(namespaces=request.param)
    for number in range(COUNT):
        source.add(pod(f"pod-{number}", ["one", "two"][number % 2]))
    return source


def relist(informer: SharedInformer[Any], source: FakeControllerSource, news: dict[str, Any]) -> None:
    """Causes a relist with one changed object, and waits until it is applied."""
    lists, number = len(source.list_calls), len(source.namespaces or (None,))
    assert source.wait_for_watches(number)
    source.add_drop_watch(news)
    source.reset_watch()
    assert source.wait_for_list_calls(lists + number)
    assert source.wait_for_watches(number)


@pytest.mark.parametrize("meanwhile", ["nothing", "a late handler", "a resync"])
def test_a_relist_of_the_same_is_silent_and_keeps_the_objects(
    make_informer: Make, recorder: Any, pod: Any, queue: str, source: FakeControllerSource, meanwhile: str
) -> None:
    """Every handler sees each object once, and objects that readers hold stay shared with the cache."""
    transform, clock = Interrupting(), FakeClock()
    informer = make_informer(source, queue=queue, transform=transform, clock=clock, resync_period=60)
    plain, late = recorder(), recorder()
    informer.add_event_handler(plain, resync_period=0)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    plain.take(COUNT)
    held = stored(informer)
    actions: dict[str, Callable[[], object]] = {
        "nothing": list,
        "a late handler": lambda: informer.add_event_handler(late, resync_period=0),
        "a resync": lambda: clock.step(60),
    }
    transform.action = actions[meanwhile]
    relist(informer, source, pod("news", "two"))
    assert [call.key for call in plain.take(1)] == ["two/news"]
    after = stored(informer)
    assert after.keys() == {*held, "two/news"}
    assert all(after[key] is obj for key, obj in held.items())
    if meanwhile == "a late handler":
        assert sorted(call.key for call in late.take(COUNT + 1)) == sorted(after)
    informer.stop()
    assert plain.is_idle
    assert late.is_idle


@pytest.mark.parametrize("meanwhile", ["a delete", "a clearance"])
def test_an_object_deleted_from_the_cache_during_a_relist_is_back_after_it(
    make_informer: Make, pod: Any, queue: str, meanwhile: str
) -> None:
    """The cache ends with what the server lists, although it dropped the equal object a moment before."""
    source, transform = FakeControllerSource(), Interrupting()
    for number in range(COUNT):
        source.add(pod(f"pod-{number}"))
    informer = make_informer(source, queue=queue, transform=transform)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    held = stored(informer)
    taken = held["ns/pod-0"] if meanwhile == "a delete" else None
    indexer = informer.indexer
    transform.action = lambda: indexer.delete(taken) if taken is not None else indexer.replace([], "1")
    relist(informer, source, pod("news"))
    assert informer.wait_for_resource_version(str(COUNT + 1), DEADLINE)
    assert stored(informer).keys() == {*held, "ns/news"}


def stored(informer: SharedInformer[Any]) -> dict[str, Any]:
    return {key: informer.indexer.records.get(key) for key in informer.indexer}

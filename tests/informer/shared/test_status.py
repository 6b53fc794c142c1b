"""How far an informer is, what keeps it from getting further, and waiting for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from informer import ListWatch, ObjectList, SharedInformer
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import ApiError, Channel, FakeWatcher

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


def test_before_the_start_there_is_nothing(make_informer: Make) -> None:
    """client-go source. Not synced, no resourceVersion, no watch, no event, no error, and waits of 0 do not wait."""
    informer = make_informer(FakeControllerSource())
    assert not informer.has_synced()
    assert not informer.wait_for_sync(0)
    assert informer.last_sync_resource_version == ""
    assert not informer.is_watching
    assert informer.last_event_age is None
    assert informer.sync_error() is None
    assert not informer.is_started()
    assert not informer.is_stopped()
    assert not informer.wait_for_resource_version("1", 0)


def test_it_has_synced_when_the_first_list_is_in_the_cache(make_informer: Make, pod: Pod, queue: str) -> None:
    """client-go source. Whoever waits for it finds every object."""
    source = FakeControllerSource()
    for number in range(1500):
        source.add(pod(f"p{number}"))
    informer = make_informer(source, queue=queue)
    informer.start()
    assert informer.is_started()
    assert informer.wait_for_sync(DEADLINE)
    assert len(informer.store) == 1500
    assert informer.last_sync_resource_version == "1500"


def test_an_empty_list_is_a_sync(make_informer: Make, queue: str) -> None:
    """Nothing to follow is followed."""
    informer = make_informer(FakeControllerSource(), queue=queue)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)


def test_is_watching_tells_of_an_open_watch(make_informer: Make) -> None:
    """It is True while a watch is open, and False after the stop."""
    source = FakeControllerSource()
    informer = make_informer(source)
    informer.start()
    assert source.wait_for_watches()
    assert informer.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()
    source.bookmark()
    assert informer.is_watching
    assert informer.last_event_age is not None
    assert 0 <= informer.last_event_age < DEADLINE
    informer.stop(DEADLINE)
    assert not informer.is_watching


def test_sync_error_says_what_is_in_the_way(make_informer: Make) -> None:
    """As long as the list is refused it is the server's answer, and None once the list has come."""
    refuse = threading.Event()
    refuse.set()
    told = threading.Event()

    def list_func(options: Any) -> ObjectList[Any]:
        if refuse.is_set():
            raise ApiError(403, "Forbidden", "pods is forbidden")
        return ObjectList([], "1")

    source = ListWatch(list_func, lambda options: FakeWatcher(maxsize=1), supports_watch_list=False)
    informer = make_informer(source, watch_error_handler=lambda informer, error: told.set())
    informer.start()
    assert told.wait(DEADLINE)
    error = informer.sync_error()
    assert isinstance(error, ApiError)
    assert (error.status, error.reason) == (403, "Forbidden")
    assert "pods is forbidden" in str(error)
    assert not informer.has_synced()
    refuse.clear()
    assert informer.wait_for_sync(DEADLINE)
    assert informer.wait_until(lambda: informer.sync_error() is None, DEADLINE)


def test_waiting_for_a_write_ends_when_the_cache_shows_it(make_informer: Make, pod: Pod, queue: str) -> None:
    """The version of a write, and every older one, is reached once the object is in the cache."""
    source = FakeControllerSource()
    informer = make_informer(source, queue=queue)
    informer.start()
    assert source.wait_for_watches()
    for number in range(50):
        version = source.add(pod(f"p{number}"))["metadata"]["resourceVersion"]
        assert informer.wait_for_resource_version(version, DEADLINE)
        assert informer.store.get_by_key(f"ns/p{number}") is not None
        assert informer.last_sync_resource_version == version
    assert informer.wait_for_resource_version("1", 0)
    assert not informer.wait_for_resource_version("51", 0)


def test_a_bookmark_brings_a_quiet_cache_forward(make_informer: Make, pod: Pod, queue: str) -> None:
    """What happened elsewhere is reached by a bookmark alone, in the store too."""
    source = FakeControllerSource()
    informer = make_informer(source, queue=queue)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()
    source.add_drop_watch(pod("elsewhere"))
    assert not informer.wait_for_resource_version("1", 0.02)
    source.bookmark()
    assert informer.wait_for_resource_version("1", DEADLINE)
    assert informer.store.resource_version == "1"


def test_of_several_namespaces_the_slowest_counts(make_informer: Make, pod: Pod) -> None:
    """A version is reached when every namespace has got there."""
    source = FakeControllerSource(namespaces=["one", "two"])
    informer = make_informer(source)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert source.wait_for_watches(2)
    source.add(pod("a", namespace="one"))
    assert informer.wait_until(lambda: len(informer.store) == 1, DEADLINE)
    assert not informer.wait_for_resource_version("1", 0.02)
    source.bookmark()
    assert informer.wait_for_resource_version("1", DEADLINE)


@pytest.mark.parametrize("version", ["", "0", "012", "abc", "1.5", "-3", None, 7], ids=repr)
def test_versions_that_cannot_be_compared_are_refused(make_informer: Make, version: Any) -> None:
    """A version that no server gives is a ValueError, before the start as later."""
    informer = make_informer(FakeControllerSource())
    with pytest.raises(ValueError, match="not a comparable resourceVersion"):
        informer.wait_for_resource_version(version, 0)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    with pytest.raises(ValueError, match="not a comparable resourceVersion"):
        informer.wait_for_resource_version(version)


@pytest.mark.parametrize("when", ["before the start", "while it runs", "after the stop"])
def test_waits_end_with_the_informer(make_informer: Make, when: str) -> None:
    """A wait without limit is False once the informer stops, whenever that was begun."""
    source = FakeControllerSource()
    informer = make_informer(source)
    if when != "before the start":
        informer.start()
        assert informer.wait_for_sync(DEADLINE)
    if when == "after the stop":
        informer.stop()
    answers: Channel[bool] = Channel(None)
    thread = threading.Thread(target=lambda: answers.put(informer.wait_for_resource_version("9")))
    thread.start()
    informer.stop()
    assert answers.get(DEADLINE) is False
    thread.join(DEADLINE)


def test_waiting_for_a_sync_that_never_comes_ends_with_the_informer(make_informer: Make) -> None:
    """An informer that was never started, or cannot list, keeps nobody waiting once it is stopped."""

    def refuse(options: Any) -> Any:
        raise OSError("no network")

    for informer in (
        make_informer(FakeControllerSource()),
        make_informer(ListWatch(refuse, refuse, supports_watch_list=False)),
    ):
        answers: Channel[bool] = Channel(None)
        thread = threading.Thread(target=lambda i=informer, a=answers: a.put(i.wait_for_sync()))
        thread.start()
        informer.stop()
        assert answers.get(DEADLINE) is False
        thread.join(DEADLINE)


def test_a_waiter_never_misses_the_version_it_waits_for(make_informer: Make, pod: Pod, queue: str) -> None:
    """Many threads each wait for their own write, and all of them return without another write to wake them."""
    source = FakeControllerSource()
    informer = make_informer(source, queue=queue)
    informer.start()
    assert source.wait_for_watches()
    answers: Channel[bool] = Channel(None)

    def write(name: str) -> None:
        for _ in range(20):
            version = source.add(pod(name))["metadata"]["resourceVersion"]
            answers.put(informer.wait_for_resource_version(version, DEADLINE))

    threads = [threading.Thread(target=write, args=(f"p{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    assert all(answers.get(DEADLINE) for _ in range(160))
    for thread in threads:
        thread.join(DEADLINE)


def test_progress_is_told_when_it_has_been_made(make_informer: Make, pod: Pod, queue: str) -> None:
    """Whoever is called back for a version finds it reached: the last call comes after the fact, not before."""
    source = FakeControllerSource()
    informer = make_informer(source, queue=queue)
    reached: Channel[str] = Channel(None)
    withdraw = informer.on_progress(lambda: reached.put(informer.last_sync_resource_version))
    informer.start()
    assert source.wait_for_watches()
    for number in range(1, 6):
        source.add(pod(f"p{number}"))
        while reached.get(DEADLINE) != str(number):
            pass
    withdraw()

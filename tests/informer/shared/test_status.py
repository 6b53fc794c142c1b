"""How far an informer's cache is, what keeps it from getting further, and waiting for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client

from informer import InformerError, ListWatch, ObjectList, SharedInformer
from informer.shared.status import Status
from informer.shared.waiting import Waiters
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE, eventually
from watch import ApiError, Channel, FakeWatcher

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


def test_readings_before_the_start(make_informer: Make) -> None:
    """client-go source. It has not synced, has no resourceVersion, watch or event, says so, and waits of 0 do not wait."""
    informer = make_informer(FakeControllerSource())
    assert not informer.has_synced()
    assert not informer.wait_for_sync(0)
    assert informer.last_sync_resource_version == ""
    assert not informer.is_watching
    assert informer.last_event_age is None
    assert str(informer.sync_error()).endswith("is not started: call start(), or use it in a `with` block")
    assert informer.failing_since is None
    assert not informer.is_started()
    assert not informer.is_stopped()
    assert not informer.wait_for_resource_version("1", 0)


def test_it_has_synced_when_the_first_list_is_in_the_cache(make_informer: Make, pod: Pod, queue: str) -> None:
    """client-go source. A caller that waited for the sync finds every object."""
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
    """An informer without objects syncs too."""
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


def test_sync_error_is_what_keeps_it_from_syncing(make_informer: Make) -> None:
    """It is the server's answer while the list is refused, and None once the list has come."""
    refuse = threading.Event()
    refuse.set()
    failed = threading.Event()

    def list_func(options: Any) -> ObjectList[Any]:
        if refuse.is_set():
            raise ApiError(403, "Forbidden", "pods is forbidden")
        return ObjectList([], "1")

    source = ListWatch(list_func, lambda options: FakeWatcher(maxsize=1), supports_watch_list=False)
    informer = make_informer(source, watch_error_handler=lambda informer, error: failed.set())
    informer.start()
    assert failed.wait(DEADLINE)
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
    """A bookmark alone advances the version of the informer and of the store."""
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
    """A version is reached when every namespace has reached it."""
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
    """They are a ValueError, before and after the start."""
    informer = make_informer(FakeControllerSource())
    with pytest.raises(ValueError, match="not a comparable resourceVersion"):
        informer.wait_for_resource_version(version, 0)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    with pytest.raises(ValueError, match="not a comparable resourceVersion"):
        informer.wait_for_resource_version(version)


@pytest.mark.parametrize("when", ["before the start", "while it runs", "after the stop"])
def test_waits_end_with_the_informer(make_informer: Make, when: str) -> None:
    """A wait without limit returns False once the informer stops, whenever it began."""
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
    """Whether the informer was never started or cannot list."""

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
    """Many threads each wait for their own write, and all return without another write to wake them."""
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


def test_progress_callbacks_come_after_the_progress(make_informer: Make, pod: Pod, queue: str) -> None:
    """The last callback for a version finds the version reached."""
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


# Without an informer


class Reflector:
    """A reflector as the status sees it."""

    def __init__(self, *, is_watching: bool, age: float | None, error: Exception | None = None) -> None:
        self.is_watching = is_watching
        self.last_event_age = age
        self._error = error

    def sync_error(self) -> Exception | None:
        return self._error


class Controller:
    """A controller as the status sees it."""

    def __init__(self, *reflectors: Reflector) -> None:
        self.reflectors = reflectors
        self.has_listed = True
        self.applied_resource_version = "7"
        self.synced = True

    def has_synced(self) -> bool:
        return self.synced


def test_without_a_controller_there_is_nothing_to_read() -> None:
    """Every reading has a value for an informer that was not started; the error says that it was not."""
    status = Status(lambda: None, Waiters(), "pods")
    assert not status.has_synced()
    assert not status.has_reached("1")
    assert status.applied_resource_version == ""
    assert str(status.sync_error()) == "informer pods is not started: call start(), or use it in a `with` block"
    assert (status.is_watching, status.last_event_age) == (False, None)


def test_it_has_synced_when_the_version_of_the_list_is_known_too() -> None:
    """Both the queue and every reflector have to be through with the first list."""
    controller = Controller()
    status = Status(lambda: controller, Waiters())
    assert status.has_synced()
    controller.has_listed = False
    assert not status.has_synced()
    controller.has_listed, controller.synced = True, False
    assert not status.has_synced()


def test_several_reflectors_are_read_as_one() -> None:
    """All must watch, the longest silence counts, and the first error is returned."""
    error = OSError("no network")
    quiet, busy = Reflector(is_watching=True, age=9.0), Reflector(is_watching=True, age=1.0)
    broken = Reflector(is_watching=False, age=None, error=error)
    well = Status(lambda: Controller(quiet, busy), Waiters())
    assert (well.is_watching, well.last_event_age, well.sync_error()) == (True, 9.0, None)
    ill = Status(lambda: Controller(quiet, broken), Waiters())
    assert (ill.is_watching, ill.last_event_age, ill.sync_error()) == (False, None, error)


def test_where_the_controller_may_not_be_used_nothing_may() -> None:
    """In a forked child finding the controller raises, and so does each reading and wait."""

    def refuse() -> None:
        raise RuntimeError("forked")

    status = Status(refuse, Waiters())
    uses: list[Callable[[], object]] = [
        status.has_synced,
        status.sync_error,
        lambda: status.has_reached("1"),
        lambda: status.applied_resource_version,
        lambda: status.is_watching,
        lambda: status.last_event_age,
        lambda: status.wait_until(lambda: True, 0),
        lambda: status.on_progress(print),
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match="forked"):
            use()


# Waiting for a sync or an error


def failing_source(error: Exception, refuse: threading.Event) -> ListWatch[Any]:
    def list_func(options: Any) -> ObjectList[Any]:
        if refuse.is_set():
            raise error
        return ObjectList([], "1")

    return ListWatch(list_func, lambda options: FakeWatcher(maxsize=1), supports_watch_list=False)


def test_an_error_ends_the_wait_for_a_sync(make_informer: Make, queue: str) -> None:
    """`raise_on_error` raises what keeps the informer from syncing; the informer goes on, and may sync later."""
    refuse = threading.Event()
    refuse.set()
    informer = make_informer(failing_source(ApiError(403, "Forbidden", "pods is forbidden"), refuse), queue=queue)
    informer.start()
    with pytest.raises(ApiError, match="pods is forbidden"):
        informer.wait_for_sync(DEADLINE, raise_on_error=True)
    assert informer.failing_since is not None
    refuse.clear()
    assert informer.wait_for_sync(DEADLINE)
    assert informer.wait_for_sync(0, raise_on_error=True)
    assert informer.wait_until(lambda: informer.failing_since is None, DEADLINE)


def test_without_an_error_the_wait_ends_when_the_time_is_up(make_informer: Make) -> None:
    """The result is False, as without `raise_on_error`."""
    listing = threading.Event()

    def blocks(options: Any) -> ObjectList[Any]:
        listing.set()
        informer_stopped.wait(DEADLINE)
        return ObjectList([], "1")

    informer_stopped = threading.Event()
    informer = make_informer(ListWatch(blocks, lambda options: FakeWatcher(maxsize=1), supports_watch_list=False))
    informer.start()
    assert listing.wait(DEADLINE)
    assert informer.wait_for_sync(0.02, raise_on_error=True) is False
    informer.begin_stop()
    informer_stopped.set()


def test_a_reader_thread_that_failed_ends_the_wait_for_a_sync(make_informer: Make) -> None:
    """The error names the cause."""

    class Broken(FakeControllerSource):
        def list(self, options: Any = None) -> Any:
            raise SystemExit("broken")

    informer = make_informer(Broken())
    informer.start()
    with pytest.raises(InformerError, match="its reader thread failed: broken"):
        informer.wait_for_sync(DEADLINE, raise_on_error=True)


def test_waits_are_woken_when_the_error_changes(make_informer: Make) -> None:
    """`wait_until` returns when the error comes and when it goes, long before its time is up."""
    refuse = threading.Event()
    refuse.set()
    informer = make_informer(failing_source(OSError("no network"), refuse))
    seen: list[bool] = []
    withdraw = informer.on_progress(lambda: seen.append(informer.sync_error() is not None))
    informer.start()
    assert informer.wait_until(lambda: informer.sync_error() is not None, DEADLINE)
    assert eventually(lambda: True in seen)
    refuse.clear()
    assert informer.wait_until(lambda: informer.has_synced() and informer.sync_error() is None, DEADLINE)
    withdraw()


# Writes in one of several namespaces


@pytest.mark.parametrize("form", ["object", "version-and-namespace", "model"])
def test_a_write_counts_in_its_own_namespace(make_informer: Make, pod: Pod, form: str, queue: str) -> None:
    """KEP-5647. The other namespaces are quiet, and have not reached the version."""
    source = FakeControllerSource(namespaces=["one", "two"])
    informer = make_informer(source, queue=queue)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert source.wait_for_watches(2)
    written = source.add(pod("a", namespace="one"))
    if form == "version-and-namespace":
        version = written["metadata"]["resourceVersion"]
        assert informer.wait_for_resource_version(version, DEADLINE, namespace="one")
    elif form == "model":
        meta = client.V1ObjectMeta(name="a", namespace="one", resource_version="1")
        assert informer.wait_for_resource_version(client.V1Pod(metadata=meta), DEADLINE)
    else:
        assert informer.wait_for_resource_version(written, DEADLINE)
    assert informer.store.get_by_key("one/a") is not None
    assert not informer.wait_for_resource_version("1", 0.02)
    assert not informer.wait_for_resource_version("1", 0, namespace="two")


def test_a_namespace_that_is_not_followed_is_refused(make_informer: Make, pod: Pod) -> None:
    """Waiting for it would never end."""
    source = FakeControllerSource(namespaces=["one", "two"])
    informer = make_informer(source)
    informer.start()
    with pytest.raises(ValueError, match=r"does not follow namespace 'three' \(it follows one, two\)"):
        informer.wait_for_resource_version("1", DEADLINE, namespace="three")
    with pytest.raises(ValueError, match="does not follow namespace 'three'"):
        informer.wait_for_resource_version(source.add(pod("a", namespace="three")), DEADLINE)


def test_with_one_reflector_the_namespace_does_not_matter(make_informer: Make, pod: Pod) -> None:
    """It follows all namespaces, or one whose name the source does not tell."""
    source = FakeControllerSource()
    informer = make_informer(source)
    informer.start()
    assert source.wait_for_watches()
    assert informer.wait_for_resource_version(source.add(pod("a")), DEADLINE)
    assert informer.wait_for_resource_version("1", 0, namespace="elsewhere")


def test_what_is_neither_a_version_nor_an_object_is_not_quoted(make_informer: Make) -> None:
    """It may be a Secret."""
    informer = make_informer(FakeControllerSource())
    with pytest.raises(ValueError, match="not a comparable resourceVersion: a dict") as caught:
        informer.wait_for_resource_version({"data": {"key": "pl4nt3d"}})
    assert "pl4nt3d" not in str(caught.value)

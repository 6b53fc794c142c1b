"""How an informer starts and stops, in every state and from every thread."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from informer import ListWatch, ObjectList, SharedInformer
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import ApiError, Channel, FakeWatcher
from watch.concurrency import Signal

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


def threads_of(informer: SharedInformer[Any]) -> list[str]:
    return [thread.name for thread in threading.enumerate() if informer.name in thread.name]


def blocking_source(entered: threading.Event, go: threading.Event) -> ListWatch[Any]:
    """A list function that blocks until `go` is set."""

    def hang(options: Any) -> ObjectList[Any]:
        entered.set()
        go.wait(DEADLINE)
        return ObjectList([], "1")

    return ListWatch(hang, lambda options: FakeWatcher(), supports_watch_list=False)


# Stopping in every state


def test_stop_leaves_no_thread(make_informer: Make, recorder: Any, queue: str) -> None:
    """Go: TestShutdown. Neither the reader thread nor threads of early and late handlers are left."""
    informer = make_informer(FakeControllerSource(), queue=queue, name="shutdown", resync_period=1)
    informer.add_event_handler(recorder())
    informer.start()
    informer.add_event_handler(recorder())
    assert threads_of(informer)
    assert informer.stop(DEADLINE) is True
    assert threads_of(informer) == []


def test_an_informer_that_never_ran_stops(make_informer: Make, recorder: Any) -> None:
    """Go: TestShutdown. Its handlers have no threads, so the stop does not wait."""
    informer = make_informer(FakeControllerSource())
    registration = informer.add_event_handler(recorder())
    assert informer.stop() is True
    assert informer.is_stopped()
    assert not informer.is_started()
    assert not registration.wait_for_sync()


def test_stopping_twice_is_harmless(make_informer: Make) -> None:
    """The second stop returns True."""
    informer = make_informer(FakeControllerSource())
    informer.start()
    assert informer.stop(DEADLINE)
    assert informer.stop(0)


@pytest.mark.parametrize("first", ["never started", "started"])
def test_a_stopped_informer_does_not_start_again(make_informer: Make, first: str) -> None:
    """`start` and `run` after a stop raise a RuntimeError that says "stopped"."""
    informer = make_informer(FakeControllerSource())
    if first == "started":
        informer.start()
    informer.stop()
    for again in (informer.start, lambda: informer.run(threading.Event()), informer.__enter__):
        with pytest.raises(RuntimeError, match="stopped"):
            again()


def test_a_running_informer_does_not_start_again(make_informer: Make) -> None:
    """client-go source. Starting twice is a RuntimeError that says "started", and the first run goes on."""
    informer = make_informer(FakeControllerSource())
    informer.start()
    for again in (informer.start, lambda: informer.run(threading.Event()), informer.__enter__):
        with pytest.raises(RuntimeError, match="already started"):
            again()
    assert not informer.is_stopped()
    assert informer.wait_for_sync(DEADLINE)


def test_a_stopped_informer_refuses_additions(make_informer: Make, recorder: Any) -> None:
    """Go: TestAddOnStoppedSharedInformer. The errors for handlers, streams and indexers name what was not added and why."""
    informer = make_informer(FakeControllerSource())
    informer.start()
    informer.stop()
    with pytest.raises(RuntimeError, match=r"was not added to shared informer because it has stopped already$"):
        informer.add_event_handler(recorder())
    with pytest.raises(RuntimeError, match="stopped"):
        informer.events()
    with pytest.raises(RuntimeError, match="indexer was not added because it has stopped already"):
        informer.add_indexers({"x": lambda obj: []})
    with pytest.raises(RuntimeError, match="stopped"):
        informer.set_transform(None)


def test_with_starts_and_stops(make_informer: Make) -> None:
    """The block runs with a started informer, and an exception of the block comes out."""
    informer = make_informer(FakeControllerSource())
    with pytest.raises(KeyError), informer as entered:
        assert entered is informer
        assert informer.wait_for_sync(DEADLINE)
        raise KeyError
    assert informer.is_stopped()


def test_setters_are_for_before_the_start(make_informer: Make) -> None:
    """client-go source. `set_transform` and `set_watch_error_handler` raise after it."""
    informer = make_informer(FakeControllerSource())
    informer.set_transform(lambda obj: obj)
    informer.set_watch_error_handler(lambda informer, error: None)
    informer.start()
    with pytest.raises(RuntimeError, match="already started"):
        informer.set_transform(lambda obj: obj)
    with pytest.raises(RuntimeError, match="already started"):
        informer.set_watch_error_handler(None)


def test_setters_and_handlers_race_with_the_start(make_informer: Make, recorder: Any) -> None:
    """Go: TestSharedInformerStartRace. In whatever order they come, the only error is "already started"."""
    for _ in range(20):
        informer = make_informer(FakeControllerSource())
        errors: list[BaseException] = []

        def guarded(action: Callable[[], object], errors: list[BaseException] = errors) -> Callable[[], None]:
            def run() -> None:
                try:
                    action()
                except RuntimeError as error:
                    if "already started" not in str(error):
                        errors.append(error)
                except BaseException as error:
                    errors.append(error)

            return run

        actions: list[Callable[[], object]] = [
            informer.start,
            lambda informer=informer: informer.set_transform(lambda obj: obj),
            lambda informer=informer: informer.set_watch_error_handler(lambda informer, error: None),
            lambda informer=informer: informer.add_event_handler(recorder()),
        ]
        threads = [threading.Thread(target=guarded(action)) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert errors == []
        assert informer.handlers[0].wait_for_sync(DEADLINE)
        assert informer.stop(DEADLINE)


# Stopping from within


def stop_from_handler(informer: SharedInformer[Any], stop: Callable[[], None]) -> None:
    informer.add_event_handler(on_add=lambda obj: stop())


def stop_from_on_error(informer: SharedInformer[Any], stop: Callable[[], None]) -> None:
    informer.add_event_handler(on_add=lambda obj: 1 / 0, on_error=lambda change, error: stop())


def stop_from_filter(informer: SharedInformer[Any], stop: Callable[[], None]) -> None:
    informer.add_event_handler(on_add=lambda obj: None, filter=lambda obj: stop())


def stop_from_transform(informer: SharedInformer[Any], stop: Callable[[], None]) -> None:
    def transform(obj: Any) -> Any:
        stop()
        return obj

    informer.set_transform(transform)


def stop_from_index_function(informer: SharedInformer[Any], stop: Callable[[], None]) -> None:
    def index(obj: Any) -> list[str]:
        stop()
        return []

    informer.add_indexers({"stop": index})


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize(
    "arrange",
    [stop_from_handler, stop_from_on_error, stop_from_filter, stop_from_transform, stop_from_index_function],
)
def test_a_stop_from_the_informers_own_threads_does_not_wait(
    make_informer: Make, pod: Pod, queue: str, arrange: Any, drain: bool
) -> None:
    """It returns False at once, and everything ends all the same."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, queue=queue, name="inside")
    answers: Channel[bool] = Channel(None)
    arrange(informer, lambda: answers.put(informer.stop(None, drain=drain)))
    informer.start()
    assert answers.get(DEADLINE) is False
    assert informer.stop(DEADLINE) is True
    assert threads_of(informer) == []


@pytest.mark.parametrize("what", ["list", "watch"])
def test_a_stop_from_the_watch_error_handler_does_not_wait(make_informer: Make, what: str) -> None:
    """An error handler may stop the informer after a failed list or watch."""
    source = FakeControllerSource()
    setattr(source, f"{what}_error", ApiError(403, "Forbidden", "no"))
    answers: Channel[bool] = Channel(None)

    def give_up(informer: SharedInformer[Any], error: Exception) -> None:
        answers.put(informer.stop(None))

    informer = make_informer(source, watch_error_handler=give_up)
    informer.start()
    assert answers.get(DEADLINE) is False
    assert informer.stop(DEADLINE) is True


def test_a_stop_on_the_thread_of_a_further_namespace_does_not_wait(make_informer: Make, pod: Pod) -> None:
    """The reader threads of all namespaces belong to the informer."""
    source = FakeControllerSource(namespaces=["one", "two"])
    source.add(pod("a", namespace="two"))
    answers: Channel[bool] = Channel(None)

    def transform(obj: Any) -> Any:
        answers.put(informer.stop(None))
        return obj

    informer = make_informer(source, transform=transform)
    informer.start()
    assert answers.get(DEADLINE) is False
    assert informer.stop(DEADLINE) is True


def test_a_stop_in_a_removed_handler_does_not_wait(make_informer: Make, pod: Pod) -> None:
    """A handler that has just removed itself still runs on a thread of the informer."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    answers: Channel[bool] = Channel(None)

    def leave(obj: Any) -> None:
        registration.remove()
        answers.put(informer.stop(None))

    registration = informer.add_event_handler(on_add=leave)
    informer.start()
    assert answers.get(DEADLINE) is False
    assert informer.stop(DEADLINE) is True


# What a stop waits for


def test_stop_says_that_a_handler_still_runs(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """It returns False while a call goes on, and True once the call has ended."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    gate = make_gate()
    informer.add_event_handler(gate)
    informer.start()
    gate.entered.get(DEADLINE)
    assert informer.stop(0.01) is False
    assert informer.stop(0) is False
    gate.go.set()
    assert informer.stop(DEADLINE) is True


def test_stop_waits_for_a_handler_that_was_removed(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """A removed handler's last call counts until it has ended."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    gate = make_gate()
    registration = informer.add_event_handler(gate)
    informer.start()
    gate.entered.get(DEADLINE)
    registration.remove(wait=False)
    assert informer.stop(0.01) is False
    gate.go.set()
    assert informer.stop(DEADLINE) is True


def test_stop_drops_what_was_not_delivered(make_informer: Make, make_gate: Any, pod: Pod, queue: str) -> None:
    """After the call under way a handler is not called again, even for changes that were already taken."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source, queue=queue)
    gate = make_gate()
    registration = informer.add_event_handler(gate)
    informer.start()
    assert gate.entered.get(DEADLINE) == "a"
    assert informer.wait_for_sync(DEADLINE)
    informer.stop(0)
    assert registration.backlog_size == 0
    gate.go.set()
    assert informer.stop(DEADLINE)
    assert (len(gate.entered), len(gate.left)) == (0, 1)
    assert not registration.has_synced()


def test_stop_with_drain_delivers_what_waits(make_informer: Make, make_gate: Any, pod: Pod, queue: str) -> None:
    """Handlers get every change that was read before the stop."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source, queue=queue)
    gate = make_gate()
    informer.add_event_handler(gate)
    informer.start()
    assert gate.entered.get(DEADLINE) == "a"
    assert source.wait_for_watches()
    source.add(pod("d"))
    assert informer.wait_for_resource_version("4", DEADLINE)
    assert informer.stop(0, drain=True) is False
    gate.go.set()
    assert informer.stop(DEADLINE, drain=True) is True
    assert [gate.left.get(0) for _ in range(4)] == ["a", "b", "c", "d"]


def test_a_second_stop_may_drop_what_the_first_would_drain(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """A stop without drain ends a drain under way."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source)
    gate = make_gate()
    informer.add_event_handler(gate)
    informer.start()
    gate.entered.get(DEADLINE)
    informer.stop(0.01, drain=True)
    informer.stop(0)
    gate.go.set()
    assert informer.stop(DEADLINE)
    assert len(gate.left) == 1


def test_drain_does_not_wait_for_a_list_that_hangs(make_informer: Make, recorder: Any) -> None:
    """The handlers' threads end although the reader thread hangs in a user's function."""
    entered, go = threading.Event(), threading.Event()
    informer = make_informer(blocking_source(entered, go), name="hangs")
    informer.add_event_handler(recorder())
    informer.start()
    assert entered.wait(DEADLINE)
    assert informer.stop(0.05, drain=True) is False
    left = [t for t in threading.enumerate() if t.name == "hangs-handler"]
    for thread in left:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    go.set()
    assert informer.stop(DEADLINE) is True


def test_a_watcher_whose_stop_hangs_delays_no_other_thread(make_informer: Make, recorder: Any) -> None:
    """Handlers and waiting threads end although a user's watcher does not stop."""
    stopping, go = threading.Event(), threading.Event()

    class Sticky(FakeWatcher):
        def stop(self) -> None:
            stopping.set()
            go.wait(DEADLINE)
            super().stop()

    opened = threading.Event()

    def watch(options: Any) -> Any:
        opened.set()
        return Sticky()

    informer = make_informer(ListWatch(lambda options: ObjectList([], "1"), watch, supports_watch_list=False))
    stream = informer.events()
    informer.start()
    assert opened.wait(DEADLINE)
    stopper = threading.Thread(target=informer.stop)
    stopper.start()
    assert stopping.wait(DEADLINE)
    assert list(stream) == []
    assert informer.is_stopped()
    assert not informer.wait_for_resource_version("99")
    go.set()
    stopper.join(DEADLINE)


# Running with a stop event


@pytest.mark.parametrize("make_event", [threading.Event, Signal], ids=["foreign", "own"])
def test_run_ends_when_its_event_is_set(
    make_informer: Make, recorder: Any, make_event: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It returns when every thread has ended; any `threading.Event` will do. A log line says what it waits for."""
    caplog.set_level("INFO")
    informer = make_informer(FakeControllerSource(), name="runs")
    registration = informer.add_event_handler(recorder())
    stop = make_event()
    runner = threading.Thread(target=lambda: informer.run(stop), name="the runner")
    runner.start()
    assert registration.wait_for_sync(DEADLINE)
    stop.set()
    runner.join(DEADLINE)
    assert "informer runs runs until the stop event that run() was called with is set" in caplog.text
    assert not runner.is_alive()
    assert informer.is_stopped()
    assert threads_of(informer) == []


def test_run_ends_when_the_informer_is_stopped(make_informer: Make) -> None:
    """`stop` from another thread ends it too."""
    informer = make_informer(FakeControllerSource())
    runner = threading.Thread(target=lambda: informer.run(threading.Event()))
    runner.start()
    assert informer.wait_for_sync(DEADLINE)
    informer.stop()
    runner.join(DEADLINE)
    assert not runner.is_alive()


def test_run_with_an_event_that_is_set_already_ends_at_once(make_informer: Make) -> None:
    """The informer starts and stops."""
    informer = make_informer(FakeControllerSource())
    stop = threading.Event()
    stop.set()
    informer.run(stop)
    assert informer.is_stopped()


def test_run_waits_for_its_handlers(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """client-go source. It returns only when the call under way has ended."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    gate = make_gate()
    informer.add_event_handler(gate)
    stop = threading.Event()
    runner = threading.Thread(target=lambda: informer.run(stop))
    runner.start()
    gate.entered.get(DEADLINE)
    stop.set()
    runner.join(0.1)
    assert runner.is_alive()
    gate.go.set()
    runner.join(DEADLINE)
    assert not runner.is_alive()


@pytest.mark.parametrize("stop", [None, 3.0, object()], ids=["none", "seconds", "object"])
def test_run_needs_an_event(make_informer: Make, stop: Any) -> None:
    """Anything else is a TypeError, and nothing is started."""
    informer = make_informer(FakeControllerSource())
    with pytest.raises(TypeError, match=r"stop must be a threading\.Event"):
        informer.run(stop)
    assert not informer.is_started()


class Subscribed(Signal):
    """A stop event; `subscribed` is set when a thread waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed = threading.Event()

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        withdraw = super().subscribe(callback)
        self.subscribed.set()
        return withdraw


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_run_ends_everything(make_informer: Make, recorder: Any) -> None:
    """KeyboardInterrupt comes out of `run`, and no thread is left."""
    informer = make_informer(FakeControllerSource(), name="interrupted")
    informer.add_event_handler(recorder())
    stop = Subscribed()

    def interrupt() -> None:
        if stop.subscribed.wait(DEADLINE):
            # Whether the main thread waits already cannot be seen from here.
            threading.Event().wait(0.05)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        informer.run(stop)
    thread.join(DEADLINE)
    assert threads_of(informer) == []


# Ends of other kinds


def test_on_end_is_called_when_the_last_thread_has_ended(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """Not while a handler still runs."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    gate = make_gate()
    informer.add_event_handler(gate)
    ended = threading.Event()
    informer.on_end(ended.set)
    informer.start()
    gate.entered.get(DEADLINE)
    informer.stop(0)
    assert not ended.wait(0.05)
    gate.go.set()
    assert ended.wait(DEADLINE)
    late = threading.Event()
    informer.on_end(late.set)
    assert late.is_set()


def test_a_failed_start_leaves_nothing_running(
    make_informer: Make, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system cannot start a thread, `start` raises, and the informer has stopped."""
    informer = make_informer(FakeControllerSource(), name="no-more")
    informer.add_event_handler(recorder())
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "informer-no-more":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        informer.start()
    assert informer.is_stopped()
    assert informer.stop(DEADLINE) is True
    assert threads_of(informer) == []


def test_a_handler_without_a_thread_is_not_added(make_informer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system cannot start a thread, a late handler is refused and collects no changes."""
    informer = make_informer(FakeControllerSource())
    informer.start()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            informer.add_event_handler(on_add=print)
    assert informer.handlers == []
    assert informer.stop(DEADLINE)


def test_failed_watches_are_logged_without_an_error_handler(
    make_informer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """An informer without `watch_error_handler` logs the errors."""
    source = FakeControllerSource()
    source.list_error = ApiError(500, "InternalError", "on fire")
    informer = make_informer(source)
    with caplog.at_level(logging.WARNING):
        informer.start()
        assert informer.wait_for_sync(DEADLINE)
    assert "on fire" in caplog.text

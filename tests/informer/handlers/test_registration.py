"""Handlers of a running informer: their calls, their sync, their failures, and their removal."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from informer import Change, DeltaType, HandlerRegistration, SharedInformer
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import Channel

Make = Callable[..., SharedInformer[Any]]
Pod = Callable[..., dict[str, Any]]


# Order


def test_handlers_are_called_for_every_change(make_informer: Make, recorder: Any, pod: Pod, queue: str) -> None:
    """client-go source. Early and late handlers get initial adds, adds, updates, deletes and missed deletes."""
    source = FakeControllerSource()
    source.add(pod("p1"))
    source.add(pod("p2"))
    informer = make_informer(source, queue=queue)
    first, second = recorder(), recorder()
    informer.add_event_handler(first)
    informer.start()
    assert source.wait_for_watches()
    source.add(pod("p3"))
    assert first.take(3) == [
        ("add", "ns/p1", "1", True),
        ("add", "ns/p2", "2", True),
        ("add", "ns/p3", "3", False),
    ]
    assert informer.add_event_handler(second).wait_for_sync(DEADLINE)
    assert sorted(second.take(3)) == [
        ("add", "ns/p1", "1", True),
        ("add", "ns/p2", "2", True),
        ("add", "ns/p3", "3", True),
    ]
    source.modify(pod("p1"))
    source.delete(pod("p3"))
    both = [("update", "ns/p1", "4", "1"), ("delete", "ns/p3", "5", False)]
    assert first.take(2) == second.take(2) == both
    source.delete_drop_watch(pod("p2"))
    source.modify_drop_watch(pod("p1"))
    source.add_drop_watch(pod("p4"))
    source.reset_watch()
    relisted = [
        ("add", "ns/p4", "8", False),
        ("delete", "ns/p2", "2", True),
        ("update", "ns/p1", "7", "4"),
    ]
    assert sorted(first.take(3)) == sorted(second.take(3)) == relisted
    assert informer.wait_for_resource_version("8", DEADLINE)
    assert (informer.last_sync_resource_version, informer.store.resource_version) == ("8", "8")
    assert first.is_idle
    assert second.is_idle


def test_a_missed_delete_has_the_last_known_state(make_informer: Make, pod: Pod, queue: str) -> None:
    """A delete that a relist finds carries the cached object, and `final_state_unknown` is True."""
    source = FakeControllerSource()
    source.add(pod("gone", state="seen"))
    informer = make_informer(source, queue=queue)
    changes: Channel[Change] = Channel(None)
    informer.add_event_handler(on_batch=lambda batch: [changes.put(change) for change in batch])
    informer.start()
    added = changes.get(DEADLINE)
    assert source.wait_for_watches()
    source.modify_drop_watch(pod("gone", state="missed"))
    source.delete_drop_watch(pod("gone"))
    source.reset_watch()
    deleted = changes.get(DEADLINE)
    assert (deleted.type, deleted.final_state_unknown, deleted.key) == (DeltaType.DELETED, True, "ns/gone")
    assert deleted.object is added.object


def test_the_store_is_ahead_of_the_handlers(make_informer: Make, pod: Pod, queue: str) -> None:
    """client-go source. The cache shows a change before a handler is called with it."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, queue=queue)
    found: Channel[Any] = Channel(None)
    informer.add_event_handler(
        on_add=lambda obj: found.put(informer.store.get(obj) is obj),
        on_update=lambda old, new: found.put(informer.store.get(new) is new),
        on_delete=lambda obj: found.put(informer.store.get(obj)),
    )
    informer.start()
    assert found.get(DEADLINE) is True
    assert source.wait_for_watches()
    source.modify(pod("a"))
    assert found.get(DEADLINE) is True
    source.delete(pod("a"))
    assert found.get(DEADLINE) is None


# Several handlers


def test_the_same_handler_may_be_added_twice(make_informer: Make, recorder: Any, pod: Pod) -> None:
    """Go: TestSharedInformerMultipleRegistration. It gets two registrations, and one outlives the removal of the other."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    handler = recorder()
    one, two = informer.add_event_handler(handler), informer.add_event_handler(handler)
    assert one is not two
    informer.start()
    assert [call.key for call in handler.take(2)] == ["ns/a", "ns/a"]
    one.remove()
    assert source.wait_for_watches()
    source.add(pod("b"))
    assert [call.key for call in handler.take(1)] == ["ns/b"]
    assert two.backlog_size == 0
    assert handler.is_idle


def test_handlers_lists_the_present_registrations(make_informer: Make, recorder: Any) -> None:
    """Go: TestSharedInformerRemoveHandler. Each removal shortens the list."""
    informer = make_informer(FakeControllerSource())
    one, two = informer.add_event_handler(recorder()), informer.add_event_handler(recorder())
    assert informer.handlers == [one, two]
    informer.remove_event_handler(one)
    assert informer.handlers == [two]
    informer.remove_event_handler(two)
    assert informer.handlers == []


def test_a_foreign_registration_is_left_alone(make_informer: Make, recorder: Any, pod: Pod) -> None:
    """Go: TestSharedInformerRemoveForeignHandler. Removing another informer's registration changes neither informer."""
    source = FakeControllerSource()
    mine, other = make_informer(source), make_informer(source)
    handler = recorder()
    registration = mine.add_event_handler(handler)
    other.remove_event_handler(registration)
    mine.start()
    source.add(pod("a"))
    assert handler.take(1)[0].key == "ns/a"
    mine.remove_event_handler(registration)
    assert mine.handlers == []


def test_removing_anything_but_a_registration_is_refused(make_informer: Make, recorder: Any) -> None:
    """A handler in place of its registration is a TypeError."""
    with pytest.raises(TypeError, match="registration is needed, not a Recorder"):
        make_informer(FakeControllerSource()).remove_event_handler(recorder())


def test_a_handler_that_blocks_delays_no_other(
    make_informer: Make, make_gate: Any, recorder: Any, pod: Pod, queue: str
) -> None:
    """client-go source. A slow handler delays only itself; `backlog_size` and `lag_seconds` show how far it is behind."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source, queue=queue)
    gate, quick = make_gate(), recorder()
    blocked, free = informer.add_event_handler(gate), informer.add_event_handler(quick)
    informer.start()
    assert gate.entered.get(DEADLINE)
    assert free.wait_for_sync(DEADLINE)
    assert not blocked.has_synced()
    assert blocked.backlog_size == 2
    assert source.wait_for_watches()
    source.add(pod("d"))
    assert quick.take(4)[-1].key == "ns/d"
    assert blocked.backlog_size == 3
    assert blocked.lag_seconds > 0
    assert (free.backlog_size, free.lag_seconds) == (0, 0)
    gate.go.set()
    assert blocked.wait_for_sync(DEADLINE)
    assert [gate.left.get(DEADLINE) for _ in range(4)] == ["a", "b", "c", "d"]
    assert (blocked.backlog_size, blocked.lag_seconds) == (0, 0)


def test_the_backlog_size_covers_initial_adds_and_later_changes(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """Changes count until each is handed over, whether they are initial adds or came behind them."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()
    holder, gate = make_gate(), make_gate()
    informer.add_event_handler(holder)
    assert holder.entered.get(DEADLINE)
    registration = informer.add_event_handler(gate, backlog="coalesce")
    assert gate.entered.get(DEADLINE) == "a"
    source.add(pod("b"))
    source.add(pod("c"))
    assert informer.wait_for_resource_version("3", DEADLINE)
    assert registration.backlog_size == 2
    holder.go.set()
    gate.go.set()
    assert [gate.left.get(DEADLINE) for _ in range(3)] == ["a", "b", "c"]


# Late handlers and the initial list


def test_a_late_handler_has_synced_after_its_own_initial_adds(
    make_informer: Make, make_gate: Any, recorder: Any, pod: Pod, queue: str
) -> None:
    """Go: TestAddWhileActive. The informer's sync alone is not enough."""
    source = FakeControllerSource()
    informer = make_informer(source, queue=queue)
    first = recorder()
    early = informer.add_event_handler(first)
    assert not early.has_synced()
    informer.start()
    source.add(pod("pod1"))
    assert early.wait_for_sync(DEADLINE)
    first.take_until("ns/pod1")
    gate = make_gate()
    late = informer.add_event_handler(gate)
    assert gate.entered.get(DEADLINE) == "pod1"
    assert not late.has_synced()
    assert not late.wait_for_sync(0)
    source.add(pod("pod2"))
    gate.go.set()
    assert late.wait_for_sync(DEADLINE)
    assert [gate.left.get(DEADLINE) for _ in range(2)] == ["pod1", "pod2"]
    assert first.take_until("ns/pod2")
    assert early.has_synced()


@pytest.mark.parametrize("backlog", ["all", "coalesce"])
@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_handler_that_raises_has_synced_all_the_same(
    make_informer: Make, pod: Pod, queue: str, backlog: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Go: TestEventPanics. A call that raises counts as finished, later calls follow, and each failure reaches `on_error`."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source, queue=queue)
    failures: Channel[tuple[str, BaseException]] = Channel(None)

    def fail(obj: Any) -> None:
        raise error

    registration = informer.add_event_handler(
        on_add=fail, backlog=backlog, on_error=lambda change, error: failures.put((change.key, error))
    )
    with caplog.at_level(logging.ERROR):
        informer.start()
        assert registration.wait_for_sync(DEADLINE)
        assert sorted(failures.get(DEADLINE)[0] for _ in range(3)) == ["ns/a", "ns/b", "ns/c"]
        assert source.wait_for_watches()
        source.add(pod("d"))
        assert failures.get(DEADLINE) == ("ns/d", error)
    assert registration.errors == 4
    assert "failed for the Added change of ns/a" in caplog.text
    assert "test_registration" in caplog.text


def test_failures_are_logged_at_a_bounded_rate(
    make_informer: Make, recorder: Any, pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that fails a hundred times writes fewer than twenty log lines."""
    source = FakeControllerSource()
    for number in range(100):
        source.add(pod(f"p{number}"))
    informer = make_informer(source)

    def fail(obj: Any) -> None:
        raise ValueError("always")

    registration = informer.add_event_handler(on_add=fail)
    with caplog.at_level(logging.ERROR):
        informer.start()
        assert registration.wait_for_sync(DEADLINE)
    assert registration.errors == 100
    assert 0 < len(caplog.records) < 20


def test_on_error_may_fail_too(make_informer: Make, pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of `on_error` is logged, and the calls go on."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source)

    def fail(*args: Any) -> None:
        raise SystemExit

    registration = informer.add_event_handler(on_add=fail, on_error=fail)
    with caplog.at_level(logging.ERROR):
        informer.start()
        assert registration.wait_for_sync(DEADLINE)
    assert registration.errors == 2
    assert "on_error of handler" in caplog.text


def test_a_filter_that_drops_everything_does_not_prevent_the_sync(
    make_informer: Make, recorder: Any, pod: Pod, queue: str
) -> None:
    """Initial adds that the filter drops count as finished."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, queue=queue)
    handler = recorder()
    registration = informer.add_event_handler(handler, filter=lambda obj: False)
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    assert handler.is_idle


def test_an_empty_list_syncs_handlers(make_informer: Make, recorder: Any, queue: str) -> None:
    """Early and late handlers without initial adds have synced at once."""
    informer = make_informer(FakeControllerSource(), queue=queue)
    early = informer.add_event_handler(recorder())
    informer.start()
    assert early.wait_for_sync(DEADLINE)
    assert informer.add_event_handler(recorder()).wait_for_sync(DEADLINE)


def test_a_handler_has_not_synced_before_the_informer(make_informer: Make, recorder: Any) -> None:
    """client-go source. A handler without an initial add waits for the informer's first list."""
    source = FakeControllerSource()
    source.list_error = OSError("not yet")
    informer = make_informer(source)
    registration = informer.add_event_handler(recorder())
    assert not registration.has_synced()
    assert not registration.wait_for_sync(0)
    informer.start()
    assert registration.wait_for_sync(DEADLINE)


def test_waiting_for_a_handler_ends_with_the_informer(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """The wait returns False when the informer stops."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    gate = make_gate()
    registration = informer.add_event_handler(gate)
    informer.start()
    gate.entered.get(DEADLINE)
    answers: Channel[bool] = Channel(None)
    thread = threading.Thread(target=lambda: answers.put(registration.wait_for_sync()))
    thread.start()
    informer.stop(0)
    assert answers.get(DEADLINE) is False
    gate.go.set()
    thread.join(DEADLINE)


# Filters and batches


def test_a_filter_turns_updates_into_adds_and_deletes(make_informer: Make, recorder: Any, pod: Pod, queue: str) -> None:
    """Go: TestTypedFilteringResourceEventHandler. An object is added as it begins to pass, and deleted as it stops."""
    source = FakeControllerSource()
    source.add(pod("a", show="no"))
    informer = make_informer(source, queue=queue)
    handler = recorder()
    registration = informer.add_event_handler(handler, filter=lambda obj: obj["metadata"]["labels"]["show"] == "yes")
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()
    for show in ("no", "yes", "yes", "no", "no"):
        source.modify(pod("a", show=show))
    assert handler.take(3) == [
        ("add", "ns/a", "3", False),
        ("update", "ns/a", "4", "3"),
        ("delete", "ns/a", "4", False),
    ]
    assert informer.wait_for_resource_version("6", DEADLINE)
    assert handler.is_idle


def test_a_filter_that_raises_is_a_failure_of_that_change(make_informer: Make, recorder: Any, pod: Pod) -> None:
    """The exception goes to `on_error` with the change, and later changes follow."""
    source = FakeControllerSource()
    source.add(pod("bad"))
    source.add(pod("good"))
    informer = make_informer(source)
    handler = recorder()
    errors: Channel[tuple[str, str]] = Channel(None)

    def keep(obj: Any) -> bool:
        if obj["metadata"]["name"] == "bad":
            raise RuntimeError("odd filter")
        return True

    registration = informer.add_event_handler(
        handler, filter=keep, on_error=lambda change, error: errors.put((change.key, str(error)))
    )
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    assert errors.get(DEADLINE) == ("ns/bad", "odd filter")
    assert [call.key for call in handler.take(1)] == ["ns/good"]
    assert registration.errors == 1


def test_on_batch_gets_what_came_together(make_informer: Make, pod: Pod, queue: str) -> None:
    """A list comes as one batch, in a list that the handler may keep and change."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source, queue=queue)
    batches: Channel[list[Change]] = Channel(None)
    registration = informer.add_event_handler(on_batch=batches.put)
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    batch = batches.get(DEADLINE)
    assert [(change.key, change.is_in_initial_list) for change in batch] == [
        ("ns/a", True),
        ("ns/b", True),
        ("ns/c", True),
    ]
    batch.clear()
    assert (registration.calls, registration.errors) == (3, 0)


def test_on_error_is_called_for_each_change_of_a_failed_batch(make_informer: Make, pod: Pod) -> None:
    """It is one failure with one log line."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source)
    failed: Channel[str] = Channel(None)

    def fail(batch: list[Change]) -> None:
        batch.clear()
        raise ValueError("no batch")

    registration = informer.add_event_handler(on_batch=fail, on_error=lambda change, error: failed.put(change.key))
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    assert [failed.get(DEADLINE) for _ in range(2)] == ["ns/a", "ns/b"]
    assert registration.errors == 1


def test_a_batch_passes_the_filter_change_by_change(make_informer: Make, pod: Pod) -> None:
    """A batch holds the changes that pass; a filter that raises drops one change; an empty batch is not passed."""
    source = FakeControllerSource()
    for name in ("hidden", "odd", "shown"):
        source.add(pod(name))
    informer = make_informer(source)
    batches: Channel[list[str]] = Channel(None)

    def keep(obj: Any) -> bool:
        name = obj["metadata"]["name"]
        if name == "odd":
            raise ValueError(name)
        return name == "shown"

    registration = informer.add_event_handler(
        on_batch=lambda batch: batches.put([change.key for change in batch]), filter=keep
    )
    informer.start()
    assert registration.wait_for_sync(DEADLINE)
    assert source.wait_for_watches()
    source.modify(pod("hidden"))
    source.modify(pod("shown"))
    assert [batches.get(DEADLINE) for _ in range(2)] == [["ns/shown"], ["ns/shown"]]
    assert registration.errors == 1


def test_on_error_sees_what_the_handler_saw(make_informer: Make, pod: Pod) -> None:
    """`on_error` gets the object in the user's form, not in the stored form."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source, transform=lambda obj: obj["metadata"]["name"].upper())
    seen: Channel[Any] = Channel(None)

    def fail(obj: Any) -> None:
        raise ValueError(obj)

    informer.add_event_handler(on_add=fail, on_error=lambda change, error: seen.put((change.object, str(error))))
    informer.start()
    assert seen.get(DEADLINE) == ("A", "A")


# Removal


def test_a_removed_handler_is_not_called_again(make_informer: Make, recorder: Any, pod: Pod, queue: str) -> None:
    """Go: TestRemoveWhileActive. Handlers that stay get later changes; the removed one does not."""
    source = FakeControllerSource()
    source.add(pod("pod1"))
    informer = make_informer(source, queue=queue)
    leaving, staying = recorder(), recorder()
    registration = informer.add_event_handler(leaving)
    informer.add_event_handler(staying)
    informer.start()
    assert leaving.take(1)[0].key == "ns/pod1"
    registration.remove()
    source.add(pod("pod2"))
    staying.take_until("ns/pod2")
    assert leaving.is_idle


def test_removing_twice_is_harmless(make_informer: Make, recorder: Any) -> None:
    """Go: TestRemovingRemovedSharedInformer. Before the start, after it and after the stop, and by either method."""
    informer = make_informer(FakeControllerSource())
    never_started, running, stopped = (informer.add_event_handler(recorder()) for _ in range(3))
    never_started.remove()
    never_started.remove()
    informer.start()
    running.remove()
    informer.remove_event_handler(running)
    running.remove(wait=False)
    informer.stop()
    stopped.remove()
    stopped.remove()
    assert informer.handlers == []


def test_removal_without_waiting_returns_while_a_call_is_under_way(
    make_informer: Make, make_gate: Any, pod: Pod
) -> None:
    """Go: TestRemoveEventHandler_AsynchronousPanic. The call goes on afterwards, and is the last."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source)
    gate = make_gate()
    registration = informer.add_event_handler(gate)
    informer.start()
    assert gate.entered.get(DEADLINE) == "a"
    informer.remove_event_handler(registration)
    assert len(gate.left) == 0
    assert registration.backlog_size == 0
    gate.go.set()
    assert gate.left.get(DEADLINE) == "a"
    registration.remove()
    assert len(gate.entered) == 0
    assert not registration.has_synced()


def test_removal_waits_for_the_call_under_way(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """Go: TestRemoveEventHandler_SynchronousShutdown. It returns only after the call has ended."""
    source = FakeControllerSource()
    source.add(pod("a"))
    informer = make_informer(source)
    gate = make_gate()
    registration = informer.add_event_handler(gate)
    informer.start()
    gate.entered.get(DEADLINE)
    removed: Channel[int] = Channel(None)
    remover = threading.Thread(target=lambda: (registration.remove(), removed.put(len(gate.left))))
    remover.start()
    remover.join(0.05)
    assert remover.is_alive()
    gate.go.set()
    assert removed.get(DEADLINE) == 1
    remover.join(DEADLINE)


@pytest.mark.parametrize("wait", [True, False])
def test_a_handler_may_remove_itself(make_informer: Make, pod: Pod, wait: bool) -> None:
    """The removal does not wait for the handler's own call, and no call follows."""
    source = FakeControllerSource()
    for name in "abc":
        source.add(pod(name))
    informer = make_informer(source)
    calls: Channel[str] = Channel(None)
    registrations: list[HandlerRegistration] = []

    def leave(obj: Any) -> None:
        registrations[0].remove(wait=wait)
        calls.put(obj["metadata"]["name"])

    registrations.append(informer.add_event_handler(on_add=leave))
    informer.start()
    assert calls.get(DEADLINE) == "a"
    registrations[0].remove()
    assert len(calls) == 0
    assert informer.handlers == []


def test_waiting_for_a_handler_ends_with_its_removal(make_informer: Make, make_gate: Any, pod: Pod) -> None:
    """The wait returns False, although the informer goes on."""
    source = FakeControllerSource()
    source.add(pod("a"))
    source.add(pod("b"))
    informer = make_informer(source)
    gate = make_gate()
    registration = informer.add_event_handler(gate)
    informer.start()
    gate.entered.get(DEADLINE)
    answers: Channel[bool] = Channel(None)
    thread = threading.Thread(target=lambda: answers.put(registration.wait_for_sync()))
    thread.start()
    registration.remove(wait=False)
    assert answers.get(DEADLINE) is False
    assert registration.is_stopped()
    gate.go.set()
    thread.join(DEADLINE)


def test_handlers_come_and_go_while_everything_changes(make_informer: Make, pod: Pod, queue: str) -> None:
    """Go: TestSharedInformerHandlerAbuse. Threads add and remove handlers during changes and a stop without an error."""
    source = FakeControllerSource()
    informer = make_informer(source, queue=queue)
    informer.start()
    errors: list[Exception] = []

    def abuse() -> None:
        try:
            while True:
                informer.add_event_handler(on_add=lambda obj: None).remove(wait=False)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=abuse) for _ in range(10)]
    for thread in threads:
        thread.start()
    for number in range(300):
        source.add(pod(f"p{number % 10}"))
        if number % 7 == 0:
            source.delete(pod(f"p{number % 10}"))
    informer.stop(DEADLINE)
    for thread in threads:
        thread.join(DEADLINE)
    assert len(errors) == 10
    assert all(isinstance(error, RuntimeError) and str(error).endswith("stopped already") for error in errors), errors


# Misuse


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"on_add": print, "filter": 3}, TypeError, "filter must be callable, not int"),
        ({"on_add": print, "on_error": 3}, TypeError, "on_error must be callable, not int"),
        ({"on_add": print, "backlog": "newest"}, ValueError, "backlog must be"),
        ({"on_add": print, "resync_period": -1}, ValueError, "resync_period must be 0 or more seconds, not -1"),
        ({}, TypeError, "nothing to call"),
        ({"on_add": asyncio.sleep}, TypeError, "use informer.aio.add_event_handler"),
        ({"on_add": print, "filter": asyncio.sleep}, TypeError, "filter is an async function"),
        ({"on_add": print, "on_error": asyncio.sleep}, TypeError, "on_error is an async function"),
    ],
    ids=["filter", "on-error", "backlog", "resync", "nothing", "async", "async-filter", "async-on-error"],
)
def test_misuse_adds_nothing(make_informer: Make, options: Any, error: type[Exception], text: str) -> None:
    """The error names what does not fit, and no handler is added."""
    informer = make_informer(FakeControllerSource())
    with pytest.raises(error, match=text):
        informer.add_event_handler(**options)
    assert informer.handlers == []


@pytest.mark.parametrize("form", ["batch", "each"])
def test_what_was_taken_before_a_removal_is_not_handed_over(make_informer: Make, pod: Pod, form: str) -> None:
    """`remove(wait=False)` while the filter looks at the taken changes: the handler is not called with them."""
    source = FakeControllerSource()
    entered: Channel[str] = Channel(None)
    go_on = threading.Event()
    calls: list[Any] = []

    def looks(obj: Any) -> bool:
        entered.put(obj["metadata"]["name"])
        return go_on.wait(DEADLINE)

    informer = make_informer(source)
    functions: dict[str, Any] = {"on_batch": calls.append} if form == "batch" else {"on_add": calls.append}
    registration = informer.add_event_handler(filter=looks, **functions)
    informer.start()
    assert source.wait_for_watches()
    assert registration.wait_for_sync(DEADLINE)
    source.add(pod("a"))
    assert entered.get(DEADLINE) == "a"
    source.add(pod("b"))
    registration.remove(wait=False)
    go_on.set()
    assert informer.stop(DEADLINE)
    # A call per object that began before the removal is under way, and ends.
    assert calls == [] or form == "each"
    assert len(calls) <= 1

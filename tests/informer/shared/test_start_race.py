"""Setters and handlers that race with the start."""

from __future__ import annotations

import pytest

from informer import SharedInformer
from informer.testing import FakeControllerSource
from watch.concurrency import Latch, Worker


@pytest.mark.parametrize("round_", range(20))
def test_what_is_set_while_it_starts_is_taken_or_refused(round_: int) -> None:
    """Go: TestSharedInformerInitializationRace, TestSharedInformerStartRace. Whatever comes too late raises an error
    that says "started".
    """
    source = FakeControllerSource()
    source.add({"metadata": {"name": "a"}})
    informer: SharedInformer[object] = SharedInformer(source)
    go, seen = Latch(), Latch()
    refusals: list[str] = []

    def guarded(function: object, argument: object) -> None:
        go.wait(10)
        try:
            function(argument)  # type: ignore[operator]
        except RuntimeError as error:
            refusals.append(str(error))

    workers = [
        Worker(lambda: guarded(informer.set_transform, lambda obj: obj), "transform").start(),
        Worker(lambda: guarded(informer.set_watch_error_handler, lambda *_: None), "error-handler").start(),
        Worker(
            lambda: guarded(lambda add: informer.add_event_handler(on_add=add), lambda obj: seen.open()), "handler"
        ).start(),
        Worker(lambda: guarded(lambda _: informer.start(), None), "start").start(),
    ]
    try:
        go.open()
        assert all(worker.join(10) for worker in workers)
        assert seen.wait(10)
        assert informer.wait_for_sync(10)
        assert all("started" in refusal for refusal in refusals)
        assert len(refusals) <= 2
    finally:
        informer.stop()
        source.shutdown()

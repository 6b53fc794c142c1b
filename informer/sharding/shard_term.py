"""One shard in this process: it is acquired, owned, handed over and given up, by a run of an election."""

from __future__ import annotations

import threading
from collections.abc import Callable

from informer.leaderelection.candidate import Candidate
from informer.leaderelection.config import ElectionConfig
from informer.leaderelection.run import ElectionRun, LeaderNotifier
from informer.leaderelection.term import LeaderTask
from watch.concurrency import Signal, Worker, on_set

__all__ = ["ShardTerm"]


class ShardTerm:
    """One attempt at a shard, and the time for which this process owns it if the attempt succeeds.

    While a shard is handed over, its Lease is renewed until the callbacks have returned. Only then is it released.

    Args:
        shard: its number.
        config: makes the election's options with the function to run while the shard is owned.
        candidate: makes the attempts at the Lease.
        former_task: the task of the last term of this shard, which must have ended first; None if there was none.
        on_started: called with the shard and its event when this process owns it.
        on_stopped: called with the shard when the event is set and `on_started` has returned.
        on_end: called when the term has ended.

    Attributes:
        over: set when the shard is handed over or lost.

    Threads: any.
    """

    def __init__(
        self,
        shard: int,
        config: Callable[[Callable[[threading.Event], object]], ElectionConfig],
        candidate: Candidate,
        former_task: LeaderTask | None,
        *,
        on_started: Callable[[int, threading.Event], object],
        on_stopped: Callable[[int], object],
        on_end: Callable[[], object],
    ) -> None:
        self.over = Signal()
        self.shard = shard
        self.failure: BaseException | None = None
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._on_end = on_end
        self._former_task = former_task
        self.election = ElectionRun(config(self._own), candidate, LeaderNotifier(None), former_task)
        self._worker = Worker(self._run, f"shard-{shard}")

    def start(self) -> ShardTerm:
        """Begins to acquire the shard; returns the term itself."""
        self._worker.start()
        return self

    @property
    def is_owned(self) -> bool:
        """Whether this process owns the shard now, and does not hand it over."""
        term = self.election.term
        return term is not None and term.is_active and not self.over.is_set()

    @property
    def is_acquiring(self) -> bool:
        """Whether the Lease is not acquired yet."""
        return self.election.term is None and not self.over.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether the term has ended: the Lease is released or lost."""
        return self._worker.has_ended

    @property
    def task(self) -> LeaderTask | None:
        """The task that calls the callbacks. It may go on after the term has ended, if the shard was lost."""
        return self.election.task

    def hand_over(self) -> None:
        """Gives the shard up as soon as its callbacks have returned, or stops to acquire it."""
        self.over.set()
        if self._task_of_this_term() is None:
            self.election.halt.set()

    def join(self, timeout: float | None = None) -> bool:
        """Waits at most `timeout` seconds for the end of the term; returns whether it has ended."""
        return self._worker.join(timeout)

    def _task_of_this_term(self) -> LeaderTask | None:
        task = self.election.task
        return None if task is self._former_task else task

    def _run(self) -> None:
        try:
            self.election.run()
            task = self._task_of_this_term()
            if task is not None and task.ended.is_set():
                self.failure = task.failure
        except BaseException as error:
            self.failure = error
        finally:
            self.over.set()
            self.election.ended.set()
            self._on_end()

    def _own(self, lost: threading.Event) -> None:
        withdraw = on_set(lost, self.over.set)
        try:
            self._on_started(self.shard, self.over)
            self.over.wait()
        finally:
            self.over.set()
            withdraw()
            try:
                self._on_stopped(self.shard)
            finally:
                # The election releases the Lease once this function has returned.
                self.election.halt.set()

"""Joins reflectors, a queue, and the function that processes what they bring."""

from __future__ import annotations

import queue as stdlib_queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from typing_extensions import Unpack

from informer.errors import QueueClosedError
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import as_source
from informer.queues.delta import Delta, Queue
from informer.queues.fifo import FIFO, Pair, Run
from informer.reflector.config import ReflectorConfig, ReflectorOptions
from informer.reflector.counts import Summary
from informer.reflector.reflector import Reflector
from watch.concurrency import RLock, Signal, Worker, on_set

__all__ = ["Controller"]


class Controller:
    """Runs a reflector (one per namespace, if there are several) and processes what it queues.

    No thread waits on the queue: the thread that queues deltas also processes them, one batch at a time.

    Args:
        queue: what the reflectors fill. If there are several namespaces, its `replace` takes a `namespace`, and its
            `expect_namespaces`, if it has one, is called with them.
        lister_watcher: what to list and watch.
        process: called with (deltas, is_in_initial_list) for the deltas that are popped together. An exception ends `run`.
        process_run: called instead of `process` with a whole batch (see `FIFO.take`); for the project's own queues.
        on_processed: called when a batch has been processed and `applied_resource_version` may have changed.
        name: for thread names and logs; None takes the resource's name.
        config: the options of each `Reflector`; None makes a `ReflectorConfig` of the remaining arguments.
        options: the fields of `ReflectorConfig`, instead of a config. `key_func` defaults to the queue's.

    Raises:
        TypeError: not exactly one of `process` and `process_run` is given, or an option does not exist.
        ValueError: an option has a value that is not allowed.

    Threads: any; `run` blocks.
    """

    def __init__(
        self,
        queue: Queue,
        lister_watcher: ListerWatcher[Any],
        process: Callable[[list[Delta], bool], object] | None = None,
        *,
        process_run: Callable[[Run], object] | None = None,
        on_processed: Callable[[], object] | None = None,
        name: str | None = None,
        config: ReflectorConfig | None = None,
        **options: Unpack[ReflectorOptions],
    ) -> None:
        if (process is None) == (process_run is None):
            raise TypeError("pass either process or process_run")
        source = as_source(lister_watcher)
        self._queue = queue
        self._name = name or source.resource_name or "controller"
        self._pop = self._popping(queue, process, process_run)
        self._on_processed = on_processed
        self._apply_lock = RLock()  # one thread processes at a time
        self._stop = Signal()
        self._started = False  # guarded by _apply_lock
        self._failure: BaseException | None = None  # what ends the run; written by the processing thread
        self.processing = Summary()
        """The seconds that it took to process each batch."""
        if config is None:
            if isinstance(queue, FIFO):
                options.setdefault("key_func", queue.key_of)
            config = ReflectorConfig(**options)
        self.reflectors: list[Reflector] = []
        parts = source.by_namespace()
        if len(parts) > 1 and isinstance(queue, FIFO):
            queue.expect_namespaces([namespace for namespace, _ in parts if namespace is not None])
        for namespace, part in parts:
            reflector = Reflector(
                part,
                queue,
                name=self._name if namespace is None else f"{self._name}/{namespace}",
                namespace=namespace,
                process=self._processed,
                on_processed=on_processed,
                config=config,
            )
            self.reflectors.append(reflector)
            # One resync of the queue shows the objects of every namespace.
            config = replace(config, resync_period=0)

    def run(self, stop: threading.Event) -> None:
        """Lists, watches and processes until `stop` is set.

        Raises:
            RuntimeError: it was started before.
            BaseException: whatever the process function raised.

        Threads: blocks; the first reflector runs on the calling thread, each further one on a thread of its own.
        """
        with self._apply_lock:
            if self._started:
                raise RuntimeError(f"{self._name} was started already")
            self._started = True
        withdraw = on_set(stop, self.stop)
        workers = [Worker(self._runner(r), f"{self._name}-{i}") for i, r in enumerate(self.reflectors[1:], 2)]
        try:
            self.drain()
            for worker in workers:
                worker.start()
            self.reflectors[0].run(self._stop)
        finally:
            withdraw()
            self.stop()
            for worker in workers:
                worker.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ends `run`: closes the queue and interrupts the reflectors. Idempotent, from any thread."""
        self._stop.set()
        self._queue.close()

    def has_synced(self) -> bool:
        """Returns whether the first list was processed."""
        return self._queue.has_synced()

    @property
    def queued(self) -> int:
        """The number of queued items: keys, or deltas in a queue that keeps the order."""
        return len(self._queue)

    @property
    def has_listed(self) -> bool:
        """Whether each reflector's first list was processed and shows in `applied_resource_version`."""
        return all(reflector.target.has_listed for reflector in self.reflectors)

    @property
    def last_sync_resource_version(self) -> str:
        """The version that the reflectors have seen: the lowest of several, "" before each has one."""
        return _lowest([reflector.last_sync_resource_version for reflector in self.reflectors])

    @property
    def applied_resource_version(self) -> str:
        """The version that has been processed: the lowest of several, "" before each has one."""
        return _lowest([reflector.target.applied_resource_version for reflector in self.reflectors])

    def drain(self) -> None:
        """Processes what is queued, on the calling thread.

        Raises:
            BaseException: whatever the process function raised; nothing is processed any more after that.
        """
        if len(self._queue):
            self._drain()
            if self._on_processed is not None:
                self._on_processed()

    def _drain(self) -> None:
        with self._apply_lock:
            if self._failure is None:
                self._pop()

    def _processed(self) -> bool:
        """Processes what a reflector queued. A failure ends the run, since a reflector outlives what its target raises.

        Returns:
            Whether everything is processed.
        """
        try:
            self._drain()
        except BaseException as error:
            self._failure = error
            self.stop()
        return self._failure is None

    def _popping(
        self,
        queue: Queue,
        process: Callable[[list[Delta], bool], object] | None,
        process_run: Callable[[Run], object] | None,
    ) -> Callable[[], None]:
        """Returns a function that processes everything that is queued."""
        if process_run is not None and isinstance(queue, FIFO):
            timed_run = self._timed(process_run)
            return lambda: queue.take(timed_run)
        if process is None:
            raise TypeError(f"process_run needs one of the project's own queues, not a {type(queue).__name__}")

        def process_pairs(pairs: list[Pair]) -> None:
            for deltas, is_in_initial_list in pairs:
                process(list(deltas), is_in_initial_list)

        timed = self._timed(process_pairs)

        def pop() -> None:
            while len(queue) and self._failure is None:
                try:
                    queue.pop_batch(timed, timeout=0)
                except (stdlib_queue.Empty, QueueClosedError):
                    # Another thread has popped it. Or the process function itself has raised this.
                    if self._failure is not None:
                        raise
                    return

        return pop

    def _timed(self, process: Callable[[Any], object]) -> Callable[[Any], None]:
        def timed(batch: Any) -> None:
            begun = time.monotonic()
            try:
                process(batch)
            except BaseException as error:
                self._failure = error
                raise
            self.processing.add(time.monotonic() - begun)

        return timed

    def _runner(self, reflector: Reflector) -> Callable[[], None]:
        def run() -> None:
            try:
                reflector.run(self._stop)
            # As on the first reflector's thread: a cache of which one part is not read any more must not count as current.
            except BaseException as error:
                self._failure = error
                self.stop()

        return run


def _lowest(versions: list[str]) -> str:
    if len(versions) == 1:
        return versions[0]
    if not all(version.isdecimal() for version in versions):
        return ""
    return min(versions, key=int)

"""Joins reflectors, a queue, and the function that processes the queued deltas."""

from __future__ import annotations

import queue as stdlib_queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from typing_extensions import Unpack

from informer.errors import QueueClosedError
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import Source, as_source
from informer.queues.delta import Delta, Queue
from informer.queues.fifo import FIFO, Pair, Run
from informer.reflector.config import ReflectorConfig, ReflectorOptions, config_from
from informer.reflector.counts import Summary
from informer.reflector.held_objects import Count
from informer.reflector.reflector import Reflector
from watch.concurrency import RLock, Signal, Worker, on_set

__all__ = ["Controller"]


class Controller:
    """Runs a reflector, or one per namespace, and processes the deltas that it queues.

    No thread waits on the queue: the thread that queues deltas also processes them, one batch at a time.

    Args:
        queue: the queue that the reflectors fill. If there are several namespaces, its `replace` has to take a `namespace`.
        lister_watcher: what to list and watch.
        process: called with (deltas, is_in_initial_list) for the deltas that are popped together. If it raises, `run` ends.
        process_run: called instead of `process`, with a whole batch (see `FIFO.take`). The queue has to be a `FIFO`.
        count: returns the number of objects in the cache, of a namespace or, for None, of all. Without it, reflectors remember
            the objects' keys, for `max_objects`.
        on_processed: called when a batch has been processed, and `applied_resource_version` may have changed.
        on_error_change: called when the `sync_error()` of a reflector has changed.
        name: for thread names and logs; None takes the resource's name.
        config: the options of each `Reflector`; None makes a `ReflectorConfig` of the remaining arguments.
        options: the fields of `ReflectorConfig`, instead of a config. `key_func` defaults to the queue's.

    Raises:
        TypeError: not exactly one of `process` and `process_run` is given, an option does not exist, or a config and options
            are given.
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
        count: Count | None = None,
        on_processed: Callable[[], object] | None = None,
        on_error_change: Callable[[], object] | None = None,
        name: str | None = None,
        config: ReflectorConfig | None = None,
        **options: Unpack[ReflectorOptions],
    ) -> None:
        if (process is None) == (process_run is None):
            raise TypeError("pass either process or process_run")
        source = as_source(lister_watcher)
        self._queue = queue
        self._name = name or source.resource_name or "controller"
        self._pop = self._make_pop(queue, process, process_run)
        self._count = count
        self._on_processed = on_processed
        self._on_error_change = on_error_change
        self._apply_lock = RLock()  # one thread processes at a time
        self._stop = Signal()
        self._started = False  # guarded by _apply_lock
        self._failure: BaseException | None = (
            None  # the exception that ends the run; written by the thread that processes
        )
        self.processing = Summary()
        """The number of processed batches, and the seconds that they took."""
        if config is None and isinstance(queue, FIFO):
            options.setdefault("key_func", queue.key_of)
        self._by_namespace = self._make_reflectors(source, config_from(config, options))
        self.reflectors = [*self._by_namespace.values()]
        """One, or one per namespace."""

    def run(self, stop: threading.Event) -> None:
        """Lists, watches and processes until `stop` is set.

        Raises:
            RuntimeError: the controller was started before.
            BaseException: the exception that the process function raised.

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
        """Ends `run`: closes the queue and interrupts the reflectors. Idempotent; may be called from any thread."""
        self._stop.set()
        self._queue.close()

    def has_synced(self) -> bool:
        """Returns whether the first list was processed."""
        return self._queue.has_synced()

    @property
    def queued(self) -> int:
        """The number of queued items: keys in a `DeltaFIFO`, deltas in an `InOrderFIFO`."""
        return len(self._queue)

    @property
    def has_listed(self) -> bool:
        """Whether the first list of each reflector was processed and is part of `applied_resource_version`."""
        return all(reflector.target.has_listed for reflector in self.reflectors)

    @property
    def last_sync_resource_version(self) -> str:
        """The version up to which everything was queued: the lowest of all reflectors; "" until each has one."""
        return _lowest([reflector.last_sync_resource_version for reflector in self.reflectors])

    @property
    def applied_resource_version(self) -> str:
        """The version up to which everything was processed: the lowest of all reflectors; "" until each has one."""
        return _lowest([reflector.target.applied_resource_version for reflector in self.reflectors])

    def applied_resource_version_of(self, namespace: str) -> str:
        """Returns the version up to which everything in a namespace was processed; "" before the first list.

        Raises:
            ValueError: there are several namespaces, and this is not one of them.
        """
        if len(self.reflectors) == 1:
            return self.applied_resource_version
        reflector = self._by_namespace.get(namespace)
        if reflector is None:
            followed = ", ".join(str(each) for each in self._by_namespace)
            raise ValueError(f"{self._name} does not follow namespace {namespace!r} (it follows {followed})")
        return reflector.target.applied_resource_version

    def drain(self) -> None:
        """Processes everything that is queued, on the calling thread.

        Raises:
            BaseException: the exception that the process function raised. After that, nothing is processed any more.
        """
        if len(self._queue):
            with self._apply_lock:
                if self._failure is None:
                    self._pop()
            if self._on_processed is not None:
                self._on_processed()

    def _processed(self) -> bool:
        """Processes what a reflector has queued. A failure is recorded and ends the run, since a reflector survives exceptions.

        Returns:
            Whether everything was processed.
        """
        try:
            with self._apply_lock:
                if self._failure is None:
                    self._pop()
        except BaseException as error:
            self._failure = error
            self.stop()
        return self._failure is None

    def _make_reflectors(self, source: Source[Any], config: ReflectorConfig) -> dict[str | None, Reflector]:
        parts = source.by_namespace()
        if len(parts) > 1 and isinstance(self._queue, FIFO):
            self._queue.expect_namespaces([namespace for namespace, _ in parts if namespace is not None])
        # One resync of the queue covers the objects of every namespace.
        configs = [config, *[replace(config, resync_period=0)] * (len(parts) - 1)]
        return {
            namespace: Reflector(
                part,
                self._queue,
                name=self._name if namespace is None else f"{self._name}/{namespace}",
                namespace=namespace,
                process=self._processed,
                count=self._count,
                on_processed=self._on_processed,
                on_error_change=self._on_error_change,
                config=part_config,
            )
            for (namespace, part), part_config in zip(parts, configs, strict=True)
        }

    def _make_pop(
        self,
        queue: Queue,
        process: Callable[[list[Delta], bool], object] | None,
        process_run: Callable[[Run], object] | None,
    ) -> Callable[[], None]:
        """Returns the function that processes everything that is queued."""
        if process_run is not None and isinstance(queue, FIFO):
            return partial(queue.take, self._timed(process_run))
        if process is None:
            raise TypeError(f"process_run needs an InOrderFIFO or a DeltaFIFO as queue, not a {type(queue).__name__}")

        def process_pairs(pairs: list[Pair]) -> None:
            for deltas, is_in_initial_list in pairs:
                process(list(deltas), is_in_initial_list)

        timed = self._timed(process_pairs)

        def pop() -> None:
            while len(queue) and self._failure is None:
                try:
                    queue.pop_batch(timed, timeout=0)
                except (stdlib_queue.Empty, QueueClosedError):
                    # Another thread has popped the last item, or the process function itself has raised this.
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
            # A cache must not count as current once a part of it has stopped. So all reflectors stop, and `run` raises this.
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

"""Joins a reflector to the function that handles what it brings.

Comes in: whatever the reflectors put into the queue. Goes out: batches of deltas, to the process function, in the
queue's order and one at a time. There is no thread that pops: whoever adds to the queue drains it.
"""

from __future__ import annotations

import logging
import queue as stdlib_queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from informer.errors import QueueClosedError
from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import as_source
from informer.objects.keys import version_of
from informer.queues.delta import Delta, DeltaType, Queue
from informer.queues.fifo import Pair
from informer.rate_limited_log import LimitedLog
from informer.reflector.counts import Tally
from informer.reflector.reflector import Reflector
from watch.concurrency import RLock, Signal, Worker, on_set

__all__ = ["Controller"]

_log = logging.getLogger(__name__)


class Controller:
    """Runs a reflector (one for each namespace, if there are several) and handles what it brings.

    Args:
        queue: where the reflectors put what they see. Where there are several namespaces, its `replace` takes a
            `namespace`, and its `expect_namespaces`, if it has one, is told of them.
        lister_watcher: what to list and watch.
        process: called with (deltas, is_in_initial_list) for what is popped together. What it raises ends `run`.
        resync_period: seconds between two resyncs of the queue, 0 for none.
        process_batch: called instead of `process` with all pairs that one pop brought.
        on_processed: called after each pop, when the queue has counted it as processed, and whenever
            `applied_resource_version` has changed.
        name: seen in thread names and logs; None takes the resource's.
        reflector_options: passed on to each `Reflector`; without a `key_func` it takes that of the queue, if it has one.
    """

    def __init__(
        self,
        queue: Queue,
        lister_watcher: ListerWatcher[Any],
        process: Callable[[list[Delta], bool], object] | None = None,
        *,
        resync_period: float = 0,
        process_batch: Callable[[list[Pair]], object] | None = None,
        on_processed: Callable[[], object] | None = None,
        name: str | None = None,
        **reflector_options: Any,
    ) -> None:
        if (process is None) == (process_batch is None):
            raise TypeError("pass either process or process_batch")
        self._queue = queue
        source = as_source(lister_watcher)
        self._name = name or source.resource_name or "controller"
        self._process_batch = process_batch or self._one_by_one(process)
        self._on_processed = on_processed
        self._apply_lock = RLock()  # one thread drains at a time
        self._stop = Signal()
        self._started = False  # guarded by _apply_lock
        self._failure: BaseException | None = None  # what ends the run; written by the draining thread
        self.processing = Tally()
        """How many seconds it took to handle what each pop brought."""
        options = {**reflector_options, "resync_period": resync_period}
        if hasattr(queue, "key_of"):
            options.setdefault("key_func", queue.key_of)
        self._inlets: list[_Inlet] = []
        self.reflectors: list[Reflector] = []
        parts = source.by_namespace()
        if len(parts) > 1 and hasattr(queue, "expect_namespaces"):
            queue.expect_namespaces([namespace for namespace, _ in parts])
        for namespace, part in parts:
            inlet = _Inlet(queue, self._drain_or_end, self._tell_processed)
            where = self._name if namespace is None else f"{self._name}/{namespace}"
            self._inlets.append(inlet)
            self.reflectors.append(Reflector(part, inlet, name=where, namespace=namespace, **options))
            # One resync of the queue shows everything, whatever namespace it came from.
            options["resync_period"] = 0

    def run(self, stop: threading.Event) -> None:
        """Lists, watches and processes until `stop` is set.

        Raises:
            RuntimeError: it was started before.
            BaseException: whatever the process function raised.

        Threads: blocks; the first reflector runs on the calling thread, each other one on a thread of its own.
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
        """Whether the first list was processed."""
        return self._queue.has_synced()

    @property
    def queued(self) -> int:
        """How much waits in the queue: keys, or deltas in one that keeps the order."""
        return len(self._queue)

    @property
    def has_listed(self) -> bool:
        """Whether each reflector's first list was processed, so that `applied_resource_version` tells of it."""
        return all(inlet.has_listed for inlet in self._inlets)

    @property
    def last_sync_resource_version(self) -> str:
        """The resourceVersion that the cache has reached: of several reflectors the lowest, "" before all have one."""
        return _lowest([reflector.last_sync_resource_version for reflector in self.reflectors])

    @property
    def applied_resource_version(self) -> str:
        """The same, but only of what has been processed."""
        return _lowest([inlet.applied_resource_version for inlet in self._inlets])

    def drain(self) -> None:
        """Processes what is queued, on the calling thread.

        Raises:
            BaseException: whatever the process function raised; from then on nothing is processed any more.
        """
        with self._apply_lock:
            while len(self._queue) and self._failure is None:
                try:
                    self._queue.pop_batch(self._process, timeout=0)
                except (stdlib_queue.Empty, QueueClosedError):
                    # Somebody else pops too and was quicker, unless it is the process function that raised this.
                    if self._failure is not None:
                        raise
                    return
                self._tell_processed()

    def _process(self, pairs: list[Pair]) -> None:
        begun = time.monotonic()
        try:
            self._process_batch(pairs)
        except BaseException as error:
            self._failure = error
            raise
        self.processing.add(time.monotonic() - begun)

    def _drain_or_end(self) -> bool:
        """`drain` for a reflector, which outlives what its target raises: a failure has to end the run.

        Returns:
            Whether all is processed.
        """
        try:
            self.drain()
        except BaseException as error:
            self._failure = error
            self.stop()
        return self._failure is None

    def _tell_processed(self) -> None:
        if self._on_processed is not None:
            self._on_processed()

    def _runner(self, reflector: Reflector) -> Callable[[], None]:
        def run() -> None:
            try:
                reflector.run(self._stop)
            # As on the first one's thread: nobody must take a cache for current of which a part is read by nobody.
            except BaseException as error:
                self._failure = error
                self.stop()

        return run

    @staticmethod
    def _one_by_one(process: Callable[[list[Delta], bool], object] | None) -> Callable[[list[Pair]], None]:
        def process_pairs(pairs: list[Pair]) -> None:
            if process is not None:
                for deltas, is_in_initial_list in pairs:
                    process(list(deltas), is_in_initial_list)

        return process_pairs


class _Inlet:
    """A reflector's way into the queue: what it adds is drained at once, by itself."""

    def __init__(self, queue: Queue, drain: Callable[[], bool], on_version: Callable[[], object]) -> None:
        self._queue = queue
        self._apply = getattr(queue, "apply", None)
        self._drain = drain
        self._on_version = on_version
        self._limited = LimitedLog(_log)
        self.applied_resource_version = ""
        self.has_listed = False
        """Whether a list was processed, and its version noted."""

    def apply(self, deltas: Sequence[Delta]) -> None:
        if self._apply is not None:
            self._apply(deltas)
        else:
            for delta in deltas:
                _add_one(self._queue, delta)
        last = deltas[-1]
        self._drain_to(last.object if last.type is DeltaType.BOOKMARK else version_of(last.object))

    def replace(self, items: Sequence[Any], resource_version: str, **namespace: Any) -> None:
        try:
            self._queue.replace(items, resource_version, **namespace)
        except Exception:
            # One object without a key must not keep all others out, list after list.
            usable = [item for item in items if self._has_key(item)]
            if len(usable) == len(items):
                raise
            self._queue.replace(usable, resource_version, **namespace)
        self._drain_to(resource_version)
        self.has_listed = True
        self._on_version()

    def resync(self) -> None:
        self._queue.resync()
        self._drain()

    def _drain_to(self, version: str) -> None:
        if self._drain() and version:
            # Told after the fact: whoever waits for the version looks once it is told.
            self.applied_resource_version = version
            self._on_version()

    def _has_key(self, item: Any) -> bool:
        key_of = getattr(self._queue, "key_of", None)
        try:
            if key_of is not None:
                key_of(item)
        except Exception as error:
            self._limited.log(logging.ERROR, "an object was left out of a list: %s", error)
            return False
        return True


def _add_one(queue: Queue, delta: Delta) -> None:
    match delta.type:
        case DeltaType.ADDED:
            queue.add(delta.object)
        case DeltaType.UPDATED:
            queue.update(delta.object)
        case DeltaType.DELETED:
            queue.delete(delta.object)
        case DeltaType.BOOKMARK:
            queue.bookmark(delta.object)
        case _:
            raise ValueError(f"a reflector does not add a {delta.type}")


def _lowest(versions: list[str]) -> str:
    if len(versions) == 1:
        return versions[0]
    if not all(version.isdecimal() for version in versions):
        return ""
    return min(versions, key=int)

"""Serves one watch: the changes of a resource after a resourceVersion, as events in JSON or protobuf.

Threads that write objects put their changes into the stream's channel; the connection's thread turns them into events.

Source: apiserver pkg/storage/cacher and pkg/endpoints/handlers/watch.go.
"""

from __future__ import annotations

import contextlib
import math
import queue
import random
import time
from collections.abc import Callable, Iterable, Iterator

from informer.testing.listwatch.list_options import ListQuery
from informer.testing.listwatch.selection import Selection
from informer.testing.storage.representation import Representation
from informer.testing.storage.statuses import expired, status_of, too_large_resource_version
from informer.testing.storage.storage import Bucket, Storage, Stored, StoredChange
from watch.channel import Channel
from watch.errors import ApiError, ChannelClosedError

__all__ = ["WatchStream"]

# A last bookmark is sent this many seconds before a watch's deadline.
_BEFORE_DEADLINE = 2.0
# Events are sent together up to about this size.
_BATCH_BYTES = 256 * 1024
# A watch whose client does not read is ended when about this many bytes of objects wait for it.
_WAITING_BYTES = 16 << 20

_Injection = Callable[[], object]
"""What a fault does between two events. A true result ends the stream."""


class WatchStream:
    """The stream of one watch.

    Call `start`, then iterate over `batches`, then call `finish`. A client that does not read loses its watch, as with the
    real server: when 16 MiB wait for it they are dropped, and the stream ends properly behind what was sent before. The
    client can go on from there with a new watch.

    Args:
        storage: gives the lock and the newest resourceVersion.
        bucket: the resource's objects.
        namespace: only changes in this namespace; "" means all.
        options: the request's options, already validated.
        selection: which objects the client selects.
        representation: writes objects as the client wants them.
        bookmark_interval: seconds between bookmarks.

    Threads: one thread starts, reads and finishes the stream; any thread may call `put` and `close`.
    """

    def __init__(
        self,
        storage: Storage,
        bucket: Bucket,
        namespace: str,
        options: ListQuery,
        selection: Selection,
        representation: Representation,
        *,
        bookmark_interval: float,
    ) -> None:
        self._storage = storage
        self._bucket = bucket
        self._namespace = namespace
        self._options = options
        self._selection = selection
        self.representation = representation
        self._interval = bookmark_interval
        self._begun = time.monotonic()
        self._deadline = self._begun + (options.timeout_seconds or random.uniform(1800, 3600))  # noqa: S311
        self._channel: Channel[StoredChange | _Injection] = Channel(None)
        # The bytes of the objects that were put into the channel, counted under the storage's lock, and of those that were
        # taken out to be sent, counted by the thread that reads the stream.
        self._bytes_put = self._bytes_taken = 0
        self._subscription = 0
        self._sent = 0  # every change up to this resourceVersion was sent
        self._ended = False
        self._first: list[bytes] = []  # the events of the initial state, or of the history
        self._end_bookmark: bytes | None = None  # follows the initial state
        # The faults set these before `batches` is called.
        self.at_start: list[_Injection] = []
        """Called after the initial state or the history, before the end bookmark."""
        self.on_state_sent: Callable[[], object] = lambda: None
        """Called after the end bookmark."""
        self.end_bookmark = True
        """Whether the end bookmark is sent."""

    def put(self, item: StoredChange | _Injection) -> None:
        """Passes a change, or what is to happen between two events, to the thread that reads the stream."""
        with contextlib.suppress(ChannelClosedError):
            self._channel.put_nowait(item)

    def close(self) -> None:
        """Ends the stream properly."""
        self._channel.close()

    def start(self) -> None:
        """Subscribes to the resource's changes: none after this call is missed."""
        matches, event = self._selection.matches, self.representation.event
        try:
            with self._storage.lock:
                state, changes = self._begin_locked()
            self._first = [
                event("ADDED", stored) for stored in state or () if self._is_here(stored) and matches(stored)
            ]
            self._first.extend(self._events(change for change in changes if self._is_here(change.new)))
            if state is not None and self._options.allow_watch_bookmarks:
                self._end_bookmark = self.representation.bookmark(self._sent, initial_events_end=True)
        except ApiError as error:
            self._first = [self.representation.event_of({"type": "ERROR", "object": status_of(error)})]
            self._ended = True

    def finish(self) -> None:
        """Unsubscribes from the resource's changes. Idempotent."""
        with self._storage.lock:
            self._bucket.unsubscribe_locked(self._subscription)

    def batches(self) -> Iterator[list[bytes]]:
        """Yields events as changes arrive; ends at the deadline, after `close`, or after an ERROR event."""
        events, self._first = self._first, []
        yield from self._batched(events)
        if self._ended or any(injection() for injection in self.at_start):
            return
        if self._end_bookmark is not None and self.end_bookmark:
            yield [self._end_bookmark]
        self.on_state_sent()
        yield from self._follow()

    def _put_change(self, change: StoredChange) -> None:
        """Passes a change to the reading thread; ends the stream if too much waits. Called under the storage's lock."""
        self.put(change)
        self._bytes_put += len(change.new.body)
        if self._bytes_put - self._bytes_taken > _WAITING_BYTES and not self._channel.closed:
            self.close()
            with contextlib.suppress(queue.Empty, ChannelClosedError):
                self._channel.get_batch(timeout=0)

    def _begin_locked(self) -> tuple[list[Stored] | None, list[StoredChange]]:
        """Subscribes; returns the initial state, None for a watch without one, and the changes after it."""
        options, bucket, current = self._options, self._bucket, self._storage.resource_version
        state, changes = None, list[StoredChange]()
        if options.is_watch_list or (options.version == 0 and options.send_initial_events is not False):
            if options.version > current:
                raise too_large_resource_version(options.version, current)
            state = [bucket.objects[key] for key in bucket.keys]
        else:
            version = options.version or current
            if version < bucket.watchable:
                raise expired(f"too old resource version: {version} ({bucket.watchable})")
            changes = bucket.since_locked(version)
        self._sent = max(options.version, current)
        self._subscription = bucket.subscribe_locked(self._namespace, self._put_change, self.close)
        return state, changes

    def _follow(self) -> Iterator[list[bytes]]:
        due = self._next_bookmark(self._begun)
        while not self._ended:
            now = time.monotonic()
            if now >= self._deadline:
                return
            if now >= due:
                yield from self._bookmark()
                due = self._next_bookmark(now)
                continue
            try:
                batch = self._channel.get_batch(timeout=min(due, self._deadline) - now)
            except queue.Empty:
                continue
            except ChannelClosedError:
                return
            yield from self._take(batch)

    def _next_bookmark(self, now: float) -> float:
        """Returns when the bookmark after `now` is due: after the interval, and shortly before the deadline."""
        if not self._options.allow_watch_bookmarks:
            return math.inf
        last = self._deadline - _BEFORE_DEADLINE
        return min(now + self._interval, last if now < last else math.inf)

    def _take(self, batch: list[StoredChange | _Injection]) -> Iterator[list[bytes]]:
        changes: list[StoredChange] = []
        for each in batch:
            if isinstance(each, StoredChange):
                changes.append(each)
                continue
            yield from self._batched(self._events(self._taken(changes)))
            changes = []
            self._ended = bool(each())
            if self._ended:
                return
        yield from self._batched(self._events(self._taken(changes)))

    def _taken(self, changes: list[StoredChange]) -> Iterator[StoredChange]:
        """Yields the changes and counts each as taken when it is about to be sent."""
        for change in changes:
            self._bytes_taken += len(change.new.body)
            yield change

    def _bookmark(self) -> Iterator[list[bytes]]:
        with self._storage.lock:
            # After `close` no more changes arrive, so a bookmark would promise changes that were never sent.
            is_complete = not self._channel.closed
            # Writers put changes into the channel under this lock, so every change up to `version` is in it.
            version = max(self._storage.resource_version, self._sent)
            try:
                batch = self._channel.get_batch(timeout=0)
            except (queue.Empty, ChannelClosedError):
                batch = []
        yield from self._take(batch)
        if is_complete and not self._ended:
            yield [self.representation.bookmark(version, initial_events_end=False)]

    def _is_here(self, stored: Stored) -> bool:
        return not self._namespace or stored.namespace == self._namespace

    def _events(self, changes: Iterator[StoredChange]) -> Iterator[bytes]:
        """Yields the events of changes: an object that becomes selected is ADDED, one that ceases to be is DELETED."""
        matches, event = self._selection.matches, self.representation.event
        for version, old, new, deleted in changes:
            if version <= self._options.version:
                continue
            if not deleted and matches(new):
                yield event("MODIFIED" if old is not None and matches(old) else "ADDED", new)
            elif old is not None and matches(old):
                yield event("DELETED", new if deleted else old.at(version))

    @staticmethod
    def _batched(events: Iterable[bytes]) -> Iterator[list[bytes]]:
        batch: list[bytes] = []
        size = 0
        for event in events:
            batch.append(event)
            size += len(event)
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

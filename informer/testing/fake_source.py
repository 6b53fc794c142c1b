"""A list-watch in memory that behaves as a server does, for tests that do not need HTTP."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from informer.listwatch.list_watch import ListWatch, ObjectList
from informer.objects.namespaced_name import namespaced_name
from watch.concurrency import Monitor
from watch.errors import ApiError
from watch.event import Event, EventType
from watch.fake import RaceFreeFakeWatcher
from watch.options import ListOptions
from watch.watcher import BatchWatcher, next_batch_of

__all__ = ["FakeControllerSource"]

_Key = tuple[str, str]
_Calls = list[ListOptions]  # inside the class, `list` is a method


class FakeControllerSource:
    """A `ListerWatcher` over objects in memory, which a test adds, modifies and deletes.

    Give it to a reflector or an informer in place of a list-watch of a real server. Objects are dicts in API form and
    are copied when they go in and out. Each change gets the next resourceVersion ("1", "2", "3" and so on); an object
    without a uid gets one. Watches can begin at any resourceVersion since the last `reset_watch`.

    Unlike a server it does not validate: `add` replaces an existing object, and `delete` of an object that does not
    exist sends an event all the same. It refuses watch lists, so that an informer lists and then watches. It ignores
    limits, so that every list is one page.

    Args:
        namespaces: show only the objects in these namespaces; an informer lists and watches each of them separately.
            None shows all objects.

    Threads: any. Only the methods whose names begin with `wait_for` block.

    Source: client-go tools/cache/testing FakeControllerSource.

    Example:
        >>> from informer import SharedInformer
        >>> from informer.testing import FakeControllerSource
        >>> source = FakeControllerSource()
        >>> _ = source.add({"metadata": {"namespace": "default", "name": "web"}})
        >>> with SharedInformer(source) as informer:
        ...     informer.wait_for_sync(timeout=10), informer.store.list_keys()
        (True, ['default/web'])
    """

    def __init__(self, *, namespaces: Sequence[str] | None = None) -> None:
        self.namespaces = None if namespaces is None else tuple(namespaces)
        """The namespaces to list and watch one by one; None means all objects at once."""
        self.list_error: Exception | None = None
        """Raised by the next list, once."""
        self.watch_error: Exception | None = None
        """Raised by the next watch call, once."""
        self.list_calls: list[ListOptions] = []
        """The options of every list so far, failed ones included."""
        self.watch_calls: list[ListOptions] = []
        """The options of every watch call so far, failed ones included."""
        self._monitor = Monitor()
        # _monitor guards everything below, and the five attributes above.
        self._objects: dict[_Key, dict[str, Any]] = {}
        self._last_version = 0
        self._forgotten = 0  # _history has every event after this version
        self._history: list[Event[dict[str, Any]]] = []  # one event per version, also those hidden from open watches
        self._watchers: list[_Watcher] = []
        self._closed = False

    # Changes

    def add(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Adds an object and sends ADDED to every watch; returns the object with its resourceVersion and uid.

        Raises:
            ValueError: the object has no `metadata.name`. This holds for all six methods that change objects.
        """
        return self._change(EventType.ADDED, obj)

    def modify(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces an object and sends MODIFIED to every watch; returns the object with its resourceVersion and uid."""
        return self._change(EventType.MODIFIED, obj)

    def delete(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Deletes an object and sends DELETED to every watch; returns the last state, at the deletion's version."""
        return self._change(EventType.DELETED, obj)

    def add_drop_watch(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Adds an object without an event in the open watches, as if they had lost it. Later watches see the event."""
        return self._change(EventType.ADDED, obj, send=False)

    def modify_drop_watch(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces an object without an event in the open watches; see `add_drop_watch`."""
        return self._change(EventType.MODIFIED, obj, send=False)

    def delete_drop_watch(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Deletes an object without an event in the open watches; see `add_drop_watch`."""
        return self._change(EventType.DELETED, obj, send=False)

    def bookmark(self) -> str:
        """Sends a bookmark to every open watch that allows bookmarks; returns its resourceVersion, the newest one."""
        with self._monitor:
            version = str(self._last_version)
            for watcher in self._watchers:
                if watcher.allows_bookmarks:
                    watcher.action(EventType.BOOKMARK, {"metadata": {"resourceVersion": version}})
            return version

    def reset_watch(self) -> None:
        """Ends every watch and drops the history: a later watch from an older resourceVersion fails with 410."""
        with self._monitor:
            self._forgotten = self._last_version
            self._history.clear()
            self._end_watches_locked()

    def shutdown(self) -> None:
        """Ends every watch; later lists and watch calls raise ConnectionError. Idempotent."""
        with self._monitor:
            self._closed = True
            self._end_watches_locked()

    # The ListerWatcher

    def list(self, options: ListOptions | None = None) -> ObjectList[dict[str, Any]]:
        """Returns all objects in one page.

        Raises:
            Exception: the one that `list_error` was set to.
            ConnectionError: the source was shut down.
        """
        return self._list(options or ListOptions(), self.namespaces)

    def watch(self, options: ListOptions) -> BatchWatcher[dict[str, Any]]:
        """Returns a watcher of all changes after a resourceVersion.

        Raises:
            ApiError: 410, the history does not reach back to the resourceVersion; 504, it does not exist yet; 400, it
                is not a number; 422, the request is for a watch list.
            Exception: the one that `watch_error` was set to.
            ConnectionError: the source was shut down.
        """
        return self._watch(options, self.namespaces)

    def for_namespace(self, namespace: str) -> ListWatch[dict[str, Any]]:
        """Returns the list-watch of one namespace."""
        return ListWatch(
            lambda options: self._list(options, (namespace,)), lambda options: self._watch(options, (namespace,))
        )

    # For tests

    @property
    def resource_version(self) -> str:
        """The resourceVersion of the last change; "0" before the first."""
        with self._monitor:
            return str(self._last_version)

    @property
    def open_watches(self) -> int:
        """The number of open watches."""
        with self._monitor:
            return len(self._watchers)

    def objects(self) -> dict[str, dict[str, Any]]:
        """Returns copies of all objects by key, "namespace/name" or "name"."""
        with self._monitor:
            return {namespaced_name(*key): copy.deepcopy(obj) for key, obj in self._objects.items()}

    def wait_for_watches(self, count: int = 1, timeout: float | None = 10.0) -> bool:
        """Waits until at least `count` watches are open at the same time; False on time-out. None waits without limit."""
        with self._monitor:
            return self._monitor.wait_for(lambda: len(self._watchers) >= count, timeout)

    def wait_for_watch_calls(self, count: int, timeout: float | None = 10.0) -> bool:
        """Waits until `watch` was called at least `count` times, failed calls included; False on time-out."""
        with self._monitor:
            return self._monitor.wait_for(lambda: len(self.watch_calls) >= count, timeout)

    def wait_for_list_calls(self, count: int, timeout: float | None = 10.0) -> bool:
        """Waits until `list` was called at least `count` times, failed calls included; False on time-out."""
        with self._monitor:
            return self._monitor.wait_for(lambda: len(self.list_calls) >= count, timeout)

    # Internals

    def _change(self, kind: EventType, given: Mapping[str, Any], *, send: bool = True) -> dict[str, Any]:
        obj: dict[str, Any] = copy.deepcopy(dict(given))
        metadata = obj["metadata"] = obj.get("metadata") or {}
        key = (metadata.get("namespace") or "", metadata.get("name") or "")
        if not key[1]:
            raise ValueError("the object has no metadata.name")
        with self._monitor:
            self._last_version += 1
            metadata["resourceVersion"] = str(self._last_version)
            if not metadata.get("uid"):
                before = self._objects.get(key)
                metadata["uid"] = str(uuid.uuid4()) if before is None else before["metadata"]["uid"]
            if kind is EventType.DELETED:
                self._objects.pop(key, None)
            else:
                self._objects[key] = obj
            event = Event(kind, obj)
            self._history.append(event)
            for watcher in self._watchers if send else ():
                watcher.send(event)
        return copy.deepcopy(obj)

    def _list(self, options: ListOptions, namespaces: tuple[str, ...] | None) -> ObjectList[dict[str, Any]]:
        with self._monitor:
            error, self.list_error = self.list_error, None
            self._count_locked(self.list_calls, options, error)
            items = [obj for key, obj in self._objects.items() if namespaces is None or key[0] in namespaces]
            return ObjectList(copy.deepcopy(items), str(self._last_version))

    def _watch(self, options: ListOptions, namespaces: tuple[str, ...] | None) -> _Watcher:
        with self._monitor:
            error, self.watch_error = self.watch_error, None
            self._count_locked(self.watch_calls, options, error)
            version = self._begin_locked(options)
            watcher = _Watcher(self._forget, namespaces, allows_bookmarks=options.allow_watch_bookmarks)
            for event in self._history[version - self._forgotten :]:
                watcher.send(event)
            self._watchers.append(watcher)
            return watcher

    def _count_locked(self, calls: _Calls, options: ListOptions, error: Exception | None) -> None:
        """Counts a call, and fails it if it is to fail."""
        calls.append(options)
        self._monitor.notify_all()
        if error is not None:
            raise error
        if self._closed:
            raise ConnectionError("the source was shut down")

    def _begin_locked(self, options: ListOptions) -> int:
        """Returns the version after which a watch begins."""
        if options.send_initial_events:
            raise ApiError(422, "Invalid", "sendInitialEvents is forbidden: this source has no watch lists")
        if not options.resource_version.isdecimal():
            message = f"Invalid resource version: {options.resource_version!r} is not a number"
            raise ApiError(400, "BadRequest", message)
        version = int(options.resource_version)
        if version < self._forgotten:
            raise ApiError(410, "Expired", f"too old resource version: {version} ({self._forgotten})")
        if version > self._last_version:
            raise ApiError(504, "Timeout", f"Too large resource version: {version}, current: {self._last_version}")
        return version

    def _end_watches_locked(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.end()

    def _forget(self, watcher: _Watcher) -> None:
        with self._monitor:
            if watcher in self._watchers:
                self._watchers.remove(watcher)


class _Watcher(RaceFreeFakeWatcher[dict[str, Any]]):
    """A watcher that can be read in batches, and for which the source never waits."""

    def __init__(
        self, forget: Callable[[_Watcher], None], namespaces: tuple[str, ...] | None, *, allows_bookmarks: bool
    ) -> None:
        super().__init__(None)
        self.allows_bookmarks = allows_bookmarks
        self._forget = forget
        self._namespaces = namespaces

    def next_batch(self, timeout: float | None = None) -> list[Event[dict[str, Any]]]:
        return next_batch_of(self.result_chan(), timeout)

    def stop(self) -> None:
        self._forget(self)
        self.end()

    def send(self, event: Event[dict[str, Any]]) -> None:
        """Sends a copy of the event, unless its object is in a namespace that is not watched."""
        if self._namespaces is None or event.object["metadata"].get("namespace") in self._namespaces:
            self.action(event.type, copy.deepcopy(event.object))

    def end(self) -> None:
        """Ends the watch from the source's side; events that were sent can still be read."""
        super().stop()

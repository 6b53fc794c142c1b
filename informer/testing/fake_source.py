"""A list-watch in memory that behaves as a server does: for tests that need no HTTP.

Comes in: objects that a test adds, changes and deletes. Goes out: lists, and watches that follow from any
resourceVersion still in the history. Threads: none of its own.
"""

from __future__ import annotations

import copy
import queue
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from informer.listwatch.list_watch import ObjectList
from watch.channel import Channel
from watch.concurrency import Monitor
from watch.errors import ApiError, ChannelClosedError, WatchClosedError
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.watcher import Watcher, WatcherBase

__all__ = ["FakeControllerSource"]

_Key = tuple[str, str]


class FakeControllerSource:
    """A `ListerWatcher` over objects in memory, dicts in API form.

    Every change gets the next resourceVersion: "1", "2", "3" and so on. Objects are copied on their way in and out, get
    that resourceVersion, and a uid if they have none. Nothing is checked that a server would refuse: an `add` of what is
    there replaces it, a `delete` of what is not is an event like any other.

    Watch lists are refused, so that an informer falls back to a list and a watch; limits are ignored, so that every list
    is one page.

    Args:
        pulled: whether watchers have `next_batch`; otherwise they have only a channel.
        namespaces: lists and watches show these only, and an informer of several makes one of each namespace; None shows
            everything.

    Threads: any; nothing blocks but the `wait_for_` methods.

    Source: client-go tools/cache/testing FakeControllerSource.
    """

    def __init__(self, *, pulled: bool = True, namespaces: Sequence[str] | None = None) -> None:
        self.namespaces = None if namespaces is None else tuple(namespaces)
        """The namespaces that are listed and watched one by one; None for everything at once."""
        self.list_error: Exception | None = None
        """Raised by the next list, once."""
        self.watch_error: Exception | None = None
        """Raised by the next watch call, once."""
        self.list_calls: list[ListOptions] = []
        """The options of each list so far, refused ones included."""
        self.watch_calls: list[ListOptions] = []
        """The options of each watch call so far, refused ones included."""
        self._pulled = pulled
        self._monitor = Monitor()
        # All of these, and those above, are guarded by _monitor.
        self._objects: dict[_Key, dict[str, Any]] = {}
        self._last_version = 0
        self._forgotten = 0  # the history begins behind this version
        self._history: list[Event[dict[str, Any]]] = []  # one event a version, those that no open watch was shown too
        self._watchers: list[_Watcher] = []
        self._closed = False

    # Changes

    def add(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Adds an object, and tells every watch; returns it as it is served."""
        return self._change(EventType.ADDED, obj)

    def modify(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces an object, and tells every watch; returns it as it is served."""
        return self._change(EventType.MODIFIED, obj)

    def delete(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Deletes an object, and tells every watch; returns its last state."""
        return self._change(EventType.DELETED, obj)

    def add_drop_watch(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Adds an object without an event for the open watches; one that begins before it sees it."""
        return self._change(EventType.ADDED, obj, tell=False)

    def modify_drop_watch(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces an object as `add_drop_watch` adds one."""
        return self._change(EventType.MODIFIED, obj, tell=False)

    def delete_drop_watch(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Deletes an object as `add_drop_watch` adds one."""
        return self._change(EventType.DELETED, obj, tell=False)

    def bookmark(self) -> str:
        """Sends the present resourceVersion, which is returned, to every open watch that allows bookmarks."""
        with self._monitor:
            version = str(self._last_version)
            for watcher in self._watchers:
                if watcher.allows_bookmarks:
                    watcher.tell(Event(EventType.BOOKMARK, {"metadata": {"resourceVersion": version}}))
            return version

    def reset_watch(self) -> None:
        """Ends every watch and forgets the history: a watch from any but the present version is refused as expired."""
        with self._monitor:
            self._forgotten = self._last_version
            self._history.clear()
            self._end_watches_locked()

    def shutdown(self) -> None:
        """Ends every watch; later lists and watch calls fail as a broken connection does. Idempotent."""
        with self._monitor:
            self._closed = True
            self._end_watches_locked()

    # What a lister-watcher has

    def list(self, options: ListOptions | None = None) -> ObjectList[dict[str, Any]]:
        """All objects.

        Raises:
            Exception: what `list_error` was set to.
            ConnectionError: after `shutdown`.
        """
        return self._list(options or ListOptions(), self.namespaces)

    def watch(self, options: ListOptions) -> Watcher[dict[str, Any]]:
        """What has changed after a resourceVersion, and what changes from now on.

        Raises:
            ApiError: 410 where the history no longer reaches back to that resourceVersion, 504 where it is still to come,
                400 where it is no number, 422 for a watch list.
            Exception: what `watch_error` was set to.
            ConnectionError: after `shutdown`.
        """
        return self._watch(options, self.namespaces)

    def for_namespace(self, namespace: str) -> _OneNamespace:
        """The list-watch of one namespace."""
        return _OneNamespace(self, namespace)

    # For tests

    @property
    def resource_version(self) -> str:
        """That of the last change, "0" before any."""
        with self._monitor:
            return str(self._last_version)

    @property
    def open_watches(self) -> int:
        """How many watches are open."""
        with self._monitor:
            return len(self._watchers)

    def objects(self) -> dict[str, dict[str, Any]]:
        """Copies of all objects, by key ("namespace/name", or "name" where there is no namespace)."""
        with self._monitor:
            return {_text(key): copy.deepcopy(obj) for key, obj in self._objects.items()}

    def wait_for_watches(self, count: int = 1, timeout: float | None = 10.0) -> bool:
        """Waits until at least `count` watches are open at a time; returns whether they are.

        Args:
            count: how many.
            timeout: at most so many seconds; None waits without limit.
        """
        return self._wait(lambda: len(self._watchers) >= count, timeout)

    def wait_for_watch_calls(self, count: int, timeout: float | None = 10.0) -> bool:
        """As `wait_for_watches`, for the calls so far, refused ones included."""
        return self._wait(lambda: len(self.watch_calls) >= count, timeout)

    def wait_for_list_calls(self, count: int, timeout: float | None = 10.0) -> bool:
        """As `wait_for_watch_calls`, for lists."""
        return self._wait(lambda: len(self.list_calls) >= count, timeout)

    # Inside

    def _wait(self, predicate: Callable[[], bool], timeout: float | None) -> bool:
        with self._monitor:
            return self._monitor.wait_for(predicate, timeout)

    def _change(self, kind: EventType, given: Mapping[str, Any], *, tell: bool = True) -> dict[str, Any]:
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
            for watcher in self._watchers if tell else ():
                watcher.tell(event)
        return copy.deepcopy(obj)

    def _list(self, options: ListOptions, namespaces: tuple[str, ...] | None) -> ObjectList[dict[str, Any]]:
        with self._monitor:
            self.list_calls.append(options)
            self._monitor.notify_all()
            error, self.list_error = self.list_error, None
            self._check_locked(error)
            items = [obj for key, obj in self._objects.items() if namespaces is None or key[0] in namespaces]
            return ObjectList(copy.deepcopy(items), str(self._last_version))

    def _watch(self, options: ListOptions, namespaces: tuple[str, ...] | None) -> _Watcher:
        with self._monitor:
            self.watch_calls.append(options)
            self._monitor.notify_all()
            error, self.watch_error = self.watch_error, None
            self._check_locked(error)
            version = self._begin_locked(options)
            kind = _PulledWatcher if self._pulled else _Watcher
            watcher = kind(self._forget, namespaces, allows_bookmarks=options.allow_watch_bookmarks)
            for event in self._history[version - self._forgotten :]:
                watcher.tell(event)
            self._watchers.append(watcher)
            return watcher

    def _check_locked(self, error: Exception | None) -> None:
        if error is not None:
            raise error
        if self._closed:
            raise ConnectionError("the source was shut down")

    def _begin_locked(self, options: ListOptions) -> int:
        """The version from which a watch begins."""
        if options.send_initial_events:
            raise ApiError(422, "Invalid", "sendInitialEvents is forbidden: this source has no watch lists")
        if not options.resource_version.isdecimal():
            raise ApiError(400, "BadRequest", f"Invalid resource version: {options.resource_version!r} is no number")
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
        self._monitor.notify_all()

    def _forget(self, watcher: _Watcher) -> None:
        with self._monitor:
            if watcher in self._watchers:
                self._watchers.remove(watcher)
                self._monitor.notify_all()


class _Watcher(WatcherBase):
    """A watch over an unbounded channel: the source never waits for it."""

    def __init__(
        self, forget: Callable[[_Watcher], None], namespaces: tuple[str, ...] | None, *, allows_bookmarks: bool
    ) -> None:
        self.allows_bookmarks = allows_bookmarks
        self._forget = forget
        self._namespaces = namespaces
        self._channel: Channel[Event[dict[str, Any]]] = Channel(None)

    def result_chan(self) -> Channel[Event[dict[str, Any]]]:
        return self._channel

    def stop(self) -> None:
        self._forget(self)
        self._channel.close()

    def tell(self, event: Event[dict[str, Any]]) -> None:
        """Passes a copy of an event on, if it is of one of this watch's namespaces."""
        if (
            self._namespaces is None
            or event.type is EventType.BOOKMARK
            or event.object["metadata"].get("namespace") in self._namespaces
        ):
            self._channel.put(Event(event.type, copy.deepcopy(event.object)))

    def end(self) -> None:
        """Ends the watch from the source's side; what was told can still be read."""
        self._channel.close()


class _PulledWatcher(_Watcher):
    """The same, a `BatchWatcher`."""

    def next_batch(self, timeout: float | None = None) -> list[Event[dict[str, Any]]]:
        try:
            return self._channel.get_batch(timeout=timeout)
        except ChannelClosedError:
            raise WatchClosedError("the watch has ended") from None
        except queue.Empty:
            raise TimeoutError("no event in time") from None


class _OneNamespace:
    """What a source has of one namespace."""

    def __init__(self, source: FakeControllerSource, namespace: str) -> None:
        self._source = source
        self._namespaces = (namespace,)

    def list(self, options: ListOptions) -> ObjectList[dict[str, Any]]:
        return self._source._list(options, self._namespaces)  # noqa: SLF001 - the same thing, seen in part

    def watch(self, options: ListOptions) -> Watcher[dict[str, Any]]:
        return self._source._watch(options, self._namespaces)  # noqa: SLF001


def _text(key: _Key) -> str:
    return f"{key[0]}/{key[1]}" if key[0] else key[1]

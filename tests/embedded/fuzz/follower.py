"""An informer under test with its handlers and event streams, and checks of each against the model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from threading import Event
from typing import Any

from informer import Backoff, ConsistencyStore, ListWatch, SharedInformer
from tests.embedded.fuzz.model import Model
from tests.embedded.fuzz.recorder import DEADLINE, Progress, Recorder, state_of
from watch.concurrency import Worker

# The informer's clock runs this many times as fast, so that pauses and resyncs of whole seconds happen in a short test.
_SPEED = 20.0
# Seconds within which an informer says that it shows a write; far less than the pause between rare bookmarks.
SOON = 10.0
# Seconds that a watch may be silent; the informer adds a tenth.
SILENCE = 0.25


class FastClock:
    """A clock that runs `_SPEED` times as fast as real time."""

    def monotonic(self) -> float:
        return time.monotonic() * _SPEED

    def wait(self, condition_or_event: Any, timeout: float | None) -> bool:
        return bool(condition_or_event.wait(None if timeout is None else timeout / _SPEED))


def color_of(obj: Any) -> str:
    return str(obj["metadata"]["labels"]["color"])


def is_even(obj: Any) -> bool:
    return int(obj["metadata"]["labels"]["number"]) % 2 == 0


def _digits(obj: Any) -> list[str]:
    return [*obj["metadata"]["labels"]["number"]]


def _transform(obj: Any) -> Any:
    return obj


def _red_only(obj: Any) -> list[str]:
    if color_of(obj) != "red":
        raise ValueError("an index function that fails")
    return ["red"]


# In which form an informer gets objects. Custom resources come as JSON although protobuf is preferred.
FORMS: dict[str, dict[str, Any]] = {
    "json": {},
    "dict": {"model": dict},
    "protobuf": {"wire": "protobuf"},
    "protobuf, dict": {"wire": "protobuf", "model": dict},
    "metadata": {"metadata_only": True},
}
_METADATA_ONLY = ("apiVersion", "kind", "metadata")

INDEXERS: dict[str, Callable[[Any], list[str]]] = {
    "color": lambda obj: [color_of(obj)],
    "digits": _digits,
    "even": lambda obj: ["even"] if is_even(obj) else [],
    "red only": _red_only,
}


class Follower:
    """An informer under test, with its handlers and event streams.

    Args:
        model: the objects that it follows.
        api_client: closed at the end; its requests carry the informer's name.
        name: a unique name for the informer and its threads.
        namespaces: None for all.
        red: follow only objects of this color.
        form: in which form it gets objects, one of `FORMS`.
        transformed: store what a function returns for an object.
        progress: notified at each progress.
        gate: its slow handlers wait for this.
        hears_bookmarks: whether the server sends bookmarks often.
        options: passed to the informer.
    """

    def __init__(
        self,
        model: Model,
        api_client: Any,
        name: str,
        *,
        namespaces: tuple[str, ...] | None,
        red: bool,
        form: str,
        transformed: bool,
        progress: Progress,
        gate: Event,
        hears_bookmarks: bool,
        resync_period: float,
        **options: Any,
    ) -> None:
        self.name = name
        self._resyncs = resync_period > 0
        self._model = model
        self._namespaces = namespaces
        self._red = red
        self._metadata_only = FORMS[form].get("metadata_only", False)
        self._gate = gate
        self._hears_bookmarks = hears_bookmarks
        self._progress = progress
        self._listeners = 0
        self._reached = 0
        self._known_from: int | None = None  # length of the server's request log when it had synced everywhere
        self._stopped = False
        self._goes_back = False
        self._api_client = api_client
        api_client.user_agent = name
        source: ListWatch[Any] = ListWatch.for_resource(
            api_client,
            model.resource,
            namespace=namespaces,
            label_selector="color=red" if red else None,
            **FORMS[form],
        )
        self.informer: SharedInformer[Any] = SharedInformer(
            source,
            name=name,
            backoff=Backoff(initial=0.005, maximum=0.05),
            silence_timeout=SILENCE,
            clock=FastClock(),
            resync_period=resync_period,
            transform=_transform if transformed else None,
            **options,
        )
        self.informer.on_progress(self._progress.notify)
        self.handlers: list[tuple[Any, Recorder]] = []
        self.streams: list[tuple[Any, Recorder, Worker]] = []
        self._removed: list[Recorder] = []

    def wants(self, obj: Any) -> bool:
        """Returns whether it follows an object."""
        here = self._namespaces is None or obj["metadata"]["namespace"] in self._namespaces
        return here and not (self._red and color_of(obj) != "red")

    # Handlers and streams

    def add_handler(
        self, *, backlog: Any, filtered: bool, batches: bool, fails: bool, gated: bool, resync_period: float | None
    ) -> None:
        keep = is_even if filtered else None
        self._listeners += 1
        recorder = Recorder(
            f"{self.name} handler {self._listeners}",
            self._progress,
            keep=keep,
            coalesced=backlog == "coalesce",
            resyncs=self._resyncs and resync_period != 0,
            fails=fails,
            gate=self._gate if gated else None,
        )
        functions: dict[str, Any] = {"on_batch": recorder.on_batch} if batches else {"handler": recorder}
        registration = self.informer.add_event_handler(
            **functions, filter=keep, backlog=backlog, resync_period=resync_period
        )
        self.handlers.append((registration, recorder))

    def remove_handler(self, number: int) -> None:
        registration, recorder = self.handlers.pop(number)
        registration.remove()
        recorder.closed = True
        self._removed.append(recorder)

    def add_stream(self, *, backlog: Any, filtered: bool, initial: bool) -> None:
        keep = is_even if filtered else None
        self._listeners += 1
        name = f"{self.name} stream {self._listeners}"
        recorder = Recorder(
            name,
            self._progress,
            keep=keep,
            coalesced=backlog == "coalesce",
            sees_initial=initial,
            resyncs=self._resyncs,
        )
        stream = self.informer.events(filter=keep, backlog=backlog, initial=initial)
        worker = Worker(lambda: recorder.drain(stream), name).start()
        self.streams.append((stream, recorder, worker))

    def close_stream(self, number: int) -> None:
        stream, recorder, worker = self.streams.pop(number)
        stream.close()
        assert worker.join(DEADLINE), f"{recorder.name} does not end"
        recorder.closed = True
        self._removed.append(recorder)

    @property
    def recorders(self) -> list[Recorder]:
        """The recorders of all current handlers and streams."""
        return [*(recorder for _, recorder in self.handlers), *(recorder for _, recorder, _ in self.streams)]

    # What holds at any time

    def check(self) -> None:
        """Fails if a call so far was invalid, or if the cache is older than the version it claims to have reached."""
        for recorder in (*self.recorders, *self._removed):
            assert not recorder.wrong, recorder.wrong
        assert self.informer.is_stopped() == self._stopped, f"{self.name} has ended by itself"
        if self._goes_back:
            return
        reached = int(self.informer.last_sync_resource_version or 0)
        assert reached >= self._reached, f"{self.name} went back from {self._reached} to {reached}"
        self._reached = reached
        if not reached:
            return
        for key in self._model.keys:
            # The cache may move on meanwhile, so it holds the reached version or a later one.
            obj = self.informer.store.get_by_key(key)
            version = "" if obj is None else obj["metadata"]["resourceVersion"]
            possible = self._model.possible(key, reached, self.wants)
            assert version in possible, f"{self.name} has {key} at {version!r}, not {possible}, at {reached}"

    def check_requests(self) -> None:
        """Fails if an informer that has synced lists at resourceVersion "0", which may be older than what it has."""
        requests = self._model.server.requests
        if self._known_from is not None:
            for request in requests[self._known_from :]:
                if request.verb == "list" and request.user_agent == self.name:
                    assert request.query.get("resourceVersion") != "0", f"{self.name} lists any state: {request}"
        elif self.informer.has_synced():
            self._known_from = len(requests)

    # The history of the server goes back

    def versions(self) -> list[int]:
        """The version that each of its reflectors has reached."""
        return [int(each.last_sync_resource_version) for each in self.informer.controller.reflectors]

    def has_been_refused(self) -> bool:
        """Whether each of its connections was refused lately."""
        return all(isinstance(each.sync_error(), ConnectionError) for each in self.informer.controller.reflectors)

    def history_goes_back(self) -> None:
        """Accepts older states after newer ones, until `history_goes_on`."""
        self._goes_back = True
        for recorder in self.recorders:
            recorder.goes_back = True

    def history_goes_on(self) -> None:
        """Checks the order of versions again, from the present ones."""
        self._goes_back = False
        self._reached = 0
        for recorder in self.recorders:
            recorder.history_goes_on()

    # Own writes

    def read_own_write(self, namespace: str, name: str, number: int) -> None:
        """Writes an object that it follows, and fails if the informer does not soon say that it shows the write."""
        if self._namespaces is not None and namespace not in self._namespaces:
            namespace = self._namespaces[number % len(self._namespaces)]
        written = self._model.put(namespace, name, "red", number, 0)
        consistency = ConsistencyStore({"things": self.informer})
        consistency.wrote_at("owner", "things", written)
        assert self.informer.wait_for_resource_version(written, SOON), (
            f"{self.name} does not show {name} in {namespace}"
        )
        version = written["metadata"]["resourceVersion"]
        assert self.informer.wait_for_resource_version(version, 0, namespace=namespace)
        assert consistency.ensure_ready("owner")
        shown = self.informer.store.get_by_key(f"{namespace}/{name}")
        assert shown is not None
        assert shown["metadata"]["resourceVersion"] == version

    # What holds once nothing changes any more

    def problem(self) -> str | None:
        """Returns what differs from the server's state, or None."""
        informer = self.informer
        if not informer.has_synced() or not self._has_reached_everything():
            return f"it has come to {informer.last_sync_resource_version}"
        if not informer.is_watching or informer.sync_error() is not None:
            return "it does not watch"
        expected = self._model.part(self.wants)
        if self._metadata_only:
            expected = {key: {name: obj[name] for name in _METADATA_ONLY} for key, obj in expected.items()}
        cached = {key: self._whole(informer.store.get_by_key(key)) for key in informer.store.list_keys()}
        if cached != expected:
            return f"the cache has {cached}, the server {expected}"
        return self._index_problem(expected) or self._listener_problem(expected)

    def _has_reached_everything(self) -> bool:
        """Whether it has the newest version; without bookmarks it need not have heard of writes that it does not follow."""
        return not self._hears_bookmarks or self.informer.has_reached(self._model.server.resource_version)

    def _index_problem(self, expected: dict[str, dict[str, Any]]) -> str | None:
        indexer = self.informer.indexer
        for name, function in indexer.indexers.items():
            right: dict[str, dict[str, Any]] = {}
            for key, obj in expected.items():
                for value in self._values(function, obj):
                    right.setdefault(value, {})[key] = obj
            found = {
                value: {f"{o['metadata']['namespace']}/{o['metadata']['name']}": self._whole(o) for o in objects}
                for value in indexer.list_index_func_values(name)
                if (objects := indexer.by_index(name, value)) is not None
            }
            if found != right:
                return f"index {name!r} has {found}, not {right}"
            if any(indexer.index_keys(name, value) != sorted(right[value]) for value in right):
                return f"index {name!r} has other keys than objects"
        return None

    def _listener_problem(self, expected: dict[str, dict[str, Any]]) -> str | None:
        states = {key: state_of(obj) for key, obj in expected.items()}
        for recorder in self.recorders:
            keep = recorder.keep
            right = states if keep is None else {key: states[key] for key, obj in expected.items() if keep(obj)}
            problem = recorder.differs_from(right)
            if problem is not None:
                return problem
        for registration, recorder in self.handlers:
            if not registration.has_synced():
                return f"{recorder.name} has not synced"
        return None

    # Stopping

    def start(self) -> None:
        self.informer.start()

    def force_stop(self) -> None:
        """Stops the informer in whatever state it is, and closes its client."""
        self.informer.stop(DEADLINE)
        self._api_client.close()

    def stop(self, *, drain: bool, while_blocked: bool) -> None:
        """Stops it; fails if a thread is left or, with `drain`, if a handler did not get everything that the cache has."""
        self._stopped = True
        if while_blocked:
            self.informer.begin_stop(drain=drain)
        self._gate.set()
        assert self.informer.stop(DEADLINE, drain=drain), f"{self.name} does not end"
        for _, recorder, worker in self.streams:
            assert worker.join(DEADLINE), f"{recorder.name} does not end"
        left = [thread.name for thread in threading.enumerate() if self.name in thread.name]
        assert not left, f"threads of {self.name} are left: {left}"
        self.check()
        self.check_requests()
        if drain:
            store = self.informer.store
            cached = {key: self._whole(store.get_by_key(key)) for key in store.list_keys()}
            states = {key: state_of(obj) for key, obj in cached.items()}
            for recorder in self.recorders:
                keep = recorder.keep
                right = {key: state for key, state in states.items() if keep is None or keep(cached[key])}
                problem = recorder.differs_from(right)
                assert problem is None, f"drained: {problem}"

    @staticmethod
    def _whole(obj: Any) -> Any:
        return obj if obj is None or isinstance(obj, dict) else obj.to_dict()

    @staticmethod
    def _values(function: Callable[[Any], Any], obj: Any) -> set[str]:
        try:
            return set(function(obj))
        except ValueError:
            return set()

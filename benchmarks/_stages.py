"""The stages of an informer, each on one thread and without a socket, ready to be timed.

A stage is made for a number of events: it prepares its input, and returns the function to be timed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import _pods
import _protobuf_stages

from informer import NAMESPACE_INDEX, meta_namespace_index
from informer.cache.indexer import Indexer
from informer.controller.applier import Applier
from informer.controller.wiring import make_controller
from informer.handlers.handler import HandlerFunctions
from informer.handlers.processor import Processor
from informer.handlers.registration import HandlerRegistration
from informer.handlers.subscription import Subscription, make_backlog
from informer.listwatch.list_parser import ListParser
from informer.listwatch.list_watch import ListWatch, ObjectList
from informer.listwatch.watch_decoding import checked_decoder, json_heads
from informer.objects.keys import meta_namespace_key
from informer.objects.object import Object
from informer.queues.delta import Delta, DeltaType
from informer.queues.delta_fifo import DeltaFIFO
from informer.queues.in_order_fifo import InOrderFIFO
from informer.rate_limited_log import rate_limited
from informer.reflector.config import ReflectorConfig
from informer.reflector.event_reader import EventReader
from watch.byte_source import READ_SIZE
from watch.concurrency import Signal
from watch.event import Event
from watch.framing import DEFAULT_MAX_LINE_BYTES, ChunkedBody, Lines
from watch.json_decoder import JSONDecoder
from watch.stream_watcher import StreamWatcher

__all__ = ["STAGES", "Stage"]

BATCH = 46  # events in 256 KiB; a full read of 512 KiB has twice as many
FIRST_VERSION = 1000
PAGE = 500


@dataclass(frozen=True)
class Stage:
    """One part of the path from bytes to handler, to be timed."""

    name: str
    unit: str
    """What is counted: events or objects."""
    make: Callable[[int], Callable[[], object]]
    """Prepares the input for a number of these, and returns the function to time."""
    scale: int = 1
    """Multiplies the usual number."""


def _items(count: int, first_version: int = FIRST_VERSION, updates: int = 0) -> list[bytes]:
    return [_pods.pod(i, first_version + i, updates) for i in range(count)]


def _objects(count: int, first_version: int = FIRST_VERSION) -> list[Object]:
    return [Object.from_list_item(item, "v1", "Pod") for item in _items(count, first_version)]


def _lines(count: int) -> list[bytes]:
    return [_pods.event(b"MODIFIED", item) for item in _items(count, FIRST_VERSION + count, 1)]


def _reads(body: bytes) -> list[bytes]:
    return [body[at : at + READ_SIZE] for at in range(0, len(body), READ_SIZE)]


def _batches(items: list[Any]) -> list[list[Any]]:
    return [items[at : at + BATCH] for at in range(0, len(items), BATCH)]


def _updates(count: int) -> list[list[Delta]]:
    return _batches([Delta(DeltaType.UPDATED, obj) for obj in _objects(count, FIRST_VERSION + count)])


class _MemorySource:
    """A `ByteSource` over prepared reads of a chunked body; it removes framing like the one over a socket."""

    gzipped = False
    takes_timeout = True

    def __init__(self, reads: list[bytes], at_end: Callable[[], object]) -> None:
        self._reads = iter(reads)
        self._body = ChunkedBody()
        self._at_end = at_end

    def read(self, timeout: float | None) -> list[bytes]:
        for data in self._reads:
            pieces = self._body.feed(data)
            if pieces:
                return pieces
        self._at_end()
        return []

    def close(self) -> None:
        pass


class _NoResponse:
    """A placeholder for the response of a decoder that reads from another source."""

    headers: dict[str, str] = {}  # noqa: RUF012

    def read(self, size: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


def _decoder(source: Any) -> JSONDecoder[Object]:
    decoder = JSONDecoder(
        _NoResponse(),
        decode_object=Object.from_bytes,
        decode_bookmark=Object.from_bytes,
        heads=json_heads("v1", "Pod"),
        decode_unusual=checked_decoder("v1", "Pod", Object.from_bytes),
    )
    decoder._source, decoder.takes_timeout = source, True  # noqa: SLF001
    return decoder


def _drain(decoder: JSONDecoder[Object]) -> None:
    try:
        while True:
            decoder.decode_batch()
    except EOFError:
        pass


# Reading


def _chunks(count: int) -> Callable[[], object]:
    reads = _reads(_pods.chunked(_lines(count)))
    body = ChunkedBody()
    return lambda: [body.feed(read) for read in reads]


def _cut_lines(count: int) -> Callable[[], object]:
    lines, batches = Lines(DEFAULT_MAX_LINE_BYTES), _batches(_lines(count))
    return lambda: [[*lines.feed(batch)] for batch in batches]


def _cut_list(count: int) -> Callable[[], object]:
    return _pages(count, lambda raw, _api_version, _kind: raw)


def _list_items(count: int) -> Callable[[], object]:
    return _pages(count, Object.from_list_item)


def _pages(count: int, decode: Callable[[bytes, str, str], Any]) -> Callable[[], object]:
    items = _items(count)
    pages = [_reads(_pods.list_body(items[at : at + PAGE], count)) for at in range(0, count, PAGE)]

    def run() -> list[list[Any]]:
        kept = []
        for page in pages:
            framing = ListParser(decode, DEFAULT_MAX_LINE_BYTES, on_bad_item=_refuse)
            kept.append([item for read in page for item in framing.feed(read)] + [*framing.last_items()])
        return kept

    return run


def _refuse(raw: bytes, error: Exception) -> Any:
    raise error


def _decode_objects(count: int) -> Callable[[], object]:
    raws = [b"{" + _pods.TYPE + item[1:] for item in _items(count)]
    return lambda: [Object.from_bytes(raw) for raw in raws]


def _decode_events(count: int) -> Callable[[], object]:
    pieces = iter([*_batches(_lines(count)), []])

    class Source(_MemorySource):
        def read(self, timeout: float | None) -> list[bytes]:
            return next(pieces)

    decoder = _decoder(Source([], lambda: None))
    return lambda: _drain(decoder)


def _read_deltas(count: int) -> Callable[[], object]:
    batches = _batches([Event("MODIFIED", obj) for obj in _objects(count)])
    reader = EventReader("1", on_undecodable=print)
    return lambda: [reader.read(batch) for batch in batches]


# Queues


def _in_order(count: int) -> Callable[[], object]:
    return _queued(InOrderFIFO(), count)


def _delta(count: int) -> Callable[[], object]:
    store: Indexer[Any] = Indexer()
    store.replace(_objects(count), "1")
    return _queued(DeltaFIFO(known_objects=_Known(store), emit_replaced=True), count)


def _queued(queue: InOrderFIFO | DeltaFIFO, count: int) -> Callable[[], object]:
    batches = _updates(count)

    def run() -> None:
        for batch in batches:
            queue.apply(batch)
            queue.take(len)

    return run


def _replaced_in_order(count: int) -> Callable[[], object]:
    return _replaced(InOrderFIFO(), count)


def _replaced_delta(count: int) -> Callable[[], object]:
    store: Indexer[Any] = Indexer()
    store.replace(_objects(count), "1")
    return _replaced(DeltaFIFO(known_objects=_Known(store), emit_replaced=True), count)


def _replaced(queue: InOrderFIFO | DeltaFIFO, count: int) -> Callable[[], object]:
    objects = _objects(count)

    def run() -> None:
        queue.replace(objects, "2")
        queue.take(len)

    return run


class _Known:
    """The cache as a `DeltaFIFO` reads it."""

    def __init__(self, store: Indexer[Any]) -> None:
        self.list_keys = store.list_keys
        self.get_by_key = store.records.get


# Cache


def _indexer() -> Indexer[Any]:
    return Indexer(indexers={NAMESPACE_INDEX: meta_namespace_index})


def _apply(count: int) -> Callable[[], object]:
    store = _indexer()
    store.replace(_objects(count), "1")
    batches = _updates(count)
    return lambda: [store.apply(batch) for batch in batches]


def _fill(count: int) -> Callable[[], object]:
    store, objects = _indexer(), _objects(count)
    return lambda: store.replace(objects, "1")


def _relist(count: int) -> Callable[[], object]:
    store, objects, again = _indexer(), _objects(count), _objects(count)
    processor = Processor()
    _, run = _handler(processor)
    applier = Applier(store, processor, meta_namespace_key, _log())
    store.replace(objects, "1")
    queue = InOrderFIFO()

    def relist() -> None:
        queue.replace([store.records.same_as(item) for item in again], "2")
        queue.take(applier.process)
        run()

    return relist


# Handlers


def _log() -> logging.Logger:
    return rate_limited(logging.getLogger("benchmarks"))


class _Calls:
    """A handler that counts its calls."""

    def __init__(self) -> None:
        self.adds = self.updates = self.deletes = 0

    def on_add(self, obj: Object) -> None:
        self.adds += 1

    def on_update(self, old: Object, new: Object) -> None:
        self.updates += 1

    def on_delete(self, obj: Object) -> None:
        self.deletes += 1


class _Synced:
    """Stands for the informer that a registration belongs to."""

    def has_synced(self) -> bool:
        return True


def _handler(processor: Processor) -> tuple[_Calls, Callable[[], None]]:
    """Adds a handler. Returns it, and a function that calls it once with its whole backlog, as its thread would."""
    handler = _Calls()
    subscription = Subscription(
        make_backlog("all"), processor.schedule(0), unwrap=lambda: None, on_initial_done=lambda: None
    )
    processor.add(subscription, dict)
    owner: Any = _Synced()
    registration = HandlerRegistration(owner, HandlerFunctions(handler), subscription, name="benchmark")
    run: list[Callable[[], None]] = []

    class ThreadGroup:
        def start(self, function: Callable[[], None], name: str) -> None:
            run.append(function)

    thread_group: Any = ThreadGroup()
    registration.start(thread_group)

    def call() -> None:
        subscription.close(drain=True)
        run[0]()

    return handler, call


def _changes(count: int) -> list[Any]:
    store = _indexer()
    store.replace(_objects(count), "1")
    return [store.apply(batch) for batch in _updates(count)]


def _distribute(count: int) -> Callable[[], object]:
    processor, batches = Processor(), _changes(count)
    _handler(processor)
    return lambda: [processor.distribute(batch) for batch in batches]


def _call(count: int) -> Callable[[], object]:
    processor, batches = Processor(), _changes(count)
    _, call = _handler(processor)
    for batch in batches:
        processor.distribute(batch)
    return call


# The whole path


def _whole_path(queue: Any, *, one_by_one: bool = False) -> Callable[[int], Callable[[], object]]:
    def make(count: int) -> Callable[[], object]:
        objects, lines = _objects(count), _lines(count)
        reads = [_pods.chunked([line]) for line in lines] if one_by_one else _reads(_pods.chunked(lines))
        stop = Signal()
        source: Any = ListWatch(
            lambda _: ObjectList(objects, str(count)),
            lambda _: StreamWatcher(_decoder(_MemorySource(reads, stop.set))),
        )
        processor, store = Processor(), _indexer()
        handler, call = _handler(processor)
        controller = make_controller(
            source,
            store,
            processor,
            ReflectorConfig(watch_list=False, key_func=meta_namespace_key),
            queue=queue,
            log=_log(),
            on_processed=lambda: None,
            name="benchmark",
        )
        # The first list is not timed: the cache has its objects already, so that it changes nothing.
        store.replace(objects, "1")

        def run() -> None:
            controller.run(stop)
            call()
            if handler.updates != count or handler.adds:
                raise RuntimeError(f"{handler.updates} updates and {handler.adds} adds of {count}")

        return run

    return make


def _all() -> Iterator[Stage]:
    yield Stage("watch: chunks off", "event", _chunks)
    yield Stage("watch: lines", "event", _cut_lines)
    yield Stage("watch: object decoded", "event", _decode_objects)
    yield Stage("watch: lines, envelope, object", "event", _decode_events)
    yield Stage("watch: deltas", "event", _read_deltas)
    yield Stage("queue: in order", "event", _in_order)
    yield Stage("queue: by key", "event", _delta)
    yield Stage("cache: update, one index", "event", _apply)
    yield Stage("handler: to backlog", "event", _distribute)
    yield Stage("handler: called", "event", _call)
    yield Stage("whole path, in order", "event", _whole_path("in_order"))
    yield Stage("whole path, by key", "event", _whole_path("delta"))
    yield Stage("whole path, one event a read", "event", _whole_path("in_order", one_by_one=True))
    yield Stage("list: items cut", "object", _cut_list)
    yield Stage("list: items cut and decoded", "object", _list_items)
    yield Stage("list: queue in order", "object", _replaced_in_order)
    yield Stage("list: queue by key", "object", _replaced_delta)
    yield Stage("list: first fill, one index", "object", _fill)
    yield Stage("list: relist unchanged", "object", _relist, scale=5)
    yield Stage("protobuf: frames, envelope, object", "event", _protobuf_stages.decode_events)
    yield Stage("protobuf: items cut", "object", _protobuf_stages.cut_list)
    yield Stage("protobuf: items cut and decoded", "object", _protobuf_stages.list_items)
    yield Stage("protobuf: managed fields removed", "object", _protobuf_stages.drop_fields)
    yield Stage("protobuf: one path read", "object", _protobuf_stages.read_path)


STAGES = {stage.name: stage for stage in _all()}

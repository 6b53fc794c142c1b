"""Answers watch requests with a stream that lasts until its deadline, or until the client or the server ends it."""

from __future__ import annotations

from informer.testing.faults.fault_book import OpenAnswer
from informer.testing.faults.faults import Faults
from informer.testing.http.server import HttpServer
from informer.testing.listwatch.list_options import ListQuery, read_list_query
from informer.testing.listwatch.selection import read_selection
from informer.testing.listwatch.watch_stream import WatchStream
from informer.testing.server.responses import GZIP, gzip_member, takes_gzip
from informer.testing.server.versions import ServerVersion
from informer.testing.storage.negotiation import representation_for
from informer.testing.storage.object_checks import Target
from informer.testing.storage.registry import Registry
from informer.testing.storage.representation import Representation
from informer.testing.storage.storage import Storage

__all__ = ["WatchRequests"]


class WatchRequests:
    """Answers watch requests.

    Args:
        storage: stores the objects.
        registry: knows where a resource's objects are stored.
        faults: the faults that tests asked for.
        version: the server's version, which decides about features.
        bookmark_interval: seconds between bookmarks.

    Threads: any; an answer occupies its connection's thread until the watch ends.
    """

    def __init__(
        self, storage: Storage, registry: Registry, faults: Faults, version: ServerVersion, *, bookmark_interval: float
    ) -> None:
        self._storage = storage
        self._registry = registry
        self._faults = faults
        self._version = version
        self._bookmark_interval = bookmark_interval

    def answer(self, http: HttpServer, answer: OpenAnswer, target: Target) -> None:
        """Sends the stream; blocks until it ends.

        Raises:
            ApiError: the request is refused, and nothing was sent.
        """
        exchange = answer.exchange
        options = read_list_query(exchange.request.query, watch_list_enabled=self._version.has_watch_list)
        representation = representation_for(
            exchange.request.headers.get("accept", ""),
            target.served,
            drops_fields=self._version.drops_managed_fields,
            include_object=exchange.request.query.get("includeObject", ""),
            of_watch=True,
        )
        stream = self._stream(target, options, representation)
        headers = {"Content-Type": representation.stream_media_type}
        if options.is_watch_list and self._version.compresses_watch_list and takes_gzip(exchange):
            headers |= GZIP
            answer.send_lines = lambda lines: exchange.send_chunks([gzip_member(b"".join(lines))])
        self._faults.book.attach_stream(answer, stream)
        withdraw = exchange.connection.gone.subscribe(stream.close)
        # Before the head is sent: a client that has the head misses no change that it makes afterwards.
        stream.start()
        try:
            with http.noticing_hangup(exchange.connection):
                exchange.begin(200, headers)
                if answer.watch_seconds is None:
                    for lines in stream.batches():
                        answer.send_lines(lines)
                else:
                    exchange.connection.gone.wait(answer.watch_seconds)
                exchange.end()
        finally:
            stream.finish()
            withdraw()

    def _stream(self, target: Target, options: ListQuery, representation: Representation) -> WatchStream:
        selection = read_selection(options, target.served, target.name, sharding=self._version.has_sharding)
        with self._storage.lock:
            bucket = self._registry.bucket_locked(target.served)
        return WatchStream(
            self._storage,
            bucket,
            target.namespace,
            options,
            selection,
            representation,
            bookmark_interval=self._bookmark_interval,
        )

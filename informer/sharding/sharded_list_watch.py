"""`ShardedListWatch`: a lister-watcher of one shard of a resource."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from typing_extensions import TypeVar

from informer.listwatch.lister_watcher import ListerWatcher, ObjectList
from informer.listwatch.source import Source, WrappedSource, as_source
from informer.listwatch.watch_decoding import mapped_watch
from informer.objects.entry import Skipped
from informer.objects.keys import namespace_of, uid_of, version_of
from informer.objects.object import Object
from informer.reflector.event_reader import is_initial_events_end
from informer.sharding.ranges import Field, check_shard, same_shard, shard_hash, shard_ranges, shard_selector
from watch.errors import ApiError
from watch.event import Event, EventType
from watch.logs import get_logger
from watch.options import ListOptions
from watch.printable import printable
from watch.watcher import Watcher

__all__ = ["ShardedListWatch", "own_events"]

T = TypeVar("T", default=Any)

_log = get_logger(__name__)


class ShardedListWatch(WrappedSource[T]):
    """Lists and watches one of `n` shards of a resource: the objects whose uid or namespace has a hash in its range.

        pods = SharedInformer(ShardedListWatch(ListWatch.for_resource(api_client, "pods"), 0, 4))

    An API server with the feature gate ShardedListAndWatch sends the objects of the shard only. The gate is alpha in
    Kubernetes 1.36, and on by default from 1.38. Any other server ignores the selector and sends all objects. So the client
    filters by the same hash as well, before it decodes an object. The result is the same on every server, even if the gate is
    switched while an informer runs. Only the cost differs.

    An object never leaves its shard, since neither its uid nor its namespace can change. Objects without a namespace are
    all in one shard if the field is "metadata.namespace".

    Args:
        list_watch: what to list and watch, such as a `ListWatch`.
        i: the shard, from 0 to `n` - 1.
        n: the number of shards. All processes must use the same number.
        field: the field whose hash decides.

    Raises:
        ValueError: the shard is out of range, or the field is another one.

    Threads: as of the given lister-watcher.

    Source: KEP-5866.
    """

    def __init__(self, list_watch: ListerWatcher[T], i: int, n: int, *, field: Field = "metadata.uid") -> None:
        check_shard(i, n, field)
        super().__init__(as_source(list_watch).kept(_in_range(*shard_ranges(n)[i], field)))
        self.selector = shard_selector(i, n, field)
        """The `shardSelector` of every request."""
        self._echo = _Echo()  # shared with the sources that are made from this one
        self._echoed = False  # whether the last list of this source had an echo

    @property
    def is_sharded_by_server(self) -> bool | None:
        """Whether the server's last list named the shard; None before the first one.

        Lists of metadata only never do, although the server filters them.
        """
        return self._echo.seen

    def entries(self, listed: Callable[[Any], Any] | None = None) -> Source[Any]:
        """See `Source.entries`."""
        return self._around(self.inner.entries(listed))

    def list(self, options: ListOptions) -> ObjectList[T]:
        """Fetches one page of the shard.

        Raises:
            ApiError: the server refused. 410: it sharded its last list and not this one, so the list must begin anew.
            ValueError: the server listed another shard.
            Exception: as of the given lister-watcher.
        """
        page = self.inner.list(replace(options, shard_selector=self.selector))
        echo = page.shard_selector
        if echo is not None and not same_shard(echo, self.selector):
            raise ValueError(f'the server listed the shard "{printable(echo, 300)}" instead of "{self.selector}"')
        if self._echo.seen is not (echo is not None):
            self._echo.seen = echo is not None
            _log.info(
                "%s: %s",
                self.resource_name or "list-watch",
                "the server sends one shard only"
                if echo is not None
                else "the server's list names no shard, so this process filters (the feature gate ShardedListAndWatch is off, "
                "the server is older than 1.36, or only metadata are requested)",
            )
        was, self._echoed = self._echoed, echo is not None
        if was and echo is None:
            raise ApiError(410, "Expired", "the server no longer shards its lists: the list must begin anew")
        return page

    def watch(self, options: ListOptions) -> Watcher[T] | None:
        """Opens a watch of the shard. Raises as the given lister-watcher does."""
        watcher = self.inner.watch(replace(options, shard_selector=self.selector))
        return None if watcher is None else mapped_watch(watcher, own_events(options))


class _Echo:
    """Whether a server named the shard in its last list."""

    seen: bool | None = None


def _in_range(start: int, end: int, field: str) -> Callable[[Any], bool]:
    value_of = uid_of if field == "metadata.uid" else namespace_of
    return lambda obj: start <= shard_hash(value_of(obj)) < end


def own_events(options: ListOptions) -> Callable[[list[Event[Any]]], list[Event[Any]]]:
    """Returns a function that removes the events of skipped objects from each batch of one watch; see `Source.kept`.

    If a batch ends with such an event, a bookmark takes its place. It tells the reader that the watch is alive, and which
    version it has reached.

    Args:
        options: the options of the watch. If they do not allow bookmarks, none is added. None is added before the end of
            the initial events either.
    """
    adds = options.allow_watch_bookmarks and options.resource_version not in ("", "0")
    is_initial = bool(options.send_initial_events)

    def own(events: list[Event[Any]]) -> list[Event[Any]]:
        nonlocal adds, is_initial
        if is_initial and any(is_initial_events_end(event) for event in events):
            is_initial, adds = False, options.allow_watch_bookmarks
        kept = [event for event in events if type(event[1]) is not Skipped]
        last = events[-1][1]
        if adds and not is_initial and type(last) is Skipped and (version := version_of(last.object)):
            kept.append(Event(EventType.BOOKMARK, _bookmark(version)))
        return kept

    return own


def _bookmark(version: str) -> Object:
    return Object.from_dict({"metadata": {"resourceVersion": version}})

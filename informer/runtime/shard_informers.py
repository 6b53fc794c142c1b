"""The informers of one shard of a manager: of its own objects, and of the objects that these own."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from informer.listwatch.lister_watcher import ListerWatcher
from informer.listwatch.source import Source, WrappedSource, as_source
from informer.listwatch.watch_decoding import mapped_watch
from informer.objects.entry import Skipped, Undecodable
from informer.objects.keys import metadata_of
from informer.runtime.registration import Indexers, resource_key
from informer.sharding.ranges import Field, shard_of
from informer.sharding.sharded_list_watch import ShardedListWatch, own_events
from informer.shared.factory_request import FactoryRequest
from informer.shared.shared_informer import SharedInformer
from informer.shared.waiting import wait_for_cache_sync
from informer.workqueue.enqueue import controller_reference, field_of
from watch.event import Event, EventType
from watch.options import ListOptions
from watch.watcher import Watcher

__all__ = ["OwnedListWatch", "ShardInformers"]


class OwnedListWatch(WrappedSource[Any]):
    """Lists and watches the objects whose controller is in one of `n` shards by uid.

    A server cannot shard by the owner's uid, so it sends all objects. The client drops the others before it converts them. An
    object that gets a controller in another shard, or loses its controller, counts as deleted.

    Args:
        list_watch: what to list and watch.
        i: the shard, from 0 to `n` - 1.
        n: the number of shards.

    Threads: as of the given lister-watcher.
    """

    def __init__(self, list_watch: ListerWatcher[Any], i: int, n: int) -> None:
        def is_owned(obj: Any) -> bool:
            reference = controller_reference(obj)
            return reference is not None and shard_of(field_of(reference, "uid"), n) == i

        super().__init__(as_source(list_watch).kept(is_owned))

    def entries(self, listed: Callable[[Any], Any] | None = None) -> Source[Any]:
        """See `Source.entries`."""
        return self._around(self.inner.entries(listed))

    def watch(self, options: ListOptions) -> Watcher[Any] | None:
        """Opens a watch. Raises as the given lister-watcher does."""
        watcher, own = self.inner.watch(options), own_events(options)
        return None if watcher is None else mapped_watch(watcher, lambda events: own([_left(each) for each in events]))


def _left(event: Event[Any]) -> Event[Any]:
    """Returns the deletion of an object that may have belonged to this shard before; any other event as it is."""
    if type(event.object) is not Skipped or event.type != EventType.MODIFIED:
        return event
    name, namespace, uid, version = metadata_of(event.object.object)
    # The state of before is in the cache, if the object was there.
    gone = Undecodable(name, namespace, uid, version, b"", ValueError("its controller is in another shard"))
    return Event(EventType.DELETED, gone)


class ShardInformers:
    """The informers of one shard, which are started and stopped together. Their names end with the shard.

    Args:
        api_client: the official client's `ApiClient`.
        namespace: as of `Manager`.
        transform: as of `Manager`.
        shard: the shard.
        shards: the number of shards.
        field: the field by whose hash objects are sharded.

    Threads: one makes them. All else may be called from any thread.
    """

    def __init__(
        self,
        api_client: Any,
        namespace: str | Sequence[str] | None,
        transform: Callable[[Any], Any] | None,
        shard: int,
        shards: int,
        field: Field,
    ) -> None:
        self._api_client = api_client
        self._namespace = namespace
        self._transform = transform
        self._shard, self._shards = shard, shards
        self._field: Field = field
        self._informers: dict[tuple[str, bool], SharedInformer[Any]] = {}

    def of_shard(self, resource: str, indexers: Indexers | None) -> SharedInformer[Any]:
        """Returns the informer of the objects of a resource that are in the shard."""
        return self._informer(resource, indexers, owned=False)

    def of_owned(self, resource: str, indexers: Indexers | None) -> SharedInformer[Any]:
        """Returns the informer of the objects of a resource whose controller is in the shard."""
        # Both are in one namespace.
        return self._informer(resource, indexers, owned=self._field == "metadata.uid")

    def own_keys(self, resource: str, keys_of: Callable[[Any], Iterable[str]]) -> Callable[[Any], Iterable[str]]:
        """Returns a function of `watches=` without the keys of other shards, whose objects would seem to be deleted here."""

        @functools.wraps(keys_of)
        def own(obj: Any) -> Iterable[str]:
            keys = keys_of(obj)
            if isinstance(keys, str):
                return keys  # the handler refuses it
            store = self.of_shard(resource, None).store
            return [key for key in keys if key in store]

        return own

    def start(self) -> None:
        """Starts all of them."""
        for informer in self._informers.values():
            informer.start()

    def wait_for_cache_sync(
        self, timeout: float | None = None, *, stop: threading.Event | None = None
    ) -> dict[SharedInformer[Any], bool]:
        """Waits for the first lists; see `SharedInformerFactory.wait_for_cache_sync`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        return {
            informer: wait_for_cache_sync(
                informer, timeout=None if deadline is None else max(0.0, deadline - time.monotonic()), stop=stop
            )
            for informer in self._informers.values()
        }

    def shutdown(self, timeout: float | None = 1.0) -> bool:
        """Stops all of them; returns whether every thread has ended in time."""
        for informer in self._informers.values():
            informer.begin_stop()
        ended = [informer.stop(timeout) for informer in self._informers.values()]
        return all(ended)

    def _informer(self, resource: str, indexers: Indexers | None, *, owned: bool) -> SharedInformer[Any]:
        key = (resource_key(resource), owned)
        known = self._informers.get(key)
        if known is not None:
            present = known.indexer.indexers
            missing = {name: each for name, each in (indexers or {}).items() if present.get(name) != each}
            if missing:
                known.add_indexers(missing)
            return known
        request = FactoryRequest(self._api_client, resource, of_factory=self._namespace)
        source: Source[Any] = (
            OwnedListWatch(request.list_watch(), self._shard, self._shards)
            if owned
            else ShardedListWatch(request.list_watch(), self._shard, self._shards, field=self._field)
        )
        made = self._informers[key] = SharedInformer(
            source, transform=self._transform, indexers=indexers, name=f"{key[0]}-shard-{self._shard}"
        )
        return made

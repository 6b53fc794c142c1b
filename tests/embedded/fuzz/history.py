"""Puts an embedded server back to an earlier state, as an etcd that is restored from a copy."""

from __future__ import annotations

from collections import Counter

from informer.testing import EmbeddedAPIServer


class Copy:
    """A copy of what a server stores, with the resourceVersion that it has then.

    Args:
        server: the server to copy.
    """

    def __init__(self, server: EmbeddedAPIServer) -> None:
        storage = server._storage
        with storage.lock:
            self._version = storage.resource_version
            self._objects = {name: dict(bucket.objects) for name, bucket in storage.buckets_locked()}

    def restore(self, server: EmbeddedAPIServer) -> None:
        """Puts the copy in place: later writes are gone, and new ones get the same versions again.

        Cut the connections before: open watches would not notice.
        """
        storage = server._storage
        with storage.lock:
            storage._resource_version = storage._oldest = storage._watchable = self._version
            for name, bucket in storage.buckets_locked():
                bucket.objects = dict(self._objects.get(name, {}))
                bucket.keys = sorted(bucket.objects)
                bucket.forget_locked(self._version, for_watches_only=False)
            objects = [each for _, bucket in storage.buckets_locked() for each in bucket.objects.values()]
            storage._in_namespace = dict(Counter(each.namespace for each in objects))

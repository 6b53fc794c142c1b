"""Remembers what was applied, to leave out an apply that would change nothing."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from informer.objects.object import Object
from watch.concurrency import Lock

__all__ = ["AppliedObjects"]

Where = tuple[str, str, str, str]
"""Resource, namespace, name and subresource of an apply."""


class AppliedObjects:
    """Remembers the last apply of each object by this process.

    An apply can be left out if this process has applied the same body before, and its fields have not changed since. So
    each apply is remembered with two hashes: of the body, and of the values that these fields had in the server's answer.
    That takes about 100 bytes per object.

    Source: apiserver server-side apply: a manager that applies the same set of fields with the same values is a no-op.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._applied: dict[
            Where, tuple[str, bytes, bytes]
        ] = {}  # uid, hash of the body, hash of the fields; guarded by _lock
        self._of_key: dict[str, set[Where]] = {}  # guarded by _lock

    def is_unchanged(self, where: Where, body: dict[str, Any], cached: Object | None) -> bool:
        """Whether applying a body again would change nothing.

        Args:
            where: the object's place.
            body: what would be applied.
            cached: the object in the cache; it shows this process's own writes.
        """
        with self._lock:
            known = self._applied.get(where)
        if known is None or cached is None or cached.uid != known[0] or cached.deletion_timestamp is not None:
            return False
        return known[1] == _hash(body) and known[2] == _hash(_fields_of(body, cached.to_dict()))

    def remember(self, key: str, where: Where, body: dict[str, Any], answer: Object) -> None:
        """Remembers an apply and what the server returned."""
        entry = (answer.uid, _hash(body), _hash(_fields_of(body, answer.to_dict())))
        with self._lock:
            self._applied[where] = entry
            self._of_key.setdefault(key, set()).add(where)

    def forget(self, key: str) -> None:
        """Forgets what was applied for a key."""
        with self._lock:
            for where in self._of_key.pop(key, ()):
                self._applied.pop(where, None)


def _fields_of(body: Any, obj: Any) -> Any:
    """The values that an object has where the body has one. Lists are compared as a whole."""
    if isinstance(body, dict) and isinstance(obj, dict):
        return {name: _fields_of(value, obj.get(name)) for name, value in body.items()}
    return obj


def _hash(value: Any) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(value, order="sorted"), digest_size=16).digest()

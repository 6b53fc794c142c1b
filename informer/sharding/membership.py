"""The Leases by which replicas know how many they are: each replica holds one of as many as there are shards."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from informer.leaderelection.candidate import Candidate
from informer.sharding.leases import ListedLeases

__all__ = ["Membership"]

# Each takes two requests. What another replica has acquired first is noticed by the next look.
_TRIES = 3


class Membership:
    """This replica's place among the replicas, and who the others are.

    A replica without a place owns no shards: there are more replicas than shards.

    Args:
        names: the names of the Leases.
        candidates: make the attempts at these Leases.
        identity: this replica's.

    Threads: one.
    """

    def __init__(self, names: Sequence[str], candidates: Sequence[Candidate], identity: str) -> None:
        self._names = names
        self._candidates = candidates
        self._identity = identity
        self._place: int | None = None

    def renew(self, listed: ListedLeases, now: float) -> frozenset[str]:
        """Renews this replica's Lease, or acquires one; returns the identities of all replicas.

        Args:
            listed: the Leases as they were listed.
            now: the time of the list, by the clock.
        """
        if self._place is not None:
            candidate = self._candidates[self._place]
            if not candidate.try_acquire_or_renew() and not candidate.is_holder:
                self._place = None
        if self._place is None:
            self._place = self._join(listed, now)
        others = {holder for i in range(len(self._names)) if (holder := self._holder(i, listed, now)) is not None}
        others.discard(self._identity)
        # Without an answer to its requests a replica does not know its place, but goes on.
        is_member = self._place is not None or len(others) < len(self._names)
        return frozenset(others | {self._identity} if is_member else others)

    def leave(self, deadline: float) -> None:
        """Gives the place up, so that the other replicas no longer count this one."""
        place, self._place = self._place, None
        if place is not None:
            self._candidates[place].try_release(deadline)

    def _holder(self, i: int, listed: ListedLeases, now: float) -> str | None:
        observed = listed[self._names[i]]
        if observed.record is None or not observed.is_held(now, self._candidates[i].longest_foreign):
            return None
        return observed.record.holder_identity

    def _join(self, listed: ListedLeases, now: float) -> int | None:
        count = len(self._names)
        begin = zlib.crc32(self._identity.encode(errors="replace")) % count
        order = [(begin + i) % count for i in range(count)]
        holders = {i: self._holder(i, listed, now) for i in order}
        # The own place of before a restart comes first.
        free = [i for i in order if holders[i] == self._identity] + [i for i in order if holders[i] is None]
        for i in free[:_TRIES]:
            record, since = listed[self._names[i]]
            candidate = self._candidates[i]
            if record is not None:
                candidate.observe(record, since)
            if candidate.try_acquire_or_renew():
                return i
        return None

"""The member Leases: each replica holds one, so that all replicas can count each other. There are as many as shards."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from informer.leaderelection.candidate import Candidate
from informer.sharding.leases import ListedLeases

__all__ = ["Membership"]

# Each try takes two requests or more. If another replica was first, the next look finds another Lease.
_TRIES = 3


class Membership:
    """Holds a member Lease for this replica, and tells which replicas hold the others.

    A replica without a member Lease owns no shards: there are more replicas than shards.

    Args:
        names: the names of the member Leases.
        candidates: one for each of these Leases, to acquire, renew and release it.
        identity: the identity of this replica.
        timeout: seconds until a release is given up.

    Threads: one.
    """

    def __init__(self, names: Sequence[str], candidates: Sequence[Candidate], identity: str, timeout: float) -> None:
        self._names = names
        self._candidates = candidates
        self._identity = identity
        self._timeout = timeout
        self._place: int | None = None

    def renew(self, listed: ListedLeases, now: float) -> frozenset[str]:
        """Renews this replica's member Lease, or acquires one; returns the identities of all replicas.

        Args:
            listed: the Leases of the last list.
            now: the time of that list, in seconds of the clock.
        """
        if self._place is not None:
            candidate = self._candidates[self._place]
            if not candidate.try_acquire_or_renew() and not candidate.is_holder:
                self._place = None
        if self._place is None:
            self._place = self._join(listed, now)
        self._release_expired(listed, now)
        others = {holder for i in range(len(self._names)) if (holder := self._holder(i, listed, now)) is not None}
        others.discard(self._identity)
        # If its requests were not answered, this replica may still hold a member Lease. So it counts itself.
        is_member = self._place is not None or len(others) < len(self._names)
        return frozenset(others | {self._identity} if is_member else others)

    def leave(self, deadline: float) -> None:
        """Releases the member Lease, so that the other replicas no longer count this one.

        Args:
            deadline: when to give up, in seconds of the clock.
        """
        place, self._place = self._place, None
        if place is not None:
            self._candidates[place].try_release(deadline)

    def _release_expired(self, listed: ListedLeases, now: float) -> None:
        """Releases the Leases of dead replicas, so that a new replica does not count them for another lease duration."""
        for i, candidate in enumerate(self._candidates):
            record, since = listed[self._names[i]]
            if i == self._place or record is None or not record.holder_identity:
                continue
            candidate.observe(record, since)
            if self._holder(i, listed, now) is None and not candidate.try_release(now + self._timeout, expired=True):
                break

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
        # First the Lease that names this replica: it held it before a restart.
        free = [i for i in order if holders[i] == self._identity] + [i for i in order if holders[i] is None]
        for i in free[:_TRIES]:
            record, since = listed[self._names[i]]
            candidate = self._candidates[i]
            if record is not None:
                candidate.observe(record, since)
            if candidate.try_acquire_or_renew():
                return i
        return None

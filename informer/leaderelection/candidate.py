"""Single attempts to acquire, renew or release the lease.

No time of day of another machine is used. The expiry of another holder's lease is measured from when this process observed its
record change, which is later than the holder's request. The expiry of the own lease is measured from before the request was
sent. So two processes never hold the lease at once, as long as their clocks run at the same rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from informer.leaderelection.lease_lock import ResourceLock
from informer.leaderelection.record import MAX_NUMBER, LeaderElectionRecord, micro_time
from informer.rate_limited_log import rate_limited
from watch.clock import Clock
from watch.errors import ApiError, RequestCancelledError
from watch.logs import get_logger
from watch.printable import printable

__all__ = ["Candidate", "shown_identity"]

_log = get_logger(__name__)

# After a conflict the lease is read again at once: another process may have released it between the read and the write.
_TRIES = 2
_CONFLICT = 409
_NOT_FOUND = 404
# For clients that wait for the duration of a lease even if it has no holder.
_RELEASED_SECONDS = 1
_MAX_FOREIGN_SECONDS = 3600
_MAX_SHOWN = 100  # characters of another process's identity


class _Observed(NamedTuple):
    """A record, and the time from which its lease duration counts."""

    record: LeaderElectionRecord
    at: float

    def is_valid(self, now: float, most: float) -> bool:
        """Whether the lease has not expired; `most` is the longest duration that is respected."""
        return now < self.at + max(0, min(self.record.lease_duration_seconds, most))


class Candidate:
    """One process's attempts at a lease, and what it knows about the lease.

    Another holder's lease is respected for at most an hour after its last change, or for `lease_duration` if that is longer.
    Without this limit, one write of a process that may update the Lease could keep all others from leading for 68 years. An
    hour is far above usual durations, so the limit never ends the lease of a live holder, which renews it sooner.

    Args:
        lock: the lock that stores the lease's record.
        lease_duration: the duration of this process's leases, in seconds. Fractions are cut off, since a Lease has whole
            seconds.
        clock: measures leases.
        wall: returns the time of day, in seconds since the epoch. It is written into the lease for people to read.
        timeout: the time-out of each request, in seconds.
        on_slow_path: called when a renewal had to read the lease first.

    Threads: one attempt at a time. The properties may be read on any thread.

    Source: client-go tools/leaderelection tryAcquireOrRenew, tryRelease.
    """

    def __init__(
        self,
        lock: ResourceLock,
        lease_duration: float,
        *,
        clock: Clock,
        wall: Callable[[], float],
        timeout: float,
        on_slow_path: Callable[[], object] = lambda: None,
    ) -> None:
        self._lock = lock
        # Other candidates wait for the seconds that the Lease states. This process never relies on more than those.
        self._seconds = max(1, int(lease_duration))
        self._own_duration = min(lease_duration, self._seconds)
        self._longest_foreign = max(self._seconds, _MAX_FOREIGN_SECONDS)
        self._clock = clock
        self._wall = wall
        self._timeout = timeout
        self._on_slow_path = on_slow_path
        self._limited = rate_limited(_log)
        self._observed = _Observed(LeaderElectionRecord(), 0.0)  # replaced as a whole, for readers on other threads
        self._lease_end = -math.inf
        self._last_read: LeaderElectionRecord | None = None  # the record in the server's last answer

    @property
    def record(self) -> LeaderElectionRecord:
        """The last observed record, including this process's own."""
        return self._observed.record

    @property
    def observed_at(self) -> float:
        """When that record was observed, by the clock. For this process's own record: when its request was sent."""
        return self._observed.at

    @property
    def is_holder(self) -> bool:
        """Whether that record names this process, even if the lease has expired."""
        return self._observed.record.holder_identity == self._lock.identity

    @property
    def lease_end(self) -> float:
        """When this process's lease expires, by the clock; in the past if it has none."""
        return self._lease_end

    @property
    def longest_foreign(self) -> float:
        """The longest time for which another holder's lease is respected after its last change, in seconds."""
        return self._longest_foreign

    def observe(self, record: LeaderElectionRecord, since: float) -> None:
        """Records what was read of the lease elsewhere, for example in a list of Leases.

        Args:
            record: the lease's record.
            since: when it was first seen so, by the clock. It must not have been another one since.
        """
        if record != self._last_read:
            self._observed = _Observed(record, since)
            self._last_read = record
            if not self.is_holder:
                self._lease_end = -math.inf

    def try_acquire_or_renew(self) -> bool:
        """Tries once to acquire or renew the lease; returns whether this process holds it now.

        A failed request is logged, and makes the attempt fail. After a conflict the lease is read and written once more.
        """
        now = self._clock.monotonic()
        failure: Exception | None = None
        if self.is_holder and now < self._lease_end:
            # Fast path: no other process may change a lease that has not expired, so it need not be read first.
            failure = self._write(self._lock.update, self._own_record(self.record, self.record.leader_transitions))
            if failure is None:
                return True
            if isinstance(failure, RequestCancelledError):
                return False
            _log.info("failed to renew lease %s, reading it before the next try: %s", self._lock.describe(), failure)
        for _ in range(_TRIES):
            try:
                read = self._lock.get(timeout=self._timeout)
            except ApiError as error:
                return (
                    self._create() if error.status == _NOT_FOUND else self._failed("failed to read lease %s: %s", error)
                )
            except Exception as error:
                return self._failed("failed to read lease %s: %s", error)
            self._observe(read)
            if self._is_held_by_another(now):
                holder = shown_identity(read.holder_identity)
                _log.debug("lease %s is held by %s and has not expired", self._lock.describe(), holder)
                return False
            failure = self._update(read)
            if not _is_conflict(failure):
                break
        return failure is None or self._failed("failed to update lease %s: %s", failure)

    def try_release(self, deadline: float, *, expired: bool = False) -> bool:
        """Releases the lease, so that another process can acquire it at once.

        The lease is read first, and left alone if another process holds it.

        Args:
            deadline: when to give up, by the clock.
            expired: whether to release another process's lease, too, if it has expired. A process that has observed it for
                a shorter time would otherwise wait for another lease duration.

        Returns:
            False if it failed; the lease may have a holder until it expires.
        """
        # Already before the request: if its answer is lost, another process may lead.
        self._lease_end = -math.inf
        while (now := self._clock.monotonic()) < deadline:
            try:
                read = self._lock.get(timeout=self._timeout)
            except Exception as error:
                return self._failed("failed to release lease %s, because it cannot be read: %s", error)
            self._observe(read)
            if not read.holder_identity or not (self.is_holder or (expired and not self._is_held_by_another(now))):
                return True
            written = micro_time(self._wall())
            released = LeaderElectionRecord("", _RELEASED_SECONDS, written, written, read.leader_transitions)
            failure = self._write(self._lock.update, released)
            if failure is None:
                return True
            # After a conflict it is read again: a renewal that was cancelled may have reached the server late.
            if not _is_conflict(failure):
                return self._failed("failed to release lease %s: %s", failure)
        return self._failed("failed to release lease %s: %s", TimeoutError("the deadline has passed"))

    def _is_held_by_another(self, now: float) -> bool:
        is_named = bool(self.record.holder_identity) and not self.is_holder
        return is_named and self._observed.is_valid(now, self._longest_foreign)

    def _observe(self, read: LeaderElectionRecord) -> None:
        if read != self._last_read:
            self._observed = _Observed(read, self._clock.monotonic())
            self._last_read = read
        if not self.is_holder:
            self._lease_end = -math.inf

    def _create(self) -> bool:
        error = self._write(self._lock.create, self._own_record(None, 0))
        return error is None or self._failed("failed to create lease %s: %s", error)

    def _update(self, read: LeaderElectionRecord) -> Exception | None:
        if self.is_holder:
            self._on_slow_path()
            record = self._own_record(read, read.leader_transitions)
        else:
            record = self._own_record(None, _next_number(read.leader_transitions))
        return self._write(self._lock.update, record)

    def _own_record(self, former: LeaderElectionRecord | None, transitions: int) -> LeaderElectionRecord:
        now = micro_time(self._wall())
        return LeaderElectionRecord(
            holder_identity=self._lock.identity,
            lease_duration_seconds=self._seconds,
            acquire_time=now if former is None else former.acquire_time,
            renew_time=now,
            leader_transitions=transitions,
        )

    def _write(self, write: Callable[..., object], record: LeaderElectionRecord) -> Exception | None:
        # Before the request: the server may have stored the record long before its answer arrives.
        sent_at = self._clock.monotonic()
        try:
            write(record, timeout=self._timeout)
        except Exception as error:
            return error
        self._observed = _Observed(record, sent_at)
        if record.holder_identity:
            self._lease_end = sent_at + self._own_duration
        return None

    def _failed(self, message: str, error: Exception) -> bool:
        if isinstance(error, RequestCancelledError):
            _log.debug(message, self._lock.describe(), error)
        else:
            self._limited.warning(message, self._lock.describe(), error)
        return False


def shown_identity(identity: str) -> str:
    """Returns the identity of a holder for messages: another process has chosen it."""
    return printable(identity.encode(errors="replace"), _MAX_SHOWN)


def _is_conflict(failure: Exception | None) -> bool:
    return isinstance(failure, ApiError) and failure.status == _CONFLICT


def _next_number(transitions: int) -> int:
    """Returns the number of transitions plus one; 0 after the largest number that the server accepts in a Lease."""
    return transitions + 1 if 0 <= transitions < MAX_NUMBER else 0

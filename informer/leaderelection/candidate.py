"""One attempt to get the lease, to keep it, or to give it back.

Comes in: the lock's record. Goes out: whether the lease is ours, and until when.

Nothing here compares this machine's time of day with another's. Whether somebody else's lease has run out is measured from
when we saw its record change last, which is after its holder asked for that; whether ours has, from before we asked for it.
So there is no moment at which both hold it, as long as a second is equally long on both.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import NamedTuple

from informer.leaderelection.election_record import LeaderElectionRecord, micro_time
from informer.leaderelection.lock import ResourceLock
from informer.rate_limited_log import LimitedLog
from watch.clock import Clock
from watch.errors import ApiError, RequestCancelledError

__all__ = ["Candidate"]

_log = logging.getLogger(__name__)

_CONFLICT = 409
_NOT_FOUND = 404
# So that others need not wait for long if they do not know that a lease without a holder is free.
_RELEASED_SECONDS = 1


class _Seen(NamedTuple):
    """A record, and the moment from which its duration is counted."""

    record: LeaderElectionRecord
    at: float

    def is_valid(self, now: float) -> bool:
        return now < self.at + self.record.lease_duration_seconds


class Candidate:
    """See the module.

    Args:
        lock: what it is about.
        lease_duration: of our leases, in seconds. A Lease holds whole ones.
        clock: measures leases.
        wall: gives the time of day, in seconds since the epoch, for people to read.
        timeout: of each request, in seconds.
        on_slow_path: called when a renewal had to read the lease first.

    Threads: one attempt at a time; what was seen may be asked for on any.

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
        # Others wait for as long as the Lease says, and never less than we count on.
        self._seconds = max(1, int(lease_duration))
        self._own_duration = min(lease_duration, self._seconds)
        self._clock = clock
        self._wall = wall
        self._timeout = timeout
        self._on_slow_path = on_slow_path
        self._limited = LimitedLog(_log)
        self._seen = _Seen(LeaderElectionRecord(), 0.0)  # replaced as a whole
        self._lease_end = -math.inf
        self._read: LeaderElectionRecord | None = None  # what the server gave last, to tell whether it has changed

    @property
    def record(self) -> LeaderElectionRecord:
        """The record that was seen last, our own included."""
        return self._seen.record

    @property
    def seen_at(self) -> float:
        """Since when that is so, by the clock; of a record that we have written, when we asked for it."""
        return self._seen.at

    @property
    def is_holder(self) -> bool:
        """Whether that record names us, be it still valid or not."""
        return self._seen.record.holder_identity == self._lock.identity

    @property
    def lease_end(self) -> float:
        """When our lease ends unless it is renewed, by the clock, for others may take it then; in the past without any."""
        return self._lease_end

    def try_acquire_or_renew(self) -> bool:
        """Gets the lease, or renews it; returns whether it is ours now.

        Whatever fails is logged, and the lease not ours this time.
        """
        now = self._clock.monotonic()
        if self.is_holder and now < self._lease_end:
            # Nobody else should have changed it since: no need to read it first.
            failure = self._write(self._lock.update, self._own_record(self.record, self.record.leader_transitions))
            if failure is None:
                return True
            if isinstance(failure, RequestCancelledError):
                return False
            _log.info("lease %s was not renewed at once, and is read now: %s", self._lock.describe(), failure)
        try:
            read = self._lock.get(timeout=self._timeout)
        except ApiError as error:
            return self._create() if error.status == _NOT_FOUND else self._failed("reading lease %s failed: %s", error)
        except Exception as error:
            return self._failed("reading lease %s failed: %s", error)
        self._note(read)
        if read.holder_identity and not self.is_holder and self._seen.is_valid(now):
            _log.debug("lease %s is held by %s and has not run out", self._lock.describe(), read.holder_identity)
            return False
        return self._take(read)

    def try_release(self, deadline: float) -> bool:
        """Gives the lease back, so that others need not wait until it has run out; returns False if that failed.

        It is read first, and not touched when it is somebody else's by now.

        Args:
            deadline: when to give up, by the clock.
        """
        # Should the answer be lost, another may lead by then.
        self._lease_end = -math.inf
        while self._clock.monotonic() < deadline:
            try:
                read = self._lock.get(timeout=self._timeout)
            except Exception as error:
                return self._failed("lease %s cannot be released, reading it failed: %s", error)
            if not self.is_holder:
                return True
            if read.holder_identity != self._lock.identity:
                self._note(read)
                return True
            now = micro_time(self._wall())
            free = LeaderElectionRecord("", _RELEASED_SECONDS, now, now, read.leader_transitions)
            failure = self._write(self._lock.update, free)
            if failure is None:
                return True
            # A renewal that was given up may have come through just now.
            if not (isinstance(failure, ApiError) and failure.status == _CONFLICT):
                return self._failed("releasing lease %s failed: %s", failure)
        return self._failed("releasing lease %s failed: %s", TimeoutError("no time is left"))

    def _note(self, read: LeaderElectionRecord) -> None:
        if read != self._read:
            self._seen = _Seen(read, self._clock.monotonic())
            self._read = read
        if not self.is_holder:
            self._lease_end = -math.inf

    def _create(self) -> bool:
        error = self._write(self._lock.create, self._own_record(None, 0))
        return error is None or self._failed("creating lease %s failed: %s", error)

    def _take(self, read: LeaderElectionRecord) -> bool:
        if self.is_holder:
            self._on_slow_path()
            record = self._own_record(read, read.leader_transitions)
        else:
            record = self._own_record(None, read.leader_transitions + 1)
        error = self._write(self._lock.update, record)
        return error is None or self._failed("updating lease %s failed: %s", error)

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
        # Before it is sent: the answer may be late, and the server had it earlier.
        sent = self._clock.monotonic()
        try:
            write(record, timeout=self._timeout)
        except Exception as error:
            return error
        self._seen = _Seen(record, sent)
        if record.holder_identity:
            self._lease_end = sent + self._own_duration
        return None

    def _failed(self, message: str, error: Exception) -> bool:
        if isinstance(error, RequestCancelledError):
            _log.debug(message, self._lock.describe(), error)
        else:
            self._limited.log(logging.WARNING, message, self._lock.describe(), error)
        return False

"""Shared by the tests of leader election: a lease in memory, locks on it that can fail and hang, and electors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer.leaderelection import LeaderElectionRecord, LeaderElector
from informer.leaderelection.candidate import Candidate
from tests.support.waiting import DEADLINE
from watch import ApiError, Clock, FakeClock
from watch.concurrency import Lock, Monitor, Signal

NOT_FOUND = ApiError(404, "NotFound", "no such lease")
CONFLICT = ApiError(409, "Conflict", "the object has been modified")


class FakeLease:
    """The lease as the server stores it."""

    def __init__(self, record: LeaderElectionRecord | None = None) -> None:
        self.lock = Lock()
        self.record = record
        self.version = 1

    def write(self, record: LeaderElectionRecord | None) -> None:
        """Writes a record as another process would."""
        with self.lock:
            self.record = record
            self.version += 1


class FakeLock:
    """One process's lock on the lease.

    `before` and `after` are called with the verb and the number of each call. They may raise or block.
    """

    def __init__(self, lease: FakeLease, identity: str) -> None:
        self.lease = lease
        self.identity = identity
        self.calls: list[str] = []
        self.events: list[str] = []
        self.timeouts: list[float] = []
        self.before: Callable[[str, int], object] = lambda verb, number: None
        self.after: Callable[[str, int], object] = lambda verb, number: None
        self._version: int | None = None
        self._called = Monitor()

    def get(self, *, timeout: float = 5.0) -> LeaderElectionRecord:
        number = self._begin("get", timeout)
        with self.lease.lock:
            record, version = self.lease.record, self.lease.version
        if record is None:
            raise NOT_FOUND
        self._version = version
        self.after("get", number)
        return record

    def create(self, record: LeaderElectionRecord, *, timeout: float = 5.0) -> None:
        number = self._begin("create", timeout)
        with self.lease.lock:
            if self.lease.record is not None:
                raise ApiError(409, "AlreadyExists", "it is there")
            self._store(record)
        self.after("create", number)

    def update(self, record: LeaderElectionRecord, *, timeout: float = 5.0) -> None:
        if self._version is None:
            raise RuntimeError("the lease is not initialized: call get or create first")
        number = self._begin("update", timeout)
        with self.lease.lock:
            if self.lease.record is None:
                raise NOT_FOUND
            if self.lease.version != self._version:
                raise CONFLICT
            self._store(record)
        self.after("update", number)

    def record_event(self, text: str) -> None:
        self.events.append(f"{self.identity} {text}")

    def describe(self) -> str:
        return "foo/bar"

    def wait_for_calls(self, count: int) -> bool:
        """Returns whether `count` calls have been made before the deadline."""
        with self._called:
            return self._called.wait_for(lambda: len(self.calls) >= count, DEADLINE)

    def _store(self, record: LeaderElectionRecord) -> None:
        self.lease.record = record
        self.lease.version += 1
        self._version = self.lease.version

    def _begin(self, verb: str, timeout: float) -> int:
        with self._called:
            self.calls.append(verb)
            self.timeouts.append(timeout)
            number = len(self.calls)
            self._called.notify_all()
        self.before(verb, number)
        return number


class Election:
    """An elector that runs on a thread and records its callbacks. Its task goes on until its stop event is set."""

    def __init__(self, lock: Any, clock: Clock, start: Callable[..., Any], **options: Any) -> None:
        self.lock = lock
        self.clock = clock
        self.cancel = Signal()
        self._leaders: list[str] = []
        self._changed = Monitor()
        self.stop_events: list[threading.Event] = []  # one per call of on_started_leading
        self.started = threading.Event()
        self.may_end = threading.Event()  # cleared: tasks go on after their stop event is set
        self.may_end.set()
        self.stopped = 0
        options = {
            "lease_duration": 15,
            "renew_deadline": 10,
            "retry_period": 2,
            "on_started_leading": self.task_function,
            "on_stopped_leading": self._on_stopped,
            "on_new_leader": self._on_new_leader,
            "jitter": lambda: 0.0,
            **options,
        }
        self.elector = LeaderElector(lock, clock=clock, **options)
        self._start = start
        self.thread: Any = None

    def run(self) -> Election:
        """Starts the elector."""
        self.thread = self._start(self.elector.run, self.cancel)
        return self

    def lead(self) -> Election:
        """Starts the elector and waits until it leads and has renewed its lease once."""
        self.run()
        assert self.started.wait(DEADLINE)
        self.settle()
        return self

    def settle(self) -> None:
        """Waits until the thread of `run` and the watchdog both wait for the clock."""
        assert self.clock.wait_for_waiters(2, DEADLINE)  # type: ignore[attr-defined]

    def renew(self, seconds: float = 2.0) -> None:
        """Advances the clock and waits until the elector has renewed its lease once."""
        calls = len(self.lock.calls)
        self.clock.step(seconds)  # type: ignore[attr-defined]
        assert self.lock.wait_for_calls(calls + 1)
        self.settle()

    def task_function(self, stop: threading.Event) -> None:
        """Runs until its stop event is set and it may end."""
        self.stop_events.append(stop)
        self.started.set()
        stop.wait()
        self.may_end.wait()

    def was_notified_of(self, *leaders: str) -> bool:
        """Returns whether `on_new_leader` is called with exactly these identities before the deadline."""
        with self._changed:
            return self._changed.wait_for(lambda: self._leaders == list(leaders), DEADLINE)

    def _on_new_leader(self, leader: str) -> None:
        with self._changed:
            self._leaders.append(leader)
            self._changed.notify_all()

    def _on_stopped(self) -> None:
        self.stopped += 1


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands at 1000 s."""
    return FakeClock(1000.0)


@pytest.fixture
def lease() -> FakeLease:
    """A lease that does not exist yet."""
    return FakeLease()


@pytest.fixture
def make_lock(lease: FakeLease) -> Callable[..., FakeLock]:
    """Makes locks on the lease."""
    return lambda identity="baz": FakeLock(lease, identity)


@pytest.fixture
def make_candidate(lease: FakeLease, clock: FakeClock) -> Callable[..., Candidate]:
    """Makes candidates for the lease, each with a lock of its own."""

    def make(
        identity: str = "baz", lock: FakeLock | None = None, lease_duration: float = 15, **options: Any
    ) -> Candidate:
        lock = FakeLock(lease, identity) if lock is None else lock
        return Candidate(lock, lease_duration, clock=clock, wall=clock.monotonic, timeout=5, **options)

    return make


@pytest.fixture
def make_election(
    make_lock: Callable[..., FakeLock], clock: FakeClock, run: Callable[..., Any]
) -> Iterator[Callable[..., Election]]:
    """Makes electors with recorded callbacks, which are stopped when the test ends."""
    made: list[Election] = []

    def make(lock: FakeLock | None = None, **options: Any) -> Election:
        made.append(Election(make_lock() if lock is None else lock, options.pop("clock", clock), run, **options))
        return made[-1]

    yield make
    for each in made:
        each.may_end.set()
        each.cancel.set()

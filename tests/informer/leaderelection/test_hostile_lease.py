"""Leases as a hostile client or server writes them: the elector logs, tries again, and leads as soon as it may."""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer.leaderelection import LeaderElectionRecord, LeaderElector, LeaseLock
from informer.leaderelection.candidate import Candidate
from informer.leaderelection.record import MAX_NUMBER
from tests.support.memory import MIB, check_refused_within_memory
from tests.support.waiting import DEADLINE, PROMPT, eventually
from watch import ApiError, FakeClock
from watch.concurrency import Signal

HUGE = 10**400
HOUR = 3600

METADATA = {"name": "leader", "namespace": "default", "resourceVersion": "7"}


def lease_json(spec: str, metadata: str = "") -> bytes:
    return b'{"metadata":%s,"spec":%s}' % ((metadata or json.dumps(METADATA)).encode(), spec.encode())


MALFORMED = {
    "huge-duration": lease_json('{"holderIdentity":"you","leaseDurationSeconds":1' + "0" * 400 + "}"),
    "longest-duration": lease_json('{"holderIdentity":"you","leaseDurationSeconds":1' + "0" * 5000 + "}"),
    "negative-duration": lease_json('{"holderIdentity":"you","leaseDurationSeconds":-5,"leaseTransitions":-7}'),
    "fraction": lease_json('{"holderIdentity":"you","leaseDurationSeconds":1.5e300,"leaseTransitions":0.5}'),
    "infinite": lease_json('{"holderIdentity":"you","leaseDurationSeconds":1e999}'),
    "texts": lease_json('{"holderIdentity":["you"],"leaseDurationSeconds":"15","leaseTransitions":"x"}'),
    "huge-transitions": lease_json('{"holderIdentity":"","leaseTransitions":1' + "0" * 400 + "}"),
    "year-9999": lease_json('{"holderIdentity":"","renewTime":"9999-12-31T23:59:59.999999Z","acquireTime":"x"}'),
    "odd-times": lease_json('{"holderIdentity":"","renewTime":{"a":1},"acquireTime":-1}'),
    "surrogate": lease_json('{"holderIdentity":"\\ud800"}'),
    "not-utf-8": b'{"metadata":{},"spec":{"holderIdentity":"\xff\xfe"}}',
    "deep-spec": lease_json('{"x":' + "[" * 20_000 + "]" * 20_000 + "}"),
    "deep-metadata": lease_json("{}", '{"x":' + "[" * 900 + "]" * 900 + "}"),
    "odd-labels": lease_json("{}", '{"labels":[1],"annotations":7}'),
    "spec-list": lease_json("[]"),
    "large": lease_json('{"holderIdentity":"' + "x" * (15 * MIB) + '"}'),
    "many-lists": lease_json('{"x":[' + "[]," * (5 * MIB) + "[]]}"),
    "not-json": b"{",
    "empty": b"",
}

good = lease_json('{"holderIdentity":""}')


class Elected:
    """An elector at a scripted server, with a clock of its own."""

    def __init__(self, server: Any, run: Callable[..., Any], **options: Any) -> None:
        self.cancel = Signal()
        self.led = Signal()
        self.leaders: list[str] = []
        self.elector = LeaderElector(
            LeaseLock(server.client(), "default", "leader", "me", labels={"l": "1"}),
            **{"lease_duration": 3, "renew_deadline": 2, "retry_period": 0.05, **options},
            on_started_leading=self._lead,
            on_stopped_leading=lambda: None,
            on_new_leader=self.leaders.append,
            jitter=lambda: 0.0,
        )
        self.task = run(self.elector.run, self.cancel)

    def _lead(self, stop: Any) -> None:
        self.led.set()
        stop.wait()


@pytest.fixture
def elect(run: Callable[..., Any]) -> Iterator[Callable[..., Elected]]:
    """Starts electors, which have to end normally."""
    made: list[Elected] = []

    def make(server: Any, **options: Any) -> Elected:
        made.append(Elected(server, run, **options))
        return made[-1]

    yield make
    for each in made:
        each.cancel.set()


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_no_malformed_lease_ends_an_elector(
    serve: Callable[..., Any], elect: Callable[..., Elected], caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    """The elector reads the Lease again and leads once it is free. The log stays small."""

    def answer(request: Any, connection: Any) -> None:
        hostile = len(server.requests) <= 6
        connection.answer(body if hostile else good)

    server = serve(answer)
    elected = elect(server)
    assert elected.led.wait(DEADLINE)
    assert sum(len(record.getMessage()) for record in caplog.records) < 16 * 1024


def test_a_huge_duration_is_no_overflow(make_candidate: Callable[..., Candidate], lease: Any, clock: FakeClock) -> None:
    """A user's own lock may return any duration without an overflow."""
    lease.write(LeaderElectionRecord("you", HUGE, leader_transitions=HUGE))
    candidate = make_candidate()
    assert not candidate.try_acquire_or_renew()
    clock.step(HOUR + 1)
    assert candidate.try_acquire_or_renew()
    assert lease.record.leader_transitions == 0


@pytest.mark.parametrize("duration", [MAX_NUMBER, 10**9, HOUR + 1])
def test_the_duration_of_another_holder_is_capped(
    make_candidate: Callable[..., Candidate], lease: Any, clock: FakeClock, duration: int
) -> None:
    """The lease can be taken over an hour after its last change, not 68 years after."""
    lease.write(LeaderElectionRecord("you", duration))
    candidate = make_candidate()
    assert not candidate.try_acquire_or_renew()
    clock.step(HOUR - 1)
    assert not candidate.try_acquire_or_renew()
    clock.step(1)
    assert candidate.try_acquire_or_renew()
    assert lease.record.holder_identity == "baz"


def test_an_own_duration_above_an_hour_raises_the_cap(
    make_candidate: Callable[..., Candidate], lease: Any, clock: FakeClock
) -> None:
    """Processes of one election have one configuration: a live holder is not replaced."""
    lease.write(LeaderElectionRecord("you", 3 * HOUR))
    candidate = make_candidate(lease_duration=2 * HOUR)
    assert not candidate.try_acquire_or_renew()
    clock.step(2 * HOUR - 1)
    assert not candidate.try_acquire_or_renew()
    clock.step(1)
    assert candidate.try_acquire_or_renew()


@pytest.mark.parametrize(
    ("before", "after"), [(0, 1), (MAX_NUMBER - 1, MAX_NUMBER), (MAX_NUMBER, 0), (HUGE, 0), (-1, 0), (-HUGE, 0)]
)
def test_transitions_stay_within_what_a_server_accepts(
    make_candidate: Callable[..., Candidate], lease: Any, before: int, after: int
) -> None:
    """The field is an int32 that must not be negative: after the largest value it begins at 0."""
    lease.write(LeaderElectionRecord("", 1, leader_transitions=before))
    assert make_candidate().try_acquire_or_renew()
    assert lease.record.leader_transitions == after


@pytest.mark.parametrize(
    "value", [HUGE, -HUGE, 2**31, -1, 1.5, float("inf"), float("nan"), "15", None, True, [], {}], ids=str
)
def test_the_numbers_of_a_spec_are_bounded(value: Any) -> None:
    """Numbers that a Lease cannot have become ones that it can have."""
    record = LeaderElectionRecord.from_spec({"leaseDurationSeconds": value, "leaseTransitions": value})
    assert 0 <= record.lease_duration_seconds == record.leader_transitions <= MAX_NUMBER
    assert (record.leader_transitions == MAX_NUMBER) == (value in (HUGE, 2**31))


def test_a_hostile_identity_is_shown_on_one_line(
    serve: Callable[..., Any], elect: Callable[..., Elected], caplog: pytest.LogCaptureFixture
) -> None:
    """`on_new_leader` gets the identity unchanged. In the log, it cannot forge a line or move the cursor."""
    caplog.set_level(logging.DEBUG)
    identity = "you\r\nERROR forged\x1b]0;title\x07\u202e\x9b31m" + "x" * 50_000
    body = json.dumps({"metadata": METADATA, "spec": {"holderIdentity": identity, "leaseDurationSeconds": 9}}).encode()
    mine = lease_json('{"holderIdentity":"","leaseDurationSeconds":1}')

    def answer(request: Any, connection: Any) -> None:
        is_taken = len(server.requests) > 4
        if is_taken and request.method == "PUT":
            connection.answer({"kind": "Status", "code": 409, "reason": "Conflict", "message": "changed"}, 409)
        else:
            connection.answer(body if is_taken else mine)

    server = serve(answer)
    elected = elect(server)
    assert elected.led.wait(DEADLINE)
    assert eventually(lambda: identity in elected.leaders)
    assert elected.task.ends_within()
    assert elected.elector.leader == identity
    logged = [record.getMessage() for record in caplog.records if record.name.startswith(("informer", "watch"))]
    assert any("the lease is held by you" in line for line in logged)
    for line in (*logged, repr(elected.elector)):
        assert line.isprintable()
        assert len(line) < 500


def endless(connection: Any) -> None:
    connection.begin(Content_Type="application/json")
    while True:
        connection.chunk(b"[" * 0x4000)


def bomb(connection: Any) -> None:
    compress = zlib.compressobj(9, wbits=31)
    connection.begin(Content_Type="application/json", Content_Encoding="gzip")
    while True:
        if raw := compress.compress(b'{"a":"' + b"x" * MIB):
            connection.chunk(raw)


def drip(first: bytes, piece: bytes) -> Callable[[Any], None]:
    def answer(connection: Any) -> None:
        connection.send(first)
        while True:
            connection.send(piece)
            time.sleep(0.02)  # the drip of a slow server

    return answer


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SLOW = {
    "headers-without-end": drip(HEAD, b"X: y\r\n"),
    "interim-answers": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "status-line": drip(b"HTTP/1.1 200 ", b"x"),
    "body": drip(HEAD + b"Content-Length: 50000\r\n\r\n", b" "),
    "silence": lambda connection: connection.hang(),
}

METHODS = pytest.mark.parametrize("method", ["get", "create", "update"])


def request(lock: LeaseLock, method: str, **options: Any) -> None:
    if method == "get":
        lock.get(**options)
    else:
        getattr(lock, method)(LeaderElectionRecord("me", 15), **options)


@METHODS
@pytest.mark.parametrize(
    "deep",
    [
        pytest.param('{"managedFields":[{"fieldsV1":%s}]}' % ('{"f:a":' * 5000 + "{}" + "}" * 5000), id="objects"),
        pytest.param('{"name":"leader","x":%s}' % ("[" * 9000 + '"]}"' + "]" * 9000), id="lists"),
    ],
)
def test_deep_metadata_are_kept_as_they_are(serve: Callable[..., Any], method: str, deep: str) -> None:
    """They are read, and sent back with the next write."""
    server = serve(lambda _, connection: connection.answer(lease_json('{"holderIdentity":"you"}', deep)))
    lock = LeaseLock(server.client(), "default", "leader", "me")
    assert lock.get().holder_identity == "you"
    request(lock, method)
    lock.update(LeaderElectionRecord("me", 15))
    assert deep.encode() in server.requests[-1].body


@METHODS
@pytest.mark.parametrize(
    "answer", [endless, bomb, *[pytest.param(MALFORMED[name], id=name) for name in ("large", "many-lists")]]
)
def test_a_large_lease_is_an_error(serve: Callable[..., Any], method: str, answer: Any) -> None:
    """At most 64 KiB of a Lease are read."""
    answers: list[Any] = [good]

    def handle(_: Any, connection: Any) -> None:
        now = answers[-1]
        now(connection) if callable(now) else connection.answer(now)

    lock = LeaseLock(serve(handle).client(), "default", "leader", "me")
    lock.get()
    answers.append(answer)
    check_refused_within_memory(lambda: request(lock, method))


@METHODS
@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
def test_a_slow_answer_is_given_up(serve: Callable[..., Any], method: str, answer: Callable[[Any], None]) -> None:
    """The time-out holds for all of the headers and all of the body, however many bytes arrive in between."""
    server = serve(lambda _, connection: connection.answer(good) if len(server.requests) == 1 else answer(connection))
    lock = LeaseLock(server.client(), "default", "leader", "me")
    lock.get()
    begun = time.monotonic()
    with pytest.raises(ConnectionError):
        request(lock, method, timeout=0.4)
    assert time.monotonic() - begun < PROMPT


@METHODS
def test_a_redirect_is_not_followed(serve: Callable[..., Any], method: str) -> None:
    """The other host receives nothing."""
    other = serve(lambda _, connection: connection.answer(good))

    def answer(_: Any, connection: Any) -> None:
        if len(server.requests) == 1:
            connection.answer(good)
        else:
            connection.answer({}, 307, Location=other.url)

    server = serve(answer)
    lock = LeaseLock(server.client(api_key={"authorization": "Bearer t"}), "default", "leader", "me")
    lock.get()
    with pytest.raises(ApiError, match="redirected"):
        request(lock, method)
    assert other.connections == 0


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
def test_a_stop_ends_a_slow_request(
    serve: Callable[..., Any], elect: Callable[..., Elected], answer: Callable[[Any], None]
) -> None:
    """A stop ends the request at once, not at its time-out."""
    server = serve(lambda _, connection: answer(connection))
    elected = elect(server, lease_duration=60, renew_deadline=40)
    assert eventually(lambda: len(server.requests) >= 1)
    begun = time.monotonic()
    elected.cancel.set()
    assert elected.task.ends_within()
    assert time.monotonic() - begun < PROMPT

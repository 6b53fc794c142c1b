"""Events brought to a sink: tried again, or given up."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from random import Random
from typing import Any

import pytest
from kubernetes import client

from informer.rate_limited_log import LimitedLog
from informer.record import EventBroadcaster
from informer.record.delivery import MAX_TRIES, Delivery, Ending
from informer.record.sink_recording import core_pause, series_pause
from watch import ApiError
from watch.clock import SYSTEM_CLOCK

EVENT = {
    "metadata": {"name": "web.1", "namespace": "shop", "resourceVersion": "5"},
    "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web"},
    "reason": "Started",
    "count": 1,
}
TERMINATING = {"causes": [{"reason": "NamespaceTerminating", "message": "", "field": "metadata.namespace"}]}


class Half(Random):
    """Always in the middle."""

    def random(self) -> float:
        return 0.5


class Waits:
    """A clock on which no time passes, and which keeps what it was asked to wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def monotonic(self) -> float:
        return 0.0

    def wait(self, condition_or_event: Any, timeout: float | None) -> bool:
        assert isinstance(condition_or_event, threading.Event)
        assert timeout is not None
        self.seconds.append(timeout)
        return condition_or_event.is_set()


class Setup:
    """A delivery whose sink fails with one error a number of times."""

    def __init__(self, make_sink: Any, error: Exception | None, times: int = 1000) -> None:
        self.sink = make_sink()
        self.left = times
        self.error = error
        self.sink.fail = self._fail
        self.waits = Waits()
        self.ending = Ending()
        log = LimitedLog(logging.getLogger("informer.record.delivery"), burst=100)
        self.delivery = Delivery(self.sink, core_pause(10.0, Half()), self.waits, self.ending, log)

    def _fail(self, verb: str, event: dict[str, Any]) -> Exception | None:
        self.left -= 1
        return self.error if self.left >= 0 else None

    def tries(self) -> int:
        return len(self.sink.calls)


def refused(status: int, reason: str, **body: Any) -> client.ApiException:
    """What the official client raises."""
    error = client.ApiException(status=status, reason=reason)
    error.body = json.dumps({"kind": "Status", "code": status, "reason": reason, **body})
    return error


@pytest.mark.parametrize(
    ("error", "times", "tries"),
    [
        pytest.param(TypeError("cannot be sent"), 1000, 1, id="cannot-be-built"),
        pytest.param(ValueError("cannot be sent"), 1000, 1, id="wrong-value"),
        pytest.param(refused(403, "Forbidden"), 1000, 1, id="forbidden"),
        pytest.param(ApiError(0), 1000, 1, id="some-status"),
        pytest.param(refused(422, "Invalid"), 1000, 1, id="invalid"),
        pytest.param(refused(409, "Conflict"), 1000, 1, id="conflict"),
        pytest.param(refused(500, "InternalError"), 1000, 1, id="internal-error"),
        pytest.param(refused(409, "AlreadyExists"), 1000, 1, id="already-exists"),
        pytest.param(refused(403, "Forbidden", details=TERMINATING), 1000, 1, id="terminating"),
        pytest.param(ConnectionError("cut"), 1000, MAX_TRIES, id="cut"),
        pytest.param(RuntimeError("a weird error"), 1000, MAX_TRIES, id="unknown"),
        pytest.param(ApiError(429, "TooManyRequests", "", 1.0), 1000, MAX_TRIES, id="too-many"),
        pytest.param(ApiError(500, "InternalError", "", 1.0), 1000, MAX_TRIES, id="come-back"),
        pytest.param(refused(503, "ServiceUnavailable"), 1000, MAX_TRIES, id="unavailable"),
        pytest.param(client.ApiException(status=502, reason="Bad Gateway"), 1000, MAX_TRIES, id="balancer"),
        pytest.param(ApiError(403, "Forbidden", "", 1.0), 1000, 1, id="forbidden-for-now"),
        pytest.param(RuntimeError("a weird error"), 1, 2, id="unknown-once"),
        pytest.param(None, 0, 1, id="no-error"),
    ],
)
def test_how_often_an_event_is_tried(make_sink: Any, error: Exception | None, times: int, tries: int) -> None:
    """Go: TestWriteEventError. What is refused or cannot be sent is tried once, all else until it works or twelve times."""
    setup = Setup(make_sink, error, times)
    outcome = setup.delivery.deliver(EVENT, None)
    assert setup.tries() == tries
    assert outcome.is_over == (tries < MAX_TRIES)
    assert (outcome.answer is not None) == (times < 1000)


def test_the_waits_of_the_core_group(make_sink: Any) -> None:
    """client-go source. The first wait is a random part of the sleep, all others are the whole of it."""
    setup = Setup(make_sink, ConnectionError("cut"))
    setup.delivery.deliver(EVENT, None)
    assert setup.waits.seconds == [5.0] + [10.0] * (MAX_TRIES - 2)


def test_the_waits_of_series() -> None:
    """client-go source. Each wait is the sleep and up to a quarter of it."""
    pause = series_pause(10.0, Random(1))
    waits = [pause(tries) for tries in range(1, 100)]
    assert all(10 <= wait <= 12.5 for wait in waits)
    assert max(waits) - min(waits) > 1


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (1.0, 5.0), (80000.0, 60.0)])
def test_the_server_may_ask_for_more(make_sink: Any, asked: float, waited: float) -> None:
    """A Retry-After longer than the wait is waited for, a minute at most, since all later events wait too."""
    setup = Setup(make_sink, ApiError(429, "TooManyRequests", "", asked), 1)
    setup.delivery.deliver(EVENT, None)
    assert setup.waits.seconds == [waited]


def test_after_the_end_is_tried_once(make_sink: Any) -> None:
    """Go: TestCancelEvent. What was cancelled before is tried once, and not waited for."""
    setup = Setup(make_sink, ConnectionError("cut"))
    setup.ending.begin(time.monotonic() + 60)
    setup.delivery.deliver(EVENT, None)
    assert setup.tries() == 1


def test_long_after_the_end_nothing_is_tried(make_sink: Any, caplog: pytest.LogCaptureFixture) -> None:
    """When the time that an ending gives is over, what is left is lost, and told."""
    setup = Setup(make_sink, None)
    setup.ending.begin(time.monotonic())
    setup.ending.begin(time.monotonic() + 60)
    assert setup.delivery.deliver(EVENT, None).is_over is False
    assert setup.tries() == 0
    assert "the recording has ended" in caplog.text


def test_an_event_that_the_server_forgot(make_sink: Any) -> None:
    """Go: TestUpdateExpiredEvent. A patch of an event that is not there creates it, without a resourceVersion."""
    sink = make_sink()
    setup = Setup(lambda: sink, None)
    setup.delivery.deliver({**EVENT, "count": 2}, {"count": 2})
    (_, _, body), (verb, event, _) = sink.taken(2)
    assert (verb, event["count"], body) == ("create", 2, {"count": 2})
    assert "resourceVersion" not in event["metadata"]
    assert EVENT["metadata"]["resourceVersion"] == "5"  # type: ignore[index]


def test_a_sink_may_keep_what_it_is_given(make_sink: Any) -> None:
    """What a sink does to an event is not seen in the next try."""
    setup = Setup(make_sink, None)
    names = []

    def spoil(verb: str, event: dict[str, Any]) -> Exception | None:
        names.append(event["involvedObject"].pop("name"))
        return ConnectionError("cut") if len(names) < 3 else None

    setup.sink.fail = spoil
    setup.delivery.deliver(EVENT, None)
    assert names == ["web"] * 3


@pytest.mark.parametrize("reason", ["AlreadyExists", "Terminating"])
def test_what_nobody_can_mend_is_quiet(make_sink: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """client-go source. An event that is there already, or whose namespace goes away, is no error in the log."""
    caplog.set_level(logging.INFO)
    error = refused(409, reason) if reason == "AlreadyExists" else refused(403, "Forbidden", details=TERMINATING)
    Setup(make_sink, error).delivery.deliver(EVENT, None)
    assert not caplog.records


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused(403, "Forbidden", message="not in\nmy house"), "403 Forbidden: not in\\nmy house"),
        (ValueError("no such field"), "ValueError: no such field"),
        (ConnectionError("cut"), "retry limit exceeded: ConnectionError: cut"),
    ],
    ids=["refused", "wrong", "cut"],
)
def test_what_is_lost_is_told(make_sink: Any, error: Exception, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the event's reason, its object, and why it was not written, in a line."""
    Setup(make_sink, error).delivery.deliver(EVENT, None)
    told = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    (line,) = told
    assert line.startswith("an event 'Started' of Pod shop/web is not written: ")
    assert line.endswith(words)


def test_no_answer_is_quoted_but_its_message(make_sink: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the body nor the headers of a refusal get into the log."""
    caplog.set_level(logging.DEBUG)
    error = refused(403, "Forbidden", message="no", details={"token": "hunter2"}, data="hunter2")
    error.headers = {"Set-Cookie": "hunter2"}
    page = client.ApiException(status=502, reason="Bad Gateway")
    page.body = "<html>hunter2</html>"
    for each in (error, page):
        Setup(make_sink, each).delivery.deliver(EVENT, None)
    assert "Bad Gateway" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_answer_that_is_none(make_sink: Any) -> None:
    """A sink need not say what became of an event."""
    setup = Setup(make_sink, None)
    setup.sink.create = lambda event: None
    outcome = setup.delivery.deliver(EVENT, None)
    assert (outcome.is_over, outcome.answer) == (True, None)


@pytest.mark.parametrize("group", ["v1", "events.k8s.io/v1"])
def test_a_sink_that_would_end_its_thread(make_sink: Any, group: str) -> None:
    """A sink that raises SystemExit, however often, loses these events and no later one."""
    sink = make_sink(group)

    def leave(verb: str, event: dict[str, Any]) -> None:
        if event["reason"] == "Bad":
            raise SystemExit(1)

    sink.fail = leave
    with EventBroadcaster() as broadcaster:
        broadcaster.start_recording_to_sink(sink)
        recorder = broadcaster.new_recorder("c")
        for at in range(9):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{at}", "namespace": "n"}}
            recorder.event(pod, "Normal", "Bad" if at < 8 else "Good", "note")
            sink.taken(1)
    assert [event["reason"] for event in sink.stored.values()] == ["Good"]


def test_a_certificate_that_is_not_trusted_yet_is_tried_again(make_sink: Any) -> None:
    """The error of a sink's TLS is one of the connection, though Python calls it a ValueError too."""
    sink = make_sink()
    errors = [ssl.SSLCertVerificationError("not yet valid"), None]
    sink.fail = lambda verb, event: errors.pop(0)
    delivery = Delivery(sink, lambda tries: 0.0, SYSTEM_CLOCK, Ending(), LimitedLog(logging.getLogger("tests")))
    event = {"metadata": {"name": "a", "namespace": "n"}, "reason": "R"}
    assert delivery.deliver(event, None).answer is not None

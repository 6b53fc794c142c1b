"""Writing an event to a sink: retries, and when to give up."""

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

from informer.rate_limited_log import rate_limited
from informer.record import EventBroadcaster
from informer.record.delivery import MAX_TRIES, Delivery, Shutdown
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
    """A random number generator that always returns 0.5."""

    def random(self) -> float:
        return 0.5


class Waits:
    """A clock that stands still and records the requested waits."""

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
    """A delivery whose sink raises one error a number of times."""

    def __init__(self, make_sink: Any, error: Exception | None, times: int = 1000) -> None:
        self.sink = make_sink()
        self.left = times
        self.error = error
        self.sink.fail = self._fail
        self.waits = Waits()
        self.shutdown = Shutdown()
        log = rate_limited(logging.getLogger("informer.record.delivery"), burst=100)
        self.delivery = Delivery(self.sink, core_pause(10.0, Half()), self.waits, self.shutdown, log)

    def _fail(self, verb: str, event: dict[str, Any]) -> Exception | None:
        self.left -= 1
        return self.error if self.left >= 0 else None

    def tries(self) -> int:
        return len(self.sink.calls)


def refused(status: int, reason: str, **body: Any) -> client.ApiException:
    """Returns an exception as the official client raises it."""
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
def test_the_number_of_tries_depends_on_the_error(
    make_sink: Any, error: Exception | None, times: int, tries: int
) -> None:
    """Go: TestWriteEventError. Refused and invalid events are tried once, others up to twelve times."""
    setup = Setup(make_sink, error, times)
    outcome = setup.delivery.deliver(EVENT, None)
    assert setup.tries() == tries
    assert outcome.is_final == (tries < MAX_TRIES)
    assert (outcome.answer is not None) == (times < 1000)


def test_the_first_wait_of_the_core_group_is_random(make_sink: Any) -> None:
    """client-go source. The first wait is a random part of the sleep, later ones are the whole of it."""
    setup = Setup(make_sink, ConnectionError("cut"))
    setup.delivery.deliver(EVENT, None)
    assert setup.waits.seconds == [5.0] + [10.0] * (MAX_TRIES - 2)


def test_the_waits_of_series_have_jitter() -> None:
    """client-go source. Each wait is the sleep and up to a quarter of it."""
    pause = series_pause(10.0, Random(1))
    waits = [pause(tries) for tries in range(1, 100)]
    assert all(10 <= wait <= 12.5 for wait in waits)
    assert max(waits) - min(waits) > 1


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (1.0, 5.0), (80000.0, 60.0)])
def test_a_longer_retry_after_is_respected(make_sink: Any, asked: float, waited: float) -> None:
    """A Retry-After longer than the wait is waited for, but at most 60 s, since later events wait too."""
    setup = Setup(make_sink, ApiError(429, "TooManyRequests", "", asked), 1)
    setup.delivery.deliver(EVENT, None)
    assert setup.waits.seconds == [waited]


def test_after_a_shutdown_has_begun_an_event_is_tried_once(make_sink: Any) -> None:
    """Go: TestCancelEvent. It is not retried."""
    setup = Setup(make_sink, ConnectionError("cut"))
    setup.shutdown.begin(time.monotonic() + 60)
    setup.delivery.deliver(EVENT, None)
    assert setup.tries() == 1


def test_after_the_deadline_of_a_shutdown_no_event_is_tried(make_sink: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The event is logged as lost, and the first deadline counts."""
    setup = Setup(make_sink, None)
    setup.shutdown.begin(time.monotonic())
    setup.shutdown.begin(time.monotonic() + 60)
    assert setup.delivery.deliver(EVENT, None).is_final is False
    assert setup.tries() == 0
    assert "recording was stopped" in caplog.text


def test_patching_a_missing_event_creates_it(make_sink: Any) -> None:
    """Go: TestUpdateExpiredEvent. After a 404 the event is created, without a resourceVersion."""
    sink = make_sink()
    setup = Setup(lambda: sink, None)
    setup.delivery.deliver({**EVENT, "count": 2}, {"count": 2})
    (_, _, body), (verb, event, _) = sink.taken(2)
    assert (verb, event["count"], body) == ("create", 2, {"count": 2})
    assert "resourceVersion" not in event["metadata"]
    assert EVENT["metadata"]["resourceVersion"] == "5"  # type: ignore[index]


def test_a_sink_may_change_the_event(make_sink: Any) -> None:
    """A change that a sink makes to an event is not seen by the next try."""
    setup = Setup(make_sink, None)
    names = []

    def spoil(verb: str, event: dict[str, Any]) -> Exception | None:
        names.append(event["involvedObject"].pop("name"))
        return ConnectionError("cut") if len(names) < 3 else None

    setup.sink.fail = spoil
    setup.delivery.deliver(EVENT, None)
    assert names == ["web"] * 3


@pytest.mark.parametrize("reason", ["AlreadyExists", "Terminating"])
def test_expected_refusals_are_not_logged(make_sink: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """client-go source. An event that already exists, or whose namespace is being deleted, is not reported as an error."""
    caplog.set_level(logging.INFO)
    error = refused(409, reason) if reason == "AlreadyExists" else refused(403, "Forbidden", details=TERMINATING)
    Setup(make_sink, error).delivery.deliver(EVENT, None)
    assert not caplog.records


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (refused(403, "Forbidden", message="not in\nmy house"), "403 Forbidden: not in my house"),
        (ValueError("no such field"), "ValueError: no such field"),
        (ConnectionError("cut"), "retry limit exceeded: ConnectionError: cut"),
    ],
    ids=["refused", "wrong", "cut"],
)
def test_a_lost_event_is_logged(make_sink: Any, error: Exception, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log line has the event's reason, its object and the error, in one line."""
    Setup(make_sink, error).delivery.deliver(EVENT, None)
    (line,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert line.startswith("failed to write event 'Started' of Pod shop/web: ")
    assert line.endswith(text)


def test_the_log_quotes_only_the_message_of_an_answer(make_sink: Any, caplog: pytest.LogCaptureFixture) -> None:
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


def test_a_sink_may_return_none(make_sink: Any) -> None:
    """The event counts as written."""
    setup = Setup(make_sink, None)
    setup.sink.create = lambda event: None
    outcome = setup.delivery.deliver(EVENT, None)
    assert (outcome.is_final, outcome.answer) == (True, None)


@pytest.mark.parametrize("group", ["v1", "events.k8s.io/v1"])
def test_a_sink_that_raises_system_exit_loses_only_that_event(make_sink: Any, group: str) -> None:
    """Later events are written, however often a sink raises SystemExit."""
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


def test_an_untrusted_certificate_is_retried(make_sink: Any) -> None:
    """ssl.SSLCertVerificationError counts as a failed connection, although it is a ValueError."""
    sink = make_sink()
    errors = [ssl.SSLCertVerificationError("not yet valid"), None]
    sink.fail = lambda verb, event: errors.pop(0)
    delivery = Delivery(sink, lambda tries: 0.0, SYSTEM_CLOCK, Shutdown(), rate_limited(logging.getLogger("tests")))
    event = {"metadata": {"name": "a", "namespace": "n"}, "reason": "R"}
    assert delivery.deliver(event, None).answer is not None

"""What is kept of a server's errors, however large they are."""

from __future__ import annotations

import json
import logging
import tracemalloc
from typing import Any

import pytest

from watch import ApiError, FakeWatcher, JSONDecoder, ListOptions, RetryWatcher, StreamWatcher
from watch.errors import as_api_error, error_in
from watch.json_decoder import MAX_STATUS_BYTES
from watch.stream_watcher import report_error

MIB = 1024 * 1024
TEXT = "x" * (15 * MIB)
CAUSE = {"reason": "r" * 1000, "type": "t" * 1000, "message": "m" * 5000, "field": "f" * 1000, "other": [[]] * 10}
DETAILS = {
    "name": TEXT,
    "kind": "k" * 1000,
    "uid": ["u"],
    "group": {"g": 1},
    "retryAfterSeconds": 3,
    "causes": ["x", *[CAUSE] * 1000],
    "lists": [[]] * 100_000,
}
STATUS = {"kind": "Status", "code": 500, "reason": TEXT, "message": TEXT, "details": DETAILS}


class Refused(Exception):
    """An exception like the official client's ApiException."""

    def __init__(self, body: Any, reason: str = "") -> None:
        self.status, self.reason, self.body, self.headers = 500, reason, body, {}


class V1Status:
    """A model of the official client."""

    def __init__(self) -> None:
        self.code, self.reason, self.message, self.details = 500, TEXT, TEXT, None


class Body:
    """A response with this body."""

    def __init__(self, body: bytes) -> None:
        self._pieces = [body]

    def read1(self, size: int) -> bytes:
        return self._pieces.pop() if self._pieces else b""

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "make",
    [
        lambda: ApiError.from_status(STATUS),
        lambda: error_in(STATUS),
        lambda: error_in(V1Status()),
        lambda: as_api_error(Refused(json.dumps(STATUS))),
        lambda: as_api_error(Refused("", TEXT)),
        lambda: error_in(ApiError.from_status(STATUS).to_status()),
    ],
    ids=["status", "error-event", "model", "official", "http-reason", "twice"],
)
def test_an_error_is_small(make: Any) -> None:
    """The error keeps a kilobyte of the message and the known fields of the details, with at most sixteen causes."""
    error = make()
    assert error.status == 500
    assert len(error.message) <= 1024 + 3
    assert len(error.reason) <= 256 + 3
    assert len(json.dumps(error.to_status())) < 40_000
    assert len(repr(error)) < 2000
    if error.details and "causes" in error.details:
        assert set(error.details) <= {"name", "kind", "uid", "group", "retryAfterSeconds", "causes"}
        assert len(error.causes) <= 16
        assert all(set(cause) <= {"reason", "type", "message", "field"} for cause in error.causes)
        assert error.retry_after == 3


@pytest.mark.parametrize(
    "code", [10**400, 10**5000, -1, 2**31, True, 1.5, "500", None, []], ids=lambda code: str(type(code))
)
def test_only_a_status_code_is_a_status(code: Any) -> None:
    """Other values count as missing, and the error still has a text."""
    assert str(ApiError.from_status({"code": code}, http_status=410)) == "410"


@pytest.mark.parametrize("hostile", ["message", "details"])
def test_an_error_event_is_decoded_within_bounds(hostile: str) -> None:
    """Code, reason and the beginning of the message are read; five million empty lists are not made."""
    rest = b'"message":"%s"' % TEXT.encode() if hostile == "message" else b'"details":[' + b"[]," * (5 * MIB) + b"[]]"
    line = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired",%s}}\n' % rest
    assert len(line) > MAX_STATUS_BYTES
    tracemalloc.start()
    try:
        (event,) = JSONDecoder(Body(line)).decode_batch()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60 * MIB
    assert event.object["kind"] == "Status"
    assert len(json.dumps(event.object)) < 1000
    assert ApiError.from_status(event.object).is_expired


def test_a_reported_decode_error_is_small() -> None:
    """A decoder's exception may quote what the server sent."""

    class Failing:
        def decode(self) -> Any:
            raise ValueError(TEXT)

        def close(self) -> None:
            pass

    (event,) = list(StreamWatcher(Failing()))
    assert len(json.dumps(event.object)) < 3000
    assert len(json.dumps(report_error(ValueError(TEXT)))) < 3000


class Source:
    """Opens watches that fail in one way, the last one for good."""

    def __init__(self, which: str) -> None:
        self._which = which
        self._rounds = 0
        self._bodies = {code: json.dumps({**STATUS, "code": code, "details": None}) for code in (403, 500)}

    def watch(self, options: ListOptions) -> Any:
        self._rounds += 1
        is_last = self._rounds > 5
        if self._which == "refusal":
            raise Refused(self._bodies[403 if is_last else 500])
        watcher = FakeWatcher(None)
        if self._which == "type":
            watcher.action(TEXT, {})  # type: ignore[arg-type]
        else:
            watcher.error({**STATUS, "code": 410 if is_last else 500})
        return watcher


@pytest.mark.parametrize("which", ["refusal", "error-event", "type"])
def test_a_retry_watcher_logs_little(which: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log lines and the watcher's own last ERROR event are small."""
    caplog.set_level(logging.DEBUG)
    with RetryWatcher("1", Source(which), min_restart_delay=0.01, max_retry_after=0.01) as watcher:
        events = list(watcher)
    assert len(events) == 1
    if which != "error-event":
        assert len(json.dumps(events[0].object)) < 40_000
    assert sum(len(record.getMessage()) for record in caplog.records) < 32 * 1024

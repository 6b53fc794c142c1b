"""What errors of a hostile server cost: memory that is held, and bytes of the log."""

from __future__ import annotations

import json
import logging
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from informer import Backoff
from tests.support.waiting import DEADLINE, eventually
from watch import ApiError

MIB = 1024 * 1024
TEXT = "x" * (15 * MIB)
LISTS = [[]] * (5 * MIB)  # `[[],[],...`: fifteen megabytes of JSON, 300 MB when they are decoded

STATUS = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "code": 500,
    "reason": "InternalError",
}
HOSTILE = {
    "message": {"message": TEXT},
    "reason": {"reason": TEXT},
    "details": {"message": "m", "details": LISTS},
    "causes": {"message": "m", "details": {"causes": LISTS}},
    "named-details": {"message": "m", "details": {"name": TEXT}},
    "unknown-field": {"message": "m", "other": LISTS},
    "messages-of-causes": {"message": "m", "details": {"causes": [{"reason": "r", "message": "x" * 1000}] * 15_000}},
    "escapes": {"message": "\x1b[31m\n" * (2 * MIB)},
}


@pytest.fixture(scope="module", params=HOSTILE)
def status(request: pytest.FixtureRequest) -> bytes:
    """A Status of about fifteen megabytes, as JSON."""
    return json.dumps({**STATUS, **HOSTILE[request.param]}, separators=(",", ":")).encode()


def error_event(status: bytes) -> Callable[[Any], None]:
    def answer(connection: Any) -> None:
        connection.begin()
        connection.chunk(b'{"type":"ERROR","object":' + status + b"}\n")
        connection.end()

    return answer


def refusal(status: bytes) -> Callable[[Any], None]:
    return lambda connection: connection.answer(status, 500)


def script(say: Any, status: bytes, where: str, times: int) -> tuple[list[Any], list[Any]]:
    """The answers to lists and to watches, of which `times` are hostile."""
    if where == "list":
        return [*[refusal(status)] * times, say.listed("5", "a")], []
    make = refusal if where == "watch" else error_event
    return [say.listed("5", "a")], [make(status)] * times


WHERE = pytest.mark.parametrize("where", ["list", "watch", "error-event"])


@WHERE
def test_a_large_status_is_not_held(scripted: Any, follow: Any, say: Any, status: bytes, where: str) -> None:
    """The error keeps a few kilobytes of it, in its text and its attributes."""
    # Loads what every informer needs, before memory is measured.
    assert follow(scripted([say.listed("5", "a")], [])).informer.wait_for_sync(DEADLINE)
    server = scripted(*script(say, status, where, 1))
    tracemalloc.start()
    try:
        informer = follow(server, backoff=Backoff(60, 60)).informer
        assert eventually(lambda: isinstance(informer.sync_error(), ApiError))
        error = informer.sync_error()
        assert eventually(lambda: tracemalloc.get_traced_memory()[0] < 4 * MIB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The line itself is held a few times: as it was received, joined, cut out. The decoded lists would be 300 MB.
    assert peak < 150 * MIB
    assert isinstance(error, ApiError)
    assert len(str(error)) + len(repr(error)) < 8 * 1024
    assert len(json.dumps(error.to_status())) < 64 * 1024
    assert len(error.message) < 1200
    assert len(error.reason) < 300


@WHERE
def test_repeated_errors_fill_no_log(
    scripted: Any, follow: Any, say: Any, status: bytes, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Twelve errors of fifteen megabytes leave some kilobytes in the log."""
    caplog.set_level(logging.DEBUG)
    server = scripted(*script(say, status, where, 12))
    informer = follow(server).informer
    assert eventually(lambda: informer.has_synced() and len(server.lists) + len(server.watches) >= 13)
    assert eventually(lambda: informer.sync_error() is None)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith(("informer", "watch"))]
    assert sum(map(len, logged)) < 64 * 1024
    assert max(map(len, logged)) < 1500


def test_an_expired_version_is_known_in_a_large_status(scripted: Any, follow: Any, say: Any) -> None:
    """The informer relists, as after any 410."""
    status = json.dumps({**STATUS, "code": 410, "reason": "Expired", "details": LISTS}).encode()
    server = scripted([say.listed("5", "a"), say.listed("9", "b")], [error_event(status)])
    followed = follow(server)
    assert followed.reaches("9")
    assert followed.keys == ["b"]


def test_a_deep_status_is_an_error(scripted: Any, follow: Any, say: Any) -> None:
    """A Status that is too deep to decode is an error, with the server's code if it can be read."""
    deep = b'{"kind":"Status","code":410,"reason":"Expired","details":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    server = scripted([say.listed("5", "a"), say.listed("9", "b")], [error_event(deep), say.refused(410, "Expired")])
    followed = follow(server)
    assert followed.reaches("9")

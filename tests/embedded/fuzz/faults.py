"""The faults of the server that a machine's steps can ask for, by the names that a failure lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.testing import EmbeddedAPIServer

_ODD_STATUS = {"kind": "Status", "code": "none", "details": []}

# Each can be requested for a list, a watch or a watch list.
ANSWERS: dict[str, Callable[[Any, str], object]] = {
    "403": lambda faults, on: faults.answer(403, on=on),
    "404": lambda faults, on: faults.answer(404, on=on),
    "429": lambda faults, on: faults.too_many_requests(0, on=on),
    "500": lambda faults, on: faults.internal_error(on=on, times=2),
    "503": lambda faults, on: faults.service_unavailable(on=on),
    "504 by a proxy": lambda faults, on: faults.answer(504, body="<html>", on=on),
    "no list, no event": lambda faults, on: faults.answer(200, body="<html>welcome</html>", on=on),
    "410": lambda faults, on: faults.expired(on=on),
    "too large": lambda faults, on: faults.too_large_resource_version(on=on),
    "no answer": lambda faults, on: faults.hang(on=on),
    "hangs in the head": lambda faults, on: faults.hang(after_bytes=0, on=on),
    "hangs in the body": lambda faults, on: faults.hang(after_bytes=300, on=on),
    "dropped": lambda faults, on: faults.drop(on=on, times=2),
    "cut at once": lambda faults, on: faults.cut_after(0, on=on),
    "cut in an object": lambda faults, on: faults.cut_after(333, on=on),
    "cut in a later one": lambda faults, on: faults.cut_after(2000, on=on),
    "slow": lambda faults, on: faults.slow(100_000, on=on),
}
# These happen in a watch, or in the initial events of a watch list.
IN_STREAMS: dict[str, Callable[[Any, str], object]] = {
    "short": lambda faults, on: faults.short_watches(on=on, times=3),
    "frozen": lambda faults, on: faults.freeze(on=on),
    "half a line": lambda faults, on: faults.half_line(on=on),
    "garbage": lambda faults, on: faults.garbage_line(on=on),
    "blank": lambda faults, on: faults.blank_line(on=on),
    "unknown event": lambda faults, on: faults.unknown_event(on=on),
    "error 410": lambda faults, on: faults.error_event(410, on=on),
    "error 429": lambda faults, on: faults.error_event(429, retry_after=0, on=on),
    "error 500": lambda faults, on: faults.error_event(500, on=on),
    "odd error": lambda faults, on: faults.error_event(_ODD_STATUS, on=on),
    "no end bookmark": lambda faults, on: faults.no_end_bookmark(),
}
AT_ONCE: dict[str, Callable[[EmbeddedAPIServer], object]] = {
    "cut": lambda server: server.faults.cut_connections(),
    "reset": lambda server: server.faults.cut_connections(reset=True),
    "end watches": lambda server: server.faults.end_watches(),
    "refuse": lambda server: server.faults.refuse_connections(0.02),
    "restart": lambda server: server.restart(),
    "compact": lambda server: server.compact(),
    "compact and cut": lambda server: (server.compact(), server.faults.cut_connections()),
}

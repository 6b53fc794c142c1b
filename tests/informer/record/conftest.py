"""Shared by the tests of recording: a sink that behaves like an API server."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer.record import EventBroadcaster
from watch import ApiError, Channel
from watch.concurrency import Lock


class FakeSink:
    """Stores events as a server does: a name can be created once, and only a stored event can be patched.

    `fail` is called with each verb and event; an exception that it returns is raised instead.
    """

    def __init__(self, api_version: str = "v1") -> None:
        self.api_version = api_version
        self.fail: Callable[[str, dict[str, Any]], Exception | None] = lambda verb, event: None
        self.stored: dict[str, dict[str, Any]] = {}
        self.calls: Channel[tuple[str, dict[str, Any], Any]] = Channel(None)
        self._lock = Lock()

    def create(self, event: dict[str, Any]) -> dict[str, Any]:
        return self._call("create", event, None)

    def patch(self, event: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        return self._call("patch", event, body)

    def _call(self, verb: str, event: dict[str, Any], body: Any) -> dict[str, Any]:
        self.calls.put((verb, copy.deepcopy(event), copy.deepcopy(body)))
        error = self.fail(verb, event)
        if error is not None:
            raise error
        name = event["metadata"]["name"]
        with self._lock:
            if verb == "create":
                if name in self.stored:
                    raise ApiError(409, "AlreadyExists", f'events "{name}" already exists')
                event = {**event, "metadata": {**event["metadata"], "resourceVersion": "7"}}
            elif name not in self.stored:
                raise ApiError(404, "NotFound", f'events "{name}" not found')
            else:
                event = {**self.stored[name], **body}
            self.stored[name] = event
        return copy.deepcopy(event)

    def taken(self, count: int) -> list[tuple[str, dict[str, Any], Any]]:
        """Returns the next calls; fails if they do not come within 10 s."""
        return [self.calls.get(timeout=10) for _ in range(count)]


@pytest.fixture
def make_sink() -> Callable[..., Any]:
    """Makes sinks, of the core group by default."""
    return FakeSink


@pytest.fixture
def broadcaster() -> Iterator[EventBroadcaster]:
    """A broadcaster that is shut down after the test."""
    with EventBroadcaster() as made:
        yield made

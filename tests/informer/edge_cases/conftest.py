"""For tests of real servers' behaviour: a server that follows a script over real HTTP, and an informer of it."""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from informer import Backoff, Change, ListWatch, SharedInformer
from tests.support.objects import stored_pod
from tests.support.waiting import DEADLINE
from watch.concurrency import Monitor

QUICK = Backoff(initial=0.005, maximum=0.01)


def line(kind: str, obj: Any) -> dict[str, Any]:
    return {"type": kind, "object": obj}


def added(name: str, version: str | None) -> dict[str, Any]:
    return line("ADDED", stored_pod(name, version))


def bookmark(version: str) -> dict[str, Any]:
    return line("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version}})


def status(code: int, reason: str, message: str = "", **details: Any) -> dict[str, Any]:
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message}
    return {**body, "details": details} if details else body


Answer = Callable[[Any], None]


def listed(version: str, *names: str, **metadata: Any) -> Answer:
    body = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version, **metadata}}
    return lambda connection: connection.answer({**body, "items": [stored_pod(name, version) for name in names]})


def refused(code: int, reason: str, message: str = "", headers: dict[str, str] | None = None, **details: Any) -> Answer:
    return lambda connection: connection.answer(status(code, reason, message, **details), code, **(headers or {}))


def watched(*chunks: Any, then: str = "end") -> Answer:
    """A watch that sends these chunks and then ends properly, hangs, is cut or is reset."""

    def answer(connection: Any) -> None:
        connection.begin()
        connection.chunk(*chunks)
        if then == "end":
            connection.end()
        elif then == "hang":
            connection.hang()
        elif then == "reset":
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sock.close()
            connection.cut()
        else:
            connection.cut()

    return answer


HANG = watched(then="hang")


class Server:
    """Answers lists and watches as a script says. After its end it repeats the last list, and watches hang."""

    def __init__(self, serve: Any, lists: list[Answer], watches: list[Answer], **options: Any) -> None:
        self._lists, self._watches = deque(lists), deque(watches)
        self._last = lists[-1]
        self.monitor = Monitor()
        self.lists: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self.times: list[float] = []
        self.http = serve(self._handle, **options)

    def _handle(self, request: Any, connection: Any) -> None:
        with self.monitor:
            self.times.append(time.monotonic())
            if "watch" in request.query:
                self.watches.append(request.query)
                answer = self._watches.popleft() if self._watches else HANG
            else:
                self.lists.append(request.query)
                answer = self._lists.popleft() if self._lists else self._last
            self.monitor.notify_all()
        answer(connection)

    def wait_for(self, *, lists: int = 0, watches: int = 0) -> bool:
        with self.monitor:
            return self.monitor.wait_for(lambda: len(self.lists) >= lists and len(self.watches) >= watches, DEADLINE)

    @property
    def list_versions(self) -> list[str]:
        return [query.get("resourceVersion", "") for query in self.lists]

    @property
    def watch_versions(self) -> list[str]:
        return [query.get("resourceVersion", "") for query in self.watches]


class Followed:
    """An informer, and the changes that it has delivered."""

    def __init__(self, server: Server, settings: dict[str, Any], **options: Any) -> None:
        self.changes: list[Change[Any]] = []
        self._monitor = Monitor()
        options = {"watch_list": False, "backoff": QUICK, "random": Random(1), "name": "pods", **options}
        self.informer: SharedInformer[Any] = SharedInformer(
            ListWatch.for_resource(server.http.client(**settings), "pods"), **options
        )
        self.informer.add_event_handler(on_batch=self._take)
        self.informer.start()

    def _take(self, changes: list[Change[Any]]) -> None:
        with self._monitor:
            self.changes += changes
            self._monitor.notify_all()

    def reaches(self, version: str) -> bool:
        return self.informer.wait_for_resource_version(version, DEADLINE)

    def delivers(self, count: int) -> bool:
        """Whether at least `count` changes are delivered within the deadline."""
        with self._monitor:
            return self._monitor.wait_for(lambda: len(self.changes) >= count, DEADLINE)

    @property
    def delivered(self) -> list[tuple[str, str]]:
        return [(str(change.type), change.object.name) for change in self.changes]

    @property
    def keys(self) -> list[str]:
        return sorted(key.partition("/")[2] for key in self.informer.store.list_keys())


@pytest.fixture
def follow() -> Iterator[Callable[..., Followed]]:
    """Starts informers, and stops them at the end of the test."""
    made: list[Followed] = []

    def start(server: Server, **options: Any) -> Followed:
        made.append(Followed(server, options.pop("settings", {}), **options))
        return made[-1]

    yield start
    assert all(each.informer.stop(DEADLINE) for each in made)


@pytest.fixture
def scripted(serve: Any) -> Callable[..., Server]:
    """Starts a server that follows a script of lists and watches."""
    return lambda lists, watches, **options: Server(serve, lists, watches, **options)


@pytest.fixture
def say() -> Any:
    """The parts of scripts: objects and events in API form, and answers."""
    return SimpleNamespace(
        pod=stored_pod,
        line=line,
        added=added,
        bookmark=bookmark,
        status=status,
        listed=listed,
        refused=refused,
        watched=watched,
        HANG=HANG,
        backoff=QUICK,
    )

"""For tests of what lists and watches: a list-watch that follows a script, a clock that never waits, raw HTTP servers."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from informer import ObjectList
from watch import Event, ListOptions, WatchClosedError
from watch.concurrency import Lock, Monitor, Worker
from watch.watcher import WatcherBase

DEADLINE = 10.0


# A list-watch that follows a script


class ScriptedWatcher(WatcherBase):
    """Gives batches of events as they were written down, then ends, or (`hang`) stays silent until it is stopped."""

    def __init__(self, *batches: list[Event[Any]], hang: bool = False, error: Exception | None = None) -> None:
        self._batches = deque(batches)
        self._hang = hang
        self._error = error
        self.stops = 0
        self.pulls = 0
        self.stopped = threading.Event()

    def next_batch(self, timeout: float | None = None) -> list[Event[Any]]:
        self.pulls += 1
        if self.stopped.is_set():
            raise WatchClosedError("stopped")
        if self._batches:
            batch = self._batches.popleft()
            return batch() if callable(batch) else batch
        if self._error is not None:
            raise self._error
        if self._hang and not self.stopped.wait(timeout):
            raise TimeoutError("silent")
        raise WatchClosedError("the end")

    def stop(self) -> None:
        self.stops += 1
        self.stopped.set()


class ScriptedSource:
    """Answers lists and watch calls in the order written down, and sets `over` when it is asked for more.

    Lists and watch lists then fail, and a watch is expired (so that a round ends), or with `hang` silent until it is stopped.

    A list's answer is an `ObjectList` or an exception, a watch call's a list of events (then the watch ends), a watcher,
    None or an exception; a function of the options may give any of these.
    """

    def __init__(
        self, lists: Any = (), watches: Any = (), *, supports_watch_list: bool = False, hang: bool = False
    ) -> None:
        self.supports_watch_list = supports_watch_list
        self._hang = hang
        self.over = threading.Event()
        self.calls: list[tuple[str, ListOptions]] = []
        self.watchers: list[Any] = []
        self._lists, self._watches = deque(lists), deque(watches)
        self._called = Monitor()

    def list(self, options: ListOptions) -> Any:
        self._note("list", options)
        return self._next(self._lists, options)

    def watch(self, options: ListOptions) -> Any:
        self._note("watch", options)
        answer = self._next(self._watches, options)
        if isinstance(answer, list):
            answer = ScriptedWatcher(answer) if answer else ScriptedWatcher()
        self.watchers.append(answer)
        return answer

    @property
    def list_calls(self) -> list[ListOptions]:
        return [options for verb, options in self.calls if verb == "list"]

    @property
    def watch_calls(self) -> list[ListOptions]:
        return [options for verb, options in self.calls if verb == "watch"]

    @property
    def list_versions(self) -> list[str]:
        return [options.resource_version for options in self.list_calls]

    def wait_for_calls(self, count: int, verb: str = "") -> bool:
        """Whether there are so many calls within the deadline."""
        with self._called:
            return self._called.wait_for(lambda: sum(verb in each for each, _ in self.calls) >= count, DEADLINE)

    def _note(self, verb: str, options: ListOptions) -> None:
        with self._called:
            self.calls.append((verb, options))
            self._called.notify_all()

    def _next(self, script: deque[Any], options: ListOptions) -> Any:
        if not script:
            self.over.set()
            if script is self._watches and not options.send_initial_events:
                expired = Event("ERROR", {"code": 410, "reason": "Expired"})
                return ScriptedWatcher(hang=True) if self._hang else ScriptedWatcher([expired])
            raise AssertionError("the script is over")
        answer = script.popleft()
        if callable(answer):
            answer = answer(options)
        if isinstance(answer, Exception):
            raise answer
        return answer


def pod(name: str, version: str | None = None, **fields: Any) -> dict[str, Any]:
    """A pod in API form."""
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
    if version is not None:
        metadata["resourceVersion"] = version
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **fields}


def bookmark(version: str, *, end: str | None = None) -> Event[Any]:
    """A bookmark; `end` is what its annotation of the end of initial events says."""
    metadata: dict[str, Any] = {"resourceVersion": version}
    if end is not None:
        metadata["annotations"] = {"k8s.io/initial-events-end": end}
    return Event("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": metadata})


@pytest.fixture
def script() -> Any:
    """What scripts are written with."""
    return SimpleNamespace(
        source=ScriptedSource,
        watcher=ScriptedWatcher,
        pod=pod,
        bookmark=bookmark,
        added=lambda name, version=None: Event("ADDED", pod(name, version)),
        modified=lambda name, version=None: Event("MODIFIED", pod(name, version)),
        deleted=lambda name, version=None: Event("DELETED", pod(name, version)),
        pods=lambda version, *names, continue_=None: ObjectList([pod(n, version) for n in names], version, continue_),
    )


class AutoClock:
    """A clock on which every wait passes at once and takes as long as it says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, condition_or_event: Any, timeout: float | None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.now += timeout
        return isinstance(condition_or_event, threading.Event) and condition_or_event.is_set()


@pytest.fixture
def auto_clock() -> AutoClock:
    """A clock on which every wait passes at once."""
    return AutoClock()


# Raw HTTP servers


@dataclass
class Request:
    """What a client asked."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    method: str = "GET"
    target: str = ""
    body: bytes = b""


@dataclass
class Connection:
    """The server's end of a connection, while one request is answered."""

    sock: socket.socket
    keep: bool = True
    served: int = 0

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, body: Any = b"", status: int = 200, **headers: str) -> None:
        """A whole answer; a dict is sent as JSON, and `Retry_After="1"` as a header."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Content-Length": str(len(raw)), "Content-Type": "application/json"}
        named |= {key.replace("_", "-"): value for key, value in headers.items()}
        head = "".join(f"{key}: {value}\r\n" for key, value in named.items())
        self.send(f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode() + raw)

    def begin(self, **headers: str) -> None:
        """The head of a chunked answer."""
        named = {"Transfer-Encoding": "chunked", **{key.replace("_", "-"): value for key, value in headers.items()}}
        self.send(("HTTP/1.1 200 OK\r\n" + "".join(f"{k}: {v}\r\n" for k, v in named.items()) + "\r\n").encode())

    def chunk(self, *bodies: Any) -> None:
        """Chunks; a dict is sent as a line of JSON."""
        for body in bodies:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode() + b"\n"
            self.send(b"%x\r\n%s\r\n" % (len(raw), raw))

    def end(self) -> None:
        """The end of a chunked answer."""
        self.send(b"0\r\n\r\n")

    def hang(self) -> None:
        """Says nothing until the client, or the test, has closed the connection."""
        self.keep = False
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass

    def cut(self) -> None:
        """Closes the connection behind what was sent."""
        self.keep = False


Handler = Callable[[Request, Connection], None]


@dataclass
class HTTPServer:
    """Gives each request to a function, on a thread for each connection."""

    handler: Handler
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self._lock = Lock()
        self._open: list[socket.socket] = []
        self.errors: list[BaseException] = []
        self._workers = [Worker(self._accept, "http-server").start()]

    def client(self, **settings: Any) -> Any:
        """An official `ApiClient` for it."""
        from kubernetes import client

        configuration = client.Configuration(host=self.url)
        for name, value in settings.items():
            setattr(configuration, name, value)
        return client.ApiClient(configuration)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for worker in self._workers:
            assert worker.join(DEADLINE)
        assert not self.errors, self.errors

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.append(sock)
            self._workers.append(Worker(lambda sock=sock: self._serve(sock), "http-connection").start())

    def _serve(self, plain: socket.socket) -> None:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = plain
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(plain, server_side=True)
                with self._lock:
                    self._open.append(sock)
            connection = Connection(sock)
            while connection.keep and (request := self._read(sock)) is not None:
                self.requests.append(request)
                self.handler(request, connection)
                connection.served += 1
        except OSError:
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            for each in {sock, plain}:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)
                each.close()

    @staticmethod
    def _read(sock: socket.socket) -> Request | None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                return None
            head += data
        head, _, body = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, whole, _ = first.split(" ")
        target = urllib.parse.urlsplit(whole)
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        while len(body) < int(headers.get("content-length", 0)):
            body += sock.recv(65536)
        return Request(target.path, dict(urllib.parse.parse_qsl(target.query)), headers, method, whole, body)


@pytest.fixture
def serve() -> Iterator[Callable[..., HTTPServer]]:
    """Starts a server whose every byte a function decides."""
    servers: list[HTTPServer] = []

    def start(handler: Handler, *, tls: ssl.SSLContext | None = None) -> HTTPServer:
        servers.append(HTTPServer(handler, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()

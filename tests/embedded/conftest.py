"""An embedded API server, and plain HTTP requests to it: any request a client could send, and watches read line by line."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from informer.testing import EmbeddedAPIServer
from tests.support.waiting import DEADLINE


class Answer:
    """A complete response."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.json["items"] or []]


class Stream:
    """A watch's response, read event by event."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self.connection = connection
        self.response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def line(self) -> bytes:
        """Returns the next line, or b"" at the end."""
        return self.response.readline()

    def event(self) -> tuple[str, Any]:
        """Returns the type and object of the next event; fails at the end of the stream."""
        line = self.line()
        assert line, "the stream has ended"
        event = json.loads(line)
        return event["type"], event["object"]

    def events(self, count: int) -> list[tuple[str, str]]:
        """Returns the types and names of the next `count` events."""
        return [(type, obj["metadata"].get("name", "")) for type, obj in (self.event() for _ in range(count))]

    def rest(self) -> list[tuple[str, Any]]:
        """Returns all events up to the end."""
        return [(e["type"], e["object"]) for e in map(json.loads, iter(self.line, b""))]

    def close(self) -> None:
        self.response.close()
        self.connection.close()


class Client:
    """Sends plain HTTP requests to one server."""

    def __init__(self, server: EmbeddedAPIServer, token: str | None = None) -> None:
        self.server = server
        self.token = token
        self._open = ExitStack()

    def __call__(self, method: str, path: str, body: Any = None, /, content_type: str = "", **headers: str) -> Answer:
        connection = self._connect()
        try:
            return Answer(self._send(connection, method, path, body, content_type, headers))
        finally:
            connection.close()

    def watch(self, path: str, /, **headers: str) -> Stream:
        connection = self._connect()
        self._open.callback(connection.close)
        separator = "&" if "?" in path else "?"
        stream = Stream(connection, self._send(connection, "GET", f"{path}{separator}watch=1", None, "", headers))
        self._open.callback(stream.close)
        return stream

    def watched(self, path: str, /) -> list[tuple[str, Any]]:
        """Returns all events of a watch that the server ends as soon as it has sent its current state."""
        stream = self.watch(path)
        assert self.server.faults.end_watches()
        return stream.rest()

    def close(self) -> None:
        self._open.close()

    def _connect(self) -> http.client.HTTPConnection:
        url = urlsplit(self.server.url)
        if url.scheme == "http":
            return http.client.HTTPConnection(url.hostname or "", url.port, timeout=DEADLINE)
        certificate = self.server.ca_certificate
        assert certificate is not None
        context = ssl.create_default_context(cadata=certificate.decode())
        return http.client.HTTPSConnection(url.hostname or "", url.port, timeout=DEADLINE, context=context)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Any,
        content_type: str,
        headers: dict[str, str],
    ) -> http.client.HTTPResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = content_type or "application/json"
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        connection.request(method, path.replace(" ", "%20"), body, sent)
        return connection.getresponse()


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    """A running server."""
    with EmbeddedAPIServer() as server:
        yield server


@pytest.fixture
def call(server: EmbeddedAPIServer) -> Iterator[Client]:
    """Sends a request to `server` and returns the answer; `call.watch` returns a stream."""
    client = Client(server)
    yield client
    client.close()


@pytest.fixture
def client_of() -> Iterator[Callable[..., Client]]:
    """Returns a function that makes a client like `call` for another server."""
    with ExitStack() as stack:

        def make(server: EmbeddedAPIServer, token: str | None = None) -> Client:
            client = Client(server, token)
            stack.callback(client.close)
            return client

        yield make

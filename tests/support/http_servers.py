"""HTTP servers for tests that decide every byte of an answer: one calls a function, one gives the test the connection.

For an answer that a Kubernetes API server could give, use `informer.testing.EmbeddedAPIServer`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.support.waiting import DEADLINE
from watch import Channel
from watch.concurrency import Latch, Lock, Worker

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def compact(body: Any) -> bytes:
    """Returns JSON without spaces, as a real server writes it."""
    return json.dumps(body, separators=(",", ":")).encode()


@dataclass
class Request:
    """A request as the server read it; the names of its headers are in lower case.

    Attributes:
        headers: the last value of each header.
        all_headers: names and values in their order; a name can come more than once.
    """

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    method: str = "GET"
    target: str = ""
    body: bytes = b""
    all_headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Connection:
    """The server's end of a connection while it answers one request.

    Attributes:
        keep: whether the server reads another request from it after this answer.
        served: how many requests it has answered on this connection.
    """

    sock: socket.socket
    keep: bool = True
    served: int = 0

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, body: Any = b"", status: int = 200, **headers: str) -> None:
        """Sends a whole answer. A dict is sent as JSON; `Retry_After="1"` becomes the header `Retry-After`."""
        raw = body if isinstance(body, bytes) else compact(body)
        named = {"Content-Length": str(len(raw)), "Content-Type": "application/json"}
        named |= {key.replace("_", "-"): value for key, value in headers.items()}
        head = "".join(f"{key}: {value}\r\n" for key, value in named.items())
        self.send(f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode() + raw)

    def begin(self, **headers: str) -> None:
        """Sends the head of a chunked answer."""
        named = {"Transfer-Encoding": "chunked", **{key.replace("_", "-"): value for key, value in headers.items()}}
        self.send(("HTTP/1.1 200 OK\r\n" + "".join(f"{k}: {v}\r\n" for k, v in named.items()) + "\r\n").encode())

    def chunk(self, *bodies: Any) -> None:
        """Sends one chunk per body; a dict is sent as a line of JSON."""
        for body in bodies:
            raw = body if isinstance(body, bytes) else compact(body) + b"\n"
            self.send(b"%x\r\n%s\r\n" % (len(raw), raw))

    def end(self) -> None:
        """Sends the end of a chunked answer."""
        self.send(b"0\r\n\r\n")

    def hang(self) -> None:
        """Sends nothing until the client or the test has closed the connection."""
        self.keep = False
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass

    def cut(self) -> None:
        """Closes the connection when the answering function returns; what was sent still arrives."""
        self.keep = False


Handler = Callable[[Request, Connection], None]


@dataclass
class HTTPServer:
    """Answers each request by calling a function, on one thread per connection.

    Args:
        handler: writes the answer to the connection. What it raises fails `close`, except for OSError.
        tls: serves HTTPS with this context; None serves plain HTTP.
    """

    handler: Handler
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self._lock = Lock()
        self._open: list[socket.socket] = []
        self.errors: list[BaseException] = []
        self._workers = [Worker(self._accept, "http-server").start()]

    def client(self, **settings: Any) -> Any:
        """Returns an official `ApiClient` for this server; `settings` are attributes of its `Configuration`."""
        from kubernetes import client

        configuration = client.Configuration(host=self.url)
        for name, value in settings.items():
            setattr(configuration, name, value)
        return client.ApiClient(configuration)

    def close(self) -> None:
        """Closes all connections, and fails if a thread does not end or the handler has raised."""
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
            self._workers.append(Worker(partial(self._serve, sock), "http-connection").start())

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
        all_headers = [(k.strip().lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines if line)]
        headers = dict(all_headers)
        while len(body) < int(headers.get("content-length", 0)):
            body += sock.recv(65536)
        return Request(
            target.path, dict(urllib.parse.parse_qsl(target.query)), headers, method, whole, body, all_headers
        )


class Peer:
    """The server's end of one request, in the hands of the test: the head is sent, the test sends the body."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.finished = Latch()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def chunk(self, *bodies: bytes) -> None:
        self.send(b"".join(b"%x\r\n%s\r\n" % (len(body), body) for body in bodies))

    def finish(self) -> None:
        """Ends a chunked body; the connection can then serve another request."""
        self.send(b"0\r\n\r\n")
        self.finished.open()

    def hang_up(self) -> None:
        """Closes the connection as the system does for a server that dies: what was sent still arrives."""
        if isinstance(self.sock, ssl.SSLSocket):
            # Detached, so that TLS does not send its own goodbye first.
            self.sock = socket.socket(fileno=self.sock.detach())
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.finished.open()

    def reset(self) -> None:
        """Closes the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock = socket.socket(fileno=self.sock.detach())
        self.sock.close()
        self.finished.open()

    def client_has_gone(self) -> bool:
        """Waits for the client to close its end; returns False if it has not done so within the deadline."""
        self.sock.settimeout(DEADLINE)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


class StreamServer:
    """Answers each request with a head, and hands the connection to the test for the body."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._head = CHUNKED
        self._peers: Channel[Peer] = Channel(None)
        self._lock = Lock()
        self._open: list[Peer] = []  # guarded by _lock
        self._server = HTTPServer(self._serve, tls)
        self.port = self._server.port

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self._server.connections

    def answer(self, pool: Any, head: bytes = CHUNKED) -> tuple[Any, Peer]:
        """Sends a request through a pool; returns the response with its body unread, and the server's end."""
        self._head = head
        response = pool.request("GET", "/watch", preload_content=False, retries=False)
        return response, self._peers.get(timeout=DEADLINE)

    def close(self) -> None:
        with self._lock:
            peers = list(self._open)
        for peer in peers:
            peer.hang_up()
        self._server.close()

    def _serve(self, request: Request, connection: Connection) -> None:
        peer = Peer(connection.sock)
        with self._lock:
            self._open.append(peer)
        connection.send(self._head)
        self._peers.put(peer)
        peer.finished.wait()
        with self._lock:
            self._open.remove(peer)
        connection.keep = peer.sock is connection.sock

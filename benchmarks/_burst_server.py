"""A server of pre-rendered pods, in a process of its own: it plays kube-apiserver for `wire.py`, `memory.py` and `lookup.py`.

    python benchmarks/_burst_server.py --pods 10000 --events 50000     # prints its URL

It answers lists, whole or in pages, and streaming lists; compressed, slowly or in protobuf. After a request for /start,
every watch gets the same updates: one event per write, as fast as the client reads. With `--every` it sends one event per
interval, with the time of sending in the annotation example.com/note. After a request for /expire, waiting watches end with
a 410, so that clients relist.
"""

from __future__ import annotations

import argparse
import gzip
import json
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from _pods import TYPE, list_body, pod

from informer.protobuf.kinds import kind_named, metadata_kind
from informer.testing.http.certificates import make_certificates
from informer.testing.storage.protobuf_encoding import encode_envelope, encode_list, encode_message, encode_watch_event
from informer.testing.storage.protobuf_representations import encode_document

VERSION = 1_000_000
PAGE = 500
MARK = b'"example.com/note":"' + b"x" * 19
PIECE = 16 * 1024


METADATA_TYPE = b'"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",'
EXPIRED = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
BOOKMARK = {"resourceVersion": str(VERSION), "annotations": {"k8s.io/initial-events-end": "true"}}
# Pods whose numbers differ by this have values of the same lengths.
_CYCLE = 2800
# More pods than this are rendered when they are sent, so that the server does not take as much memory as the client.
MOST_RENDERED = 200_000


class Json:
    """Answers in JSON."""

    media_type = b"application/json"

    def __init__(self, *, metadata_only: bool) -> None:
        self._type = METADATA_TYPE if metadata_only else TYPE
        self.item = _metadata_of if metadata_only else bytes

    def render(self, number: int) -> bytes:
        """Returns a list item."""
        return self.item(pod(number, VERSION))

    def page(self, items: list[bytes], continue_: str) -> bytes:
        """Returns a page of the list."""
        return list_body(items, VERSION, continue_)

    def event(self, kind: bytes, item: bytes) -> bytes:
        """Returns the line of a watch event."""
        return b'{"type":"%b","object":{%b%b}\n' % (kind, self._type, item[1:])

    def bookmark(self) -> bytes:
        """Returns the end of the initial events."""
        return (
            json.dumps(
                {"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": BOOKMARK}}
            ).encode()
            + b"\n"
        )

    def expired(self) -> bytes:
        """Returns the event of a 410."""
        return json.dumps({"type": "ERROR", "object": EXPIRED}).encode() + b"\n"


class Protobuf:
    """Answers in protobuf."""

    media_type = b"application/vnd.kubernetes.protobuf"

    def __init__(self, *, metadata_only: bool) -> None:
        self._cut = _metadata_of if metadata_only else bytes
        self._rendered: dict[int, bytes] = {}
        self._kind = (
            metadata_kind("meta.k8s.io/v1", "PartialObjectMetadata") if metadata_only else kind_named("v1", "Pod")
        )

    def item(self, item: bytes) -> bytes:
        """Returns the message of an object."""
        return encode_message(json.loads(self._cut(item)), self._kind.message)

    def render(self, number: int) -> bytes:
        """Returns a list item: a copy of another one of the same length, with its own name, uid and owner."""
        base = _CYCLE * 1_000_000 + number % _CYCLE
        if base not in self._rendered:
            self._rendered[base] = self.item(pod(base, VERSION))
        message = self._rendered[base].replace(b"%08x" % base, b"%08x" % number)
        return message.replace(_owner(base), _owner(number))

    def page(self, items: list[bytes], continue_: str) -> bytes:
        """Returns a page of the list."""
        metadata = {"resourceVersion": str(VERSION), **({"continue": continue_} if continue_ else {})}
        return encode_envelope(self._kind.api_version, f"{self._kind.kind}List", encode_list(metadata, items))

    def event(self, kind: bytes, item: bytes) -> bytes:
        """Returns a watch event, after its length."""
        return encode_watch_event(kind.decode(), encode_envelope(self._kind.api_version, self._kind.kind, item))

    def bookmark(self) -> bytes:
        """Returns the end of the initial events."""
        return self.event(b"BOOKMARK", encode_message({"metadata": BOOKMARK}, self._kind.message))

    def expired(self) -> bytes:
        """Returns the event of a 410."""
        return encode_watch_event("ERROR", encode_document(EXPIRED))


class Items:
    """The pods, each rendered when it is read.

    Args:
        count: the number of pods.
        form: the format of each.
    """

    def __init__(self, count: int, form: Json | Protobuf) -> None:
        # A server lists in the order of the keys in etcd.
        self._numbers = sorted(
            range(count), key=lambda number: (f"ns-{number % 20}", f"app-{number % 400}-{number:08x}")
        )
        self._form = form

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, part: slice) -> list[bytes]:
        return [self._form.render(number) for number in self._numbers[part]]

    def __iter__(self) -> Iterator[bytes]:
        return map(self._form.render, self._numbers)


class Burst:
    """All that the server sends.

    Args:
        pods: the number of pods.
        events: the number of updates.
        form: the format.
    """

    def __init__(self, pods: int, events: int, form: Json | Protobuf) -> None:
        self.form = form
        items = Items(pods, form)
        self.items = items if pods > MOST_RENDERED else list(items)
        changes = (form.item(pod(number % pods, VERSION + 1 + number, number)) for number in range(events))
        self.changes = [form.event(b"MODIFIED", item) for item in changes]
        self.bookmark = form.bookmark()
        self.expired = form.expired()
        self.watching = 0  # how many watches have waited for changes so far
        self._changed = threading.Condition()
        self._started = False  # guarded by _changed, as is the next
        self._expiries = 0

    def page(self, at: int, size: int) -> bytes:
        """Returns a page of the list. Its continue token is the position of the next page."""
        end = at + size if size and at + size < len(self.items) else None
        return self.form.page(self.items[at:end], "" if end is None else str(end))

    def start(self) -> None:
        """Makes every watch send the updates."""
        with self._changed:
            self._started = True
            self._changed.notify_all()

    def expire(self) -> None:
        """Ends the waiting watches."""
        with self._changed:
            self._expiries += 1
            self._changed.notify_all()

    def wait(self) -> bool:
        """Waits until the updates start (returns True) or the watch has to end (returns False)."""
        with self._changed:
            expiries = self._expiries
            self.watching += 1
            self._changed.wait_for(lambda: self._started or self._expiries > expiries)
            return self._started


def _metadata_of(item: bytes) -> bytes:
    return item[: item.index(b',"spec":')] + b"}"


def _owner(number: int) -> bytes:
    return b"%08x-9999-4222-8333-%012x" % (number // 3, number // 3)


class Connection:
    """One client's connection, served on its own thread."""

    def __init__(self, burst: Burst, sock: socket.socket, arguments: argparse.Namespace) -> None:
        self._burst = burst
        self._socket = sock
        self._every = arguments.every
        self._bytes_per_second = arguments.bytes_per_second

    def serve(self) -> None:
        with self._socket, self._socket.makefile("rb") as reader:
            try:
                while line := reader.readline():
                    gzipped = False
                    while (header := reader.readline()) not in (b"\r\n", b""):
                        gzipped = gzipped or (header.lower().startswith(b"accept-encoding") and b"gzip" in header)
                    self._answer(line.decode().split()[1], gzipped=gzipped)
            except OSError:
                return

    def _answer(self, target: str, *, gzipped: bool) -> None:
        url = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if url.path == "/start":
            self._burst.start()
            self._send(b"{}")
        elif url.path == "/expire":
            self._burst.expire()
            self._send(b"{}")
        elif url.path == "/stats":
            self._send(b'{"watching":%d}' % self._burst.watching)
        elif url.path == "/version":
            self._send(b'{"major":"1","minor":"37","gitVersion":"v1.37.2"}')
        elif query.get("watch") in ("true", "1"):
            self._watch(streams=query.get("sendInitialEvents") == "true")
        else:
            body = self._burst.page(int(query.get("continue") or 0), PAGE if "limit" in query else 0)
            self._send(gzip.compress(body, 1) if gzipped else body, b"Content-Encoding: gzip\r\n" if gzipped else b"")

    def _send(self, body: bytes, head: bytes = b"") -> None:
        media = b"application/json" if body[:1] == b"{" else self._burst.form.media_type
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n"
        self._send_at_speed(answer % (media, head, len(body)) + body)

    def _send_at_speed(self, data: bytes) -> None:
        if not self._bytes_per_second:
            self._socket.sendall(data)
            return
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            self._socket.sendall(piece)
            time.sleep(len(piece) / self._bytes_per_second)

    def _watch(self, *, streams: bool) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
        self._socket.sendall(
            head % (self._burst.form.media_type + (b";stream=watch" if type(self._burst.form) is Protobuf else b""))
        )
        if streams:
            for item in self._burst.items:
                self._send_at_speed(_chunk(self._burst.form.event(b"ADDED", item)))
            self._socket.sendall(_chunk(self._burst.bookmark))
        if not self._burst.wait():
            self._socket.sendall(_chunk(self._burst.expired) + b"0\r\n\r\n")
            return
        if self._every:
            self._send_on_schedule()
        else:
            for line in self._burst.changes:
                self._socket.sendall(_chunk(line))
        # The watch stays open, without further events.
        threading.Event().wait()

    def _send_on_schedule(self) -> None:
        due = time.monotonic()
        for line in self._burst.changes:
            due += self._every
            time.sleep(max(0.0, due - time.monotonic()))
            head, tail = line.split(MARK)
            sent = b'"example.com/note":"%019d' % time.monotonic_ns()
            self._socket.sendall(_chunk(head + sent + tail))


def _chunk(line: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(line), line)


def _serve(raw: socket.socket, context: ssl.SSLContext | None, burst: Burst, arguments: argparse.Namespace) -> None:
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock = raw if context is None else context.wrap_socket(raw, server_side=True)
    Connection(burst, sock, arguments).serve()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--every", type=float, default=0.0, help="seconds between two events; 0: as fast as possible")
    parser.add_argument("--bytes-per-second", type=float, default=0.0, help="speed of lists; 0: as fast as possible")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--metadata-only", action="store_true", help="send PartialObjectMetadata")
    parser.add_argument("--protobuf", action="store_true", help="answer in protobuf")
    arguments = parser.parse_args()
    form = (Protobuf if arguments.protobuf else Json)(metadata_only=arguments.metadata_only)
    burst = Burst(arguments.pods, arguments.events, form)
    context, authority = None, ""
    if arguments.tls:
        certificates = make_certificates()
        context = certificates.server_context()
        path = Path(tempfile.mkdtemp()) / "ca.crt"
        path.write_bytes(certificates.authority)
        authority = str(path)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(f"http{'s' if arguments.tls else ''}://127.0.0.1:{listener.getsockname()[1]} {authority}", flush=True)

    def accept() -> None:
        while True:
            raw, _ = listener.accept()
            threading.Thread(target=_serve, args=(raw, context, burst, arguments), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    # Exit together with the process that started this one.
    sys.stdin.read()


if __name__ == "__main__":
    main()

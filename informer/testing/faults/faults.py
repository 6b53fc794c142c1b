"""The faults that a test can ask an embedded API server for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from typing_extensions import Unpack

from informer.testing.faults.fault_book import Fault, FaultBook, Injection, Kind, OpenAnswer, RawAnswer, Which
from informer.testing.faults.transmission import Hold
from informer.testing.http.server import HttpServer
from informer.testing.listwatch.watch_stream import WatchStream
from informer.testing.storage.statuses import expired, generic, status_of, too_large_resource_version
from watch.errors import ApiError

__all__ = ["Faults"]


class Faults:
    """Makes an `EmbeddedAPIServer` fail in chosen ways; every server has one as `server.faults`.

    Call a method before the request that shall fail. Every method takes three keyword arguments that choose the requests:

    - `on`: the kind of request: "get", "list", "watch", "watch_list", "create", "update", "patch", "delete",
      "deletecollection", "write" (any of the last five) or "any". A "watch_list" is a watch that asks for the initial
      state (`sendInitialEvents`); after the bookmark that ends this state it counts as a "watch". The table has the defaults.
    - `resource`: "pods" or "deployments.apps"; the default, None, means every resource.
    - `times`: how many requests fail; None means all until `clear`. The default is 1.

    | method | what the client sees | `on` | hits open streams |
    | --- | --- | --- | --- |
    | `answer` | an answer with any code, and a Status or any other body | any | |
    | `too_many_requests` | 429 with Retry-After | any | |
    | `internal_error` | 500 | any | |
    | `service_unavailable` | 503 | any | |
    | `expired` | 410 as the answer's code | any | |
    | `too_large_resource_version` | 504 with the cause ResourceVersionTooLarge | any | |
    | `hang` | no answer, or (with `after_bytes`) a body that stops in the middle | any | |
    | `drop` | a closed connection instead of an answer | any | |
    | `cut_after` | a connection that closes after some bytes of the body | watch | |
    | `slow` | a body that arrives slowly | any | |
    | `short_watches` | a watch that ends properly, without any event | watch | |
    | `no_end_bookmark` | a watch list without the bookmark that ends the initial state | watch_list | |
    | `freeze` | a stream in which no more bytes arrive | watch | yes |
    | `half_line` | half an event, then a closed connection | watch | yes |
    | `garbage_line` | a line that is not JSON, or an event that is not protobuf | watch | yes |
    | `blank_line` | an empty line | watch | yes |
    | `line` | a line of your own | watch | yes |
    | `unknown_event` | an event of an unknown type | watch | yes |
    | `error_event` | an ERROR event with any Status, then the end of the stream | watch | yes |
    | `cut_connections` | open connections close, now | all | only |
    | `end_watches` | open watches end properly, now | any | only |
    | `refuse_connections` | refused connections, for some seconds or until `accept_connections` | | |

    A fault that hits open streams hits them at once, oldest first; what is left of `times` waits for new streams. In a
    new stream it happens after the events that were pending when the watch began, and before the end bookmark.

    Faults apply in the order in which they were asked for. One request can use several, but only one of each kind. The
    faults that replace the answer (`answer` and its like, `hang`, `drop`) do not combine with others.

    Threads: any.

    Example:
        >>> from kubernetes import client
        >>> from informer.testing import EmbeddedAPIServer
        >>> with EmbeddedAPIServer() as server, server.api_client() as api:
        ...     server.faults.service_unavailable(on="list", resource="pods")
        ...     try:
        ...         client.CoreV1Api(api).list_namespaced_pod("default")
        ...     except client.ApiException as error:
        ...         error.status
        503
    """

    def __init__(self) -> None:
        self.book = FaultBook()
        """For the server itself: the faults still to happen, and the answers being sent."""
        self.http: HttpServer | None = None
        """For the server itself: the HTTP server whose connections are cut or refused."""
        self._hold = Hold()  # what `hang` and `freeze` wait for

    # Answers

    def answer(
        self,
        status: int,
        *,
        reason: str | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        body: bytes | str | None = None,
        content_type: str = "text/html",
        **which: Unpack[Which],
    ) -> None:
        """Answers with a code of your choice instead of serving the request.

        Args:
            status: the HTTP status code.
            reason: the Status's reason; None takes the code's usual one.
            message: the Status's message; None takes the code's usual one.
            retry_after: seconds for the Retry-After header and for the Status; None leaves both out.
            body: sent as it is instead of a Status, as a proxy in front of the server might; None sends a Status.
            content_type: the media type of `body`.
            which: the requests, as described for the class.
        """
        refusal: ApiError | RawAnswer = generic(status, message, retry_after=retry_after)
        if isinstance(refusal, ApiError) and reason is not None:
            refusal.reason = reason
        if body is not None:
            refusal = RawAnswer(status, body.encode() if isinstance(body, str) else body, content_type)
        self._add(f"answer {status}", "answer", _setting(refusal=refusal), which)

    def too_many_requests(self, retry_after: float = 1, **which: Unpack[Which]) -> None:
        """Answers 429 with a Retry-After of `retry_after` seconds."""
        self.answer(429, retry_after=retry_after, **which)

    def internal_error(self, **which: Unpack[Which]) -> None:
        """Answers 500."""
        self.answer(500, **which)

    def service_unavailable(self, retry_after: float | None = None, **which: Unpack[Which]) -> None:
        """Answers 503, with a Retry-After of `retry_after` seconds; None leaves the header out."""
        self.answer(503, retry_after=retry_after, **which)

    def expired(self, **which: Unpack[Which]) -> None:
        """Answers with the code 410, as servers without a watch cache do; others send `error_event(410)` in a watch."""
        error = expired("The resourceVersion for the provided watch is too old.")
        self._add("expired", "answer", _setting(refusal=error), which)

    def too_large_resource_version(self, **which: Unpack[Which]) -> None:
        """Answers 504 "Too large resource version", as a server whose cache lags behind the requested version."""
        self._add("too large", "answer", _setting(refusal=too_large_resource_version(2, 1)), which)

    def hang(self, *, after_bytes: int | None = None, **which: Unpack[Which]) -> None:
        """Accepts a request and stops answering, until `clear` or until the client gives up.

        Args:
            after_bytes: send the head and this many bytes of the body first; None sends nothing at all.
            which: the requests, as described for the class.
        """
        hold = self._hold
        if after_bytes is None:
            self._add("hang", "answer", _setting(hold=hold), which)
        else:
            self._add("hang", "body", lambda answer: answer.transmission.hold_after(after_bytes, hold), which)

    def drop(self, **which: Unpack[Which]) -> None:
        """Cuts the connection instead of answering."""
        self._add("drop", "answer", _setting(cut=True), which)

    # Bodies

    def cut_after(self, size: int, **which: Unpack[Which]) -> None:
        """Cuts the connection after `size` bytes of the body, chunk framing included."""
        self._add("cut_after", "body", lambda answer: answer.transmission.cut_after(size), which, "watch")

    def slow(self, bytes_per_second: float, **which: Unpack[Which]) -> None:
        """Sends the body at `bytes_per_second`."""
        if bytes_per_second <= 0:
            raise ValueError(
                f"bytes_per_second must be more than 0, not {bytes_per_second}: use `hang` to send nothing"
            )
        self._add("slow", "body", lambda answer: answer.transmission.slow_down(bytes_per_second), which)

    def short_watches(self, seconds: float = 0, **which: Unpack[Which]) -> None:
        """Ends a watch properly after `seconds`, without sending any event."""
        self._add("short_watches", "start", _setting(watch_seconds=seconds), which, "watch")

    def no_end_bookmark(self, **which: Unpack[Which]) -> None:
        """Leaves out the bookmark that ends the initial state of a watch list."""
        self._add("no_end_bookmark", "start", _setting(end_bookmark=False), which, "watch_list")

    # Streams

    def freeze(self, **which: Unpack[Which]) -> None:
        """Stops sending in a stream whose connection stays open, until `clear` or until the client gives up."""
        hold = self._hold
        self._inject("freeze", lambda answer, _: hold.wait(answer.connection), which)

    def half_line(self, **which: Unpack[Which]) -> None:
        """Sends the first half of an event and cuts the connection."""

        def half_line(answer: OpenAnswer, stream: WatchStream) -> bool:
            event = stream.representation.bookmark(1, initial_events_end=False)
            answer.send_lines([event[: len(event) // 2]])
            answer.connection.cut()
            return True

        self._inject("half_line", half_line, which)

    def line(self, line: bytes | str | Mapping[str, Any], **which: Unpack[Which]) -> None:
        """Sends a line of your own in a stream: bytes, text, or an event as a dict.

        A newline is appended. In a stream in protobuf, an event is written in protobuf, and bytes follow their length.
        """
        self._send("line", line.encode() if isinstance(line, str) else line, which)

    def garbage_line(self, **which: Unpack[Which]) -> None:
        """Sends a line that is not JSON, or an event that is not protobuf."""
        self._send("garbage_line", b'{"type":"ADDED","object":{"kind":garbage', which)

    def blank_line(self, **which: Unpack[Which]) -> None:
        """Sends an empty line, or in protobuf an event of no bytes."""
        self._send("blank_line", b"", which)

    def unknown_event(self, type: str = "RENAMED", **which: Unpack[Which]) -> None:
        """Sends an event whose type clients do not know."""
        event = {"type": type, "object": {"kind": "Unknown", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}}}
        self._send("unknown_event", event, which)

    def error_event(
        self,
        status: int | Mapping[str, Any] = 410,
        *,
        reason: str | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        **which: Unpack[Which],
    ) -> None:
        """Sends an ERROR event and ends the stream.

        Args:
            status: the Status's code, or a whole object that is sent as it is.
            reason: the Status's reason; None takes the code's usual one.
            message: the Status's message; None takes the code's usual one.
            retry_after: seconds, sent as `details.retryAfterSeconds`; None leaves it out.
            which: the requests, as described for the class.
        """
        if isinstance(status, int):
            error = generic(status, message, retry_after=retry_after)
            error.reason = error.reason if reason is None else reason
            status = status_of(error)
        self._send("error_event", {"type": "ERROR", "object": status}, which, end=True)

    # At once

    def cut_connections(self, *, on: str = "all", resource: str | None = None, reset: bool = False) -> int:
        """Cuts open connections at once.

        Args:
            on: "all" means every connection, idle ones too. Any other kind of request means the connections on which
                such a request is being answered.
            resource: such as "pods"; None means every resource.
            reset: send RST instead of FIN, where the system allows it.

        Returns:
            The number of connections that were cut.
        """
        if self.http is None:
            return 0
        chosen = None
        if on != "all" or resource is not None:
            answers = self.book.open_answers("any" if on == "all" else on, resource)
            chosen = [answer.connection for answer in answers]
        return self.http.cut_connections(chosen, reset=reset)

    def end_watches(self, *, on: str = "any", resource: str | None = None) -> int:
        """Ends open watches at once and properly, as a server does at their deadline; returns their number."""
        streams = [answer.stream for answer in self.book.open_answers(on, resource) if answer.stream is not None]
        for stream in streams:
            stream.close()
        return len(streams)

    def refuse_connections(self, seconds: float | None = None) -> None:
        """Refuses new connections for `seconds`; None means until `accept_connections`. Open ones stay open."""
        if self.http is not None:
            self.http.refuse(seconds)

    def accept_connections(self) -> None:
        """Accepts connections again after `refuse_connections`."""
        if self.http is not None:
            self.http.accept()

    def clear(self) -> None:
        """Removes every fault that has not happened yet, and releases what `hang` and `freeze` hold back."""
        self.book.clear()
        hold, self._hold = self._hold, Hold()
        hold.release()
        self.accept_connections()

    @property
    def pending(self) -> list[str]:
        """The names of the faults still to happen; one with `times=None` stays until `clear`."""
        return self.book.pending()

    def _add(self, name: str, kind: Kind, apply: Callable[[OpenAnswer], object], which: Which, on: str = "any") -> None:
        self.book.add(Fault(name, kind, apply, **(Which(on=on) | which)))

    def _send(self, name: str, event: bytes | Mapping[str, Any], which: Which, *, end: bool = False) -> None:
        def send(answer: OpenAnswer, stream: WatchStream) -> bool:
            write = stream.representation
            answer.send_lines([write.framed(event) if isinstance(event, bytes) else write.event_of(event)])
            return end

        self._inject(name, send, which)

    def _inject(self, name: str, injection: Injection, which: Which) -> None:
        self._add(name, "stream", lambda answer: answer.inject(injection), which, "watch")


def _setting(**values: Any) -> Callable[[OpenAnswer], None]:
    """Returns a function that sets attributes of an answer."""
    return lambda answer: vars(answer).update(values)

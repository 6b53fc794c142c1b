"""Faults on demand: what goes wrong with which requests, and how often.

Comes in: a test's wishes, from any thread. Goes out: a plan for each answer, and things put into streams that are open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from informer.testing.faults.fault_book import Fault, FaultBook
from informer.testing.faults.open_answer import Answering, Plan, RawAnswer
from informer.testing.faults.transmission import Hold, Transmission
from informer.testing.http.server import HttpServer
from informer.testing.storage.statuses import expired, generic, status_of, too_large_resource_version
from watch.concurrency import Lock
from watch.errors import ApiError

__all__ = ["Faults"]


class Faults:
    """What is to go wrong.

    Each method says what, `on` says with which requests, `resource` with which resource's ("pods", "deployments.apps"; None:
    all), and `times` how often (None: until `clear`). `on` is "list", "watch" (a watch from a resourceVersion, and one
    that began with the state once it has sent it), "watch_list" (a watch that begins with the state, until its end
    bookmark is sent), "get", "create", "update", "patch", "delete", "deletecollection", "write" (all of these five) or "any".

    | method | what the client sees | open streams too |
    | --- | --- | --- |
    | `answer` | an answer of any status, with a Status or with any body | |
    | `too_many_requests` | 429 with Retry-After | |
    | `internal_error` | 500 | |
    | `service_unavailable` | 503 | |
    | `expired` | 410 as the answer's status | |
    | `too_large_resource_version` | 504 with the cause ResourceVersionTooLarge | |
    | `hang` | no answer at all, or (`after_bytes`) a body that stops in the middle | |
    | `drop` | the connection is cut instead of an answer | |
    | `cut_after` | the connection is cut after so many bytes of the body | |
    | `slow` | the body comes slowly | |
    | `short_watches` | a watch that ends, properly, without any event | |
    | `no_end_bookmark` | a watch that begins with the state and never says that this was all | |
    | `freeze` | a stream in which nothing comes any more | yes |
    | `half_line` | half an event, then the connection is cut | yes |
    | `garbage_line` | a line that is no JSON | yes |
    | `blank_line` | an empty line | yes |
    | `line` | any line | yes |
    | `unknown_event` | an event of a type that there is not | yes |
    | `error_event` | an ERROR event with any Status, then the end | yes |
    | `cut_connections` | connections that are open are cut, now | only |
    | `end_watches` | watches that are open end properly, now | only |
    | `refuse_connections` | new connections are refused, for a while or until `accept_connections` | |

    "Open streams too" means: those that are open are hit at once, the oldest first, and what is left of `times` waits for
    new ones. In a new stream it happens after the events that were there when it began, and before its end bookmark.
    What is exclusive (an answer, a hang, a drop) comes before anything else; one answer uses up one time of each kind.

    Threads: any. A request is hit in the order in which faults were asked for.
    """

    def __init__(self) -> None:
        self._book = FaultBook()
        self._http: HttpServer | None = None
        self._lock = Lock()
        self._holds: list[Hold] = []  # guarded by _lock

    # What the server asks

    @property
    def book(self) -> FaultBook:
        """What was asked for, and which answers are on their way."""
        return self._book

    def attach(self, http: HttpServer) -> None:
        """Names the server whose connections these are."""
        self._http = http

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
        on: str = "any",
        resource: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Answers with a status instead of what was asked for.

        Args:
            status: HTTP status code.
            reason: of the Status; None takes the usual one for the code.
            message: of the Status; None takes the usual one for the code.
            retry_after: seconds, for the header and the Status; None leaves both out.
            body: sent as it is, in place of a Status: what a proxy says.
            content_type: of that body.
            on: which requests; see the class.
            resource: of which resource; None for all.
            times: how many; None for all until `clear`.
        """
        refusal: ApiError | RawAnswer = generic(status, message, retry_after=retry_after)
        if isinstance(refusal, ApiError) and reason is not None:
            refusal.reason = reason
        if body is not None:
            refusal = RawAnswer(status, body.encode() if isinstance(body, str) else body, content_type)
        self._add_refusal(f"answer {status}", refusal, on, resource, times)

    def too_many_requests(
        self, retry_after: float = 1, *, on: str = "any", resource: str | None = None, times: int | None = 1
    ) -> None:
        """Answers 429 with Retry-After, in seconds."""
        self.answer(429, retry_after=retry_after, on=on, resource=resource, times=times)

    def internal_error(self, *, on: str = "any", resource: str | None = None, times: int | None = 1) -> None:
        """Answers 500."""
        self.answer(500, on=on, resource=resource, times=times)

    def service_unavailable(
        self,
        retry_after: float | None = None,
        *,
        on: str = "any",
        resource: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Answers 503, with Retry-After in seconds or (None) without."""
        self.answer(503, retry_after=retry_after, on=on, resource=resource, times=times)

    def expired(self, *, on: str = "any", resource: str | None = None, times: int | None = 1) -> None:
        """Answers 410 by the answer's status, as servers without a watch cache do; see also `error_event`."""
        error = expired("The resourceVersion for the provided watch is too old.")
        self._add_refusal("expired", error, on, resource, times)

    def too_large_resource_version(
        self, *, on: str = "any", resource: str | None = None, times: int | None = 1
    ) -> None:
        """Answers 504: the server has not yet come as far as the resourceVersion that is asked for."""
        self._add_refusal("too large", too_large_resource_version(2, 1), on, resource, times)

    def hang(
        self,
        *,
        after_bytes: int | None = None,
        on: str = "any",
        resource: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Takes a request and says nothing, until `clear` or the client gives up.

        Args:
            after_bytes: None says nothing at all; a number sends the head, and so many bytes of the body.
            on: which requests; see the class.
            resource: of which resource; None for all.
            times: how many; None for all until `clear`.
        """
        hold = self._hold()

        def apply(plan: Plan) -> None:
            if after_bytes is None:
                plan.hold = hold
            else:
                plan.changes.append(lambda transmission: transmission.hold_after(after_bytes, hold))

        self._book.add(Fault("hang", on, resource, times, apply, exclusive=after_bytes is None))

    def drop(self, *, on: str = "any", resource: str | None = None, times: int | None = 1) -> None:
        """Cuts the connection instead of answering."""

        def apply(plan: Plan) -> None:
            plan.cut = True

        self._book.add(Fault("drop", on, resource, times, apply, exclusive=True))

    # Bodies

    def cut_after(self, size: int, *, on: str = "watch", resource: str | None = None, times: int | None = 1) -> None:
        """Cuts the connection after so many bytes of the body, chunk framing included."""
        self._add_change("cut_after", lambda t: t.cut_after(size), on, resource, times)

    def slow(
        self, bytes_per_second: float, *, on: str = "any", resource: str | None = None, times: int | None = 1
    ) -> None:
        """Sends the body slowly."""
        if bytes_per_second <= 0:
            raise ValueError(f"bytes_per_second must be more than 0, not {bytes_per_second}; `hang` sends nothing")
        self._add_change("slow", lambda t: t.slow_down(bytes_per_second), on, resource, times)

    def short_watches(
        self, seconds: float = 0, *, on: str = "watch", resource: str | None = None, times: int | None = 1
    ) -> None:
        """Ends a watch properly after so many seconds, without any event."""

        def apply(plan: Plan) -> None:
            plan.watch_seconds = seconds

        self._book.add(Fault("short_watches", on, resource, times, apply))

    def no_end_bookmark(self, *, on: str = "watch_list", resource: str | None = None, times: int | None = 1) -> None:
        """Leaves out the bookmark that ends the state."""

        def apply(plan: Plan) -> None:
            plan.end_bookmark = False

        self._book.add(Fault("no_end_bookmark", on, resource, times, apply))

    # Streams

    def freeze(self, *, on: str = "watch", resource: str | None = None, times: int | None = 1) -> None:
        """Sends nothing more in a stream, until `clear` or the client gives up."""
        hold = self._hold()

        def freeze(answering: Answering) -> bool:
            hold.wait(answering.connection)
            return False

        self._inject("freeze", freeze, on, resource, times)

    def half_line(self, *, on: str = "watch", resource: str | None = None, times: int | None = 1) -> None:
        """Sends the first half of an event and cuts the connection."""

        def half_line(answering: Answering) -> bool:
            line = answering.stream.sample_line() if answering.stream is not None else b'{"type":"ADDED"}\n'
            answering.send_lines([line[: len(line) // 2]])
            answering.connection.cut()
            return True

        self._inject("half_line", half_line, on, resource, times)

    def line(
        self,
        line: bytes | str | Mapping[str, Any],
        *,
        on: str = "watch",
        resource: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Sends a line in a stream: any bytes, or an event as a dict; a newline is added."""
        data = line.encode() if isinstance(line, str) else line
        data = data if isinstance(data, bytes) else msgspec.json.encode(data)
        self._send("line", data, on, resource, times)

    def garbage_line(self, *, on: str = "watch", resource: str | None = None, times: int | None = 1) -> None:
        """Sends a line that is no JSON."""
        self._send("garbage_line", b'{"type":"ADDED","object":{"kind":garbage', on, resource, times)

    def blank_line(self, *, on: str = "watch", resource: str | None = None, times: int | None = 1) -> None:
        """Sends an empty line."""
        self._send("blank_line", b"", on, resource, times)

    def unknown_event(
        self, type: str = "RENAMED", *, on: str = "watch", resource: str | None = None, times: int | None = 1
    ) -> None:
        """Sends an event of a type that clients do not know."""
        event = {"type": type, "object": {"kind": "Unknown", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}}}
        self._send("unknown_event", msgspec.json.encode(event), on, resource, times)

    def error_event(
        self,
        status: int | Mapping[str, Any] = 410,
        *,
        reason: str | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        on: str = "watch",
        resource: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Sends an ERROR event and ends the stream.

        Args:
            status: the code of the Status; or any object, sent as it is.
            reason: of the Status; None takes the usual one for the code.
            message: of the Status; None takes the usual one for the code.
            retry_after: seconds, `details.retryAfterSeconds`; None leaves it out.
            on: which streams; see the class.
            resource: of which resource; None for all.
            times: how many; None for all until `clear`.
        """
        if isinstance(status, int):
            error = generic(status, message, retry_after=retry_after)
            error.reason = error.reason if reason is None else reason
            status = status_of(error)
        self._send(
            "error_event", msgspec.json.encode({"type": "ERROR", "object": status}), on, resource, times, end=True
        )

    # At once

    def cut_connections(self, *, on: str = "all", resource: str | None = None, reset: bool = False) -> int:
        """Cuts open connections, now.

        Args:
            on: "all" cuts idle ones too; anything else those on which such a request is being answered.
            resource: of which resource; None for all.
            reset: by a reset (RST) where the system lets it, instead of a proper end (FIN).

        Returns:
            how many there were.
        """
        if self._http is None:
            return 0
        if on == "all" and resource is None:
            return self._http.cut_connections(reset=reset)
        return self._http.cut_connections(
            [answering.connection for answering in self._book.open_answers("any" if on == "all" else on, resource)],
            reset=reset,
        )

    def end_watches(self, *, on: str = "any", resource: str | None = None) -> int:
        """Ends open watches properly, now, as a server does at their deadline; returns how many there were."""
        streams = [a.stream for a in self._book.open_answers(on, resource) if a.stream is not None]
        for stream in streams:
            stream.close()
        return len(streams)

    def refuse_connections(self, seconds: float | None = None) -> None:
        """Refuses new connections for so many seconds or (None) until `accept_connections`."""
        if self._http is not None:
            self._http.refuse(seconds)

    def accept_connections(self) -> None:
        """Takes connections again."""
        if self._http is not None:
            self._http.accept()

    def clear(self) -> None:
        """Forgets every fault that has not happened yet, and lets what hangs go on."""
        self._book.clear()
        with self._lock:
            holds, self._holds = self._holds, []
        for hold in holds:
            hold.release()
        self.accept_connections()

    @property
    def pending(self) -> list[str]:
        """The faults that have not happened as often as they were asked for; one without an end is always here."""
        return self._book.pending()

    def _hold(self) -> Hold:
        hold = Hold()
        with self._lock:
            self._holds.append(hold)
        return hold

    def _add_refusal(
        self, name: str, refusal: ApiError | RawAnswer, on: str, resource: str | None, times: int | None
    ) -> None:
        def apply(plan: Plan) -> None:
            plan.refusal = refusal

        self._book.add(Fault(name, on, resource, times, apply, exclusive=True))

    def _add_change(
        self, name: str, change: Callable[[Transmission], object], on: str, resource: str | None, times: int | None
    ) -> None:
        self._book.add(Fault(name, on, resource, times, lambda plan: plan.changes.append(change), in_stream=True))

    def _send(
        self, name: str, line: bytes, on: str, resource: str | None, times: int | None, *, end: bool = False
    ) -> None:
        def send(answering: Answering) -> bool:
            answering.send_lines([line + b"\n"])
            return end

        self._inject(name, send, on, resource, times)

    def _inject(
        self, name: str, injection: Callable[[Answering], bool], on: str, resource: str | None, times: int | None
    ) -> None:
        self._book.inject(
            Fault(name, on, resource, times, lambda plan: plan.injections.append(injection), in_stream=True), injection
        )

"""What servers, proxies and networks really do to a list and a watch, seen through a whole informer over real HTTP."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from informer import ApiError, Backoff, Change, DeltaType, ListWatch, SharedInformer
from watch.concurrency import Monitor, Signal

DEADLINE = 10.0
QUICK = Backoff(initial=0.005, maximum=0.01)


def pod(name: str, version: str | None = None, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}"}
    if version is not None:
        metadata["resourceVersion"] = version
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, **fields}


def line(kind: str, obj: Any) -> dict[str, Any]:
    return {"type": kind, "object": obj}


def added(name: str, version: str | None) -> dict[str, Any]:
    return line("ADDED", pod(name, version))


def bookmark(version: str) -> dict[str, Any]:
    return line("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version}})


def status(code: int, reason: str, message: str = "", **details: Any) -> dict[str, Any]:
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message}
    return {**body, "details": details} if details else body


Answer = Callable[[Any], None]


def listed(version: str, *names: str, **metadata: Any) -> Answer:
    body = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version, **metadata}}
    return lambda connection: connection.answer({**body, "items": [pod(name, version) for name in names]})


def refused(code: int, reason: str, message: str = "", headers: dict[str, str] | None = None, **details: Any) -> Answer:
    return lambda connection: connection.answer(status(code, reason, message, **details), code, **(headers or {}))


def watched(*chunks: Any, then: str = "end") -> Answer:
    """A watch that sends these, and then ends properly, hangs, is cut, or is reset."""

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
    """Answers lists and watches as a script says; when it is over, lists with what there was last, and watches hang."""

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
    """An informer, and the changes that it has told."""

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

    def tells(self, count: int) -> bool:
        """Whether so many changes have been told within the deadline."""
        with self._monitor:
            return self._monitor.wait_for(lambda: len(self.changes) >= count, DEADLINE)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(str(change.type), change.object.name) for change in self.changes]

    @property
    def keys(self) -> list[str]:
        return sorted(key.partition("/")[2] for key in self.informer.store.list_keys())


@pytest.fixture
def follow() -> Iterator[Callable[..., Followed]]:
    """Starts informers, and stops them in the end."""
    made: list[Followed] = []

    def start(server: Server, **options: Any) -> Followed:
        made.append(Followed(server, options.pop("settings", {}), **options))
        return made[-1]

    yield start
    assert all(each.informer.stop(DEADLINE) for each in made)


def test_error_event_with_status_relists(serve: Any, follow: Any) -> None:
    """ERROR event with Status: 500 in the stream ends the watch, and a list at the last version follows."""
    server = Server(
        serve,
        [listed("5", "a"), listed("9", "a", "b")],
        [watched(bookmark("7"), line("ERROR", status(500, "InternalError", "etcd")), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.keys == ["a", "b"]


def test_error_event_410_relists_at_the_last_version_and_finds_deletes(serve: Any, follow: Any) -> None:
    """ERROR event with Status: 410 relists, and what is missing there was deleted, though no event told it."""
    server = Server(
        serve,
        [listed("5", "a", "b"), listed("9", "b")],
        [watched(bookmark("7"), line("ERROR", status(410, "Expired", "too old")))],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.tells(4)
    assert followed.told[2:] == [("Deleted", "a"), ("Updated", "b")]
    assert followed.changes[2].final_state_unknown


def test_error_event_429_watches_again_at_the_same_version(serve: Any, follow: Any) -> None:
    """429 in the stream: wait, and watch again without a list."""
    throttled = line("ERROR", status(429, "TooManyRequests", retryAfterSeconds=0))
    server = Server(serve, [listed("5")], [watched(bookmark("7"), throttled), watched(bookmark("8"), then="hang")])
    assert follow(server).reaches("8")
    assert (server.list_versions, server.watch_versions) == (["0"], ["5", "7"])


def test_410_as_http_status_on_watch_takes_two_steps(serve: Any, follow: Any) -> None:
    """410 as HTTP status on watch: a list at the last version first, and only if that is expired too at ""."""
    gone = refused(410, "Expired", "too old resource version")
    server = Server(serve, [listed("5", "a"), gone, listed("9", "a")], [gone])
    assert follow(server).reaches("9")
    assert server.list_versions == ["0", "5", ""]


def test_410_on_a_later_page_lists_everything_at_the_version_asked_for(serve: Any, follow: Any) -> None:
    """410 on page 2+ of a list: the whole list without a limit; the inconsistent token in the answer is not used."""
    server = Server(
        serve,
        [
            listed("5", "a", **{"continue": "C1"}),
            refused(410, "Expired", "continue", **{"continue": "INCONSISTENT"}),
            listed("5", "a", "b"),
        ],
        [],
    )
    followed = follow(server, page_size=1)
    assert followed.reaches("5")
    assert [(q.get("continue"), q.get("resourceVersion"), q.get("limit")) for q in server.lists] == [
        (None, "0", "1"),
        ("C1", None, "1"),
        (None, "0", None),
    ]
    assert followed.keys == ["a", "b"]


@pytest.mark.parametrize("where", ["list", "watch"])
def test_429_with_retry_after_is_waited_for(serve: Any, follow: Any, where: str) -> None:
    """429 with Retry-After: at least as long as the header says, which wins over the body."""
    throttled = refused(429, "TooManyRequests", headers={"Retry_After": "1"}, retryAfterSeconds=60)
    lists, watches = [listed("5")], []
    (lists if where == "list" else watches).insert(0, throttled)
    server = Server(serve, lists, watches)
    follow(server)
    assert server.wait_for(lists=len(lists), watches=len(watches) + 1)
    at = 0 if where == "list" else 1
    assert 1.0 <= server.times[at + 1] - server.times[at] < 5


@pytest.mark.parametrize(
    ("message", "details"),
    [
        ("Timeout", {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}),
        ("Too large resource version: 5, current: 3", {}),
    ],
    ids=["cause", "message-of-an-old-server"],
)
def test_too_large_resource_version_lists_the_newest(serve: Any, follow: Any, message: str, details: Any) -> None:
    """ "Too large resource version" is 504 Timeout: the server that answers lags behind; ask for what it has."""
    too_large = refused(504, "Timeout", message, **details)
    server = Server(serve, [listed("5"), too_large, listed("6")], [refused(410, "Expired")])
    assert follow(server).reaches("6")
    assert server.list_versions == ["0", "5", ""]


def test_watch_closed_without_events_after_a_second_goes_on(serve: Any, follow: Any) -> None:
    """Watch closed, no events, > 1 s: the same version again at once, and no list."""

    def quiet(connection: Any) -> None:
        connection.begin()
        threading.Event().wait(1.05)
        connection.end()

    server = Server(serve, [listed("5")], [quiet])
    followed = follow(server)
    assert server.wait_for(watches=2)
    assert (server.list_versions, server.watch_versions) == (["0"], ["5", "5"])
    assert followed.informer.sync_error() is None


def test_very_short_watch_lists_again(serve: Any, follow: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Very short watch (< 1 s, none): out of the watch loop, a wait, and a list (kubernetes#137089)."""
    server = Server(serve, [listed("5"), listed("6", "a")], [watched()])
    followed = follow(server)
    assert followed.reaches("6")
    assert server.list_versions == ["0", "5"]
    assert "very short watch: pods: Unexpected watch close" in caplog.text


@pytest.mark.parametrize("then", ["end", "cut"], ids=["proper-end-of-the-answer", "cut-connection"])
def test_eof_within_a_line_drops_it_and_resumes(serve: Any, follow: Any, then: str) -> None:
    """EOF mid-line: what is no whole line is never parsed, however good it looks; the same version again."""
    half = json.dumps(added("b", "8")).encode()
    server = Server(
        serve,
        [listed("5", "a")],
        [watched(bookmark("7"), half, then=then), watched(added("b", "9"), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert (server.list_versions, server.watch_versions) == (["0"], ["5", "7"])
    assert followed.informer.store.get_by_key("ns/b").resource_version == "9"


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"ADDED","object":{"metadata":{"name":"x"}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":x}}}\n',
        b"garbage\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'"text"\n',
        b'{"type":5,"object":{}}\n',
        b'{"type":"ADDED","object":5}\n',
        b'{"type":"ADDED"}\n',
        b'{"object":{}}\n',
    ],
    ids=repr,
)
def test_broken_json_in_a_full_line_relists(serve: Any, follow: Any, bad: bytes) -> None:
    """Broken JSON in a full line: ERROR 500, a list at the last version; what came before it is kept."""
    server = Server(
        serve,
        [listed("5"), listed("9", "a")],
        [watched(added("a", "7"), bad, added("lost", "8"), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.keys == ["a"]


def test_an_empty_line_is_nothing(serve: Any, follow: Any) -> None:
    """Between events a server may send a bare newline."""
    server = Server(serve, [listed("5")], [watched(b"\n", added("a", "7"), b"\n \n", added("b", "8"), then="hang")])
    followed = follow(server)
    assert followed.reaches("8")
    assert (server.list_versions, followed.keys) == (["0"], ["a", "b"])


def test_unknown_event_type_relists_at_the_version_before_it(serve: Any, follow: Any) -> None:
    """Unknown event type: never past it; the list brings what it may have meant."""
    server = Server(
        serve,
        [listed("5"), listed("9", "a", "new")],
        [watched(added("a", "7"), line("REPLACED", pod("new", "8")), then="hang")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.list_versions == ["0", "7"]
    assert followed.keys == ["a", "new"]


def test_bookmarks_move_the_version_and_are_never_shown(serve: Any, follow: Any) -> None:
    """Bookmark, only metadata: the cache has reached its version, and no handler hears of it."""
    server = Server(serve, [listed("5")], [watched(bookmark("70"), then="end"), watched(added("a", "71"), then="hang")])
    followed = follow(server)
    assert followed.reaches("71")
    assert server.watch_versions == ["5", "70"]
    assert followed.tells(1)
    assert followed.told == [("Added", "a")]


@pytest.mark.parametrize("metadata", [{}, {"resourceVersion": ""}, {"resourceVersion": 7}], ids=repr)
def test_bookmark_with_empty_version_is_ignored(serve: Any, follow: Any, metadata: Any) -> None:
    """Bookmark with empty RV: the last version stays."""
    empty = line("BOOKMARK", {"metadata": metadata})
    server = Server(serve, [listed("5")], [watched(empty), watched(added("a", "7"), then="hang")])
    assert follow(server).reaches("7")
    assert server.watch_versions == ["5", "5"]


def test_a_list_without_a_version_is_watched_from_there_and_never_from_its_adds(serve: Any, follow: Any) -> None:
    """RV "" / "0" / unset on watch: the synthetic adds' versions are in no order (python#819)."""
    synthetic = watched(added("a", "300"), added("b", "100"))
    server = Server(
        serve,
        [listed("", "a")],
        [
            synthetic,
            watched(added("a", "300"), line("MODIFIED", pod("b", "301"))),
            watched(bookmark("302"), then="hang"),
        ],
    )
    assert follow(server).reaches("302")
    assert server.watch_versions == ["", "", "301"]


def test_object_without_a_version_is_stored_and_does_not_reset_the_last(serve: Any, follow: Any) -> None:
    """Object without RV: the last version is not overwritten with ""."""
    server = Server(serve, [listed("5")], [watched(added("a", None)), watched(added("b", "7"), then="hang")])
    followed = follow(server)
    assert followed.reaches("7")
    assert server.watch_versions == ["5", "5"]
    assert followed.keys == ["a", "b"]


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, {"metadata": None}, {"metadata": {"name": 5}}], ids=repr)
def test_an_odd_object_takes_no_other_with_it(
    serve: Any, follow: Any, odd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong kind in stream, and what is no object at all: the others of the stream, or of the relist, arrive."""
    server = Server(
        serve,
        [listed("5"), listed("9", "a", "b")],
        [
            watched(
                added("a", "7"),
                line("MODIFIED", odd),
                added("b", "8"),
                line("BOOKMARK", {}),
                bookmark("9"),
                then="hang",
            )
        ],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert followed.keys == ["a", "b"]


def test_list_items_get_the_kind_of_the_list(serve: Any, follow: Any) -> None:
    """List items lack kind/apiVersion: both are set."""

    def untyped(connection: Any) -> None:
        item = {"metadata": {"name": "a", "namespace": "ns"}}
        connection.answer(
            {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": [item]}
        )

    followed = follow(Server(serve, [untyped], []))
    assert followed.reaches("5")
    stored = followed.informer.store.get_by_key("ns/a")
    assert (stored.kind, stored.api_version, stored["kind"]) == ("Pod", "v1", "Pod")


def test_a_table_is_refused_and_told(serve: Any, follow: Any) -> None:
    """Table: it is never asked for, and one that comes all the same is a failed list."""

    def table(connection: Any) -> None:
        connection.answer(
            {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "4"}, "rows": []}
        )

    errors: list[Exception] = []
    server = Server(serve, [table, listed("5", "a")], [])
    followed = follow(server, watch_error_handler=lambda informer, error: errors.append(error))
    assert followed.reaches("5")
    assert "unsupported list gvk: meta.k8s.io/v1, Kind=Table" in str(errors[0])
    assert all(request.headers["accept"] == "application/json" for request in server.http.requests)


@pytest.mark.parametrize("items", [{"items": None}, {}], ids=["null", "missing"])
def test_items_null_or_missing_are_an_empty_list(serve: Any, follow: Any, items: Any) -> None:
    """`items: null` / missing: nothing there, and what was there is gone."""

    def empty(connection: Any) -> None:
        connection.answer({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, **items})

    followed = follow(Server(serve, [listed("5", "a"), empty], [refused(410, "Expired")]))
    assert followed.reaches("9")
    assert followed.keys == []


@pytest.mark.parametrize("code", [500, 503, 403, 401])
def test_a_failing_server_never_empties_the_cache(serve: Any, follow: Any, code: int) -> None:
    """Whatever a relist is refused with: readers keep what there was."""
    server = Server(serve, [listed("5", "a"), refused(code, "X", "no")], [refused(410, "Expired")])
    followed = follow(server)
    assert server.wait_for(lists=3)
    assert followed.keys == ["a"]
    assert isinstance(followed.informer.sync_error(), ApiError)


def test_connection_refused_keeps_the_version_and_lists_nothing(serve: Any, follow: Any) -> None:
    """Connection refused: backoff, the same version, no relist; the port is taken by nobody for a while."""
    server = Server(serve, [listed("5")], [watched(bookmark("7"))])
    address = ("127.0.0.1", server.http.port)
    close = server.http._listener

    def close_then_end(connection: Any) -> None:
        connection.begin()
        connection.chunk(bookmark("8"))
        close.shutdown(socket.SHUT_RDWR)
        close.close()
        connection.cut()

    server._watches.append(close_then_end)
    followed = follow(server)
    with server.monitor:
        assert server.monitor.wait_for(lambda: len(server.watches) >= 2, DEADLINE)
    assert _eventually(lambda: isinstance(followed.informer.sync_error(), ConnectionRefusedError))
    assert not followed.informer.is_watching
    later = Server(serve, [listed("99")], [watched(bookmark("9"), then="hang")])
    relay = Relay(address, later.http.port)
    try:
        assert followed.reaches("9")
    finally:
        followed.informer.stop()
        relay.close()
    assert (later.list_versions, later.watch_versions) == ([], ["8"])


def _eventually(condition: Callable[[], bool]) -> bool:
    tick = threading.Event()
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            return False
        tick.wait(0.005)
    return True


class Relay:
    """Listens at one address and passes everything on to another port."""

    def __init__(self, address: tuple[str, int], port: int) -> None:
        self._listener = socket.create_server(address)
        self._port = port
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._copy, args=(source, target), daemon=True))
                self._threads[-1].start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
        for sock in self._sockets:
            sock.close()


@pytest.mark.parametrize("then", ["reset", "cut", "end"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_reset_goaway_and_closed_connections_resume(
    serve: Any, follow: Any, authority: Any, then: str, tls: bool
) -> None:
    """Reset, GOAWAY, closed connection: as good as the end of the stream, at the last version, with no list."""
    server = Server(
        serve,
        [listed("5")],
        [watched(added("a", "7"), then=then), watched(added("b", "8"), then="hang")],
        tls=authority.server_context("127.0.0.1") if tls else None,
    )
    followed = follow(server, settings={"ssl_ca_cert": authority.path})
    assert followed.reaches("8")
    # A reset may overtake what was sent before it.
    assert server.watch_versions[0] == "5"
    assert server.watch_versions[1] in (("5", "7") if then == "reset" else ("7",))


def test_a_proxy_that_holds_back_the_head_is_no_very_short_watch(serve: Any, follow: Any) -> None:
    """Proxy that buffers headers or body: the clock starts before the request."""

    def held_back(connection: Any) -> None:
        threading.Event().wait(1.05)
        connection.begin()
        connection.end()

    server = Server(serve, [listed("5")], [held_back])
    follow(server)
    assert server.wait_for(watches=2)
    assert server.list_versions == ["0"]


def test_a_proxy_that_holds_back_the_body_delivers_all_of_it(serve: Any, follow: Any) -> None:
    """Proxy that buffers headers or body: a hundred events in one piece, cut anywhere."""
    events = b"".join(json.dumps(added(f"p{i}", str(10 + i))).encode() + b"\n" for i in range(100))
    server = Server(serve, [listed("5")], [watched(events[:777], events[777:5000], events[5000:], then="hang")])
    followed = follow(server)
    assert followed.reaches("109")
    assert len(followed.keys) == 100


def test_tls_rotation_goes_on_with_the_new_authority(
    serve: Any, follow: Any, authority: Any, make_authority: Any, tmp_path: Any
) -> None:
    """TLS rotation: the CA file changes on disk while the informer runs; the next connection uses it."""
    from pathlib import Path

    context = authority.server_context("127.0.0.1")
    file = tmp_path / "ca.pem"
    file.write_bytes(Path(authority.path).read_bytes())
    rotated = make_authority()

    def rotate(connection: Any) -> None:
        context.load_cert_chain(rotated.issue("127.0.0.1"))
        file.write_bytes(Path(rotated.path).read_bytes())
        watched(bookmark("7"), then="cut")(connection)

    server = Server(serve, [listed("5")], [rotate, watched(bookmark("8"), then="hang")], tls=context)
    followed = follow(server, settings={"ssl_ca_cert": str(file)})
    assert followed.reaches("8")
    assert server.list_versions == ["0"]


def test_token_expiry_is_refreshed_once_and_the_watch_resumes(serve: Any, follow: Any) -> None:
    """Token expiry: the watch that ends is refused with 401, its token is made anew, and it goes on where it was."""
    good = {"Bearer 1"}
    sent: list[str] = []

    def guarded(answer: Answer) -> Answer:
        def checked(connection: Any) -> None:
            sent.append(server.http.requests[-1].headers["authorization"])
            (answer if sent[-1] in good else refused(401, "Unauthorized"))(connection)

        return checked

    def expire(connection: Any) -> None:
        good.clear()
        good.add("Bearer 2")
        watched(bookmark("7"))(connection)

    class Loader:
        """As the official client's: it looks again when it is told to."""

        token = "Bearer 1"

        def _load_authentication(self) -> None:
            self.token = "Bearer 2"

    loader = Loader()

    def hook(configuration: Any) -> None:
        configuration.api_key["authorization"] = loader.token

    again = guarded(watched(bookmark("8"), then="hang"))
    server = Server(serve, [guarded(listed("5"))], [guarded(expire), again, again])
    settings = {"api_key": {"authorization": "Bearer 1"}, "refresh_api_key_hook": hook}
    followed = follow(server, settings=settings)
    assert followed.reaches("8")
    assert sent == ["Bearer 1", "Bearer 1", "Bearer 1", "Bearer 2"]
    assert server.list_versions == ["0"]


def test_401_that_stays_is_kept_alive_and_told(serve: Any, follow: Any) -> None:
    """Token expiry: where nothing can be refreshed the informer goes on trying, with its backoff, and says why."""
    server = Server(serve, [refused(401, "Unauthorized", "Unauthorized")], [])
    followed = follow(server)
    assert server.wait_for(lists=4)
    error = followed.informer.sync_error()
    assert isinstance(error, ApiError)
    assert error.status == 401
    assert not followed.informer.wait_for_sync(0)


def test_api_server_restart_resumes_or_relists_at_the_last_version(serve: Any, follow: Any) -> None:
    """API server restart: EOF, 429 while its cache begins, 410 as its history is gone; a list at the last version."""
    busy = refused(429, "TooManyRequests", "storage is (re)initializing", headers={"Retry_After": "0"})
    server = Server(
        serve,
        [listed("5", "a"), busy, listed("9", "a", "b")],
        [watched(bookmark("7"), then="cut"), busy, busy, refused(410, "Expired", "too old resource version")],
    )
    followed = follow(server)
    assert followed.reaches("9")
    assert server.watch_versions[:4] == ["5", "7", "7", "7"]
    assert server.list_versions == ["0", "7", "7"]
    assert followed.keys == ["a", "b"]


def test_a_relist_after_a_restart_is_jittered(script: Any) -> None:
    """API server restart: a thousand informers whose watches are refused as expired do not list at the same moment."""
    from informer import Reflector, Store

    waits: list[float] = []

    class Stop(Signal):
        """Set after the first wait between rounds."""

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            self.set()
            return True

    expired = ApiError(410, "Expired")
    for seed in range(50):
        source = script.source([script.pods("5")], [expired])
        Reflector(source, Store(), random=Random(seed), name="x").run(Stop())
    assert all(0.8 <= wait < 1.6 for wait in waits)
    assert max(waits) - min(waits) > 0.6
    assert len(set(waits)) == 50


def test_crd_deleted_while_watching_is_kept_alive_and_told(serve: Any, follow: Any) -> None:
    """CRD deleted while watching: each object is deleted, the stream ends, 404 is told; made again, it goes on."""
    missing = refused(404, "NotFound", "the server could not find the requested resource")
    errors: list[Exception] = []
    server = Server(
        serve,
        [listed("5", "a"), missing, missing, listed("20", "b")],
        [watched(line("DELETED", pod("a", "7"))), missing],
    )
    followed = follow(server, watch_error_handler=lambda informer, error: errors.append(error))
    assert followed.reaches("20")
    assert followed.tells(3)
    assert followed.told == [("Added", "a"), ("Deleted", "a"), ("Added", "b")]
    assert [error.status for error in errors if isinstance(error, ApiError)] == [404, 404, 404]


def test_crd_that_is_not_there_yet_is_waited_for(serve: Any, follow: Any) -> None:
    """CRD absent: the informer says so, and begins as soon as there is one."""
    there = threading.Event()

    def handler(request: Any, connection: Any) -> None:
        if request.path == "/apis":
            versions = [{"version": "v1"}]
            group = {"name": "example.com", "versions": versions, "preferredVersion": versions[0]}
            connection.answer({"groups": [group] if there.is_set() else []})
        elif request.path == "/apis/example.com/v1":
            entry = {"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["list"]}
            connection.answer({"resources": [entry]})
        elif "watch" in request.query:
            HANG(connection)
        else:
            listed("5", "a")(connection)

    http = serve(handler)
    source = ListWatch.for_resource(http.client(), "widgets.example.com")
    with SharedInformer(source, backoff=QUICK, watch_list=False) as informer:
        assert _eventually(lambda: informer.sync_error() is not None)
        error = informer.sync_error()
        assert isinstance(error, ApiError)
        assert error.status == 404
        assert "the server doesn't have a resource type 'widgets.example.com'" in str(error)
        there.set()
        assert informer.wait_for_sync(DEADLINE)
        assert informer.sync_error() is None


def test_403_for_a_namespace_is_explained_and_stops_no_other(serve: Any) -> None:
    """403 for a namespace: retried with backoff, in `sync_error()`, while the other namespace is followed."""

    def handler(request: Any, connection: Any) -> None:
        if "/namespaces/secret/" in request.path:
            refused(403, "Forbidden", 'pods is forbidden: User "x" cannot list resource "pods" in namespace "secret"')(
                connection
            )
        elif "watch" in request.query:
            HANG(connection)
        else:
            listed("5", "a")(connection)

    source = ListWatch.for_resource(serve(handler).client(), "pods", namespace=["open", "secret"])
    with SharedInformer(source, backoff=QUICK, watch_list=False) as informer:
        assert _eventually(lambda: informer.sync_error() is not None and len(informer.store) == 1)
        assert 'in namespace "secret"' in str(informer.sync_error())
        assert not informer.wait_for_sync(0.05)
        assert not informer.is_watching


def test_same_version_on_a_relist_is_no_change(serve: Any, follow: Any) -> None:
    """Same RV on Replace: no false update; only what differs is told."""

    def relist(connection: Any) -> None:
        items = [pod("a", "5"), pod("b", "8")]
        connection.answer({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": items})

    followed = follow(Server(serve, [listed("5", "a", "b"), relist], [refused(410, "Expired")]))
    assert followed.reaches("9")
    assert followed.tells(3)
    assert followed.told == [("Added", "a"), ("Added", "b"), ("Updated", "b")]


def test_replace_with_events_still_queued_keeps_their_order(serve: Any, follow: Any) -> None:
    """Replace with items still queued: a slow handler sees the events before the relist, and then the relist."""
    release = threading.Event()
    seen: list[tuple[str, str]] = []

    def slow(changes: list[Change[Any]]) -> None:
        release.wait(DEADLINE)
        seen.extend((str(change.type), change.object.name) for change in changes)

    events = [added("b", "6"), added("c", "7"), line("DELETED", pod("b", "8")), line("ERROR", status(410, "Expired"))]
    server = Server(serve, [listed("5", "a"), listed("9", "c", "d")], [watched(*events)])
    followed = follow(server)
    registration = followed.informer.add_event_handler(on_batch=slow)
    assert followed.reaches("9")
    release.set()
    assert registration.wait_for_sync(DEADLINE)
    assert _eventually(lambda: ("Added", "d") in seen)
    assert set(seen[-3:]) == {("Deleted", "a"), ("Updated", "c"), ("Added", "d")}
    assert [each for each in seen if each[1] == "b"] in ([("Added", "b"), ("Deleted", "b")], [])


@pytest.mark.parametrize("queue", ["in_order", "delta"])
def test_all_of_it_in_one_life(serve: Any, follow: Any, queue: str, caplog: pytest.LogCaptureFixture) -> None:
    """Half a line, garbage, 429, 410, 500 and a reset in turn: in the end the cache is what the server has."""
    with caplog.at_level(logging.CRITICAL):
        server = Server(
            serve,
            [
                listed("5", "a", "b"),
                refused(500, "InternalError"),
                listed("20", "a", "c"),
                lambda connection: connection.cut(),
                listed("40", "c", "d"),
            ],
            [
                watched(added("x", "6"), b'{"type":"ADD', then="cut"),
                refused(429, "TooManyRequests"),
                watched(line("DELETED", pod("x", "7")), b"garbage\n"),
                watched(line("MODIFIED", pod("a", "21")), then="reset"),
                refused(410, "Expired"),
                watched(line("MODIFIED", pod("d", "41")), then="hang"),
            ],
        )
        followed = follow(server, queue=queue)
        assert followed.reaches("41")
    assert followed.keys == ["c", "d"]
    last: dict[str, DeltaType] = {}
    assert _eventually(lambda: followed.told[-1:] == [("Updated", "d")])
    for change in followed.changes:
        last[change.object.name] = change.type
    assert {name for name, kind in last.items() if kind is not DeltaType.DELETED} == {"c", "d"}

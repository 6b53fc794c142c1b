"""The metrics server under a flood: probes answer, work is shared, and threads, connections and log lines are bounded."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import logging
import os
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from informer.metrics import MetricsServer, serve
from tests.support.waiting import DEADLINE, PROMPT, eventually

PROBES = ("/healthz", "/livez", "/readyz")
KUBELET_TIMEOUT = 1.0
THREADS = 4  # one for the connections, and one for each page
BASE_NAME = "informer-metrics"

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="files and memory are counted in /proc")


class Numbers(Collector):
    """A collector that takes its time, counts its scrapes and shows many samples."""

    def __init__(self, seconds: float = 0.0, samples: int = 1, gate: threading.Event | None = None) -> None:
        self.scrapes = 0
        self.entered = threading.Event()
        self._seconds, self._samples, self._gate = seconds, samples, gate

    def describe(self) -> list[Any]:
        return [GaugeMetricFamily("numbers", "Some numbers.")]

    def collect(self) -> Iterator[Any]:
        self.scrapes += 1
        self.entered.set()
        time.sleep(self._seconds)
        assert self._gate is None or self._gate.wait(DEADLINE)
        family = GaugeMetricFamily("numbers", "Some numbers.", labels=["n"])
        for number in range(self._samples):
            family.add_metric([f"{number:0100}"], self.scrapes)
        yield family


@pytest.fixture
def start(registry) -> Iterator[Callable[..., MetricsServer]]:
    """A function that starts a server on this host, which is stopped at the end of the test."""
    made: list[MetricsServer] = []

    def start(**options: Any) -> MetricsServer:
        made.append(serve(0, "127.0.0.1", registry=registry, **{"informers": [], **options}))
        return made[-1]

    yield start
    for server in made:
        assert server.stop(DEADLINE)


def ask(server: MetricsServer, path: str, timeout: float = DEADLINE, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def connect(server: MetricsServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), DEADLINE)


def send(server: MetricsServer, request: bytes) -> socket.socket:
    connection = connect(server)
    connection.sendall(request)
    return connection


def reset(connection: socket.socket) -> None:
    """Closes a connection as a program that was killed does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def server_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(BASE_NAME)]


# A program of its own, so that its sockets and its use of the interpreter are not the server's.
ATTACKER = """
import contextlib, random, socket, struct, sys, time

port, kind = int(sys.argv[1]), sys.argv[2]
kept = []

def attack(sock):
    if kind == "aborted":
        sock.sendall(b"GET /metrics HTTP/1.1\\r\\n\\r\\n")
        if random.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return sock.close()
    if kind == "probes":
        sock.sendall(random.choice([b"GET /healthz HTTP/1.1\\r\\n\\r\\n", b"GET /readyz HTTP/1.1\\r\\n\\r\\n"]))
        if random.random() < 0.5:
            return sock.close()
    if kind == "half a request":
        sock.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: a")
    if kind == "a large head":
        sock.sendall(b"GET /metrics HTTP/1.1\\r\\n" + b"a: b\\r\\n" * 20000)
    if kind == "many requests":
        sock.sendall(b"GET /metrics HTTP/1.1\\r\\nAccept-Encoding: gzip\\r\\n\\r\\n" * 100)
    if kind == "HEAD":
        sock.sendall(b"HEAD /metrics HTTP/1.1\\r\\n\\r\\n")
    if kind == "POST":
        sock.sendall(b"POST /healthz HTTP/1.1\\r\\nContent-Length: 1000000\\r\\n\\r\\n" + b"x" * 30000)
    if kind == "formats":
        form = "application/openmetrics-text; version=1.%d.0" % random.randrange(10**6)
        sock.sendall(f"GET /metrics?name[]={random.random()} HTTP/1.1\\r\\nAccept: {form}\\r\\n\\r\\n".encode())
    if kind == "does not read":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b"GET /metrics HTTP/1.1\\r\\n\\r\\n")
    kept.append(sock)

pause = 1 / 75 if kind == "aborted" else 1 / 430
print("begun", flush=True)
due = time.monotonic()
while True:
    with contextlib.suppress(OSError):
        attack(socket.create_connection(("127.0.0.1", port), 5))
    if kind == "a byte a second":
        for each in kept[:: 430]:
            with contextlib.suppress(OSError):
                each.send(b"G")
    for each in kept[:-700]:
        each.close()
    del kept[:-700]
    due += pause
    time.sleep(max(0, due - time.monotonic()))
"""


@contextlib.contextmanager
def flood(server: MetricsServer, kind: str) -> Iterator[None]:
    """Attacks a server from another process until the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", ATTACKER, str(server.port), kind], stdout=subprocess.PIPE, text=True
    ) as attacker:
        try:
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == "begun\n"
            yield
        finally:
            attacker.kill()


KINDS = [
    "aborted",
    "idle",
    "probes",
    "half a request",
    "a byte a second",
    "a large head",
    "many requests",
    "HEAD",
    "POST",
    "formats",
    "does not read",
]


@pytest.mark.parametrize("kind", KINDS)
def test_probes_answer_during_a_flood(start, registry, kind: str, caplog) -> None:
    """Probes are answered within a kubelet's second; threads, scrapes, files and log lines stay few.

    A quarter of the probes may fail, where this machine stalls: a kubelet restarts a container after three in a row.
    """
    caplog.set_level(logging.INFO)
    numbers = Numbers(0.2, samples=3000)
    registry.register(numbers)
    server = start(ready_checks={"quick": lambda: True}, live_checks={"slow": lambda: time.sleep(0.2)})
    begun, files, asked, failed, threads = time.monotonic(), len(os.listdir("/proc/self/fd")), 0, 0, 0
    with flood(server, kind):
        while time.monotonic() - begun < 1.2 or asked < 12:
            for path in PROBES:
                asked += 1
                try:
                    failed += ask(server, path, KUBELET_TIMEOUT) != (200, b"ok\n")
                except TimeoutError:
                    failed += 1
            threads = max(threads, len(server_threads()))
        files = len(os.listdir("/proc/self/fd")) - files
        if kind != "does not read":
            # While all places of scrapes are taken, the server refuses one more with 503.
            assert eventually(lambda: b"numbers{" in ask(server, "/metrics")[1])
        seconds = time.monotonic() - begun
        assert numbers.scrapes <= seconds + 2
        stopping = time.monotonic()
        assert server.stop(DEADLINE)
        assert time.monotonic() - stopping < PROMPT
    assert failed <= asked // 4
    assert threads <= THREADS + 2  # and one for each check
    assert files < 512 + 64 + 20
    assert len(caplog.records) < 10


def test_the_server_is_as_before_after_a_flood(start, registry) -> None:
    """After a flood, the server has as many threads and connections as before."""
    registry.register(Numbers())
    server = start()
    ask(server, "/healthz")
    threads, files = sorted(server_threads()), len(os.listdir("/proc/self/fd"))
    with flood(server, "half a request"):
        assert eventually(lambda: len(os.listdir("/proc/self/fd")) > files + 200)
    for path in (*PROBES, "/metrics"):
        assert ask(server, path, KUBELET_TIMEOUT)[0] == 200
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= files)
    assert sorted(server_threads()) == threads


def test_scrapes_that_come_together_share_one(start, registry) -> None:
    """The registry is read once for all formats, and all clients of a format get the same bytes."""
    numbers = Numbers(0.5)
    registry.register(numbers)
    server = start()
    forms = [{}, {"Accept_Encoding": "gzip"}, {"Accept": "application/openmetrics-text; version=1.0.0"}]
    with ThreadPoolExecutor(60) as clients:
        answers = list(clients.map(lambda number: ask(server, "/metrics", **forms[number % 3]), range(60)))
    assert numbers.scrapes == 1
    assert {status for status, _ in answers} == {200}
    bodies = [{body for _, body in answers[form::3]} for form in range(3)]
    assert [len(each) for each in bodies] == [1, 1, 1]
    plain, zipped, opened = (each.pop() for each in bodies)
    assert gzip.decompress(zipped) == plain
    assert opened.endswith(b"# EOF\n")


def test_a_scrape_is_kept_for_a_second(start, registry) -> None:
    """A scrape is shared for a second; after that the registry is read again."""
    numbers = Numbers()
    registry.register(numbers)
    server = start()
    assert ask(server, "/metrics") == ask(server, "/metrics")
    assert numbers.scrapes == 1
    assert eventually(lambda: ask(server, "/metrics")[1].count(b" 2.0") == 1)
    assert numbers.scrapes == 2


def test_chosen_names_are_shown_from_the_shared_scrape(start, registry) -> None:
    """`?name[]=` selects samples, and does not make the server scrape once more."""
    numbers = Numbers()
    registry.register(numbers)
    server = start()
    lines = ask(server, "/metrics?name[]=numbers&name[]=none")[1].decode().splitlines()
    assert [line.partition("{")[0] for line in lines if not line.startswith("#")] == ["numbers"]
    assert ask(server, "/metrics?name[]=none") == (200, b"")
    ask(server, "/metrics")
    assert numbers.scrapes == 1


def test_selections_of_names_are_bounded(start, registry) -> None:
    """Too many different selections are refused until the next scrape; other clients get their answers."""
    numbers = Numbers()
    registry.register(numbers)
    server = start()
    statuses = [ask(server, f"/metrics?name[]={number}")[0] for number in range(100)]
    assert statuses[0] == 200
    assert statuses.count(200) <= 16 * numbers.scrapes
    assert ask(server, "/metrics")[0] == 200


@pytest.mark.parametrize("version", ["1.0.7", "9", "x", "1" * 5000, "1.0.0\t\x1b[31m", "é"])
def test_unknown_versions_of_a_format_get_a_known_one(start, version: str) -> None:
    """The answer repeats nothing of the request, and there are few formats."""
    server = start()
    for kind in ("text/plain", "application/openmetrics-text"):
        request = f"GET /metrics HTTP/1.1\r\nAccept: {kind}; version={version}\r\n\r\n".encode()
        with contextlib.closing(send(server, request)) as connection:
            head = connection.recv(65536).partition(b"\r\n\r\n")[0]
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        kind_sent = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Type: "))
        assert b"version=0.0.4;" in kind_sent or b"version=1.0.0;" in kind_sent or b"version=0.0.1;" in kind_sent


def test_a_failing_scrape_is_shared_too(start, registry, caplog) -> None:
    """A collector that raises is not called for each request, and does not fill the log."""

    class Broken(Numbers):
        def collect(self) -> Iterator[Any]:
            self.scrapes += 1
            raise RuntimeError("pl4nt3d")

    broken = Broken()
    registry.register(broken)
    server = start()
    assert {ask(server, "/metrics")[0] for _ in range(50)} == {500}
    assert broken.scrapes < 5
    assert len(caplog.records) < 10


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_probes_that_come_together_share_a_check(start, seconds: float) -> None:
    """A slow check runs once. Its result is given to all that wait, or at the time limit its name."""
    calls: list[str] = []
    over = threading.Event()

    def slow() -> None:
        calls.append(threading.current_thread().name)
        over.wait(seconds)

    server = start(live_checks={"slow": slow, "fails": lambda: False}, ready_checks={"quick": lambda: True})
    begun = time.monotonic()
    with ThreadPoolExecutor(40) as clients:
        answers = clients.map(lambda number: ask(server, PROBES[number % 2], KUBELET_TIMEOUT), range(40))
        assert ask(server, "/readyz", KUBELET_TIMEOUT) == (200, b"ok\n")
        assert time.monotonic() - begun < KUBELET_TIMEOUT
        expected = b"check fails: failed\n"
        if seconds > 1:
            expected = b"check slow: still running after 0.8 s\n" + expected
        got = set(answers)
    assert {(status, text.replace(b"0.9 s", b"0.8 s")) for status, text in got} == {(503, expected)}
    assert calls == ["informer-metrics-check"]
    over.set()


def test_a_check_that_hangs_has_one_thread(start, caplog) -> None:
    """Further probes fail at once and name the check. It is called again only after it has returned."""
    go = threading.Event()
    calls: list[None] = []

    def hang() -> None:
        calls.append(None)
        assert go.wait(DEADLINE)

    server = start(live_checks={"hangs": hang}, check_timeout=0.2)
    for _ in range(20):
        status, text = ask(server, "/healthz", KUBELET_TIMEOUT)
        assert status == 503
        assert text.startswith(b"check hangs: still running after ")
    assert len(calls) == 1
    assert len(server_threads()) == THREADS + 1
    assert len(caplog.records) < 10
    assert not server.stop(0.1)
    go.set()
    assert server.stop(DEADLINE)


def test_a_check_may_run_for_longer_if_the_user_says_so(start) -> None:
    """`check_timeout` is the limit, in seconds."""
    assert ask(start(live_checks={"slow": lambda: time.sleep(1.2)}, check_timeout=5), "/healthz") == (200, b"ok\n")


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_limit_that_is_none_is_refused(start, seconds: float) -> None:
    """A time limit that is not positive, with which every check would fail, raises."""
    with pytest.raises(ValueError, match="check_timeout must be greater than 0, not"):
        start(check_timeout=seconds)


def test_nothing_is_done_for_clients_that_have_gone(start, registry) -> None:
    """No page is computed for a client that disconnected with its request or while others were served."""
    gate, calls = threading.Event(), []
    numbers = Numbers(gate=gate)
    registry.register(numbers)
    server = start(ready_checks={"counts": lambda: calls.append(None)})
    # The server looks at its connections only when these requests have come and their clients have gone.
    held = threading.Event()
    server._loop.call_soon_threadsafe(held.wait, DEADLINE)
    for path in ("readyz", "metrics") * 5:
        send(server, f"GET /{path} HTTP/1.1\r\n\r\n".encode()).close()
        reset(send(server, f"GET /{path} HTTP/1.1\r\n\r\n".encode()))
    held.set()
    assert ask(server, "/healthz") == (200, b"ok\n")
    with send(server, b"GET /metrics HTTP/1.1\r\n\r\n") as first:
        assert numbers.entered.wait(DEADLINE)
        for _ in range(5):
            send(server, b"GET /metrics?name[]=a HTTP/1.1\r\n\r\n").close()
        assert ask(server, "/healthz") == (200, b"ok\n")
        gate.set()
        assert first.recv(12) == b"HTTP/1.1 200"
    assert numbers.scrapes == 1
    assert calls == []


def test_only_connections_without_a_request_make_room(start, monkeypatch) -> None:
    """A client that waits for its answer gets it, however many idle connections come after it."""
    monkeypatch.setattr("informer.metrics.connections._MAX_CONNECTIONS", 20)
    entered, go = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert go.wait(DEADLINE)

    server = start(live_checks={"waits": wait}, check_timeout=DEADLINE)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(send(server, b"GET /healthz HTTP/1.1\r\n\r\n")) for _ in range(10)]
        assert entered.wait(DEADLINE)
        # Once a later request is answered, the server has read those of all that wait.
        assert ask(server, "/readyz") == (200, b"ok\n")
        idle = [stack.enter_context(connect(server)) for _ in range(40)]
        assert [each.recv(1) for each in idle[:30]] == [b""] * 30
        assert ask(server, "/readyz") == (200, b"ok\n")
        go.set()
        assert {each.recv(12) for each in waiting} == {b"HTTP/1.1 200"}


def test_too_many_waiting_clients_get_the_latest_answer(start, registry, monkeypatch) -> None:
    """If too many clients wait for a page, a probe gets the previous answer and a scrape 503. Other pages are not affected."""
    monkeypatch.setattr("informer.metrics.server._MAX_PER_PAGE", 5)
    entered, go = threading.Event(), threading.Event()
    go.set()

    def wait() -> None:
        assert go.wait(DEADLINE)
        entered.set()

    gate = threading.Event()
    numbers = Numbers(gate=gate)
    registry.register(numbers)
    server = start(live_checks={"waits": wait}, check_timeout=DEADLINE)
    assert ask(server, "/healthz") == (200, b"ok\n")
    go.clear()
    with contextlib.ExitStack() as stack:
        for path in ("healthz", "metrics"):
            for _ in range(5):
                stack.enter_context(send(server, f"GET /{path} HTTP/1.1\r\n\r\n".encode()))
        assert numbers.entered.wait(DEADLINE)
        assert ask(server, "/healthz") == (200, b"ok\n")
        assert ask(server, "/metrics") == (503, b"too many requests wait for this page\n")
        assert ask(server, "/readyz") == (200, b"ok\n")
        go.set()
        gate.set()
    assert eventually(lambda: ask(server, "/metrics")[0] == 200)


def test_a_request_that_never_ends_is_cut_off(start, monkeypatch) -> None:
    """A byte now and then does not extend the time for a request."""
    monkeypatch.setattr("informer.metrics.connections._REQUEST_TIMEOUT", 0.3)
    with connect(start()) as slow:
        slow.settimeout(0.05)
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while True:
                slow.send(b"G")
                with contextlib.suppress(TimeoutError):
                    if not slow.recv(1):
                        break
        assert 0.2 < time.monotonic() - begun < PROMPT


def test_a_large_answer_reaches_a_slow_client_whole(start, registry) -> None:
    """The server sends it piece by piece, also if the client has closed its side by then."""
    registry.register(Numbers(samples=50000))
    server = start()
    with contextlib.closing(send(server, b"GET /metrics HTTP/1.1\r\n\r\n")) as slow:
        received = bytearray(slow.recv(1000))
        slow.shutdown(socket.SHUT_WR)
        assert ask(server, "/readyz", KUBELET_TIMEOUT)[0] == 200
        while data := slow.recv(20000):
            received += data
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert body.count(b"\nnumbers{") == 50000


def test_clients_that_do_not_read_cost_no_memory(start, registry) -> None:
    """All clients share one body of several megabytes."""
    registry.register(Numbers(samples=20000))
    server = start()
    length = len(ask(server, "/metrics")[1])
    with contextlib.ExitStack() as stack:
        before = resident()
        for _ in range(100):
            stack.enter_context(send(server, b"GET /metrics HTTP/1.1\r\n\r\n")).recv(1)
        assert resident() - before < 20 * length
        assert ask(server, "/metrics")[0] == 200


def resident() -> int:
    """Returns this process's memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_head_and_pipelined_requests_get_one_answer(start) -> None:
    """HEAD gets no body. Requests after the first one are not answered and do not reset the connection."""
    server = start()
    for method, body in ((b"HEAD", b""), (b"GET", b"ok\n")):
        request = method + b" /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        with send(server, request * 50) as connection:
            received = b""
            while data := connection.recv(65536):
                received += data
        head, _, rest = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Length: 3" in head
        assert rest == body


def test_no_answer_shows_versions(start) -> None:
    """No answer has a Server header, also none to a request that is refused."""
    server = start()
    for request in (b"GET /healthz HTTP/1.1", b"POST /healthz HTTP/1.1", b"nonsense", b"GET /x HTTP/1.1"):
        with send(server, request + b"\r\n\r\n") as connection:
            received = connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 ")
        assert b"server:" not in received.lower()
        assert b"python" not in received.lower()


def test_a_foreign_wsgi_server_shares_work_too(registry) -> None:
    """The application of `make_app` reads the registry once for threads that come together, and calls a check once."""
    from informer.metrics import make_app

    numbers, calls = Numbers(0.3), []

    def slow() -> None:
        calls.append(None)
        time.sleep(0.3)

    registry.register(numbers)
    app = make_app(registry=registry, informers=[], ready_checks={"slow": slow})

    def get(path: str) -> bytes:
        return b"".join(app({"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda status, headers: None))

    with ThreadPoolExecutor(20) as clients:
        pages = list(clients.map(get, ["/metrics", "/readyz"] * 10))
    assert set(pages[1::2]) == {b"ok\n"}
    assert len(set(pages[::2])) == 1
    assert numbers.scrapes == len(calls) == 1


def test_a_child_does_not_show_what_its_parent_has_read() -> None:
    """A scrape that is less than a second old belongs to the parent."""
    program = """
    import os
    from prometheus_client import CollectorRegistry, Gauge
    from informer.metrics import make_app
    registry = CollectorRegistry()
    Gauge("process", "The process.", registry=registry).set_function(os.getpid)
    app = make_app(registry=registry, informers=[])
    def page():
        return b"".join(app({"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"}, lambda status, headers: None)).decode()
    assert f"process {float(os.getpid())}" in page()
    child = os.fork()
    if not child:
        os._exit(f"process {float(os.getpid())}" not in page())
    assert os.waitpid(child, 0)[1] == 0
    """
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=DEADLINE, cwd=root)

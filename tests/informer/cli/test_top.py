"""`informer top`: the table, and what it says when there is none."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import informer.cli.top
from informer import SharedInformer
from informer.cli.errors import CommandError
from informer.cli.top import PageReader, _LiveView, show_top
from informer.metrics import MetricsServer, serve, serve_live_page
from informer.testing.fake_source import FakeControllerSource
from tests.support.http_servers import Connection, HTTPServer
from tests.support.waiting import DEADLINE, eventually

LONG = "a-resource-with-a-long-name.and-a-group.example.com"
HEADINGS = ["NAME", "STATUS", "OBJECTS", "RATE", "AGE", "BACKLOG", "LAG", "ERRORS", "BYTES", "VERSION"]


@pytest.fixture
def registry() -> CollectorRegistry:
    """A new registry."""
    return CollectorRegistry()


@pytest.fixture
def informers() -> Iterator[list[SharedInformer[Any]]]:
    """Two running informers, of which one has a hostile name."""
    made = []
    for name in ("pods", "evil\x1b[2J"):
        source = FakeControllerSource()
        source.add({"metadata": {"name": "a", "namespace": "ns"}})
        one: SharedInformer[Any] = SharedInformer(source, name=name, watch_list=False)
        one.start()
        assert one.wait_for_sync(DEADLINE)
        made.append(one)
    yield made
    for one in made:
        one.stop(DEADLINE)


@pytest.fixture
def server(registry, informers) -> Iterator[MetricsServer]:
    """A server of their live page."""
    with serve_live_page(0, registry=registry) as made:
        yield made


@pytest.fixture(autouse=True)
def surroundings(monkeypatch) -> None:
    """A terminal of 80 columns, and no token."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("INFORMER_TOKEN", raising=False)


def top(server: MetricsServer, path: str = "", token_file: Any = None) -> list[str]:
    out = io.StringIO()
    show_top(f"http://127.0.0.1:{server.port}{path}", token_file, threading.Event(), out=out)
    return out.getvalue().splitlines()


def test_a_pipe_has_one_table(server) -> None:
    """Each informer is a row, with a rate, and without control characters."""
    headings, first, second = top(server)
    assert headings.split() == HEADINGS
    cells = first.split()
    assert cells[:4] == ["pods", "synced", "1", "0.0"]
    assert cells[5:8] == ["0", "0.0s", "0"]
    assert second.startswith("evil\ufffd[2J")


def test_a_narrow_terminal_has_the_whole_name(server, monkeypatch) -> None:
    """Columns are left out from the end, and no line is wider than 80 columns."""
    monkeypatch.setattr(informer.cli.top, "_SPAN", 0.0)
    one: SharedInformer[Any] = SharedInformer(FakeControllerSource(), name=LONG)
    with one:
        lines = top(server)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(f"{LONG} ") for line in lines)
    assert lines[0].split() == HEADINGS[: len(lines[0].split())]


def test_the_token_comes_from_the_environment_or_a_file(registry, monkeypatch, tmp_path) -> None:
    """A missing or wrong one is reported with the places."""
    with serve_live_page(0, registry=registry, token="0123-top-token") as server:
        with pytest.raises(
            CommandError, match=r"needs a token \(401\): give it in INFORMER_TOKEN or with --token-file"
        ):
            top(server)
        file = tmp_path / "token"
        file.write_text("0123-wrong\n")
        with pytest.raises(CommandError, match=r"does not accept the token \(401\)"):
            top(server, token_file=file)
        file.write_text("0123-top-token\n")
        assert top(server, token_file=file)[0].split() == HEADINGS
        monkeypatch.setenv("INFORMER_TOKEN", "0123-top-token")
        assert top(server)[0].split() == HEADINGS
        file.write_bytes(b"\xff\xfe")
        with pytest.raises(CommandError, match=r"cannot read the token in .*: it is not text"):
            top(server, token_file=file)
        file.write_text("two\nlines")
        with pytest.raises(
            CommandError, match="the token has characters that a header cannot have: is it the right file"
        ):
            top(server, token_file=file)
        with pytest.raises(CommandError, match=r"cannot read the token in .*: No such file"):
            top(server, token_file=tmp_path / "none")


def test_what_is_not_a_live_page_is_reported(server, registry) -> None:
    """Another path, the port of the metrics, a port where nothing listens, and an address that is none."""
    with pytest.raises(CommandError, match=r"is not a live page \(status 404\): the port of the live page is needed"):
        top(server, "/elsewhere")
    with serve(0, "127.0.0.1", registry=registry) as other:
        with pytest.raises(CommandError, match=r"is not a live page \(status 404\)"):
            top(other)
        port = other.port
    with pytest.raises(
        CommandError, match=rf"nothing answers at http://127.0.0.1:{port}: start the program with Manager"
    ):
        PageReader(f"http://127.0.0.1:{port}").read()
    with pytest.raises(CommandError, match=r"--url 127.0.0.1: an address begins with http:// or https://"):
        PageReader("127.0.0.1")
    with pytest.raises(
        CommandError, match=r"failed to read http://127.0.0.1:99999: .*check --url, and whether the process runs"
    ):
        PageReader("http://127.0.0.1:99999").read()


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    """The page takes a token, and messages quote addresses."""
    with pytest.raises(CommandError, match="--url has a user name: leave it out, and give the token in") as refused:
        PageReader("http://me:hunter2@127.0.0.1:1/")
    assert "hunter2" not in str(refused.value)


def test_an_answer_that_is_nested_too_deeply_is_no_live_page() -> None:
    """Another program's JSON must not end this one with a traceback."""
    deep = "[" * 100_000 + "]" * 100_000
    body = f'{{"host": "h", "pid": 1, "other": {deep}, "informers": []}}'.encode()
    stub = HTTPServer(lambda request, connection: connection.answer(body))
    with closing(stub), pytest.raises(CommandError, match="is not a live page"):
        PageReader(stub.url).read()


def test_an_answer_without_an_end_is_given_up(monkeypatch) -> None:
    """Each byte comes in time, but not all of them."""
    monkeypatch.setattr(informer.cli.top, "_TIMEOUT", 0.2)

    def drip(request: Any, connection: Connection) -> None:
        connection.begin()
        # Until the client has closed the connection.
        while True:
            connection.chunk(b" ")

    stub = HTTPServer(drip)
    with closing(stub), pytest.raises(CommandError, match=r"is not a live page: its answer takes more than 0.2 s"):
        PageReader(stub.url).read()


def test_a_terminal_keeps_the_last_table_when_the_process_is_gone(server) -> None:
    """The line below says that it is old."""
    reader = PageReader(f"http://127.0.0.1:{server.port}")
    live = _LiveView(reader, reader.read(), threading.Event())
    assert live.view().caption.startswith("2 informers of process")
    server.stop(DEADLINE)
    view = live.view()
    assert [row[0] for row in view.rows] == ["pods", "evil\ufffd[2J"]
    assert view.caption.startswith("NOT UP TO DATE: nothing answers at")


def test_ctrl_c_ends_the_program(server) -> None:
    """In a terminal the table is shown until then; the exit code is 0, and no traceback is shown."""
    ours, theirs = pty.openpty()
    url = f"http://127.0.0.1:{server.port}"
    command = [sys.executable, "-m", "informer", "top", "--url", url]
    program = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    shown = bytearray()
    try:
        assert eventually(lambda: b"pods" in shown or shown.extend(os.read(ours, 4096)))
        program.send_signal(signal.SIGINT)
        assert program.wait(DEADLINE) == 0
    finally:
        program.kill()
        program.wait()
        os.close(ours)
    assert b"Traceback" not in shown


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_an_output_that_cannot_be_written(server) -> None:
    """A full disk is an error; a reader of a pipe that has exited is not."""
    message = "cannot write the output: No space left on device"
    with open("/dev/full", "w", encoding="utf-8") as full, pytest.raises(CommandError, match=message):
        show_top(f"http://127.0.0.1:{server.port}", None, threading.Event(), out=full)
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as closed:
        show_top(f"http://127.0.0.1:{server.port}", None, threading.Event(), out=closed)

"""`informer top`: the informers of a running process, as its live page shows them."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

import msgspec
import urllib3
from rich.filesize import decimal
from urllib3.exceptions import HTTPError, LocationValueError, NewConnectionError

from informer.cli.errors import CommandError
from informer.cli.fitting import fit, line_of
from informer.cli.live_table import View, show_in_place
from informer.cli.output import write_text
from watch.printable import hide_secret, printable

__all__ = ["TOKEN_VARIABLE", "PageReader", "show_top"]

TOKEN_VARIABLE = "INFORMER_TOKEN"
_HEADINGS = ("NAME", "STATUS", "OBJECTS", "RATE", "AGE", "BACKLOG", "LAG", "ERRORS", "BYTES", "VERSION")
_TIMEOUT = 5.0
_MAX_BODY = 16 * 1024 * 1024
# Seconds between the two looks from which the rates of a table in a pipe are computed.
_SPAN = 1.0


class _Informer(msgspec.Struct):
    """What is shown of an informer; see `informer.metrics.live_page.state.InformerState`."""

    name: str
    state: str
    error: str
    objects: int
    bytes: float | None
    resource_version: str
    event_rate: float | None
    event_age: float | None
    backlog: float
    lag: float
    errors: float


class _Process(msgspec.Struct):
    host: str
    pid: int
    informers: list[_Informer]


class PageReader:
    """Reads the state that the live page of a process serves.

    Args:
        url: the address of the page.
        token: its bearer token; "" for none.

    Raises:
        CommandError: the address is not one of HTTP.

    Threads: one at a time.
    """

    def __init__(self, url: str, token: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise CommandError(f"--url {url}: an address begins with http:// or https://")
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise CommandError(
                f"--url has a user name: leave it out, and give the token in {TOKEN_VARIABLE} or with --token-file"
            )
        if token and not (token.isascii() and token.isprintable()):
            raise CommandError("the token has characters that a header cannot have: is it the right file?")
        hide_secret(token)
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    def read(self) -> _Process:
        """Returns the state.

        Raises:
            CommandError: the process cannot be reached, or does not show its live page here; the message says what to do.
        """
        try:
            answer = self._pool.request(
                "GET", f"{self._url}/state.json", headers=self._headers, redirect=False, preload_content=False
            )
            with answer:
                status, body = answer.status, self._read_body(answer)
        except (NewConnectionError, ConnectionRefusedError) as error:
            raise CommandError(
                f"nothing answers at {self._url}: start the program with Manager(live_page=PORT) or "
                "informer.metrics.serve_live_page(PORT), forward the port of a pod with kubectl port-forward, or correct --url"
            ) from error
        except (HTTPError, LocationValueError, OSError) as error:
            raise CommandError(
                f"failed to read {self._url}: {error}: check --url, and whether the process runs"
            ) from error
        if status == 401:
            problem = "does not accept the token" if self._headers else "needs a token"
            raise CommandError(f"{self._url} {problem} (401): give it in {TOKEN_VARIABLE} or with --token-file")
        try:
            if status == 200:
                return msgspec.json.decode(body, type=_Process)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        raise CommandError(
            f"{self._url} is not a live page (status {status}): the port of the live page is needed, not that of /metrics, "
            "and the path under which the program mounts it"
        )

    def _read_body(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        # The time-out of the pool counts anew for each byte.
        deadline = time.monotonic() + _TIMEOUT
        body = bytearray()
        while len(body) < _MAX_BODY and (piece := answer.read1(65536)):
            body += piece
            if time.monotonic() > deadline:
                raise CommandError(f"{self._url} is not a live page: its answer takes more than {_TIMEOUT:g} s")
        return bytes(body)


def show_top(
    url: str, token_file: Path | None, stop: threading.Event, seconds: float | None = None, out: TextIO = sys.stdout
) -> None:
    """Shows the informers of a process: in place in a terminal, otherwise once.

    Args:
        url: the address of its live page.
        token_file: the file with the page's token; None takes the environment variable INFORMER_TOKEN.
        stop: ends the function.
        seconds: how long to show them in a terminal; None shows them until `stop` is set.
        out: where to write.

    Raises:
        CommandError: the token file or the page cannot be read, or the output cannot be written.
    """
    reader = PageReader(url, _token(token_file))
    process = reader.read()
    if out.isatty():
        deadline = None if seconds is None else time.monotonic() + seconds
        show_in_place(_LiveView(reader, process, stop).view, threading.Event(), stop, deadline)
        return
    # The first look at a process has no rates.
    if any(each.event_rate is None for each in process.informers) and not stop.wait(_SPAN):
        process = reader.read()
    rows = [_cells(each) for each in process.informers]
    widths = fit(_HEADINGS, rows, shutil.get_terminal_size().columns)
    write_text(out, "".join(f"{line_of(cells, widths)}\n" for cells in (_HEADINGS, *rows)))


class _LiveView:
    """Reads the state for each drawing. While that fails, the last state stays, and the caption says why."""

    def __init__(self, reader: PageReader, process: _Process, stop: threading.Event) -> None:
        self._reader = reader
        self._process = process
        self._stop = stop

    def view(self) -> View:
        problem = ""
        if not self._stop.is_set():
            try:
                self._process = self._reader.read()
            except CommandError as error:
                problem = f"NOT UP TO DATE: {error}"
        process = self._process
        failing = [f"{each.name}: {each.error}" for each in process.informers if each.error]
        number = len(process.informers)
        where = f"{number} informer{'' if number == 1 else 's'} of process {process.pid} on {process.host}"
        caption = printable("; ".join([where, *failing]), 1024)
        return View(_HEADINGS, [_cells(each) for each in process.informers], problem or caption)


def _token(path: Path | None) -> str:
    if path is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandError(f"cannot read the token in {path}: {reason}") from error


def _cells(each: _Informer) -> list[str]:
    return [
        printable(each.name, 253),
        printable(each.state),
        str(each.objects),
        "" if each.event_rate is None else f"{each.event_rate:.1f}",
        "" if each.event_age is None else _duration(each.event_age),
        f"{each.backlog:.0f}",
        _duration(each.lag),
        f"{each.errors:.0f}",
        "" if each.bytes is None else decimal(int(each.bytes)),
        printable(each.resource_version),
    ]


def _duration(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 60 else f"{seconds / 60:.0f}m" if seconds < 5400 else f"{seconds / 3600:.0f}h"

"""Samples run as programs of their own, as a user would run them."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from watch import Channel, ChannelClosedError
from watch.concurrency import Worker

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


class Program:
    """A sample under way, whose lines are read as they come."""

    def __init__(self, name: str, *arguments: str, env: dict[str, str] | None = None, **popen: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SAMPLES / name), *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": "", **(env or {})},
            stdout=popen.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            text=True,
            **popen,
        )
        self.lines: Channel[tuple[float, str]] = Channel(None)
        self.complaints: Channel[tuple[float, str]] = Channel(None)
        self._readers = [
            Worker(lambda stream=stream, lines=lines: self._read(stream, lines), "sample-reader").start()
            for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.complaints))
            if stream is not None
        ]
        if self.process.stdout is None:
            self.lines.close()

    @staticmethod
    def _read(stream: Any, lines: Channel[tuple[float, str]]) -> None:
        for line in stream:
            lines.put((time.monotonic(), line.rstrip("\n")))
        lines.close()

    def wait_for(
        self, wanted: Callable[[str], bool] | str, timeout: float = 15, *, stderr: bool = False
    ) -> tuple[float, str]:
        """The next line that holds a text (or passes a test), with the moment at which it was read."""
        test = wanted if callable(wanted) else lambda line: wanted in line
        lines = self.complaints if stderr else self.lines
        deadline = time.monotonic() + timeout
        while True:
            moment, line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            if test(line):
                return moment, line

    def interrupt(self) -> float:
        """Presses Ctrl-C and returns the seconds it took to end, without those in which it had no processor."""
        begun, waited = time.monotonic(), self._seconds_without_processor()
        self.process.send_signal(signal.SIGINT)
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        seconds = time.monotonic() - begun - (self._seconds_without_processor() - waited)
        self.process.wait(10)
        return seconds

    def _seconds_without_processor(self) -> float:
        """How long its main thread was ready to run and did not, since other programs did; 0 where nobody counts that."""
        counts = Path(f"/proc/{self.process.pid}/schedstat")
        return int(counts.read_text().split()[1]) / 1e9 if counts.exists() else 0.0

    def end(self, timeout: float = 30) -> tuple[int, list[str], list[str]]:
        """Waits for its end: the exit code, the lines not yet read, and what it said on stderr."""
        code = self.process.wait(timeout)
        return code, self._rest(self.lines), self._rest(self.complaints)

    def _rest(self, lines: Channel[tuple[float, str]]) -> list[str]:
        rest = []
        try:
            while True:
                rest.append(lines.get(timeout=10)[1])
        except ChannelClosedError:
            return rest

    def close(self) -> None:
        """Ends it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for reader in self._readers:
            reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def run_sample() -> Iterator[Callable[..., Program]]:
    """Starts samples, and ends those that still run when the test is over."""
    programs: list[Program] = []

    def run(name: str, *arguments: str, **options: Any) -> Program:
        programs.append(Program(name, *arguments, **options))
        return programs[-1]

    yield run
    for program in programs:
        program.close()


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a sample, or a module that samples share, into this process."""
    monkeypatch.syspath_prepend(str(SAMPLES))
    return importlib.import_module

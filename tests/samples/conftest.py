"""Runs samples as programs, as a user would."""

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
    """A running sample, whose output is read line by line as it arrives."""

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
        self.errors: Channel[tuple[float, str]] = Channel(None)
        self._readers = [
            Worker(lambda stream=stream, lines=lines: self._read(stream, lines), "sample-reader").start()
            for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
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
        self, wanted: Callable[[str], bool] | str, timeout: float = 40, *, stderr: bool = False
    ) -> tuple[float, str]:
        """Returns the next line that contains a text or passes a test, with the monotonic time at which it was read."""
        test = wanted if callable(wanted) else lambda line: wanted in line
        lines = self.errors if stderr else self.lines
        deadline = time.monotonic() + timeout
        while True:
            moment, line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            if test(line):
                return moment, line

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> float:
        """Sends a signal, by default that of Ctrl-C.

        Returns:
            The seconds until the program ended, without those in which it waited for a processor.
        """
        begun, waited = time.monotonic(), self._seconds_without_processor()
        self.process.send_signal(number)
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        seconds = time.monotonic() - begun - (self._seconds_without_processor() - waited)
        self.process.wait(10)
        return seconds

    def _seconds_without_processor(self) -> float:
        """The seconds for which the main thread was ready to run but other programs had the processor; 0 if not counted."""
        counts = Path(f"/proc/{self.process.pid}/schedstat")
        return int(counts.read_text().split()[1]) / 1e9 if counts.exists() else 0.0

    def end(self, timeout: float = 30) -> tuple[int, list[str], list[str]]:
        """Waits for the end; returns the exit code, the unread lines of stdout, and the unread lines of stderr.

        The line that a slow machine prints while the first list is awaited is left out.
        """
        code = self.process.wait(timeout)
        errors = [
            line for line in self._rest(self.errors) if not (line.startswith("loading ") and line.endswith("..."))
        ]
        return code, self._rest(self.lines), errors

    def _rest(self, lines: Channel[tuple[float, str]]) -> list[str]:
        rest = []
        try:
            while True:
                rest.append(lines.get(timeout=10)[1])
        except ChannelClosedError:
            return rest

    def close(self) -> None:
        """Kills the program if it still runs, and closes its pipes."""
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
    """Starts samples; those that still run are killed when the test is over."""
    programs: list[Program] = []

    def run(name: str, *arguments: str, **options: Any) -> Program:
        programs.append(Program(name, *arguments, **options))
        return programs[-1]

    yield run
    for program in programs:
        program.close()


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a sample, or a module shared by samples, into this process."""
    monkeypatch.syspath_prepend(str(SAMPLES))
    return importlib.import_module


@pytest.fixture(
    params=["embedded_apiserver", pytest.param("control_plane", marks=[pytest.mark.cluster, pytest.mark.timeout(120)])]
)
def server(request: pytest.FixtureRequest) -> Any:
    """Each of the two servers."""
    return request.getfixturevalue(request.param)

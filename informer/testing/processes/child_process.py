"""A program that runs beside the tests and ends with them.

Comes in: a command. Goes out: a process whose output is in a file, which no Ctrl-C in the terminal reaches, and which does
not outlive the one that started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from informer.testing.processes import tied_exec

__all__ = ["ChildProcess"]


class ChildProcess:
    """One program, started any number of times, one after another.

    Args:
        name: for messages.
        command: the program, as an absolute path, and its arguments.
        log: the file that its output is appended to.

    Threads: any, one at a time.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # where the output of the present run begins

    @property
    def pid(self) -> int | None:
        """The process's id, None when it does not run."""
        return self._process.pid if self.is_running and self._process is not None else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it.

        Raises:
            RuntimeError: it runs already.
            OSError: the system cannot run it.
        """
        if self.is_running:
            raise RuntimeError(f"{self.name} has started already")
        # Programs of this kind take settings from the environment, and a test's must not depend on the shell's.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ETCD_", "KUBE_"))}
        with self._log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the command is the caller's
                [*_tie(), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                # A session of its own: Ctrl-C ends the tests first, and they end this.
                start_new_session=True,
            )

    def wait(self, timeout: float) -> bool:
        """Waits at most `timeout` seconds for it to end; returns whether it has."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Ends it at once, by SIGKILL, and waits until it has ended; harmless when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """Stops it where it is, by SIGSTOP: its connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def output(self) -> str:
        """What it has written since it was last started."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def last_lines(self, count: int = 20) -> str:
        """The last lines of its output, for an error's message."""
        lines = self.output().splitlines()[-count:]
        return "\n".join(f"  {line[:500]}" for line in lines) or "  (nothing)"

    def _signal(self, number: int) -> None:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} has not started, or has ended")
        self._process.send_signal(number)


def _tie() -> list[str]:
    """What goes before a command so that it dies with this process, where the system can do that.

    The kernel takes the *thread* that started it for its parent, so the main thread alone is sure to live long enough.
    """
    if not sys.platform.startswith("linux") or not sys.executable or threading.get_native_id() != os.getpid():
        return []
    return [sys.executable, "-I", "-S", tied_exec.__file__, str(os.getpid())]

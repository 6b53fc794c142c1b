"""A child process that runs beside the tests and ends with them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from informer.testing.processes import tied_exec

__all__ = ["ChildProcess"]


class ChildProcess:
    """A program as a child process, which may be started again after it has ended.

    Its output goes to a file. Ctrl-C in the terminal does not reach it. On Linux the kernel kills it when the test run
    dies, if the main thread started it.

    Args:
        name: the program's name in messages.
        command: the program's absolute path, and its arguments.
        log: the file to which its output is appended.

    Threads: any, one at a time.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # where the output of the present run begins, in bytes

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the program.

        Raises:
            RuntimeError: it is running already.
            OSError: the system cannot run it.
        """
        if self.is_running:
            raise RuntimeError(f"{self.name} has started already")
        # etcd takes every flag from the environment too; a developer's settings must not change the tests.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ETCD_", "KUBE_"))}
        with self._log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the command is the caller's
                [*_tie(), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                # In its own session Ctrl-C does not reach it: the tests end first, and then end it.
                start_new_session=True,
            )

    def wait(self, timeout: float) -> bool:
        """Waits at most `timeout` seconds for the process to end; returns whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                self._process.wait(timeout)
        return not self.is_running

    def kill(self) -> None:
        """Kills the process by SIGKILL and waits until it has ended. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspends the process within the block: its connections stay open, and it does not answer.

        Raises:
            RuntimeError: it does not run.
        """
        process = self._process
        if process is None or not self.is_running:
            raise RuntimeError(f"{self.name} has not started, or has ended")
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def output(self) -> str:
        """Returns the output since the last start."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def last_lines(self, count: int = 20) -> str:
        """Returns the last `count` lines of the output, indented, for an error message."""
        lines = self.output().splitlines()[-count:]
        return "\n".join(f"  {line[:500]}" for line in lines) or "  (nothing)"


def _tie() -> list[str]:
    """Returns the prefix of a command that has the kernel kill the program when this process dies; empty if impossible.

    The kernel kills the program when the *thread* that started it ends, so only the main thread may use the prefix.
    """
    if not sys.platform.startswith("linux") or not sys.executable or threading.get_native_id() != os.getpid():
        return []
    return [sys.executable, "-I", "-S", tied_exec.__file__, str(os.getpid())]

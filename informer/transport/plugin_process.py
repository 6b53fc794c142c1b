"""The process of an exec plugin: finds the program as Go does, bounds its output and time, and kills it with its children."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from watch.concurrency import Lock

__all__ = ["PluginProcess", "RelativePathError", "find_program"]

_READ_SIZE = 64 * 1024
_POLL_INTERVAL = 0.1  # seconds between checks whether the process has ended while its pipe is open
_SHORTEST_WAIT = 0.0005  # seconds, doubled up to _POLL_INTERVAL


class RelativePathError(Exception):
    """A program was found through a relative entry of PATH, which depends on the working directory. The text is the entry."""


def find_program(command: str) -> str:
    """Returns the path of a command's program. A command without a slash is looked up in this process's PATH.

    Raises:
        FileNotFoundError: PATH has no program of this name.
        PermissionError: there is a file of this name, but it cannot be executed.
        RelativePathError: the first program of this name is in a relative entry of PATH, such as "." or "".

    Source: Go os/exec.LookPath and ErrDot.
    """
    if os.sep in command:
        return command
    found: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command)
    for entry in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(entry or ".", command)
        if not os.path.isfile(path):
            continue
        if os.access(path, os.X_OK):
            if not os.path.isabs(path):
                raise RelativePathError(entry)
            return path
        found = PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    raise found


class PluginProcess:
    """A running plugin.

    It leads a session of its own, so that it can be killed together with the processes that it has started. An interactive
    plugin stays in this process's session, because otherwise it could not read from the terminal.

    Args:
        command: the command and its arguments.
        environment: the whole environment.
        folder: the working directory; None for this process's own.
        interactive: whether the plugin reads from this process's standard input.

    Raises:
        OSError: the program cannot be started.
        ValueError: an argument or variable has a character that the system does not allow.
        RelativePathError: see `find_program`.

    Threads: `read` on one thread; `kill` on any.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], folder: str | None, interactive: bool
    ) -> None:
        self._lock = Lock()
        self._leads_session = not interactive
        self._process = subprocess.Popen(  # noqa: S603 - the command is what the kubeconfig names
            command,
            executable=find_program(command[0]),
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=folder or None,
            start_new_session=self._leads_session,
        )

    @property
    def exit_code(self) -> int | None:
        """The exit code; negative for a signal; None while the process runs."""
        return self._process.returncode

    def kill(self) -> None:
        """Kills the plugin and the processes of its session. Does nothing after it has ended. Idempotent."""
        # The lock keeps the process from being reaped meanwhile, so its id cannot belong to another process.
        with self._lock:
            if self._process.poll() is not None:
                return
            # macOS refuses to signal a group in which a process has just ended.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if self._leads_session:
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()

    def close(self) -> None:
        """Kills the plugin if it still runs, and waits for its end."""
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()

    def read(self, deadline: float, most: int) -> bytes:
        """Returns the output, as soon as the plugin has ended or has written more than `most` bytes.

        A child that the plugin leaves behind may hold the pipe open; this method does not wait for it.

        Args:
            deadline: when the plugin must have ended, by `time.monotonic`.
            most: the number of bytes at which reading stops.

        Raises:
            subprocess.TimeoutExpired: the plugin has not ended in time.
        """
        assert self._process.stdout is not None
        pipe, output, is_open, wait = self._process.stdout.fileno(), b"", True, _SHORTEST_WAIT
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while len(output) <= most:
                # Checked before the pipe: once the plugin has ended, the pipe has all of its output.
                ended = self._has_ended()
                if ended and not is_open:
                    break
                left = deadline - time.monotonic()
                if left <= 0 and not ended:
                    raise subprocess.TimeoutExpired(self._process.args, left)
                if selector.select(0 if ended else min(max(left, 0), wait if not is_open else _POLL_INTERVAL)):
                    piece = os.read(pipe, _READ_SIZE)
                    output += piece
                    if not piece:
                        is_open = False
                        selector.unregister(pipe)
                elif ended:
                    break
                elif not is_open:
                    wait = min(2 * wait, _POLL_INTERVAL)
        return output

    def _has_ended(self) -> bool:
        with self._lock:
            return self._process.poll() is not None

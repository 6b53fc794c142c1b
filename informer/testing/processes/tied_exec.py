"""Becomes another program that dies with the process that started it.

Run as a script: `python tied_exec.py PARENT_PID PROGRAM ARGUMENT...`. A process of its own, and not a `preexec_fn`, since
code between fork and exec may deadlock in a process that has threads.

Source: prctl(2), PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Asks for the signal, then becomes the program."""
    parent, command = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have died before the signal was asked for.
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])

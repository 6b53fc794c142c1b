"""A script that turns into another program, which the kernel kills when its parent process dies.

Usage: `python tied_exec.py PARENT_PID PROGRAM ARGUMENT...`. It is a script and not a `preexec_fn`, since Python code
between fork and exec may deadlock in a process with several threads.

Source: prctl(2), PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Asks the kernel for the signal, then executes the program."""
    parent, command = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before prctl was called.
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - a shell is not wanted


if __name__ == "__main__":
    main(sys.argv[1:])

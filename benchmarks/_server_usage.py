"""CPU time and memory of another process, such as an API server, from /proc (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessUsage:
    """The CPU time and the peak memory of a process since an object of this class was made.

    Making it resets the kernel's peak, so of several objects only the newest measures memory.

    Args:
        pid: the process's id.
    """

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        # 5 sets the peak (VmHWM) to the present resident memory. Source: proc(5), clear_refs.
        (self._folder / "clear_refs").write_text("5")
        self._cpu_before = self._cpu_seconds()
        self._mb_before = self._status_mb("VmRSS")

    def cpu_seconds(self) -> float:
        """Returns the CPU time (user and system) used since then."""
        return self._cpu_seconds() - self._cpu_before

    def growth_mb(self) -> float:
        """Returns the peak of the resident memory since then, less what was resident at the beginning."""
        return self._status_mb("VmHWM") - self._mb_before

    def _cpu_seconds(self) -> float:
        # The second field is the program's name in parentheses; user and system time are fields 14 and 15.
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _status_mb(self, name: str) -> float:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:"))

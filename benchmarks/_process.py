"""What the benchmarks read of this process, and the server that they start beside it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def rss_mb() -> float:
    """Resident memory in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds() -> float:
    """CPU time of this process so far, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def context_switches() -> int:
    """How often this process's threads that still run have woken up or were made to wait."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return total


def threads_by_kind() -> Counter[str]:
    """How many threads there are of each kind, by their names."""

    def kind(name: str) -> str:
        last = name.rpartition("-")[2]
        if last in ("handler", "resync"):
            return last
        return name if name in ("MainThread", "watch-stop-events") else "informer"

    return Counter(kind(thread.name) for thread in threading.enumerate())


def percentile(ordered: Sequence[float], part: float) -> float:
    """The value below which so large a part of these (sorted) lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


@contextmanager
def beside(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a program of this directory, whose output is read and which ends with the block."""
    command = [sys.executable, str(Path(__file__).with_name(program)), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield process
        finally:
            process.kill()

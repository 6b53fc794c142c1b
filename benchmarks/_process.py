"""Measures this process, and starts helper processes."""

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
    """Returns the resident memory in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds() -> float:
    """Returns the CPU time of this process so far, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def context_switches() -> int:
    """Returns the number of context switches of this process's live threads."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return total


def threads_by_kind() -> Counter[str]:
    """Counts threads by kind, which their names tell."""

    def kind(name: str) -> str:
        last = name.rpartition("-")[2]
        if last in ("handler", "resync"):
            return last
        return name if name in ("MainThread", "watch-stop-events") else "informer"

    return Counter(kind(thread.name) for thread in threading.enumerate())


def percentile(ordered: Sequence[float], part: float) -> float:
    """Returns the percentile (0.99 for p99) of sorted values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


@contextmanager
def helper_process(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a program of this directory until the block ends; its standard input and output are pipes."""
    command = [sys.executable, str(Path(__file__).with_name(program)), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield process
        finally:
            process.kill()

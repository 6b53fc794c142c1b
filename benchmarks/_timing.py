"""Measures the work of functions: in instructions, or in CPU time relative to a fixed loop.

Wall time is not used. valgrind counts instructions, which differ by less than a percent between runs, whatever else the
machine does. CPU time in units of the loop can be compared roughly between machines.
"""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["count_calls", "cpu_times", "has_valgrind", "instructions_of"]

# Instructions are counted inside calls of this C function, through which ctypes calls its callbacks.
_GATE = "ffi_call"


def _calibration() -> float:
    """Returns the CPU seconds of a fixed amount of work, similar to that of an informer."""
    begin = time.process_time()
    kept: dict[str, tuple[bytes, str]] = {}
    data = b'{"metadata":{"name":"web","namespace":"shop"},"spec":{"replicas":3}}\n' * 40
    for i in range(2000):
        line = data[i % 40 : i % 40 + 1000]
        at = line.find(b"replicas", 500)
        key = f"shop/{i % 500}"
        kept[key] = (line, key)
        if line.startswith(b"{") and at in kept:
            kept.clear()
    return time.process_time() - begin


def cpu_times(make: Mapping[str, Callable[[], Callable[[], object]]], rounds: int) -> tuple[dict[str, float], float]:
    """Returns the lowest CPU seconds of each function, and of the fixed loop.

    Args:
        make: prepares each function anew for each round.
        rounds: how many times each function runs. The functions take turns, so that a noisy minute does not hit only one.
    """
    best = dict.fromkeys(make, float("inf"))
    unit = float("inf")
    for _ in range(rounds):
        for name, prepare in make.items():
            function = prepare()
            with _no_collections():
                unit = min(unit, _calibration())
                begin = time.process_time()
                function()
                best[name] = min(best[name], time.process_time() - begin)
            del function
    return best, unit


@contextmanager
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def has_valgrind() -> bool:
    """Returns whether instructions can be counted."""
    return shutil.which("valgrind") is not None


def instructions_of(script: list[str], names: list[str], keep: Path | None = None) -> dict[str, int]:
    """Runs a Python script under valgrind and returns the instructions of each call. The script calls `count_calls` once.

    Args:
        script: the script and its arguments.
        names: the names of the functions passed to `count_calls`, in order.
        keep: a folder for callgrind's files, which `callgrind_annotate` reads; None deletes them.

    Raises:
        RuntimeError: the script failed, or made fewer calls than there are names.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(keep or scratch) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--toggle-collect={_GATE}"]
        command += [f"--dump-after={_GATE}", sys.executable, *script]
        # With a random seed, dicts would collide differently in each run.
        done = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
        )
        dumps = [Path(f"{out}.{number}") for number in range(1, len(names) + 1)]
        if done.returncode or not all(dump.exists() for dump in dumps):
            raise RuntimeError(f"counting instructions failed:\n{done.stderr[-2000:]}")
        return {name: _total(dump) for name, dump in zip(names, dumps, strict=True)}


def _total(dump: Path) -> int:
    with dump.open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))


def count_calls(functions: Iterator[Callable[[], object]]) -> None:
    """Calls each function so that `instructions_of` can separate its instructions from all others."""
    for function in functions:
        with _no_collections():
            failed: list[BaseException] = []
            ctypes.PYFUNCTYPE(None)(lambda: _run(function, failed))()  # noqa: B023 - called at once
        if failed:
            raise failed[0]


def _run(function: Callable[[], object], failed: list[BaseException]) -> None:
    try:
        function()
    except BaseException as error:
        failed.append(error)

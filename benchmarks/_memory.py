"""Measures this process's memory: the C library's allocated and free bytes, and Python's own blocks."""

from __future__ import annotations

import ctypes
import gc
import math
import sys
from typing import NamedTuple

import _process


class _Mallinfo2(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks"),
            "keepcost",
        )
    )


class Memory(NamedTuple):
    """Sizes in MB, and a number of blocks."""

    resident: float
    used: float
    """Allocated by malloc: objects of more than 512 bytes, which includes the pods' bytes."""
    free: float
    """Free but kept by malloc: holes between live objects, and memory that it has not returned yet."""
    blocks: int
    """The number of Python objects of up to 512 bytes; these are in Python's own arenas."""

    @property
    def held(self) -> float:
        """Resident memory without the free part."""
        return self.resident if math.isnan(self.free) else self.resident - self.free


def memory() -> Memory:
    """Returns the memory of this process; `used` and `free` are NaN if the C library cannot report them."""
    used = free = float("nan")
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None)
        if hasattr(library, "mallinfo2"):
            library.mallinfo2.restype = _Mallinfo2
            info = library.mallinfo2()
            used, free = (info.uordblks + info.hblkhd) / 1e6, info.fordblks / 1e6
    return Memory(_process.rss_mb(), used, free, sys.getallocatedblocks())


def give_back_memory() -> None:
    """Makes the C library return free pages to the system."""
    gc.collect()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).malloc_trim(0)

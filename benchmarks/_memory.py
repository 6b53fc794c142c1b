"""Where this process's memory is: what the C library has given out or keeps though it is free, and Python's own blocks."""

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
    """In MB, but for the blocks."""

    resident: float
    used: float
    """What malloc has given out: objects of more than 512 bytes, and so the pods' bytes."""
    free: float
    """What malloc keeps though it is free: holes between objects that live, and what it has not returned yet."""
    blocks: int
    """Python's objects of up to 512 bytes, which are in arenas of its own."""

    @property
    def held(self) -> float:
        """What is resident and not free."""
        return self.resident if math.isnan(self.free) else self.resident - self.free


def memory() -> Memory:
    """What this process holds now; `used` and `free` are NaN where the C library does not tell."""
    used = free = float("nan")
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None)
        if hasattr(library, "mallinfo2"):
            library.mallinfo2.restype = _Mallinfo2
            info = library.mallinfo2()
            used, free = (info.uordblks + info.hblkhd) / 1e6, info.fordblks / 1e6
    return Memory(_process.rss_mb(), used, free, sys.getallocatedblocks())


def give_back_memory() -> None:
    """Has the C library return what is free to the system: whole pages at least."""
    gc.collect()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).malloc_trim(0)

"""Limits on what a hostile answer may cost."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from watch import ApiError

MIB = 1024 * 1024


def check_refused_within_memory(call: Callable[[], object]) -> None:
    """Calls a function that gets an answer of up to 15 MB: it must raise a short error without keeping the answer in memory.

    Import what the call needs before, since that is measured too.
    """
    tracemalloc.start()
    try:
        with pytest.raises((ApiError, ConnectionError)) as caught:
            call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The 15 MB of the test's server count too, since it runs in this process.
    assert peak < 24 * MIB
    assert len(str(caught.value)) < 1500

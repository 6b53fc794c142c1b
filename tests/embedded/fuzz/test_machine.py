"""Whatever happens, in whatever order, an informer's cache and listeners end in the server's state, by valid steps.

The steps and what is checked are in `machine`; both queues and both ways to get the first list have a machine of their own,
in each of which handlers of both backlogs come and go. A few examples run here. To hunt, say how many a machine, and of how
many steps:

    FUZZ_EXAMPLES=2000 FUZZ_STEPS=60 python -m pytest tests/embedded/fuzz --timeout=0

A failure tells its steps. They are made fewer only with FUZZ_SHRINK=1, since each try that fails may take the deadline's
seconds, and need not fail again: with `--hypothesis-seed` the same steps can be had, but not the timing of the threads.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.embedded.fuzz.machine import MACHINES, InformerMachine
from watch.stream_watcher import StreamWatcher

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))
PHASES = [Phase.reuse, Phase.generate, *([Phase.shrink] if os.environ.get("FUZZ_SHRINK") else [])]
STEPS = int(os.environ.get("FUZZ_STEPS", "25"))


@pytest.fixture
def no_log() -> Iterator[None]:
    """Of thousands of faults, asked for one by one, the log would be all that a failure shows."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def no_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the newest watchers: a connection that nobody closes is not closed by the garbage collector either."""
    kept: deque[Any] = deque(maxlen=500)

    class Kept(StreamWatcher[Any]):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            kept.append(self)

    monkeypatch.setattr("informer.listwatch.list_watch.StreamWatcher", Kept)


@pytest.mark.usefixtures("no_log", "no_help")
@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_the_cache_never_lies(machine: type[InformerMachine]) -> None:
    """After any steps the cache, its indices and every listener end in the server's state, and nothing is left behind."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            phases=PHASES,
            deadline=None,
            # How much of what was drawn is used depends on the machine's other work.
            suppress_health_check=[*HealthCheck],
        ),
    )

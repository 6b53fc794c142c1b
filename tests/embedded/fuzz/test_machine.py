"""After any sequence of writes and faults, an informer's cache and handlers reach the server's state by valid steps.

`machine` has the steps and the checks. There is one machine per kind of queue and per way to get the first list. A few
examples run by default. To search for failures, set the number of examples per machine and of steps per example:

    FUZZ_EXAMPLES=2000 FUZZ_STEPS=60 python -m pytest tests/embedded/fuzz --timeout=0

Four kinds of faults were reported by users of other clients before this test could find them:

- The served version changes (kubernetes#131022): the objects were ConfigMaps, whose version never changes, and a state was its
  uid and version without its apiVersion. The machines "versions" follow a custom resource, and a state has its form.
- The history goes back (kubernetes#107457): no step made a server older. `go_back` restores a copy, after which versions are
  given out again.
- Own writes with several namespaces (KEP-5647): no step waited for a write, and every machine had bookmarks each 0.03 seconds,
  which hide that a quiet namespace says nothing. `read_own_write` waits, and the machines "rare bookmarks" have two namespaces
  and, as a real server, a bookmark a minute.
- A write hidden by MutationCache: it takes an event between two steps of one read, which threads hit too rarely. See
  tests/informer/fuzz/test_mutation_cache.py.

A failure lists its steps. They are shrunk only with FUZZ_SHRINK=1: each failing attempt may take as long as the deadline and
need not fail again. `--hypothesis-seed` repeats the steps, but not the timing of the threads.
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

from tests.embedded.fuzz.machine import InformerMachine
from watch.stream_watcher import StreamWatcher

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))
PHASES = [Phase.reuse, Phase.generate, *([Phase.shrink] if os.environ.get("FUZZ_SHRINK") else [])]
STEPS = int(os.environ.get("FUZZ_STEPS", "25"))


def _machine(queue: str, *, watch_list: bool, **more: Any) -> type[InformerMachine]:
    return type("InformerMachine", (InformerMachine,), {"queue": queue, "watch_list": watch_list, **more})


MACHINES: dict[str, type[InformerMachine]] = {
    "in_order, list": _machine("in_order", watch_list=False),
    "in_order, watch list": _machine("in_order", watch_list=True),
    "delta, list": _machine("delta", watch_list=False),
    "delta, watch list": _machine("delta", watch_list=True),
    "in_order, list, versions": _machine("in_order", watch_list=False, versions=True),
    "delta, watch list, versions": _machine("delta", watch_list=True, versions=True),
    "in_order, watch list, rare bookmarks": _machine("in_order", watch_list=True, bookmark_interval=60.0),
    "delta, list, rare bookmarks": _machine("delta", watch_list=False, bookmark_interval=60.0),
}


@pytest.fixture
def no_log() -> Iterator[None]:
    """Turns logging off: the log of thousands of requested faults would hide the failure."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def keep_watchers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps recent watchers alive, so that garbage collection does not close a connection that the code forgot to close."""
    kept: deque[Any] = deque(maxlen=500)

    class Kept(StreamWatcher[Any]):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            kept.append(self)

    monkeypatch.setattr("informer.listwatch.list_watch.StreamWatcher", Kept)


@pytest.mark.usefixtures("no_log", "keep_watchers")
@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_cache_and_handlers_reach_the_servers_state(machine: type[InformerMachine]) -> None:
    """After any steps the cache, its indices and every handler reach the server's state, and no thread or watch is left."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            phases=PHASES,
            deadline=None,
            # How much of a drawn example is used depends on how busy the machine is.
            suppress_health_check=[*HealthCheck],
        ),
    )

"""Several processes that elect a leader at a real server, the faults that are injected, and who led when.

Each process logs what it believes. All run on one machine, so that their monotonic times can be compared.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

CANDIDATE = Path(__file__).with_name("candidate.py")

LEASE, RENEW, RETRY = 3.0, 2.0, 0.4
# Errors of the hosts' times of day, in seconds.
WALL_OFFSETS = (0.0, 7200.0, -86400.0)
DEADLINE = 60.0
# Seconds that a process is taken to lead after its first line, since it writes the next one a little later.
_LOOK = 0.01
# Seconds by which a busy machine may delay a process.
_SLACK = 2.0


class Span(NamedTuple):
    """A time in which a process believed that it led."""

    begin: float
    end: float


class Failover(NamedTuple):
    """The outcome of one fault of a leader.

    Args:
        kind: the fault.
        overlap: seconds in which two processes led, by `is_leader()` and the stop event.
        stop_overlap: seconds in which two processes led by the stop event alone, as a task sees it that never asks.
        stop_after_waking: seconds from the waking of a stopped leader until its stop event was set; 0 without such a fault.
        without: the longest time without a leader, in seconds.
        server_away: seconds in which the server did not run.
    """

    kind: str
    overlap: float
    stop_overlap: float
    stop_after_waking: float
    without: float
    server_away: float = 0.0


class Process:
    """One candidate.

    Args:
        arguments: of candidate.py, from KUBECONFIG to NAME.
        identity: its name in the election.
        log: the file that it writes to.
        wall_offset: the error of its time of day, in seconds.
        release: whether it releases the lease when it is told to end.
    """

    def __init__(self, arguments: list[str], identity: str, log: Path, wall_offset: float, *, release: bool) -> None:
        self.identity = identity
        self.log = log
        self.pauses: list[Span] = []
        times = [str(each) for each in (wall_offset, LEASE, RENEW, RETRY)]
        command = [sys.executable, str(CANDIDATE), *arguments, identity, str(log), *times, str(int(release))]
        log.touch()
        with log.with_suffix(".err").open("wb") as errors:
            self._process = subprocess.Popen(command, stdout=errors, stderr=errors)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Sends SIGTERM; the process must end without an error."""
        self._process.terminate()
        assert self._process.wait(DEADLINE) == 0, self.log.with_suffix(".err").read_text()

    def check(self) -> None:
        """Fails if the process has ended by itself."""
        assert self._process.poll() is None, self.log.with_suffix(".err").read_text()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Inside the block the process is stopped by SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        try:
            yield
        finally:
            # Read before it wakes: everything that it does from then on counts.
            self.pauses.append(Span(begin, time.monotonic()))
            self._process.send_signal(signal.SIGCONT)

    def leads(self) -> bool:
        """Returns whether it logged within the last 0.2 s that it leads."""
        at, state = self.last_look()
        return state == "11" and time.monotonic() - at < 0.2

    def last_look(self) -> tuple[float, str]:
        """Returns the time and the digits of its last line; 0 and "" if there is none."""
        with self.log.open() as file:
            file.seek(max(0, self.log.stat().st_size - 200))
            # The text after the last line break is empty, or a line that is still being written.
            line = ("\n" + file.read()).split("\n")[-2]
        at, _, state = line.partition(" ")
        return float(at or 0), state

    def spans(self, state: str, since: float) -> list[Span]:
        """Returns the spans from the first to the last line in a row with these digits, without the pauses.

        Args:
            state: the digits, as in the log; "?" stands for either.
            since: the earliest time.
        """
        spans: list[Span] = []
        last: float | None = None
        for line in self.log.read_text().splitlines():
            moment, _, digits = line.partition(" ")
            at = float(moment)
            holds = len(digits) == 2 and all(want in ("?", is_) for want, is_ in zip(state, digits, strict=True))
            if at < since or not holds:
                last = None
            elif last is None:
                spans.append(Span(at, at + _LOOK))
                last = at
            else:
                spans[-1] = Span(spans[-1].begin, at)
                last = at
        return [part for span in spans for part in _without(span, self.pauses)]

    def stop_after_waking(self) -> float:
        """Returns the seconds from the end of its last pause until its stop event was set; 0 if it was set at once."""
        waking = self.pauses[-1].end
        later = [span.end for span in self.spans("?1", waking)]
        return max((end - waking for end in later), default=0.0)


def _without(span: Span, pauses: list[Span]) -> list[Span]:
    parts = [span]
    for pause in pauses:
        parts = [
            part
            for each in parts
            for part in (Span(each.begin, min(each.end, pause.begin)), Span(max(each.begin, pause.end), each.end))
            if part.begin < part.end
        ]
    return parts


class Ballot:
    """An election of several processes, and the faults that can be injected into it.

    Args:
        plane: the control plane.
        namespace: an existing namespace, in which a new Lease is created.
        directory: for the kubeconfig and the logs.
        size: the number of processes.
    """

    def __init__(self, plane: Any, namespace: str, directory: Path, size: int = 3) -> None:
        self._plane = plane
        self._directory = directory
        self._arguments = [str(plane.kubeconfig(directory / "kubeconfig")), namespace, "ballot"]
        self._made = 0
        self.processes: list[Process] = []
        for _ in range(size):
            self._add()

    def close(self) -> None:
        for process in self.processes:
            process.kill()

    def wait_for_leader(self, *, other_than: Process | None = None) -> Process:
        deadline = time.monotonic() + DEADLINE
        while True:
            for process in self.processes:
                process.check()
                if process is not other_than and process.leads():
                    return process
            assert time.monotonic() < deadline, "no process leads"
            time.sleep(0.02)

    def kill(self) -> Failover:
        """Kills the leader with SIGKILL."""
        leader = self.wait_for_leader()
        begin, _ = leader.last_look()
        self.processes.remove(leader)
        leader.kill()
        self.wait_for_leader()
        return self._replaced(leader, "killed", begin)

    def terminate(self) -> Failover:
        """Ends the leader with SIGTERM; it releases the lease."""
        leader = self.wait_for_leader()
        begin, _ = leader.last_look()
        self.processes.remove(leader)
        leader.terminate()
        self.wait_for_leader()
        return self._replaced(leader, "told to end", begin)

    def pause(self) -> Failover:
        """Stops the leader with SIGSTOP until another process leads, and then continues it."""
        return self._pause("stopped for a while", contextlib.nullcontext())

    def pause_without_server(self) -> Failover:
        """Does the same, but the API server is frozen when the former leader wakes, and cannot tell it that it lost."""
        return self._pause("stopped, alone", self._plane.frozen())

    def _pause(self, kind: str, while_waking: contextlib.AbstractContextManager[None]) -> Failover:
        leader = self.wait_for_leader()
        begin, _ = leader.last_look()
        with contextlib.ExitStack() as waking:
            with leader.stopped():
                self.wait_for_leader(other_than=leader)
                # Long enough to be seen in the logs, if the two should overlap.
                time.sleep(0.2)
                waking.enter_context(while_waking)
            self._wait_until_stopped_leading(leader)
        return self._outcome(kind, begin, leader.stop_after_waking())

    def outage(self) -> Failover:
        """Kills the API server with SIGKILL until no process leads, and then restarts it."""
        begin, _ = self.wait_for_leader().last_look()
        self._plane.kill()
        killed = time.monotonic()
        deadline = killed + RENEW + RETRY + _SLACK
        while any(process.leads() for process in self.processes):
            assert time.monotonic() < deadline, "a process still leads without a server"
            time.sleep(0.02)
        self._plane.restart()
        away = time.monotonic() - killed
        self.wait_for_leader()
        return self._outcome("API server killed", begin, server_away=away)

    def _add(self) -> None:
        self._made += 1
        offset = WALL_OFFSETS[self._made % len(WALL_OFFSETS)]
        log = self._directory / f"{self._made}.log"
        self.processes.append(Process(self._arguments, f"member-{self._made}", log, offset, release=True))

    def _wait_until_stopped_leading(self, process: Process) -> None:
        """Waits until the stop event of the process is set."""
        deadline = time.monotonic() + DEADLINE
        while process.last_look()[1].endswith("1"):
            assert time.monotonic() < deadline, "the task of a process that has woken goes on"
            time.sleep(0.01)

    def _replaced(self, gone: Process, kind: str, begin: float) -> Failover:
        outcome = self._outcome(kind, begin, gone=[gone])
        self._add()
        return outcome

    def _outcome(
        self,
        kind: str,
        begin: float,
        stop_after_waking: float = 0.0,
        *,
        server_away: float = 0.0,
        gone: list[Process] | None = None,
    ) -> Failover:
        processes = [*self.processes, *(gone or [])]
        led = [process.spans("11", begin) for process in processes]
        worked = [process.spans("?1", begin) for process in processes]
        return Failover(kind, _overlap(led), _overlap(worked), stop_after_waking, _longest_gap(led), server_away)


def _overlap(of_each: list[list[Span]]) -> float:
    """Returns the seconds in which two or more processes led."""
    edges = sorted(
        [(span.begin, 1) for spans in of_each for span in spans]
        + [(span.end, -1) for spans in of_each for span in spans]
    )
    total, count, last = 0.0, 0, 0.0
    for at, change in edges:
        if count > 1:
            total += at - last
        count, last = count + change, at
    return total


def _longest_gap(of_each: list[list[Span]]) -> float:
    """Returns the longest time between two leaders, in seconds."""
    spans = sorted(span for each in of_each for span in each)
    gap, end = 0.0, spans[0].end
    for span in spans[1:]:
        gap = max(gap, span.begin - end)
        end = max(end, span.end)
    return gap

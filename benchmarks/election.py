"""Fifty failovers: three processes elect a leader on a real API server, and the leader fails in different ways.

    python benchmarks/election.py --failovers 50

Needs etcd and kube-apiserver (KUBEBUILDER_ASSETS). The lease lasts 3 s, the renew deadline is 2 s, the retry period 0.4 s.
The processes' wall clocks are hours apart. Each process records every 2 ms whether it believes to lead; all run on one
machine and share its monotonic clock. The failures, in turn:

- the leader is killed (SIGKILL);
- it is stopped until another process leads, then continued (SIGSTOP, SIGCONT);
- it is asked to stop (SIGTERM), and releases the lease;
- it is stopped and continued while the API server is frozen ("alone"), so that it cannot learn about another leader;
- the API server is killed until no process leads, then started again.

Prints a table by kind: the seconds in which two processes led, by `is_leader()` together with the stop event; the same by
the stop event alone, for work that never calls `is_leader()`; the time from waking to the stop event; and the time without a
leader.

Exit code 1: two processes led at once, or after a pause the stop event came later than 0.1 s after waking.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from informer.testing import ControlPlane
from tests.cluster.election.ballot import LEASE, RENEW, RETRY, Ballot, Failover

# Seconds after waking within which the stop event must be set.
MOST_AFTER_WAKING = 0.1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--failovers", type=int, default=50)
    return parser.parse_args()


def run(failovers: int) -> list[Failover]:
    outcomes: list[Failover] = []
    with tempfile.TemporaryDirectory() as directory, ControlPlane() as plane:
        ballot = Ballot(plane, "default", Path(directory))
        try:
            kinds = (ballot.kill, ballot.pause, ballot.terminate, ballot.pause_without_server, ballot.outage)
            for number in range(failovers):
                outcome = kinds[number % len(kinds)]()
                outcomes.append(outcome)
                print(
                    f"{number + 1:>3} {outcome.kind:20} overlap {outcome.overlap:.4f} s  by stop alone "
                    f"{outcome.stop_overlap:.4f} s  without a leader {outcome.without:.2f} s",
                    flush=True,
                )
        finally:
            ballot.close()
    return outcomes


def table(outcomes: list[Failover]) -> None:
    by_kind: dict[str, list[Failover]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.kind].append(outcome)
    print(f"\nlease {LEASE:g} s, renew deadline {RENEW:g} s, retry period {RETRY:g} s; all in seconds")
    print(f"{'kind':20} {'n':>3} {'overlap max':>12} {'by stop alone':>14} {'stop after waking':>18}  without a leader")
    print(f"{'':20} {'':>3} {'':>12} {'max':>14} {'max':>18}  min   median   max")
    for kind, each in by_kind.items():
        without = [outcome.without for outcome in each]
        woken = max(outcome.stop_after_waking for outcome in each)
        print(
            f"{kind:20} {len(each):>3} {max(o.overlap for o in each):>12.4f} {max(o.stop_overlap for o in each):>14.4f} "
            f"{woken:>18.4f}  {min(without):.2f}  {statistics.median(without):.2f}  {max(without):.2f}"
        )


def is_good(outcome: Failover) -> bool:
    paused = outcome.kind.startswith("stopped")
    by_stop = MOST_AFTER_WAKING if paused else 0.0
    return outcome.overlap == 0 and outcome.stop_overlap <= by_stop and outcome.stop_after_waking <= MOST_AFTER_WAKING


def main() -> int:
    begun = time.monotonic()
    outcomes = run(arguments().failovers)
    table(outcomes)
    bad = [outcome for outcome in outcomes if not is_good(outcome)]
    seconds = time.monotonic() - begun
    print(f"\n{'FAIL' if bad else 'PASS'}: {len(outcomes)} failovers in {seconds:.0f} s, {len(bad)} of them failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Three processes elect a leader at a real kube-apiserver, with hosts' clocks hours apart: never two, and soon one again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.election.ballot import LEASE, RETRY, Ballot

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

# Candidates try at least this often, and other work on the machine takes its time.
_SLOWEST_TRY = RETRY * 2.2
_SLACK = 2.0


@pytest.fixture(scope="module")
def ballot(unsteady_cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ballot]:
    """Three candidates, one for all tests."""
    made = Ballot(unsteady_cluster.plane, "default", tmp_path_factory.mktemp("ballot"))
    yield made
    made.close()


def test_a_leader_that_was_killed_is_followed(ballot: Ballot) -> None:
    """SIGKILL: another leads when the lease has run out, and not before."""
    failover = ballot.kill()
    assert failover.overlap == failover.stop_overlap == 0
    assert LEASE - RETRY - 0.5 < failover.without < LEASE + _SLOWEST_TRY + _SLACK


def test_a_leader_that_was_stopped_for_a_while_leads_no_more(ballot: Ballot) -> None:
    """Woken while the server stands still, `is_leader` is false at once, and the stop event is set within 0.1 s."""
    failover = ballot.pause_without_server()
    assert failover.overlap == 0
    assert failover.stop_after_waking < 0.1
    assert failover.stop_overlap < 0.1
    assert failover.without < LEASE + _SLOWEST_TRY + _SLACK


def test_nobody_leads_without_a_server(ballot: Ballot) -> None:
    """SIGKILL of kube-apiserver: the leader ends within its renew deadline, and one leads soon after the server is back."""
    failover = ballot.outage()
    assert failover.overlap == failover.stop_overlap == 0
    assert failover.without > 0
    assert failover.without < failover.server_away + LEASE + _SLOWEST_TRY + _SLACK

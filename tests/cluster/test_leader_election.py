"""Three processes elect a leader at a real kube-apiserver: never two, although their times of day are hours apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.election.ballot import LEASE, RETRY, Ballot

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

# Seconds between two tries of a candidate, at most; and seconds by which a busy machine may delay everything.
_SLOWEST_TRY = RETRY * 2.2
_SLACK = 2.0


@pytest.fixture(scope="module")
def ballot(unsteady_cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ballot]:
    """Three candidates, shared by all tests."""
    made = Ballot(unsteady_cluster.plane, "default", tmp_path_factory.mktemp("ballot"))
    yield made
    made.close()


def test_a_killed_leader_is_replaced(ballot: Ballot) -> None:
    """SIGKILL: another process leads when the lease has expired, and not before."""
    failover = ballot.kill()
    assert failover.overlap == failover.stop_overlap == 0
    assert LEASE - RETRY - 0.5 < failover.without < LEASE + _SLOWEST_TRY + _SLACK


def test_a_leader_that_was_stopped_past_its_lease_does_not_lead(ballot: Ballot) -> None:
    """When it wakes, while the server is frozen, `is_leader` is false at once and the stop event is set within 0.1 s."""
    failover = ballot.pause_without_server()
    assert failover.overlap == 0
    assert failover.stop_after_waking < 0.1
    assert failover.stop_overlap < 0.1
    assert failover.without < LEASE + _SLOWEST_TRY + _SLACK


def test_no_process_leads_without_a_server(ballot: Ballot) -> None:
    """SIGKILL of kube-apiserver: leading ends within the renew deadline, and begins again soon after the server is back."""
    failover = ballot.outage()
    assert failover.overlap == failover.stop_overlap == 0
    assert failover.without > 0
    assert failover.without < failover.server_away + LEASE + _SLOWEST_TRY + _SLACK

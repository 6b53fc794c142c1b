"""A Lease's spec as a record, and back."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from informer.leaderelection import LeaderElectionRecord
from informer.leaderelection.record import micro_time

FULL = LeaderElectionRecord(
    "me", 15, "2026-01-01T00:00:00.123456Z", "2026-01-01T00:00:10.000001Z", 3, "OldestEmulationVersion", "other"
)
SPEC = {
    "holderIdentity": "me",
    "leaseDurationSeconds": 15,
    "acquireTime": "2026-01-01T00:00:00.123456Z",
    "renewTime": "2026-01-01T00:00:10.000001Z",
    "leaseTransitions": 3,
    "strategy": "OldestEmulationVersion",
    "preferredHolder": "other",
}


def test_a_record_and_a_spec_hold_the_same() -> None:
    """Go: TestLeaseConversion, TestLeaseSpecToLeaderElectionRecordRoundTrip. Every field, both ways."""
    assert FULL.to_spec() == SPEC
    assert LeaderElectionRecord.from_spec(SPEC) == FULL
    assert LeaderElectionRecord.from_spec(json.loads(json.dumps(FULL.to_spec()))) == FULL


def test_what_is_empty_is_left_out() -> None:
    """Go: TestLeaseConversion. No preferredHolder, strategy or time; the holder may be nobody, and the numbers 0."""
    assert LeaderElectionRecord().to_spec() == {"holderIdentity": "", "leaseDurationSeconds": 0, "leaseTransitions": 0}
    assert LeaderElectionRecord.from_spec({}) == LeaderElectionRecord()


@pytest.mark.parametrize(
    "spec", [None, [], "x", {"holderIdentity": 7, "leaseTransitions": "3", "leaseDurationSeconds": True}], ids=str
)
def test_an_odd_spec_says_nothing(spec: Any) -> None:
    """It is no error: the election goes on."""
    assert LeaderElectionRecord.from_spec(spec) == LeaderElectionRecord()


def test_fields_that_nobody_knows_stay() -> None:
    """Those of a coordinated election do not: whoever writes this record takes no part in one."""
    old = {**SPEC, "later": {"a": 1}}
    new = LeaderElectionRecord("you", 3).written_into(old)
    assert new == {"later": {"a": 1}, "holderIdentity": "you", "leaseDurationSeconds": 3, "leaseTransitions": 0}
    assert old["holderIdentity"] == "me"
    assert LeaderElectionRecord("you", 3).written_into(None) == LeaderElectionRecord("you", 3).to_spec()


@pytest.mark.parametrize("seconds", [0.0, 1.5, 1782907200.000001, 1782907200.9999999])
def test_times_have_microseconds(seconds: float) -> None:
    """Always six digits and a Z, as the API server wants them."""
    text = micro_time(seconds)
    assert len(text) == len("2026-01-01T00:00:00.000000Z")
    assert datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() == pytest.approx(seconds, abs=1e-6)

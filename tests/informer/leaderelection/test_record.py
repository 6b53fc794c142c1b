"""The record of an election, and its form in a Lease."""

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


def test_a_record_converts_to_a_spec_and_back() -> None:
    """Go: TestLeaseConversion, TestLeaseSpecToLeaderElectionRecordRoundTrip. Every field is kept."""
    assert FULL.to_spec() == SPEC
    assert LeaderElectionRecord.from_spec(SPEC) == FULL
    assert LeaderElectionRecord.from_spec(json.loads(json.dumps(FULL.to_spec()))) == FULL


def test_empty_optional_fields_are_left_out() -> None:
    """Go: TestLeaseConversion. The holder may be empty and the numbers 0; they are written all the same."""
    assert LeaderElectionRecord().to_spec() == {"holderIdentity": "", "leaseDurationSeconds": 0, "leaseTransitions": 0}
    assert LeaderElectionRecord.from_spec({}) == LeaderElectionRecord()


@pytest.mark.parametrize(
    "spec", [None, [], "x", {"holderIdentity": 7, "leaseTransitions": "3", "leaseDurationSeconds": True}], ids=str
)
def test_fields_of_a_wrong_type_count_as_empty(spec: Any) -> None:
    """An invalid spec is not an error: the election goes on."""
    assert LeaderElectionRecord.from_spec(spec) == LeaderElectionRecord()


def test_unknown_fields_of_a_spec_stay() -> None:
    """Known fields that are empty in the record are removed, also those of a coordinated election."""
    old = {**SPEC, "later": {"a": 1}}
    new = LeaderElectionRecord("you", 3).written_into(old)
    assert new == {"later": {"a": 1}, "holderIdentity": "you", "leaseDurationSeconds": 3, "leaseTransitions": 0}
    assert old["holderIdentity"] == "me"
    assert LeaderElectionRecord("you", 3).written_into(None) == LeaderElectionRecord("you", 3).to_spec()


@pytest.mark.parametrize("seconds", [0.0, 1.5, 1782907200.000001, 1782907200.9999999])
def test_times_have_microseconds(seconds: float) -> None:
    """A time has six digits of a second and ends with Z, as the API server requires."""
    text = micro_time(seconds)
    assert len(text) == len("2026-01-01T00:00:00.000000Z")
    assert datetime.fromisoformat(text).timestamp() == pytest.approx(seconds, abs=1e-6)

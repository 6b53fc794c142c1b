"""The record of an election, and its form in the spec of a Lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["MAX_NUMBER", "LeaderElectionRecord", "micro_time"]

MAX_NUMBER = 2**31 - 1
"""The largest number in a Lease: a larger one is refused by the API server."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Fields of a Lease's spec. Empty ones of the second group are left out.
_REQUIRED = ("holderIdentity", "leaseDurationSeconds", "leaseTransitions")
_OPTIONAL = ("acquireTime", "renewTime", "preferredHolder", "strategy")


@dataclass(frozen=True)
class LeaderElectionRecord:
    """The state of an election: who holds the lease, since when and for how long.

    The times are texts, as they stand in the Lease, with microseconds. They are shown, and compared for equality to detect a
    renewal. No decision depends on the clock of another machine.

    Attributes:
        holder_identity: the holder of the lease; "" if it has none.
        lease_duration_seconds: seconds after the last observed change of the record until other processes may acquire the
            lease.
        acquire_time: when the holder acquired the lease.
        renew_time: when the holder renewed it last.
        leader_transitions: how often the lease has got another holder.
        strategy: for a coordinated election; "" otherwise.
        preferred_holder: for a coordinated election; "" otherwise.

    Source: client-go tools/leaderelection/resourcelock LeaderElectionRecord.
    """

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str = ""
    renew_time: str = ""
    leader_transitions: int = 0
    strategy: str = ""
    preferred_holder: str = ""

    @classmethod
    def from_spec(cls, spec: Any) -> LeaderElectionRecord:
        """Reads the spec of a Lease.

        A field that is missing or has the wrong type counts as empty. Negative numbers count as 0, and numbers above
        2147483647, which no Lease can have, as 2147483647.
        """
        fields: Mapping[str, Any] = spec if isinstance(spec, Mapping) else {}
        return cls(
            holder_identity=_text(fields.get("holderIdentity")),
            lease_duration_seconds=_number(fields.get("leaseDurationSeconds")),
            acquire_time=_text(fields.get("acquireTime")),
            renew_time=_text(fields.get("renewTime")),
            leader_transitions=_number(fields.get("leaseTransitions")),
            strategy=_text(fields.get("strategy")),
            preferred_holder=_text(fields.get("preferredHolder")),
        )

    def to_spec(self) -> dict[str, Any]:
        """Returns the record as the spec of a Lease in API form. Optional fields that are empty are left out."""
        fields = {
            "holderIdentity": self.holder_identity,
            "leaseDurationSeconds": self.lease_duration_seconds,
            "leaseTransitions": self.leader_transitions,
            "acquireTime": self.acquire_time,
            "renewTime": self.renew_time,
            "preferredHolder": self.preferred_holder,
            "strategy": self.strategy,
        }
        return {name: value for name, value in fields.items() if value or name in _REQUIRED}

    def written_into(self, spec: Any) -> dict[str, Any]:
        """Returns a copy of a Lease's spec with the fields of this record. Fields unknown to this version stay."""
        own = (*_REQUIRED, *_OPTIONAL)
        kept = {name: value for name, value in spec.items() if name not in own} if isinstance(spec, Mapping) else {}
        return {**kept, **self.to_spec()}


def micro_time(seconds: float) -> str:
    """Returns a time in the form of a Lease, such as "2026-07-01T12:00:00.000000Z".

    Args:
        seconds: the time, in seconds since the epoch.
    """
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return min(max(value, 0), MAX_NUMBER) if isinstance(value, int) and not isinstance(value, bool) else 0

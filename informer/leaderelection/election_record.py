"""What a Lease says of an election.

Comes in: a Lease's spec in API form. Goes out: a `LeaderElectionRecord`, and the way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["LeaderElectionRecord", "micro_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# By the names of the spec; those of the second group are left out when they are empty.
_ALWAYS = ("holderIdentity", "leaseDurationSeconds", "leaseTransitions")
_IF_ANY = ("acquireTime", "renewTime", "preferredHolder", "strategy")


@dataclass(frozen=True)
class LeaderElectionRecord:
    """The holder of a lease, and since when.

    Times are kept as they stand in the Lease, to the microsecond: they are shown, and compared for being the same, but nobody
    reckons with another machine's clock.

    Attributes:
        holder_identity: who holds the lease; "" for nobody.
        lease_duration_seconds: how long others wait, from when they saw the last change, before they take it.
        acquire_time: since when the holder has it.
        renew_time: when the holder said so last.
        leader_transitions: how often it went from one to another.
        strategy: of a coordinated election.
        preferred_holder: of a coordinated election.

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
        """Reads a Lease's spec, however odd; what is missing, or of another type, counts as not said."""
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
        """These fields as a Lease's spec in API form; a time, holder or strategy that is not there is left out."""
        fields = {
            "holderIdentity": self.holder_identity,
            "leaseDurationSeconds": self.lease_duration_seconds,
            "leaseTransitions": self.leader_transitions,
            "acquireTime": self.acquire_time,
            "renewTime": self.renew_time,
            "preferredHolder": self.preferred_holder,
            "strategy": self.strategy,
        }
        return {name: value for name, value in fields.items() if value or name in _ALWAYS}

    def written_into(self, spec: Any) -> dict[str, Any]:
        """A copy of a Lease's spec with these fields in place of its own; fields that nobody here knows stay."""
        own = (*_ALWAYS, *_IF_ANY)
        kept = {name: value for name, value in spec.items() if name not in own} if isinstance(spec, Mapping) else {}
        return {**kept, **self.to_spec()}


def micro_time(seconds: float) -> str:
    """A moment as a Lease has it, such as "2026-07-01T12:00:00.000000Z".

    Args:
        seconds: since the epoch.
    """
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0

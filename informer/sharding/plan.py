"""Which shards a replica acquires and which it hands over. Pure: no I/O, no clock.

Every replica reads the same Leases. So it computes the same number of shards for each replica. It acts on its own shards only.
"""

from __future__ import annotations

from collections.abc import Mapping, Set as AbstractSet
from typing import NamedTuple

__all__ = ["Plan", "View", "plan_for"]


class View(NamedTuple):
    """What the Leases say, as one replica has observed them.

    Attributes:
        members: the identities of all replicas that may own shards.
        holders: the identity of the holder, by shard; without shards whose Lease has expired.
        free: the shards whose Lease may be acquired.
    """

    members: AbstractSet[str]
    holders: Mapping[int, str]
    free: AbstractSet[int]


class Plan(NamedTuple):
    """What a replica does next.

    Attributes:
        acquire: the shards to acquire.
        release: the shards to hand over.
    """

    acquire: list[int]
    release: list[int]


def plan_for(me: str, shards: int, view: View, owned: AbstractSet[int], acquiring: AbstractSet[int]) -> Plan:
    """Returns what a replica does next.

    Each replica gets `shards // members` shards. One more goes to those that hold the most now, so that few shards move.

    Args:
        me: the replica's identity.
        shards: the number of shards.
        view: what the replica has observed.
        owned: the shards that the replica owns and does not hand over.
        acquiring: the shards that the replica tries to acquire.
    """
    counts = dict.fromkeys(view.members, 0)
    for shard, holder in view.holders.items():
        if holder in counts and holder != me and shard not in owned:
            counts[holder] += 1
    if me in counts:
        counts[me] = len(owned)
    target = _target(me, shards, counts)
    # An attempt ends when another replica has acquired the shard.
    tried = sorted(shard for shard in acquiring if view.holders.get(shard, me) == me)
    release = sorted(acquiring - set(tried))
    surplus = len(owned) + len(tried) - target
    if surplus > 0:
        release += tried[max(0, len(tried) - surplus) :]
        surplus -= len(tried)
    if surplus > 0:
        release += sorted(owned)[-surplus:]
    missing = target - len(owned) - len(tried)
    return Plan(_choice(me, view, owned | acquiring, missing) if missing > 0 else [], release)


def _target(me: str, shards: int, counts: Mapping[str, int]) -> int:
    if me not in counts:
        return 0
    least, more = divmod(shards, len(counts))
    first = sorted(counts, key=lambda each: (-counts[each], each))[:more]
    return least + (me in first)


def _choice(me: str, view: View, taken: AbstractSet[int], missing: int) -> list[int]:
    """Returns the free shards to acquire. Each replica begins at another shard, so that few replicas try the same one."""
    free = sorted(view.free - taken)
    begin = sorted(view.members).index(me) * len(free) // len(view.members)
    return (free[begin:] + free[:begin])[:missing]

"""Which shards a replica acquires and which it hands over. Pure: no I/O, no clock.

Every replica computes the numbers of all replicas from the same Leases, by the same rule, and acts on its own only.
"""

from __future__ import annotations

from collections.abc import Mapping, Set as AbstractSet
from typing import NamedTuple

__all__ = ["Plan", "View", "plan_for"]


class View(NamedTuple):
    """What a replica knows about the others.

    Attributes:
        members: the identities of the replicas that take part, this one included.
        holders: the holder of each shard whose Lease has not expired.
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
        view: what it knows.
        owned: the shards that it owns and does not hand over.
        acquiring: the shards that it tries to acquire.
    """
    counts = dict.fromkeys(view.members, 0)
    for shard, holder in view.holders.items():
        if holder in counts and holder != me and shard not in owned:
            counts[holder] += 1
    if me in counts:
        counts[me] = len(owned)
    target = _target(me, shards, counts)
    # What another replica has acquired first is given up.
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
    """The free shards that this replica tries first: each replica begins at another one, so that few collide."""
    free = sorted(view.free - taken)
    begin = sorted(view.members).index(me) * len(free) // len(view.members)
    return (free[begin:] + free[:begin])[:missing]

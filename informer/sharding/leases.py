"""The Leases of a shard elector: their names, how they are listed, and since when each one is as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from informer.api_paths import dns_label, dns_subdomain, resource_path
from informer.leaderelection.lease_lock import DEFAULT_TIMEOUT, LeaseLock
from informer.leaderelection.record import LeaderElectionRecord
from informer.transport.transport import transport_for
from watch.request_scope import time_limit

__all__ = ["LABEL", "LeaseNames", "ListedLeases", "Observed", "ShardLock", "list_leases"]

LABEL = "informer.sharding/name"
"""The label that all Leases of a shard elector have; its value is the elector's name."""

_LONGEST_NAME = 63
_BYTES_PER_LEASE = 8 * 1024


class LeaseNames(NamedTuple):
    """The names of the Leases of a shard elector.

    Attributes:
        namespace: of all of them.
        name: the elector's name, with which the others begin.
        shards: the number of shards.
    """

    namespace: str
    name: str
    shards: int

    @classmethod
    def checked(cls, namespace: str, name: str, shards: int) -> LeaseNames:
        """Raises ValueError for a malformed name, or one that is too long for a label."""
        dns_label("namespace", namespace)
        if len(dns_subdomain("name", name)) > _LONGEST_NAME:
            raise ValueError(f"the name of a shard elector has at most {_LONGEST_NAME} characters, not {len(name)}")
        return cls(namespace, name, shards)

    def shard(self, i: int) -> str:
        """Returns the name of a shard's Lease."""
        return f"{self.name}-{i}"

    def member(self, i: int) -> str:
        """Returns the name of the Lease of a replica: there are as many as shards."""
        return f"{self.name}-member-{i}"

    def all(self) -> list[str]:
        """Returns the names of all Leases."""
        return [*map(self.shard, range(self.shards)), *map(self.member, range(self.shards))]


def list_leases(api_client: Any, names: LeaseNames, timeout: float) -> dict[str, LeaderElectionRecord]:
    """Returns the records of all Leases of an elector that exist, by name.

    Args:
        api_client: the official client's `ApiClient`.
        names: the elector's.
        timeout: seconds until the answer must be complete.

    Raises:
        ApiError: the server refused.
        OSError: there was no answer, or the answer is not a list.
    """
    path = resource_path("coordination.k8s.io", "v1", "leases", names.namespace)
    query = f"labelSelector={LABEL}={names.name}"  # the name is a DNS label: there is nothing to quote
    most = _BYTES_PER_LEASE * (8 + 2 * names.shards)
    with time_limit(timeout):
        answer = transport_for(api_client).send_json("GET", f"{path}?{query}", timeout=timeout, max_bytes=most)
    items = answer.get("items") if isinstance(answer, dict) and answer.get("kind") == "LeaseList" else None
    if not isinstance(items, list):
        raise ConnectionError(
            f"the server's list of Leases in {names.namespace!r} is not a list of Leases (is a proxy or login page in front?)"
        )
    listed: dict[str, LeaderElectionRecord] = {}
    for item in items:
        metadata = item.get("metadata") if isinstance(item, dict) else None
        if isinstance(metadata, dict) and isinstance(metadata.get("name"), str):
            listed[metadata["name"]] = LeaderElectionRecord.from_spec(item.get("spec"))
    return listed


class Observed(NamedTuple):
    """The record of a Lease, None while it does not exist, and since when it is so, by the clock."""

    record: LeaderElectionRecord | None
    since: float

    def is_held(self, now: float, longest: float) -> bool:
        """Whether the Lease has a holder and has not expired; `longest` is the longest duration that is respected."""
        record = self.record
        if record is None or not record.holder_identity:
            return False
        return now < self.since + max(0, min(record.lease_duration_seconds, longest))


class ListedLeases:
    """The Leases of the last list, and since when each one has not changed.

    As in an election, no time of another machine is used. A list that comes after a long pause begins all observations anew:
    during the pause the Leases may have changed and changed back.

    Args:
        names: the names of the Leases.
        lease_duration: in seconds.

    Threads: one.
    """

    def __init__(self, names: Iterable[str], lease_duration: float) -> None:
        self._lease_duration = lease_duration
        self._observed = dict.fromkeys(names, Observed(None, math.inf))
        self._listed_at = -math.inf

    def update(self, listed: Mapping[str, LeaderElectionRecord], now: float) -> None:
        """Records a list that has arrived."""
        is_late = now - self._listed_at >= self._lease_duration
        self._listed_at = now
        for name, before in self._observed.items():
            record = listed.get(name)
            if is_late or record != before.record:
                self._observed[name] = Observed(record, now)

    def __getitem__(self, name: str) -> Observed:
        return self._observed[name]

    def absent_for(self, name: str, now: float) -> float:
        """Returns for how long a Lease has not existed, in seconds; less than 0 if it is not known to be absent."""
        observed = self._observed[name]
        return -math.inf if observed.record is not None else now - observed.since


class ShardLock(LeaseLock):
    """The lock of one shard, which is created late.

    A Lease that does not exist may have been deleted while its owner goes on until its next renewal. So it is created by its
    owner, or once it has been absent for as long as an owner could go on.

    Args:
        api_client: as of `LeaseLock`, like the next three.
        namespace: the namespace of the Lease.
        name: the name of the Lease.
        identity: the name of this process.
        may_create: returns whether the Lease may be created now.
        options: of `LeaseLock`.
    """

    def __init__(
        self, api_client: Any, namespace: str, name: str, identity: str, may_create: Callable[[], bool], **options: Any
    ) -> None:
        super().__init__(api_client, namespace, name, identity, **options)
        self._may_create = may_create

    def create(self, record: LeaderElectionRecord, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """See `LeaseLock.create`. Raises ConnectionError, too, if it is too early."""
        if not self._may_create():
            raise ConnectionError("it does not exist, and a former owner may not have noticed yet")
        super().create(record, timeout=timeout)

"""The parts that a manager joins and that need a cluster: client, informer factory, event recorder, leader elector."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from informer.api_paths import dns_label, dns_subdomain
from informer.leaderelection.elector import LeaderElector
from informer.leaderelection.lease_lock import LeaseLock
from informer.record.event_broadcaster import EventBroadcaster
from informer.record.event_recorder import EventRecorder
from informer.sharding.shard_elector import ShardElector
from informer.shared.factory import SharedInformerFactory
from informer.transport.client_loader import current_namespace, load_client

__all__ = ["Lease", "Parts"]


class Lease(NamedTuple):
    """The Lease that the processes of a manager compete for, and its times in seconds; see `LeaderElector`.

    With shards there are several, whose names begin with this one; see `ShardElector`.
    """

    name: str
    namespace: str | None
    duration: float
    renew_deadline: float
    retry_period: float
    shards: int | None = None


@dataclass
class Parts:
    """The parts of one manager.

    Attributes:
        client: the client as it was given or loaded, for requests that need no leadership.
        api_client: what users get: with an election a view whose writes need leadership.
        shard_elector: distributes the shards; None without shards.
        cluster: the name of the cluster; "" in a manager of one cluster.
        on_shard: called with a shard and the event that ends its term, when this process owns it; set before the elector runs.
        on_leading: called with the event that ends the term, when this process begins to lead; set before the elector runs.
    """

    client: Any
    api_client: Any
    factory: SharedInformerFactory
    broadcaster: EventBroadcaster
    recorder: EventRecorder
    elector: LeaderElector | None
    shard_elector: ShardElector | None = None
    cluster: str = ""
    on_shard: Callable[[int, threading.Event], object] | None = None
    on_leading: Callable[[threading.Event], object] | None = None

    def _lead(self, over: threading.Event) -> None:
        if self.on_leading is not None:
            self.on_leading(over)

    def _own(self, shard: int, over: threading.Event) -> None:
        if self.on_shard is not None:
            self.on_shard(shard, over)

    @classmethod
    def make(
        cls,
        name: str,
        api_client: Any,
        namespace: str | Sequence[str] | None,
        transform: Callable[[Any], Any] | None,
        lease: Lease | None,
    ) -> Parts:
        """Makes the parts; no request is sent."""
        client = load_client() if api_client is None else api_client
        broadcaster = EventBroadcaster()
        parts = cls(
            client,
            client,
            SharedInformerFactory(client, namespace=namespace, transform=transform),
            broadcaster,
            broadcaster.new_recorder(name),
            None,
        )
        if lease is not None and lease.shards is not None:
            parts.shard_elector = ShardElector(
                client,
                _namespace_of(lease, namespace),
                lease.name,
                shards=lease.shards,
                identity=_identity(),
                on_shard_started=parts._own,
                on_shard_stopped=lambda _: None,
                lease_duration=lease.duration,
                renew_deadline=lease.renew_deadline,
                retry_period=lease.retry_period,
            )
        elif lease is not None:
            parts.elector = _elector(lease, client, namespace, parts._lead)
            parts.api_client = parts.elector.gate(client)
        return parts


def _elector(
    lease: Lease, client: Any, namespace: str | Sequence[str] | None, on_leading: Callable[[threading.Event], object]
) -> LeaderElector:
    return LeaderElector(
        LeaseLock(client, _namespace_of(lease, namespace), dns_subdomain("name", lease.name), identity=_identity()),
        lease_duration=lease.duration,
        renew_deadline=lease.renew_deadline,
        retry_period=lease.retry_period,
        on_started_leading=on_leading,
        on_stopped_leading=lambda: None,
        release_on_cancel=True,
    )


def _namespace_of(lease: Lease, namespace: str | Sequence[str] | None) -> str:
    where = lease.namespace or (namespace if isinstance(namespace, str) and namespace else current_namespace())
    return dns_label("lease_namespace", where)


def _identity() -> str:
    return f"{socket.gethostname()}_{uuid.uuid4()}"

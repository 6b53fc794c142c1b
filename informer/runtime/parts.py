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
from informer.shared.factory import SharedInformerFactory
from informer.transport.client_loader import current_namespace, load_client

__all__ = ["Lease", "Parts"]


class Lease(NamedTuple):
    """The Lease that the processes of a manager compete for, and its times in seconds; see `LeaderElector`."""

    name: str
    namespace: str | None
    duration: float
    renew_deadline: float
    retry_period: float


@dataclass
class Parts:
    """The parts of one manager.

    Attributes:
        client: the client as it was given or loaded, for requests that need no leadership.
        api_client: what users get: with an election a view whose writes need leadership.
        on_leading: called with the event that ends the term, when this process begins to lead; set before the elector runs.
    """

    client: Any
    api_client: Any
    factory: SharedInformerFactory
    broadcaster: EventBroadcaster
    recorder: EventRecorder
    elector: LeaderElector | None
    on_leading: Callable[[threading.Event], object] | None = None

    def _lead(self, over: threading.Event) -> None:
        if self.on_leading is not None:
            self.on_leading(over)

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
        if lease is not None:
            parts.elector = _elector(lease, client, namespace, parts._lead)
            parts.api_client = parts.elector.gate(client)
        return parts


def _elector(
    lease: Lease, client: Any, namespace: str | Sequence[str] | None, on_leading: Callable[[threading.Event], object]
) -> LeaderElector:
    where = lease.namespace or (namespace if isinstance(namespace, str) and namespace else current_namespace())
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    return LeaderElector(
        LeaseLock(client, dns_label("lease_namespace", where), dns_subdomain("name", lease.name), identity=identity),
        lease_duration=lease.duration,
        renew_deadline=lease.renew_deadline,
        retry_period=lease.retry_period,
        on_started_leading=on_leading,
        on_stopped_leading=lambda: None,
        release_on_cancel=True,
    )

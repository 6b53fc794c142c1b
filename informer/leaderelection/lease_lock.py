"""A Lease as the object of an election.

Comes in: records. Goes out: requests for one Lease of coordination.k8s.io/v1, each sent once, with the resourceVersion that was
seen last, so that of two writers one gets a conflict.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any, Protocol

from informer.leaderelection.election_record import LeaderElectionRecord
from informer.leaderelection.lock import DEFAULT_TIMEOUT
from informer.transport.transport import transport_for

__all__ = ["LeaseLock", "resource_lock"]

_GROUP_VERSION = "coordination.k8s.io/v1"


class _EventRecorder(Protocol):
    def event(self, obj: Any, type: str, reason: str, message: str) -> object: ...


class LeaseLock:
    """See the module.

    Args:
        api_client: the official client's `ApiClient`; None reads the in-cluster configuration, or else the kubeconfig. Its
            configuration and credentials are used, but neither its connections nor its retries.
        namespace: the Lease's.
        name: the Lease's. It is made by whoever comes first.
        identity: who asks for it, such as the pod's name and a random part; each process needs its own.
        labels: are put on the Lease with each write; others that are there stay.
        event_recorder: is told, by its `event`, when leading begins and ends; an `informer.record.EventRecorder` will do.

    Threads: one call at a time.

    Source: client-go tools/leaderelection/resourcelock LeaseLock.
    """

    def __init__(
        self,
        api_client: Any,
        namespace: str,
        name: str,
        identity: str,
        *,
        labels: Mapping[str, str] | None = None,
        event_recorder: _EventRecorder | None = None,
    ) -> None:
        for what, value in (("namespace", namespace), ("name", name)):
            if not value:
                raise ValueError(f"a Lease needs a {what}, not {value!r}")
        self._api_client = api_client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._labels = dict(labels or {})
        self._event_recorder = event_recorder
        self._path = f"/apis/{_GROUP_VERSION}/namespaces/{urllib.parse.quote(namespace, safe='')}/leases"
        self._lease: dict[str, Any] | None = None  # as the server gave it last

    @property
    def identity(self) -> str:
        """Who asks for the Lease."""
        return self._identity

    def describe(self) -> str:
        """Namespace and name."""
        return f"{self._namespace}/{self._name}"

    def get(self, *, timeout: float = DEFAULT_TIMEOUT) -> LeaderElectionRecord:
        """Reads the Lease, from the server's newest state.

        Args:
            timeout: seconds for each step of the request.

        Raises:
            ApiError: of status 404 when there is none, or another refusal.
            ConnectionError: there was no answer.
        """
        return self._keep(self._send("GET", self._own_path, None, timeout))

    def create(self, record: LeaderElectionRecord, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Makes the Lease; an `ApiError` of status 409 when somebody else just did. Arguments and errors as of `get`."""
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if self._labels:
            metadata["labels"] = dict(self._labels)
        lease = {"apiVersion": _GROUP_VERSION, "kind": "Lease", "metadata": metadata, "spec": record.to_spec()}
        self._keep(self._send("POST", self._path, lease, timeout))

    def update(self, record: LeaderElectionRecord, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Writes the record into the Lease as it was seen last, of which everything else stays.

        Arguments and errors as of `get`.

        Raises:
            ApiError: of status 409 when somebody has changed the Lease since.
            RuntimeError: it was not seen yet.
        """
        if self._lease is None:
            raise RuntimeError("the lease is not initialized: call get or create first")
        metadata = dict(self._lease.get("metadata") or {})
        if self._labels:
            metadata["labels"] = {**(metadata.get("labels") or {}), **self._labels}
        lease = {**self._lease, "metadata": metadata, "spec": record.written_into(self._lease.get("spec"))}
        self._keep(self._send("PUT", self._own_path, lease, timeout))

    def record_event(self, text: str) -> None:
        """Records an event of the Lease, if there is a recorder: "my-identity became leader"."""
        if self._event_recorder is None:
            return
        lease = self._lease or {"metadata": {"name": self._name, "namespace": self._namespace}}
        subject = {"apiVersion": _GROUP_VERSION, "kind": "Lease", "metadata": lease.get("metadata")}
        self._event_recorder.event(subject, "Normal", "LeaderElection", f"{self._identity} {text}")

    @property
    def _own_path(self) -> str:
        return f"{self._path}/{urllib.parse.quote(self._name, safe='')}"

    def _send(self, method: str, path: str, body: Any, timeout: float) -> Any:
        # Asked for each time: after a fork it is another one.
        return transport_for(self._api_client).send_json(method, path, body, timeout=timeout)

    def _keep(self, lease: Any) -> LeaderElectionRecord:
        if not isinstance(lease, dict) or not isinstance(lease.get("metadata"), dict):
            raise ConnectionError(f"what the server gave for the Lease {self.describe()} is none")
        self._lease = lease
        return LeaderElectionRecord.from_spec(lease.get("spec"))


_REMOVED = ("endpoints", "configmaps", "endpointsleases", "configmapsleases")


def resource_lock(
    lock_type: str, api_client: Any, namespace: str, name: str, identity: str, **options: Any
) -> LeaseLock:
    """The lock of a type that a program's flag (such as `--leader-elect-resource-lock`) names.

    Args:
        lock_type: "leases", the only one that is left.
        api_client: as of `LeaseLock`, like all that follow.
        namespace: see there.
        name: see there.
        identity: see there.
        **options: see there.

    Raises:
        ValueError: it is another type; the message says what to do.

    Source: client-go tools/leaderelection/resourcelock New.
    """
    if lock_type in _REMOVED:
        raise ValueError(f"{lock_type} lock is removed, migrate to leases")
    if lock_type != "leases":
        raise ValueError(f"Invalid lock-type {lock_type}: it must be leases")
    return LeaseLock(api_client, namespace, name, identity, **options)

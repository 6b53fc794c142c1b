"""Locks that an election is about: the protocol, and a Lease of coordination.k8s.io/v1 as the one that is used."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any, Protocol

from informer.leaderelection.record import LeaderElectionRecord
from informer.objects.keys import namespaced_name
from informer.transport.transport import transport_for

__all__ = ["DEFAULT_TIMEOUT", "LeaseLock", "ResourceLock", "resource_lock"]

DEFAULT_TIMEOUT = 5.0  # seconds

_GROUP_VERSION = "coordination.k8s.io/v1"
_REMOVED_TYPES = ("endpoints", "configmaps", "endpointsleases", "configmapsleases")


class ResourceLock(Protocol):
    """Stores the record of an election where all its processes can see it. `LeaseLock` is one.

    A write must fail with an `ApiError` of status 409 if another process has written since the last read or write. If a write
    fails in another way, its outcome counts as unknown. An elector makes its calls within a `RequestScope`; they must end when
    that is cancelled.

    Threads: one call at a time.

    Source: client-go tools/leaderelection/resourcelock Interface.
    """

    @property
    def identity(self) -> str:
        """The name of this process in the election. No other process may have the same."""
        ...

    def get(self, *, timeout: float = DEFAULT_TIMEOUT) -> LeaderElectionRecord:
        """Reads the record; raises `ApiError` with status 404 if there is none."""
        ...

    def create(self, record: LeaderElectionRecord, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Writes the first record."""
        ...

    def update(self, record: LeaderElectionRecord, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Replaces the record that was read or written last, if it has not changed since."""
        ...

    def record_event(self, text: str) -> object:
        """Reports a change of leadership, for people to read."""
        ...

    def describe(self) -> str:
        """Returns a name of the lock, for messages."""
        ...


class _EventRecorder(Protocol):
    def event(self, obj: Any, type: str, reason: str, message: str) -> object: ...


class LeaseLock:
    """A lock that stores the record of an election in a Lease.

    All processes of an election use the same namespace and name. The first one creates the Lease. Each write carries the
    resourceVersion of the last read or write, so that one of two concurrent writers gets a conflict (409). A request is sent
    once; the elector retries. A Lease of more than 64 KiB is an error, and redirects are not followed.

    Args:
        api_client: an `ApiClient` of the official client, whose configuration and credentials are used. Requests use the
            informers' own connections. None connects as kubectl does (see `load_client`).
        namespace: the namespace of the Lease.
        name: the name of the Lease.
        identity: the name of this process in the election, such as the pod's name and a random suffix. It must be unique.
        labels: labels to set on the Lease with each write; other labels stay. None: no labels.
        event_recorder: its `event` method is called when leading begins and ends, such as that of an
            `informer.record.EventRecorder`. None: no events.

    Raises:
        ValueError: the namespace or the name is empty.

    Threads: one call at a time.

    Example:
        lock = LeaseLock(api_client, "default", "my-controller", identity=f"{socket.gethostname()}_{uuid.uuid4()}")

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
        self._lease: dict[str, Any] | None = None  # the server's last answer

    @property
    def identity(self) -> str:
        """The name of this process in the election."""
        return self._identity

    def describe(self) -> str:
        """Returns "namespace/name"."""
        return namespaced_name(self._namespace, self._name)

    def get(self, *, timeout: float = DEFAULT_TIMEOUT) -> LeaderElectionRecord:
        """Reads the Lease.

        Args:
            timeout: seconds until the answer begins, its headers included, and again until it ends.

        Raises:
            ApiError: the server refused; status 404 if the Lease does not exist.
            ConnectionError: there was no answer, or the answer is not a Lease.
        """
        return self._keep(self._send("GET", self._own_path, None, timeout))

    def create(self, record: LeaderElectionRecord, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Creates the Lease.

        Args:
            record: the record to write.
            timeout: as of `get`.

        Raises:
            ApiError: the server refused; status 409 if another process has created the Lease.
            ConnectionError: there was no answer, or the answer is not a Lease.
        """
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if self._labels:
            metadata["labels"] = dict(self._labels)
        lease = {"apiVersion": _GROUP_VERSION, "kind": "Lease", "metadata": metadata, "spec": record.to_spec()}
        self._keep(self._send("POST", self._path, lease, timeout))

    def update(self, record: LeaderElectionRecord, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Writes a record into the Lease. Its other fields stay as they were at the last read or write.

        Args:
            record: the record to write.
            timeout: as of `get`.

        Raises:
            ApiError: the server refused; status 409 if the Lease has changed since the last read or write.
            ConnectionError: there was no answer, or the answer is not a Lease.
            RuntimeError: the Lease was neither read nor created before.
        """
        if self._lease is None:
            raise RuntimeError("the lease is not initialized: call get or create first")
        metadata = dict(self._lease.get("metadata") or {})
        if self._labels:
            metadata["labels"] = {**(metadata.get("labels") or {}), **self._labels}
        lease = {**self._lease, "metadata": metadata, "spec": record.written_into(self._lease.get("spec"))}
        self._keep(self._send("PUT", self._own_path, lease, timeout))

    def record_event(self, text: str) -> None:
        """Records an event of the Lease if there is an event recorder.

        Args:
            text: what happened, such as "became leader". The identity is put in front.
        """
        if self._event_recorder is None:
            return
        lease = self._lease or {"metadata": {"name": self._name, "namespace": self._namespace}}
        subject = {"apiVersion": _GROUP_VERSION, "kind": "Lease", "metadata": lease.get("metadata")}
        self._event_recorder.event(subject, "Normal", "LeaderElection", f"{self._identity} {text}")

    @property
    def _own_path(self) -> str:
        return f"{self._path}/{urllib.parse.quote(self._name, safe='')}"

    def _send(self, method: str, path: str, body: Any, timeout: float) -> Any:
        # Looked up for each request: a forked child has another transport.
        return transport_for(self._api_client).send_json(method, path, body, timeout=timeout)

    def _keep(self, lease: Any) -> LeaderElectionRecord:
        if not isinstance(lease, dict) or not isinstance(lease.get("metadata"), dict):
            raise ConnectionError(
                f"the server's answer for Lease {self.describe()} is not a Lease (is a proxy or login page in front?)"
            )
        self._lease = lease
        return LeaderElectionRecord.from_spec(lease.get("spec"))


def resource_lock(
    lock_type: str, api_client: Any, namespace: str, name: str, identity: str, **options: Any
) -> LeaseLock:
    """Returns a lock of the type that a command-line flag names, such as `--leader-elect-resource-lock`.

    Args:
        lock_type: "leases", the only type that Kubernetes still supports.
        api_client: as of `LeaseLock`, like all arguments that follow.
        namespace: the namespace of the Lease.
        name: the name of the Lease.
        identity: the name of this process in the election.
        **options: `labels` and `event_recorder`.

    Raises:
        ValueError: it is another type. The message says what to use instead.

    Source: client-go tools/leaderelection/resourcelock New.
    """
    if lock_type in _REMOVED_TYPES:
        raise ValueError(f"{lock_type} lock is removed, migrate to leases")
    if lock_type != "leases":
        raise ValueError(f"Invalid lock-type {lock_type}: it must be leases")
    return LeaseLock(api_client, namespace, name, identity, **options)

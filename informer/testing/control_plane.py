"""A real control plane for tests: etcd and kube-apiserver as child processes."""

from __future__ import annotations

import atexit
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import urllib3

from informer.files import check_private, write_private
from informer.testing.clients import ServerWithClients
from informer.testing.http.certificates import import_trustme
from informer.testing.processes.child_process import ChildProcess
from informer.testing.processes.kube_programs import (
    LOOPBACK,
    ControlPlaneError,
    apiserver_command,
    etcd_command,
    find_programs,
    free_ports,
    token_file,
)
from watch.concurrency import OwnerProcess, RLock

__all__ = ["ControlPlane", "ControlPlaneError"]

_PORT_TRIES = 5
_POLL_INTERVAL = 0.05  # seconds between questions whether a program is ready
# Texts of etcd and kube-apiserver.
_PORT_TAKEN = "address already in use"
_COMPACTED = "required revision has been compacted"


class ControlPlane(ServerWithClients):
    """A real etcd and kube-apiserver for tests, as child processes on the loopback address.

    Use it where the real server's behaviour matters, and `EmbeddedAPIServer` where speed does: this one takes seconds to
    start. No scheduler, kubelet or controller runs, so that pods stay pending and Deployments make no pods.

    The programs are not part of this package. controller-runtime's tool installs them and prints their folder:
    `export KUBEBUILDER_ASSETS=$(setup-envtest use -p path)`.

    All data is in a temporary directory, which `stop` deletes. A test run that is killed leaves the directory behind;
    on Linux its processes end with it.

    Args:
        assets: the folder with the programs `etcd` and `kube-apiserver`; None means the one that the environment
            variable KUBEBUILDER_ASSETS names.
        feature_gates: feature gates of kube-apiserver, by name.
        extra_args: more arguments of kube-apiserver, such as "--event-ttl=10m"; they override the default ones.
        users: user names and the groups of each, for `api_client`, `token` and `kubeconfig`. None means one user
            without any rights, called "nobody". The user "admin" always exists and may do everything.
        start_timeout: seconds that both programs together may take to start, and kube-apiserver to restart.

    Raises:
        ControlPlaneError: the programs were not found.
        RuntimeError: it was used before its start or after its stop.

    Threads: any; calls wait for each other.

    Source: controller-runtime pkg/envtest.

    Example:
        from kubernetes import client
        from informer.testing import ControlPlane

        with ControlPlane() as plane, plane.api_client() as api_client:
            core = client.CoreV1Api(api_client)
            core.create_namespace({"metadata": {"name": "test"}})
            plane.restart()  # open watches are cut, as in a real outage
    """

    def __init__(
        self,
        *,
        assets: str | Path | None = None,
        feature_gates: Mapping[str, bool] | None = None,
        extra_args: Sequence[str] = (),
        users: Mapping[str, Sequence[str]] | None = None,
        start_timeout: float = 60,
    ) -> None:
        self._programs = find_programs(assets)
        self._feature_gates = dict(feature_gates or {})
        if isinstance(extra_args, str):
            raise TypeError(f"extra_args must be a list of arguments, not the text {extra_args!r}")
        self._extra_args = list(extra_args)
        groups = {**({"nobody": ()} if users is None else users), "admin": ("system:masters",)}
        self._users = {name: (secrets.token_urlsafe(24), tuple(of)) for name, of in groups.items()}
        self._start_timeout = start_timeout
        self._lock = RLock()
        self._owner: OwnerProcess | None = None  # the process that runs it; guarded by _lock, as are the next five
        self._directory = Path()
        self._etcd = ChildProcess("etcd", (), Path())  # replaced when it starts, as is the next
        self._apiserver = ChildProcess("kube-apiserver", (), Path())
        self._etcd_url = ""
        self._url = ""
        self._http = urllib3.PoolManager()

    # Life cycle

    def start(self) -> Self:
        """Starts both programs and waits until kube-apiserver is ready; returns the control plane.

        Raises:
            RuntimeError: it has started already.
            ImportError: the package trustme is not installed.
            ControlPlaneError: a program does not start, or is not ready within `start_timeout`.
        """
        with self._lock:
            if self._owner is not None:
                raise RuntimeError("the control plane has started already")
            self._owner = OwnerProcess()
            self._directory = Path(tempfile.mkdtemp(prefix="control-plane-"))
            self._http = urllib3.PoolManager(ca_certs=str(self.ca_file), retries=False, timeout=10)
            atexit.register(self.stop)
            try:
                # Any private key will do for the tokens of service accounts; trustme makes one for each authority.
                key = import_trustme("a control plane").CA().private_key_pem.bytes()
                write_private(self._directory / "sa.key", key)
                write_private(self._directory / "tokens.csv", token_file(self._users))
                self._start_both(time.monotonic() + self._start_timeout)
            except BaseException:
                self.stop()
                raise
            return self

    def stop(self) -> None:
        """Kills both programs and deletes their data. Idempotent."""
        with self._lock:
            # In a forked child this object is a copy: the programs belong to the parent.
            if self._owner is None or not self._owner.is_current:
                return
            self._owner = None
            atexit.unregister(self.stop)
            self._apiserver.kill()
            self._etcd.kill()
            self._http.clear()
            shutil.rmtree(self._directory, ignore_errors=True)

    # Access

    @property
    def url(self) -> str:
        """The address of kube-apiserver, such as "https://127.0.0.1:31234"; a restart does not change it."""
        self._check_started()
        return self._url

    @property
    def ca_file(self) -> Path:
        """A PEM file with the certificates for clients to trust."""
        return self.log_directory / "certs" / "apiserver.crt"

    @property
    def log_directory(self) -> Path:
        """The folder with etcd.log and kube-apiserver.log, until `stop`."""
        self._check_started()
        return self._directory

    def token(self, user: str | None = None) -> str:
        """Returns the bearer token of a user, by default of "admin". Raises ValueError for an unknown user."""
        user = user or "admin"
        if user not in self._users:
            known = ", ".join(sorted(self._users))
            raise ValueError(f"no user {user!r}: there are {known}; the argument `users` of ControlPlane adds others")
        return self._users[user][0]

    # Faults

    def compact(self) -> int:
        """Compacts etcd: drops the history before its newest revision, which is returned.

        Lists and continue tokens of older resourceVersions then get 410. kube-apiserver can still resume watches from
        its own watch cache; after a `restart` that cache is empty, and older watches get 410 too.

        Raises:
            ControlPlaneError: etcd does not answer.
        """
        with self._lock:
            self._check_started()
            revision = int(self._ask_etcd("/v3/maintenance/status", {})["header"]["revision"])
            try:
                self._ask_etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
            except ControlPlaneError as error:
                if _COMPACTED not in str(error):
                    raise
            return revision

    def kill(self) -> None:
        """Kills kube-apiserver, as a crash does: connections are refused until `restart`. etcd keeps running."""
        with self._lock:
            self._check_started()
            self._apiserver.kill()

    def restart(self) -> None:
        """Kills kube-apiserver if it runs, and starts it again at the same address with the same data.

        Raises:
            ControlPlaneError: it is not ready again within `start_timeout`, or its folder was deleted or replaced.
        """
        with self._lock:
            self.kill()
            try:
                check_private(self._directory)  # kube-apiserver reads the tokens of its users from there
            except OSError as error:
                where = f"the folder {self._directory} of the control plane"
                raise ControlPlaneError(f"cannot use {where}: {error.strerror} (does a program clean /tmp?)") from error
            deadline = time.monotonic() + self._start_timeout
            self._apiserver.start()
            while not self._wait_for(self._apiserver, self._apiserver_answers, deadline):
                # Another process has taken the port meanwhile, and may give it back.
                if time.monotonic() > deadline:
                    raise _failure(self._apiserver, f"cannot restart: another process uses its port ({self._url})")
                self._apiserver.start()

    def frozen(self) -> AbstractContextManager[None]:
        """Suspends kube-apiserver within the `with` block: connections stay open, and no bytes arrive."""
        with self._lock:
            self._check_started()
            return self._apiserver.frozen()

    # Internals

    def _check_started(self) -> None:
        if self._owner is None or not self._owner.is_current:
            raise RuntimeError("the control plane has not started in this process, or was stopped")

    def _start_both(self, deadline: float) -> None:
        for _ in range(_PORT_TRIES):
            port, *others = free_ports(3)
            self._url = f"https://{LOOPBACK}:{port}"
            self._etcd_url, peer_url = (f"http://{LOOPBACK}:{each}" for each in others)
            command = etcd_command(self._programs, self._directory, self._etcd_url, peer_url)
            self._etcd = ChildProcess("etcd", command, self._directory / "etcd.log")
            command = apiserver_command(self._programs, self._directory, self._etcd_url, port, self._feature_gates)
            log = self._directory / "kube-apiserver.log"
            self._apiserver = ChildProcess("kube-apiserver", [*command, *self._extra_args], log)
            self._etcd.start()
            if self._wait_for(self._etcd, self._etcd_answers, deadline):
                self._apiserver.start()
                if self._wait_for(self._apiserver, self._apiserver_answers, deadline):
                    return
            self._apiserver.kill()
            self._etcd.kill()
            shutil.rmtree(self._directory / "etcd", ignore_errors=True)
        raise ControlPlaneError(f"no free ports: in {_PORT_TRIES} attempts another process took a chosen port first")

    def _wait_for(self, process: ChildProcess, answers: Callable[[], bool], deadline: float) -> bool:
        """Waits until a program answers; returns False if it ended because its port was taken."""
        while not answers():
            # Waiting for the process's end instead of sleeping notices at once when it refuses its arguments.
            if process.wait(_POLL_INTERVAL):
                if _PORT_TAKEN in process.output():
                    return False
                raise _failure(process, "ended instead of starting")
            if process is not self._etcd and not self._etcd.is_running:
                raise _failure(self._etcd, f"ended while {process.name} was starting")
            if time.monotonic() > deadline:
                raise _failure(process, f"was not ready after {self._start_timeout:g} s")
        return True

    def _etcd_answers(self) -> bool:
        # Compares the name, since the etcd of another test run may listen on this port.
        try:
            members = self._ask_etcd("/v3/cluster/member/list", {"linearizable": True})["members"]
        except (ControlPlaneError, ValueError, LookupError):
            return False
        return [member.get("name") for member in members] == [self._directory.name]

    def _apiserver_answers(self) -> bool:
        headers = {"Authorization": f"Bearer {self.token()}"}
        # kube-apiserver reports that it is ready a moment before it has created the namespace "default".
        for path in ("/readyz", "/api/v1/namespaces/default"):
            try:
                if self._http.request("GET", self._url + path, headers=headers).status != 200:
                    return False
            except (urllib3.exceptions.HTTPError, OSError):
                return False
        return True

    def _ask_etcd(self, path: str, body: Mapping[str, Any]) -> Any:
        try:
            response = self._http.request("POST", self._etcd_url + path, body=json.dumps(body).encode())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _failure(self._etcd, f"does not answer ({type(error).__name__})") from error
        if response.status != 200:
            text = response.data[:200].decode(errors="replace")
            raise _failure(self._etcd, f"refused {path}: {response.status} {text}")
        return json.loads(response.data)


def _failure(process: ChildProcess, what: str) -> ControlPlaneError:
    return ControlPlaneError(f"{process.name} {what}; its last output:\n{process.last_lines()}")

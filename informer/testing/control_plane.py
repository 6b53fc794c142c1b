"""A real control plane for tests: etcd and kube-apiserver as processes beside the tests.

Nothing else runs: objects are stored, listed and watched for real, but no scheduler, kubelet or controller acts on them.
Everything is on the loopback address and in a temporary directory, and gone when the tests end; of tests that are killed
outright only the directory is left.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import urllib3
from typing_extensions import Self

from informer.testing.http.certificates import import_trustme
from informer.testing.processes.child_process import ChildProcess
from informer.testing.processes.kube_programs import (
    ControlPlaneError,
    apiserver_command,
    etcd_command,
    find_programs,
    url_of,
)
from informer.testing.processes.ports import free_ports
from watch.concurrency import RLock

__all__ = ["ControlPlane", "ControlPlaneError"]

_PORT_TRIES = 5
_LOOK_AGAIN = 0.05
_PORT_TAKEN = "address already in use"
_COMPACTED = "required revision has been compacted"


class ControlPlane:
    """A real etcd and kube-apiserver.

    Args:
        assets: the folder with the programs `etcd` and `kube-apiserver`; None takes the one that the environment variable
            KUBEBUILDER_ASSETS names, as controller-runtime's envtest does.
        feature_gates: of kube-apiserver, by name.
        extra_args: further arguments of kube-apiserver, such as "--event-ttl=10m"; they go last, so they win.
        users: names of users, and the groups of each; all may be used with `api_client`, `token` and `kubeconfig`. None
            makes one, "nobody", without any rights. "admin" is always there and may do everything.
        start_timeout: seconds that the two may take to start together, and kube-apiserver alone to restart.

    Raises:
        ControlPlaneError: the programs are not where they should be.

    Threads: any; a call waits for another one that is under way.

    Source: controller-runtime pkg/envtest.

    Example:
        with ControlPlane() as plane:
            core = client.CoreV1Api(plane.api_client())
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
        self._owner = 0  # the process that started it, 0 when it is stopped; guarded by _lock, as are the next four
        self._directory = Path()
        self._etcd: ChildProcess | None = None
        self._apiserver: ChildProcess | None = None
        self._etcd_url = ""
        self._url = ""
        self._http = urllib3.PoolManager()

    # Life

    def start(self) -> Self:
        """Starts both and returns itself when kube-apiserver is ready.

        Raises:
            RuntimeError: it has started already.
            ControlPlaneError: one of them does not start, or is not ready in time.
        """
        with self._lock:
            if self._owner:
                raise RuntimeError("the control plane has started already")
            self._owner = os.getpid()
            self._directory = Path(tempfile.mkdtemp(prefix="control-plane-"))
            self._http = urllib3.PoolManager(ca_certs=str(self.ca_file), retries=False, timeout=10)
            atexit.register(self.stop)
            try:
                _write_secret(self._directory / "sa.key", _service_account_key())
                _write_secret(self._directory / "tokens.csv", self._token_file())
                self._start_both(time.monotonic() + self._start_timeout)
            except BaseException:
                self.stop()
                raise
            return self

    def stop(self) -> None:
        """Ends both at once and deletes their data; harmless when it has not started."""
        with self._lock:
            # A forked child has a copy of this object, and the processes are its parent's.
            if self._owner != os.getpid():
                return
            self._owner = 0
            atexit.unregister(self.stop)
            for process in (self._apiserver, self._etcd):
                if process is not None:
                    process.kill()
            self._http.clear()
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Access

    @property
    def url(self) -> str:
        """Where kube-apiserver listens, such as "https://127.0.0.1:31234"; the same after a restart.

        Raises:
            RuntimeError: it has not started.
        """
        self._check_started()
        return self._url

    @property
    def ca_file(self) -> Path:
        """The certificates with which the server's own is verified, as a PEM file. Raises as `url` does."""
        self._check_started()
        return self._directory / "certs" / "apiserver.crt"

    @property
    def log_directory(self) -> Path:
        """Where etcd.log and kube-apiserver.log are, until `stop`. Raises as `url` does."""
        self._check_started()
        return self._directory

    def token(self, user: str = "admin") -> str:
        """The bearer token of a user.

        Raises:
            ValueError: there is no such user.
        """
        if user not in self._users:
            raise ValueError(f"no user {user!r}: there are {', '.join(sorted(self._users))}; see the argument users")
        return self._users[user][0]

    def api_client(self, token: str | None = None, *, user: str = "admin") -> Any:
        """A new `ApiClient` of the official client, which verifies the server's certificate.

        Args:
            token: a bearer token to use instead of the user's, for instance one that the server refuses.
            user: whose requests they are.

        Raises:
            ValueError: there is no such user.
            RuntimeError: it has not started.
        """
        from kubernetes import client

        configuration = client.Configuration()
        configuration.host = self.url
        configuration.ssl_ca_cert = str(self.ca_file)
        configuration.api_key["authorization"] = f"Bearer {self.token(user) if token is None else token}"
        # The loopback address is reached directly, whatever the environment says.
        configuration.proxy = None
        return client.ApiClient(configuration)

    def kubeconfig(self, path: str | Path, *, user: str = "admin") -> Path:
        """Writes a kubeconfig that stands for itself (no other file is needed) and returns its path.

        Raises:
            ValueError: there is no such user.
            RuntimeError: it has not started.
        """
        certificates = base64.b64encode(self.ca_file.read_bytes()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority-data": certificates}}],
            "users": [{"name": user, "user": {"token": self.token(user)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        # JSON is YAML.
        _write_secret(Path(path), json.dumps(config, indent=2).encode())
        return Path(path)

    # Faults

    def compact(self) -> int:
        """Has etcd forget the past: everything before its newest revision. Returns that revision.

        Pages and lists of older resourceVersions then get a 410. Watches may still be resumed from what kube-apiserver
        itself remembers; after `restart` it remembers nothing, and they get a 410 too.

        Raises:
            RuntimeError: it has not started.
            ControlPlaneError: etcd does not answer.
        """
        with self._lock:
            self._check_started()
            answer = self._ask_etcd("/v3/kv/range", {"key": base64.b64encode(b"\0").decode(), "limit": 1})
            revision = int(answer["header"]["revision"])
            with contextlib.suppress(_CompactedError):
                self._ask_etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
            return revision

    def kill(self) -> None:
        """Kills kube-apiserver, as a crash would: connections are refused until `restart`. etcd goes on."""
        with self._lock:
            self._check_started()
            assert self._apiserver is not None
            self._apiserver.kill()

    def restart(self) -> None:
        """Kills kube-apiserver, if it still runs, and starts it again at the same address, with the same data.

        Raises:
            RuntimeError: it has not started.
            ControlPlaneError: it does not come back.
        """
        with self._lock:
            self.kill()
            assert self._apiserver is not None
            deadline = time.monotonic() + self._start_timeout
            while True:
                self._apiserver.start()
                if self._wait_until_ready(deadline):
                    return
                # Nobody else ought to take a port of this range; whoever did may go away.
                if time.monotonic() > deadline:
                    raise _failure(self._apiserver, f"its port is taken: {self._url}")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """While inside, kube-apiserver stands still: connections stay open, and nothing comes."""
        with self._lock:
            self._check_started()
            apiserver = self._apiserver
        assert apiserver is not None
        apiserver.freeze()
        try:
            yield
        finally:
            with contextlib.suppress(RuntimeError):
                apiserver.thaw()

    # Inside

    def _check_started(self) -> None:
        if self._owner != os.getpid():
            raise RuntimeError("the control plane has not started in this process, or was stopped")

    def _token_file(self) -> bytes:
        lines = []
        for name, (token, groups) in self._users.items():
            fields = [token, name, f"{name}-uid", ",".join(groups)]
            lines.append(",".join('"' + field.replace('"', '""') + '"' for field in fields))
        return "\n".join(lines).encode()

    def _start_both(self, deadline: float) -> None:
        for _ in range(_PORT_TRIES):
            port, peer_port, etcd_port = free_ports(3)
            self._url, peer_url, self._etcd_url = url_of(port, "https"), url_of(peer_port), url_of(etcd_port)
            command = etcd_command(self._programs, self._directory, self._etcd_url, peer_url)
            self._etcd = ChildProcess("etcd", command, self._directory / "etcd.log")
            command = apiserver_command(self._programs, self._directory, self._etcd_url, port, self._feature_gates)
            log = self._directory / "kube-apiserver.log"
            self._apiserver = ChildProcess("kube-apiserver", [*command, *self._extra_args], log)
            self._etcd.start()
            if self._wait_for_etcd(deadline):
                self._apiserver.start()
                if self._wait_until_ready(deadline):
                    return
            self._apiserver.kill()
            self._etcd.kill()
            shutil.rmtree(self._directory / "etcd", ignore_errors=True)
        raise ControlPlaneError(f"no free ports: others took them {_PORT_TRIES} times, right after they were chosen")

    def _wait_for_etcd(self, deadline: float) -> bool:
        assert self._etcd is not None
        return self._wait_for(self._etcd, self._etcd_answers, deadline)

    def _wait_until_ready(self, deadline: float) -> bool:
        assert self._apiserver is not None
        return self._wait_for(self._apiserver, self._apiserver_answers, deadline)

    def _wait_for(self, process: ChildProcess, answers: Callable[[], bool], deadline: float) -> bool:
        """Waits until a program answers; returns False if it ended because its port was taken."""
        while not answers():
            # A wait for its end, and not a sleep: a program that refuses its arguments is known at once.
            if process.wait(_LOOK_AGAIN):
                if _PORT_TAKEN in process.output():
                    return False
                raise _failure(process, "ended instead of starting")
            if self._etcd is not None and process is not self._etcd and not self._etcd.is_running:
                raise _failure(self._etcd, f"ended while {process.name} was starting")
            if time.monotonic() > deadline:
                raise _failure(process, f"was not ready after {self._start_timeout:g} s")
        return True

    def _etcd_answers(self) -> bool:
        # By name, since the etcd of another test run may have been faster to take the port.
        try:
            members = self._ask_etcd("/v3/cluster/member/list", {})["members"]
        except (ControlPlaneError, ValueError, LookupError):
            return False
        return [member.get("name") for member in members] == [self._directory.name] and self._is_ok(
            self._etcd_url + "/health"
        )

    def _apiserver_answers(self) -> bool:
        # It says that it is ready a little before it has made the namespace that everybody uses.
        return all(self._is_ok(self._url + path) for path in ("/readyz", "/api/v1/namespaces/default"))

    def _is_ok(self, url: str) -> bool:
        try:
            return bool(self._send("GET", url).status == 200)
        except (urllib3.exceptions.HTTPError, OSError):
            return False

    def _send(self, method: str, url: str, body: bytes | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token()}"} if url.startswith("https") else {}
        return self._http.request(method, url, body=body, headers=headers)

    def _ask_etcd(self, path: str, body: Mapping[str, Any]) -> Any:
        assert self._etcd is not None
        try:
            response = self._send("POST", self._etcd_url + path, json.dumps(body).encode())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _failure(self._etcd, f"does not answer ({type(error).__name__})") from error
        if _COMPACTED.encode() in response.data:
            raise _CompactedError
        if response.status != 200:
            raise _failure(
                self._etcd, f"refused {path}: {response.status} {response.data[:200].decode(errors='replace')}"
            )
        return json.loads(response.data)


class _CompactedError(Exception):
    """There was nothing to forget."""


def _service_account_key() -> bytes:
    """Returns a new private key, with which kube-apiserver signs the tokens of service accounts."""
    try:
        trustme = import_trustme("a control plane")
    except ImportError as error:
        raise ControlPlaneError(str(error)) from error
    # Any private key will do; trustme makes one for each authority.
    key: bytes = trustme.CA().private_key_pem.bytes()
    return key


def _write_secret(path: Path, content: bytes) -> None:
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)


def _failure(process: ChildProcess, what: str) -> ControlPlaneError:
    return ControlPlaneError(f"{process.name} {what}; the last that it wrote:\n{process.last_lines()}")

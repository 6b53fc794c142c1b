"""The programs of a control plane: how to find them, and the ports and arguments with which they run as a test cluster."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import random
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from informer.errors import InformerError

__all__ = [
    "ControlPlaneError",
    "apiserver_command",
    "etcd_command",
    "find_programs",
    "free_ports",
    "token_file",
]

LOOPBACK = "127.0.0.1"
# Below the ports that systems use for outgoing connections. Otherwise a client that connects while the server is down could
# be given the server's own port, and keep the server from restarting.
_PORTS = range(20_000, 32_000)
_PORT_TRIES = 200


class ControlPlaneError(InformerError):
    """etcd or kube-apiserver was not found, did not start, or does not answer; the message quotes its last output."""


def find_programs(assets: str | Path | None) -> dict[str, Path]:
    """Returns the paths of etcd and kube-apiserver, by name.

    Args:
        assets: the programs' folder; None means the one that the variable KUBEBUILDER_ASSETS names.

    Raises:
        ControlPlaneError: no folder is named, or a program is missing or not executable.
    """
    folder = assets or os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        raise ControlPlaneError(
            "KUBEBUILDER_ASSETS is not set: it should name a folder with etcd and kube-apiserver, "
            "such as `setup-envtest use -p path` prints"
        )
    programs = {name: Path(folder).absolute() / name for name in ("etcd", "kube-apiserver")}
    for name, path in programs.items():
        if not path.is_file():
            named_by = "KUBEBUILDER_ASSETS" if assets is None else "the argument assets"
            raise ControlPlaneError(f"no {name} in {folder}, the folder that {named_by} names")
        if not os.access(path, os.X_OK):
            raise ControlPlaneError(
                f"{path} cannot be executed: it lacks the permission (chmod +x), or is not a program"
            )
    return programs


def free_ports(count: int) -> list[int]:
    """Returns `count` different ports on which no process listens; another process may still take one first.

    Raises:
        OSError: no free port was found.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        # Not the generator that tests may seed: two test runs would choose the same ports.
        for port in random.SystemRandom().sample(_PORTS, _PORT_TRIES):
            with contextlib.suppress(OSError):
                held.enter_context(socket.socket()).bind((LOOPBACK, port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError(errno.EADDRINUSE, f"no free port between {_PORTS.start} and {_PORTS.stop}")


def token_file(users: Mapping[str, tuple[str, Sequence[str]]]) -> bytes:
    """Returns the content of kube-apiserver's token file, from the token and the groups of each user."""
    content = io.StringIO()
    rows = [(token, name, f"{name}-uid", ",".join(groups)) for name, (token, groups) in users.items()]
    csv.writer(content, quoting=csv.QUOTE_ALL).writerows(rows)
    return content.getvalue().encode()


def etcd_command(programs: Mapping[str, Path], directory: Path, url: str, peer_url: str) -> list[str]:
    """Returns the command for an etcd with one member, which is named after `directory` and keeps its data there."""
    return [
        str(programs["etcd"]),
        f"--name={directory.name}",
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster={directory.name}={peer_url}",
        "--unsafe-no-fsync",  # the data need not survive a crash of the machine
    ]


def apiserver_command(
    programs: Mapping[str, Path], directory: Path, etcd_url: str, port: int, feature_gates: Mapping[str, bool]
) -> list[str]:
    """Returns the command for a kube-apiserver whose keys, tokens and own certificate are in `directory`."""
    command = [
        str(programs["kube-apiserver"]),
        f"--etcd-servers={etcd_url}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--cert-dir={directory / 'certs'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={directory / 'sa.key'}",
        f"--service-account-signing-key-file={directory / 'sa.key'}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        # With this plugin pods would need a service account, which only a controller creates.
        "--disable-admission-plugins=ServiceAccount",
        "--service-cluster-ip-range=10.0.0.0/24",
    ]
    if feature_gates:
        gates = ",".join(f"{name}={'true' if on else 'false'}" for name, on in feature_gates.items())
        command.append(f"--feature-gates={gates}")
    return command
